//! JavaScript's points in time, and their two text forms.
//!
//! This module does not use a crate because the range and the formats are specific to JavaScript: whole milliseconds
//! within ±8.64e15 (ECMA-262 §21.4.1.1), years of six digits outside 0 to 9999, and a parser that accepts the same
//! texts as `Date`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MS_PER_DAY: i64 = 86_400_000;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A point in time: whole milliseconds since 1970-01-01 UTC, as JavaScript's `Date` counts them.
///
/// ```
/// use express_session_core::Timestamp;
///
/// let at = Timestamp::from_millis(1_700_000_060_123);
/// assert_eq!(at.iso(), "2023-11-14T22:14:20.123Z");
/// assert_eq!(at.http_date(), "Tue, 14 Nov 2023 22:14:20 GMT");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// JavaScript's latest time, 100 million days after 1970.
    pub const MAX: Self = Self(8_640_000_000_000_000);
    /// JavaScript's earliest time, 100 million days before 1970.
    pub const MIN: Self = Self(-8_640_000_000_000_000);

    /// Creates a time from milliseconds since 1970, clamped to JavaScript's range.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis > Self::MAX.0 {
            Self::MAX
        } else if millis < Self::MIN.0 {
            Self::MIN
        } else {
            Self(millis)
        }
    }

    /// Converts like `new Date(number)`: drops the fraction, and returns `None` outside the range.
    #[must_use]
    pub(crate) fn from_number(millis: f64) -> Option<Self> {
        // A number within the range is exact in an i64.
        (millis.abs() <= Self::MAX.0 as f64).then_some(Self(millis as i64))
    }

    /// Returns the milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns the time `duration` later, at most [`Timestamp::MAX`]. Fractions of a millisecond are dropped.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Returns the duration since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// Formats the time like `Date.prototype.toISOString`, with three digits of milliseconds.
    #[must_use]
    pub fn iso(self) -> String {
        let mut text = String::with_capacity(24);
        self.push_iso(&mut text);
        text
    }

    /// Formats the time like `Date.prototype.toUTCString`: the `Expires` of a cookie (RFC 9110 §5.6.7).
    #[must_use]
    pub fn http_date(self) -> String {
        let mut text = String::with_capacity(29);
        self.push_http_date(&mut text);
        text
    }

    pub(crate) fn push_iso(self, out: &mut String) {
        let Civil { year, month, day, hour, minute, second, milli, .. } = Civil::of(self);
        if !(0..=9999).contains(&year) {
            out.push(if year < 0 { '-' } else { '+' });
            push_digits::<2>(year.unsigned_abs() / 10_000, out);
        }
        push_digits::<4>(year.unsigned_abs() % 10_000, out);
        for (separator, number) in
            [('-', month), ('-', day), ('T', hour), (':', minute), (':', second)]
        {
            out.push(separator);
            push_digits::<2>(number.unsigned_abs(), out);
        }
        out.push('.');
        push_digits::<3>(milli.unsigned_abs(), out);
        out.push('Z');
    }

    pub(crate) fn push_http_date(self, out: &mut String) {
        let Civil { year, month, day, weekday, hour, minute, second, .. } = Civil::of(self);
        out.push_str(DAYS[weekday]);
        out.push_str(", ");
        push_digits::<2>(day.unsigned_abs(), out);
        out.push(' ');
        out.push_str(MONTHS[month as usize - 1]);
        out.push_str(if year < 0 { " -" } else { " " });
        if year.unsigned_abs() > 9999 {
            out.push_str(&(year.unsigned_abs() / 10_000).to_string());
        }
        push_digits::<4>(year.unsigned_abs() % 10_000, out);
        for (separator, number) in [(' ', hour), (':', minute), (':', second)] {
            out.push(separator);
            push_digits::<2>(number.unsigned_abs(), out);
        }
        out.push_str(" GMT");
    }

    /// Parses like `new Date(text)` the forms that stored sessions contain: ISO 8601 as in ECMA-262 §21.4.1.32 (a date,
    /// or a date with a time and a zone), and the form of `toUTCString`. Returns `None`, an invalid date, for any other
    /// text and for a local time without a zone.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    ///
    /// let at = Some(Timestamp::from_millis(1_700_000_060_000));
    /// assert_eq!(Timestamp::parse("2023-11-14T23:14:20+01:00"), at);
    /// assert_eq!(Timestamp::parse("Tue, 14 Nov 2023 22:14:20 GMT"), at);
    /// assert_eq!(Timestamp::parse("2023-11-14T22:14:20"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_iso(text.as_bytes()).or_else(|| parse_http_date(text))
    }

    /// Returns the time of the machine's clock, for calls of a store outside of a request.
    ///
    /// The engine itself never reads a clock: the layer's `clock` option gives it the time.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use express_session_core::Timestamp;
    ///
    /// assert!(Timestamp::now() <= SystemTime::now().into());
    /// ```
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "it is the one function that asks for the time")]
    pub fn now() -> Self {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Timestamp {
    /// Drops fractions of a millisecond, and clamps to JavaScript's range.
    fn from(time: SystemTime) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::from_millis(millis(after)),
            Err(before) => Self::from_millis(-millis(before.duration())),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let distance = Duration::from_millis(time.0.unsigned_abs());
        if time.0 < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso())
    }
}

/// Writes the last digits of a number with leading zeros.
fn push_digits<const WIDTH: usize>(mut number: u64, out: &mut String) {
    let mut digits = ['0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = char::from(b'0' + (number % 10) as u8);
        number /= 10;
    }
    out.extend(digits);
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

impl Civil {
    /// Converts a time to the proleptic Gregorian calendar. Years are counted from March, so that the
    /// leap day comes last (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    fn of(time: Timestamp) -> Self {
        let days = time.0.div_euclid(MS_PER_DAY);
        let rest = time.0.rem_euclid(MS_PER_DAY);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            // 1970-01-01 was a Thursday, the first name of the list.
            weekday: usize::try_from(days.rem_euclid(7)).unwrap_or(0),
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            milli: rest % 1000,
        }
    }
}

fn days_before(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Reads digits, dates and times from the start of a text.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn eat(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == byte).then(|| self.0 = rest)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        })
    }

    fn number_in(&mut self, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        self.number(2).filter(|number| range.contains(number))
    }

    fn year(&mut self) -> Option<i64> {
        if self.eat(b'+').is_some() {
            return self.number(6);
        }
        if self.eat(b'-').is_some() {
            // ECMA-262 §21.4.1.32.1: the year -000000 is invalid.
            return self.number(6).filter(|year| *year != 0).map(|year| -year);
        }
        self.number(4)
    }

    /// Reads the fraction of a second as V8 does. Returns the milliseconds, and whether the fraction is zero. V8 drops
    /// the digits after the third, but reads nine digits after the leading zeros as the first nine.
    fn millis(&mut self) -> Option<(i64, bool)> {
        if self.eat(b'.').is_none() {
            return Some((0, true));
        }
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.0.split_at(digits);
        self.0 = rest;
        let significant = fraction.iter().skip_while(|digit| **digit == b'0').take(9);
        let number = significant.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        let millis = match digits {
            0 => return None,
            1 => number * 100,
            2 => number * 10,
            _ => number / 10_i64.pow(digits.min(9) as u32 - 3),
        };
        Some((millis, number == 0))
    }

    /// Reads `Z` or an offset, in milliseconds.
    fn zone(&mut self) -> Option<i64> {
        if self.eat(b'Z').is_some() {
            return Some(0);
        }
        let sign = if self.eat(b'+').is_some() {
            1
        } else {
            self.eat(b'-')?;
            -1
        };
        let hours = self.number_in(0..=23)?;
        self.eat(b':')?;
        let minutes = self.number_in(0..=59)?;
        Some(sign * (hours * 60 + minutes) * 60_000)
    }
}

fn parse_iso(text: &[u8]) -> Option<Timestamp> {
    let mut text = Reader(text);
    let year = text.year()?;
    let mut month = 1;
    let mut day = 1;
    if text.eat(b'-').is_some() {
        month = text.number_in(1..=12)?;
        if text.eat(b'-').is_some() {
            // V8 lets a day overflow into the next month, up to 31 in every month.
            day = text.number_in(1..=31)?;
        }
    }
    let mut millis = (days_before(year, month) + day - 1) * MS_PER_DAY;
    if text.eat(b'T').is_some() {
        let hour = text.number_in(0..=24)?;
        text.eat(b':')?;
        let minute = text.number_in(0..=59)?;
        let (second, (milli, is_whole)) = match text.eat(b':') {
            Some(()) => (text.number_in(0..=59)?, text.millis()?),
            None => (0, (0, true)),
        };
        if hour == 24 && (minute, second, is_whole) != (0, 0, true) {
            return None;
        }
        millis += ((hour * 60 + minute) * 60 + second) * 1000 + milli;
        millis -= text.zone()?;
    }
    text.0.is_empty().then(|| Timestamp::from_number(millis as f64)).flatten()
}

/// Reads `Tue, 14 Nov 2023 22:14:20 GMT`; the weekday is not checked, as in JavaScript.
fn parse_http_date(text: &str) -> Option<Timestamp> {
    let (weekday, rest) = text.split_at_checked(5)?;
    if !weekday.ends_with(", ") || !DAYS.contains(&&weekday[..3]) {
        return None;
    }
    let mut text = Reader(rest.as_bytes());
    let day = text.number_in(1..=31)?;
    text.eat(b' ')?;
    let (name, after) = text.0.split_at_checked(3)?;
    let month = MONTHS.iter().position(|month| month.as_bytes() == name)?;
    text.0 = after;
    text.eat(b' ')?;
    // V8 reads years of two digits, in any notation, as years around 2000.
    let year = match text.number(4)? {
        year @ 0..=49 => year + 2000,
        year @ 50..=99 => year + 1900,
        year => year,
    };
    text.eat(b' ')?;
    let hour = text.number_in(0..=24)?;
    text.eat(b':')?;
    let minute = text.number_in(0..=59)?;
    text.eat(b':')?;
    let second = text.number_in(0..=59)?;
    if hour == 24 && (minute, second) != (0, 0) {
        return None;
    }
    let days = days_before(year, i64::try_from(month).ok()? + 1) + day - 1;
    let millis = days * MS_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1000;
    (text.0 == b" GMT").then_some(Timestamp(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [(i64, &str, &str); 10] = [
        // The texts come from Node 20: new Date(ms).toISOString() and .toUTCString().
        (0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (1_700_000_060_123, "2023-11-14T22:14:20.123Z", "Tue, 14 Nov 2023 22:14:20 GMT"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
        (-1, "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 GMT"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z", "Sat, 01 Jan 10000 00:00:00 GMT"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z", "Sat, 01 Jan 0000 00:00:00 GMT"),
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z", "Sat, 13 Sep 275760 00:00:00 GMT"),
        (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z", "Fri, 31 Dec -0001 23:59:59 GMT"),
        (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z", "Tue, 20 Apr -271821 00:00:00 GMT"),
    ];

    #[test]
    fn dates_are_written_as_in_javascript() {
        for (millis, iso, http) in BOTH {
            assert_eq!(Timestamp(millis).iso(), iso);
            assert_eq!(Timestamp(millis).http_date(), http);
        }
    }

    #[test]
    fn written_dates_are_read_back() {
        for (millis, iso, http) in BOTH {
            assert_eq!(Timestamp::parse(iso), Some(Timestamp(millis)));
            if (0..253_402_300_800_000).contains(&millis) {
                assert_eq!(Timestamp::parse(http), Some(Timestamp(millis / 1000 * 1000)));
            }
        }
    }

    #[test]
    fn other_iso_forms_are_read_as_in_javascript() {
        for (text, millis) in [
            ("2023-11-14", Some(1_699_920_000_000)),
            ("2023-11", Some(1_698_796_800_000)),
            ("2023", Some(1_672_531_200_000)),
            ("2023-11-14T22:14:20Z", Some(1_700_000_060_000)),
            ("2023-11-14T22:14Z", Some(1_700_000_040_000)),
            ("2023-11-14T23:14:20.5+01:00", Some(1_700_000_060_500)),
            ("2023-11-14T22:14:20-03:30", Some(1_700_012_660_000)),
            ("2023-11-14T22:14:20.05Z", Some(1_700_000_060_050)),
            ("2023-11-14T22:14:20.005Z", Some(1_700_000_060_005)),
            ("2023-11-14T24:00Z", Some(1_700_006_400_000)),
            ("+002023-11-14", Some(1_699_920_000_000)),
            ("2023-11-14T22:14:20.123456Z", Some(1_700_000_060_123)),
            ("2023-11-14T24:00:00.000Z", Some(1_700_006_400_000)),
            ("2023-02-31T00:00:00.000Z", Some(1_677_801_600_000)),
            ("2023-11-14T22:14.5Z", None),
            ("Tue, 14 Nov 2023 24:00:00 GMT", Some(1_700_006_400_000)),
            ("Tue, 14 Nov 2023 24:00:01 GMT", None),
            ("Thu, 01 Jan 0049 00:00:00 GMT", Some(2_493_072_000_000)),
            ("Thu, 01 Jan 0050 00:00:00 GMT", Some(-631_152_000_000)),
            ("Thu, 01 Jan 0100 00:00:00 GMT", Some(-59_011_459_200_000)),
            ("2023-11-14T24:00:01Z", None),
            ("2023-11-14T24:01Z", None),
            ("2023-11-14T24:00:00.001Z", None),
            // The fuzzer found these; the values come from Node 20.
            ("2023-11-14T24:00:00.0000000000000Z", Some(1_700_006_400_000)),
            ("2023-11-14T24:00:00.0000000000001Z", None),
            ("2023-11-14T22:13:20.1Z", Some(1_700_000_000_100)),
            ("2023-11-14T22:13:20.12Z", Some(1_700_000_000_120)),
            ("2023-11-14T22:13:20.0999933Z", Some(1_700_000_000_099)),
            ("2023-11-14T22:13:20.09999333333Z", Some(1_700_000_000_999)),
            ("2023-11-14T22:13:20.0000000000009Z", Some(1_700_000_000_000)),
            ("2023-11-14T22:13:20.0000000000123456789123Z", Some(1_700_000_000_123)),
            ("2023-11-14T25:00Z", None),
            ("2023-11-14T22:60Z", None),
            ("2023-11-14T22:14:60Z", None),
            ("2023-11-14T22Z", None),
            ("2023-11-14T22:14:20.Z", None),
            ("2023-11-14T22:14:20Zx", None),
            ("2023-11-14T22:14:20+24:00", None),
            ("2023-11-14T22:14:20+01:60", None),
            ("2023-11-32", None),
            ("2023-11-00", None),
            ("2023-00-01", None),
            ("20x3-11-14", None),
            ("2023-13-01", None),
            ("2023-11-14T22:14:20", None),
            ("-000000-01-01T00:00:00Z", None),
            ("+275760-09-13T00:00:00.001Z", None),
            ("-271821-04-19T23:59:59.999Z", None),
            ("garbage", None),
            ("", None),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::millis), millis, "{text}");
        }
    }

    #[test]
    fn http_dates_are_read_as_in_javascript() {
        for (text, millis) in [
            ("Tue, 14 Nov 2023 22:14:20 GMT", Some(1_700_000_060_000)),
            ("Wed, 14 Nov 2023 22:14:20 GMT", Some(1_700_000_060_000)),
            ("Mon, 01 Jan 2024 00:00:00 GMT", Some(1_704_067_200_000)),
            ("Sun, 31 Dec 2023 23:59:59 GMT", Some(1_704_067_199_000)),
            ("Tue, 31 Feb 2023 00:00:00 GMT", Some(1_677_801_600_000)),
            ("Sat, 01 Jan 0000 00:00:00 GMT", Some(946_684_800_000)),
            ("Sat, 01 Jan 0049 00:00:00 GMT", Some(2_493_072_000_000)),
            ("Sat, 01 Jan 0050 00:00:00 GMT", Some(-631_152_000_000)),
            ("Sat, 01 Jan 0099 00:00:00 GMT", Some(915_148_800_000)),
            ("Sat, 01 Jan 0100 00:00:00 GMT", Some(-59_011_459_200_000)),
            ("Tue, 32 Nov 2023 22:14:20 GMT", None),
            ("Tue, 14 Xyz 2023 22:14:20 GMT", None),
            ("Tue, 14 Nov 2023 24:14:20 GMT", None),
            ("Tue, 14 Nov 2023 22-14-20 GMT", None),
            ("Tue, 14 Nov 2023 22:14:20 GMTx", None),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::millis), millis, "{text}");
        }
    }

    #[test]
    fn http_date_in_a_form_that_is_never_stored_is_refused() {
        // `Date.parse` accepts these as well, but no store contains them.
        for text in ["Foo, 14 Nov 2023 22:14:20 GMT", "Tue; 14 Nov 2023 22:14:20 GMT"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    /// Counts the days by the calendar's rules, beginning with a March in which every period of the calculation
    /// begins.
    #[test]
    fn every_day_of_two_thousand_years_follows_the_one_before() {
        let (mut year, mut month, mut day) = (0, 3, 1);
        let mut weekday = DAYS.iter().position(|name| *name == "Wed").unwrap();
        for days in -719_468..=11_016 {
            let civil = Civil::of(Timestamp(days * MS_PER_DAY));
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day), "day {days}");
            assert_eq!(civil.weekday, weekday, "day {days}");
            assert_eq!(days_before(year, month) + day - 1, days, "{year}-{month}-{day}");
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            weekday = (weekday + 1) % 7;
            (year, month, day) = match (month, day == length) {
                (_, false) => (year, month, day + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
        }
        assert_eq!((year, month, day), (2000, 3, 1));
    }

    #[test]
    fn times_beyond_javascripts_range_are_clamped() {
        assert_eq!(Timestamp::from_millis(Timestamp::MAX.0 + 1), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(Timestamp::MIN.0 - 1), Timestamp::MIN);
        for millis in [Timestamp::MIN.0 + 1, -1, 0, 1, Timestamp::MAX.0 - 1] {
            assert_eq!(Timestamp::from_millis(millis).millis(), millis);
        }
    }

    #[test]
    fn numbers_become_dates_as_in_javascript() {
        for (number, millis) in [
            (0.0, Some(0)),
            (1.9, Some(1)),
            (-1.9, Some(-1)),
            (8.64e15, Some(8_640_000_000_000_000)),
            (-8.64e15, Some(-8_640_000_000_000_000)),
            (8.64e15 + 1.0, None),
            (-8.64e15 - 1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(Timestamp::from_number(number).map(Timestamp::millis), millis, "{number}");
        }
    }

    #[test]
    fn sums_and_differences_stay_within_the_range() {
        let at = Timestamp(1_000);
        assert_eq!(at.saturating_add(Duration::from_micros(1_999)), Timestamp(1_001));
        assert_eq!(Timestamp::MIN.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(at.saturating_since(Timestamp(-1_000)), Duration::from_secs(2));
        assert_eq!(Timestamp(-1_000).saturating_since(at), Duration::ZERO);
        assert_eq!(at.to_string(), at.iso());
    }

    #[test]
    fn system_time_and_back_keeps_the_millisecond() {
        for millis in [-1_700_000_000_123, -1, 0, 1, 1_700_000_000_123] {
            assert_eq!(Timestamp::from(SystemTime::from(Timestamp(millis))), Timestamp(millis));
        }
    }
}
