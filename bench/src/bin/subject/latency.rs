//! How long the calls of our memory store take while it gets rid of what has expired, and while it does not.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use express_session::store::{Admin as _, Created, Record, Revision, Store as _, Updated};
use express_session::{MemoryStore, SessionId, Timestamp};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::{machine, view};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many sessions live on
    live: usize,
    /// How many expire at once
    expired: usize,
    /// How often each is measured
    rounds: usize,
}

/// What expires is looked at when its part of time is past, and that has 16 s.
const PAST: Duration = Duration::from_secs(40);

/// A round has so few calls that not all of it is swept in the meantime: a call looks at eight.
const EXPIRED_FOR_A_CALL: usize = 10;

pub(crate) async fn run(args: &Args) -> Result<Value> {
    let mut random = Rng::with_seed(1);
    let record = view::record().await?;
    let mut site =
        Site { store: MemoryStore::new(), live: Vec::new(), now: machine::now(), record };
    for _ in 0..args.live {
        let deadline = site.now.saturating_add(Duration::from_secs(20 * 60 * 60));
        let held = site.create(&mut random, deadline).await?;
        site.live.push(held);
    }
    let calls = args.expired / EXPIRED_FOR_A_CALL;
    let (mut calm, mut sweeping) = (Times::default(), Times::default());
    for _ in 0..args.rounds {
        site.now = site.now.saturating_add(PAST);
        site.measure(calls, &mut random, &mut calm).await?;

        let soon = site.now.saturating_add(Duration::from_millis(1));
        for _ in 0..args.expired {
            site.create(&mut random, soon).await?;
        }
        site.now = site.now.saturating_add(PAST);
        site.measure(calls, &mut random, &mut sweeping).await?;
        let rest = site.store.purge(usize::MAX, site.now).await?;
        ensure!(rest > 0, "the sweeping was over before the measuring");
    }
    Ok(json!({ "calm": calm.found(), "sweeping": sweeping.found() }))
}

struct Site {
    store: MemoryStore,
    live: Vec<(SessionId, Revision)>,
    now: Timestamp,
    record: Record,
}

/// How long the calls took, in nanoseconds.
#[derive(Default)]
struct Times {
    load: Vec<u64>,
    save: Vec<u64>,
}

impl Site {
    async fn create(&self, random: &mut Rng, deadline: Timestamp) -> Result<(SessionId, Revision)> {
        let id = view::id(random);
        let record = Record { text: self.record.text.as_ref().into(), deadline: Some(deadline) };
        match self.store.create(&id, &record, self.now).await? {
            Created::Done(revision) => Ok((id, revision)),
            Created::Taken => bail!("an id was drawn twice"),
        }
    }

    /// Loads a session and saves another, so many times.
    async fn measure(&mut self, calls: usize, random: &mut Rng, times: &mut Times) -> Result<()> {
        for call in 0..calls / 2 {
            let (id, _) = &self.live[random.usize(..self.live.len())];
            let start = machine::instant();
            let loaded = self.store.load(id, self.now).await;
            times.load.push(start.elapsed().as_nanos() as u64);
            let loaded = loaded?.context("a session is missing")?;

            let at = random.usize(..self.live.len());
            let (id, revision) = &mut self.live[at];
            let text = view::text(&loaded.record, call as u64).into();
            let record = Record { text, deadline: loaded.record.deadline };
            let start = machine::instant();
            let updated = self.store.update(id, &record, *revision, self.now).await;
            times.save.push(start.elapsed().as_nanos() as u64);
            let Updated::Done(next) = updated? else { bail!("a session cannot be saved") };
            *revision = next;
        }
        Ok(())
    }
}

impl Times {
    fn found(mut self) -> Value {
        json!({ "load": percentiles(&mut self.load), "save": percentiles(&mut self.save) })
    }
}

fn percentiles(times: &mut [u64]) -> Value {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p99.9": at(0.999), "calls": times.len() })
}
