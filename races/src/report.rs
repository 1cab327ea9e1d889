//! The table, and the verdict at its end.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cases::Case;
use crate::entrants::{Entrant, Maker};
use crate::tally::Tally;

/// What is known so far, printed as it comes.
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
    /// The same as a multiple of the 99th percentile of as many requests, each with its own session.
    by_apart: Option<f64>,
}

impl<W: Write> Report<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output, rows: Vec::new(), is_missing: false }
    }

    /// Prints the line above the table.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        writeln!(
            self.output,
            "{:<20} {:<10} {:<11} {:>7} {:>7} {:>7} {:>11} {:>8} {:>8} {:>7} {:>7}",
            "sessions",
            "store",
            "case",
            "sent",
            "lost",
            "refused",
            "resurrected",
            "p50 ms",
            "p99 ms",
            "x alone",
            "x apart"
        )
    }

    /// Notes what became of a case.
    pub(crate) fn add(&mut self, entrant: Entrant, case: Case, tally: Tally) -> io::Result<()> {
        let p99 = tally.within(99).filter(|_| case.is_timed());
        let of = |case: Case, percent| {
            let rows = self.rows.iter().rev();
            let mut rows = rows.take_while(|row| row.entrant == entrant);
            rows.find(|row| row.case == case).and_then(|row| row.tally.within(percent))
        };
        let by_alone = ratio(p99, of(Case::Alone, 50));
        let by_apart = ratio(p99, of(Case::Apart, 99));
        let row = Row { entrant, case, tally, by_alone, by_apart };
        writeln!(
            self.output,
            "{:<20} {:<10} {:<11} {:>7} {:>7} {:>7} {:>11} {:>8} {:>8} {:>7} {:>7}",
            row.name(),
            entrant.place.name(),
            case.name(),
            row.tally.sent,
            row.tally.lost,
            row.tally.refused,
            row.tally.resurrected,
            millis(row.tally.within(50)),
            millis(row.tally.within(99)),
            times(by_alone),
            times(by_apart),
        )?;
        if let Some(refusal) = &row.tally.refusal {
            writeln!(self.output, "  the first refusal: {refusal}")?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Notes what could not be played.
    pub(crate) fn left_out(&mut self, entrant: Entrant, why: &str) -> io::Result<()> {
        self.is_missing = true;
        self.say(entrant, &format!("left out: {why}"))
    }

    /// Says something about an entrant.
    pub(crate) fn say(&mut self, entrant: Entrant, what: &str) -> io::Result<()> {
        writeln!(self.output, "{:<20} {:<10} {what}", entrant.name(), entrant.place.name())
    }

    /// Prints the verdict, and says whether nothing is lost.
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

    /// The table for other programs.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "sessions": row.name(),
                "store": row.entrant.place.name(),
                "case": row.case.name(),
                "sent": row.tally.sent,
                "lost": row.tally.lost,
                "refused": row.tally.refused,
                "resurrected": row.tally.resurrected,
                "p50_ms": row.tally.within(50).map(as_millis),
                "p99_ms": row.tally.within(99).map(as_millis),
                "by_alone": row.by_alone,
                "by_apart": row.by_apart,
            })
        });
        rows.collect()
    }

    /// The rows that the verdict is about.
    fn judged(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.is_judged())
    }
}

impl Row {
    /// Ours, but for what Node writes over it.
    fn is_judged(&self) -> bool {
        self.entrant.maker == Maker::Ours && self.case != Case::AroundNode
    }

    fn name(&self) -> &'static str {
        // Node's own loss, on our records.
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
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", as_millis(time)))
}

fn as_millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entrants::Place;

    const OURS: Entrant = Entrant { maker: Maker::Ours, place: Place::Redis };
    const PEER: Entrant = Entrant { maker: Maker::ExpressSession, place: Place::Redis };

    /// The last line, and whether all is well.
    fn verdict(rows: Vec<(Entrant, Case, Tally)>, missing: bool) -> (String, bool) {
        let mut report = Report::new(Vec::new());
        for (entrant, case, tally) in rows {
            report.add(entrant, case, tally).unwrap();
        }
        if missing {
            report.left_out(OURS, "no reason").unwrap();
        }
        let is_well = report.end(false).unwrap();
        let output = String::from_utf8(report.output).unwrap();
        (output.lines().last().unwrap().to_owned(), is_well)
    }

    fn lost(lost: u64) -> Tally {
        Tally { sent: 9, lost, ..Tally::default() }
    }

    #[test]
    fn what_peers_lose_is_not_ours() {
        let rows = vec![(OURS, Case::Members, lost(0)), (PEER, Case::Members, lost(8))];
        assert_eq!(verdict(rows, false), ("lost 0, resurrected 0".to_owned(), true));
    }

    #[test]
    fn what_node_writes_over_ours_is_not_ours() {
        let rows = vec![(OURS, Case::AroundNode, lost(8))];
        assert_eq!(verdict(rows, false), ("lost 0, resurrected 0".to_owned(), true));
    }

    #[test]
    fn whatever_of_ours_is_lost_resurrected_or_refused_fails() {
        let rows = vec![(OURS, Case::Members, lost(1)), (OURS, Case::WithNode, lost(2))];
        assert_eq!(verdict(rows, false), ("lost 3, resurrected 0".to_owned(), false));
        let rows = vec![(OURS, Case::Logout, Tally { resurrected: 1, ..Tally::default() })];
        assert_eq!(verdict(rows, false), ("lost 0, resurrected 1".to_owned(), false));
        let rows = vec![(OURS, Case::Members, Tally { refused: 4, ..Tally::default() })];
        assert_eq!(verdict(rows, false), ("lost 0, resurrected 0, refused 4".to_owned(), false));
    }

    #[test]
    fn a_missing_server_fails_unless_it_may_be_missing() {
        assert_eq!(verdict(Vec::new(), true), ("lost 0, resurrected 0".to_owned(), false));
        let mut report = Report::new(Vec::new());
        report.left_out(OURS, "no reason").unwrap();
        assert!(report.end(true).unwrap());
    }
}
