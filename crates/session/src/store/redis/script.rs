//! Lua that the server runs as one step.

use std::sync::LazyLock;

use ::redis::{Pipeline, RedisError, Value};
use sha1::{Digest as _, Sha1};

use super::{answer, command, error};

/// Replaces a record that is still the one expected, and whose lock is held if there is to be one.
pub(super) static UPDATE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("update.lua")));

/// Takes a lock.
pub(super) static LOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lock.lua")));

/// Gives a lock back.
pub(super) static UNLOCK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("unlock.lua")));

/// Adds an entry to the index of the users.
pub(super) static INDEX_ADD: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("index_add.lua")));

/// Drops entries of the index of the users.
pub(super) static INDEX_DROP: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("index_drop.lua")));

/// A script, which the server knows by its hash once it has run it.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: hexadecimal(&Sha1::digest(code.as_bytes())) }
    }

    /// Makes the call that any server understands which has run the script before.
    pub(super) fn by_hash(&self, keys: &[&str], arguments: &[&str]) -> Pipeline {
        call("EVALSHA", &self.hash, keys, arguments)
    }

    /// Makes the call that brings the script along.
    pub(super) fn by_code(&self, keys: &[&str], arguments: &[&str]) -> Pipeline {
        call("EVAL", self.code, keys, arguments)
    }
}

/// Returns the digest of a text that the script for updates takes too.
pub(super) fn digest(text: &str) -> String {
    hexadecimal(&Sha1::digest(text.as_bytes())[..16])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns whether the server does not know the script: it was restarted, or is another one.
pub(super) fn is_unknown(answers: &[Value]) -> bool {
    answer::error_among(answers, |error| error.code() == Some("NOSCRIPT")).is_some()
}

/// Returns whether the login may not run scripts, or the host has taken them away.
pub(super) fn is_refused(answers: &[Value]) -> bool {
    // A script may also be refused a command of its own, which is no reason to do without scripts.
    let names_them = |error: &RedisError| {
        error.detail().is_some_and(|detail| detail.to_ascii_lowercase().contains("eval"))
    };
    let is_refused = |error: &RedisError| error::is_of_command(error) && names_them(error);
    answer::error_among(answers, is_refused).is_some()
}

fn call(name: &str, script: &str, keys: &[&str], arguments: &[&str]) -> Pipeline {
    let bytes: usize = keys.iter().chain(arguments).map(|text| text.len()).sum();
    let mut command = command(name, 2 + keys.len() + arguments.len(), script.len() + bytes);
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    let mut pipeline = Pipeline::with_capacity(1);
    pipeline.add_command(command);
    pipeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_first_half_of_the_sha1() {
        // printf '' | sha1sum
        assert_eq!(digest(""), "da39a3ee5e6b4b0d3255bfef95601890");
    }
}
