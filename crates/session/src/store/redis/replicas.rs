//! Waits until replicas have what was written.

use std::time::Duration;

use ::redis::{Cmd, Value, cmd};
use express_session_core::store::{Error, ErrorKind};

use super::answer;

/// How many replicas are to have a change before it counts as made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replicas {
    count: usize,
    millis: u64,
}

impl Replicas {
    /// Returns `None` if there are no replicas to wait for.
    pub(super) fn new(count: usize, timeout: Duration) -> Option<Self> {
        // To the server, no milliseconds are for ever.
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST);
        (count > 0).then_some(Self { count, millis })
    }

    /// Makes the command that waits for what was sent before it on the same connection.
    pub(super) fn command(self) -> Cmd {
        let mut wait = cmd("WAIT");
        wait.arg(self.count).arg(self.millis);
        wait
    }

    /// Reads from the answer to [`command`](Self::command) whether there were enough.
    pub(super) fn check(self, answer: &Value) -> Result<(), Error> {
        let had = answer::number(answer)?;
        if usize::try_from(had).is_ok_and(|had| had >= self.count) {
            return Ok(());
        }
        let Self { count, millis } = self;
        let message = format!("{had} of {count} replicas had the change within {millis} ms");
        Err(Error::new(ErrorKind::TimedOut, message))
    }
}

/// The longest timeout, within the numbers of every server: a day.
const LONGEST: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that are sent, without their lengths.
    fn words(replicas: Replicas) -> String {
        let packed = String::from_utf8(replicas.command().get_packed_command()).unwrap();
        let words = packed.split_terminator("\r\n").filter(|word| !word.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn server_is_never_asked_to_wait_for_ever() {
        let words = |timeout| words(Replicas::new(2, timeout).unwrap());
        assert_eq!(words(Duration::ZERO), "WAIT 2 1");
        assert_eq!(words(Duration::from_micros(10)), "WAIT 2 1");
        assert_eq!(words(Duration::from_millis(250)), "WAIT 2 250");
        assert_eq!(words(Duration::MAX), "WAIT 2 86400000");
        assert!(Replicas::new(0, Duration::from_secs(1)).is_none());
    }

    #[test]
    fn too_few_replicas_are_an_error_that_says_how_many_had_it() {
        let replicas = Replicas::new(2, Duration::from_millis(250)).unwrap();
        replicas.check(&Value::Int(2)).unwrap();
        replicas.check(&Value::Int(3)).unwrap();
        let error = replicas.check(&Value::Int(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("1 of 2 replicas"), "{error}");
        assert_eq!(replicas.check(&Value::Nil).unwrap_err().kind(), ErrorKind::Other);
    }
}
