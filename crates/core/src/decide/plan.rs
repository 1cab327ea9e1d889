//! The plan for the end of a request.

use super::facts::{
    Attributes, CookieMatch, Data, Expiry, Facts, Lifecycle, Origin, Reach, RecordStatus, Saved,
};
use crate::policy::{Policy, Unset};

/// The actions at the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The action on the store.
    pub store: StoreAction,
    /// The action on the cookie.
    pub cookie: CookieAction,
}

/// An action on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAction {
    /// Nothing.
    Keep,
    /// Write the session.
    Write,
    /// Reset the expiry of its record.
    Touch,
    /// Destroy its record.
    Destroy,
    /// Write the session under a new id, to which the old one forwards.
    Renew,
}

/// An action on the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieAction {
    /// Nothing: the browser has the right cookie, or should have none.
    Keep,
    /// Send it.
    Send,
    /// Expire it in the browser.
    Expire,
    /// It should be sent but cannot be: log a warning for the developer.
    Withhold,
}

/// Decides what to do with the session of a request.
#[must_use]
pub fn plan(facts: Facts, policy: &Policy) -> Plan {
    match facts.session {
        Lifecycle::Live => live(facts, policy),
        Lifecycle::Unset | Lifecycle::Destroyed | Lifecycle::Unread => ended(facts, policy),
    }
}

fn live(facts: Facts, policy: &Policy) -> Plan {
    if facts.saved == Saved::Committed {
        return Plan { store: StoreAction::Keep, cookie: CookieAction::Keep };
    }
    if facts.record == RecordStatus::Renewable && facts.reach == Reach::Open {
        return Plan { store: StoreAction::Renew, cookie: CookieAction::Send };
    }
    let store = if should_save(facts, policy) {
        StoreAction::Write
    } else if should_touch(facts, policy) {
        StoreAction::Touch
    } else {
        StoreAction::Keep
    };
    if !should_send(facts, policy) {
        return Plan { store, cookie: CookieAction::Keep };
    }
    match facts.reach {
        Reach::Open => Plan { store, cookie: CookieAction::Send },
        Reach::Sent => Plan { store, cookie: CookieAction::Keep },
        Reach::Insecure | Reach::Unprintable | Reach::Late => {
            let is_unreachable =
                facts.record == RecordStatus::Absent && facts.saved == Saved::Never;
            let store = if is_unreachable && policy.skips_unreachable_sessions() {
                StoreAction::Keep
            } else {
                store
            };
            Plan { store, cookie: CookieAction::Withhold }
        }
    }
}

fn ended(facts: Facts, policy: &Policy) -> Plan {
    let destroy = match facts.session {
        Lifecycle::Live => false,
        Lifecycle::Unset => {
            policy.unset == Unset::Destroy && policy.destroys(facts.record != RecordStatus::Absent)
        }
        // With departure 13, only the record that an earlier attempt has left. express-session checks
        // only whether `req.session` exists, and destroys a second time (item 47).
        Lifecycle::Destroyed if policy.departures.single_destroy => {
            facts.record != RecordStatus::Absent
        }
        Lifecycle::Destroyed => policy.unset == Unset::Destroy,
        // For the same reason it destroys a session that it failed to load (item 23).
        Lifecycle::Unread => policy.unset == Unset::Destroy && !policy.reports_store_errors(),
    };
    let over = match facts.session {
        Lifecycle::Destroyed => true,
        Lifecycle::Unset => policy.unset == Unset::Destroy,
        Lifecycle::Live | Lifecycle::Unread => false,
    };
    let expire = policy.clears_cookie()
        && over
        && facts.id != CookieMatch::Unknown
        && facts.reach == Reach::Open;
    Plan {
        store: if destroy { StoreAction::Destroy } else { StoreAction::Keep },
        cookie: if expire { CookieAction::Expire } else { CookieAction::Keep },
    }
}

/// Checks whether the session counts as modified: its id differs, its members differ, or (departure 9) the cookie of
/// a stored record differs.
fn is_modified(facts: Facts, policy: &Policy) -> bool {
    facts.origin == Origin::Regenerated
        || facts.data == Data::Changed
        || changed_cookie(facts, policy) != Attributes::Same
}

fn changed_cookie(facts: Facts, policy: &Policy) -> Attributes {
    if policy.saves_cookie_changes() && facts.record != RecordStatus::Absent {
        facts.attributes
    } else {
        Attributes::Same
    }
}

/// Checks whether the store already has the current session: it was saved, or it is unchanged since it was loaded.
fn is_saved(facts: Facts, policy: &Policy) -> bool {
    // express-session ignores an explicit save after `regenerate`; departure 12 counts it.
    let counts = facts.origin != Origin::Regenerated || policy.departures.single_write;
    let data = match facts.saved {
        Saved::Current | Saved::Committed => counts,
        Saved::Stale => false,
        Saved::Never => {
            facts.origin == Origin::Loaded && !policy.resave && facts.data == Data::Same
        }
    };
    data && changed_cookie(facts, policy) != Attributes::Changed
}

fn should_save(facts: Facts, policy: &Policy) -> bool {
    let is_pending =
        facts.saved == Saved::Never && (facts.origin != Origin::Loaded || policy.resave);
    if !policy.save_uninitialized && is_pending && !is_of_cookie(facts.id) {
        is_modified(facts, policy)
    } else {
        !is_saved(facts, policy)
    }
}

fn should_touch(facts: Facts, policy: &Policy) -> bool {
    let is_useful = match facts.record {
        // express-session touches the id of every cookie, even if the id has no record.
        RecordStatus::Absent | RecordStatus::Touchable | RecordStatus::Renewable => true,
        RecordStatus::Touched => facts.attributes != Attributes::Same,
        RecordStatus::Untouchable => false,
    };
    let was_reset = policy.departures.single_write
        && facts.saved == Saved::Current
        && facts.attributes != Attributes::Changed;
    is_of_cookie(facts.id) && is_useful && !was_reset
}

/// Checks whether the request's cookie names this session, by its present id or an earlier one.
fn is_of_cookie(id: CookieMatch) -> bool {
    match id {
        CookieMatch::Presented | CookieMatch::Renewed => true,
        CookieMatch::Unknown | CookieMatch::Other => false,
    }
}

fn should_send(facts: Facts, policy: &Policy) -> bool {
    let saved_explicitly = matches!(facts.saved, Saved::Stale | Saved::Current);
    match facts.id {
        CookieMatch::Unknown | CookieMatch::Other => {
            policy.save_uninitialized
                || is_modified(facts, policy)
                || (policy.departures.save_sends_cookie && saved_explicitly)
        }
        CookieMatch::Presented => {
            let has_news =
                facts.expiry == Expiry::Some || changed_cookie(facts, policy) != Attributes::Same;
            policy.rolling || (has_news && is_modified(facts, policy))
        }
        // The response that had the new id may not have arrived.
        CookieMatch::Renewed => true,
    }
}
