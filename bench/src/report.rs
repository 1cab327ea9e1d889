//! The report: sections with tables, plots and targets, as Markdown and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::iter;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use thousands::Separable as _;

use crate::machine;
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

    fn cells(&self) -> Vec<String> {
        let text = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let with_unit = |value| format!("{} {}", figure(value), self.unit);
        vec![
            self.case.clone(),
            self.target_text(),
            text(self.ours.map(with_unit)),
            text(self.peer.map(with_unit)),
            text(self.ratio().map(|ratio| format!("{} ×", short(ratio)))),
            if self.is_met() { "yes" } else { "NO" }.to_owned(),
        ]
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
            let _ = write!(text, "\n{}\n\n{table}", table.caption);
        }
        if let Some(folder) = plots {
            let link = |plot: &Plot| format!("\n![{}]({folder}/{})\n", plot.title, plot.file());
            text.extend(self.plots.iter().map(link));
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
        let lines = || iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|cells| cells.get(column));
            cells.fold(3, |width, cell: &String| width.max(cell.chars().count()))
        };
        let widths: Vec<_> = (0..self.head.len()).map(width).collect();
        for (number, cells) in lines().enumerate() {
            for (column, width) in widths.iter().copied().enumerate() {
                let cell = cells.get(column).map_or("", |cell| cell);
                match column {
                    0 => write!(f, "| {cell:<width$} ")?,
                    _ => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")?;
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let end = if column == 0 { '-' } else { ':' };
                    write!(f, "|{}{end}", "-".repeat(width + 1))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Returns the cells of a line of a table.
pub(crate) fn cells(
    first: impl Into<String>,
    others: impl IntoIterator<Item = String>,
) -> Vec<String> {
    iter::once(first.into()).chain(others).collect()
}

#[derive(Debug)]
pub(crate) struct Report {
    machine: BTreeMap<&'static str, String>,
    is_quick: bool,
    sections: Vec<(&'static str, Section)>,
}

impl Report {
    pub(crate) fn new(is_quick: bool) -> Self {
        Self { machine: machine::properties(), is_quick, sections: Vec::new() }
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
        text.push_str("\n## The machine\n\n");
        text.extend(self.machine.iter().map(|(name, value)| format!("- {name}: {value}\n")));
        text
    }

    pub(crate) fn verdict(&self) -> String {
        let head = ["case", "target", "ours", "peer", "ratio", "met"];
        let table = Table::new("", head, self.rows().map(Row::cells));
        let met = self.rows().filter(|row| row.is_met()).count();
        format!("## Targets\n\n{table}\n{met} of {} met\n", self.rows().count())
    }

    pub(crate) fn markdown(&self, plots: &str) -> String {
        let sections = self.sections.iter().map(|(_, section)| section.markdown(Some(plots)));
        cells(self.beginning(), iter::once(self.verdict()).chain(sections)).join("\n")
    }

    /// Returns the plots by their file names, which must differ.
    pub(crate) fn plots(&self) -> Result<BTreeMap<String, &String>> {
        let mut drawn = BTreeMap::new();
        for plot in self.sections.iter().flat_map(|(_, section)| &section.plots) {
            let other = drawn.insert(plot.file(), &plot.svg);
            ensure!(other.is_none(), "two plots are called {}", plot.file());
        }
        Ok(drawn)
    }

    /// Returns the figures for other programs.
    pub(crate) fn json(&self) -> Value {
        let parts = self.sections.iter().map(|(part, section)| (*part, &section.raw));
        json!({
            "rows": self.rows().map(Row::json).collect::<Vec<_>>(),
            "quick": self.is_quick,
            "machine": self.machine,
            "parts": parts.collect::<BTreeMap<_, _>>(),
        })
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|(_, section)| &section.rows)
    }
}

/// Formats a figure: two decimals below ten, and none above, with commas between thousands.
pub(crate) fn figure(value: f64) -> String {
    if value.abs() < 10.0 {
        return short(value);
    }
    format!("{value:.0}").separate_with_commas()
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
        let mut report = Report::new(true);
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
