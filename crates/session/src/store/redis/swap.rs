//! A compare-and-swap for logins that may not run scripts.
//!
//! 1. `SET … IFEQ` compares on the server (Valkey 8.1, Redis 8.4). It is tried first.
//! 2. Otherwise a transaction does: `WATCH`, `GET`, and then `MULTI`, `SET`, `EXEC`, which does nothing if the record
//!    was written in between. A connection watches for all that is sent on it, so that transactions have one of their
//!    own, and run on it one after the other. The connections to a cluster are the driver's, which may replace one
//!    between the two steps; they have no transactions.
//!
//! Either takes two round trips. The answers are those of the script for updates.

use ::redis::{Cmd, Pipeline, RedisError, RedisResult, Value, cmd};

use super::answer;
use super::replicas::Replicas;

/// A record to replace.
pub(super) struct Swap<'a> {
    pub(super) key: &'a str,
    /// The first half of the SHA-1 of the text that was loaded.
    pub(super) expected: u128,
    pub(super) text: &'a str,
    /// The TTL in seconds; `None` is for ever, and 0 or less deletes the record.
    pub(super) seconds: Option<i64>,
}

/// The record as it is.
pub(super) enum Found {
    /// The expected one, with its text.
    Expected(Value),
    /// Another one, or none: the answer to the caller.
    Other(Vec<Value>),
}

impl Swap<'_> {
    /// Makes the commands that read the record. Before a transaction they also watch it, after they have left what an
    /// abandoned call has watched.
    pub(super) fn read(&self, is_watched: bool) -> Pipeline {
        let mut commands = Pipeline::with_capacity(5);
        if is_watched {
            commands.cmd("MULTI").cmd("EXEC").cmd("WATCH").arg(self.key);
        }
        commands.cmd("GET").arg(self.key).cmd("PTTL").arg(self.key);
        commands
    }

    /// Reads the answers to [`read`](Self::read).
    pub(super) fn found(&self, mut answers: Vec<Value>) -> RedisResult<Found> {
        // Without the right to ask for it, the deadline is not known.
        let left = answers.pop().filter(|left| !answer::is_refused(left)).unwrap_or(Value::Int(-1));
        if let Some(error) = answer::error_among(&answers, |_| true) {
            return Err(error);
        }
        let Some(Value::BulkString(text)) = answers.pop() else {
            return Ok(Found::Other(vec![Value::Nil]));
        };
        let is_expected = std::str::from_utf8(&text)
            .is_ok_and(|text| answer::revision(text).get() == self.expected);
        Ok(if text.is_empty() {
            Found::Other(vec![Value::Nil])
        } else if is_expected {
            Found::Expected(Value::BulkString(text))
        } else {
            Found::Other(vec![Value::Array(vec![Value::BulkString(text), left])])
        })
    }

    /// Makes the commands of a transaction that replaces the record.
    pub(super) fn transaction(&self, replicas: Option<Replicas>) -> Pipeline {
        let mut commands = Pipeline::with_capacity(4);
        commands.cmd("MULTI").add_command(match self.seconds {
            Some(seconds) if seconds <= 0 => {
                let mut delete = cmd("DEL");
                delete.arg(self.key);
                delete
            }
            seconds => self.set(seconds),
        });
        commands.cmd("EXEC");
        wait(&mut commands, replicas);
        commands
    }

    /// Makes the command that replaces the record if it still has this text.
    pub(super) fn compare(&self, text: &Value, replicas: Option<Replicas>) -> Pipeline {
        let mut set = match self.seconds {
            // An empty text is no record.
            Some(seconds) if seconds <= 0 => {
                let mut set = cmd("SET");
                set.arg(self.key).arg("").arg("PX").arg(1);
                set
            }
            seconds => self.set(seconds),
        };
        if let Value::BulkString(text) = text {
            set.arg("IFEQ").arg(text);
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(set);
        wait(&mut commands, replicas);
        commands
    }

    fn set(&self, seconds: Option<i64>) -> Cmd {
        let mut set = cmd("SET");
        set.arg(self.key).arg(self.text);
        if let Some(seconds) = seconds {
            set.arg("EX").arg(seconds);
        }
        set
    }
}

/// Reads whether the commands of [`Swap::transaction`] or [`Swap::compare`] replaced the record, and what the replicas
/// answered.
pub(super) fn done(
    mut answers: Vec<Value>,
    replicas: Option<Replicas>,
) -> RedisResult<Option<Vec<Value>>> {
    if let Some(error) = answer::error_among(&answers, |_| true) {
        return Err(error);
    }
    let waited = replicas.and_then(|_| answers.pop());
    Ok(match answers.pop() {
        Some(Value::Nil) | None => None,
        Some(_) => Some([Value::Int(1)].into_iter().chain(waited).collect()),
    })
}

/// Returns whether the server does not know `IFEQ`.
pub(super) fn is_unknown(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("syntax error"))
}

fn wait(commands: &mut Pipeline, replicas: Option<Replicas>) {
    if let Some(replicas) = replicas {
        commands.add_command(replicas.command());
    }
}
