//! Visits per second to a memory store, from one thread to four.

use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Result, bail};
use fastrand::Rng;
use rayon::ThreadPoolBuilder;
use serde_json::json;
use tokio::runtime;

use super::memory_store::{Memory, Ours, TowerSessions};
use crate::process::{self, Options};
use crate::report::{Section, Table, cells, figure};
use crate::{figures, machine};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    library: String,
    threads: usize,
    milliseconds: u64,
}

/// How many visitors each thread has. No two threads visit the same session.
const VISITORS: usize = 25_000;
/// How many visits a thread makes between two looks at the clock.
const STRIDE: u64 = 100;

impl Args {
    /// Returns the visits per second of all threads.
    pub(crate) fn run(&self) -> Result<f64> {
        match self.library.as_str() {
            "ours" => self.visit::<Ours>(),
            "tower-sessions" => self.visit::<TowerSessions>(),
            other => bail!("{other} has no memory store in Rust"),
        }
    }

    fn visit<M: Memory>(&self) -> Result<f64> {
        let single = || runtime::Builder::new_current_thread().build();
        let store = single()?.block_on(M::open())?;
        // Every thread creates its sessions before the first visit of any.
        let barrier = Barrier::new(self.threads);
        let time = Duration::from_millis(self.milliseconds);
        let threads = ThreadPoolBuilder::new().num_threads(self.threads).build()?;
        let rates = threads.broadcast(|thread| {
            let random = Rng::with_seed(thread.index() as u64);
            single()?.block_on(rate(&store, random, &barrier, time))
        });
        rates.into_iter().sum()
    }
}

async fn rate(
    store: &impl Memory,
    mut random: Rng,
    barrier: &Barrier,
    time: Duration,
) -> Result<f64> {
    let mut ids = Vec::new();
    for _ in 0..VISITORS {
        ids.push(store.create(&mut random, Duration::ZERO).await?);
    }
    barrier.wait();
    let (start, mut visits) = (machine::instant(), 0);
    while start.elapsed() < time {
        for _ in 0..STRIDE {
            visits += 1;
            store.visit(&ids[random.usize(..VISITORS)], visits).await?;
        }
    }
    Ok(visits as f64 / start.elapsed().as_secs_f64())
}

const LIBRARIES: [&str; 2] = ["ours", "tower-sessions"];
const THREADS: [u32; 4] = [1, 2, 3, 4];

pub(super) fn section(options: Options) -> Result<Section> {
    let (milliseconds, rounds) = if options.quick { ("200", 1) } else { ("1000", 5) };
    let (mut rows, mut raw) = (Vec::new(), Vec::new());
    for threads in THREADS {
        let mut rates = LIBRARIES.map(|_| Vec::new());
        for _ in 0..rounds {
            for (library, rates) in LIBRARIES.iter().zip(&mut rates) {
                let task = ["threads", library, &threads.to_string(), milliseconds];
                rates.push(process::found(&task)?);
            }
        }
        let medians = rates.iter().map(|rates| figure(figures::median(rates.iter().copied())));
        rows.push(cells(threads.to_string(), medians));
        let [ours, peer] = rates;
        raw.push(json!({
            "threads": threads, "ours_per_second": ours, "tower_sessions_per_second": peer,
        }));
    }
    let head = ["threads"].into_iter().chain(LIBRARIES);
    let caption = "Visits in a second, 25,000 visitors for each thread";
    Ok(Section {
        tables: vec![Table::new(caption, head, rows)],
        raw: raw.into(),
        ..Section::default()
    })
}
