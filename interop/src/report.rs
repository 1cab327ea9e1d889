//! The printed table.

use std::io::{self, Write};

/// Prints rows as they come, and repeats those that failed at the end.
#[derive(Debug)]
pub(crate) struct Report<W> {
    out: W,
    /// The store whose rows are printed.
    store: String,
    cases: usize,
    failures: Vec<String>,
    left_out: usize,
}

impl<W: Write> Report<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, store: String::new(), cases: 0, failures: Vec::new(), left_out: 0 }
    }

    /// Begins the rows of a store.
    pub(crate) fn store(&mut self, name: &str, variant: &str, versions: &str) -> io::Result<()> {
        self.store = title(name, variant);
        writeln!(self.out, "{} ({versions})", self.store)
    }

    /// Reports that the rows of a store are missing.
    pub(crate) fn left_out(&mut self, name: &str, variant: &str, why: &str) -> io::Result<()> {
        self.left_out += 1;
        writeln!(self.out, "left out: {} ({why})", title(name, variant))
    }

    pub(crate) fn case(&mut self, name: &str, result: &anyhow::Result<()>) -> io::Result<()> {
        self.cases += 1;
        match result {
            Ok(()) => writeln!(self.out, "  {name:<42} ok")?,
            Err(error) => {
                let why = format!("{error:#}").replace('\n', " ");
                writeln!(self.out, "  {name:<42} FAILED: {why}")?;
                self.failures.push(format!("{}: {name}: {why}", self.store));
            }
        }
        self.out.flush()
    }

    /// Prints the last lines: the failures once more, since a long log is often read from its end.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        writeln!(self.out, "{} cases, {} failures", self.cases, self.failures.len())?;
        for failure in &self.failures {
            writeln!(self.out, "FAILED: {failure}")?;
        }
        self.out.flush()
    }

    /// Checks whether every case of every store was played and passed.
    pub(crate) fn passed(&self, allow_missing: bool) -> bool {
        self.failures.is_empty() && self.cases > 0 && (allow_missing || self.left_out == 0)
    }
}

fn title(name: &str, variant: &str) -> String {
    if variant.is_empty() { name.to_owned() } else { format!("{name}: {variant}") }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn printed(fill: impl Fn(&mut Report<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        fill(&mut Report::new(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_says_what_failed_on_one_line() {
        let text = printed(|report| {
            report.store("connect-redis", "prefix", "connect-redis 9.0.0").unwrap();
            report.case("one", &Ok(())).unwrap();
            report.case("two", &Err(anyhow!("a\nb").context("c"))).unwrap();
            report.end().unwrap();
        });
        let expected = format!(
            "connect-redis: prefix (connect-redis 9.0.0)\n  {:<42} ok\n  {:<42} FAILED: c: a b\n2 cases, 1 failures\n\
             FAILED: connect-redis: prefix: two: c: a b\n",
            "one", "two"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn missing_store_fails_the_run_unless_it_is_allowed() {
        printed(|report| {
            report.case("one", &Ok(())).unwrap();
            assert!(report.passed(false));
            report.left_out("connect-redis", "", "no server").unwrap();
            assert!(!report.passed(false));
            assert!(report.passed(true));
        });
    }

    #[test]
    fn run_without_a_case_fails() {
        printed(|report| assert!(!report.passed(true)));
    }
}
