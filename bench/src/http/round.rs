//! One round of load on one server.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Error, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::process::{self, Core, Server};

#[derive(Debug, Serialize)]
pub(crate) struct Round {
    #[serde(flatten)]
    pub(crate) printed: Printed,
    pub(crate) cpu_seconds: f64,
    /// In the server of the data; none if it has no process of its own.
    pub(crate) data_cpu_seconds: f64,
    pub(crate) wrk_cpu_seconds: f64,
}

/// The output of the load generator's script.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Printed {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Requests without an answer, or with a status that is no success.
    failed: BTreeMap<String, u64>,
    /// In microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// A load that leaves the server time.
#[derive(Debug, Serialize)]
pub(crate) struct Paced {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    /// Of the responses, in microseconds.
    pub(crate) p99: f64,
    /// Of the event loop, in microseconds.
    pub(crate) delay_p99: f64,
}

const SCRIPT: &str = include_str!("visitors.lua");
const CONNECTIONS: u32 = 32;
/// Those of a pace: so many that the time of an answer is short beside the pause before the next request.
const PACED_CONNECTIONS: u32 = 128;
/// A request that takes longer hangs: no machine is busy with something else for that long.
const TIMEOUT: &str = "20s";

impl Round {
    /// Loads a path of a server for so many seconds, with the cookies of a file.
    pub(crate) fn play(
        server: &Server,
        path: &str,
        cookies: &Path,
        data: Option<u32>,
        seconds: u32,
    ) -> Result<Self> {
        let times = || {
            let data = data.map(process::cpu_of_family).transpose()?.unwrap_or_default();
            Ok::<_, Error>([server.cpu()?, data, process::cpu_of_ended()?])
        };
        let before = times()?;
        let printed = requests(server, path, cookies, seconds, None)?;
        let after = times()?;
        let spent = |at: usize| after[at].saturating_sub(before[at]).as_secs_f64();
        Ok(Self {
            printed,
            cpu_seconds: spent(0),
            data_cpu_seconds: spent(1),
            wrk_cpu_seconds: spent(2),
        })
    }
}

impl Paced {
    /// Loads a server for so many seconds with so many requests in each.
    pub(crate) fn play(server: &Server, cookies: &Path, pace: f64, seconds: u32) -> Result<Self> {
        // A request that finds the answer of the one before it begins a measurement of the delay.
        delay(server)?;
        let printed = requests(server, "/", cookies, seconds, Some(pace))?;
        Ok(Self {
            requests: printed.requests,
            per_second: printed.requests as f64 / printed.seconds,
            p99: printed.p99,
            delay_p99: delay(server)?,
        })
    }
}

/// Runs the load generator, without pauses or with those of a pace.
fn requests(
    server: &Server,
    path: &str,
    cookies: &Path,
    seconds: u32,
    pace: Option<f64>,
) -> Result<Printed> {
    let script = cookies.with_extension("lua");
    fs::write(&script, SCRIPT)?;
    let mut wrk = Core::Other.command("wrk");
    let connections = if pace.is_some() { PACED_CONNECTIONS } else { CONNECTIONS };
    wrk.args(["--threads", "1", "--timeout", TIMEOUT, "--connections"])
        .arg(connections.to_string());
    wrk.arg("--duration").arg(format!("{seconds}s")).arg("--script").arg(&script);
    wrk.arg(format!("http://127.0.0.1:{}{path}", server.port)).arg("--").arg(cookies);
    // Each connection pauses between its requests.
    wrk.args(pace.map(|pace| (f64::from(connections) * 1000.0 / pace).to_string()));
    let text = process::output(&mut wrk)?;
    let printed = text.lines().last().context("wrk prints nothing")?;
    let printed: Printed = serde_json::from_str(printed).context("wrk prints something else")?;
    let failed = &printed.failed;
    ensure!(failed.values().all(|count| *count == 0), "requests failed: {failed:?}");
    Ok(printed)
}

/// Returns the delay of the event loop since the last question, which 99 of 100 turns do not exceed.
fn delay(server: &Server) -> Result<f64> {
    #[derive(Deserialize)]
    struct Delay {
        p99: f64,
    }
    let mut answer = ureq::get(format!("http://127.0.0.1:{}/delay", server.port)).call()?;
    let delay: Delay = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    Ok(delay.p99)
}
