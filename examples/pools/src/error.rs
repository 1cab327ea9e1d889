//! Maps the errors of drivers to those of a store. They show codes alone: a message of a server may quote the session.

use deadpool_redis::redis::RedisError;
use express_session::store::{Error, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(crate) fn of_sqlx(error: sqlx::Error) -> Error {
    let answer = error.as_database_error();
    let code = answer.and_then(|answer| answer.code()).unwrap_or_default();
    // Much of MySQL has the SQLSTATE HY000 in common.
    let number = answer.and_then(|answer| answer.try_downcast_ref());
    let number = number.map_or(0, MySqlDatabaseError::number);
    let kind = match (code.get(..2), number) {
        (None, _) if matches!(error, sqlx::Error::ColumnDecode { .. }) => ErrorKind::Corrupt,
        // Another transaction held the record for too long; the server takes no writes.
        (_, 1205 | 1290 | 1836) => ErrorKind::Unavailable,
        // The text is larger than max_allowed_packet.
        (_, 1153) | (Some("22" | "54"), _) => ErrorKind::Unsuitable,
        (None | Some("08" | "25" | "40" | "57"), _) => ErrorKind::Unavailable,
        (Some(_), _) => ErrorKind::Other,
    };
    Error::new(kind, format!("SQLSTATE {code}, error {number}"))
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(crate) fn of_redis(error: RedisError) -> Error {
    let kind = match error.code() {
        None if error.is_timeout() => ErrorKind::TimedOut,
        // No answer, or one that passes: the server starts, is a replica now, or has no disk.
        None | Some("BUSY" | "LOADING" | "MASTERDOWN" | "MISCONF" | "NOREPLICAS" | "READONLY") => {
            ErrorKind::Unavailable
        }
        Some(_) => ErrorKind::Other,
    };
    Error::new(kind, format!("Redis answered {}", error.code().unwrap_or("nothing")))
}
