//! What fails, as a text that JavaScript makes an error of: its code, what happened, and why, line by line.

use std::error::Error as _;

use express_session::store::{Error, ErrorKind};
use napi::Status;

/// Of a store's error.
pub(super) fn of(error: Error) -> napi::Error {
    let mut lines = vec![code(error.kind()).to_owned(), error.to_string()];
    if let Some(cause) = error.source() {
        lines.push(cause.to_string());
    }
    text(&lines)
}

/// Of a call after the store was closed.
pub(super) fn closed() -> napi::Error {
    text(&["ERR_STORE_CLOSED".to_owned(), "the session store is closed".to_owned()])
}

/// Of a call that came to no end.
pub(super) fn broken() -> napi::Error {
    text(&["ERR_STORE_FAILED".to_owned(), "the session store gives no answer".to_owned()])
}

fn text(lines: &[String]) -> napi::Error {
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
        // Whatever kinds there will be.
        ErrorKind::Other | _ => "ERR_STORE_FAILED",
    }
}
