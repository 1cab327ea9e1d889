//! The table, and the verdict at its end.

use std::io::{self, Write};
use std::time::Duration;

use crate::cases::Case;
use crate::entrants::Entrant;
use crate::tally::Tally;

/// The rows so far, printed as they come.
#[derive(Debug)]
pub(crate) struct Report<W> {
    output: W,
    rows: Vec<Row>,
    is_missing: bool,
}

#[derive(Debug)]
struct Row {
    entrant: Entrant,
    case: Case,
    tally: Tally,
    /// The 99th percentile as a multiple of the median of one request at a time.
    by_alone: Option<f64>,
}

impl<W: Write> Report<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output, rows: Vec::new(), is_missing: false }
    }

    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let head =
            ["sent", "lost", "refused", "resurrected", "p50 ms", "p99 ms", "x alone", "x apart"];
        self.line(["sessions", "store", "case"], &head.map(str::to_owned))
    }

    fn line(&mut self, names: [&str; 3], figures: &[String; 8]) -> io::Result<()> {
        let [sessions, store, case] = names;
        write!(self.output, "{sessions:<20} {store:<13} {case:<11}")?;
        for (figure, width) in figures.iter().zip([7, 7, 7, 11, 8, 8, 7, 7]) {
            write!(self.output, " {figure:>width$}")?;
        }
        writeln!(self.output)
    }

    pub(crate) fn add(&mut self, entrant: Entrant, case: Case, tally: Tally) -> io::Result<()> {
        let p99 = tally.within(99).filter(|_| case.is_timed());
        let of = |case: Case, percent| {
            let rows = self.rows.iter().rev();
            let mut rows = rows.take_while(|row| row.entrant == entrant);
            rows.find(|row| row.case == case).and_then(|row| row.tally.within(percent))
        };
        let by_alone = ratio(p99, of(Case::Alone, 50));
        // As many requests, each with its own session.
        let by_apart = ratio(p99, of(Case::Apart, 99));
        let row = Row { entrant, case, tally, by_alone };
        let Tally { sent, lost, refused, resurrected, .. } = row.tally;
        let [sent, lost, refused, resurrected] =
            [sent, lost, refused, resurrected].map(|count| count.to_string());
        let [p50, p99] = [50, 99].map(|percent| millis(row.tally.within(percent)));
        let [by_alone, by_apart] = [by_alone, by_apart].map(times);
        self.line(
            [row.name(), &entrant.place.name(), &case.name()],
            &[sent, lost, refused, resurrected, p50, p99, by_alone, by_apart],
        )?;
        if let Some(refusal) = &row.tally.refusal {
            writeln!(self.output, "  the first refusal: {refusal}")?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Reports an entrant that could not be played.
    pub(crate) fn left_out(&mut self, entrant: Entrant, why: &str) -> io::Result<()> {
        self.is_missing = true;
        self.say(entrant, &format!("left out: {why}"))
    }

    /// Prints a remark about an entrant.
    pub(crate) fn say(&mut self, entrant: Entrant, what: &str) -> io::Result<()> {
        writeln!(self.output, "{:<20} {:<13} {what}", entrant.name(), entrant.place.name())
    }

    /// Prints the verdict, and returns whether ours lost nothing.
    pub(crate) fn end(&mut self, allow_missing: bool) -> io::Result<bool> {
        let slowest = self.judged().filter(|row| row.case.is_contended());
        let slowest = slowest.filter_map(|row| Some((row.by_alone?, row)));
        let slowest = slowest.max_by(|(one, _), (other, _)| one.total_cmp(other));
        if let Some((by_alone, row)) = slowest {
            let (store, case) = (row.entrant.place.name(), row.case.name());
            writeln!(self.output, "slowest of ours: {by_alone:.2} x alone ({store}, {case})")?;
        }
        let sum =
            |count: fn(&Tally) -> u64| self.judged().map(|row| count(&row.tally)).sum::<u64>();
        let lost = sum(|tally| tally.lost);
        let refused = sum(|tally| tally.refused);
        let resurrected = sum(|tally| tally.resurrected);
        let refusals = if refused == 0 { String::new() } else { format!(", refused {refused}") };
        writeln!(self.output, "lost {lost}, resurrected {resurrected}{refusals}")?;
        let is_whole = allow_missing || !self.is_missing;
        Ok(lost == 0 && resurrected == 0 && refused == 0 && is_whole)
    }

    fn judged(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.is_judged())
    }
}

impl Row {
    /// Checks whether it is ours, without the changes that Node overwrites.
    fn is_judged(&self) -> bool {
        self.entrant.is_ours() && self.case != Case::AroundNode
    }

    fn name(&self) -> &'static str {
        // Node loses these changes, on our records.
        if self.case == Case::AroundNode { "express-session" } else { self.entrant.name() }
    }
}

fn ratio(time: Option<Duration>, by: Option<Duration>) -> Option<f64> {
    Some(time?.as_secs_f64() / by?.as_secs_f64())
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn millis(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entrants::{Maker, Place};

    const OURS: Entrant = Entrant { maker: Maker::Ours, place: Place::Redis };
    const PEER: Entrant = Entrant { maker: Maker::ExpressSession, place: Place::Redis };

    /// Returns the last line, and whether the run passed.
    fn verdict(rows: Vec<(Entrant, Case, Tally)>, missing: bool) -> (String, bool) {
        let mut report = Report::new(Vec::new());
        for (entrant, case, tally) in rows {
            report.add(entrant, case, tally).unwrap();
        }
        if missing {
            report.left_out(OURS, "not installed").unwrap();
        }
        let is_well = report.end(false).unwrap();
        let output = String::from_utf8(report.output).unwrap();
        (output.lines().last().unwrap().to_owned(), is_well)
    }

    fn lost(lost: u64) -> Tally {
        Tally { sent: 9, lost, ..Tally::default() }
    }

    #[test]
    fn losses_of_peers_do_not_fail_the_run() {
        let rows = vec![(OURS, Case::Members, lost(0)), (PEER, Case::Members, lost(8))];
        assert_eq!(verdict(rows, false), ("lost 0, resurrected 0".to_owned(), true));
    }

    #[test]
    fn changes_that_node_overwrites_do_not_fail_the_run() {
        let rows = vec![(OURS, Case::AroundNode, lost(8))];
        assert_eq!(verdict(rows, false), ("lost 0, resurrected 0".to_owned(), true));
    }

    #[test]
    fn lost_resurrected_or_refused_changes_of_ours_fail_the_run() {
        let rows = vec![(OURS, Case::Members, lost(1)), (OURS, Case::WithNode, lost(2))];
        assert_eq!(verdict(rows, false), ("lost 3, resurrected 0".to_owned(), false));
        let rows = vec![(OURS, Case::Logout, Tally { resurrected: 1, ..Tally::default() })];
        assert_eq!(verdict(rows, false), ("lost 0, resurrected 1".to_owned(), false));
        let rows = vec![(OURS, Case::Members, Tally { refused: 4, ..Tally::default() })];
        assert_eq!(verdict(rows, false), ("lost 0, resurrected 0, refused 4".to_owned(), false));
    }

    #[test]
    fn missing_server_fails_the_run_unless_it_is_allowed() {
        assert_eq!(verdict(Vec::new(), true), ("lost 0, resurrected 0".to_owned(), false));
        let mut report = Report::new(Vec::new());
        report.left_out(OURS, "not installed").unwrap();
        assert!(report.end(true).unwrap());
    }
}
