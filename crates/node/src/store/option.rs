//! Options as JavaScript has them: left out, or a number of milliseconds.

use std::time::Duration;

/// Sets an option, where it is given.
pub(super) fn set<S, T>(store: S, option: Option<T>, method: impl FnOnce(S, T) -> S) -> S {
    match option {
        Some(value) => method(store, value),
        None => store,
    }
}

/// Converts milliseconds, which JavaScript has checked.
pub(super) fn time(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default()
}

/// Converts milliseconds, where a negative number is never.
pub(super) fn interval(millis: f64) -> Option<Duration> {
    (millis >= 0.0).then(|| time(millis))
}
