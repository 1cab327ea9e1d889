//! How many calls of a store there are in a second, and how many plain writes the same driver makes, which
//! ask for no condition.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use express_session::store::{AnyStore, Created, Record, Revision, Store as _, Updated};
use express_session::{SessionId, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::plain::Plain;
use crate::{machine, view};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the store is
    url: String,
    /// How many calls are under way at a time
    callers: usize,
    milliseconds: u64,
    rounds: usize,
}

/// How many sessions each caller has.
const SESSIONS: usize = 8;

pub(crate) async fn run(args: &Args) -> Result<Value> {
    let record = view::record().await?;
    let record = Record { deadline: Some(hour(machine::now())), ..record };
    let mut callers = Vec::new();
    let mut random = fastrand::Rng::new();
    let store = express_session::connect(&args.url).await?;
    let plain = Plain::open(&args.url).await?;
    for number in 0..args.callers {
        let (store, plain, record) = (store.clone(), plain.clone(), record.clone());
        let mut caller = Caller { number, store, plain, record, sessions: Vec::new(), at: 0 };
        for _ in 0..SESSIONS {
            caller.create(view::id(&mut random)).await?;
        }
        callers.push(caller);
    }
    let time = Duration::from_millis(args.milliseconds);
    let (mut load, mut save, mut write) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        for (work, rates) in
            [(Work::Load, &mut load), (Work::Save, &mut save), (Work::Write, &mut write)]
        {
            rates.push(rate(&mut callers, work, time).await?);
        }
    }
    Ok(json!({ "load": load, "save": save, "plain": write }))
}

#[derive(Clone, Copy)]
enum Work {
    Load,
    /// If nobody else has written in the meantime.
    Save,
    /// Whatever is there.
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

/// Lets all do the same for some time. Gives the calls of all in a second.
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
    async fn create(&mut self, id: SessionId) -> Result<()> {
        match self.store.create(&id, &self.record, machine::now()).await? {
            Created::Done(revision) => self.sessions.push((id, revision)),
            Created::Taken => bail!("an id was drawn twice"),
        }
        Ok(())
    }

    async fn call(&mut self, work: Work, number: u64) -> Result<()> {
        self.at = (self.at + 1) % SESSIONS;
        let now = machine::now();
        let (id, revision) = &mut self.sessions[self.at];
        match work {
            Work::Load => {
                self.store.load(id, now).await?.context("a session is missing")?;
            }
            Work::Save => {
                let text = view::text(&self.record, number).into();
                let record = Record { text, deadline: Some(hour(now)) };
                match self.store.update(id, &record, *revision, now).await? {
                    Updated::Done(next) => *revision = next,
                    Updated::Conflict(_) | Updated::Gone => bail!("a session cannot be saved"),
                }
            }
            Work::Write => {
                let text = view::text(&self.record, number);
                self.plain.write(self.number, id.as_str(), text, hour(now)).await?;
            }
        }
        Ok(())
    }
}

fn hour(now: Timestamp) -> Timestamp {
    now.saturating_add(Duration::from_secs(3600))
}
