//! Every store of ours: calls in a second, round trips of a request, and what the condition of a save costs.

use anyhow::Result;
use express_session_testkit::servers;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;

use crate::figures;
use crate::parts::Options;
use crate::plot::{Bar, Bars, Plot};
use crate::process;
use crate::report::{Section, Table, figure, short};

const TEXT: &str = "\
Each store is called as the layer calls it, with the record of the view counter, by one caller at a time and by
32, on a runtime with a thread for each core; the servers are on the same machine, on loopback, with the settings
of the tests. A save replaces the record only if nobody else has written in the meantime. The plain write is the
same driver's without a condition, as the npm store writes it: `SET`, an upsert, a new file renamed over the old
one (and flushed to the disk, as ours is). Rounds of loads, saves and plain writes are interleaved, and the medians
shown; the cost is the time of a save over that of a plain write. A store without a server has no round trips:
there, the calls are counted.";

/// How many calls are under way at a time.
const CALLERS: [usize; 2] = [1, 32];

/// A store that is there to be called.
struct Place {
    name: &'static str,
    url: String,
    /// The port of its server.
    port: Option<u16>,
}

/// Calls in a second, of each round.
#[derive(Debug, Deserialize, Serialize)]
struct Rates {
    load: Vec<f64>,
    save: Vec<f64>,
    plain: Vec<f64>,
}

/// What a request asks of the store.
#[derive(Debug, Deserialize, Serialize)]
struct Trips {
    new: u64,
    reads: u64,
    changes: u64,
    does_not_ask: u64,
}

/// What was found out about a store.
struct Finding {
    name: &'static str,
    /// For each number of callers.
    rates: Vec<Rates>,
    trips: Trips,
}

/// Calls every store.
///
/// # Errors
///
/// A store that does not do what it is asked.
pub fn run(options: &Options) -> Result<Section> {
    let folder = tempfile::tempdir()?;
    let findings =
        places(&folder).iter().map(|place| place.measure(options)).collect::<Result<Vec<_>>>()?;
    Ok(section(&findings))
}

/// The stores whose servers are installed.
fn places(folder: &TempDir) -> Vec<Place> {
    let here = |name, url: String| Some(Place { name, url, port: None });
    let folder = folder.path().display();
    let places = [
        here("memory", "memory://".to_owned()),
        servers::shared_redis().map(|server| Place {
            name: "redis",
            url: server.url().to_owned(),
            port: Some(server.port()),
        }),
        servers::shared_postgres().map(|server| Place {
            name: "postgres",
            url: format!("{}?create_table_if_missing=true", server.url()),
            port: Some(server.port()),
        }),
        servers::shared_mariadb().map(|server| Place {
            name: "mysql",
            url: server.url(),
            port: Some(server.port()),
        }),
        here("sqlite", format!("sqlite://{folder}/sessions.db")),
        here("file", format!("file://{folder}/sessions")),
        servers::shared_memcached().map(|server| Place {
            name: "memcached",
            url: server.url(),
            port: Some(server.port()),
        }),
    ];
    places.into_iter().flatten().collect()
}

impl Place {
    fn measure(&self, options: &Options) -> Result<Finding> {
        let (milliseconds, rounds) = if options.quick { ("100", "1") } else { ("800", "5") };
        let mut rates = Vec::new();
        for callers in CALLERS.map(|callers| callers.to_string()) {
            rates.push(process::found(&["calls", &self.url, &callers, milliseconds, rounds])?);
        }
        let port = self.port.map(|port| format!("--port={port}"));
        let trips = [Some("trips"), Some(self.url.as_str()), port.as_deref()];
        let trips = process::found(&trips.into_iter().flatten().collect::<Vec<_>>())?;
        Ok(Finding { name: self.name, rates, trips })
    }
}

impl Rates {
    /// The medians of loads, saves and plain writes, and what a save costs over a plain write.
    fn medians(&self) -> [f64; 4] {
        let [load, save, plain] = [&self.load, &self.save, &self.plain]
            .map(|rates| figures::median(rates.iter().copied()));
        [load, save, plain, plain / save]
    }

    fn cells(&self) -> [String; 4] {
        let [load, save, plain, cost] = self.medians();
        [figure(load), figure(save), figure(plain), short(cost)]
    }
}

fn section(findings: &[Finding]) -> Section {
    let calls = |at: usize, callers: usize| Table {
        caption: format!("Calls in a second, {callers} at a time"),
        head: ["store", "loads/s", "saves/s", "plain writes/s", "cost of a save"]
            .map(str::to_owned)
            .to_vec(),
        rows: findings
            .iter()
            .map(|finding| {
                let name = [finding.name.to_owned()];
                name.into_iter().chain(finding.rates[at].cells()).collect()
            })
            .collect(),
    };
    let trips = Table {
        caption: "Round trips of a request".to_owned(),
        head: ["store", "new session", "reads", "changes", "does not ask"]
            .map(str::to_owned)
            .to_vec(),
        rows: findings
            .iter()
            .map(|Finding { name, trips, .. }| {
                let Trips { new, reads, changes, does_not_ask } = trips;
                let counts = [new, reads, changes, does_not_ask].map(u64::to_string);
                [(*name).to_owned()].into_iter().chain(counts).collect()
            })
            .collect(),
    };
    let mut tables: Vec<_> =
        CALLERS.iter().enumerate().map(|(at, callers)| calls(at, *callers)).collect();
    tables.push(trips);
    let costs = findings.iter().filter_map(|finding| {
        let [.., cost] = finding.rates.last()?.medians();
        Some(Bar { label: finding.name.to_owned(), value: cost, is_ours: true })
    });
    let raw = findings.iter().map(|finding| {
        let rates = CALLERS.iter().zip(&finding.rates);
        let calls =
            rates.map(|(callers, rates)| json!({ "callers": callers, "per_second": rates }));
        json!({
            "store": finding.name,
            "calls": calls.collect::<Vec<_>>(),
            "round_trips": finding.trips,
        })
    });
    Section {
        title: "Stores".to_owned(),
        text: TEXT.to_owned(),
        tables,
        plots: vec![Plot::Bars(Bars {
            name: "stores".to_owned(),
            title: "The time of a save over that of a plain write, with 32 callers".to_owned(),
            unit: "times".to_owned(),
            bars: costs.collect(),
        })],
        rows: Vec::new(),
        raw: raw.collect(),
    }
}
