//! `cargo xtask audit`: AUDIT.md beside the code. It prints each finding with the tests that close it, and the
//! requirements of the ASVS with their counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use regex::Regex;

use crate::process;
use crate::workspace::Workspace;

/// The findings and the requirements.
const FILE: &str = "AUDIT.md";

/// The documents whose claims are shown by commands.
const SHOWN: [&str; 3] = ["COMPARE.md", "README.md", "SECURITY.md"];

/// The statuses of a requirement.
const STATUSES: [&str; 5] = ["default", "option", "call", "application", "missing"];

/// Reads the file and the code, and prints both together.
pub(crate) fn run() -> Result<ExitCode> {
    print!("{}", Audit::read(&Workspace::read()?)?.printed());
    Ok(ExitCode::SUCCESS)
}

/// The step of `cargo xtask test`: the file fits the code, and so do the commands of the other documents.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let audit = Audit::read(workspace)?;
    let report = fs::read_to_string(workspace.root.join(REPORT)).context(REPORT)?;
    let differing = differing(&audit.requirements, &report);
    ensure!(
        differing.is_empty(),
        "{FILE} and {REPORT} differ in these requirements:\n{}",
        differing.join("\n")
    );
    let code = code(&workspace.root)?;
    for file in SHOWN {
        let text = fs::read_to_string(workspace.root.join(file)).context(file)?;
        let missing = missing_tests(&text, &code);
        ensure!(
            missing.is_empty(),
            "{file} names tests that do not exist:\n{}",
            missing.join("\n")
        );
    }
    Ok(())
}

/// The requirements of `SessionLayer::report`, which have the same words.
const REPORT: &str = "crates/session/src/layer/report/requirements.rs";

/// Lists the rows of the ASVS whose id, level and text differ between the file and the layer's report.
fn differing(requirements: &[Row], report: &str) -> Vec<String> {
    let rows = pattern(r#"asvs\(\s*"([0-9.]+)",\s*([123]),\s*"([^"]+)""#);
    let reported: BTreeSet<Row> = rows
        .captures_iter(report)
        .map(|row| (1..4).map(|cell| row[cell].to_owned()).collect())
        .collect();
    let listed: BTreeSet<Row> = requirements.iter().map(|row| row[..3].to_vec()).collect();
    listed.symmetric_difference(&reported).map(|row| row.join(" ")).collect()
}

/// The test binaries of the layer's crate, each a folder in its `tests`.
const BINARIES: [&str; 3] = ["layer", "simulation", "stores"];

/// Lists the commands of a text that run a test which the code does not have.
fn missing_tests(text: &str, code: &str) -> Vec<String> {
    let is_there = |name: &str| pattern(&format!("(fn [a-z0-9_]*|mod ){name}")).is_match(code);
    let runs_none = |command: &str| {
        let mut words = command.split(' ').skip(2);
        while let Some(word) = words.next() {
            let is_known = match word {
                "-p" | "--features" => words.next().is_some(),
                "--test" => words.next().is_some_and(|name| BINARIES.contains(&name)),
                option if option.starts_with('-') => true,
                name => is_there(name),
            };
            if !is_known {
                return true;
            }
        }
        false
    };
    let commands = pattern("`(cargo test [^`]+)`");
    let commands = commands.captures_iter(text).map(|found| found[1].to_owned());
    commands.filter(|command| runs_none(command)).collect()
}

/// A row of a table, cell by cell.
type Row = Vec<String>;

#[derive(Debug)]
struct Audit {
    findings: Vec<Row>,
    requirements: Vec<Row>,
    /// The names of the tests of each finding, by the id in their names.
    tests: BTreeMap<String, BTreeSet<String>>,
}

impl Audit {
    fn read(workspace: &Workspace) -> Result<Self> {
        let text = fs::read_to_string(workspace.root.join(FILE)).context(FILE)?;
        let code = code(&workspace.root)?;
        let audit = Self::parse(&text, &code);
        let faults = audit.faults(&code);
        ensure!(faults.is_empty(), "{FILE} does not fit the code:\n{}", faults.join("\n"));
        Ok(audit)
    }

    fn parse(text: &str, code: &str) -> Self {
        let mut tests: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for found in pattern(r"fn (audit_([a-z]+[0-9]+)_[a-z0-9_]+)").captures_iter(code) {
            tests.entry(found[2].to_uppercase()).or_default().insert(found[1].to_owned());
        }
        let requirements = table(text, "status");
        Self { findings: table(text, "severity"), requirements, tests }
    }

    /// Lists each claim that the code does not bear out, and each test without a row.
    fn faults(&self, code: &str) -> Vec<String> {
        let mut faults = Vec::new();
        if self.findings.is_empty() || self.requirements.is_empty() {
            faults.push("a table is missing".to_owned());
        }
        for row in &self.findings {
            if !self.tests.contains_key(&row[0]) {
                faults.push(format!(
                    "{0}: no test is called audit_{1}_…",
                    row[0],
                    row[0].to_lowercase()
                ));
            }
        }
        for id in self.tests.keys() {
            if !self.findings.iter().any(|row| row[0] == *id) {
                faults.push(format!("{id}: the tests name a finding that has no row"));
            }
        }
        for row in &self.requirements {
            let [id, .., status, by] = &row[..] else { continue };
            if !STATUSES.contains(&status.as_str()) {
                faults.push(format!("{id}: {status:?} is not one of {STATUSES:?}"));
            }
            let names: Vec<_> =
                pattern(r"`(?:[A-Za-z]+::)?([A-Za-z_]+)`").captures_iter(by).collect();
            if matches!(status.as_str(), "option" | "call") && names.is_empty() {
                faults.push(format!("{id}: the row does not name the {status}"));
            }
            for name in names {
                if !["(", "<"].iter().any(|next| code.contains(&format!("fn {}{next}", &name[1]))) {
                    faults.push(format!("{id}: the code has no {}", &name[0]));
                }
            }
        }
        faults
    }

    fn printed(&self) -> String {
        let mut text = String::from("# Findings\n\n");
        for row in &self.findings {
            text += &format!("{:<4} {:<7} {}\n", row[0], row[1], row[2]);
            for test in &self.tests[&row[0]] {
                text += &format!("             {test}\n");
            }
        }
        text += "\n# OWASP ASVS 5.0\n\n";
        for row in &self.requirements {
            text += &format!("{:<6} L{} {:<12} {}\n", row[0], row[1], row[3], row[2]);
        }
        let count =
            |status: &&str| self.requirements.iter().filter(|row| row[3] == **status).count();
        let counts = STATUSES.iter().map(|status| format!("{status} {}", count(status)));
        text + &format!("\n{}\n", counts.collect::<Vec<_>>().join(", "))
    }
}

/// The rows of the table whose head has this word.
fn table(text: &str, word: &str) -> Vec<Row> {
    let cells = |line: &str| -> Row {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = text
        .lines()
        .skip_while(|line| !(line.starts_with('|') && cells(line).iter().any(|cell| cell == word)));
    let Some(head) = lines.next().map(cells) else { return Vec::new() };
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells);
    rows.filter(|row| row.len() == head.len()).collect()
}

/// Every tracked Rust file, one after the other.
fn code(root: &Path) -> Result<String> {
    let list = process::read(Command::new("git").args(["ls-files", "*.rs"]).current_dir(root))?;
    let mut code = String::new();
    for path in list.lines().filter(|path| !path.starts_with("xtask/")) {
        match fs::read_to_string(root.join(path)) {
            Ok(text) => code += &text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => bail!("{path}: {error}"),
        }
    }
    Ok(code)
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns above are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
| id | severity | finding |
|---|---|---|
| H1 | high | ids are drawn twice |

| id | level | requirement | status | by |
|---|---|---|---|---|
| 7.3.1 | 2 | idle timeout | option | `SessionLayer::max_age` |
";

    #[test]
    fn table_that_fits_the_code_is_printed_with_its_tests_and_counts() {
        let code = "fn audit_h1_two_forks() {}\npub fn max_age(self) {}";
        let audit = Audit::parse(TEXT, code);
        assert_eq!(audit.faults(code), [""; 0]);
        let printed = audit.printed();
        assert!(printed.contains("audit_h1_two_forks"), "{printed}");
        assert!(
            printed.ends_with("default 0, option 1, call 0, application 0, missing 0\n"),
            "{printed}"
        );
    }

    #[test]
    fn requirement_that_the_report_words_differently_is_found() {
        let rows = table(TEXT, "status");
        let report = r#"asvs(
            "7.3.1",
            2, "idle timeout", idle_timeout)"#;
        assert_eq!(differing(&rows, report), [""; 0]);
        for changed in [
            report.replace("7.3.1", "7.3.2"),
            report.replace("2,", "1,"),
            report.replace("idle timeout\"", "an idle timeout\""),
            String::new(),
        ] {
            assert!(!differing(&rows, &changed).is_empty(), "{changed}");
        }
    }

    #[test]
    fn command_that_runs_no_test_is_a_fault() {
        let code = "mod round_trips;\nfn logout_during_a_slow_request_is_final() {}";
        for (command, is_there) in [
            ("cargo test -p express-session --test layer logout_during", true),
            ("cargo test -p express-session --features redis --test stores round_trips", true),
            ("cargo test -p express-session --test simulation", true),
            ("cargo test -p express-session --lib", true),
            ("cargo test -p express-session --test layer logout_after", false),
            ("cargo test -p express-session --test round_trips", false),
        ] {
            let missing = missing_tests(&format!("| a | `{command}` |"), code);
            assert_eq!(missing.is_empty(), is_there, "{command}");
        }
    }

    #[test]
    fn each_difference_from_the_code_is_a_fault() {
        let faults = |text: &str, code: &str| Audit::parse(text, code).faults(code).join("\n");
        let fits = "fn audit_h1_two_forks() {}\npub fn max_age(self) {}";
        for (text, code, fault) in [
            (TEXT.to_owned(), "fn max_age()", "H1: no test is called audit_h1_…"),
            (TEXT.to_owned(), "fn audit_h1_a() fn audit_m2_b() fn max_age()", "M2: the tests name"),
            (TEXT.to_owned(), "fn audit_h1_a() fn max_ages()", "7.3.1: the code has no"),
            (TEXT.replace("option", "perhaps"), fits, "7.3.1: \"perhaps\" is not one of"),
            (TEXT.replace("`SessionLayer::max_age`", ""), fits, "7.3.1: the row does not name"),
            (TEXT.replace("severity", "size"), fits, "a table is missing"),
        ] {
            let found = faults(&text, code);
            assert!(found.contains(fault), "{fault}: {found}");
        }
    }
}
