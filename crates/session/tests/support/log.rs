//! A subscriber that keeps what is logged through `tracing`.

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

fn keep(metadata: &Metadata<'_>, record: impl FnOnce(&mut Text)) {
    let mut text = Text::default();
    record(&mut text);
    // An event may come while the thread ends, when its log is gone.
    let _ = LINES.try_with(|lines| {
        if let Some(lines) = &mut *lines.borrow_mut() {
            lines.push(Line {
                level: *metadata.level(),
                target: metadata.target().to_owned(),
                text: text.0,
            });
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
