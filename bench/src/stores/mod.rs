//! Every store of ours: calls per second, round trips of a request, and the cost of a save's condition.

use anyhow::Result;
use express_session_testkit::servers;
use serde_json::json;

use self::calls::Rates;
use self::outage::Outage;
use self::trips::Trips;
use crate::figures;
use crate::plot::{Bar, Plot};
use crate::process::{self, Options};
use crate::report::{Section, Table, cells, figure, short};

pub(crate) mod calls;
pub(crate) mod outage;
mod plain;
pub(crate) mod trips;

/// How many calls are in flight at a time.
const CALLERS: [usize; 2] = [1, 32];

/// A store, and the findings about it.
struct Finding {
    name: &'static str,
    /// For each number of callers.
    rates: Vec<Rates>,
    trips: Trips,
}

pub(crate) fn run(options: Options) -> Result<Section> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path().display();
    let postgres = |url| format!("{url}?create_table_if_missing=true");
    let stores = [
        Some(("memory", "memory://".to_owned(), None)),
        servers::shared_redis().map(|it| ("redis", it.url().to_owned(), Some(it.port()))),
        servers::shared_postgres().map(|it| ("postgres", postgres(it.url()), Some(it.port()))),
        servers::shared_mariadb().map(|it| ("mysql", it.url(), Some(it.port()))),
        Some(("sqlite", format!("sqlite://{folder}/sessions.db"), None)),
        Some(("file", format!("file://{folder}/sessions"), None)),
        servers::shared_memcached().map(|it| ("memcached", it.url(), Some(it.port()))),
    ];
    let (milliseconds, rounds) = if options.quick { ("100", "1") } else { ("800", "5") };
    let mut findings = Vec::new();
    for (name, url, port) in stores.into_iter().flatten() {
        let rates = CALLERS.map(|callers| {
            process::found(&["calls", &url, &callers.to_string(), milliseconds, rounds])
        });
        let port = port.map(|port| format!("--port={port}"));
        let trips = [Some("trips"), Some(url.as_str()), port.as_deref()];
        let trips = process::found(&trips.into_iter().flatten().collect::<Vec<_>>())?;
        findings.push(Finding { name, rates: rates.into_iter().collect::<Result<_>>()?, trips });
    }
    let outages = outage::STORES.map(|store| Ok((store, process::found(&["outage", store])?)));
    section(&findings, &outages.into_iter().collect::<Result<Vec<_>>>()?)
}

impl Rates {
    /// Returns the medians of loads, saves and plain writes, and the cost of a save over a plain write.
    fn medians(&self) -> [f64; 4] {
        let [load, save, plain] = [&self.load, &self.save, &self.plain]
            .map(|rates| figures::median(rates.iter().copied()));
        [load, save, plain, plain / save]
    }
}

fn section(findings: &[Finding], outages: &[(&str, Outage)]) -> Result<Section> {
    let calls = |(at, callers): (usize, &usize)| {
        let caption = format!("Calls in a second, {callers} at a time");
        let head = ["store", "loads/s", "saves/s", "plain writes/s", "cost of a save"];
        let row = |Finding { name, rates, .. }: &Finding| {
            let [load, save, plain, cost] = rates[at].medians();
            cells(*name, [figure(load), figure(save), figure(plain), short(cost)])
        };
        Table::new(caption, head, findings.iter().map(row))
    };
    let trips = |Finding { name, trips, .. }: &Finding| {
        let Trips { new, reads, changes, does_not_ask } = trips;
        cells(*name, [new, reads, changes, does_not_ask].map(u64::to_string))
    };
    let head = ["store", "new session", "reads", "changes", "does not ask"];
    let trips = Table::new("Round trips of a request", head, findings.iter().map(trips));
    let outage = |(store, Outage { first, later, connections }): &(&str, Outage)| {
        cells(*store, [figure(*first), short(*later), connections.to_string()])
    };
    let caption = format!(
        "A server that is silent: {} visitors, a `store_timeout` of {} ms",
        outage::VISITORS,
        outage::TIMEOUT.as_millis()
    );
    let head =
        ["store", "last of the first answers (ms)", "last of later answers (ms)", "connections/s"];
    let outage_table = Table::new(caption, head, outages.iter().map(outage));
    let costs = findings.iter().filter_map(|finding| {
        let [.., value] = finding.rates.last()?.medians();
        Some(Bar { label: finding.name.to_owned(), value, is_ours: true })
    });
    let raw = findings.iter().map(|Finding { name, rates, trips }| {
        let calls = CALLERS.iter().zip(rates);
        let calls =
            calls.map(|(callers, rates)| json!({ "callers": callers, "per_second": rates }));
        json!({ "store": name, "calls": calls.collect::<Vec<_>>(), "round_trips": trips })
    });
    let title = "The time of a save over that of a plain write, with 32 callers";
    Ok(Section {
        title: "Stores",
        text: include_str!("section.md"),
        tables: CALLERS.iter().enumerate().map(calls).chain([trips, outage_table]).collect(),
        plots: vec![Plot::bars("stores", title, "times", costs)?],
        raw: raw.chain([json!({ "outages": outages })]).collect(),
        ..Section::default()
    })
}
