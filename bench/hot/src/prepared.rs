//! A case, ready to be measured.

use anyhow::{Context as _, Result, ensure};
use http::HeaderValue;
use tokio::runtime::{Builder, Runtime};

use crate::{Case, Driver, Site, Work};

/// Returns the runtime of every site: one thread, with the timer that a server has.
pub fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// The number of sessions that take turns.
const VISITORS: usize = 64;

/// The requests before the measurement: they warm caches and allocate everything that is allocated once.
const WARM_UP: u64 = 3 * VISITORS as u64;

/// A case on a site whose visitors have their sessions.
pub struct Prepared {
    driver: Box<dyn Driver>,
    cookies: Vec<HeaderValue>,
    /// The first visitor's cookie, as the site set it.
    genuine: Option<HeaderValue>,
    teller: Box<dyn Driver>,
    case: Case,
    /// The number of requests of the first visitor.
    sent: u64,
}

impl Prepared {
    /// Makes the sessions of the visitors, and sends the first requests. On a site without sessions they send a cookie
    /// of the same length.
    pub fn new(case: Case, site: &dyn Site, runtime: &Runtime) -> Result<Self> {
        let mut given = Vec::new();
        if let Some(seed) = case.seed() {
            let mut seeder = site.driver(seed);
            for _ in 0..VISITORS {
                given.push(seeder.ask(runtime, None).context("making a session")?.cookie);
            }
        }
        let genuine = given.first().map(HeaderValue::try_from).transpose()?;
        let headers = given.into_iter().map(|cookie| header(case, site, cookie));
        let cookies = headers.collect::<Result<_>>()?;
        let (driver, teller) = (site.driver(case.work()), site.driver(Work::Tell));
        let mut prepared = Self { driver, cookies, genuine, teller, case, sent: 0 };
        prepared.run(runtime, WARM_UP)?;
        Ok(prepared)
    }

    pub fn run(&mut self, runtime: &Runtime, requests: u64) -> Result<()> {
        self.sent += requests.div_ceil(self.cookies.len().max(1) as u64);
        self.driver.run(runtime, &self.cookies, requests)
    }

    /// Checks that a session library did the work of the case.
    pub fn check(&mut self, runtime: &Runtime) -> Result<()> {
        let expected = match self.case {
            Case::NoCookie | Case::New | Case::Forged | Case::Large => "none".to_owned(),
            Case::Ignore | Case::Read | Case::Five => "1".to_owned(),
            Case::Write => (1 + self.sent).to_string(),
        };
        let Self { driver, cookies, genuine, teller, case, .. } = self;
        let mut tells = |cookie: Option<&HeaderValue>, expected: &str| {
            let told = teller.ask(runtime, cookie)?.text;
            ensure!(told == expected, "{case:?}: the session has {told}, not {expected}");
            Ok(())
        };
        tells(cookies.first(), &expected)?;
        let reply = driver.ask(runtime, cookies.first())?;
        if *case == Case::New {
            // The new session is in the store.
            tells(Some(&HeaderValue::try_from(reply.cookie)?), "1")?;
        }
        if *case == Case::Forged {
            // The cookie is refused only for the exchanged character.
            tells(genuine.as_ref(), "1")?;
        }
        Ok(())
    }
}

/// Returns the header of a visitor with this cookie.
fn header(case: Case, site: &dyn Site, mut cookie: String) -> Result<HeaderValue> {
    if cookie.is_empty() {
        cookie = UNKNOWN.to_owned();
    }
    if case == Case::Forged {
        cookie = site.forged(&cookie);
    } else if case == Case::Five {
        cookie = format!(
            "_ga=GA1.2.1234567890.1700000000; theme=dark; {cookie}; lang=en-GB; consent=yes%3B1"
        );
    }
    Ok(HeaderValue::try_from(cookie)?)
}

/// A cookie for a site without sessions, as long as one of ours.
const UNKNOWN: &str = "connect.sid=s%3AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Returns a text with one character exchanged: the first alphanumeric one from this byte on, outside of escapes.
pub(crate) fn alter(text: &str, from: usize) -> String {
    let escaped =
        |index: usize| text[..index].ends_with('%') || text[..index.max(1) - 1].ends_with('%');
    let mut index = from;
    while !text[index..].starts_with(|c: char| c.is_ascii_alphanumeric()) || escaped(index) {
        index += 1;
    }
    let other = if text[index..].starts_with('x') { "y" } else { "x" };
    format!("{}{other}{}", &text[..index], &text[index + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bare, Ours};

    fn checked(case: Case, site: &dyn Site) -> Result<()> {
        let runtime = runtime()?;
        Prepared::new(case, site, &runtime)?.check(&runtime)
    }

    #[test]
    fn site_without_sessions_fails_in_every_case() {
        for case in Case::ALL {
            assert!(checked(case, &Bare).is_err(), "{case:?}");
        }
    }

    /// Ours, with a handler that does nothing.
    struct Idle(Ours);

    impl Site for Idle {
        fn driver(&self, work: Work) -> Box<dyn Driver> {
            let idle = matches!(work, Work::Write | Work::Insert);
            self.0.driver(if idle { Work::Ignore } else { work })
        }

        fn forged(&self, cookie: &str) -> String {
            // The cookie stays genuine.
            cookie.to_owned()
        }
    }

    #[test]
    fn site_that_does_not_do_its_work_fails() {
        for case in [Case::Write, Case::New, Case::Forged] {
            assert!(checked(case, &Ours::repeatable().unwrap()).is_ok(), "{case:?}");
            assert!(checked(case, &Idle(Ours::repeatable().unwrap())).is_err(), "{case:?}");
        }
    }

    #[test]
    fn one_character_is_exchanged_outside_of_escapes() {
        assert_eq!(alter("abc", 1), "axc");
        assert_eq!(alter("axc", 1), "ayc");
        assert_eq!(alter("a%2Bc", 1), "a%2Bx");
        assert_eq!(alter("a.=c", 1), "a.=x");
    }
}
