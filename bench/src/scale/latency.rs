//! Times of our memory store's calls, during a sweep of expired sessions and without one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use express_session::store::{Admin as _, Record, Revision, Store as _};
use express_session::{MemoryStore, SessionId, Timestamp};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::plot::{Data, Lines, Plot};
use crate::process::{self, Options};
use crate::report::{Row, Section, Table, Target, figure};
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

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Found {
    calm: Calls,
    sweeping: Calls,
}

#[derive(Debug, Deserialize, Serialize)]
struct Calls {
    load: Percentiles,
    save: Percentiles,
}

/// In nanoseconds.
#[derive(Debug, Deserialize, Serialize)]
struct Percentiles {
    p50: u64,
    p90: u64,
    p99: u64,
    #[serde(rename = "p99.9")]
    p99_9: u64,
    calls: usize,
}

/// Expired sessions are removed when their slice of time, of 16 s, is past.
const PAST: Duration = Duration::from_secs(40);

/// A round is short enough that the sweep outlasts it: a call looks at eight sessions.
const EXPIRED_FOR_A_CALL: usize = 10;

impl Args {
    pub(crate) async fn run(&self) -> Result<Found> {
        let mut random = Rng::with_seed(1);
        let (first, mut now) = (view_counter::record().await?, machine::now());
        let mut site = Site { store: MemoryStore::new(), live: Vec::new(), first };
        let deadline = now.saturating_add(Duration::from_secs(20 * 60 * 60));
        for _ in 0..self.live {
            site.live.push(site.create(&mut random, deadline, now).await?);
        }
        let calls = self.expired / EXPIRED_FOR_A_CALL;
        let (mut calm, mut sweeping) = (Times::default(), Times::default());
        for _ in 0..self.rounds {
            now = now.saturating_add(PAST);
            site.measure(calls, &mut random, &mut calm, now).await?;

            let soon = now.saturating_add(Duration::from_millis(1));
            for _ in 0..self.expired {
                site.create(&mut random, soon, now).await?;
            }
            now = now.saturating_add(PAST);
            site.measure(calls, &mut random, &mut sweeping, now).await?;
            let rest = site.store.purge(usize::MAX, now).await?;
            ensure!(rest > 0, "the sweep ended before the calls");
        }
        Ok(Found { calm: calm.found()?, sweeping: sweeping.found()? })
    }
}

struct Site {
    store: MemoryStore,
    live: Vec<(SessionId, Revision)>,
    first: Record,
}

/// The times of the calls, in nanoseconds.
#[derive(Default)]
struct Times {
    load: Vec<u64>,
    save: Vec<u64>,
}

impl Site {
    async fn create(
        &self,
        random: &mut Rng,
        deadline: Timestamp,
        now: Timestamp,
    ) -> Result<(SessionId, Revision)> {
        view_counter::create(&self.store, random, &self.first, Some(deadline), now).await
    }

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
            times.load.push(start.elapsed().as_nanos() as u64);
            let loaded = loaded?.context("a session is missing")?;

            let at = random.usize(..self.live.len());
            let (id, revision) = &mut self.live[at];
            let text = view_counter::text(&loaded.record, call as u64).into();
            let record = Record { text, deadline: loaded.record.deadline };
            let start = machine::instant();
            let saved = view_counter::save(&self.store, id, &record, *revision, now).await;
            times.save.push(start.elapsed().as_nanos() as u64);
            *revision = saved?;
        }
        Ok(())
    }
}

impl Times {
    fn found(self) -> Result<Calls> {
        Ok(Calls { load: percentiles(self.load)?, save: percentiles(self.save)? })
    }
}

fn percentiles(mut times: Vec<u64>) -> Result<Percentiles> {
    times.sort_unstable();
    let at = |share: f64| {
        times.get((times.len() as f64 * share) as usize).copied().context("there were no calls")
    };
    let (p50, p90, p99, p99_9) = (at(0.5)?, at(0.9)?, at(0.99)?, at(0.999)?);
    Ok(Percentiles { p50, p90, p99, p99_9, calls: times.len() })
}

pub(super) fn section(options: Options) -> Result<Section> {
    let (live, expired, rounds) =
        if options.quick { ("100000", "1000000", "1") } else { ("1000000", "1000000", "5") };
    let found: Found = process::found(&["latency", live, expired, rounds])?;
    let cases = [
        ("load", &found.calm.load),
        ("load, sweeping", &found.sweeping.load),
        ("save", &found.calm.save),
        ("save, sweeping", &found.sweeping.save),
    ];
    // The horizontal axis of the plot: one call of so many takes longer than the percentile.
    let lines = cases.map(|(name, Percentiles { p50, p90, p99, p99_9, .. })| {
        let points = [(2.0, *p50), (10.0, *p90), (100.0, *p99), (1000.0, *p99_9)];
        (name, points.map(|(calls, time)| (calls, time as f64)).to_vec())
    });
    let rows = lines.iter().map(|(name, points)| {
        let figures = points.iter().map(|(_, time)| figure(*time));
        [(*name).to_owned()].into_iter().chain(figures).collect()
    });
    let caption = format!(
        "Nanoseconds for a call, with {} sessions, and during a sweep of {}",
        figure(live.parse()?),
        figure(expired.parse()?),
    );
    Ok(Section {
        tables: vec![Table::new(caption, ["call", "p50", "p90", "p99", "p99.9"], rows)],
        plots: vec![Plot {
            name: "latency",
            title: "A call of the memory store, while a million sessions are swept",
            data: Data::Lines(Lines {
                x: "one call of so many takes longer",
                y: "ns",
                is_log: true,
                series: lines.to_vec(),
            }),
        }],
        rows: vec![Row {
            case: "memory store, p99 of a load while 1,000,000 expired are swept, beside no sweep"
                .to_owned(),
            unit: "ns",
            target: Target::TimesAtMost(2.0),
            ours: Some(found.sweeping.load.p99 as f64),
            peer: Some(found.calm.load.p99 as f64),
        }],
        raw: json!(found),
        ..Section::default()
    })
}
