//! Everything that is going to happen, made of a seed before it happens.

use std::time::Duration;

use express_session::{LateWrite, Outage, Unset};
use express_session_testkit::Odds;

use crate::rng::{Rng, mixed};

/// One simulation.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    /// The state of the network, until which millisecond. Afterwards it stays calm.
    pub(crate) weather: Vec<(u64, Odds)>,
    pub(crate) visits: Vec<Visit>,
}

/// The options of the layers, and the kind of the store.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// How many services share the store, each with a layer of its own, as processes do.
    pub(crate) processes: usize,
    /// Whether a revision is a digest of the text, as where Node writes too, or a counter.
    pub(crate) digests: bool,
    /// Whether the store loads and touches in one step.
    pub(crate) throttles: bool,
    pub(crate) touches: bool,
    pub(crate) rolling: bool,
    pub(crate) resave: bool,
    pub(crate) save_uninitialized: bool,
    pub(crate) unset: Unset,
    pub(crate) max_age: Option<Duration>,
    pub(crate) timeout: Duration,
    /// The limit for the calls that no handler asks for.
    pub(crate) touch_timeout: Duration,
    pub(crate) outage: Outage,
    pub(crate) late_write: LateWrite,
    pub(crate) lock_wait: Duration,
    pub(crate) lock_lease: Duration,
    /// Whether the visitors only count, without an expiry in the text: many texts are equal.
    pub(crate) counts: bool,
    /// Whether records have the library's own member, and how long a session may live.
    pub(crate) metadata: bool,
    pub(crate) idle: Option<Duration>,
    pub(crate) absolute: Option<Duration>,
    /// The age at which ids are renewed, and how long the old ones lead to the session.
    pub(crate) renewal: Option<(Duration, Duration)>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) nth: u64,
    pub(crate) visitor: usize,
    /// When it is sent, in milliseconds.
    pub(crate) at: u64,
    pub(crate) process: usize,
    pub(crate) cookie: Which,
    /// After how long the client hangs up.
    pub(crate) gives_up: Option<u64>,
    /// Whether the handler goes on after an error, as if there were none.
    pub(crate) stubborn: bool,
    /// Whether the handler leaves the session alone, which its body may load.
    pub(crate) lazy: bool,
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
}

/// Which cookie a browser sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Current,
    /// One that the visitor had before: kept by a thief, or by a tab that was asleep.
    Old(u64),
}

/// A handler's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Works for some milliseconds.
    Work(u64),
    /// Sets a member that no other request sets.
    Insert,
    /// Sets a member that every request sets.
    Share,
    /// Counts one up.
    Count,
    /// Appends to the list.
    Push,
    /// Removes one of the members that others have set.
    Remove(u64),
    Save,
    Reload,
    Touch,
    /// Renews the id.
    Renew,
    Regenerate,
    Destroy,
    Unset,
    /// Takes the lock, adds one to a sum by reading and writing it, works in between, and gives the lock
    /// back or keeps it until the response.
    Till {
        work: u64,
        unlocks: bool,
    },
}

/// A handler's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Text,
    Empty,
    /// A body that does this while it is sent.
    Stream(Vec<Step>),
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(mixed(&[seed]));
        let mut setup = Setup::draw(&mut rng);
        setup.draw_limits(&mut Rng::new(mixed(&[seed, 7])));
        setup.draw_renewal(&mut Rng::new(mixed(&[seed, 8])));
        // Most meet each other, some have the time to expire.
        let span = rng.pick(&[100, 300, 1_000, 20_000]);
        let weather = weather(&mut rng, span, setup.timeout);
        let visitors = 1 + rng.below(3);
        let count = 4 + rng.below(12);
        let mut visits: Vec<_> = (0..count)
            .map(|nth| {
                // Each has chances of its own, so that it stays the same without the others.
                let mut rng = Rng::new(mixed(&[seed, nth]));
                let at = rng.below(span);
                Visit::draw(&mut rng, nth, visitors, at, &setup)
            })
            .collect();
        visits.sort_by_key(|visit| visit.at);
        if setup.renewal.is_some() {
            visits.iter_mut().for_each(Visit::renew_some);
        }
        // Once the store has been back for a second, everybody is served.
        let end = weather.last().map_or(span, |(until, _)| (*until).max(span));
        let last = (0..visitors).map(|visitor| Visit {
            nth: count + visitor,
            visitor: usize::try_from(visitor).unwrap(),
            at: end + 1_000,
            process: usize::try_from(rng.below(setup.processes as u64)).unwrap(),
            cookie: Which::Current,
            gives_up: None,
            stubborn: false,
            lazy: false,
            steps: vec![Step::Count, Step::Insert],
            end: End::Text,
        });
        visits.extend(last);
        if rng.chance(70) {
            setup.touch_timeout = setup.timeout;
        }
        Self { seed, setup, weather, visits }
    }

    /// Returns what the network is like at a millisecond.
    pub(crate) fn odds(&self, at: u64) -> Odds {
        let weather = self.weather.iter().find(|(until, _)| at < *until);
        weather.map_or(Odds::NONE, |(_, odds)| *odds)
    }

    /// Returns whether the network is calm from a millisecond on.
    pub(crate) fn is_calm_from(&self, at: u64) -> bool {
        self.weather.iter().all(|(until, odds)| *until <= at || *odds == Odds::NONE)
    }
}

impl Setup {
    fn draw(rng: &mut Rng) -> Self {
        let ages = [None, None, Some(Duration::from_secs(2)), Some(Duration::from_secs(3600))];
        let counts = rng.chance(20);
        let max_age = rng.pick(&ages).filter(|_| !counts);
        Self {
            counts,
            max_age,
            processes: usize::try_from(1 + rng.below(3)).unwrap(),
            digests: rng.chance(50),
            throttles: rng.chance(70),
            touches: rng.chance(85),
            rolling: rng.chance(20),
            resave: rng.chance(15),
            save_uninitialized: rng.chance(25),
            unset: rng.pick(&[Unset::Keep, Unset::Destroy]),
            timeout: Duration::from_millis(rng.pick(&[500, 1_000, 5_000])),
            touch_timeout: Duration::from_millis(250),
            outage: rng.pick(&[Outage::Fail, Outage::Fail, Outage::Continue]),
            late_write: rng.pick(&[LateWrite::Drop, LateWrite::Refuse]),
            lock_wait: Duration::from_millis(rng.pick(&[100, 1_000, 10_000])),
            lock_lease: Duration::from_millis(rng.pick(&[20, 1_000, 30_000])),
            metadata: false,
            idle: None,
            absolute: None,
            renewal: None,
        }
    }

    /// Draws whether ids are renewed, which comes of chances of its own.
    fn draw_renewal(&mut self, rng: &mut Rng) {
        if rng.chance(60) {
            return;
        }
        let ages = [1, 50, 400, 2_000];
        self.metadata = true;
        let grace = rng.pick(&[2 * self.timeout, 3 * self.timeout, Duration::from_secs(30)]);
        self.renewal = Some((Duration::from_millis(rng.pick(&ages)), grace));
    }

    /// Draws the options of a session's life, which come of chances of their own.
    fn draw_limits(&mut self, rng: &mut Rng) {
        if rng.chance(60) {
            return;
        }
        let limits = [None, Some(Duration::from_secs(2)), Some(Duration::from_secs(1800))];
        self.metadata = true;
        self.idle = rng.pick(&limits).filter(|_| !self.counts);
        self.absolute = rng.pick(&limits).filter(|_| !self.counts);
    }
}

/// Draws what the network is like: calm, slow, bad, or out for a while.
fn weather(rng: &mut Rng, span: u64, timeout: Duration) -> Vec<(u64, Odds)> {
    let slow = Odds {
        delay: 400,
        linger: 300,
        longest: Duration::from_millis(rng.pick(&[3, 20, 60])),
        ..Odds::NONE
    };
    let bad = Odds {
        fail: u16::try_from(rng.below(80)).unwrap(),
        lose: u16::try_from(rng.below(80)).unwrap(),
        hang: u16::try_from(rng.below(40)).unwrap(),
        mute: u16::try_from(rng.below(40)).unwrap(),
        stray: u16::try_from(rng.below(40)).unwrap(),
        ..slow
    };
    // So slow that some answers come too late.
    let crawling = Odds { longest: timeout + timeout / 4, ..slow };
    let down = Odds { fail: 1000, ..Odds::NONE };
    let hung = Odds { hang: 400, mute: 300, stray: 300, ..Odds::NONE };
    let [begin, end] = [span / 4, span / 4 + rng.below(span / 2 + 2 * 1000)];
    match rng.below(10) {
        0 => Vec::new(),
        1..=3 => vec![(span, slow)],
        4..=6 => vec![(span, bad)],
        7 => vec![(span, crawling)],
        8 => vec![(begin, slow), (end, down), (end + span / 4, slow)],
        _ => vec![(begin, slow), (end, hung), (end + span / 4, slow)],
    }
}

impl Visit {
    /// Renews the id at every second step that would touch the session.
    fn renew_some(&mut self) {
        let steps = self.steps.iter_mut().filter(|step| **step == Step::Touch);
        steps.step_by(2).for_each(|step| *step = Step::Renew);
    }

    fn draw(rng: &mut Rng, nth: u64, visitors: u64, at: u64, setup: &Setup) -> Self {
        Self {
            nth,
            visitor: usize::try_from(rng.below(visitors)).unwrap(),
            at,
            process: usize::try_from(rng.below(setup.processes as u64)).unwrap(),
            cookie: if rng.chance(10) { Which::Old(rng.next()) } else { Which::Current },
            gives_up: rng.chance(12).then(|| rng.below(150)),
            stubborn: rng.chance(if setup.counts { 75 } else { 25 }),
            lazy: rng.chance(12),
            steps: if setup.counts { counting(rng) } else { steps(rng) },
            end: match rng.below(10) {
                0 | 1 => End::Stream(steps(rng)),
                2 => End::Empty,
                _ => End::Text,
            },
        }
    }
}

fn steps(rng: &mut Rng) -> Vec<Step> {
    let count = rng.below(6);
    (0..count).map(|_| step(rng)).collect()
}

/// Draws a handler that counts and saves, again after an error, and sometimes ends its session.
fn counting(rng: &mut Rng) -> Vec<Step> {
    let end = rng.chance(20).then_some(Step::Destroy);
    [Step::Count, Step::Save, Step::Work(rng.below(40)), Step::Save]
        .into_iter()
        .chain(end)
        .collect()
}

fn step(rng: &mut Rng) -> Step {
    match rng.below(100) {
        0..20 => Step::Work(rng.below(40)),
        20..38 => Step::Insert,
        38..43 => Step::Share,
        43..58 => Step::Count,
        58..68 => Step::Push,
        68..74 => Step::Remove(rng.next()),
        74..82 => Step::Save,
        82..85 => Step::Reload,
        85..87 => Step::Touch,
        87..91 => Step::Regenerate,
        91..94 => Step::Destroy,
        94..96 => Step::Unset,
        _ => Step::Till { work: rng.below(30), unlocks: rng.chance(70) },
    }
}
