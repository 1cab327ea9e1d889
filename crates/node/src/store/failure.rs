//! Errors as a text for JavaScript: the code, the message and the cause, on a line each.

use std::error::Error as _;

use express_session::store::{Error, ErrorKind};
use napi::Status;

/// Converts a store's error.
pub(crate) fn of(error: Error) -> napi::Error {
    let mut lines = vec![code(error.kind()).to_owned(), error.to_string()];
    if let Some(cause) = error.source() {
        lines.push(cause.to_string());
    }
    text(&lines)
}

/// Makes the error of a call after the store was closed.
pub(super) fn closed() -> napi::Error {
    text(&["ERR_STORE_CLOSED".to_owned(), "the session store is closed".to_owned()])
}

/// Makes the error of a call without an answer.
pub(super) fn broken() -> napi::Error {
    text(&["ERR_STORE_FAILED".to_owned(), "the session store gives no answer".to_owned()])
}

/// Makes an error of lines: the code, the message, and the cause, if there is one.
pub(crate) fn text(lines: &[String]) -> napi::Error {
    let lines: Vec<_> = lines.iter().map(|line| line.replace('\n', " ")).collect();
    napi::Error::new(Status::GenericFailure, lines.join("\n"))
}

fn code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unavailable => "ERR_STORE_UNAVAILABLE",
        ErrorKind::TimedOut => "ERR_STORE_TIMED_OUT",
        ErrorKind::Corrupt => "ERR_STORE_CORRUPT",
        ErrorKind::Refused => "ERR_STORE_REFUSED",
        ErrorKind::Unsuitable => "ERR_STORE_UNSUITABLE",
        ErrorKind::Unsupported => "ERR_STORE_UNSUPPORTED",
        // And any kind that is added later.
        ErrorKind::Other | _ => "ERR_STORE_FAILED",
    }
}
