//! The complete decision, row by row, and the invariants of every row.
//!
//! The tests print the decisions and compare them with `decide.table`, so that a change of policy shows as changed
//! lines. To update the file: `UPDATE_TABLE=1 cargo test -p express-session-core --test decide`.

use std::fmt::Write as _;

use express_session_core::decide::{
    self, Attributes, CookieAction, CookieMatch, Data, Expiry, Facts, Fault, Lifecycle, OnFailure,
    Origin, Plan, Reach, RecordStatus, Saved, Step, StoreAction,
};
use express_session_core::policy::LoadTime;
use express_session_core::{Departures, LateWrite, Outage, Policy, Unset};

const SESSIONS: [Lifecycle; 4] =
    [Lifecycle::Live, Lifecycle::Unset, Lifecycle::Destroyed, Lifecycle::Unread];
const IDS: [CookieMatch; 4] =
    [CookieMatch::Unknown, CookieMatch::Other, CookieMatch::Presented, CookieMatch::Renewed];
const ORIGINS: [Origin; 3] = [Origin::New, Origin::Loaded, Origin::Regenerated];
const ATTRIBUTES: [Attributes; 3] = [Attributes::Same, Attributes::Changed, Attributes::Saved];
const SAVED: [Saved; 4] = [Saved::Never, Saved::Stale, Saved::Current, Saved::Committed];
const RECORDS: [RecordStatus; 5] = [
    RecordStatus::Absent,
    RecordStatus::Touchable,
    RecordStatus::Touched,
    RecordStatus::Untouchable,
    RecordStatus::Renewable,
];
const REACHES: [Reach; 5] =
    [Reach::Open, Reach::Insecure, Reach::Unprintable, Reach::Sent, Reach::Late];

fn all_facts() -> Vec<Facts> {
    let mut all = vec![Facts {
        session: Lifecycle::Live,
        id: CookieMatch::Unknown,
        origin: Origin::New,
        data: Data::Same,
        attributes: Attributes::Same,
        saved: Saved::Never,
        record: RecordStatus::Absent,
        expiry: Expiry::None,
        reach: Reach::Open,
    }];
    vary(&mut all, &SESSIONS, |facts, session| Facts { session, ..facts });
    vary(&mut all, &IDS, |facts, id| Facts { id, ..facts });
    vary(&mut all, &ORIGINS, |facts, origin| Facts { origin, ..facts });
    vary(&mut all, &[Data::Same, Data::Changed], |facts, data| Facts { data, ..facts });
    vary(&mut all, &ATTRIBUTES, |facts, attributes| Facts { attributes, ..facts });
    vary(&mut all, &SAVED, |facts, saved| Facts { saved, ..facts });
    vary(&mut all, &RECORDS, |facts, record| Facts { record, ..facts });
    vary(&mut all, &[Expiry::None, Expiry::Some], |facts, expiry| Facts { expiry, ..facts });
    vary(&mut all, &REACHES, |facts, reach| Facts { reach, ..facts });
    all
}

/// Replaces each item by one for every value.
fn vary<T: Copy, V: Copy>(all: &mut Vec<T>, values: &[V], with: impl Fn(T, V) -> T) {
    *all = all.iter().flat_map(|one| values.iter().map(|value| with(*one, *value))).collect();
}

fn all_policies(departures: Departures) -> Vec<Policy> {
    let mut all = policies(Unset::Keep, departures);
    all.extend(policies(Unset::Destroy, departures));
    all
}

fn policies(unset: Unset, departures: Departures) -> Vec<Policy> {
    let both = [false, true];
    let mut all = vec![Policy { unset, departures, ..Policy::default() }];
    vary(&mut all, &both, |policy, save_uninitialized| Policy { save_uninitialized, ..policy });
    vary(&mut all, &both, |policy, resave| Policy { resave, ..policy });
    vary(&mut all, &both, |policy, rolling| Policy { rolling, ..policy });
    all
}

/// Checks whether these facts can occur in a request. The others are decided as well, but not printed.
fn can_occur(facts: &Facts) -> bool {
    let is_stored = facts.record != RecordStatus::Absent;
    let is_explicit = matches!(facts.saved, Saved::Stale | Saved::Current);
    (facts.origin != Origin::Loaded || (is_stored && is_of_cookie(facts)))
        && (facts.origin == Origin::Loaded || !is_of_cookie(facts))
        && (facts.record != RecordStatus::Renewable
            || (facts.origin == Origin::Loaded && facts.reach == Reach::Open))
        && (!is_explicit || is_stored)
        && (facts.record != RecordStatus::Touched || facts.origin == Origin::Loaded)
        && (facts.origin == Origin::Loaded || !is_stored || facts.saved != Saved::Never)
        && (facts.attributes != Attributes::Saved || facts.saved != Saved::Never)
        && facts.saved != Saved::Committed
}

fn cell(plan: Plan) -> String {
    let store = match plan.store {
        StoreAction::Keep => '.',
        StoreAction::Write => 'W',
        StoreAction::Touch => 'T',
        StoreAction::Destroy => 'D',
        StoreAction::Renew => 'R',
    };
    let cookie = match plan.cookie {
        CookieAction::Keep => '.',
        CookieAction::Send => 'C',
        CookieAction::Expire => 'X',
        CookieAction::Withhold => '!',
    };
    format!("{store}{cookie}")
}

/// Joins the words of a row, each in a column of its own.
fn words(of: &[&dyn std::fmt::Debug]) -> String {
    of.iter().map(|word| format!("{:13}", format!("{word:?}"))).collect()
}

fn cells(facts: Facts, policies: &[Policy]) -> String {
    let cells: Vec<_> = policies.iter().map(|policy| cell(decide::plan(facts, policy))).collect();
    cells.join(" ")
}

/// A live session. Three options of the policy decide; `unset` does not.
fn live_table(departures: Departures) -> String {
    let mut out = String::new();
    for (option, values) in [
        ("save_uninitialized", "n  n  n  n  y  y  y  y"),
        ("resave", "n  n  y  y  n  n  y  y"),
        ("rolling", "n  y  n  y  n  y  n  y"),
    ] {
        let _ = writeln!(out, "# {option:97}| {values}");
    }
    let shown = |facts: &Facts| {
        facts.session == Lifecycle::Live
            && can_occur(facts)
            && matches!(facts.reach, Reach::Open | Reach::Insecure | Reach::Sent)
    };
    for facts in all_facts().into_iter().filter(shown) {
        let row = words(&[
            &facts.id,
            &facts.origin,
            &facts.data,
            &facts.attributes,
            &facts.saved,
            &facts.record,
            &facts.reach,
        ]);
        let expiry = if facts.expiry == Expiry::Some { "expires" } else { "-" };
        let cells = cells(facts, &policies(Unset::Keep, departures));
        let _ = writeln!(out, "{row}{expiry:7} | {cells}");
    }
    out
}

/// A session that has ended. Only `unset`, the record and the browser's cookie decide.
fn ended_table(departures: Departures) -> String {
    let mut out = format!("# {:50}| keep destroy\n", "unset");
    for facts in all_facts() {
        let is_plain = (facts.origin, facts.data, facts.attributes, facts.saved, facts.expiry)
            == (Origin::Loaded, Data::Same, Attributes::Same, Saved::Never, Expiry::None);
        if facts.session == Lifecycle::Live
            || !is_plain
            || matches!(
                facts.record,
                RecordStatus::Touched | RecordStatus::Untouchable | RecordStatus::Renewable
            )
        {
            continue;
        }
        let row = words(&[&facts.session, &facts.id, &facts.record, &facts.reach]);
        let [keep, destroy] = [Unset::Keep, Unset::Destroy].map(|unset| {
            cell(decide::plan(facts, &Policy { unset, departures, ..Policy::default() }))
        });
        let _ = writeln!(out, "{row}| {keep}   {destroy}");
    }
    out
}

/// The consequence of a store error. Only `outage`, `late_write` and departure 18 decide.
fn failure_table(departures: Departures) -> String {
    let mut policies = vec![Policy { departures, ..Policy::default() }];
    vary(&mut policies, &[Outage::Fail, Outage::Continue], |policy, outage| Policy {
        outage,
        ..policy
    });
    vary(&mut policies, &[LateWrite::Drop, LateWrite::Refuse], |policy, late_write| Policy {
        late_write,
        ..policy
    });
    let row = |name: String, cell: &dyn Fn(&Policy) -> String| {
        let cells: String = policies.iter().map(|policy| format!("{:24}", cell(policy))).collect();
        format!("{name:26}| {}\n", cells.trim_end())
    };
    let mut out = row("# outage".to_owned(), &|policy| format!("{:?}", policy.outage));
    out += &row("# late_write".to_owned(), &|policy| format!("{:?}", policy.late_write));
    for step in STEPS {
        for fault in FAULTS {
            out += &row(words(&[&step, &fault]), &|policy| {
                format!("{:?}", policy.on_failure(step, fault))
            });
        }
    }
    out
}

const STEPS: [Step; 6] =
    [Step::Load, Step::LoadUnasked, Step::Touch, Step::Write, Step::WriteUnasked, Step::Destroy];
const FAULTS: [Fault; 3] = [Fault::Outage, Fault::Session, Fault::Ended];

#[test]
fn decisions_match_the_table() {
    let [off, on] = [Departures::none(), Departures::all()].map(|departures| {
        let tables = [live_table, ended_table, failure_table];
        tables.map(|table| table(departures)).join("\n")
    });
    let printed = format!(
        "# Store: W write, T touch, D destroy, R renew. Cookie: C send, X expire, ! withhold. A dot means nothing.\n\
         # Insecure also stands for Unprintable and Late. A committed session needs nothing and is omitted.\n\n\
         # As express-session 1.19.0: departures off\n{off}\n# Departures on: the default\n{on}"
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decide.table");
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    for (number, (printed, written)) in printed.lines().zip(written.lines()).enumerate() {
        assert_eq!(printed, written, "line {} of decide.table", number + 1);
    }
    assert_eq!(printed.lines().count(), written.lines().count());
}

#[test]
fn omitted_rows_equal_printed_ones() {
    every(|facts, policy, plan| {
        if facts.session != Lifecycle::Live {
            return;
        }
        if matches!(facts.reach, Reach::Unprintable | Reach::Late) {
            let insecure = Facts { reach: Reach::Insecure, ..facts };
            assert_eq!(plan, decide::plan(insecure, policy), "{facts:?}");
        }
        let keep = Policy { unset: Unset::Keep, ..*policy };
        assert_eq!(plan, decide::plan(facts, &keep), "{facts:?}");
    });
}

fn every(check: impl Fn(Facts, &Policy, Plan)) {
    for departures in [Departures::none(), Departures::all()] {
        for policy in all_policies(departures) {
            for facts in all_facts() {
                check(facts, &policy, decide::plan(facts, &policy));
            }
        }
    }
}

const NOTHING: Plan = Plan { store: StoreAction::Keep, cookie: CookieAction::Keep };

type Invariant = fn(Facts, &Policy, Plan) -> bool;

/// Each says what holds: under `!condition ||`, only if the condition is met.
const INVARIANTS: [(&str, Invariant); 12] = [
    ("an ended session is never written or touched", |facts, _, plan| {
        is_live(facts)
            || matches!(plan.store, StoreAction::Keep | StoreAction::Destroy)
                && matches!(plan.cookie, CookieAction::Keep | CookieAction::Expire)
    }),
    ("a live session is never destroyed, and its cookie never expired", |facts, _, plan| {
        !is_live(facts) || plan.store != StoreAction::Destroy && plan.cookie != CookieAction::Expire
    }),
    ("a cookie is never sent if it cannot reach the browser", |facts, _, plan| {
        facts.reach == Reach::Open
            || !matches!(plan.cookie, CookieAction::Send | CookieAction::Expire)
    }),
    ("a cookie is only sent for a stored record", |facts, _, plan| {
        plan.cookie != CookieAction::Send
            || facts.record != RecordStatus::Absent
            || plan.store == StoreAction::Write
            || !can_occur(&facts)
    }),
    ("a record is only created if its cookie can be sent", |facts, policy, plan| {
        let creates = plan.store == StoreAction::Write
            && facts.record == RecordStatus::Absent
            && facts.saved == Saved::Never
            && !is_of_cookie(&facts);
        !(creates && policy.skips_unreachable_sessions())
            || plan.cookie == CookieAction::Send
            || facts.reach == Reach::Sent
    }),
    ("an untouched new session leaves no trace", |facts, policy, plan| {
        let is_untouched = is_live(facts)
            && (facts.origin, facts.data) == (Origin::New, Data::Same)
            && (facts.saved, facts.record) == (Saved::Never, RecordStatus::Absent)
            && !is_of_cookie(&facts);
        !is_untouched || policy.save_uninitialized || plan == NOTHING
    }),
    ("changed data of a loaded session is always written", |facts, _, plan| {
        let is_changed = is_live(facts)
            && (facts.origin, facts.data) == (Origin::Loaded, Data::Changed)
            && facts.record != RecordStatus::Absent
            && matches!(facts.saved, Saved::Never | Saved::Stale);
        !is_changed || matches!(plan.store, StoreAction::Write | StoreAction::Renew)
    }),
    ("an id is renewed only if its cookie is sent", |facts, _, plan| {
        plan.store != StoreAction::Renew
            || facts.reach == Reach::Open && plan.cookie == CookieAction::Send
    }),
    ("an id is renewed exactly if it is due and the cookie can be sent", |facts, _, plan| {
        let is_due = is_live(facts)
            && facts.record == RecordStatus::Renewable
            && facts.saved != Saved::Committed
            && facts.reach == Reach::Open;
        is_due == (plan.store == StoreAction::Renew)
    }),
    ("a visitor with an earlier id gets the new cookie", |facts, _, plan| {
        let is_renewed = is_live(facts)
            && facts.id == CookieMatch::Renewed
            && facts.saved != Saved::Committed
            && facts.reach == Reach::Open;
        !is_renewed || plan.cookie == CookieAction::Send
    }),
    ("a request that only reads needs no second call", |facts, policy, plan| {
        let needed = if policy.resave { StoreAction::Write } else { StoreAction::Keep };
        !is_touched_and_unchanged(&facts) || plan.store == needed
    }),
    ("a committed session needs nothing", |facts, _, plan| {
        !(is_live(facts) && facts.saved == Saved::Committed) || plan == NOTHING
    }),
];

/// Checks whether the cookie names the session, by its present id or an earlier one.
fn is_of_cookie(facts: &Facts) -> bool {
    matches!(facts.id, CookieMatch::Presented | CookieMatch::Renewed)
}

fn is_live(facts: Facts) -> bool {
    facts.session == Lifecycle::Live
}

fn is_touched_and_unchanged(facts: &Facts) -> bool {
    (facts.session, facts.id, facts.origin)
        == (Lifecycle::Live, CookieMatch::Presented, Origin::Loaded)
        && (facts.data, facts.attributes) == (Data::Same, Attributes::Same)
        && (facts.saved, facts.record) == (Saved::Never, RecordStatus::Touched)
}

#[test]
fn every_plan_keeps_the_invariants() {
    every(|facts, policy, plan| {
        for (invariant, holds) in INVARIANTS {
            assert!(holds(facts, policy, plan), "{invariant}: {facts:?} {policy:?} {plan:?}");
        }
    });
}

/// `needs_only_touch` decides about an unchanged session whose expiry was reset, without looking at the record. It must
/// agree with the plan.
#[test]
fn session_needs_only_its_touch_exactly_if_the_plan_is_empty() {
    for departures in [Departures::none(), Departures::all()] {
        for policy in all_policies(departures) {
            let is_idle = all_facts()
                .into_iter()
                .filter(is_touched_and_unchanged)
                .all(|facts| decide::plan(facts, &policy) == NOTHING);
            assert_eq!(policy.needs_only_touch(), is_idle, "{policy:?}");
        }
    }
}

#[test]
fn failed_logout_is_reported_under_every_outage_policy() {
    for outage in [Outage::Fail, Outage::Continue] {
        for fault in FAULTS {
            let policy = Policy { outage, ..Policy::default() };
            assert_eq!(policy.on_failure(Step::Destroy, fault), OnFailure::Report);
        }
    }
}

#[test]
fn lost_changes_are_reported_by_default() {
    for fault in [Fault::Outage, Fault::Session] {
        assert_eq!(Policy::default().on_failure(Step::Write, fault), OnFailure::Report);
    }
}

#[test]
fn request_without_a_cookie_loads_nothing_unless_the_handler_uses_the_session() {
    let policy = Policy::default();
    assert_eq!(policy.when_to_load(false, false), LoadTime::Asked);
    assert_eq!(policy.when_to_load(true, false), LoadTime::Late);
    let saving = Policy { save_uninitialized: true, ..policy };
    assert_eq!(saving.when_to_load(false, false), LoadTime::Late);
    assert_eq!(saving.when_to_load(false, true), LoadTime::Asked);
    let eager = Policy { departures: Departures::none(), ..policy };
    assert_eq!(eager.when_to_load(false, false), LoadTime::Early);
}
