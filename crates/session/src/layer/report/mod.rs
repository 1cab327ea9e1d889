//! The report of a layer: which requirements of ASVS, WSTG and NIST it meets as it is configured.
//!
//! ```
//! use express_session::SessionLayer;
//! use express_session::report::Standard;
//!
//! // 32 random bytes, from the environment:
//! # let secret: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(167) ^ 91).collect();
//! let report = SessionLayer::hardened(secret).report();
//! println!("{report}");
//! // In a test, so that a weaker option fails it:
//! assert!(report.fail_under(Standard::Asvs, 24).is_ok());
//! ```

mod facts;
mod requirements;

use std::error::Error;
use std::fmt;

use serde::Serialize;

pub(super) use self::facts::{Facts, Prefix};
use self::requirements::REQUIREMENTS;

/// A standard with requirements for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum Standard {
    /// OWASP ASVS 5.0: V7, session management, and V3.3, cookies. 24 requirements.
    #[serde(rename = "OWASP ASVS 5.0")]
    Asvs,
    /// OWASP Web Security Testing Guide: the tests of session management but for 10, which is about JSON Web Tokens.
    #[serde(rename = "OWASP WSTG")]
    Wstg,
    /// NIST SP 800-63B-4: §5, session management, and the timeouts of §2.2.3, for assurance level 2.
    #[serde(rename = "NIST SP 800-63B-4")]
    Nist,
}

/// The answer of a layer to a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// The layer meets it, as it is configured.
    Met,
    /// The application meets it, by what the row names.
    Application,
    /// It is not met: the row names the option to set.
    Unmet,
}

/// A requirement, and how it is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The standard.
    pub standard: Standard,
    /// Its number there.
    pub id: &'static str,
    /// The level of the ASVS that begins to ask for it; `None` in the other standards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// The requirement in short, in words of this library.
    pub requirement: &'static str,
    /// The layer's answer.
    pub status: Status,
    /// The option or the call that decides.
    pub by: &'static str,
}

/// The requirements of all standards, and how a layer meets them: [`SessionLayer::report`](crate::SessionLayer::report).
///
/// `Display` prints a table, [`to_json`](Self::to_json) the same for programs. It has no secret.
///
/// ```
/// use express_session::SessionLayer;
/// use express_session::report::{Standard, Status};
///
/// let report = SessionLayer::new("keyboard cat").report();
/// let idle = report.rows().find(|row| row.id == "7.3.1").expect("ASVS has it");
/// assert_eq!((idle.status, idle.by), (Status::Unmet, "`SessionLayer::idle_timeout`"));
/// assert!(report.to_string().contains("7.3.1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(facts: &Facts) -> Self {
        Self { rows: REQUIREMENTS.iter().map(|requirement| requirement.judge(facts)).collect() }
    }

    /// Returns the rows, standard by standard.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Returns how many requirements of a standard are met, by the layer or by what it names for the application, and how
    /// many there are.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// use express_session::report::Standard;
    ///
    /// let report = SessionLayer::new("keyboard cat").report();
    /// let (met, all) = report.count(Standard::Asvs);
    /// assert!(met < all && all == 24);
    /// ```
    #[must_use]
    pub fn count(&self, standard: Standard) -> (usize, usize) {
        let of_standard = || self.rows().filter(|row| row.standard == standard);
        let met = of_standard().filter(|row| row.status != Status::Unmet).count();
        (met, of_standard().count())
    }

    /// Fails if fewer requirements of a standard are met than that: for a test of the application, which a weaker option
    /// makes fail.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// use express_session::report::Standard;
    ///
    /// let layer = SessionLayer::new("keyboard cat");
    /// let failed = layer.report().fail_under(Standard::Asvs, 24).unwrap_err();
    /// assert!(failed.to_string().contains("7.3.2 (`SessionLayer::absolute_timeout`)"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TooFew`] lists the requirements that are not met, each with what to set.
    pub fn fail_under(&self, standard: Standard, requirements: usize) -> Result<(), TooFew> {
        let (met, _) = self.count(standard);
        if met >= requirements {
            return Ok(());
        }
        let is_unmet = |row: &&Row| row.standard == standard && row.status == Status::Unmet;
        let unmet = self.rows().filter(is_unmet).copied().collect();
        Err(TooFew { met, asked: requirements, unmet })
    }

    /// Returns the rows as JSON: `{"rows":[{"standard":"OWASP ASVS 5.0","id":"7.1.1","level":2,"requirement":"…",
    /// "status":"met","by":"…"},…]}`.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// let json = SessionLayer::new("keyboard cat").report().to_json();
    /// let report: serde_json::Value = serde_json::from_str(&json)?;
    /// assert_eq!(report["rows"][0]["standard"], "OWASP ASVS 5.0");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        // A list of texts and numbers can always be serialised.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The table, with a line of counts for each standard.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for standard in [Standard::Asvs, Standard::Wstg, Standard::Nist] {
            let (met, all) = self.count(standard);
            writeln!(f, "{standard}: {met} of {all}")?;
            for row in self.rows().filter(|row| row.standard == standard) {
                writeln!(f, "  {:<11} {:<7} {}: {}", row.status, row.id, row.requirement, row.by)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asvs => "OWASP ASVS 5.0",
            Self::Wstg => "OWASP WSTG",
            Self::Nist => "NIST SP 800-63B-4",
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Met => "met",
            Self::Application => "application",
            Self::Unmet => "UNMET",
        })
    }
}

/// A layer meets fewer requirements than [`Report::fail_under`] asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooFew {
    met: usize,
    asked: usize,
    unmet: Vec<Row>,
}

impl TooFew {
    /// Returns the requirements that are not met.
    pub fn unmet(&self) -> impl Iterator<Item = &Row> {
        self.unmet.iter()
    }
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} requirements are met; not", self.met, self.asked)?;
        for (nth, row) in self.unmet.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            write!(f, "{comma} {} ({})", row.id, row.by)?;
        }
        Ok(())
    }
}

impl Error for TooFew {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use express_session_core::Departures;
    use express_session_core::cookie::{Cookie, SameSite, Secure};

    use super::*;
    use crate::{AtLimit, SessionLayer};

    const STANDARDS: [Standard; 3] = [Standard::Asvs, Standard::Wstg, Standard::Nist];

    fn hardened() -> SessionLayer {
        let secret: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(167) ^ 91).collect();
        SessionLayer::hardened(secret)
    }

    fn unmet(layer: &SessionLayer) -> Vec<&'static str> {
        let report = layer.report();
        report.rows().filter(|row| row.status == Status::Unmet).map(|row| row.id).collect()
    }

    #[test]
    fn every_requirement_is_there_once() {
        let count = |standard| {
            let of_standard = REQUIREMENTS.iter().filter(|row| row.standard == standard);
            let mut ids: Vec<_> = of_standard.map(|row| row.id).collect();
            let all = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), all, "{standard}");
            all
        };
        assert_eq!(STANDARDS.map(count), [24, 10, 14]);
    }

    #[test]
    fn each_option_that_is_weaker_than_the_preset_is_seen() {
        const DAY: Duration = Duration::from_secs(86_400);
        let lax = || Cookie::new().secure(true).same_site(SameSite::Lax);
        let departures = |departures| hardened().departures(departures);
        for (layer, ids) in [
            (hardened(), &[][..]),
            (hardened().max_sessions(5, AtLimit::Refuse), &[]),
            (hardened().idle_timeout(DAY), &["2.2.3"]),
            (hardened().absolute_timeout(2 * DAY), &["2.2.3"]),
            (hardened().refuse_weak_secrets(false), &["7.2.3", "SESS-01", "5.1-1"]),
            (hardened().save_uninitialized(true), &["7.6.2"]),
            (hardened().key_per_name(false), &["SESS-08"]),
            (hardened().name("__Secure-sid"), &["3.3.3", "5.1.1-2"]),
            (hardened().name("sid"), &["3.3.1", "3.3.3", "SESS-09", "5.1.1-2"]),
            (hardened().cookie(lax().http_only(false)), &["3.3.4", "SESS-02", "5.1.1-3"]),
            (
                hardened().cookie(lax().secure(Secure::Auto)),
                &["3.3.1", "SESS-02", "SESS-09", "5.1-4", "5.1-6", "5.1.1-1"],
            ),
            (hardened().cookie(Cookie::new().secure(true)), &["3.3.2", "SESS-02", "5.1.1-5"]),
            (hardened().cookie(lax().same_site(SameSite::Auto)), &["3.3.2", "SESS-02", "5.1.1-5"]),
            (departures(Departures::all().destroy_is_final(false)), &["7.4.1", "SESS-06", "5.1-3"]),
            (departures(Departures::all().cache_headers(false)), &["SESS-04"]),
        ] {
            assert_eq!(unmet(&layer), ids);
        }
        let plain = unmet(&SessionLayer::new("keyboard cat"));
        let timeouts = ["7.1.1", "7.3.1", "7.3.2", "SESS-07", "2.2.3", "5.1-5"];
        let logins = ["7.4.2", "7.4.3", "7.4.5", "7.5.1", "7.5.2", "7.5.3", "7.6.1", "SESS-11"];
        assert!(timeouts.iter().chain(&logins).all(|id| plain.contains(id)), "{plain:?}");
        // Metadata alone is enough for what belongs to a login.
        let noted = unmet(&SessionLayer::new("keyboard cat").metadata(true));
        assert!(timeouts.iter().all(|id| noted.contains(id)), "{noted:?}");
        assert!(logins.iter().all(|id| !noted.contains(id)), "{noted:?}");
        // A renewal turns them on.
        let renewed =
            unmet(&SessionLayer::new("keyboard cat").renew_after(Duration::from_secs(900)));
        assert_eq!(renewed, noted);
    }

    #[test]
    fn limit_of_sessions_is_met_by_the_layer_and_without_it_left_to_the_application() {
        let status = |layer: &SessionLayer| {
            let report = layer.report();
            report.rows().find(|row| row.id == "SESS-11").map(|row| row.status)
        };
        assert_eq!(status(&hardened()), Some(Status::Application));
        let limited = hardened().max_sessions(5, AtLimit::Refuse);
        assert_eq!(status(&limited), Some(Status::Met));
    }

    #[test]
    fn attribute_that_a_function_of_the_application_sets_is_left_to_it() {
        let layer = hardened().genid(|_| "id".to_owned()).cookie_with(|_| Cookie::new());
        let report = layer.report();
        let of_application =
            |id| report.rows().any(|row| row.id == id && row.status == Status::Application);
        for id in ["7.2.3", "3.3.1", "3.3.2", "3.3.4", "3.3.5", "5.1.1-1", "5.1.1-6", "SESS-02"] {
            assert!(of_application(id), "{id}");
        }
    }

    #[test]
    fn table_and_json_have_every_row_and_the_counts() {
        let report = hardened().report();
        let (text, json) = (report.to_string(), report.to_json());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["rows"].as_array().unwrap().len(), REQUIREMENTS.len());
        for (row, json) in report.rows().zip(json["rows"].as_array().unwrap()) {
            assert!(text.contains(&format!(" {:<7} {}: {}\n", row.id, row.requirement, row.by)));
            assert_eq!((&json["id"], &json["by"]), (&row.id.into(), &row.by.into()));
            let status = json["status"].as_str().unwrap();
            assert_eq!(status, row.status.to_string().to_lowercase());
        }
        for standard in STANDARDS {
            let (met, all) = report.count(standard);
            assert!(text.contains(&format!("{standard}: {met} of {all}\n")), "{text}");
            assert!(report.fail_under(standard, met).is_ok());
            let failed = report.fail_under(standard, met + 1).unwrap_err();
            assert_eq!(failed.unmet().count(), all - met);
        }
    }
}
