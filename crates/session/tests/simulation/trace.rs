//! The events in order: always as a hash, and as text on request.

use std::fmt;

#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(is_persisted: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: is_persisted.then(Vec::new) }
    }

    pub(crate) fn note(&mut self, at: u64, event: fmt::Arguments<'_>) {
        // Written into the hash directly: a thousand simulations have a million lines that are never read.
        let mut hash = Fnv(self.hash);
        let _ = fmt::write(&mut hash, format_args!("{at} {event}\n"));
        self.hash = hash.0;
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{at:>6} ms  {event}"));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn text(&self) -> String {
        self.lines.as_ref().map(|lines| lines.join("\n")).unwrap_or_default()
    }
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
