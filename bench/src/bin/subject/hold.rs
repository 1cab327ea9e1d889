//! What the sessions of a memory store take.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use express_session::MemoryStore;
use express_session::store::{Admin as _, Created, Record, Store as _};
use serde_json::{Value, json};
use tower_sessions::SessionStore as _;

use crate::{Maker, machine, view};

#[derive(clap::Args)]
pub(crate) struct Args {
    maker: Maker,
    sessions: u64,
}

/// The visitors of ours come within this time, all of them, so that they do not all end at once. It is
/// less than the day that a session lives.
const COMING: Duration = Duration::from_secs(20 * 60 * 60);

pub(crate) async fn run(args: &Args) -> Result<Value> {
    let mut random = fastrand::Rng::with_seed(1);
    let first = view::record().await?;
    let before = machine::resident()?;
    let count = args.sessions;
    let after = match args.maker {
        Maker::Bare | Maker::Least => bail!("no store of its own has sessions to hold"),
        Maker::Ours => {
            let store = MemoryStore::new();
            let start = machine::now();
            let mut now = start;
            for number in 0..count {
                now = start.saturating_add(COMING.mul_f64(number as f64 / count as f64));
                // Each its own text, as it comes from a request.
                let record = Record { text: first.text.as_ref().into(), deadline: None };
                let created = store.create(&view::id(&mut random), &record, now).await?;
                ensure!(matches!(created, Created::Done(_)), "an id was drawn twice");
            }
            let after = machine::resident()?;
            ensure!(store.count(now).await? == count, "sessions are missing");
            black_box(store);
            after
        }
        Maker::TowerSessions => {
            let store = tower_sessions::MemoryStore::default();
            for _ in 0..count {
                store.create(&mut view::towers_record(&mut random)).await?;
            }
            let after = machine::resident()?;
            black_box(store);
            after
        }
    };
    Ok(json!({ "before": before, "after": after, "sessions": count }))
}
