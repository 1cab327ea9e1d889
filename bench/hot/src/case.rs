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
    pub const ALL: [Self; 8] = [
        Self::NoCookie,
        Self::Ignore,
        Self::Read,
        Self::Write,
        Self::New,
        Self::Forged,
        Self::Five,
        Self::Large,
    ];

    /// Returns its name in a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::NoCookie => "no cookie",
            Self::Ignore => "cookie, handler ignores the session",
            Self::Read => "reads one member",
            Self::Write => "reads and writes one member",
            Self::New => "new session",
            Self::Forged => "forged cookie",
            Self::Five => "header of 5 cookies, handler ignores the session",
            Self::Large => "2 kB of 100 members, reads one",
        }
    }

    /// Returns its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCookie => "no-cookie",
            Self::Ignore => "ignore",
            Self::Read => "read",
            Self::Write => "write",
            Self::New => "new",
            Self::Forged => "forged",
            Self::Five => "five-cookies",
            Self::Large => "large",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    pub fn work(self) -> Work {
        match self {
            Self::NoCookie | Self::Ignore | Self::Forged | Self::Five => Work::Ignore,
            Self::Read => Work::Read,
            Self::Write => Work::Write,
            Self::New => Work::Insert,
            Self::Large => Work::ReadOfMany,
        }
    }

    /// Returns the work that makes the sessions of its visitors, if they have any.
    pub fn seed(self) -> Option<Work> {
        match self {
            Self::NoCookie | Self::New => None,
            Self::Ignore | Self::Read | Self::Write | Self::Forged | Self::Five => Some(Work::Seed),
            Self::Large => Some(Work::SeedMany),
        }
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
