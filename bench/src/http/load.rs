//! Loads servers in turn, all with the same requests.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use express_session_testkit::servers;
use serde_json::{Value, json};

use super::round::Round;
use super::visitors::Visitors;
use crate::figures;
use crate::process::{Core, Options, Server};

/// A server that answers with a number of views.
pub(crate) trait Subject: Copy {
    fn name(self) -> String;

    /// Checks whether it has sessions, and so cookies.
    fn has_sessions(self) -> bool;

    /// Starts it. The Redis at this URL is for its sessions, if it keeps them there.
    fn start(self, redis: &str) -> Result<Server>;
}

/// The findings about one server.
#[derive(Debug)]
pub(crate) struct Loaded<S> {
    pub(crate) subject: S,
    pub(crate) rounds: Vec<Round>,
    /// Requests that were answered and not counted; `None` where there are no sessions.
    pub(crate) lost: Option<u64>,
}

/// A server while it is measured.
struct Run<S> {
    subject: S,
    server: Server,
    visitors: Visitors,
    cookies: PathBuf,
    rounds: Vec<Round>,
}

const VISITORS: usize = 1000;

/// Loads every server, in rounds that are interleaved.
pub(crate) fn load<S: Subject>(subjects: &[S], options: Options) -> Result<Vec<Loaded<S>>> {
    let (rounds, time) = if options.quick { (2, 1) } else { (5, 3) };
    let redis = servers::redis().context("Redis is not installed")?;
    let redis_process = redis.process().context("Redis has ended")?;
    Core::Other.take(redis_process)?;
    let folder = tempfile::tempdir()?;

    let mut runs = Vec::new();
    for subject in subjects {
        let server = subject.start(redis.url()).with_context(|| subject.name())?;
        let visitors = Visitors::new(server.port, VISITORS).with_context(|| subject.name())?;
        let (given, due) = (visitors.has_cookies(), subject.has_sessions());
        ensure!(given == due, "{}: cookies are {given}, sessions {due}", subject.name());
        let cookies = folder.path().join(format!("{}.cookies", runs.len()));
        runs.push(Run { subject: *subject, server, visitors, cookies, rounds: Vec::new() });
    }
    // A server without sessions gets the cookies of another: its requests are as long.
    let some = runs.iter().find(|run| run.visitors.has_cookies()).map(|run| run.visitors.clone());
    for run in &mut runs {
        let visitors = if run.visitors.has_cookies() { Some(&run.visitors) } else { some.as_ref() };
        visitors.context("there are no sessions at all")?.write(&run.cookies)?;
    }
    for number in 0..=rounds {
        for run in &mut runs {
            let round = Round::play(&run.server, &run.cookies, redis_process, time)
                .with_context(|| run.subject.name())?;
            run.visitors.came(round.requests);
            // In the first round, code is compiled and memory allocated.
            if number > 0 {
                run.rounds.push(round);
            }
        }
    }
    runs.into_iter().map(Run::end).collect()
}

impl<S: Subject> Run<S> {
    fn end(self) -> Result<Loaded<S>> {
        let Self { subject, server, visitors, rounds, .. } = self;
        let lost = subject.has_sessions().then(|| visitors.lost(server.port)).transpose()?;
        Ok(Loaded { subject, rounds, lost })
    }
}

impl<S> Loaded<S> {
    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        figures::median(self.rounds.iter().map(of))
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.median(Round::per_second)
    }

    /// Returns the processor time of a request in the server's process, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.median(Round::cpu_of_one) * 1e6
    }

    /// Returns the requests in a second of processor time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        1e6 / self.cpu_micros()
    }

    /// Returns the figures for other programs.
    pub(crate) fn raw(&self) -> Value
    where
        S: Subject,
    {
        json!({
            "server": self.subject.name(),
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
        [millis(|round| round.p50), millis(|round| round.p99), lost]
    }
}
