//! The rights of a login, found out by commands without an effect.
//!
//! The server checks the login's rights before it looks at the arguments, so that a command with impossible arguments
//! tells whether it is allowed.

use ::redis::{Pipeline, Value};
use express_session_core::store::{Error, ErrorKind};

use super::answer;
use super::error::{self, Stage};
use super::link::{Call, Work, without_rights};
use super::{RedisStore, swap};

/// The commands that every session needs, and the one that only scripts need.
const NEEDED: [&str; 5] = ["GET", "SET", "EXPIRE", "DEL", "PTTL"];

impl RedisStore {
    /// Connects, and checks that the login may use the commands of sessions. A key that it may not use is found later,
    /// since the prefix may not be set yet.
    pub(in super::super) async fn check(&self) -> Result<(), Error> {
        let key = format!("{}no session has this id", self.options.prefix);
        let mut commands = Pipeline::with_capacity(7);
        commands.cmd("GET").arg(&key);
        commands.cmd("SET").arg(&key).arg("").arg("NX").arg("XX");
        commands.cmd("EXPIRE").arg(&key).arg("no number");
        commands.cmd("DEL").arg(&key);
        commands.cmd("PTTL").arg(&key);
        commands.cmd("EVALSHA").arg("0".repeat(40)).arg(1).arg(&key);
        commands.cmd("EVAL").arg("return 0").arg(1).arg(&key);
        let answers = self.asked(commands).await?;
        is_served(&answers)?;
        let refused: Vec<_> = answers.iter().map(answer::is_refused).collect();
        let has_scripts = !refused.iter().skip(NEEDED.len()).any(|refused| *refused);
        // A script fails where it may not ask for the deadline; other calls do without.
        let missing: Vec<_> = NEEDED
            .iter()
            .zip(&refused)
            .filter(|(name, refused)| **refused && (has_scripts || **name != "PTTL"))
            .map(|(it, _)| *it)
            .collect();
        if !missing.is_empty() {
            let message = format!("the login lacks the commands {}", missing.join(", "));
            return Err(Error::new(ErrorKind::Refused, message));
        }
        if has_scripts || self.compares(&key).await? || self.transacts(&key).await? {
            return Ok(());
        }
        Err(without_rights(if self.link.has_transactions() { ", and of transactions" } else { "" }))
    }

    /// Asks whether the server has `SET … IFEQ`.
    pub(super) async fn compares(&self, key: &str) -> Result<bool, Error> {
        let mut commands = Pipeline::with_capacity(1);
        // Nothing is equal to a record that does not exist.
        commands.cmd("SET").arg(key).arg("").arg("IFEQ").arg("nothing");
        let answers = self.asked(commands).await?;
        let compares = answer::error_among(&answers, swap::is_unknown).is_none();
        self.link.note_compares(compares);
        Ok(compares)
    }

    /// Returns whether the login may use transactions.
    async fn transacts(&self, key: &str) -> Result<bool, Error> {
        if !self.link.has_transactions() {
            return Ok(false);
        }
        let mut commands = Pipeline::with_capacity(3);
        commands.cmd("WATCH").arg(key).cmd("MULTI").cmd("EXEC");
        Ok(!self.asked(commands).await?.iter().any(answer::is_refused))
    }

    async fn asked(&self, commands: Pipeline) -> Result<Vec<Value>, Error> {
        let work = Work::Commands(commands);
        self.ask(&Call { work, is_repeatable: true, slot: None, replicas: None }).await
    }
}

/// Fails with the first answer if the server serves no call, or none of this login, or only a part of the keys.
fn is_served(answers: &[Value]) -> Result<(), Error> {
    let is_about_rights = |code: Option<&str>| matches!(code, Some("NOPERM" | "ERR"));
    let first = answers.get(..1).unwrap_or_default();
    match answer::error_among(first, |error| !is_about_rights(error.code())) {
        Some(error) => Err(error::of(error, Stage::Asking)),
        None => Ok(()),
    }
}
