//! The time of a request.
//!
//! All subjects run in one process, one round of each after the other, so that a disturbance of the machine reaches
//! them alike. A cost is the difference between a subject's round and the round of its bare service beside it.

use anyhow::Result;
use bench_hot::{Case, Prepared};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::subjects::{self, Subject};
use super::{Found, key};
use crate::machine;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds of each subject
    rounds: u32,
    /// How long a round takes, in microseconds
    micros: u32,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Times {
    /// How many requests a round has.
    requests: u64,
    /// Nanoseconds of a request, in each round.
    pub(super) rounds: Vec<f64>,
}

impl Args {
    pub(crate) fn run(self) -> Result<Found<Times>> {
        let runtime = subjects::runtime()?;
        let mut all = Found::new();
        for case in Case::ALL {
            all.extend(self.measure(case, &runtime)?);
        }
        Ok(all)
    }

    fn measure(self, case: Case, runtime: &Runtime) -> Result<Found<Times>> {
        let lanes = subjects::ALL.iter().map(|subject| self.lane(subject, case, runtime));
        let mut lanes = lanes.collect::<Result<Vec<_>>>()?;
        for round in 0..self.rounds as usize {
            // Each round begins with another subject, so that no subject always runs behind the same one.
            let first = round % lanes.len();
            let (behind, before) = lanes.split_at_mut(first);
            for lane in before.iter_mut().chain(behind) {
                lane.round(case, runtime)?;
            }
        }
        Ok(lanes.into_iter().map(|lane| (key(lane.subject.name, case), lane.times)).collect())
    }

    /// Checks the subject, and estimates how many requests make a round.
    fn lane(self, subject: &'static Subject, case: Case, runtime: &Runtime) -> Result<Lane> {
        let mut prepared = subject.prepare(case, runtime)?;
        subject.check(case, &mut prepared, runtime)?;
        let trial = 200;
        let took = timed(trial, || prepared.run(runtime, trial))?;
        let round = f64::from(self.micros) * 1000.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let requests = (round / took).clamp(10.0, 100_000.0) as u64;
        Ok(Lane { subject, prepared, times: Times { requests, rounds: Vec::new() } })
    }
}

struct Lane {
    subject: &'static Subject,
    prepared: Prepared,
    times: Times,
}

impl Lane {
    fn round(&mut self, case: Case, runtime: &Runtime) -> Result<()> {
        if case.fills_the_store() {
            self.prepared = self.subject.prepare(case, runtime)?;
        } else {
            // These warm the caches, which the other subjects have filled.
            self.prepared.run(runtime, 64)?;
        }
        let requests = self.times.requests;
        self.times.rounds.push(timed(requests, || self.prepared.run(runtime, requests))?);
        Ok(())
    }
}

/// Returns the nanoseconds of one request, of the so many that are sent.
#[expect(clippy::cast_precision_loss, reason = "few requests")]
pub(super) fn timed(requests: u64, send: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = machine::instant();
    send()?;
    Ok(start.elapsed().as_secs_f64() * 1e9 / requests as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_measured_in_every_round() {
        let runtime = subjects::runtime().unwrap();
        let time = Args { rounds: 3, micros: 1 };
        let times = time.measure(Case::New, &runtime).unwrap();
        assert_eq!(times.len(), subjects::ALL.len());
        for (key, times) in times {
            assert_eq!(times.rounds.len(), 3, "{key}");
        }
    }
}
