//! The calls per second of a store, beside plain writes by the same driver, which have no condition.

use std::time::Duration;

use anyhow::{Context as _, Result};
use express_session::store::{AnyStore, Record, Revision, Store as _};
use express_session::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::plain::Plain;
use crate::{machine, view_counter};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The URL of the store
    url: String,
    /// How many calls are in flight at a time
    callers: usize,
    milliseconds: u64,
    rounds: usize,
}

/// The calls per second of each round.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Rates {
    pub(super) load: Vec<f64>,
    pub(super) save: Vec<f64>,
    pub(super) plain: Vec<f64>,
}

/// How many sessions each caller has.
const SESSIONS: usize = 8;

impl Args {
    pub(crate) async fn run(&self) -> Result<Rates> {
        let record = view_counter::record().await?;
        let mut random = fastrand::Rng::new();
        let store = express_session::connect(&self.url).await?;
        let plain = Plain::open(&self.url).await?;
        let mut callers = Vec::new();
        for number in 0..self.callers {
            let mut sessions = Vec::new();
            for _ in 0..SESSIONS {
                let now = machine::now();
                let end = Some(hour(now));
                sessions.push(view_counter::create(&store, &mut random, &record, end, now).await?);
            }
            let (store, plain, record) = (store.clone(), plain.clone(), record.clone());
            callers.push(Caller { number, store, plain, record, sessions, at: 0 });
        }
        let time = Duration::from_millis(self.milliseconds);
        let mut rates = Rates::default();
        for _ in 0..self.rounds {
            rates.load.push(rate(&mut callers, Work::Load, time).await?);
            rates.save.push(rate(&mut callers, Work::Save, time).await?);
            rates.plain.push(rate(&mut callers, Work::Write, time).await?);
        }
        Ok(rates)
    }
}

#[derive(Clone, Copy)]
enum Work {
    Load,
    /// Writes if no other caller has.
    Save,
    /// Writes without a condition.
    Write,
}

struct Caller {
    number: usize,
    store: AnyStore,
    plain: Plain,
    record: Record,
    sessions: Vec<(SessionId, Revision)>,
    at: usize,
}

/// Lets every caller do the same for some time. Returns the calls per second of all.
async fn rate(callers: &mut Vec<Caller>, work: Work, time: Duration) -> Result<f64> {
    let start = machine::instant();
    let mut tasks = JoinSet::new();
    for mut caller in callers.drain(..) {
        tasks.spawn(async move {
            let mut calls = 0_u64;
            while start.elapsed() < time {
                caller.call(work, calls).await?;
                calls += 1;
            }
            anyhow::Ok((caller, calls))
        });
    }
    let mut all = 0;
    while let Some(done) = tasks.join_next().await {
        let (caller, calls) = done??;
        callers.push(caller);
        all += calls;
    }
    Ok(all as f64 / start.elapsed().as_secs_f64())
}

impl Caller {
    async fn call(&mut self, work: Work, number: u64) -> Result<()> {
        self.at = (self.at + 1) % SESSIONS;
        let now = machine::now();
        let (id, revision) = &mut self.sessions[self.at];
        match work {
            Work::Load => {
                self.store.load(id, now).await?.context("a session is missing")?;
            }
            Work::Save => {
                let text = view_counter::text(&self.record, number).into();
                let record = Record { text, deadline: Some(hour(now)) };
                *revision = view_counter::save(&self.store, id, &record, revision, now).await?;
            }
            Work::Write => {
                let text = view_counter::text(&self.record, number);
                self.plain.write(self.number, id.as_str(), text, hour(now)).await?;
            }
        }
        Ok(())
    }
}

fn hour(now: Timestamp) -> Timestamp {
    now.saturating_add(Duration::from_secs(3600))
}
