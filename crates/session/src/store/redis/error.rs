//! Maps driver errors to store errors.

use ::redis::{ErrorKind as DriverKind, RedisError, make_extension_error};
use express_session_core::store::{Error, ErrorKind};

use super::super::certificates;

/// Where a call was when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Asking,
    AskingCluster,
}

/// Whether a call that failed may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was not sent, or the server said that it did nothing, for a reason that passes.
    Undone,
    /// The connection broke while the answer was awaited.
    Unknown,
    /// The server has answered, and asking again gives the same.
    Settled,
}

pub(super) fn outcome(error: &RedisError) -> Outcome {
    match code_of(error) {
        Some(
            "READONLY" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING",
        ) => Outcome::Undone,
        Some(_) => Outcome::Settled,
        None if error.is_connection_refusal()
            || error.kind() == DriverKind::ClusterConnectionNotFound =>
        {
            Outcome::Undone
        }
        None if error.is_connection_dropped() => Outcome::Unknown,
        None => Outcome::Settled,
    }
}

/// Returns the code of the server's answer. Redis 6.2 and older put the code of a script's error behind their own words,
/// as in `ERR Error running script (call to f_…): @user_script:1: @user_script: 1: -READONLY You can't write …`.
fn code_of(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    let detail = error.detail().unwrap_or_default();
    if code != "ERR" {
        return Some(code);
    }
    // The server has no code for it, and closes the connection.
    if detail.starts_with("max number of clients") {
        return Some(FULL);
    }
    let of_script = detail.strip_prefix("Error running script").and_then(|it| it.split_once(": -"));
    of_script.and_then(|(_, told)| told.split_whitespace().next()).or(Some(code))
}

/// Our code for a server that takes no further connection.
const FULL: &str = "MAXCLIENTS";

/// Returns whether an error is that the login may not use a command at all, or that the host has taken it away. That it
/// may not use a key is another matter.
pub(super) fn is_of_command(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default();
    match error.code() {
        Some("NOPERM") => detail.contains("to run the"),
        Some(_) => detail.contains("unknown command"),
        None => false,
    }
}

/// Maps a driver's error to the store's, without any of a visitor's data.
pub(super) fn of(error: RedisError, stage: Stage) -> Error {
    if let Some(code) = code_of(&error) {
        return of_answer(code, &error, stage);
    }
    let kind = error.kind();
    if kind == DriverKind::AuthenticationFailed {
        return Error::new(ErrorKind::Refused, "the credentials are wrong").with_source(error);
    }
    if kind == DriverKind::RESP3NotSupported {
        let message = "the server does not know HELLO; Redis 6 or later is needed, or ?protocol=2";
        return Error::new(ErrorKind::Refused, message).with_source(error);
    }
    if kind == DriverKind::InvalidClientConfig {
        // The driver repeats what it cannot use, and that may be a part of a password with a `?` in it.
        let message = "the address, its options or the certificates cannot be used";
        return Error::new(ErrorKind::Other, message);
    }
    if let Some(message) = CERTIFICATES.advice(&error) {
        return Error::new(ErrorKind::Refused, message).with_source(error);
    }
    if stage == Stage::Connecting {
        return Error::new(ErrorKind::Unavailable, "no connection").with_source(error);
    }
    if error.is_timeout() {
        return Error::new(ErrorKind::TimedOut, "no answer").with_source(error);
    }
    if error.is_io_error() || kind == DriverKind::ClusterConnectionNotFound {
        return Error::new(ErrorKind::Unavailable, "the connection is lost").with_source(error);
    }
    Error::new(ErrorKind::Other, "the driver failed").with_source(error)
}

/// The parameters of the URL, and where there are none, what to do.
const CERTIFICATES: certificates::Parameters = certificates::Parameters {
    host: "connect to that one, or set ssl_check_hostname",
    authority: "ssl_ca_certs",
    any: "ssl_cert_reqs=none",
    client: "ssl_certfile and ssl_keyfile",
};

fn of_answer(code: &str, error: &RedisError, stage: Stage) -> Error {
    let (kind, message) = match code {
        // For a time: it loads, was demoted, cannot write to its disk, lacks replicas, or runs a script.
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "ASK" | "READONLY" | "MISCONF"
        | "NOREPLICAS" | "BUSY" => (ErrorKind::Unavailable, format!("the server answered {code}")),
        FULL => (ErrorKind::Unavailable, "the server has no connection left".to_owned()),
        // It waited for replicas, and is none any more that has them.
        "UNBLOCKED" => (ErrorKind::TimedOut, "the server is no master any more".to_owned()),
        // A cluster that has not settled yet who the master is.
        "MOVED" if stage == Stage::AskingCluster => {
            (ErrorKind::Unavailable, format!("the server answered {code}"))
        }
        "MOVED" => {
            let message = "the server belongs to a cluster, which is a redis+cluster:// address";
            (ErrorKind::Refused, message.to_owned())
        }
        _ => (ErrorKind::Refused, format!("the server answered {code}")),
    };
    Error::new(kind, message).with_source(without_arguments(error))
}

/// Servers repeat the arguments of a command that they do not know, the id and the payload among them.
pub(super) fn without_arguments(error: &RedisError) -> RedisError {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().map(|detail| {
        let end = detail.find(", with args").unwrap_or(detail.len());
        detail[..end].to_owned()
    });
    make_extension_error(code.to_owned(), detail)
}

#[cfg(test)]
mod tests {
    use std::io;

    use ::redis::parse_redis_value;

    use super::*;

    fn answered(line: &str) -> RedisError {
        let value = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn error_of_the_server_is_refused_or_temporary() {
        for (line, kind) in [
            ("NOAUTH Authentication required.", ErrorKind::Refused),
            ("WRONGPASS invalid username-password pair", ErrorKind::Refused),
            ("NOPERM this user has no permissions", ErrorKind::Refused),
            ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Refused),
            ("READONLY You can't write against a read only replica.", ErrorKind::Unavailable),
            ("MISCONF Redis is configured to save RDB snapshots", ErrorKind::Unavailable),
            ("NOREPLICAS Not enough good replicas to write.", ErrorKind::Unavailable),
            ("BUSY Redis is busy running a script.", ErrorKind::Unavailable),
            ("TRYAGAIN Multiple keys request during rehashing of slot", ErrorKind::Unavailable),
            ("WRONGTYPE Operation against a key", ErrorKind::Refused),
            ("MOVED 1 127.0.0.1:1", ErrorKind::Refused),
            ("ERR something else", ErrorKind::Refused),
            ("LOADING Redis is loading the dataset in memory", ErrorKind::Unavailable),
            ("MASTERDOWN Link with MASTER is down", ErrorKind::Unavailable),
            ("CLUSTERDOWN The cluster is down", ErrorKind::Unavailable),
            ("UNBLOCKED force unblock from blocking operation", ErrorKind::TimedOut),
            ("ERR max number of clients reached", ErrorKind::Unavailable),
            ("ERR max number of clients + cluster connections reached", ErrorKind::Unavailable),
        ] {
            assert_eq!(of(answered(line), Stage::Asking).kind(), kind, "{line}");
        }
        let error = of(answered("MOVED 1 127.0.0.1:1"), Stage::AskingCluster);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn error_of_the_network_is_unavailable_or_timed_out() {
        let io = |kind| RedisError::from(io::Error::from(kind));
        for (error, stage, kind) in [
            (io(io::ErrorKind::ConnectionRefused), Stage::Connecting, ErrorKind::Unavailable),
            (io(io::ErrorKind::TimedOut), Stage::Connecting, ErrorKind::Unavailable),
            (io(io::ErrorKind::TimedOut), Stage::Asking, ErrorKind::TimedOut),
            (io(io::ErrorKind::BrokenPipe), Stage::Asking, ErrorKind::Unavailable),
        ] {
            assert_eq!(of(error, stage).kind(), kind);
        }
    }

    #[test]
    fn only_what_surely_did_nothing_counts_as_undone() {
        let io = |kind| RedisError::from(io::Error::from(kind));
        assert_eq!(outcome(&answered("READONLY You can't write")), Outcome::Undone);
        assert_eq!(outcome(&answered("ASK 1 127.0.0.1:1")), Outcome::Undone);
        assert_eq!(outcome(&io(io::ErrorKind::ConnectionRefused)), Outcome::Undone);
        assert_eq!(outcome(&io(io::ErrorKind::ConnectionReset)), Outcome::Unknown);
        assert_eq!(outcome(&io(io::ErrorKind::UnexpectedEof)), Outcome::Unknown);
        assert_eq!(outcome(&answered("OOM command not allowed")), Outcome::Settled);
        assert_eq!(outcome(&io(io::ErrorKind::TimedOut)), Outcome::Settled);
    }

    #[test]
    fn error_of_a_script_is_read_where_older_servers_wrap_it() {
        let wrapped = |told: &str| {
            let place = "@user_script:18: @user_script: 18";
            answered(&format!("ERR Error running script (call to f_0a1b): {place}: {told} "))
        };
        let demoted = wrapped("-READONLY You can't write against a read only replica.");
        assert_eq!(outcome(&demoted), Outcome::Undone);
        assert_eq!(of(demoted, Stage::Asking).kind(), ErrorKind::Unavailable);
        let stuck = wrapped("-MISCONF Redis is configured to save RDB snapshots");
        assert_eq!(of(stuck, Stage::Asking).kind(), ErrorKind::Unavailable);
        let full = wrapped("-OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!(of(full, Stage::Asking).kind(), ErrorKind::Refused);
    }

    #[test]
    fn arguments_that_the_server_repeats_are_not_told() {
        let line = "ERR unknown command 'EVALSHA', with args beginning with: 'sess:secret' ";
        let error = of(answered(line), Stage::Asking);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("unknown command"), "{shown}");
    }
}
