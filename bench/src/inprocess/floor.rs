//! What every session layer has to do, each step alone: no cost gets below their sum.

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use express_session::store::{Created, Record, Revision, Store as _, Updated};
use express_session::{MemoryStore, SessionId, Timestamp};
use express_session_core::{Document, Keyring};
use futures_util::FutureExt as _;
use http::Extensions;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::{subjects, time};
use crate::figures;

/// What a child does: it measures the steps, on the core that it was started on.
#[derive(Clone, Copy, Debug, Args)]
pub struct Floor {
    /// How many rounds of each step
    pub rounds: u32,
    /// How often each is taken in a round
    pub times: u64,
}

/// What one step takes.
#[derive(Debug, Deserialize, Serialize)]
pub struct Step {
    /// What is done.
    pub what: String,
    /// Nanoseconds, the median of all rounds.
    pub nanoseconds: f64,
}

/// A memory store never does.
const WAITS: &str = "the memory store waits";

/// A session of three members, as the cases' visitors have.
const RECORD: &str = concat!(
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"secure":false,"httpOnly":true,"path":"/"},"views":1,"#,
    r#""user":"ada.lovelace@example.com","items":["apples","pears","quinces","medlars"]}"#,
);

/// As many sessions as the visitors of the cases have.
const SESSIONS: usize = 64;

impl Floor {
    /// Measures every step.
    ///
    /// # Errors
    ///
    /// A step that does not do what it says.
    pub fn run(self) -> Result<Vec<Step>> {
        let runtime = subjects::runtime()?;
        let visitors = Visitors::new(&runtime)?;
        let mut next = (0..SESSIONS).cycle();
        let mut visitor = move || next.next().unwrap_or_default();
        let mut other = visitor.clone();
        let mut third = visitor.clone();
        let mut revisions = visitors.revisions.clone();
        Ok(vec![
            self.step("a signature is checked", || {
                let at = visitor();
                ensure!(
                    visitors.keyring.verify(visitors.ids[at].as_str(), &visitors.signatures[at])
                );
                Ok(())
            })?,
            self.step("the time is asked for", || {
                #[expect(clippy::disallowed_methods, reason = "this is what is measured")]
                black_box(SystemTime::now());
                Ok(())
            })?,
            self.step(
                "something is put into the request's extensions, and goes with them",
                || {
                    let mut extensions = Extensions::new();
                    extensions.insert(black_box(Arc::new([0_u64; 16])));
                    black_box(&extensions);
                    Ok(())
                },
            )?,
            self.step("a record is found in the memory store, and its end moved", || {
                let renewed = visitors.store.load_and_touch(&visitors.ids[other()], visitors.now);
                ensure!(renewed.now_or_never().context(WAITS)??.is_some());
                Ok(())
            })?,
            self.step("a record's text is read", || {
                black_box(Document::parse(Arc::clone(&visitors.record.text))?);
                Ok(())
            })?,
            self.step("the process's number is asked for, which tells that it was forked", || {
                black_box(std::process::id());
                Ok(())
            })?,
            self.step("24 random bytes are asked of the operating system", || {
                let mut bytes = [0; SessionId::RANDOM_BYTES];
                getrandom::fill(&mut bytes)?;
                black_box(bytes);
                Ok(())
            })?,
            self.step(
                "a record is replaced in the memory store, if it is the one expected",
                || {
                    let at = third();
                    let (id, record) = (&visitors.ids[at], &visitors.record);
                    let updated = visitors.store.update(id, record, revisions[at], visitors.now);
                    let updated = updated.now_or_never().context(WAITS)??;
                    let Updated::Done(revision) = updated else { bail!("another was there") };
                    revisions[at] = revision;
                    Ok(())
                },
            )?,
        ])
    }

    fn step(self, what: &str, mut take: impl FnMut() -> Result<()>) -> Result<Step> {
        let mut round = || {
            let took = time::timed(|| (0..self.times).try_for_each(|_| take()));
            took.map(|took| time::per_request(took, self.times))
        };
        let rounds = (0..self.rounds).map(|_| round()).collect::<Result<Vec<_>>>();
        let rounds = rounds.with_context(|| what.to_owned())?;
        Ok(Step { what: what.to_owned(), nanoseconds: figures::median(rounds) })
    }
}

/// Whose sessions they are.
struct Visitors {
    keyring: Keyring,
    ids: Vec<SessionId>,
    signatures: Vec<String>,
    store: MemoryStore,
    record: Record,
    revisions: Vec<Revision>,
    now: Timestamp,
}

impl Visitors {
    fn new(runtime: &Runtime) -> Result<Self> {
        let keyring = Keyring::new(["keyboard cat"])?;
        let now = Timestamp::from_millis(1_800_000_000_000);
        let record = Record { text: RECORD.into(), deadline: None };
        let store = MemoryStore::new();
        let ids: Vec<_> = (0..SESSIONS)
            .map(|number| SessionId::from_random([u8::try_from(number).unwrap_or_default(); 24]))
            .collect();
        let signatures = ids.iter().map(|id| keyring.sign(id)).collect();
        let create = async |id| match store.create(id, &record, now).await? {
            Created::Done(revision) => Ok(revision),
            Created::Taken => bail!("an id was drawn twice"),
        };
        let revisions =
            ids.iter().map(|id| runtime.block_on(create(id))).collect::<Result<Vec<_>>>()?;
        Ok(Self { keyring, ids, signatures, store, record, revisions, now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_does_what_it_says() {
        let steps = Floor { rounds: 1, times: 200 }.run().unwrap();
        assert_eq!(steps.len(), 8);
    }
}
