//! The `Set-Cookie` header.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use cookie::Cookie as Read;
use express_session_core::Timestamp;
use express_session_core::cookie::{
    self as ours, Cookie, Priority, SameSite, Secure, StoredCookie,
};
use serde_json::{Value, json};

use crate::NOW;
use crate::node::Question;

/// The options of a cookie, its name and its value.
#[derive(Arbitrary, Debug)]
struct Case {
    name: String,
    value: String,
    path: Option<String>,
    domain: Option<String>,
    life: Life,
    http_only: Option<bool>,
    secure: Option<u8>,
    same_site: Option<u8>,
    partitioned: Option<bool>,
    priority: Option<u8>,
    is_https: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Life {
    Session,
    MaxAge(u64),
    Expires(i64),
}

impl Case {
    fn read(data: &[u8]) -> Option<Self> {
        let case = Self::arbitrary_take_rest(Unstructured::new(data)).ok()?;
        // The other parser decodes names as well.
        let is_name = ours::check_name(&case.name).is_ok() && !case.name.contains('%');
        is_name.then_some(case)
    }

    fn options(&self) -> Cookie {
        let mut cookie = Cookie::new();
        if let Some(path) = &self.path {
            cookie = cookie.path(path);
        }
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain);
        }
        cookie = match self.life {
            Life::Session => cookie,
            Life::MaxAge(millis) => cookie.max_age(Duration::from_millis(millis)),
            Life::Expires(millis) => cookie.expires(Timestamp::from_millis(millis).into()),
        };
        if let Some(http_only) = self.http_only {
            cookie = cookie.http_only(http_only);
        }
        if let Some(secure) = self.secure {
            cookie =
                cookie.secure([Secure::Auto, Secure::Always, Secure::Never][choice(secure, 3)]);
        }
        if let Some(same_site) = self.same_site {
            cookie = cookie.same_site(SAME_SITES[choice(same_site, 6)]);
        }
        if let Some(partitioned) = self.partitioned {
            cookie = cookie.partitioned(partitioned);
        }
        if let Some(priority) = self.priority {
            let all = [Priority::Low, Priority::Medium, Priority::High];
            cookie = cookie.priority(all[choice(priority, 3)]);
        }
        cookie
    }

    fn stored(&self) -> StoredCookie {
        StoredCookie::new(&self.options(), NOW, self.is_https, true)
    }
}

const SAME_SITES: [SameSite; 6] =
    [SameSite::Auto, SameSite::Lax, SameSite::Strict, SameSite::None, SameSite::On, SameSite::Off];

fn choice(byte: u8, of: usize) -> usize {
    usize::from(byte) % of
}

/// Writes a header, and reads it with other parsers.
pub fn run(data: &[u8]) {
    let Some(case) = Case::read(data) else { return };
    let (options, stored) = (case.options(), case.stored());
    let printed = ours::print(&case.name, &case.value, &stored);
    let expired = ours::print_expired(&case.name, &stored);
    if let Err(invalid) = options.validate() {
        let in_time = matches!(invalid.attribute(), "max_age" | "expires");
        return assert!(in_time || printed.is_err(), "a refused setting is printed");
    }
    let printed = printed.expect("valid settings are printed");
    let expired = expired.expect("valid settings are printed");
    check_header(&printed);
    check_header(&expired);
    read_back(&case, &stored, &printed);
    let (Ok(live), Ok(dead)) = (Read::parse(&*printed), Read::parse(&*expired)) else {
        panic!("another parser reads it");
    };
    // A browser identifies a cookie by these attributes.
    assert_eq!(
        (live.name(), live.domain(), live.path()),
        (dead.name(), dead.domain(), dead.path())
    );
    assert_eq!(dead.value(), "");
    let epoch = dead.expires_datetime().map(cookie::time::OffsetDateTime::unix_timestamp);
    assert_eq!(epoch, Some(0));
}

/// Checks that a header is one line, and has each attribute once.
pub(crate) fn check_header(header: &str) {
    assert!(header.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{header:?}");
    let mut names: Vec<_> = header
        .split("; ")
        .skip(1)
        .map(|part| part.split_once('=').map_or(part, |(name, _)| name))
        .collect();
    assert_eq!(header.matches(';').count(), names.len(), "{header:?}");
    let known =
        ["Domain", "Path", "Expires", "HttpOnly", "Secure", "Partitioned", "Priority", "SameSite"];
    assert!(names.iter().all(|name| known.contains(name)), "{header:?}");
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{header:?}");
}

fn read_back(case: &Case, stored: &StoredCookie, header: &str) {
    let (pair, _) = header.split_once(';').unwrap_or((header, ""));
    let value: Vec<_> = ours::values([pair.as_bytes()], &case.name).collect();
    assert_eq!(value, [&*case.value], "our own reader returns the value");
    let read = Read::parse_encoded(header).expect("another parser reads it");
    assert_eq!((read.name(), read.value()), (&*case.name, &*case.value));
    assert_eq!(read.http_only().unwrap_or(false), stored.http_only());
    assert_eq!(read.secure().unwrap_or(false), stored.secure());
    assert_eq!(read.partitioned().unwrap_or(false), stored.partitioned());
    let same_site = read.same_site().map(|same_site| match same_site {
        cookie::SameSite::Lax => SameSite::Lax,
        cookie::SameSite::Strict => SameSite::Strict,
        cookie::SameSite::None => SameSite::None,
    });
    let expected = match stored.same_site() {
        Some(SameSite::On) => Some(SameSite::Strict),
        Some(SameSite::Off) => None,
        other => other,
    };
    assert_eq!(same_site, expected);
    // The parser trims values and the leading dot of a domain.
    let path = stored.path().map(str::trim).filter(|path| !path.is_empty());
    assert_eq!(read.path().filter(|path| !path.is_empty()), path);
    let domain = stored.domain().filter(|domain| !domain.is_empty());
    assert_eq!(read.domain(), domain.map(|domain| domain.strip_prefix('.').unwrap_or(domain)));
    // The parser reads years of four digits, and moves early ones to the present century.
    if let Some(deadline) =
        stored.deadline().filter(|at| (0..253_402_300_800_000).contains(&at.millis()))
    {
        let seconds = read.expires_datetime().map(cookie::time::OffsetDateTime::unix_timestamp);
        assert_eq!(seconds, Some(deadline.millis().div_euclid(1000)));
    }
}

/// Asks npm's cookie to serialise the options that express-session would pass.
pub fn question(data: &[u8]) -> Option<Question> {
    let case = Case::read(data)?;
    let stored = case.stored();
    let same_site = stored.same_site().map(|same_site| match same_site {
        SameSite::Auto => Value::from("auto"),
        SameSite::Lax => "lax".into(),
        SameSite::Strict => "strict".into(),
        SameSite::None => "none".into(),
        SameSite::On => true.into(),
        SameSite::Off => false.into(),
    });
    Some(Question {
        ask: json!({
            "target": "set_cookie", "name": case.name, "value": case.value,
            "path": stored.path(), "domain": stored.domain(), "httpOnly": stored.http_only(),
            "secure": stored.secure(), "partitioned": stored.partitioned(), "sameSite": same_site,
            "priority": stored.priority().map(|priority| format!("{priority:?}")),
            "expires": stored.deadline().map(Timestamp::millis), "lives": !matches!(case.life, Life::Session),
        }),
        ours: ours::print(&case.name, &case.value, &stored).ok().into(),
    })
}
