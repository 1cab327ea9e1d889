//! The cookie: read from the request, kept in the record, written to the response.

mod header;
mod options;
mod set_cookie;
mod stored;

pub use header::{find, values};
pub use options::{Cookie, Lifetime, Priority, SameSite, Secure};
pub use set_cookie::{
    InvalidAttribute, check_domain, check_name, check_path, print, print_expired,
};
pub use stored::{CookieTemplate, StoredCookie};
