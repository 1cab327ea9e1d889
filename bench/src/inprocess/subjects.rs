//! The libraries that are measured.

use anyhow::{Context as _, Result};
pub use bench_hot::runtime;
use bench_hot::{Bare, Case, Ours, Prepared, Site};
use tokio::runtime::Runtime;
use tower_sessions::cookie::Key;

use super::{actix, peers};
use crate::minimal_layer::MinimalLayer;

/// A library with its settings, or a service without sessions.
#[derive(Debug)]
pub struct Subject {
    /// Its name in a table.
    pub title: &'static str,
    /// Its name on a command line.
    pub name: &'static str,
    /// The subject without sessions that its cost is over; `None` if this is one.
    pub bare: Option<&'static str>,
    /// How many requests are enough where each is counted.
    pub requests: u64,
    open: fn(&Runtime) -> Result<Box<dyn Site>>,
}

/// All of them. The first is ours.
pub const ALL: &[Subject] = &[
    Subject::new("ours", "ours", BARE, |_| Ok(Box::new(Ours::new()?))),
    Subject::new("the minimal layer", "minimal-layer", BARE, |_| {
        Ok(Box::new(MinimalLayer::new()?))
    }),
    Subject::new("tower-sessions signed", "tower-sessions-signed", BARE, |_| {
        Ok(peers::tower_sessions(Some(Key::generate())))
    }),
    Subject::new("tower-sessions plain", "tower-sessions-plain", BARE, |_| {
        Ok(peers::tower_sessions(None))
    }),
    Subject::new("actix-session signed", "actix-session-signed", Some("bare-actix"), |runtime| {
        Ok(actix::with_sessions(runtime))
    }),
    Subject {
        requests: 200,
        ..Subject::new("axum_session signed", "axum-session-signed", BARE, peers::axum_session)
    },
    Subject::new("bare tower service", "bare", None, |_| Ok(Box::new(Bare))),
    Subject::new("bare actix application", "bare-actix", None, |runtime| Ok(actix::bare(runtime))),
];

const BARE: Option<&str> = Some("bare");

impl Subject {
    const fn new(
        title: &'static str,
        name: &'static str,
        bare: Option<&'static str>,
        open: fn(&Runtime) -> Result<Box<dyn Site>>,
    ) -> Self {
        Self { title, name, bare, requests: 2000, open }
    }

    /// Returns the subject of that name.
    pub fn of_name(name: &str) -> Result<&'static Self> {
        let found = ALL.iter().find(|subject| subject.name == name);
        found.with_context(|| format!("no subject is called {name}"))
    }

    /// Prepares a case on a new site.
    pub fn prepare(&self, case: Case, runtime: &Runtime) -> Result<Prepared> {
        let site = (self.open)(runtime)?;
        let prepared = Prepared::new(case, &*site, runtime);
        prepared.with_context(|| format!("{}, {}", self.title, case.title()))
    }

    /// Checks that it does the work of the case, unless it has no sessions.
    pub fn check(&self, case: Case, prepared: &mut Prepared, runtime: &Runtime) -> Result<()> {
        if self.bare.is_none() {
            return Ok(());
        }
        let checked = prepared.check(runtime);
        checked.with_context(|| format!("{}, {}", self.title, case.title()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_does_the_work_of_every_case() {
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
