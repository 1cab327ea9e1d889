//! Times of our memory store's calls, during a sweep of expired sessions and without one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use express_session::store::{Admin as _, Record, Revision, Store as _};
use express_session::{MemoryStore, SessionId, Timestamp};
use fastrand::Rng;
use hdrhistogram::Histogram;
use serde_json::json;
use thousands::Separable as _;

use crate::plot::{Plot, Series};
use crate::process::{self, Options};
use crate::report::{Row, Section, Table, Target, cells, figure};
use crate::{machine, view_counter};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many sessions stay
    live: usize,
    /// How many expire together
    expired: usize,
    /// How often each is measured
    rounds: usize,
}

/// The percentiles of each kind of call in nanoseconds, and the number of calls.
type Found = BTreeMap<String, BTreeMap<String, u64>>;

/// The percentiles, with their place on the horizontal axis of the plot: one call of so many takes longer.
const SHARES: [(&str, f64); 4] = [("p50", 2.0), ("p90", 10.0), ("p99", 100.0), ("p99.9", 1000.0)];

/// Expired sessions are removed when their slice of time, of 16 s, is past.
const PAST: Duration = Duration::from_secs(40);

/// A round is short enough that the sweep outlasts it: a call looks at eight sessions.
const EXPIRED_FOR_A_CALL: usize = 10;

impl Args {
    pub(crate) async fn run(&self) -> Result<Found> {
        let mut random = Rng::with_seed(1);
        let (first, mut now) = (view_counter::record().await?, machine::long_ago());
        let mut site = Site { store: MemoryStore::new(), live: Vec::new() };
        let deadline = Some(now.saturating_add(Duration::from_secs(20 * 60 * 60)));
        for _ in 0..self.live {
            let made = view_counter::create(&site.store, &mut random, &first, deadline, now);
            site.live.push(made.await?);
        }
        let calls = self.expired / EXPIRED_FOR_A_CALL;
        let (mut calm, mut sweeping) = (Times::new()?, Times::new()?);
        for _ in 0..self.rounds {
            now = now.saturating_add(PAST);
            site.measure(calls, &mut random, &mut calm, now).await?;

            let soon = Some(now.saturating_add(Duration::from_millis(1)));
            for _ in 0..self.expired {
                view_counter::create(&site.store, &mut random, &first, soon, now).await?;
            }
            now = now.saturating_add(PAST);
            site.measure(calls, &mut random, &mut sweeping, now).await?;
            let rest = site.store.purge(usize::MAX, now).await?;
            ensure!(rest > 0, "the sweep ended before the calls");
        }
        let all = [
            ("load", calm.load),
            ("load, sweeping", sweeping.load),
            ("save", calm.save),
            ("save, sweeping", sweeping.save),
        ];
        all.into_iter().map(|(name, times)| Ok((name.to_owned(), percentiles(&times)?))).collect()
    }
}

struct Site {
    store: MemoryStore,
    live: Vec<(SessionId, Revision)>,
}

/// The times of the calls, in nanoseconds.
struct Times {
    load: Histogram<u64>,
    save: Histogram<u64>,
}

impl Times {
    fn new() -> Result<Self> {
        Ok(Self { load: Histogram::new(3)?, save: Histogram::new(3)? })
    }
}

impl Site {
    /// Loads a session and saves another, so many times.
    async fn measure(
        &mut self,
        calls: usize,
        random: &mut Rng,
        times: &mut Times,
        now: Timestamp,
    ) -> Result<()> {
        for call in 0..calls / 2 {
            let (id, _) = &self.live[random.usize(..self.live.len())];
            let start = machine::instant();
            let loaded = self.store.load(id, now).await;
            times.load.record(start.elapsed().as_nanos() as u64)?;
            let loaded = loaded?.context("a session is missing")?;

            let at = random.usize(..self.live.len());
            let (id, revision) = &mut self.live[at];
            let text = view_counter::text(&loaded.record, call as u64).into();
            let record = Record { text, deadline: loaded.record.deadline };
            let start = machine::instant();
            let saved = view_counter::save(&self.store, id, &record, revision, now).await;
            times.save.record(start.elapsed().as_nanos() as u64)?;
            *revision = saved?;
        }
        Ok(())
    }
}

fn percentiles(times: &Histogram<u64>) -> Result<BTreeMap<String, u64>> {
    ensure!(!times.is_empty(), "there were no calls");
    let figures =
        SHARES.map(|(name, of)| (name.to_owned(), times.value_at_quantile(1.0 - 1.0 / of)));
    Ok(figures.into_iter().chain([("calls".to_owned(), times.len())]).collect())
}

pub(super) fn section(options: Options) -> Result<Section> {
    let (live, expired, rounds) =
        if options.quick { ("100000", "1000000", "1") } else { ("1000000", "1000000", "5") };
    let found: Found = process::found(&["latency", live, expired, rounds])?;
    let lines = found.iter().map(|(name, times)| {
        (name.as_str(), SHARES.map(|(share, calls)| (calls, times[share] as f64)).to_vec())
    });
    let lines: Vec<Series<'_>> = lines.collect();
    let row =
        |(name, points): &Series<'_>| cells(*name, points.iter().map(|(_, time)| figure(*time)));
    let [live, expired] = [live, expired].map(|count| count.separate_with_commas());
    let caption =
        format!("Nanoseconds for a call, with {live} sessions, and during a sweep of {expired}");
    let head = cells("call", SHARES.map(|(name, _)| name.to_owned()));
    let title = "A call of the memory store, while a million sessions are swept";
    let names = ["one call of so many takes longer", "ns"];
    let case = "memory store, p99 of a load while 1,000,000 expired are swept, beside no sweep";
    let p99 = |name| Some(found[name]["p99"] as f64);
    let (target, ours, peer) = (Target::TimesAtMost(2.0), p99("load, sweeping"), p99("load"));
    Ok(Section {
        tables: vec![Table::new(caption, head, lines.iter().map(row))],
        plots: vec![Plot::lines("latency", title, names, true, &lines)?],
        rows: vec![Row { case: case.to_owned(), unit: "ns", target, ours, peer }],
        raw: json!(found),
        ..Section::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sweep_outlasts_the_calls_that_are_measured() {
        let found = Args { live: 500, expired: 20_000, rounds: 2 }.run().await.unwrap();
        assert!(found.values().all(|times| times["calls"] > 0), "{found:?}");
    }
}
