//! Standard error, where a program has installed no `tracing` subscriber: a debug build prints each mistake and failure
//! once, so that it does not stay unheard.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::dispatcher;
use tracing::subscriber::NoSubscriber;

static IS_SILENT: AtomicBool = AtomicBool::new(!cfg!(debug_assertions));

/// The texts that have been printed.
static PRINTED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Prints nothing from now on.
pub(crate) fn silence() {
    IS_SILENT.store(true, Ordering::Relaxed);
}

/// Prints a text once in the life of the program, if nothing else shows it.
pub(crate) fn print_unheard(text: &'static str, error: Option<&dyn Error>) {
    if IS_SILENT.load(Ordering::Relaxed) || !dispatcher::get_default(|it| it.is::<NoSubscriber>()) {
        return;
    }
    let is_new = PRINTED.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    if is_new {
        eprintln!("{}", line(text, error));
    }
}

fn line(text: &str, error: Option<&dyn Error>) -> String {
    let mut line = format!("express-session: {text}");
    let mut cause = error;
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::store;

    #[test]
    fn line_names_the_failure_and_its_causes() {
        assert_eq!(
            line("the cookie was not sent", None),
            "express-session: the cookie was not sent"
        );
        let refused = store::Error::new(store::ErrorKind::Refused, "no such role");
        let error = crate::Error::new(ErrorKind::Conflict).with_source(refused);
        let line = line("it was not saved", Some(&error));
        assert!(line.starts_with("express-session: it was not saved: "), "{line}");
        assert!(line.ends_with("no such role"), "{line}");
    }
}
