//! The common parts of all visits of one simulation.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use express_session::{Clock, Cookie, SessionLayer, Timestamp, TouchAfter};
use express_session_testkit::{Call, Fate, Unreliable};
use tokio::time::Instant;

use crate::audit::Audited;
use crate::client_step::ERRAND;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::rng::{Rng, mixed};
use crate::trace::Trace;

/// The time of the vectors, at which every simulation begins.
const BEGINNING: Duration = Duration::from_millis(1_700_000_000_123);

pub(crate) struct World {
    pub(crate) plan: Plan,
    /// The store behind the network.
    pub(crate) audited: Audited,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    trace: Trace,
    ledger: Ledger,
    violations: Vec<String>,
    jars: Vec<Jar>,
    ids: Vec<String>,
    unanswered: u64,
}

/// The session cookie of a visitor's browser, and those it had before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    pub(crate) current: Option<String>,
    pub(crate) old: Vec<String>,
}

impl World {
    pub(crate) fn new(plan: Plan, keeps_trace: bool) -> Arc<Self> {
        let visitors = plan.visits.iter().map(|visit| visit.visitor).max().unwrap_or(0) + 1;
        let state = State {
            trace: Trace::new(keeps_trace),
            ledger: Ledger::default(),
            violations: Vec::new(),
            jars: vec![Jar::default(); visitors],
            ids: Vec::new(),
            unanswered: 0,
        };
        let audited = Audited::new(&plan.setup);
        Arc::new(Self { plan, audited, start: Instant::now(), state: Mutex::new(state) })
    }

    /// Returns the simulated time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.system_time().into()
    }

    fn system_time(&self) -> SystemTime {
        UNIX_EPOCH + BEGINNING + self.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn note(&self, event: std::fmt::Arguments<'_>) {
        self.state().trace.note(self.millis(), event);
    }

    pub(crate) fn violation(&self, text: String) {
        self.note(format_args!("VIOLATION: {text}"));
        self.state().violations.push(text);
    }

    pub(crate) fn with_ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut state = self.state();
        if self.plan.setup.renewal.is_some() {
            state.ledger.renewed = self.audited.renewed();
        }
        look(&mut state.ledger)
    }

    pub(crate) fn with_jar<T>(&self, visitor: usize, look: impl FnOnce(&mut Jar) -> T) -> T {
        look(&mut self.state().jars[visitor])
    }

    /// Counts the calls of the store that were never answered, or so late that the request may have stopped waiting.
    pub(crate) fn unanswered(&self) -> u64 {
        self.state().unanswered
    }

    /// Returns an id a short name for the trace: `#0` is the first that came up.
    pub(crate) fn name(&self, id: &str) -> String {
        let ids = &mut self.state().ids;
        let nth = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        format!("#{nth}")
    }

    /// Returns what was found wrong, the hash of what happened, and its text.
    pub(crate) fn outcome(&self) -> (Vec<String>, u64, String) {
        let state = self.state();
        (state.violations.clone(), state.trace.hash(), state.trace.text())
    }

    /// Puts the network in front of the store.
    pub(crate) fn network(self: &Arc<Self>) -> Unreliable<Audited> {
        let store = Unreliable::new(self.audited.clone(), self.plan.seed, tokio::time::sleep);
        let world = Arc::clone(self);
        let mut unasked = 0;
        store.decide(move |call| Some(world.fate(call, &mut unasked)));
        store
    }

    /// Decides about a call: by the request that it is made for, and how many that has made, so that it
    /// stays the same without the others.
    fn fate(&self, call: &Call, unasked: &mut u64) -> Fate {
        let odds = self.plan.odds(self.millis());
        let client_step = ERRAND.try_with(Arc::clone).ok();
        let (visit, nth) = match &client_step {
            Some(client_step) => (client_step.visit.nth, client_step.count_call()),
            None => {
                *unasked += 1;
                (u64::MAX, *unasked)
            }
        };
        let fate = odds.draw(mixed(&[self.plan.seed, visit, nth]));
        let is_answered = match fate {
            // A step may make several calls before its time is up.
            Fate::Delay(time) | Fate::Linger(time) => {
                time * 4 <= self.plan.setup.timeout.min(self.plan.setup.touch_timeout)
            }
            fate => fate.is_answered(),
        };
        self.state().unanswered += u64::from(!is_answered);
        if let Some(client_step) = client_step {
            client_step.count_fate(fate, is_answered);
        }
        let name = self.name(call.id().as_str());
        self.note(format_args!("  v{visit} store {:?} {name}: {fate:?}", call.verb()));
        fate
    }

    /// Makes the layers, one for each process.
    pub(crate) fn layers(self: &Arc<Self>, store: &Unreliable<Audited>) -> Vec<SessionLayer> {
        let setup = &self.plan.setup;
        let random = Arc::new(Mutex::new(Rng::new(mixed(&[self.plan.seed, 77]))));
        let cookie = setup.max_age.map_or_else(Cookie::new, |age| Cookie::new().max_age(age));
        (0..setup.processes)
            .map(|_| {
                let random = Arc::clone(&random);
                let layer = SessionLayer::new("keyboard cat")
                    .clock(Beat(Arc::clone(self)))
                    .random(move |bytes: &mut [u8]| {
                        let mut random = random.lock().unwrap();
                        bytes.fill_with(|| random.next().to_le_bytes()[0]);
                    })
                    .cookie(cookie.clone())
                    .rolling(setup.rolling)
                    .touch_after(match setup.throttles {
                        true => TouchAfter::Hundredth,
                        false => Duration::ZERO.into(),
                    })
                    .resave(setup.resave)
                    .save_uninitialized(setup.save_uninitialized)
                    .unset(setup.unset)
                    .store_timeout(setup.timeout)
                    .touch_timeout(setup.touch_timeout)
                    .outage(setup.outage)
                    .late_write(setup.late_write)
                    .lock_wait(setup.lock_wait)
                    .lock_lease(setup.lock_lease)
                    .metadata(setup.metadata);
                let layer = match setup.idle {
                    Some(idle) => layer.idle_timeout(idle),
                    None => layer,
                };
                let layer = match setup.renewal {
                    Some((after, grace)) => layer.renew_after(after).renewal_grace(grace),
                    None => layer,
                };
                let layer = match setup.absolute {
                    Some(absolute) => layer.absolute_timeout(absolute),
                    None => layer,
                };
                layer.store(store.clone())
            })
            .collect()
    }
}

/// The layers' clock, which goes with the simulated time.
struct Beat(Arc<World>);

impl Clock for Beat {
    fn now(&self) -> SystemTime {
        self.0.system_time()
    }
}
