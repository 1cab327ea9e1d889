//! Options as JavaScript has them: left out, or a number of milliseconds.

use std::time::Duration;

/// Sets the options that are given, each by the method of its name, after a conversion if there is one.
macro_rules! set_options {
    ($store:expr, $options:expr, $($name:ident $(: $convert:path)?),+ $(,)?) => {{
        let store = $store;
        $(let store = match $options.$name {
            Some(value) => store.$name($($convert)?(value)),
            None => store,
        };)+
        store
    }};
}

pub(super) use set_options;

/// Converts milliseconds, which JavaScript has checked.
pub(super) fn time(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default()
}

/// Converts milliseconds, where a negative number is never.
pub(super) fn interval(millis: f64) -> Option<Duration> {
    (millis >= 0.0).then(|| time(millis))
}

/// Converts a whole number, which JavaScript has checked.
pub(super) fn count(number: u32) -> usize {
    number as usize
}
