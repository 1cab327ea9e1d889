//! A subscriber that keeps what is logged through `tracing`, and through `log`, as drivers do.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The events of this thread while the value lives.
pub(crate) struct Log(());

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: String,
    /// The message and all fields.
    pub(crate) text: String,
}

thread_local! {
    static LINES: RefCell<Option<Vec<Line>>> = const { RefCell::new(None) };
}

/// Installs the subscriber of this process, which passes each event to the [`Log`] of its thread.
///
/// A subscriber for one thread would not do: `tracing` caches whether a subscriber is interested in a log
/// statement, and asks the thread that reaches the statement first, which may be a test without a log.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        tracing::subscriber::set_global_default(PerThread).unwrap();
        log::set_logger(&PerThread).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        // A statement that was reached while the subscriber was installed may have been cached as disabled.
        tracing::callsite::rebuild_interest_cache();
    });
}

impl Log {
    pub(crate) fn start() -> Self {
        install();
        LINES.set(Some(Vec::new()));
        Self(())
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        LINES.with_borrow(|lines| lines.clone().unwrap())
    }

    /// Returns the warnings since the last call.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let lines = LINES.replace(Some(Vec::new())).unwrap();
        let warnings = lines.into_iter().filter(|line| line.level == Level::WARN);
        warnings.map(|line| line.text).collect()
    }

    /// Returns everything that was logged, in one text.
    pub(crate) fn text(&self) -> String {
        self.lines().into_iter().map(|line| line.text + "\n").collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct PerThread;

impl Subscriber for PerThread {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        keep(span.metadata(), |text| span.record(text));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        keep(event.metadata(), |text| event.record(text));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl log::Log for PerThread {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => Level::ERROR,
            log::Level::Warn => Level::WARN,
            log::Level::Info => Level::INFO,
            log::Level::Debug => Level::DEBUG,
            log::Level::Trace => Level::TRACE,
        };
        keep_line(level, record.target(), || record.args().to_string());
    }

    fn flush(&self) {}
}

fn keep(metadata: &Metadata<'_>, record: impl FnOnce(&mut Text)) {
    keep_line(*metadata.level(), metadata.target(), || {
        let mut text = Text::default();
        record(&mut text);
        text.0
    });
}

fn keep_line(level: Level, target: &str, text: impl FnOnce() -> String) {
    // An event may come while the thread ends, when its log is gone.
    let _ = LINES.try_with(|lines| {
        if lines.borrow().is_none() {
            return;
        }
        // Not while it is borrowed: what is printed may log.
        let line = Line { level, target: target.to_owned(), text: text() };
        if let Some(lines) = &mut *lines.borrow_mut() {
            lines.push(line);
        }
    });
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut error = Some(value);
        while let Some(cause) = error {
            write!(self.0, "{field}={cause} {cause:?} ").unwrap();
            error = cause.source();
        }
    }
}
