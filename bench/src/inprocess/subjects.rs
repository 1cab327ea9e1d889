//! Whose sessions are measured.

use anyhow::{Context as _, Result};
use bench_hot::Case;
use bench_hot::{Bare, Ours, Prepared, Site};
use tokio::runtime::{Builder, Runtime};

use super::{actix, axum_session, tower_sessions};
use crate::least::Least;

/// A library with its settings, or none.
#[derive(Debug)]
pub struct Subject {
    /// What it is called in a table.
    pub title: &'static str,
    /// What it is called on a command line.
    pub name: &'static str,
    /// The subject without sessions that its cost is over; `None` of such a one.
    pub bare: Option<&'static str>,
    /// How many requests are enough where each is counted.
    pub requests: u64,
    open: fn(&Runtime) -> Result<Box<dyn Site>>,
}

/// All of them. The first is ours.
pub const ALL: &[Subject] = &[
    Subject {
        title: "ours",
        name: "ours",
        bare: Some("bare"),
        requests: 2000,
        open: |_| Ok(Box::new(Ours::new()?)),
    },
    Subject {
        title: "the least layer",
        name: "least",
        bare: Some("bare"),
        requests: 2000,
        open: |_| Ok(Box::new(Least::new()?)),
    },
    Subject {
        title: "tower-sessions signed",
        name: "tower-sessions-signed",
        bare: Some("bare"),
        requests: 2000,
        open: |_| Ok(Box::new(tower_sessions::TowerSessions::signed())),
    },
    Subject {
        title: "tower-sessions plain",
        name: "tower-sessions-plain",
        bare: Some("bare"),
        requests: 2000,
        open: |_| Ok(Box::new(tower_sessions::TowerSessions::plain())),
    },
    Subject {
        title: "actix-session signed",
        name: "actix-session-signed",
        bare: Some("bare-actix"),
        requests: 2000,
        open: |runtime| Ok(Box::new(actix::Actix::with_sessions(runtime))),
    },
    Subject {
        title: "axum_session signed",
        name: "axum-session-signed",
        bare: Some("bare"),
        requests: 200,
        open: |runtime| Ok(Box::new(axum_session::AxumSession::signed(runtime)?)),
    },
    Subject {
        title: "bare tower service",
        name: "bare",
        bare: None,
        requests: 2000,
        open: |_| Ok(Box::new(Bare)),
    },
    Subject {
        title: "bare actix application",
        name: "bare-actix",
        bare: None,
        requests: 2000,
        open: |runtime| Ok(Box::new(actix::Actix::bare(runtime))),
    },
];

impl Subject {
    /// The subject of that name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn of_name(name: &str) -> Result<&'static Self> {
        let found = ALL.iter().find(|subject| subject.name == name);
        found.with_context(|| format!("no subject is called {name}"))
    }

    /// A case on a new site.
    ///
    /// # Errors
    ///
    /// A site that does not do its work.
    pub fn prepare(&self, case: Case, runtime: &Runtime) -> Result<Prepared> {
        let site = (self.open)(runtime)?;
        let prepared = Prepared::new(case, &*site, runtime);
        prepared.with_context(|| format!("{}, {}", self.title, case.title()))
    }

    /// Makes sure that it does what the case is about, unless it has no sessions.
    ///
    /// # Errors
    ///
    /// Says what it did instead.
    pub fn check(&self, case: Case, prepared: &mut Prepared, runtime: &Runtime) -> Result<()> {
        if self.bare.is_none() {
            return Ok(());
        }
        let checked = prepared.check(runtime);
        checked.with_context(|| format!("{}, {}", self.title, case.title()))
    }
}

/// What every subject runs on: one thread, with the timer that a server has.
///
/// # Errors
///
/// The system's.
pub fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_does_what_every_case_is_about() {
        let runtime = runtime().unwrap();
        for subject in ALL {
            for case in Case::ALL {
                let mut prepared = subject.prepare(case, &runtime).unwrap();
                prepared.run(&runtime, 10).unwrap();
                subject.check(case, &mut prepared, &runtime).unwrap();
            }
        }
    }

    #[test]
    fn every_cost_is_over_a_subject_without_sessions() {
        for bare in ALL.iter().filter_map(|subject| subject.bare) {
            assert!(Subject::of_name(bare).unwrap().bare.is_none());
        }
    }
}
