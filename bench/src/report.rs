//! The report: sections with tables, plots and targets, as Markdown and as JSON.

use std::fmt::{self, Write as _};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::plot::Plot;

#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// The method, and what a reader has to know about the figures, in Markdown.
    pub(crate) text: &'static str,
    pub(crate) tables: Vec<Table>,
    /// Some of the figures as pictures.
    pub(crate) plots: Vec<Plot>,
    /// The figures that have a target.
    pub(crate) rows: Vec<Row>,
    /// Every figure that was taken, for other programs.
    pub(crate) raw: Value,
}

/// A table of printed cells. The first column is text, the others are figures.
#[derive(Debug)]
pub(crate) struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// A figure that has a target.
#[derive(Debug)]
pub(crate) struct Row {
    /// The measured case, and the peer of the other figure.
    pub(crate) case: String,
    /// The unit of both figures: `ns`, `allocations`, `requests/s`, …
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
    /// Our figure, if it was measured.
    pub(crate) ours: Option<f64>,
    /// The peer's, if the target compares the two.
    pub(crate) peer: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    AtMost(f64),
    /// The limit is a multiple of the peer's figure.
    TimesAtMost(f64),
    /// The same, from below.
    TimesAtLeast(f64),
}

impl Row {
    /// Returns our figure as a multiple of the peer's.
    fn ratio(&self) -> Option<f64> {
        let ratio = self.ours? / self.peer?;
        ratio.is_finite().then_some(ratio)
    }

    /// Checks the target. A missing figure does not meet it.
    fn is_met(&self) -> bool {
        let met = match self.target {
            Target::AtMost(limit) => self.ours.map(|ours| ours <= limit),
            Target::TimesAtMost(limit) => self.ratio().map(|ratio| ratio <= limit),
            Target::TimesAtLeast(limit) => self.ratio().map(|ratio| ratio >= limit),
        };
        met.unwrap_or(false)
    }

    fn target_text(&self) -> String {
        match self.target {
            Target::AtMost(limit) => format!("at most {} {}", figure(limit), self.unit),
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
    /// Puts the findings of several measurements into one section.
    pub(crate) fn of_parts<const N: usize>(
        title: &'static str,
        text: &'static str,
        parts: [(&str, Self); N],
    ) -> Self {
        let mut whole = Self { title, text, ..Self::default() };
        for (name, part) in parts {
            whole.tables.extend(part.tables);
            whole.plots.extend(part.plots);
            whole.rows.extend(part.rows);
            whole.raw[name] = part.raw;
        }
        whole
    }

    /// Returns the section as Markdown, with links to its plots if their folder is given.
    pub(crate) fn markdown(&self, plots: Option<&str>) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title, self.text.trim_end());
        for table in &self.tables {
            let _ = write!(text, "\n{}\n\n{table}", table.caption.trim_end());
        }
        if let Some(folder) = plots {
            for plot in &self.plots {
                let _ = write!(text, "\n![{}]({folder}/{})\n", plot.title, plot.file());
            }
        }
        text
    }
}

impl Table {
    pub(crate) fn new<T: Into<String>>(
        caption: impl Into<String>,
        head: impl IntoIterator<Item = T>,
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Self {
        Self {
            caption: caption.into(),
            head: head.into_iter().map(Into::into).collect(),
            rows: rows.into_iter().collect(),
        }
    }
}

impl fmt::Display for Table {
    /// Writes Markdown whose columns also line up in a terminal.
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

#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    is_quick: bool,
    sections: Vec<(&'static str, Section)>,
}

impl Report {
    pub(crate) fn new(machine: Machine, is_quick: bool) -> Self {
        Self { machine, is_quick, sections: Vec::new() }
    }

    pub(crate) fn add(&mut self, part: &'static str, section: Section) {
        self.sections.push((part, section));
    }

    /// Returns the text above the sections.
    pub(crate) fn beginning(&self) -> String {
        let mut text = include_str!("report.md").to_owned();
        if self.is_quick {
            text.push_str("\n**A quick run: not for figures.**\n");
        }
        let _ = write!(text, "\n## The machine\n\n{}", self.machine);
        text
    }

    pub(crate) fn verdict(&self) -> String {
        let rows: Vec<_> = self.rows().collect();
        let head = ["case", "target", "ours", "peer", "ratio", "met"];
        let table = Table::new("", head, rows.iter().map(|row| row.cells()));
        let met = rows.iter().filter(|row| row.is_met()).count();
        format!("## Targets\n\n{table}\n{met} of {} met\n", rows.len())
    }

    pub(crate) fn markdown(&self, plots: &str) -> String {
        let sections = self.sections.iter().map(|(_, section)| section.markdown(Some(plots)));
        let mut parts = vec![self.beginning(), self.verdict()];
        parts.extend(sections);
        parts.join("\n")
    }

    /// Returns the plots with their file names, which must differ.
    pub(crate) fn plots(&self) -> Result<Vec<(String, String)>> {
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

    /// Returns the figures for other programs.
    pub(crate) fn json(&self) -> Value {
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

/// Formats a figure: two decimals below ten, and none above, with commas between thousands.
pub(crate) fn figure(value: f64) -> String {
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

/// Formats a figure with at most two decimals, without zeros at their end.
pub(crate) fn short(value: f64) -> String {
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
    fn figure_equal_to_its_limit_meets_the_target() {
        assert!(row(Target::AtMost(400.0), Some(400.0), None).is_met());
        assert!(!row(Target::AtMost(400.0), Some(400.1), None).is_met());
        assert!(row(Target::TimesAtMost(0.25), Some(500.0), Some(2000.0)).is_met());
        assert!(!row(Target::TimesAtLeast(8.0), Some(7.0), Some(1.0)).is_met());
    }

    #[test]
    fn missing_figure_does_not_meet_its_target() {
        assert!(!row(Target::AtMost(400.0), None, None).is_met());
        assert!(!row(Target::TimesAtLeast(0.0), Some(1.0), None).is_met());
        assert!(!row(Target::TimesAtLeast(0.0), Some(1.0), Some(0.0)).is_met());
    }

    #[test]
    fn figures_have_decimals_below_ten_and_commas_above_a_thousand() {
        let texts = [0.25, 8.0, 9.999, 412.4, 1980.0, -1234567.0].map(figure);
        assert_eq!(texts, ["0.25", "8", "10", "412", "1,980", "-1,234,567"]);
    }

    #[test]
    fn columns_of_a_table_line_up_in_a_terminal() {
        let rows = [vec!["no cookie".to_owned(), "1,234".to_owned()], vec!["é".to_owned()]];
        let table = Table::new("", ["case", "ns"], rows);
        let expected = "| case      |    ns |\n\
                        |-----------|------:|\n\
                        | no cookie | 1,234 |\n\
                        | é         |       |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn json_has_the_targets_and_the_raw_figures() {
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
