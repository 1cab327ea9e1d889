//! Random operations on a store, which shrink after a failure.

use std::ops::RangeInclusive;
use std::time::Duration;

use express_session_core::Timestamp;
use express_session_core::store::{LockToken, Record, Touch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::Clock;

/// Operations one after the other.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// The ids that the operations name by their place.
    pub(super) names: Vec<String>,
    pub(super) operations: Vec<Operation>,
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    On { name: usize, what: What },
    Pass(Pass),
    List { limit: usize },
    Count,
    Purge { limit: usize },
    Clear,
}

/// An operation on one id.
#[derive(Clone, Debug)]
pub(super) enum What {
    Load,
    Create(Text, End),
    Update(Text, End, Expected),
    Touch(End),
    Destroy,
    Lock(Who),
    UpdateLocked(Text, End, Expected, Who),
    Unlock(Who),
}

/// Which revision an update expects.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// The latest that was seen.
    Latest,
    /// One that was seen before, if there is one.
    Earlier(usize),
    /// That of another id, if it has one.
    Foreign(usize),
    /// A revision that no call returned.
    Invented,
}

/// One of the few who ask for a lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who(u8);

#[derive(Clone, Debug)]
pub(super) enum Text {
    /// A record of ours, of any size.
    Data { number: u32, minutes: Option<u32>, fill: usize },
    /// One that another program may have written, or no record at all.
    Odd(&'static str),
}

/// When a record ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Never,
    Far,
    Near,
    /// Not at a whole second.
    NearAndAPart,
    Now,
    Past,
}

/// How much time goes by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pass {
    Part,
    Second,
    /// To just before what was near, or just to it.
    NearlyNear,
    Near,
    Far,
}

/// Several tasks that call the store concurrently with one id.
#[derive(Clone, Debug)]
pub(super) struct AtOnce {
    /// Whether there is a record before they begin.
    pub(super) begun: bool,
    pub(super) tasks: Vec<Vec<What>>,
}

pub(super) fn sequence(clock: Clock, operator: bool) -> impl Strategy<Value = Sequence> {
    let operations = vec(operation(operator), 1..=OPERATIONS);
    let operations = match clock {
        Clock::Argument => operations.boxed(),
        // All wait for the server's time together, so that there is one wait for each.
        Clock::Server => (operations.clone(), any::<bool>(), operations)
            .prop_map(|(mut before, passes, after)| {
                before.retain(|operation| !matches!(operation, Operation::Pass(_)));
                if passes {
                    before.push(Operation::Pass(Pass::Near));
                    let calls = |operation: &_| !matches!(operation, Operation::Pass(_));
                    before.extend(after.into_iter().filter(calls));
                }
                before
            })
            .boxed(),
    };
    (names(), operations).prop_map(|([odd, other], operations)| Sequence {
        names: vec!["visitor".to_owned(), odd, other],
        operations,
    })
}

pub(super) fn concurrent() -> impl Strategy<Value = AtOnce> {
    let expected = prop_oneof![
        4 => Just(Expected::Latest),
        1 => Just(Expected::Invented),
    ];
    // A number of its own for each text, also where the rest is made smaller.
    let plain = (any::<u32>().no_shrink(), 0..2u32).prop_map(|(number, minutes)| Text::Data {
        number,
        minutes: Some(60 + minutes),
        fill: 0,
    });
    let what = on_one_id(plain.boxed(), Just(End::Far).boxed(), expected.boxed());
    (any::<bool>(), vec(vec(what, 1..=STEPS), TASKS))
        .prop_map(|(begun, tasks)| AtOnce { begun, tasks })
}

fn operation(operator: bool) -> BoxedStrategy<Operation> {
    let ends = prop_oneof![
        5 => Just(End::Far),
        2 => Just(End::Near),
        1 => Just(End::NearAndAPart),
        1 => Just(End::Never),
        1 => Just(End::Now),
        1 => Just(End::Past),
    ];
    let expected = prop_oneof![
        3 => Just(Expected::Latest),
        2 => (0..8usize).prop_map(Expected::Earlier),
        1 => (0..NAMES).prop_map(Expected::Foreign),
        1 => Just(Expected::Invented),
    ];
    let name = prop_oneof![1 => Just(0), 1 => 1..NAMES];
    let on = (name, on_one_id(text().boxed(), ends.boxed(), expected.boxed()))
        .prop_map(|(name, what)| Operation::On { name, what });
    let pass = prop_oneof![
        3 => Just(Pass::Part),
        3 => Just(Pass::Second),
        3 => Just(Pass::NearlyNear),
        3 => Just(Pass::Near),
        1 => Just(Pass::Far),
    ]
    .prop_map(Operation::Pass);
    if !operator {
        return prop_oneof![7 => on, 1 => pass].boxed();
    }
    prop_oneof![
        20 => on,
        3 => pass,
        2 => (1..3usize).prop_map(|limit| Operation::List { limit }),
        1 => Just(Operation::Count),
        1 => (0..4usize).prop_map(|limit| Operation::Purge { limit }),
        1 => Just(Operation::Clear),
    ]
    .boxed()
}

fn on_one_id(
    text: BoxedStrategy<Text>,
    end: BoxedStrategy<End>,
    expected: BoxedStrategy<Expected>,
) -> BoxedStrategy<What> {
    let who = (0..2u8).prop_map(Who);
    let locked = (text.clone(), end.clone(), expected.clone(), who.clone());
    prop_oneof![
        4 => Just(What::Load),
        4 => (text.clone(), end.clone()).prop_map(|(text, end)| What::Create(text, end)),
        5 => (text, end.clone(), expected)
            .prop_map(|(text, end, expected)| What::Update(text, end, expected)),
        2 => end.prop_map(What::Touch),
        2 => Just(What::Destroy),
        3 => who.clone().prop_map(What::Lock),
        3 => locked.prop_map(|(text, end, expected, who)| {
            What::UpdateLocked(text, end, expected, who)
        }),
        1 => who.prop_map(What::Unlock),
    ]
    .boxed()
}

fn text() -> impl Strategy<Value = Text> {
    let fill = prop_oneof![8 => 0..100usize, 1 => 1000..70_000usize, 1 => 250_000..300_000usize];
    let minutes = prop_oneof![1 => Just(None), 2 => (1..100u32).prop_map(Some)];
    prop_oneof![
        4 => (0..10u32, minutes, fill)
            .prop_map(|(number, minutes, fill)| Text::Data { number, minutes, fill }),
        1 => select(ODD_TEXTS).prop_map(Text::Odd),
    ]
}

/// Two names that are often almost the same.
fn names() -> impl Strategy<Value = [String; 2]> {
    let part = || vec(select(ODD_CHARACTERS), 1..=2).prop_map(|parts| parts.concat());
    let base = prop_oneof![8 => part(), 1 => (240..260usize).prop_map(|length| "x".repeat(length))];
    (base, part(), select(ENDINGS), 0..8u8).prop_map(|(base, part, ending, kind)| {
        let other = match kind {
            0 => part,
            1 => format!("{ending}{base}"),
            2 => base.chars().map(swap_case).collect(),
            _ => format!("{base}{ending}"),
        };
        [base, other]
    })
}

fn swap_case(c: char) -> char {
    if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
}

impl Text {
    pub(super) fn json(&self) -> String {
        match self {
            Self::Odd(text) => (*text).to_owned(),
            Self::Data { number, minutes, fill } => {
                let age =
                    minutes.map_or("null".to_owned(), |minutes| (minutes * 60_000).to_string());
                let fill = "é0".repeat(fill / 3);
                format!(
                    r#"{{"cookie":{{"originalMaxAge":{age},"expires":null,"httpOnly":true,"path":"/"}},"n":{number},"fill":"{fill}"}}"#
                )
            }
        }
    }

    pub(super) fn record(&self, end: End, now: Timestamp, clock: Clock) -> Record {
        Record { text: self.json().into(), deadline: end.deadline(now, clock) }
    }
}

impl End {
    pub(super) fn deadline(self, now: Timestamp, clock: Clock) -> Option<Timestamp> {
        let near = match clock {
            Clock::Argument => NEAR,
            Clock::Server => SERVER_NEAR,
        };
        let whole = |after: i64| (now.millis() / 1000 + after) * 1000;
        let deadline = match self {
            Self::Never => return None,
            Self::Far => whole(FAR),
            Self::Near => whole(near),
            Self::NearAndAPart => whole(near) + 500,
            Self::Now => now.millis(),
            Self::Past => whole(-FAR),
        };
        Some(Timestamp::from_millis(deadline))
    }

    pub(super) fn touch(self, now: Timestamp, clock: Clock) -> Touch {
        let cookie =
            r#"{"originalMaxAge":1800000,"expires":null,"httpOnly":true,"path":"/touched"}"#;
        Touch::new(cookie, self.deadline(now, clock))
    }
}

impl Pass {
    pub(super) fn duration(self) -> Duration {
        let millis = match self {
            Self::Part => 400,
            Self::Second => 1000,
            Self::NearlyNear => (NEAR - 1) * 1000,
            Self::Near => NEAR * 1000,
            Self::Far => FAR * 1000,
        };
        Duration::from_millis(millis.unsigned_abs())
    }
}

impl Who {
    pub(super) fn holder(self) -> LockToken {
        LockToken::from_random([self.0; LockToken::BYTES])
    }
}

/// How long a server is waited for, from the last deadline that was near.
pub(super) const SERVER_WAIT: Duration = Duration::from_millis(SERVER_NEAR as u64 * 1000 + 1700);
/// Longer than any sequence takes, unless time passes by as much.
pub(super) const LEASE: Duration = Duration::from_secs(300);

const OPERATIONS: usize = 50;
const NAMES: usize = 3;
const TASKS: RangeInclusive<usize> = 2..=4;
const STEPS: usize = 5;

/// Seconds until a deadline that is near, where time is an argument.
const NEAR: i64 = 60;
/// The same, where a server has to be waited for.
const SERVER_NEAR: i64 = 3;
const FAR: i64 = 600;

const ODD_CHARACTERS: &[&str] = &[
    "a", "A", " ", "á", "a\u{301}", "'", "\"", "`", "\\", "*", "?", "[a]", "%", "_", "{a}", "$1",
    ":", "/", "..", ".json", "\n", "\0", "\u{7f}", "🦀", "会", "0",
];

const ENDINGS: &[&str] = &[" ", "\0", "\n", "/", "\u{301}", "%", "*"];

const ODD_TEXTS: &[&str] = &[
    r#"{"cookie":{}}"#,
    r#"{"7":"x","10":"y","cookie":{"originalMaxAge":60000},"b":1,"a":2}"#,
    r#"{ "cookie" : {"path":"/"} , "spaces":  [ 1.0, 1e3, -0, 12345678901234567890 ] }"#,
    "{\"cookie\":{},\"scripts\":\"Zażółć 会话 🦀 \u{2028} e\u{301} \u{feff}\"}",
    r#"{"a":"first","cookie":{"originalMaxAge":120000,"expires":"2023-11-14T22:13:20.000Z"},"b":1}"#,
    r#"{"cookie":{},"escapes":"\" \\ \/ \b \f \n \r \t \u0000 \ud83e\udd80 \ud800"}"#,
    "{\"cookie\":{},\"raw\":\"\0 \u{1} \u{7f} \r\n\"}",
    r#"{"cookie":{},"sql":"'; DROP TABLE sessions; -- %s $1 ? \\' `"}"#,
    r#"{"cookie":{},"b":1,"b":2}"#,
    "{}",
    "not a session at all",
    " ",
];

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree as _;

    use super::*;

    #[test]
    fn names_are_often_almost_the_same() {
        let mut runner = super::super::runner();
        let cases = runner.config().cases;
        let drawn: Vec<_> =
            (0..cases).map(|_| super::super::tree(&mut runner, &names()).current()).collect();
        for ending in ENDINGS {
            let longer = |[base, other]: &&[String; 2]| *other == format!("{base}{ending}");
            let count = drawn.iter().filter(longer).count();
            assert!(count > 0, "{ending:?} never made the difference in {drawn:?}");
        }
    }
}
