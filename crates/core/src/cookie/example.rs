// The header that the examples of the cookie's options print.

use express_session_core::Timestamp;
use express_session_core::cookie::{Cookie, InvalidAttribute, StoredCookie, print};

pub fn header(cookie: Cookie, is_https: bool) -> Result<String, InvalidAttribute> {
    let now = Timestamp::from_millis(1_700_000_000_000);
    print("sid", "x", &StoredCookie::new(&cookie, now, is_https, true))
}
