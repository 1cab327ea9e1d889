//! The time for which callers have waited in vain: a pure machine, whose times are durations since its beginning.
//!
//! Callers that leave early say little each. Together they say that nothing answers: what counts is the time during which
//! at least one of them waited, since the last answer. The time between two calls does not count.

use std::time::Duration;

/// A server that has answered none of its calls for so long is out.
pub(super) const SILENCE: Duration = Duration::from_millis(400);

#[derive(Debug, Default)]
pub(super) struct Silence {
    lasted: Duration,
    /// The waiting before this has been counted.
    counted: Duration,
}

impl Silence {
    /// Counts a call whose caller has left, and returns whether the server has been silent for [`SILENCE`]. `answered` is
    /// when the server has last answered any call.
    pub(super) fn left(&mut self, begun: Duration, answered: Duration, now: Duration) -> bool {
        if answered > begun {
            // The server answers others: this call is slow.
            return false;
        }
        if answered >= self.counted {
            self.lasted = Duration::ZERO;
        }
        self.lasted += now.saturating_sub(begun.max(self.counted));
        self.counted = self.counted.max(now);
        self.lasted >= SILENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Each call is its begin, the last answer, and the time at which its caller leaves.
    fn silent(calls: &[(u64, u64, u64)]) -> Vec<bool> {
        let mut silence = Silence::default();
        calls
            .iter()
            .map(|(begun, answered, now)| silence.left(at(*begun), at(*answered), at(*now)))
            .collect()
    }

    #[test]
    fn callers_that_leave_early_show_together_that_the_server_is_silent() {
        // One caller that waits as long.
        assert_eq!(silent(&[(1000, 900, 1400)]), [true]);
        // Overlapping calls: what two of them wait counts once.
        assert_eq!(
            silent(&[(1000, 0, 1250), (1010, 0, 1260), (1140, 0, 1390), (1150, 0, 1400)]),
            [false, false, false, true],
        );
        // One after the other, with pauses that do not count.
        assert_eq!(
            silent(&[(1000, 0, 1250), (9000, 0, 9100), (20_000, 0, 20_050)]),
            [false, false, true]
        );
    }

    #[test]
    fn answer_of_the_server_ends_the_silence() {
        assert_eq!(
            silent(&[(1000, 0, 1250), (2000, 1500, 2250), (3000, 1500, 3150)]),
            [false, false, true]
        );
        // A call that takes long while others are answered.
        assert_eq!(silent(&[(1000, 1001, 9000), (9000, 1001, 9001)]), [false, false]);
        // Clients that hang up immediately, while nothing else is asked.
        let hasty: Vec<_> = (0..300).map(|n| (n * 1000, 0, n * 1000 + 1)).collect();
        assert!(silent(&hasty).iter().all(|is_silent| !is_silent));
    }
}
