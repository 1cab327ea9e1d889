//! Reads what the server answered.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "of the driver's many kinds of values a command answers one or two; all others are none"
)]

use std::sync::Arc;
use std::time::Duration;

use ::redis::{RedisError, Value};
use express_session_core::Timestamp;
use express_session_core::store::{Error, ErrorKind, Loaded, Record, Revision};

use super::error::{self, Stage};

/// Makes the error for an answer that the command does not have.
pub(super) fn unexpected() -> Error {
    Error::new(ErrorKind::Other, "the server's answer is not one of Redis")
}

/// Returns as many answers as there were commands.
pub(super) fn exactly<const COUNT: usize>(answers: Vec<Value>) -> Result<[Value; COUNT], Error> {
    answers.try_into().map_err(|_| unexpected())
}

/// Returns the only answer, or the server's error.
pub(super) fn only(answers: Vec<Value>) -> Result<Value, Error> {
    let [answer] = exactly(answers)?;
    answer.extract_error().map_err(|error| error::of(error, Stage::Asking))
}

pub(super) fn number(answer: &Value) -> Result<i64, Error> {
    match answer {
        Value::Int(number) => Ok(*number),
        other => Err(refusal(other)),
    }
}

/// Reads what `TIME` answered: seconds, and microseconds on top.
pub(super) fn time(answer: Value) -> Result<Timestamp, Error> {
    let (seconds, micros): (i64, i64) =
        redis::from_redis_value(answer).map_err(|_| unexpected())?;
    Ok(Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000)))
}

/// Reads bytes, or that there are none.
pub(super) fn bytes(answer: Value) -> Result<Option<Vec<u8>>, Error> {
    match answer {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        other => Err(refusal(&other)),
    }
}

/// Reads several values, or that there are none.
pub(super) fn list(answer: Value) -> Result<Option<Vec<Value>>, Error> {
    match answer {
        Value::Array(values) => Ok(Some(values)),
        Value::Nil => Ok(None),
        other => Err(refusal(&other)),
    }
}

/// Reads whether something was done.
pub(super) fn done(answer: &Value) -> Result<bool, Error> {
    match answer {
        Value::Okay => Ok(true),
        Value::Nil => Ok(false),
        other => Err(refusal(other)),
    }
}

/// Returns whether the login may not use the command.
pub(super) fn is_refused(answer: &Value) -> bool {
    error_among(std::slice::from_ref(answer), error::is_of_command).is_some()
}

/// Finds the first error among answers that `is_sought`.
pub(super) fn error_among(
    answers: &[Value],
    is_sought: impl Fn(&RedisError) -> bool,
) -> Option<RedisError> {
    answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some(RedisError::from(error.clone())).filter(&is_sought),
        _ => None,
    })
}

/// Reads a record from what `GET` and `PTTL` answered.
pub(super) fn loaded(text: Value, left: &Value, now: Timestamp) -> Result<Option<Loaded>, Error> {
    let Some(text) = bytes(text)? else { return Ok(None) };
    // Without the right to ask for it, the deadline is not known, and the server's all the same.
    let left = if is_refused(left) { -1 } else { number(left)? };
    // It expired after its text was read, or is about to.
    let is_over = left == -2 || left == 0;
    // An empty text is nothing to connect-redis either.
    if is_over || text.is_empty() {
        return Ok(None);
    }
    // -1 is for ever.
    let left = u64::try_from(left).ok();
    let deadline = left.map(|left| now.saturating_add(Duration::from_millis(left)));
    let text = String::from_utf8(text).map_err(|_| Error::new(ErrorKind::Corrupt, "not UTF-8"))?;
    let text: Arc<str> = text.into();
    Ok(Some(Loaded {
        revision: Revision::by_text(Arc::clone(&text)),
        record: Record { text, deadline },
    }))
}

/// Makes the error for an answer of another type than expected.
fn refusal(answer: &Value) -> Error {
    match answer {
        Value::ServerError(error) => error::of(error.clone().into(), Stage::Asking),
        _ => unexpected(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn read(text: &str, left: i64) -> Option<Loaded> {
        loaded(Value::BulkString(text.into()), &Value::Int(left), NOW).unwrap()
    }

    #[test]
    fn deadline_is_the_time_that_is_left() {
        let record = |left| read("{}", left).unwrap().record;
        assert_eq!(record(1500).deadline, Some(Timestamp::from_millis(1_001_500)));
        assert_eq!(record(-1).deadline, None);
        assert_eq!(record(i64::MAX).deadline, Some(Timestamp::MAX));
    }

    #[test]
    fn record_that_ended_meanwhile_is_none() {
        assert_eq!(read("{}", -2), None);
        assert_eq!(read("{}", 0), None);
        assert_eq!(read("", 1500), None);
        assert_eq!(loaded(Value::Nil, &Value::Int(-2), NOW).unwrap(), None);
    }

    #[test]
    fn foreign_answer_is_an_error_without_the_answer() {
        let error = number(&Value::BulkString(b"secret".to_vec())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(!format!("{error} {error:?}").contains("secret"));
        assert_eq!(only(Vec::new()).unwrap_err().kind(), ErrorKind::Other);
    }
}
