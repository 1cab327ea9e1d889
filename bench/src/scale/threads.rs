//! Visits in a second, from one thread to four.

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;

use crate::parts::Options;
use crate::report::{Section, Table, figure};
use crate::{figures, process};

#[derive(Deserialize)]
struct Found {
    visits_per_second: f64,
}

const MAKERS: [&str; 2] = ["ours", "tower-sessions"];
const THREADS: [u32; 4] = [1, 2, 3, 4];

pub(super) fn run(options: &Options) -> Result<Section> {
    let (milliseconds, rounds) = if options.quick { ("200", 1) } else { ("1000", 5) };
    let mut rows = Vec::new();
    let mut raw = Vec::new();
    for threads in THREADS {
        let mut rates = MAKERS.map(|_| Vec::new());
        for _ in 0..rounds {
            for (maker, rates) in MAKERS.iter().zip(&mut rates) {
                let task = ["threads", maker, &threads.to_string(), milliseconds];
                rates.push(process::found::<Found>(&task)?.visits_per_second);
            }
        }
        let medians = rates.iter().map(|rates| figures::median(rates.iter().copied()));
        let figures = medians.map(figure);
        rows.push([threads.to_string()].into_iter().chain(figures).collect());
        let [ours, tower_sessions_app] = rates;
        raw.push(json!({
            "threads": threads, "ours_per_second": ours, "tower_sessions_per_second": tower_sessions_app,
        }));
    }
    let head = ["threads"].into_iter().chain(MAKERS);
    Ok(Section {
        tables: vec![Table {
            caption: "Visits in a second, 25,000 visitors for each thread".to_owned(),
            head: head.map(str::to_owned).collect(),
            rows,
        }],
        raw: raw.into(),
        ..Section::default()
    })
}
