//! The results of the requests of one case.

use std::time::Duration;

use crate::cluster::Timed;

/// The counts of one round, or of several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests that tried to change the session.
    pub(crate) sent: u64,
    /// Changes with a successful response that are missing afterwards.
    pub(crate) lost: u64,
    /// Requests whose response reported a failure, so that the change is not lost.
    pub(crate) refused: u64,
    /// Sessions that exist although they were destroyed.
    pub(crate) resurrected: u64,
    pub(crate) refusal: Option<String>,
    pub(crate) times: Vec<Duration>,
}

impl Tally {
    /// Counts the answers of the writers.
    pub(crate) fn of(answers: &[Timed]) -> Self {
        let mut tally = Self::default();
        for Timed { answer, took } in answers {
            tally.sent += 1;
            tally.times.push(*took);
            if !answer.status.is_success() {
                tally.refused += 1;
                tally.refusal.get_or_insert_with(|| answer.told());
            }
        }
        tally
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.refused += other.refused;
        self.resurrected += other.resurrected;
        self.times.extend(other.times);
        if self.refusal.is_none() {
            self.refusal = other.refusal;
        }
    }

    /// Returns the time within which this percentage of the requests was answered.
    pub(crate) fn within(&self, percent: usize) -> Option<Duration> {
        let mut times = self.times.clone();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100);
        times.get(rank.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::site::Answer;

    fn answers(statuses: impl IntoIterator<Item = u16>) -> Vec<Timed> {
        let timed = |(number, status): (u64, u16)| Timed {
            answer: Answer {
                status: StatusCode::from_u16(status).unwrap(),
                cookie: None,
                body: "no\nmore".to_owned(),
            },
            took: Duration::from_millis(number),
        };
        (1..).zip(statuses).map(timed).collect()
    }

    #[test]
    fn refusals_are_counted_and_the_first_is_kept() {
        let mut tally = Tally::of(&answers([200, 503]));
        tally.add(Tally::of(&answers([409])));
        assert_eq!((tally.sent, tally.refused), (3, 2));
        assert_eq!(tally.refusal.as_deref(), Some("503 Service Unavailable no"));
    }

    #[test]
    fn percentile_is_the_time_of_a_request() {
        let tally = Tally::of(&answers([200; 200]));
        assert_eq!(tally.within(50), Some(Duration::from_millis(100)));
        assert_eq!(tally.within(99), Some(Duration::from_millis(198)));
        assert_eq!(Tally::of(&answers([200])).within(99), Some(Duration::from_millis(1)));
        assert_eq!(Tally::default().within(99), None);
    }
}
