//! The whole decision, row by row, and what must hold of every row.
//!
//! `decide.table` is printed from the code and compared: a change of policy shows as changed lines. To
//! print it anew: `UPDATE_TABLE=1 cargo test -p express-session-core --test decide`.

use std::fmt::Write as _;

use express_session_core::decide::{
    self, Attributes, CookieAction, CookieMatch, Data, Expiry, Facts, Fault, Lifecycle, OnFailure,
    Origin, Plan, Reach, RecordStatus, Saved, Step, StoreAction,
};
use express_session_core::{Departures, LateWrite, Outage, Policy, Unset};

const SESSIONS: [Lifecycle; 4] =
    [Lifecycle::Live, Lifecycle::Unset, Lifecycle::Destroyed, Lifecycle::Unread];
const IDS: [CookieMatch; 3] = [CookieMatch::Unknown, CookieMatch::Other, CookieMatch::Presented];
const ORIGINS: [Origin; 3] = [Origin::New, Origin::Loaded, Origin::Regenerated];
const SAVED: [Saved; 4] = [Saved::Never, Saved::Stale, Saved::Current, Saved::Committed];
const RECORDS: [RecordStatus; 4] = [
    RecordStatus::Absent,
    RecordStatus::Touchable,
    RecordStatus::Renewed,
    RecordStatus::Untouchable,
];
const REACHES: [Reach; 5] =
    [Reach::Open, Reach::Insecure, Reach::Unprintable, Reach::Sent, Reach::Late];

fn all_facts() -> Vec<Facts> {
    let mut all = Vec::new();
    for session in SESSIONS {
        for id in IDS {
            for origin in ORIGINS {
                for data in [Data::Same, Data::Changed] {
                    for attributes in [Attributes::Same, Attributes::Changed, Attributes::Saved] {
                        for saved in SAVED {
                            for record in RECORDS {
                                for expiry in [Expiry::None, Expiry::Some] {
                                    for reach in REACHES {
                                        all.push(Facts {
                                            session,
                                            id,
                                            origin,
                                            data,
                                            attributes,
                                            saved,
                                            record,
                                            expiry,
                                            reach,
                                        });
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

fn all_policies(departures: Departures) -> Vec<Policy> {
    [Unset::Keep, Unset::Destroy]
        .into_iter()
        .flat_map(|unset| policies(unset, departures))
        .collect()
}

fn policies(unset: Unset, departures: Departures) -> Vec<Policy> {
    let both = [false, true];
    let mut all = Vec::new();
    {
        for save_uninitialized in both {
            for resave in both {
                for rolling in both {
                    let policy = Policy {
                        resave,
                        rolling,
                        save_uninitialized,
                        unset,
                        departures,
                        ..Policy::default()
                    };
                    all.push(policy);
                }
            }
        }
    }
    all
}

/// Facts that cannot meet in a request: they are decided like any other, and not printed.
fn can_meet(facts: &Facts) -> bool {
    let stored = facts.record != RecordStatus::Absent;
    let by_hand = matches!(facts.saved, Saved::Stale | Saved::Current);
    (facts.origin != Origin::Loaded || (stored && facts.id == CookieMatch::Presented))
        && (facts.origin == Origin::Loaded || facts.id != CookieMatch::Presented)
        && (!by_hand || stored)
        && (facts.record != RecordStatus::Renewed || facts.origin == Origin::Loaded)
        && (facts.origin == Origin::Loaded || !stored || facts.saved != Saved::Never)
        && (facts.attributes != Attributes::Saved || facts.saved != Saved::Never)
        && facts.saved != Saved::Committed
}

fn cell(plan: Plan) -> String {
    let store = match plan.store {
        StoreAction::Keep => '.',
        StoreAction::Write => 'W',
        StoreAction::Touch => 'T',
        StoreAction::Destroy => 'D',
    };
    let cookie = match plan.cookie {
        CookieAction::Keep => '.',
        CookieAction::Send => 'C',
        CookieAction::Expire => 'X',
        CookieAction::Withhold => '!',
    };
    format!("{store}{cookie}")
}

fn words(of: &[&dyn std::fmt::Debug]) -> String {
    let mut out = String::new();
    for word in of {
        let _ = write!(out, "{:12}", format!("{word:?}"));
    }
    out
}

fn cells(facts: Facts, policies: &[Policy]) -> String {
    let cells: Vec<_> = policies.iter().map(|policy| cell(decide::plan(facts, policy))).collect();
    cells.join(" ")
}

/// A live session: its policy is of three options, since `unset` has no say.
fn live_table(departures: Departures) -> String {
    let mut out = String::from(
        "# save_uninitialized                                                               | n  n  n  n  y  y  y  y\n\
         # resave                                                                           | n  n  y  y  n  n  y  y\n\
         # rolling                                                                          | n  y  n  y  n  y  n  y\n",
    );
    let shown = |facts: &Facts| {
        facts.session == Lifecycle::Live
            && can_meet(facts)
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

/// A session that is over: only `unset`, the record, and what the browser holds have a say.
fn ended_table(departures: Departures) -> String {
    let mut out = String::from("# unset                                         | keep destroy\n");
    for facts in all_facts() {
        let plain = (facts.origin, facts.data, facts.attributes, facts.saved, facts.expiry)
            == (Origin::Loaded, Data::Same, Attributes::Same, Saved::Never, Expiry::None);
        if facts.session == Lifecycle::Live
            || !plain
            || matches!(facts.record, RecordStatus::Renewed | RecordStatus::Untouchable)
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

/// What a failing store does to a request: only `outage`, `late_write` and departure 18 have a say.
fn failure_table(departures: Departures) -> String {
    let mut out = String::from(
        "# outage                  | Fail                Continue\n\
         # late_write              | Drop      Refuse    Drop      Refuse\n",
    );
    for step in STEPS {
        for fault in FAULTS {
            let policies = [Outage::Fail, Outage::Continue].into_iter().flat_map(|outage| {
                [LateWrite::Drop, LateWrite::Refuse].map(|late_write| Policy {
                    outage,
                    late_write,
                    departures,
                    ..Policy::default()
                })
            });
            let cells: String = policies
                .map(|policy| {
                    format!("{:10}", format!("{:?}", decide::failure(step, fault, &policy)))
                })
                .collect();
            let _ = writeln!(out, "{}| {}", words(&[&step, &fault]), cells.trim_end());
        }
    }
    out
}

const STEPS: [Step; 6] =
    [Step::Load, Step::LoadUnasked, Step::Touch, Step::Write, Step::WriteUnasked, Step::Destroy];
const FAULTS: [Fault; 3] = [Fault::Outage, Fault::Session, Fault::Ended];

#[test]
fn decisions_are_those_written_down() {
    let [off, on] = [Departures::none(), Departures::all()].map(|departures| {
        let tables = [live_table, ended_table, failure_table];
        tables.map(|table| table(departures)).join("\n")
    });
    let printed = format!(
        "# Store: W write, T touch, D destroy. Cookie: C send, X expire, ! withhold. A dot is nothing.\n\
         # Insecure stands for Unprintable and Late too; what is committed is left alone.\n\n\
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

/// What keeps the table short.
#[test]
fn rows_left_out_are_like_others() {
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

#[test]
fn what_is_over_is_never_written_or_touched() {
    every(|facts, _, plan| {
        if facts.session != Lifecycle::Live {
            assert!(matches!(plan.store, StoreAction::Keep | StoreAction::Destroy), "{facts:?}");
            assert!(matches!(plan.cookie, CookieAction::Keep | CookieAction::Expire), "{facts:?}");
        }
    });
}

#[test]
fn live_session_is_never_destroyed_nor_its_cookie_expired() {
    every(|facts, _, plan| {
        if facts.session == Lifecycle::Live {
            assert!(
                plan.store != StoreAction::Destroy && plan.cookie != CookieAction::Expire,
                "{facts:?}"
            );
        }
    });
}

#[test]
fn no_cookie_is_sent_where_it_cannot_arrive() {
    every(|facts, _, plan| {
        if facts.reach != Reach::Open {
            assert!(!matches!(plan.cookie, CookieAction::Send | CookieAction::Expire), "{facts:?}");
        }
    });
}

#[test]
fn no_cookie_without_a_stored_record() {
    every(|facts, policy, plan| {
        if plan.cookie == CookieAction::Send {
            let stored = facts.record != RecordStatus::Absent || plan.store == StoreAction::Write;
            assert!(stored || !can_meet(&facts), "{facts:?} {policy:?}");
        }
    });
}

#[test]
fn no_record_is_made_without_a_cookie_that_leads_to_it() {
    every(|facts, policy, plan| {
        let makes = plan.store == StoreAction::Write
            && facts.record == RecordStatus::Absent
            && facts.saved == Saved::Never
            && facts.id != CookieMatch::Presented;
        if makes && policy.departures.skip_unreachable_sessions {
            assert!(
                plan.cookie == CookieAction::Send || facts.reach == Reach::Sent,
                "{facts:?} {policy:?}"
            );
        }
    });
}

#[test]
fn new_session_untouched_leaves_no_trace_unless_asked_for() {
    every(|facts, policy, plan| {
        if facts.origin == Origin::New
            && facts.id != CookieMatch::Presented
            && facts.session == Lifecycle::Live
            && facts.data == Data::Same
            && facts.saved == Saved::Never
            && facts.record == RecordStatus::Absent
            && !policy.save_uninitialized
        {
            assert_eq!(
                plan,
                Plan { store: StoreAction::Keep, cookie: CookieAction::Keep },
                "{facts:?}"
            );
        }
    });
}

#[test]
fn changed_data_of_a_loaded_session_is_always_written() {
    every(|facts, _, plan| {
        if facts.session == Lifecycle::Live
            && facts.origin == Origin::Loaded
            && facts.record != RecordStatus::Absent
            && facts.data == Data::Changed
            && matches!(facts.saved, Saved::Never | Saved::Stale)
        {
            assert_eq!(plan.store, StoreAction::Write, "{facts:?}");
        }
    });
}

#[test]
fn request_that_only_reads_needs_no_second_step() {
    every(|facts, policy, plan| {
        if facts.session == Lifecycle::Live
            && facts.origin == Origin::Loaded
            && (facts.data, facts.attributes, facts.saved)
                == (Data::Same, Attributes::Same, Saved::Never)
            && facts.record == RecordStatus::Renewed
            && facts.id == CookieMatch::Presented
        {
            let needed = if policy.resave { StoreAction::Write } else { StoreAction::Keep };
            assert_eq!(plan.store, needed, "{facts:?}");
        }
    });
}

/// What a request has whose session was renewed and is as it came: the only case that is decided
/// without looking at the record.
#[test]
fn renewal_suffices_where_nothing_is_left_to_be_done_and_nowhere_else() {
    for departures in [Departures::none(), Departures::all()] {
        for policy in all_policies(departures) {
            if decide::fetch(&policy) != decide::Fetch::LoadAndTouch {
                assert!(!decide::touch_on_load_suffices(&policy), "{policy:?}");
                continue;
            }
            let is_as_it_came = |facts: &Facts| {
                (facts.session, facts.id, facts.origin)
                    == (Lifecycle::Live, CookieMatch::Presented, Origin::Loaded)
                    && (facts.data, facts.attributes) == (Data::Same, Attributes::Same)
                    && (facts.saved, facts.record) == (Saved::Never, RecordStatus::Renewed)
            };
            let nothing = Plan { store: StoreAction::Keep, cookie: CookieAction::Keep };
            let is_idle = all_facts()
                .into_iter()
                .filter(is_as_it_came)
                .all(|facts| decide::plan(facts, &policy) == nothing);
            assert_eq!(decide::touch_on_load_suffices(&policy), is_idle, "{policy:?}");
        }
    }
}

#[test]
fn what_was_committed_is_left_alone() {
    every(|facts, _, plan| {
        if facts.session == Lifecycle::Live && facts.saved == Saved::Committed {
            assert_eq!(
                plan,
                Plan { store: StoreAction::Keep, cookie: CookieAction::Keep },
                "{facts:?}"
            );
        }
    });
}

#[test]
fn failure_to_end_a_session_is_never_hidden_by_an_outage_policy() {
    for outage in [Outage::Fail, Outage::Continue] {
        for fault in FAULTS {
            let policy = Policy { outage, ..Policy::default() };
            assert_eq!(decide::failure(Step::Destroy, fault, &policy), OnFailure::Report);
        }
    }
}

#[test]
fn response_says_so_where_changes_are_lost_unless_the_options_say_otherwise() {
    for fault in [Fault::Outage, Fault::Session] {
        assert_eq!(decide::failure(Step::Write, fault, &Policy::default()), OnFailure::Report);
    }
}

#[test]
fn visitor_without_a_cookie_costs_nothing_unless_somebody_asks() {
    let policy = Policy::default();
    assert_eq!(decide::load(false, &policy), decide::Load::Asked);
    assert_eq!(decide::load(true, &policy), decide::Load::Late);
    let eager = Policy { departures: Departures::none(), ..policy };
    assert_eq!(decide::load(false, &eager), decide::Load::Early);
}
