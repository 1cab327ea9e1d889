//! A subscriber that keeps what is told through `tracing`.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The events of this thread, as long as it lives.
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: String,
    /// The message and all fields.
    pub(crate) text: String,
}

impl Log {
    pub(crate) fn start() -> Self {
        let lines = Arc::<Mutex<Vec<Line>>>::default();
        let keep = Keep(Arc::clone(&lines));
        Self { lines, _guard: tracing::subscriber::set_default(keep) }
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// Gives the warnings since the last time.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        let warnings = lines.into_iter().filter(|line| line.level == Level::WARN);
        warnings.map(|line| line.text).collect()
    }

    /// Gives everything that was told, in one text.
    pub(crate) fn text(&self) -> String {
        self.lines().into_iter().map(|line| line.text + "\n").collect()
    }
}

struct Keep(Arc<Mutex<Vec<Line>>>);

impl Subscriber for Keep {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text::default();
        span.record(&mut text);
        self.keep(span.metadata(), text);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.keep(event.metadata(), text);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Keep {
    fn keep(&self, metadata: &Metadata<'_>, text: Text) {
        self.0.lock().unwrap().push(Line {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            text: text.0,
        });
    }
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
