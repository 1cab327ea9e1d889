//! Maps driver errors to store errors.

use std::error::Error as StdError;
use std::{fmt, io};

use deadpool_postgres::PoolError;

use express_session_core::store::{Error, ErrorKind};
use tokio_postgres::error::DbError;

use super::super::{breaker, certificates};

/// Maps an error of getting a connection.
pub(super) fn of_pool(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) if is_of_the_client(&error) => {
            let message = CERTIFICATES.advice(&error);
            let message = message.unwrap_or_else(|| "no agreement on how to connect".to_owned());
            Error::new(ErrorKind::Refused, message).with_source(error)
        }
        PoolError::Backend(error) => of_driver(error),
        PoolError::Timeout(_) => breaker::no_connection_in_time().with_source(error),
        PoolError::Closed => {
            Error::new(ErrorKind::Unavailable, "the pool is closed").with_source(error)
        }
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            Error::new(ErrorKind::Other, "the pool gives no connection").with_source(error)
        }
    }
}

/// The parameters of the URL, and where there are none, what to do.
const CERTIFICATES: certificates::Parameters = certificates::Parameters {
    host: "connect to that one, or set sslmode=verify-ca with sslrootcert",
    authority: "sslrootcert",
    any: "sslmode=no-verify",
    client: "sslcert and sslkey",
};

/// Maps an error of talking to the server.
pub(super) fn of_driver(error: tokio_postgres::Error) -> Error {
    if let Some(answer) = error.as_db_error() {
        return of_server(answer);
    }
    if error.is_closed() || is_io(&error) {
        return lost().with_source(error);
    }
    Error::new(ErrorKind::Other, "the driver failed").with_source(error)
}

/// Maps an error of reading an answer.
pub(super) fn of_column(error: tokio_postgres::Error) -> Error {
    Error::new(ErrorKind::Corrupt, "a column holds something else").with_source(error)
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection is lost")
}

fn of_server(answer: &DbError) -> Error {
    let code = answer.code().code();
    let (kind, message) = meaning(code);
    let message_is_safe = code == "22001" || SAFE.contains(&code.get(..2).unwrap_or_default());
    let source =
        Answer { code: code.into(), message: message_is_safe.then(|| answer.message().into()) };
    Error::new(kind, message).with_source(source)
}

/// The classes of codes (PostgreSQL, appendix A) whose messages are about the server or the statement,
/// never about values. The other fields of an answer may quote parameters under any code: the
/// setting `log_parameter_max_length_on_error` adds them to the context.
///
/// So is the message of 22001, which names the type that is too short.
const SAFE: [&str; 14] =
    ["08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX"];

fn meaning(code: &str) -> (ErrorKind, &'static str) {
    match code {
        "42P01" => {
            (ErrorKind::Refused, "there is no such table, and create_table_if_missing is not set")
        }
        "42501" => (ErrorKind::Refused, "the role may not do that"),
        "42P10" => (ErrorKind::Refused, "the table has no key that is sid alone"),
        "53300" => (ErrorKind::Unavailable, "the server has no connection left"),
        "57014" => (ErrorKind::TimedOut, "the server took too long, and gave up"),
        "55P03" => (ErrorKind::TimedOut, "another transaction held the record for too long"),
        _ => match code.get(..2).unwrap_or_default() {
            "08" => (ErrorKind::Unavailable, "the connection is lost"),
            "57" => (ErrorKind::Unavailable, "the server is starting or stopping"),
            "40" => (ErrorKind::Unavailable, "the server preferred another's transaction"),
            "28" => (ErrorKind::Refused, "the server does not let this role in"),
            "3D" | "3F" => (ErrorKind::Refused, "there is no such database or schema"),
            "42" => (ErrorKind::Refused, "the table is not one of connect-pg-simple"),
            "25" => (ErrorKind::Unavailable, "the server takes no writes"),
            "53" => (ErrorKind::Refused, "the server has no space left"),
            "22" => (ErrorKind::Unsuitable, "the server takes no such id or text"),
            "23" => (ErrorKind::Unsuitable, "the table takes no such record"),
            "54" => (ErrorKind::Unsuitable, "the id or the text is too large"),
            _ => (ErrorKind::Other, "the server failed"),
        },
    }
}

/// Returns whether further calls on the same connection would fail too: the server takes no writes, since it was
/// demoted, or is stopping.
pub(super) fn is_of_server(error: &Error) -> bool {
    let answer = error.source().and_then(|source| source.downcast_ref::<Answer>());
    answer.is_some_and(|Answer { code, .. }| {
        ["08", "25"].contains(&code.get(..2).unwrap_or_default()) || code.starts_with("57P")
    })
}

/// Returns whether a code may be about the type of a column, or about one that is missing.
pub(super) fn is_about_columns(code: &str) -> bool {
    code.starts_with("22") || ["42703", "42804", "42846", "42883"].contains(&code)
}

/// Names the columns that are missing or are not of the types that connect-pg-simple gives them.
pub(super) fn odd_columns(columns: &[(&str, &str)]) -> Option<String> {
    let odd = COLUMNS.iter().filter_map(|(name, usual)| {
        match columns.iter().find(|(column, _)| column == name) {
            None => Some(format!("it has no column {name}")),
            Some((_, kind)) if usual.contains(kind) => None,
            Some((_, kind)) => Some(format!("the column {name} has the type {kind}")),
        }
    });
    let odd: Vec<_> = odd.collect();
    (!odd.is_empty()).then(|| odd.join(", "))
}

const COLUMNS: [(&str, &[&str]); 3] = [
    ("sid", &["character varying", "text"]),
    ("sess", &["json"]),
    ("expire", &["timestamp(6) without time zone", "timestamp without time zone"]),
];

/// Returns whether the client failed to connect: no password where one is asked for, no
/// encryption where one is needed.
fn is_of_the_client(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none() && !error.is_closed() && !is_io(error)
}

/// Returns whether the network failed. A certificate that is not trusted is `InvalidData`.
fn is_io(error: &tokio_postgres::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() != io::ErrorKind::InvalidData)
}

/// The part of the server's error that holds no session.
#[derive(Debug)]
struct Answer {
    code: Box<str>,
    message: Option<Box<str>>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "SQLSTATE {}: {message}", self.code),
            None => write!(f, "SQLSTATE {}", self.code),
        }
    }
}

impl StdError for Answer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_map_to_kinds() {
        for (code, kind) in [
            ("08006", ErrorKind::Unavailable),
            ("22P02", ErrorKind::Unsuitable),
            ("23502", ErrorKind::Unsuitable),
            ("25006", ErrorKind::Unavailable),
            ("28P01", ErrorKind::Refused),
            ("3D000", ErrorKind::Refused),
            ("40001", ErrorKind::Unavailable),
            ("42501", ErrorKind::Refused),
            ("42703", ErrorKind::Refused),
            ("42P01", ErrorKind::Refused),
            ("53100", ErrorKind::Refused),
            ("53300", ErrorKind::Unavailable),
            ("54000", ErrorKind::Unsuitable),
            ("55P03", ErrorKind::TimedOut),
            ("57014", ErrorKind::TimedOut),
            ("57P01", ErrorKind::Unavailable),
            ("57P03", ErrorKind::Unavailable),
            ("P0001", ErrorKind::Other),
            ("", ErrorKind::Other),
        ] {
            assert_eq!(meaning(code).0, kind, "{code}");
        }
    }
}
