//! The requests that are measured.

/// A kind of request, with the work of its handler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Case {
    /// No cookie, and the handler ignores the session.
    NoCookie,
    /// A good cookie, and the handler ignores the session.
    Ignore,
    /// A good cookie, and the handler reads one member.
    Read,
    /// A good cookie, and the handler reads one member and writes it.
    Write,
    /// No cookie, and the handler writes a member.
    New,
    /// A cookie with a wrong signature, and the handler ignores the session.
    Forged,
    /// A good cookie in the middle of five, and the handler ignores the session.
    Five,
    /// A good cookie of a session of 100 members and 2 kB, and the handler reads one.
    Large,
}

/// The work of a handler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Work {
    /// Does not ask for the session.
    Ignore,
    Read,
    Write,
    /// Writes the first member of a new session.
    Insert,
    ReadOfMany,
    /// Makes a session of three members, of some 150 bytes.
    Seed,
    /// Makes a session of 100 members, of some 2,000 bytes.
    SeedMany,
    /// Answers with the member that [`Work::Write`] writes. For checks, not for figures.
    Tell,
}

impl Case {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 8] = {
        use Case::{Five, Forged, Ignore, Large, New, NoCookie, Read, Write};
        [NoCookie, Ignore, Read, Write, New, Forged, Five, Large]
    };

    /// Returns its name on a command line, its title in a table, the work of its handler, and the work that makes the
    /// sessions of its visitors, if they have any.
    fn facts(self) -> (&'static str, &'static str, Work, Option<Work>) {
        let [seed, seed_many] = [Some(Work::Seed), Some(Work::SeedMany)];
        let five = "header of 5 cookies, handler ignores the session";
        match self {
            Self::NoCookie => ("no-cookie", "no cookie", Work::Ignore, None),
            Self::Ignore => ("ignore", "cookie, handler ignores the session", Work::Ignore, seed),
            Self::Read => ("read", "reads one member", Work::Read, seed),
            Self::Write => ("write", "reads and writes one member", Work::Write, seed),
            Self::New => ("new", "new session", Work::Insert, None),
            Self::Forged => ("forged", "forged cookie", Work::Ignore, seed),
            Self::Five => ("five-cookies", five, Work::Ignore, seed),
            Self::Large => ("large", "2 kB of 100 members, reads one", Work::ReadOfMany, seed_many),
        }
    }

    pub fn name(self) -> &'static str {
        self.facts().0
    }

    pub fn title(self) -> &'static str {
        self.facts().1
    }

    pub fn work(self) -> Work {
        self.facts().2
    }

    pub fn seed(self) -> Option<Work> {
        self.facts().3
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    /// Checks whether a library may store something for every request, so that each round needs a new site.
    pub fn fills_the_store(self) -> bool {
        matches!(self, Self::NoCookie | Self::New | Self::Forged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_found_by_its_name() {
        for case in Case::ALL {
            assert_eq!(Case::of_name(case.name()), Some(case));
        }
        assert_eq!(Case::of_name("none"), None);
    }
}
