//! The steps that every session layer has to take, each alone: their sum is a lower bound of its cost.

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use express_session::store::{Record, Store as _};
use express_session::{MemoryStore, SessionId, Timestamp};
use express_session_core::{Document, Keyring};
use futures_util::FutureExt as _;
use http::Extensions;

use super::{subjects, time};
use crate::{figures, view_counter};

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds of each step
    rounds: u32,
    /// How often each is taken in a round
    times: u64,
}

/// The error of a case that never happens.
const WAITS: &str = "the memory store waits";

/// A session of three members, as the cases' visitors have.
const RECORD: &str = concat!(
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"secure":false,"httpOnly":true,"path":"/"},"views":1,"#,
    r#""user":"ada.lovelace@example.com","items":["apples","pears","quinces","medlars"]}"#,
);

/// As many sessions as the visitors of the cases have.
const SESSIONS: usize = 64;

impl Args {
    /// Returns the steps, with the median of all rounds in nanoseconds.
    pub(crate) fn run(self) -> Result<Vec<(String, f64)>> {
        let (runtime, mut random) = (subjects::runtime()?, fastrand::Rng::with_seed(1));
        let (keyring, store) = (Keyring::new(["keyboard cat"])?, MemoryStore::new());
        let now = Timestamp::from_millis(1_800_000_000_000);
        let record = Record { text: RECORD.into(), deadline: None };
        let mut create =
            || runtime.block_on(view_counter::create(&store, &mut random, &record, None, now));
        let created = (0..SESSIONS).map(|_| create()).collect::<Result<Vec<_>>>()?;
        let (ids, mut revisions): (Vec<_>, Vec<_>) = created.into_iter().unzip();
        let signatures: Vec<_> = ids.iter().map(|id| keyring.sign(id)).collect();
        let (mut visitor, mut other, mut third) = (turns(), turns(), turns());
        Ok(vec![
            self.step("a signature is checked", || {
                let at = visitor();
                ensure!(keyring.verify(ids[at].as_str(), &signatures[at]));
                Ok(())
            })?,
            self.step("the clock is read", || {
                #[expect(clippy::disallowed_methods, reason = "this is what is measured")]
                black_box(SystemTime::now());
                Ok(())
            })?,
            self.step(
                "a value is put into the request's extensions and dropped with them",
                || {
                    let mut extensions = Extensions::new();
                    extensions.insert(black_box(Arc::new([0_u64; 16])));
                    black_box(&extensions);
                    Ok(())
                },
            )?,
            self.step("a record is loaded from the memory store", || {
                let loaded = store.load(&ids[other()], now);
                ensure!(loaded.now_or_never().context(WAITS)??.is_some());
                Ok(())
            })?,
            self.step("a record's text is parsed", || {
                black_box(Document::parse(Arc::clone(&record.text))?);
                Ok(())
            })?,
            self.step("the process id is read, which shows a fork", || {
                black_box(std::process::id());
                Ok(())
            })?,
            self.step("24 random bytes are read from the operating system", || {
                let mut bytes = [0; SessionId::RANDOM_BYTES];
                getrandom::fill(&mut bytes)?;
                black_box(bytes);
                Ok(())
            })?,
            self.step("a record is replaced in the memory store by compare-and-swap", || {
                let at = third();
                let saved = view_counter::save(&store, &ids[at], &record, &revisions[at], now);
                revisions[at] = saved.now_or_never().context(WAITS)??;
                Ok(())
            })?,
        ])
    }

    fn step(self, what: &str, mut take: impl FnMut() -> Result<()>) -> Result<(String, f64)> {
        let mut round = || time::timed(self.times, || (0..self.times).try_for_each(|_| take()));
        let rounds = (0..self.rounds).map(|_| round()).collect::<Result<Vec<_>>>();
        Ok((what.to_owned(), figures::median(rounds.with_context(|| what.to_owned())?)))
    }
}

/// Returns the numbers of the visitors in turn.
fn turns() -> impl FnMut() -> usize {
    let mut next = (0..SESSIONS).cycle();
    move || next.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_succeeds() {
        let steps = Args { rounds: 1, times: 200 }.run().unwrap();
        assert_eq!(steps.len(), 8);
    }
}
