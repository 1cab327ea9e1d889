//! The cookie: read from the request, stored in the record, written to the response.

mod attribute;
mod browser;
mod field;
mod header;
mod options;
mod set_cookie;
mod stored;
mod template;
#[cfg(test)]
mod tests;

pub use attribute::{InvalidAttribute, check_domain, check_name, check_path};
pub use browser::check_browser_rules;
pub use header::{find, values};
pub use options::{Cookie, Lifetime, Priority, SameSite, Secure};
pub use set_cookie::{print, print_expired};
pub use stored::StoredCookie;
pub use template::CookieTemplate;
