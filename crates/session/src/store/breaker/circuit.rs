//! The state of a circuit breaker: a pure machine, whose times are durations since its beginning.
//!
//! | state | event | next |
//! |---|---|---|
//! | closed | a call is not answered, and none has been since it began | open |
//! | closed | connecting fails | open |
//! | open | a probe is due: the first immediately, then one after each pause | open, a probe begins |
//! | open | a probe is answered | closed |
//! | open, soon after it was closed | a probe is answered | half open: one call is admitted |
//! | half open | the admitted call is answered | closed |
//! | half open | the admitted call is not answered | open |
//!
//! A probe that is not answered does not delay the next one: a server that was silent may never answer a connection that
//! was made meanwhile. While it is half open, each further probe that is answered admits one more call: the first one may
//! wait for something that concerns no other, as a locked row.

use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};

/// The shortest pause between two probes, and what is added at random. With the call that failed and the first probe, a
/// server sees at most three connections in any second, and the first probe after its return begins within 0.6 s.
const PAUSE: Duration = Duration::from_millis(500);
const JITTER: Duration = Duration::from_millis(100);

/// A call waits this long for the answer to a probe that has just begun, so that one lost answer of a healthy server
/// fails no other call.
const GRACE: Duration = Duration::from_millis(20);

/// An outage that begins so soon after another is the same one: the probe was answered, and the calls were not. It is
/// longer than the default timeout of the calls that the end of the other has admitted.
const RELAPSE: Duration = Duration::from_secs(10);

/// Closed, or open during an outage.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    outage: Option<Outage>,
    closed: Option<Duration>,
}

#[derive(Debug)]
struct Outage {
    error: Error,
    begun: Duration,
    /// When the last probe began, or the outage before the first one.
    last: Duration,
    pause: Duration,
    is_probed: bool,
    is_relapse: bool,
    /// Whether a call may be admitted on trial.
    has_trial: bool,
    /// How many calls are under way on trial.
    tried: usize,
    refused: u64,
}

/// The figures of an outage that is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) lasted: Duration,
    /// How many calls failed without reaching the server.
    pub(super) refused: u64,
}

impl Circuit {
    pub(super) fn is_closed(&self) -> bool {
        self.outage.is_none()
    }

    /// Returns whether no call may connect, not even one on trial.
    pub(super) fn is_open(&self) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.tried == 0)
    }

    /// Returns whether a call may be admitted.
    pub(super) fn admits(&self) -> bool {
        self.outage.as_ref().is_none_or(|outage| outage.has_trial)
    }

    /// Admits one call on trial, if there is a place for one.
    pub(super) fn begin_trial(&mut self) -> bool {
        let Some(outage) = self.outage.as_mut().filter(|outage| outage.has_trial) else {
            return false;
        };
        outage.has_trial = false;
        outage.tried += 1;
        true
    }

    /// Ends a trial without an answer.
    pub(super) fn end_trial(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.tried = outage.tried.saturating_sub(1);
        }
    }

    /// Opens, and returns whether it was closed. `random` is from 0 to 1.
    pub(super) fn open(&mut self, error: &Error, now: Duration, random: f64) -> bool {
        if let Some(outage) = &mut self.outage {
            outage.error = error.clone();
            return false;
        }
        self.outage = Some(Outage {
            error: error.clone(),
            begun: now,
            last: now,
            pause: pause(random),
            is_probed: false,
            is_relapse: self.closed.is_some_and(|closed| now.saturating_sub(closed) < RELAPSE),
            has_trial: false,
            tried: 0,
            refused: 0,
        });
        true
    }

    /// Begins a probe if one is due. None is while the last answer has admitted a call that has not come yet.
    pub(super) fn begin_probe(&mut self, now: Duration, random: f64) -> bool {
        let Some(outage) = self.outage.as_mut().filter(|outage| !outage.has_trial) else {
            return false;
        };
        if outage.is_probed && now < outage.next() {
            return false;
        }
        (outage.last, outage.pause, outage.is_probed) = (now, pause(random), true);
        true
    }

    /// Returns when the next probe begins, if no call begins it earlier; `None` if only a call can end the outage.
    pub(super) fn next_probe(&self) -> Option<Duration> {
        self.outage.as_ref().filter(|outage| !outage.has_trial).map(Outage::next)
    }

    /// Returns until when a call waits for the answer to a probe.
    pub(super) fn grace(&self) -> Option<Duration> {
        let probed = self.outage.as_ref().filter(|outage| outage.is_probed);
        probed.map(|outage| outage.last + GRACE)
    }

    /// Counts a call that fails without reaching the server, and returns its error.
    pub(super) fn refuse(&mut self, now: Duration) -> Option<Error> {
        let outage = self.outage.as_mut()?;
        outage.refused += 1;
        let left = outage.next().saturating_sub(now);
        let is_silent = matches!(outage.error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut);
        let error = if is_silent {
            let left = left.as_millis();
            let message = format!("the server does not answer; it is tried again in {left} ms");
            Error::new(ErrorKind::Unavailable, message).with_source(outage.error.clone())
        } else {
            outage.error.clone()
        };
        Some(error.with_retry_after(left))
    }

    /// Closes since a probe was answered, or admits a call on trial.
    pub(super) fn probed(&mut self, now: Duration) -> Option<Ended> {
        match &mut self.outage {
            Some(outage) if outage.is_relapse => {
                outage.has_trial = true;
                None
            }
            Some(_) | None => self.close(now),
        }
    }

    /// Closes, since a call was answered.
    pub(super) fn close(&mut self, now: Duration) -> Option<Ended> {
        let outage = self.outage.take()?;
        self.closed = Some(now);
        Some(Ended { lasted: now.saturating_sub(outage.begun), refused: outage.refused })
    }
}

impl Outage {
    fn next(&self) -> Duration {
        self.last + self.pause
    }
}

fn pause(random: f64) -> Duration {
    PAUSE + JITTER.mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn open(now: Duration) -> Circuit {
        let mut circuit = Circuit::default();
        let error = Error::new(ErrorKind::TimedOut, "no answer");
        assert!(circuit.open(&error, now, 0.0));
        assert!(!circuit.open(&error, now, 0.0));
        circuit
    }

    #[test]
    fn first_probe_is_due_immediately_and_each_further_one_after_its_pause() {
        let mut circuit = open(at(1000));
        let begun = [1000, 1001, 1499, 1500, 1501, 2099, 2100]
            .map(|now| circuit.begin_probe(at(now), if now < 1500 { 0.0 } else { 1.0 }));
        assert_eq!(begun, [true, false, false, true, false, false, true]);
        assert_eq!(circuit.next_probe(), Some(at(2700)));
    }

    #[test]
    fn audit_m3_no_second_has_more_than_three_connections_and_none_has_less_than_one() {
        for random in [0.0, 0.3, 1.0] {
            let mut circuit = open(at(0));
            // The call that failed connected too.
            let mut connections: Vec<u64> = vec![0];
            connections.extend((0..10_000).filter(|now| circuit.begin_probe(at(*now), random)));
            let within = |from: u64| {
                let second = from..from + 1000;
                connections.iter().filter(|at| second.contains(at)).count()
            };
            assert!((0..9000).all(|from| (1..=3).contains(&within(from))));
            assert!(connections.windows(2).all(|two| two[1] - two[0] <= 600));
        }
    }

    #[test]
    fn refused_call_is_unavailable_and_says_when_the_next_probe_is() {
        let mut circuit = open(at(0));
        circuit.begin_probe(at(100), 0.5);
        let error = circuit.refuse(at(200)).unwrap();
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Unavailable, Some(at(450))));
        assert!(error.to_string().contains("450 ms"), "{error}");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("no answer"));
        // A wrong password stays what it is.
        circuit.open(&Error::new(ErrorKind::Refused, "no such role"), at(300), 0.0);
        assert_eq!(circuit.refuse(at(9000)).unwrap().kind(), ErrorKind::Refused);
        assert_eq!(circuit.close(at(9000)), Some(Ended { lasted: at(9000), refused: 2 }));
        assert!(circuit.refuse(at(9000)).is_none() && circuit.close(at(9000)).is_none());
    }

    #[test]
    fn only_a_probe_that_has_just_begun_is_waited_for() {
        let mut circuit = open(at(0));
        assert_eq!(circuit.grace(), None);
        circuit.begin_probe(at(100), 0.0);
        assert_eq!(circuit.grace(), Some(at(120)));
        circuit.close(at(110));
        assert_eq!(circuit.grace(), None);
    }

    #[test]
    fn outage_soon_after_another_ends_with_a_call_and_not_with_a_probe() {
        let mut circuit = open(at(0));
        assert!(circuit.probed(at(100)).is_some());
        assert!(circuit.is_closed() && circuit.admits() && !circuit.begin_trial());

        let error = Error::new(ErrorKind::TimedOut, "no answer");
        assert!(circuit.open(&error, at(5100), 0.0));
        assert!(circuit.is_open() && !circuit.admits() && !circuit.begin_trial());
        assert_eq!(circuit.probed(at(5200)), None);
        // One call, which may connect.
        assert!(circuit.is_open() && circuit.admits());
        // Until it comes, an idle process does not probe any more.
        assert!(circuit.next_probe().is_none() && !circuit.begin_probe(at(60_000), 0.0));
        assert!(circuit.begin_trial() && !circuit.begin_trial());
        assert!(!circuit.is_open() && !circuit.is_closed() && !circuit.admits());
        // The next probe that is answered admits another.
        assert_eq!(circuit.probed(at(5700)), None);
        assert!(circuit.begin_trial());
        circuit.end_trial();
        assert!(!circuit.is_open());
        circuit.end_trial();
        assert!(circuit.is_open());

        assert_eq!(circuit.close(at(7100)), Some(Ended { lasted: at(2000), refused: 0 }));
        circuit.end_trial();
        assert!(circuit.is_closed());
        // Later it is another outage.
        assert!(circuit.open(&error, at(17_100), 0.0));
        assert!(circuit.probed(at(17_200)).is_some());
    }
}
