//! The memory of our store while new sessions replace expired ones.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use express_session::MemoryStore;
use express_session::store::{Admin as _, Record, Store as _};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::plot::Plot;
use crate::process::{self, Options};
use crate::report::{Row, Section, Table, Target, figure, short};
use crate::{machine, view_counter};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many sessions are live at a time
    sessions: u64,
    /// How many minutes pass by the clock of the store
    minutes: u64,
    /// Continues until so many minutes of real time have passed
    #[arg(long)]
    real_minutes: Option<u64>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Found {
    made: u64,
    minutes: Vec<Minute>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Minute {
    minute: usize,
    /// In bytes.
    resident: u64,
    live: u64,
    /// In real time.
    seconds: f64,
}

/// How long a session lives after its last visit.
const LIFE: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);
/// How many visits there are for each new session.
const VISITS: usize = 3;

impl Args {
    /// Visitors come at an even rate and return for some seconds. No session is destroyed explicitly, so that all
    /// of them expire.
    pub(crate) async fn run(&self) -> Result<Found> {
        let mut random = Rng::with_seed(1);
        let first = view_counter::record().await?;
        let store = MemoryStore::new();
        let (begin, start) = (machine::instant(), machine::long_ago());
        let step = LIFE / u32::try_from(self.sessions)?;
        let steps = MINUTE.as_nanos() / step.as_nanos();
        let mut recent = VecDeque::new();
        let (mut minutes, mut made) = (Vec::new(), 0_u64);
        let at = |made: u64| start.saturating_add(step.mul_f64(made as f64));
        loop {
            for _ in 0..steps {
                let now = at(made);
                made += 1;
                let end = Some(now.saturating_add(LIFE));
                let (id, _) = view_counter::create(&store, &mut random, &first, end, now).await?;
                recent.push_back(id);
                for _ in 0..VISITS {
                    let id = &recent[random.usize(..recent.len())];
                    let loaded = store.load(id, now).await?.context("a session is missing")?;
                    // The text grows by a digit now and then.
                    let text = view_counter::text(&first, 1 << random.u32(..40)).into();
                    let record = Record { text, deadline: end };
                    view_counter::save(&store, id, &record, &loaded.revision, now).await?;
                }
                // Only the sessions of the last few seconds are visited again.
                if recent.len() as u64 > self.sessions / 10 {
                    recent.pop_front();
                }
            }
            minutes.push(Minute {
                minute: minutes.len() + 1,
                resident: machine::resident()?,
                live: store.count(at(made)).await?,
                seconds: begin.elapsed().as_secs_f64(),
            });
            let is_over = match self.real_minutes {
                Some(real) => begin.elapsed() >= MINUTE * u32::try_from(real)?,
                None => minutes.len() as u64 >= self.minutes,
            };
            if is_over {
                return Ok(Found { made, minutes });
            }
        }
    }
}

/// The minutes in which the store fills and its tables find their size.
const WARM: usize = 5;
/// The share by which resident memory varies without growing.
const NOISE: f64 = 0.02;

pub(super) fn section(options: Options) -> Result<Section> {
    let (sessions, minutes) = if options.quick { ("20000", "20") } else { ("200000", "60") };
    let real = options.churn_minutes.map(|minutes| format!("--real-minutes={minutes}"));
    let task = [Some("churn"), Some(sessions), Some(minutes), real.as_deref()];
    let found: Found = process::found(&task.into_iter().flatten().collect::<Vec<_>>())?;

    let settled = found.minutes.get(WARM..).unwrap_or_default();
    let third = settled.len() / 3;
    let megabytes = |at: &Minute| at.resident as f64 / 1e6;
    let most = |minutes: &[Minute]| minutes.iter().map(megabytes).fold(f64::NAN, f64::max);
    let (first, last) = (most(&settled[..third]), most(&settled[settled.len() - third..]));
    ensure!(third > 0, "the churn was too short");
    let end = &settled[settled.len() - 1];
    let points = found.minutes.iter().map(|at| (at.minute as f64, megabytes(at)));
    let mut head = vec!["minutes by the clock of the store", "seconds", "sessions made"];
    head.extend(["live at a time", "most resident MB, first third", "last third", "growth"]);
    let row = vec![
        end.minute.to_string(),
        format!("{:.0}", end.seconds),
        figure(found.made as f64),
        figure(end.live as f64),
        format!("{first:.1}"),
        format!("{last:.1}"),
        format!("{} %", short((last / first - 1.0) * 100.0)),
    ];
    let title = "Resident memory while sessions come and go";
    let (names, lines) = ([head[0], "MB"], [("ours", points.collect())]);
    let case = format!(
        "memory store, {} minutes of churn: the most in the last third, beside the first",
        end.minute
    );
    let (target, ours, peer) = (Target::TimesAtMost(1.0 + NOISE), Some(last), Some(first));
    Ok(Section {
        plots: vec![Plot::lines("churn", title, names, false, &lines)?],
        tables: vec![Table::new("Churn", head, [row])],
        rows: vec![Row { case, unit: "MB", target, ours, peer }],
        raw: json!(found),
        ..Section::default()
    })
}
