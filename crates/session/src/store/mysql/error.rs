//! Maps driver errors to store errors.

use std::error::Error as StdError;
use std::fmt;

use express_session_core::store::{Error, ErrorKind};
use mysql_async::{DriverError, ServerError};

use super::super::certificates;

/// Maps an error of the driver.
pub(super) fn of_driver(error: mysql_async::Error) -> Error {
    match error {
        mysql_async::Error::Server(answer) => of_server(&answer),
        mysql_async::Error::Io(_) if is_too_large(&error) => {
            Error::new(ErrorKind::Unsuitable, TOO_LARGE).with_source(error)
        }
        mysql_async::Error::Io(_) => match CERTIFICATES.advice(&error) {
            Some(message) => Error::new(ErrorKind::Refused, message).with_source(error),
            None => lost().with_source(error),
        },
        mysql_async::Error::Driver(driver) => {
            let (kind, message) = of_the_client(&driver);
            // Some of them hold what was read, and show it where they are debugged.
            Error::new(kind, message).with_source(Said(driver.to_string().into()))
        }
        mysql_async::Error::Other(_) | mysql_async::Error::Url(_) => {
            Error::new(ErrorKind::Other, "the driver failed")
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection is lost")
}

/// The parameters of the URL, and where there are none, what to do.
const CERTIFICATES: certificates::Parameters = certificates::Parameters {
    host: "connect to that one, or name it as servername of ssl",
    authority: "ssl-ca",
    any: "ssl-mode=REQUIRED",
    client: "ssl-cert and ssl-key",
};

/// Returns whether the server rolled the statement back for a reason that has passed.
pub(super) fn may_try_again(error: &mysql_async::Error) -> bool {
    // Deadlock; the record changed under a snapshot (MariaDB); to be prepared again; not prepared.
    matches!(error, mysql_async::Error::Server(answer) if matches!(answer.code, 1213 | 1020 | 1615 | 1243))
}

/// Returns whether the table is missing, or hidden from this user.
pub(super) fn is_no_table(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(answer) if matches!(answer.code, 1142 | 1146))
}

/// Returns whether the user lacks a privilege.
pub(super) fn is_denied(error: &mysql_async::Error) -> bool {
    // Denied for the database, the table; a privilege is needed; read-only.
    matches!(error, mysql_async::Error::Server(answer) if matches!(answer.code, 1044 | 1142 | 1227 | 1290 | 1836))
}

/// Returns whether another server has to be asked: this one was demoted, stops, or does not serve. The
/// statement did nothing.
pub(super) fn is_demoted(error: &mysql_async::Error) -> bool {
    let mysql_async::Error::Server(answer) = error else { return false };
    matches!(
        answer.code,
        1290 | 1792
            | 1836
            | 1874
            | 1047
            | 3032
            | 3100
            | 3101
            | 3168
            | 1053
            | 1077
            | 1079
            | 1184
            | 1927
            | 1152
            | 4031
    )
}

/// The driver measures a packet before it sends it. The type of its error is not public, and the
/// innermost source of what is.
fn is_too_large(error: &mysql_async::Error) -> bool {
    let mut innermost: &dyn StdError = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    // An `io::Error` shows what it was made of, and names the source of that as its own.
    innermost.to_string() == "Packet is larger than max_allowed_packet"
}

const TOO_LARGE: &str = "the text is larger than the server's max_allowed_packet";

fn of_the_client(driver: &DriverError) -> (ErrorKind, &'static str) {
    let is_lost = matches!(driver, DriverError::ConnectionClosed | DriverError::PoolDisconnected);
    if is_lost {
        return (ErrorKind::Unavailable, "the connection is lost");
    }
    if matches!(driver, DriverError::PacketTooLarge) {
        return (ErrorKind::Unsuitable, TOO_LARGE);
    }
    if matches!(driver, DriverError::NoClientSslFlagFromServer) {
        return (
            ErrorKind::Refused,
            "the server offers no encryption, and ssl-mode or ssl asks for it",
        );
    }
    let is_disagreement = matches!(
        driver,
        DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled
    );
    if is_disagreement {
        return (ErrorKind::Refused, "no agreement on how to connect");
    }
    (ErrorKind::Other, "the driver failed")
}

fn of_server(answer: &ServerError) -> Error {
    let (kind, message, is_safe) = meaning(answer.code);
    let said = if is_safe {
        format!("error {}: {}", answer.code, answer.message)
    } else {
        format!("error {}", answer.code)
    };
    Error::new(kind, message).with_source(Said(said.into()))
}

/// Returns the meaning of a code, and whether its message is about the server or the statement, and never
/// about values.
fn meaning(code: u16) -> (ErrorKind, &'static str, bool) {
    match code {
        1146 => (ErrorKind::Refused, "there is no such table", true),
        1044 | 1045 | 1129 | 1130 | 1698 => {
            (ErrorKind::Refused, "the server does not let this user in", true)
        }
        1142 | 1143 | 1227 => (ErrorKind::Refused, "the user may not do that", true),
        3159 => (ErrorKind::Refused, "the server demands encryption: set ssl-mode", true),
        1046 | 1049 => (ErrorKind::Refused, "there is no such database", true),
        1059 => (ErrorKind::Refused, "the table's name is too long", true),
        1054 => (ErrorKind::Refused, "the table has other columns", true),
        // `--read-only`, a transaction that only reads, MySQL's `super_read_only`, InnoDB's: it was demoted.
        1290 | 1792 | 1836 | 1874 => (ErrorKind::Unavailable, "the server takes no writes", true),
        // Galera before it has joined, offline mode, a group of servers without a majority.
        1047 | 3032 | 3100 | 3101 | 3168 => {
            (ErrorKind::Unavailable, "the server does not serve at the moment", true)
        }
        // ProxySQL, and TiDB, reach no server behind them.
        9001 | 9002 => (ErrorKind::Unavailable, "the proxy reaches no server", true),
        1021 | 1114 => (ErrorKind::Refused, "the server has no space left", true),
        1040 | 1203 | 1226 => (ErrorKind::Unavailable, "the server has no connection left", true),
        1053 | 1077 | 1079 | 1184 | 1927 => {
            (ErrorKind::Unavailable, "the server is stopping", true)
        }
        1158..=1161 | 1152 | 4031 => (ErrorKind::Unavailable, "the connection is lost", true),
        1213 | 1020 => (ErrorKind::Unavailable, "the server preferred another's change", true),
        1205 => (ErrorKind::TimedOut, "another transaction held the record for too long", true),
        1317 | 1969 | 3024 => (ErrorKind::TimedOut, "the server took too long, and gave up", true),
        1153 => (ErrorKind::Unsuitable, TOO_LARGE, true),
        1300 => (ErrorKind::Corrupt, "the text is no UTF-8", false),
        1264 | 1292 | 1366 | 1406 | 3140 | 4025 => {
            (ErrorKind::Unsuitable, "the table takes no such id or text", false)
        }
        _ => (ErrorKind::Other, "the server failed", false),
    }
}

/// The part of an error that holds no session.
#[derive(Debug)]
struct Said(Box<str>);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Said {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_the_server_are_repeated() {
        let answer = |code, message: &str| {
            let answer = ServerError { code, message: message.into(), state: "HY000".into() };
            let error = of_server(&answer);
            format!("{error} {error:?}")
        };
        assert!(answer(1146, "Table 'test.sessions' doesn't exist").contains("test.sessions"));
        for code in [1062, 1264, 1292, 1300, 1366, 1406, 3140, 4025, 9999] {
            let shown = answer(code, "Incorrect value: 'secret'");
            assert!(shown.contains(&code.to_string()) && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn server_that_was_demoted_or_stops_is_unavailable_and_no_fault_of_the_application() {
        for code in [
            1040, 1047, 1053, 1152, 1213, 1290, 1792, 1836, 1874, 1927, 3032, 3100, 3168, 4031,
            9001,
        ] {
            assert_eq!(meaning(code).0, ErrorKind::Unavailable, "{code}");
        }
        for code in [1044, 1045, 1129, 1142, 1146, 3159] {
            assert_eq!(meaning(code).0, ErrorKind::Refused, "{code}");
        }
        assert_eq!(meaning(1205).0, ErrorKind::TimedOut);
        let answer = |code| {
            let answer = ServerError { code, message: String::new(), state: "HY000".into() };
            mysql_async::Error::Server(answer)
        };
        assert!([1290, 1836, 1874, 1053, 1047].into_iter().all(|code| is_demoted(&answer(code))));
        // Another connection to the same server would fail or succeed alike.
        assert!(![1040, 1045, 1205, 1213].into_iter().any(|code| is_demoted(&answer(code))));
    }

    #[test]
    fn packet_that_the_driver_has_read_is_not_shown() {
        let payload = b"secret".to_vec();
        let unexpected = mysql_async::Error::Driver(DriverError::UnexpectedPacket { payload });
        let error = of_driver(unexpected);
        assert!(!format!("{error:?}").contains("115, 101"), "{error:?}");
        assert!(format!("{error:?}").contains("Unexpected packet"), "{error:?}");
    }
}
