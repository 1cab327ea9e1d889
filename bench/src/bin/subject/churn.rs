//! What our memory store takes while sessions come and go.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use express_session::store::{Admin as _, Created, Record, Store as _, Updated};
use express_session::{MemoryStore, SessionId, Timestamp};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::{machine, view};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many sessions there are at a time
    sessions: u64,
    /// How many minutes go by for the store
    minutes: u64,
    /// Goes on until so many minutes have really gone by
    #[arg(long)]
    real_minutes: Option<u64>,
}

/// How long a session lives that is not visited again.
const LIFE: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);
/// How many visits there are for each new session.
const VISITS: usize = 3;

/// Visitors come at an even rate, visit again for some time, and are never heard of again: nobody says
/// good-bye, so that it is all left to expiry.
pub(crate) async fn run(args: &Args) -> Result<Value> {
    let mut random = Rng::with_seed(1);
    let first = view::record().await?;
    let store = MemoryStore::new();
    let (begin, start) = (machine::instant(), machine::now());
    let step = LIFE / u32::try_from(args.sessions)?;
    let steps = MINUTE.as_nanos() / step.as_nanos();
    let mut recent = VecDeque::new();
    let (mut minutes, mut made) = (Vec::new(), 0_u64);
    let at = |made: u64| start.saturating_add(step.mul_f64(made as f64));
    loop {
        for _ in 0..steps {
            let now = at(made);
            made += 1;
            recent.push_back(visit_first(&store, &first, &mut random, now).await?);
            for _ in 0..VISITS {
                visit_again(&store, &first, &mut recent, &mut random, now).await?;
            }
            // Those of the last few seconds come again.
            if recent.len() as u64 > args.sessions / 10 {
                recent.pop_front();
            }
        }
        let now = at(made);
        minutes.push(json!({
            "minute": minutes.len() + 1,
            "resident": machine::resident()?,
            "live": store.count(now).await?,
            "seconds": begin.elapsed().as_secs_f64(),
        }));
        let is_over = match args.real_minutes {
            Some(real) => begin.elapsed() >= MINUTE * u32::try_from(real)?,
            None => minutes.len() as u64 >= args.minutes,
        };
        if is_over {
            return Ok(json!({ "made": made, "minutes": minutes }));
        }
    }
}

async fn visit_first(
    store: &MemoryStore,
    first: &Record,
    random: &mut Rng,
    now: Timestamp,
) -> Result<SessionId> {
    let id = view::id(random);
    let record = Record { text: first.text.as_ref().into(), deadline: Some(end(now)) };
    match store.create(&id, &record, now).await? {
        Created::Done(_) => Ok(id),
        Created::Taken => bail!("an id was drawn twice"),
    }
}

async fn visit_again(
    store: &MemoryStore,
    first: &Record,
    recent: &mut VecDeque<SessionId>,
    random: &mut Rng,
    now: Timestamp,
) -> Result<()> {
    let id = &recent[random.usize(..recent.len())];
    let loaded = store.load(id, now).await?.context("a session is missing")?;
    // Texts grow, by a digit now and then.
    let views = 1 << random.u32(..40);
    let record = Record { text: view::text(first, views).into(), deadline: Some(end(now)) };
    let updated = store.update(id, &record, loaded.revision, now).await?;
    ensure!(matches!(updated, Updated::Done(_)), "a session cannot be saved");
    Ok(())
}

fn end(now: Timestamp) -> Timestamp {
    now.saturating_add(LIFE)
}
