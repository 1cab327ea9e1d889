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
    pub(crate) redis_cpu_seconds: f64,
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

const SCRIPT: &str = include_str!("visitors.lua");
const CONNECTIONS: &str = "32";
/// A request that takes longer hangs: no machine is busy with something else for that long.
const TIMEOUT: &str = "20s";

impl Round {
    /// Loads a server for so many seconds, with the cookies of a file.
    pub(crate) fn play(server: &Server, cookies: &Path, redis: u32, seconds: u32) -> Result<Self> {
        let script = cookies.with_extension("lua");
        fs::write(&script, SCRIPT)?;
        let times =
            || Ok::<_, Error>([server.cpu()?, process::cpu(redis)?, process::cpu_of_ended()?]);
        let before = times()?;
        let mut wrk = Core::Other.command("wrk");
        wrk.args(["--threads", "1", "--connections", CONNECTIONS, "--timeout", TIMEOUT]);
        wrk.arg("--duration").arg(format!("{seconds}s")).arg("--script").arg(&script);
        wrk.arg(format!("http://127.0.0.1:{}/", server.port)).arg("--").arg(cookies);
        let text = process::output(&mut wrk)?;
        let after = times()?;
        let spent = |at: usize| (after[at] - before[at]).as_secs_f64();
        let printed = text.lines().last().context("wrk prints nothing")?;
        let printed: Printed =
            serde_json::from_str(printed).context("wrk prints something else")?;
        let failed = &printed.failed;
        ensure!(failed.values().all(|count| *count == 0), "requests failed: {failed:?}");
        Ok(Self {
            printed,
            cpu_seconds: spent(0),
            redis_cpu_seconds: spent(1),
            wrk_cpu_seconds: spent(2),
        })
    }
}
