//! One round of load on one server.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::process::{self, Core, Server};

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    pub(super) requests: u64,
    pub(super) failed: u64,
    seconds: f64,
    cpu_seconds: f64,
    redis_cpu_seconds: f64,
    /// In microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// What the script of the load generator prints.
#[derive(Deserialize)]
struct Printed {
    requests: u64,
    microseconds: u64,
    failed: u64,
    p50: f64,
    p99: f64,
}

const SCRIPT: &str = include_str!("visitors.lua");
const CONNECTIONS: &str = "32";

impl Round {
    /// Loads a server for so many seconds, with a file of cookies.
    pub(super) fn play(server: &Server, cookies: &Path, redis: u32, seconds: u32) -> Result<Self> {
        let script = cookies.with_extension("lua");
        fs::write(&script, SCRIPT)?;
        let before = (server.cpu()?, process::cpu(redis)?);
        let mut wrk = Core::Other.command("wrk");
        wrk.args(["--threads", "1", "--connections", CONNECTIONS, "--duration"]);
        wrk.arg(format!("{seconds}s")).arg("--script").arg(&script);
        wrk.arg(format!("http://127.0.0.1:{}/", server.port)).arg("--").arg(cookies);
        let text = process::output(&mut wrk)?;
        let after = (server.cpu()?, process::cpu(redis)?);
        let printed = text.lines().last().context("wrk prints nothing")?;
        let printed: Printed =
            serde_json::from_str(printed).context("wrk prints something else")?;
        Ok(Self {
            requests: printed.requests,
            failed: printed.failed,
            seconds: printed.microseconds as f64 / 1e6,
            cpu_seconds: (after.0 - before.0).as_secs_f64(),
            redis_cpu_seconds: (after.1 - before.1).as_secs_f64(),
            p50: printed.p50,
            p99: printed.p99,
        })
    }

    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// In seconds.
    pub(super) fn cpu_of_one(&self) -> f64 {
        self.cpu_seconds / self.requests as f64
    }

    pub(super) fn redis_cpu_of_one(&self) -> f64 {
        self.redis_cpu_seconds / self.requests as f64
    }

    /// The share of its core that the server took.
    pub(super) fn busy(&self) -> f64 {
        self.cpu_seconds / self.seconds
    }
}
