//! Maps failures of a connection to store errors.

use std::fmt;
use std::io;

use express_session_core::store::{Error, ErrorKind};

use super::protocol::{Fault, KEY_BYTES};

pub(super) fn of_fault(fault: Fault) -> Error {
    match fault {
        Fault::Garbled(what) => {
            Error::new(ErrorKind::Other, format!("the answer is not one of Memcached: {what}"))
        }
        Fault::Unknown => Error::new(
            ErrorKind::Refused,
            "the server does not know the command; Memcached 1.6 or later is needed",
        ),
        Fault::Busy => Error::new(ErrorKind::Unavailable, "the server has too many connections"),
        Fault::TooLarge => too_large(),
        Fault::Refused(words) => {
            Error::new(ErrorKind::Refused, "the server will not do it").with_source(Words(words))
        }
    }
}

pub(super) fn too_large() -> Error {
    let message = "the record is larger than the server's largest item, its option -I";
    Error::new(ErrorKind::Unsuitable, message)
}

pub(super) fn unsuitable_id() -> Error {
    let message = format!(
        "prefix and id may have {KEY_BYTES} bytes, and no blanks or control characters among them"
    );
    Error::new(ErrorKind::Unsuitable, message)
}

pub(super) fn unexpected() -> Error {
    of_fault(Fault::Garbled("no answer that the command has"))
}

pub(super) fn no_cas() -> Error {
    let message = "the server runs without CAS, its option -C, so that updates could get lost";
    Error::new(ErrorKind::Refused, message)
}

pub(super) fn no_listing() -> Error {
    let message = "the server does not list its keys: it was started with -X or without its crawler, \
                   or is older than 1.6.18";
    Error::new(ErrorKind::Refused, message)
}

pub(super) fn unreachable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "no connection").with_source(error)
}

pub(super) fn lost(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the connection is lost").with_source(error)
}

/// The server's message, without the data that it is about.
#[derive(Debug)]
struct Words(String);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Words {}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn each_fault_is_of_a_kind_that_a_caller_can_act_on() {
        for (fault, kind) in [
            (Fault::Garbled("x"), ErrorKind::Other),
            (Fault::Unknown, ErrorKind::Refused),
            (Fault::Busy, ErrorKind::Unavailable),
            (Fault::TooLarge, ErrorKind::Unsuitable),
            (Fault::Refused("SERVER_ERROR out of memory".into()), ErrorKind::Refused),
        ] {
            assert_eq!(of_fault(fault).kind(), kind);
        }
        let error = of_fault(Fault::Refused("CLIENT_ERROR unauthenticated".into()));
        assert_eq!(error.source().unwrap().to_string(), "CLIENT_ERROR unauthenticated");
    }
}
