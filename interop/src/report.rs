//! The printed table.

use std::io::{self, Write};

/// Prints rows as they come, and counts them.
#[derive(Debug)]
pub(crate) struct Report<W> {
    out: W,
    cases: usize,
    failures: usize,
    left_out: usize,
}

impl<W: Write> Report<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, cases: 0, failures: 0, left_out: 0 }
    }

    /// Begins the rows of a store.
    pub(crate) fn store(&mut self, name: &str, variant: &str, versions: &str) -> io::Result<()> {
        writeln!(self.out, "{} ({versions})", title(name, variant))
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
                self.failures += 1;
                writeln!(
                    self.out,
                    "  {name:<42} FAILED: {}",
                    format!("{error:#}").replace('\n', " ")
                )?;
            }
        }
        self.out.flush()
    }

    pub(crate) fn end(&mut self) -> io::Result<()> {
        writeln!(self.out, "{} cases, {} failures", self.cases, self.failures)?;
        self.out.flush()
    }

    /// Checks whether every case of every store was played and passed.
    pub(crate) fn passed(&self, allow_missing: bool) -> bool {
        self.failures == 0 && self.cases > 0 && (allow_missing || self.left_out == 0)
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
            "connect-redis: prefix (connect-redis 9.0.0)\n  {:<42} ok\n  {:<42} FAILED: c: a b\n2 cases, 1 failures\n",
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
