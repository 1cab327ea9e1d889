//! The ways of a compare-and-swap.
//!
//! 1. `SET … IFEQ` compares on the server (Valkey 8.1, Redis 8.4): one command, a tenth of a script's time.
//! 2. A script does on every server, if the login may run scripts. It alone can check a lock in the same step.
//! 3. Otherwise a transaction does: `WATCH`, `GET`, and then `MULTI`, `SET`, `EXEC`, which does nothing if the record
//!    was written in between. A connection watches for all that is sent on it, so that transactions have one of their
//!    own, and run on it one after the other. The connections to a cluster are the driver's, which may replace one
//!    between the two steps; they have no transactions.

use ::redis::{Cmd, Pipeline, RedisError, RedisResult, Value, cmd};

use super::replicas::Replicas;
use super::{answer, command, script};

/// A way of a compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `SET … IFEQ`.
    Compare,
    Script,
    Transaction,
}

/// The known abilities of the server and of the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Whether the server has `IFEQ`.
    pub(super) compares: bool,
    /// Whether the login is not known to be refused scripts.
    pub(super) scripts: bool,
}

impl Way {
    /// Chooses the way for a record whose text had `bytes`.
    pub(super) fn of(abilities: Abilities, bytes: usize, is_locked: bool) -> Self {
        let Abilities { compares, scripts } = abilities;
        let sends_text = bytes <= TEXT || !scripts;
        if is_locked {
            Self::Script
        } else if compares && sends_text {
            Self::Compare
        } else if scripts {
            Self::Script
        } else {
            Self::Transaction
        }
    }

    /// Returns whether the server or the login has shown by its answer to lack this way. Then nothing has happened.
    pub(super) fn is_lacking(self, answers: &[Value]) -> bool {
        match self {
            Self::Compare => answer::error_among(answers, is_unknown).is_some(),
            Self::Script => script::is_refused(answers),
            Self::Transaction => false,
        }
    }
}

/// The most bytes of a text that is sent along to be compared. Of a longer one its digest is sent.
pub(super) const TEXT: usize = 4096;

/// A record to replace.
#[derive(Clone, Copy)]
pub(super) struct Swap<'a> {
    pub(super) key: &'a str,
    /// The text that was loaded.
    pub(super) expected: &'a str,
    pub(super) text: &'a str,
    /// The TTL in seconds; `None` is for ever, and 0 or less deletes the record.
    pub(super) seconds: Option<i64>,
}

impl Swap<'_> {
    /// Makes the command that replaces the record if it still has the text that was loaded.
    pub(super) fn compare(&self) -> Pipeline {
        let mut set = match self.seconds {
            // A key that expired in 1970 does not exist, not even for a moment.
            Some(seconds) if seconds <= 0 => {
                let mut set = cmd("SET");
                set.arg(self.key).arg("").arg("PXAT").arg(1);
                set
            }
            _ => self.set(),
        };
        set.arg("IFEQ").arg(self.expected);
        let mut commands = Pipeline::with_capacity(1);
        commands.add_command(set);
        commands
    }

    /// Makes the commands that read the record and watch it, after they have left what an abandoned call has watched.
    pub(super) fn watch(&self) -> Pipeline {
        let mut commands = Pipeline::with_capacity(5);
        commands.cmd("MULTI").cmd("EXEC").cmd("WATCH").arg(self.key);
        commands.cmd("GET").arg(self.key).cmd("PTTL").arg(self.key);
        commands
    }

    /// Reads the answers to [`watch`](Self::watch): `None` if the record is the expected one, or else the answer to the
    /// caller.
    pub(super) fn otherwise(&self, mut answers: Vec<Value>) -> RedisResult<Option<Vec<Value>>> {
        // Without the right to ask for it, the deadline is not known.
        let left = answers.pop().filter(|left| !answer::is_refused(left)).unwrap_or(Value::Int(-1));
        if let Some(error) = answer::error_among(&answers, |_| true) {
            return Err(error);
        }
        Ok(match answers.pop() {
            Some(Value::BulkString(text)) if text == self.expected.as_bytes() => None,
            Some(Value::BulkString(text)) if !text.is_empty() => {
                Some(vec![Value::Array(vec![Value::BulkString(text), left])])
            }
            _ => Some(vec![Value::Nil]),
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
            _ => self.set(),
        });
        commands.cmd("EXEC");
        if let Some(replicas) = replicas {
            commands.add_command(replicas.command());
        }
        commands
    }

    fn set(&self) -> Cmd {
        let bytes = self.key.len() + self.text.len() + self.expected.len();
        let mut set = command("SET", 6, bytes);
        set.arg(self.key).arg(self.text);
        if let Some(seconds) = self.seconds {
            set.arg("EX").arg(seconds);
        }
        set
    }
}

/// Reads whether the commands of [`Swap::transaction`] replaced the record, and what the replicas answered.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheapest_way_that_server_and_login_have_is_chosen() {
        let way = |compares, scripts, bytes, is_locked| {
            Way::of(Abilities { compares, scripts }, bytes, is_locked)
        };
        for (compares, scripts, short, long) in [
            (true, true, Way::Compare, Way::Script),
            (true, false, Way::Compare, Way::Compare),
            (false, true, Way::Script, Way::Script),
            (false, false, Way::Transaction, Way::Transaction),
        ] {
            assert_eq!(way(compares, scripts, TEXT, false), short, "{compares} {scripts}");
            assert_eq!(way(compares, scripts, TEXT + 1, false), long, "{compares} {scripts}");
            assert_eq!(
                way(compares, scripts, TEXT, true),
                Way::Script,
                "only a script sees a lock"
            );
        }
    }
}
