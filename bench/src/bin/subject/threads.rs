//! How many visits a memory store takes, from several threads.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use express_session::MemoryStore;
use express_session::store::{Created, Record, Store as _, Updated};
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::runtime;
use tower_sessions::SessionStore as _;
use tower_sessions::session::{Id, Record as TowersRecord};

use crate::{Maker, machine, view};

#[derive(clap::Args)]
pub(crate) struct Args {
    maker: Maker,
    threads: u64,
    milliseconds: u64,
}

/// How many visitors each thread has. No two threads visit in the same session.
const VISITORS: usize = 25_000;
/// How many visits there are between two looks at the time.
const STRIDE: u64 = 100;

/// A visit loads a session, as a request does that asks for it, and saves it with one view more.
pub(crate) fn run(args: &Args) -> Result<Value> {
    let (ours, tower_sessions_app) = (MemoryStore::new(), tower_sessions::MemoryStore::default());
    let time = Duration::from_millis(args.milliseconds);
    // Nobody begins before all have filled in their visitors.
    let barrier = Barrier::new(args.threads as usize);
    let rates = thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads)
            .map(|number| {
                let (ours, tower_sessions_app, barrier) = (&ours, &tower_sessions_app, &barrier);
                scope.spawn(move || -> Result<f64> {
                    let runtime = runtime::Builder::new_current_thread().build()?;
                    let random = Rng::with_seed(number);
                    match args.maker {
                        Maker::Bare | Maker::Least => {
                            bail!("no store of its own has sessions to visit")
                        }
                        Maker::Ours => runtime.block_on(visit_ours(ours, random, barrier, time)),
                        Maker::TowerSessions => runtime.block_on(visit_towers(
                            tower_sessions_app,
                            random,
                            barrier,
                            time,
                        )),
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(json!({ "visits_per_second": rates.iter().sum::<f64>() }))
}

async fn visit_ours(
    store: &MemoryStore,
    mut random: Rng,
    barrier: &Barrier,
    time: Duration,
) -> Result<f64> {
    let (first, now) = (view::record().await?, machine::now());
    let mut ids = Vec::new();
    for _ in 0..VISITORS {
        let id = view::id(&mut random);
        let record = Record { text: first.text.as_ref().into(), deadline: None };
        let Created::Done(_) = store.create(&id, &record, now).await? else {
            bail!("an id was drawn twice");
        };
        ids.push(id);
    }
    barrier.wait();
    let (start, mut visits) = (machine::instant(), 0);
    while start.elapsed() < time {
        for _ in 0..STRIDE {
            visits += 1;
            let id = &ids[random.usize(..VISITORS)];
            let renewed = store.load_and_touch(id, now).await?.context("a session is missing")?;
            let record = Record { text: view::text(&first, visits).into(), deadline: None };
            let updated = store.update(id, &record, renewed.loaded.revision, now).await?;
            let Updated::Done(_) = updated else { bail!("a session cannot be saved") };
        }
    }
    Ok(visits as f64 / start.elapsed().as_secs_f64())
}

async fn visit_towers(
    store: &tower_sessions::MemoryStore,
    mut random: Rng,
    barrier: &Barrier,
    time: Duration,
) -> Result<f64> {
    let mut ids: Vec<Id> = Vec::new();
    for _ in 0..VISITORS {
        let mut record: TowersRecord = view::towers_record(&mut random);
        store.create(&mut record).await?;
        ids.push(record.id);
    }
    barrier.wait();
    let (start, mut visits) = (machine::instant(), 0_u64);
    while start.elapsed() < time {
        for _ in 0..STRIDE {
            visits += 1;
            let id = &ids[random.usize(..VISITORS)];
            let mut record = store.load(id).await?.context("a session is missing")?;
            record.data.insert("views".to_owned(), visits.into());
            store.save(&record).await?;
        }
    }
    Ok(visits as f64 / start.elapsed().as_secs_f64())
}
