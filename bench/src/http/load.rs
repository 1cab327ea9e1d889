//! Loads servers in turn, all with the same requests.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use express_session_testkit::servers;
use serde_json::{Value, json};

use super::round::Round;
use super::visitors::Visitors;
use crate::figures;
use crate::process::{self, Core, Options, Server};

/// A server that answers with a number of views.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// Which of server.mjs, on Node; `None` for a server of this program.
    pub(crate) application: Option<&'static str>,
    pub(crate) library: &'static str,
    /// Where it keeps its sessions: `none` if it has none, and so no cookies.
    pub(crate) store: &'static str,
}

impl Subject {
    fn has_sessions(self) -> bool {
        self.store != "none"
    }

    /// Starts it. The Redis at this URL is for its sessions, if it keeps them there.
    fn start(self, redis: &str) -> Result<Server> {
        let mut command = match self.application {
            Some(_) => Core::Measured.node()?,
            None => Core::Measured.command(process::itself()?),
        };
        command.args(self.application.map_or(vec!["serve"], |name| vec!["server.mjs", name]));
        Server::start(command.args([self.library, self.store, redis]))
    }
}

/// The findings about one server.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) subject: Subject,
    rounds: Vec<Round>,
    /// Requests that were answered and not counted; `None` where there are no sessions.
    lost: Option<u64>,
}

const VISITORS: usize = 1000;

/// Loads every server, in rounds that are interleaved.
pub(crate) fn load(subjects: &[Subject], options: Options) -> Result<Vec<Loaded>> {
    let (rounds, time) = if options.quick { (2, 1) } else { (5, 3) };
    let redis = servers::redis().context("Redis is not installed")?;
    let redis_process = redis.process().context("Redis has ended")?;
    Core::Other.take(redis_process)?;
    let folder = tempfile::tempdir()?;

    let mut runs = Vec::new();
    for subject in subjects {
        let server = subject.start(redis.url()).context(subject.name)?;
        let visitors = Visitors::new(server.port, VISITORS).context(subject.name)?;
        let (given, due) = (!visitors.cookies.is_empty(), subject.has_sessions());
        ensure!(given == due, "{}: cookies are {given}, sessions {due}", subject.name);
        let loaded = Loaded { subject: *subject, rounds: Vec::new(), lost: None };
        runs.push((loaded, server, visitors));
    }
    // A server without sessions gets the cookies of another: its requests are as long.
    let some = runs.iter().find(|(loaded, ..)| loaded.subject.has_sessions());
    let (.., some) = some.context("there are no sessions at all")?;
    let file = |subject: Subject| folder.path().join(format!("{}.cookies", subject.name));
    for (Loaded { subject, .. }, _, own) in &runs {
        let visitors = if subject.has_sessions() { own } else { some };
        fs::write(file(*subject), visitors.cookies.join("\n"))?;
    }
    for number in 0..=rounds {
        for (loaded, server, visitors) in &mut runs {
            let round = Round::play(server, &file(loaded.subject), redis_process, time)
                .context(loaded.subject.name)?;
            visitors.requests += round.printed.requests;
            // In the first round, code is compiled and memory allocated.
            if number > 0 {
                loaded.rounds.push(round);
            }
        }
    }
    let end = |(mut loaded, server, visitors): (Loaded, Server, Visitors)| {
        let has_sessions = loaded.subject.has_sessions();
        loaded.lost = has_sessions.then(|| visitors.lost(server.port)).transpose()?;
        Ok(loaded)
    };
    runs.into_iter().map(end).collect()
}

impl Loaded {
    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        figures::median(self.rounds.iter().map(of))
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.median(|round| round.printed.requests as f64 / round.printed.seconds)
    }

    /// Returns the processor time of a request in the server's process, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.median(|round| round.cpu_seconds / round.printed.requests as f64) * 1e6
    }

    /// Returns the requests in a second of processor time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        1e6 / self.cpu_micros()
    }

    /// Returns the figures for other programs.
    pub(crate) fn raw(&self) -> Value {
        json!({
            "server": self.subject.name,
            "requests_per_second": self.per_second(),
            "cpu_microseconds_per_request": self.cpu_micros(),
            "lost": self.lost,
            "rounds": self.rounds,
        })
    }

    /// Returns the cells of two percentiles in milliseconds, and of the lost requests.
    pub(crate) fn last_cells(&self) -> [String; 3] {
        let millis = |of: fn(&Round) -> f64| format!("{:.2}", self.median(of) / 1000.0);
        let lost = self.lost.map(|lost| lost.to_string()).unwrap_or_default();
        [millis(|round| round.printed.p50), millis(|round| round.printed.p99), lost]
    }
}
