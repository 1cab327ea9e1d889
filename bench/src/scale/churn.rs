//! The memory of our store while sessions come and go.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::parts::Options;
use crate::plot::{Lines, Plot};
use crate::process;
use crate::report::{Row, Section, Table, Target, figure, short};

#[derive(Debug, Deserialize, Serialize)]
struct Minute {
    minute: u32,
    /// In bytes.
    resident: u64,
    live: u64,
    /// That have really gone by.
    seconds: f64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Found {
    /// How many sessions there have been.
    made: u64,
    minutes: Vec<Minute>,
}

/// Until then the store fills, and its tables find their size.
const WARM: usize = 5;
/// What resident memory moves by without growing.
const NOISE: f64 = 0.02;

pub(super) fn run(options: &Options) -> Result<Section> {
    let (sessions, minutes) = if options.quick { ("20000", "20") } else { ("200000", "60") };
    let real = options.churn_minutes.map(|minutes| format!("--real-minutes={minutes}"));
    let task = [Some("churn"), Some(sessions), Some(minutes), real.as_deref()];
    let found: Found = process::found(&task.into_iter().flatten().collect::<Vec<_>>())?;

    let settled = found.minutes.get(WARM..).unwrap_or_default();
    let third = settled.len() / 3;
    let first = most(&settled[..third]).context("the churn was too short")?;
    let last = most(&settled[settled.len() - third..]).context("the churn was too short")?;
    let growth = last as f64 / first as f64 - 1.0;
    let end = found.minutes.last().context("the churn was too short")?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let points = found.minutes.iter().map(|at| (f64::from(at.minute), megabytes(at.resident)));
    Ok(Section {
        tables: vec![Table {
            caption: "Churn".to_owned(),
            head: [
                "minutes by the clock of the store",
                "seconds",
                "sessions made",
                "live at a time",
                "most resident MB, first third",
                "last third",
                "growth",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: vec![vec![
                end.minute.to_string(),
                format!("{:.0}", end.seconds),
                figure(found.made as f64),
                figure(end.live as f64),
                format!("{:.1}", megabytes(first)),
                format!("{:.1}", megabytes(last)),
                format!("{} %", short(growth * 100.0)),
            ]],
        }],
        plots: vec![Plot::Lines(Lines {
            name: "churn".to_owned(),
            title: "Resident memory while sessions come and go".to_owned(),
            x: "minutes by the clock of the store".to_owned(),
            y: "MB".to_owned(),
            log_x: false,
            log_y: false,
            series: vec![("ours".to_owned(), points.collect())],
        })],
        rows: vec![Row {
            case: format!(
                "memory store, {} minutes of churn: the most in the last third, beside the first",
                end.minute
            ),
            unit: "MB",
            target: Target::TimesAtMost(1.0 + NOISE),
            ours: Some(megabytes(last)),
            peer: Some(megabytes(first)),
        }],
        raw: json!(found),
        ..Section::default()
    })
}

fn most(minutes: &[Minute]) -> Option<u64> {
    minutes.iter().map(|at| at.resident).max()
}
