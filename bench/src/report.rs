//! The report: sections with tables, plots and rows, as Markdown and as JSON.

use std::fmt::{self, Write as _};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::plot::Plot;

/// What one part found.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What was done and what to know about the figures, in Markdown.
    pub text: String,
    /// The figures.
    pub tables: Vec<Table>,
    /// The same as pictures.
    pub plots: Vec<Plot>,
    /// What must be reached.
    pub rows: Vec<Row>,
    /// Every figure that was taken, for other programs.
    pub raw: Value,
}

/// A table: cells as they are printed. The first column is text, the others are figures.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What the figures are.
    pub caption: String,
    /// The names of the columns.
    pub head: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// A figure that must be reached.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured, and of which peer the other figure is.
    pub case: String,
    /// What ours and the peer's figure are in: `ns`, `allocations`, `requests/s`, …
    pub unit: &'static str,
    /// What was asked for.
    pub target: Target,
    /// Our figure, if there is one.
    pub ours: Option<f64>,
    /// The peer's, if the target is about one.
    pub peer: Option<f64>,
}

/// What is asked of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Ours is not more than this.
    AtMost(f64),
    /// Ours is not less than this.
    AtLeast(f64),
    /// Ours is not more than so many times the peer's.
    TimesAtMost(f64),
    /// Ours is not less than so many times the peer's.
    TimesAtLeast(f64),
}

impl Row {
    /// Ours by the peer's.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let ratio = self.ours? / self.peer?;
        ratio.is_finite().then_some(ratio)
    }

    /// Whether the target is reached. What was not measured is not.
    #[must_use]
    pub fn is_met(&self) -> bool {
        let met = match self.target {
            Target::AtMost(limit) => self.ours.map(|ours| ours <= limit),
            Target::AtLeast(limit) => self.ours.map(|ours| ours >= limit),
            Target::TimesAtMost(limit) => self.ratio().map(|ratio| ratio <= limit),
            Target::TimesAtLeast(limit) => self.ratio().map(|ratio| ratio >= limit),
        };
        met.unwrap_or(false)
    }

    fn target_text(&self) -> String {
        match self.target {
            Target::AtMost(limit) => format!("at most {} {}", figure(limit), self.unit),
            Target::AtLeast(limit) => format!("at least {} {}", figure(limit), self.unit),
            Target::TimesAtMost(limit) => format!("at most {} × the peer", short(limit)),
            Target::TimesAtLeast(limit) => format!("at least {} × the peer", short(limit)),
        }
    }

    fn json(&self) -> Value {
        json!({
            "case": self.case,
            "unit": self.unit,
            "target": self.target_text(),
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio(),
            "met": self.is_met(),
        })
    }
}

impl Section {
    /// The section as it is printed; with the folder of the plots, they are shown.
    #[must_use]
    pub fn markdown(&self, plots: Option<&str>) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title, self.text.trim_end());
        for table in &self.tables {
            let _ = write!(text, "\n{}\n\n{table}", table.caption.trim_end());
        }
        if let Some(folder) = plots {
            for plot in &self.plots {
                let _ = write!(text, "\n![{}]({folder}/{})\n", plot.title(), plot.file());
            }
        }
        text
    }
}

impl fmt::Display for Table {
    /// Markdown, with columns that are straight in a terminal too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.chain(self.head.get(column)).map(|cell| cell.chars().count()).max()
            })
            .map(|width| width.unwrap_or(0).max(3))
            .collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (column, width) in widths.iter().enumerate() {
                let cell = cells.get(column).map_or("", |cell| cell);
                if column == 0 {
                    write!(f, "| {cell:<width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            writeln!(f, "|")
        };
        line(f, &self.head)?;
        for (column, width) in widths.iter().enumerate() {
            let dashes = "-".repeat(width + 1);
            if column == 0 { write!(f, "|{dashes}-")? } else { write!(f, "|{dashes}:")? }
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// The whole run.
#[derive(Debug)]
pub struct Report {
    machine: Machine,
    is_quick: bool,
    sections: Vec<(&'static str, Section)>,
}

impl Report {
    /// A run on this machine, with nothing measured so far.
    #[must_use]
    pub fn new(machine: Machine, is_quick: bool) -> Self {
        Self { machine, is_quick, sections: Vec::new() }
    }

    /// Adds what a part found.
    pub fn add(&mut self, part: &'static str, section: Section) {
        self.sections.push((part, section));
    }

    /// What stands above the sections.
    #[must_use]
    pub fn beginning(&self) -> String {
        let mut text = include_str!("report.md").to_owned();
        if self.is_quick {
            text.push_str("\n**A quick run: not for figures.**\n");
        }
        let _ = write!(text, "\n## The machine\n\n{}", self.machine);
        text
    }

    /// The table of what must be reached.
    #[must_use]
    pub fn verdict(&self) -> String {
        let rows: Vec<_> = self.rows().collect();
        let table = Table {
            head: ["case", "target", "ours", "peer", "ratio", "met"].map(str::to_owned).to_vec(),
            rows: rows.iter().map(|row| row.cells()).collect(),
            ..Table::default()
        };
        let met = rows.iter().filter(|row| row.is_met()).count();
        format!("## What must be reached\n\n{table}\n{met} of {} met\n", rows.len())
    }

    /// The whole document.
    #[must_use]
    pub fn markdown(&self, plots: &str) -> String {
        let sections = self.sections.iter().map(|(_, section)| section.markdown(Some(plots)));
        let mut parts = vec![self.beginning(), self.verdict()];
        parts.extend(sections);
        parts.join("\n")
    }

    /// The plots with their file names.
    ///
    /// # Errors
    ///
    /// A plot that cannot be drawn, or two of one name.
    pub fn plots(&self) -> Result<Vec<(String, String)>> {
        let mut drawn: Vec<(String, String)> = Vec::new();
        for plot in self.sections.iter().flat_map(|(_, section)| &section.plots) {
            let name = plot.file();
            if drawn.iter().any(|(other, _)| *other == name) {
                bail!("two plots are called {name}");
            }
            drawn.push((name, plot.svg()?));
        }
        Ok(drawn)
    }

    /// The run for other programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let raw =
            self.sections.iter().map(|(part, section)| ((*part).to_owned(), section.raw.clone()));
        json!({
            "rows": self.rows().map(Row::json).collect::<Vec<_>>(),
            "quick": self.is_quick,
            "machine": self.machine,
            "parts": Value::Object(raw.collect()),
        })
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|(_, section)| &section.rows)
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let with_unit = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{} {}", figure(value), self.unit))
        };
        vec![
            self.case.clone(),
            self.target_text(),
            with_unit(self.ours),
            with_unit(self.peer),
            self.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{} ×", short(ratio))),
            if self.is_met() { "yes" } else { "NO" }.to_owned(),
        ]
    }
}

/// A figure with as many digits as it is good for, its thousands apart.
#[must_use]
pub fn figure(value: f64) -> String {
    if value.abs() < 10.0 {
        return short(value);
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// Two decimals at most, none of them idle.
#[must_use]
pub fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: Target, ours: Option<f64>, peer: Option<f64>) -> Row {
        Row { case: "case".to_owned(), unit: "ns", target, ours, peer }
    }

    #[test]
    fn a_limit_itself_is_met() {
        assert!(row(Target::AtMost(400.0), Some(400.0), None).is_met());
        assert!(!row(Target::AtMost(400.0), Some(400.1), None).is_met());
        assert!(row(Target::AtLeast(8.0), Some(8.0), None).is_met());
        assert!(row(Target::TimesAtMost(0.25), Some(500.0), Some(2000.0)).is_met());
        assert!(!row(Target::TimesAtLeast(8.0), Some(7.0), Some(1.0)).is_met());
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        assert!(!row(Target::AtMost(400.0), None, None).is_met());
        assert!(!row(Target::TimesAtLeast(0.0), Some(1.0), None).is_met());
        assert!(!row(Target::TimesAtLeast(0.0), Some(1.0), Some(0.0)).is_met());
    }

    #[test]
    fn figures_have_the_digits_they_are_good_for() {
        let texts = [0.25, 8.0, 9.999, 412.4, 1980.0, -1234567.0].map(figure);
        assert_eq!(texts, ["0.25", "8", "10", "412", "1,980", "-1,234,567"]);
    }

    #[test]
    fn a_table_is_straight_in_a_terminal() {
        let table = Table {
            head: vec!["case".to_owned(), "ns".to_owned()],
            rows: vec![vec!["no cookie".to_owned(), "1,234".to_owned()], vec!["é".to_owned()]],
            ..Table::default()
        };
        let expected = "| case      |    ns |\n\
                        |-----------|------:|\n\
                        | no cookie | 1,234 |\n\
                        | é         |       |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn the_json_has_what_was_asked_for() {
        let section = Section {
            rows: vec![row(Target::TimesAtMost(0.25), Some(500.0), Some(2000.0))],
            raw: json!({"figures": [1]}),
            ..Section::default()
        };
        let mut report = Report::new(Machine::read(), true);
        report.add("http", section);
        let json = report.json();
        let expected = json!([{
            "case": "case", "unit": "ns", "target": "at most 0.25 × the peer",
            "ours": 500.0, "peer": 2000.0, "ratio": 0.25, "met": true,
        }]);
        assert_eq!(json["rows"], expected);
        assert_eq!(json["parts"]["http"]["figures"][0], 1);
        assert!(report.verdict().ends_with("1 of 1 met\n"));
    }
}
