//! The calls of our memory store while it gets rid of what has expired, and while it does not.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::parts::Options;
use crate::plot::{Lines, Plot};
use crate::process;
use crate::report::{Row, Section, Table, Target, figure};

/// In nanoseconds.
#[derive(Debug, Deserialize, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    calls: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Calls {
    load: Percentiles,
    save: Percentiles,
}

#[derive(Debug, Deserialize, Serialize)]
struct Found {
    calm: Calls,
    sweeping: Calls,
}

pub(super) fn run(options: &Options) -> Result<Section> {
    let (live, expired, rounds) =
        if options.quick { ("100000", "1000000", "1") } else { ("1000000", "1000000", "5") };
    let found: Found = process::found(&["latency", live, expired, rounds])?;
    let cases = [
        ("load", &found.calm.load),
        ("load, sweeping", &found.sweeping.load),
        ("save", &found.calm.save),
        ("save, sweeping", &found.sweeping.save),
    ];
    // What the plot has across: one call of so many takes longer than the percentile.
    let lines = cases.map(|(name, Percentiles { p50, p90, p99, p99_9, .. })| {
        let points = [(2.0, *p50), (10.0, *p90), (100.0, *p99), (1000.0, *p99_9)];
        (name.to_owned(), points.to_vec())
    });
    let rows = lines.iter().map(|(name, points)| {
        let figures = points.iter().map(|(_, time)| figure(*time));
        [name.clone()].into_iter().chain(figures).collect()
    });
    Ok(Section {
        tables: vec![Table {
            caption: format!(
                "Nanoseconds for a call, with {} sessions, and during a sweep of {}",
                figure(live.parse()?),
                figure(expired.parse()?),
            ),
            head: ["call", "p50", "p90", "p99", "p99.9"].map(str::to_owned).to_vec(),
            rows: rows.collect(),
        }],
        plots: vec![Plot::Lines(Lines {
            name: "latency".to_owned(),
            title: "A call of the memory store, while a million sessions are swept".to_owned(),
            x: "one call of so many takes longer".to_owned(),
            y: "ns".to_owned(),
            log_x: true,
            log_y: false,
            series: lines.to_vec(),
        })],
        rows: vec![Row {
            case: "memory store, p99 of a load while 1,000,000 expired are swept, beside no sweep"
                .to_owned(),
            unit: "ns",
            target: Target::TimesAtMost(2.0),
            ours: Some(found.sweeping.load.p99),
            peer: Some(found.calm.load.p99),
        }],
        raw: json!(found),
        ..Section::default()
    })
}
