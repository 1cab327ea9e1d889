//! The state of a circuit breaker: a pure machine, whose times are durations since its beginning.
//!
//! | state | event | next |
//! |---|---|---|
//! | closed | a call is not answered, and none has been since it began | open |
//! | closed | connecting fails | open |
//! | open | a probe is due: the first immediately, then one after each pause | open, a probe begins |
//! | open | a probe is answered | closed |
//!
//! A probe that is not answered does not delay the next one: a server that was silent may never answer a connection that
//! was made meanwhile.

use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};

/// The shortest pause between two probes, and what is added at random. With the call that failed and the first probe, a
/// server sees at most three connections in any second, and the first probe after its return begins within 0.6 s.
const PAUSE: Duration = Duration::from_millis(500);
const JITTER: Duration = Duration::from_millis(100);

/// A call waits this long for the answer to a probe that has just begun, so that one lost answer of a healthy server
/// fails no other call.
const GRACE: Duration = Duration::from_millis(40);

/// Closed, or open during an outage.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    error: Error,
    begun: Duration,
    /// When the last probe began, or the outage before the first one.
    last: Duration,
    pause: Duration,
    is_probed: bool,
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
    pub(super) fn is_open(&self) -> bool {
        self.outage.is_some()
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
            refused: 0,
        });
        true
    }

    /// Begins a probe if one is due.
    pub(super) fn begin_probe(&mut self, now: Duration, random: f64) -> bool {
        let Some(outage) = &mut self.outage else { return false };
        if outage.is_probed && now < outage.next() {
            return false;
        }
        (outage.last, outage.pause, outage.is_probed) = (now, pause(random), true);
        true
    }

    /// Returns when the next probe begins, if no call begins it earlier.
    pub(super) fn next_probe(&self) -> Option<Duration> {
        self.outage.as_ref().map(Outage::next)
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

    /// Closes, since a probe was answered.
    pub(super) fn close(&mut self, now: Duration) -> Option<Ended> {
        let outage = self.outage.take()?;
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
        assert_eq!(circuit.grace(), Some(at(140)));
        circuit.close(at(110));
        assert_eq!(circuit.grace(), None);
    }
}
