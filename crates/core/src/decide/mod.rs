//! What happens to a session at the end of its request: a pure table.
//!
//! The service finds out the [`Facts`], asks [`plan`], and obeys. There is no other place where
//! something is decided about a session. The rules are express-session's (items 40, 41 and 47 to 51);
//! where a [departure](crate::Departures) changes one, it says so by its number.
//!
//! `tests/decide.table` has every row written out, so that a change of policy is a change of lines;
//! `tests/decide.rs` has what must hold of all of them.

use crate::policy::{LateWrite, Outage, Policy, Unset};

/// What is known about a session when its response is ready, or its body has ended.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{
///     self, Attributes, CookieAction, Data, Expiry, Facts, CookieMatch, Origin, Plan, Reach, RecordStatus, Saved, Lifecycle, StoreAction,
/// };
///
/// // A visitor comes back, and the handler only reads.
/// let returning = Facts {
///     session: Lifecycle::Live,
///     id: CookieMatch::Presented,
///     origin: Origin::Loaded,
///     data: Data::Same,
///     attributes: Attributes::Same,
///     saved: Saved::Never,
///     record: RecordStatus::Touchable,
///     expiry: Expiry::Some,
///     reach: Reach::Open,
/// };
/// let plan = decide::plan(returning, &Policy::default());
/// assert_eq!(plan, Plan { store: StoreAction::Touch, cookie: CookieAction::Keep });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether there still is a session.
    pub session: Lifecycle,
    /// What the request's cookie has to do with the session's id.
    pub id: CookieMatch,
    /// Where the session comes from.
    pub origin: Origin,
    /// Whether the members differ from those it came with.
    pub data: Data,
    /// Whether the cookie's settings differ from those it came with.
    pub attributes: Attributes,
    /// What has been saved in the course of the request.
    pub saved: Saved,
    /// Whether the store has a record of this id, as far as is known here.
    pub record: RecordStatus,
    /// Whether the cookie has an expiry.
    pub expiry: Expiry,
    /// Whether a cookie can still reach the browser.
    pub reach: Reach,
}

/// Whether there still is a session.
///
/// ```
/// use express_session_core::{Policy, Unset};
/// use express_session_core::decide::{self, Facts, Lifecycle, StoreAction};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let policy = Policy { unset: Unset::Destroy, ..Policy::default() };
/// let unset = Facts { session: Lifecycle::Unset, ..returning };
/// assert_eq!(decide::plan(unset, &policy).store, StoreAction::Destroy);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// There is.
    Live,
    /// The handler unset it: `req.session = null`.
    Unset,
    /// The handler destroyed it.
    Destroyed,
    /// It could not be loaded: the store failed.
    Unread,
}

/// What the request's cookie has to do with the session's id.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, CookieAction, Data, Facts, CookieMatch};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let policy = Policy::default();
/// let changed = Facts { data: Data::Changed, expiry: decide::Expiry::None, ..returning };
/// assert_eq!(decide::plan(changed, &policy).cookie, CookieAction::Keep);
/// let unknown = Facts { id: CookieMatch::Unknown, ..changed };
/// assert_eq!(decide::plan(unknown, &policy).cookie, CookieAction::Send);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieMatch {
    /// The request had no valid cookie.
    Unknown,
    /// The request's cookie has another id: unknown to the store, or replaced by `regenerate`.
    Other,
    /// The request's cookie has this id.
    Presented,
}

/// Where the session comes from.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, CookieAction, Facts, CookieMatch, Origin, Plan, StoreAction};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let regenerated = Facts { origin: Origin::Regenerated, id: CookieMatch::Other, ..returning };
/// let plan = decide::plan(regenerated, &Policy::default());
/// assert_eq!(plan, Plan { store: StoreAction::Write, cookie: CookieAction::Send });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made for this request.
    New,
    /// Loaded from the store.
    Loaded,
    /// Made by `regenerate`: the id is another than at the beginning.
    Regenerated,
}

/// Whether the members differ from those the session came with.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Data, Facts, StoreAction};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let changed = Facts { data: Data::Changed, ..returning };
/// assert_eq!(decide::plan(changed, &Policy::default()).store, StoreAction::Write);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// By value and order the same.
    Same,
    /// Others.
    Changed,
}

/// Whether the cookie's settings differ from those the session came with.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Attributes, CookieAction, Facts, Plan, StoreAction};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let changed = Facts { attributes: Attributes::Changed, ..returning };
/// let plan = decide::plan(changed, &Policy::default());
/// assert_eq!(plan, Plan { store: StoreAction::Write, cookie: CookieAction::Send });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// The same.
    Same,
    /// Others, and not saved yet.
    Changed,
    /// Others, and saved by hand already.
    Saved,
}

/// What has been saved in the course of the request.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Data, Facts, Saved, StoreAction};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let policy = Policy::default();
/// let saved = Facts { data: Data::Changed, saved: Saved::Current, ..returning };
/// assert_eq!(decide::plan(saved, &policy).store, StoreAction::Keep);
/// let changed_since = Facts { saved: Saved::Stale, ..saved };
/// assert_eq!(decide::plan(changed_since, &policy).store, StoreAction::Write);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Nothing.
    Never,
    /// An earlier state of the members, by hand.
    Stale,
    /// The members as they are, by hand.
    Current,
    /// All there is: the response's own step was taken, and nothing has changed since.
    Committed,
}

/// Whether the store has a record of this id, as far as is known here.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Facts, RecordStatus, StoreAction};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let policy = Policy::default();
/// assert_eq!(decide::plan(returning, &policy).store, StoreAction::Touch);
/// let renewed = Facts { record: RecordStatus::Renewed, ..returning };
/// assert_eq!(decide::plan(renewed, &policy).store, StoreAction::Keep);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordStatus {
    /// It has none.
    Absent,
    /// It has one, and can touch it.
    Touchable,
    /// It has one, which was touched when it was loaded.
    Renewed,
    /// It has one, and no use for touching.
    Untouchable,
}

/// Whether the cookie has an expiry.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, CookieAction, Data, Expiry, Facts};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let policy = Policy::default();
/// let changed = Facts { data: Data::Changed, ..returning };
/// assert_eq!(decide::plan(changed, &policy).cookie, CookieAction::Send);
/// let without_expiry = Facts { expiry: Expiry::None, ..changed };
/// assert_eq!(decide::plan(without_expiry, &policy).cookie, CookieAction::Keep);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Until the browser closes.
    None,
    /// A point in time.
    Some,
}

/// Whether a cookie can still reach the browser.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, CookieAction, Data, Facts, Reach};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let insecure = Facts { data: Data::Changed, reach: Reach::Insecure, ..returning };
/// assert_eq!(decide::plan(insecure, &Policy::default()).cookie, CookieAction::Withhold);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It can.
    Open,
    /// It is for HTTPS only, and the connection is plain.
    Insecure,
    /// It has an attribute that no header can carry.
    Unprintable,
    /// The headers have left, with this session's cookie.
    Sent,
    /// The headers have left without it.
    Late,
}

/// What to do.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, CookieAction, Facts, Plan, StoreAction};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let plan = decide::plan(returning, &Policy::default());
/// assert_eq!(plan, Plan { store: StoreAction::Touch, cookie: CookieAction::Keep });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// With the store.
    pub store: StoreAction,
    /// With the cookie.
    pub cookie: CookieAction,
}

/// What to do with the store.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Facts, StoreAction};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let resave = Policy { resave: true, ..Policy::default() };
/// assert_eq!(decide::plan(returning, &resave).store, StoreAction::Write);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAction {
    /// Nothing.
    Keep,
    /// Write the session.
    Write,
    /// Move the deadline of its record.
    Touch,
    /// Destroy its record.
    Destroy,
}

/// What to do with the cookie.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, CookieAction, Facts, Lifecycle};
///
/// # let returning: Facts = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/returning.rs"));
/// let policy = Policy { rolling: true, ..Policy::default() };
/// assert_eq!(decide::plan(returning, &policy).cookie, CookieAction::Send);
/// let destroyed = Facts { session: Lifecycle::Destroyed, ..returning };
/// assert_eq!(decide::plan(destroyed, &policy).cookie, CookieAction::Expire);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieAction {
    /// Nothing: the browser has what it needs, or is to have nothing.
    Keep,
    /// Send it.
    Send,
    /// Make the browser forget it.
    Expire,
    /// It should be sent, and cannot be: tell the developer.
    Withhold,
}

/// Decides what to do with the session of a request.
///
/// ```
/// use express_session_core::decide::{
///     self, Attributes, CookieAction, Data, Expiry, Facts, CookieMatch, Origin, Reach, RecordStatus, Saved, Lifecycle, StoreAction,
/// };
/// use express_session_core::Policy;
///
/// let first_visit = Facts {
///     session: Lifecycle::Live,
///     id: CookieMatch::Unknown,
///     origin: Origin::New,
///     data: Data::Changed,
///     attributes: Attributes::Same,
///     saved: Saved::Never,
///     record: RecordStatus::Absent,
///     expiry: Expiry::None,
///     reach: Reach::Open,
/// };
/// let plan = decide::plan(first_visit, &Policy::default());
/// assert_eq!((plan.store, plan.cookie), (StoreAction::Write, CookieAction::Send));
///
/// let untouched = Facts { data: Data::Same, ..first_visit };
/// let plan = decide::plan(untouched, &Policy::default());
/// assert_eq!((plan.store, plan.cookie), (StoreAction::Keep, CookieAction::Keep));
/// ```
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
            let orphan = facts.record == RecordStatus::Absent && facts.saved == Saved::Never;
            let store = if orphan && policy.departures.skip_unreachable_sessions {
                StoreAction::Keep
            } else {
                store
            };
            Plan { store, cookie: CookieAction::Withhold }
        }
    }
}

fn ended(facts: Facts, policy: &Policy) -> Plan {
    let departures = policy.departures;
    let destroy = match facts.session {
        Lifecycle::Live => false,
        Lifecycle::Unset => {
            policy.unset == Unset::Destroy
                && (!departures.single_destroy || facts.record != RecordStatus::Absent)
        }
        // With departure 13, only what an earlier attempt has left there. express-session just looks
        // at whether `req.session` is there, and destroys once more (item 47).
        Lifecycle::Destroyed if departures.single_destroy => facts.record != RecordStatus::Absent,
        Lifecycle::Destroyed => policy.unset == Unset::Destroy,
        // For the same reason it destroys what it failed to load (item 23).
        Lifecycle::Unread => policy.unset == Unset::Destroy && !departures.report_store_errors,
    };
    let over = match facts.session {
        Lifecycle::Destroyed => true,
        Lifecycle::Unset => policy.unset == Unset::Destroy,
        Lifecycle::Live | Lifecycle::Unread => false,
    };
    let expire = departures.clear_cookie
        && over
        && facts.id != CookieMatch::Unknown
        && facts.reach == Reach::Open;
    Plan {
        store: if destroy { StoreAction::Destroy } else { StoreAction::Keep },
        cookie: if expire { CookieAction::Expire } else { CookieAction::Keep },
    }
}

/// Says whether the session counts as modified: another id, other members, or (departure 9) another
/// cookie for a record that is there.
fn is_modified(facts: Facts, policy: &Policy) -> bool {
    facts.origin == Origin::Regenerated
        || facts.data == Data::Changed
        || changed_cookie(facts, policy) != Attributes::Same
}

fn changed_cookie(facts: Facts, policy: &Policy) -> Attributes {
    if policy.departures.cookie_changes_saved && facts.record != RecordStatus::Absent {
        facts.attributes
    } else {
        Attributes::Same
    }
}

/// Says whether the store has the session as it is: by a save, or because it was loaded and is the same.
fn is_saved(facts: Facts, policy: &Policy) -> bool {
    // express-session does not notice a save after `regenerate` (departure 12 does).
    let noticed = facts.origin != Origin::Regenerated || policy.departures.single_write;
    let data = match facts.saved {
        Saved::Current | Saved::Committed => noticed,
        Saved::Stale => false,
        Saved::Never => {
            facts.origin == Origin::Loaded && !policy.resave && facts.data == Data::Same
        }
    };
    data && changed_cookie(facts, policy) != Attributes::Changed
}

fn should_save(facts: Facts, policy: &Policy) -> bool {
    let untold = facts.saved == Saved::Never && (facts.origin != Origin::Loaded || policy.resave);
    if !policy.save_uninitialized && untold && facts.id != CookieMatch::Presented {
        is_modified(facts, policy)
    } else {
        !is_saved(facts, policy)
    }
}

fn should_touch(facts: Facts, policy: &Policy) -> bool {
    let is_of_use = match facts.record {
        // express-session touches whatever id the cookie has, whether or not there is a record of it.
        RecordStatus::Absent | RecordStatus::Touchable => true,
        RecordStatus::Renewed => facts.attributes != Attributes::Same,
        RecordStatus::Untouchable => false,
    };
    let was_renewed = policy.departures.single_write
        && facts.saved == Saved::Current
        && facts.attributes != Attributes::Changed;
    facts.id == CookieMatch::Presented && is_of_use && !was_renewed
}

fn should_send(facts: Facts, policy: &Policy) -> bool {
    let saved_by_hand = matches!(facts.saved, Saved::Stale | Saved::Current);
    match facts.id {
        CookieMatch::Unknown | CookieMatch::Other => {
            policy.save_uninitialized
                || is_modified(facts, policy)
                || (policy.departures.save_sends_cookie && saved_by_hand)
        }
        CookieMatch::Presented => {
            let tells =
                facts.expiry == Expiry::Some || changed_cookie(facts, policy) != Attributes::Same;
            policy.rolling || (tells && is_modified(facts, policy))
        }
    }
}

/// When the record of a request is loaded.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Load};
///
/// // Without a cookie there is nothing to load, unless the handler wants a session.
/// assert_eq!(decide::load(false, &Policy::default()), Load::Asked);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Before the handler runs.
    Early,
    /// When the handler asks, or else after it.
    Late,
    /// Only if the handler asks: otherwise there is nothing to do for this request.
    Asked,
}

/// Decides when to load: `presented` says whether the request has a validly signed cookie.
///
/// ```
/// use express_session_core::{Departures, Policy};
/// use express_session_core::decide::{self, Load};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
///
/// assert_eq!(decide::load(true, &Policy::default()), Load::Late);
/// assert_eq!(decide::load(true, &express), Load::Early);
/// ```
#[must_use]
pub fn load(presented: bool, policy: &Policy) -> Load {
    if !policy.departures.lazy_load {
        Load::Early
    } else if presented || policy.save_uninitialized {
        // A session is kept alive by every request, and a new one made by the first.
        Load::Late
    } else {
        Load::Asked
    }
}

/// How a record is loaded.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Fetch};
///
/// assert_eq!(decide::fetch(&Policy::default()), Fetch::LoadAndTouch);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Loaded, and touched at the end of the request if nothing else is done with it.
    Load,
    /// Loaded and touched in one step: all that a request needs that only reads.
    LoadAndTouch,
}

/// Decides how to load (departure 20). With `resave` every request writes, and no touch is needed.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Fetch};
///
/// let resave = Policy { resave: true, ..Policy::default() };
/// assert_eq!(decide::fetch(&resave), Fetch::Load);
/// ```
#[must_use]
pub fn fetch(policy: &Policy) -> Fetch {
    if policy.departures.touch_on_load && !policy.resave {
        Fetch::LoadAndTouch
    } else {
        Fetch::Load
    }
}

/// Decides at how many cookies of the name to look for one that is signed (departure 4): the first, or as many as
/// are enough for every path and domain of one's own, and a limit to what a forged header can cost.
///
/// ```
/// use express_session_core::{Departures, Policy, decide};
///
/// assert_eq!(decide::candidates(&Policy::default()), 8);
/// let first = Policy { departures: Departures::none(), ..Policy::default() };
/// assert_eq!(decide::candidates(&first), 1);
/// ```
#[must_use]
pub fn candidates(policy: &Policy) -> usize {
    if policy.departures.duplicate_cookies { 8 } else { 1 }
}

/// Decides whether a session that no handler asked for is seen to once its record is [renewed](Fetch::LoadAndTouch):
/// there is nothing to be stored then, and no cookie to be sent, whatever the record says.
///
/// ```
/// use express_session_core::{Policy, decide};
///
/// assert!(decide::touch_on_load_suffices(&Policy::default()));
/// // The cookie, which goes with every response then, has its settings from the record.
/// let rolling = Policy { rolling: true, ..Policy::default() };
/// assert!(!decide::touch_on_load_suffices(&rolling));
/// ```
#[must_use]
pub fn touch_on_load_suffices(policy: &Policy) -> bool {
    fetch(policy) == Fetch::LoadAndTouch && !policy.rolling
}

/// When the store's step of a response is taken.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Commit};
///
/// assert_eq!(decide::commit(&Policy::default()), Commit::Early);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Before the headers leave, and once more at the body's end if the session has changed since.
    Early,
    /// At the body's end.
    AtEnd,
}

/// Decides when to save (departure 15).
///
/// ```
/// use express_session_core::{Departures, Policy};
/// use express_session_core::decide::{self, Commit};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
///
/// assert_eq!(decide::commit(&express), Commit::AtEnd);
/// ```
#[must_use]
pub fn commit(policy: &Policy) -> Commit {
    if policy.departures.save_before_response { Commit::Early } else { Commit::AtEnd }
}

/// What to do when a write finds something else in the store than expected.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Surprise};
///
/// assert_eq!(decide::gone(&Policy::default()), Surprise::Refuse);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprise {
    /// Write all the same, over whatever is there.
    Overwrite,
    /// Do not write.
    Refuse,
}

/// Decides what to do when the record of a loaded session is gone (departure 16).
///
/// ```
/// use express_session_core::{Departures, Policy};
/// use express_session_core::decide::{self, Surprise};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
///
/// assert_eq!(decide::gone(&express), Surprise::Overwrite);
/// ```
#[must_use]
pub fn gone(policy: &Policy) -> Surprise {
    if policy.departures.destroy_is_final { Surprise::Refuse } else { Surprise::Overwrite }
}

/// Decides what to do when a new session's id is in use (departure 17).
///
/// ```
/// use express_session_core::{Departures, Policy};
/// use express_session_core::decide::{self, Surprise};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
///
/// assert_eq!(decide::taken(&Policy::default()), Surprise::Refuse);
/// assert_eq!(decide::taken(&express), Surprise::Overwrite);
/// ```
#[must_use]
pub fn taken(policy: &Policy) -> Surprise {
    if policy.departures.unique_ids { Surprise::Refuse } else { Surprise::Overwrite }
}

/// What to do when somebody else wrote the record in the meantime.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, Conflict};
///
/// assert_eq!(decide::conflict(&Policy::default()), Conflict::Merge);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Put our changes onto what is there.
    Merge,
    /// Write all of ours over it.
    Overwrite,
}

/// Decides what to do about a conflict (departure 19).
///
/// ```
/// use express_session_core::{Departures, Policy};
/// use express_session_core::decide::{self, Conflict};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
///
/// assert_eq!(decide::conflict(&express), Conflict::Overwrite);
/// ```
#[must_use]
pub fn conflict(policy: &Policy) -> Conflict {
    if policy.departures.merge_changes { Conflict::Merge } else { Conflict::Overwrite }
}

/// Decides whether a session that is destroyed or regenerated has anything in the store to be
/// destroyed (departure 13): `stored` says whether it may have a record.
///
/// ```
/// use express_session_core::{Departures, Policy, decide};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
/// assert!(!decide::destroys(false, &Policy::default()));
/// assert!(decide::destroys(false, &express));
/// ```
#[must_use]
pub fn destroys(stored: bool, policy: &Policy) -> bool {
    stored || !policy.departures.single_destroy
}

/// Decides whether a save by hand starts the session's time anew (departure 12).
///
/// ```
/// use express_session_core::{Departures, Policy, decide};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
/// assert!(decide::save_renews(&Policy::default()));
/// assert!(!decide::save_renews(&express));
/// ```
#[must_use]
pub fn save_renews(policy: &Policy) -> bool {
    policy.departures.single_write
}

/// Decides whether a touch by hand goes to the store at once: while a response is being sent, when its
/// own touch has gone by (departure 15). Before that it goes with the response.
///
/// ```
/// use express_session_core::{Departures, Policy, decide};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
/// assert!(decide::touches_at_once(true, &Policy::default()));
/// assert!(!decide::touches_at_once(false, &Policy::default()));
/// assert!(!decide::touches_at_once(true, &express));
/// ```
#[must_use]
pub fn touches_at_once(sending: bool, policy: &Policy) -> bool {
    sending && policy.departures.save_before_response
}

/// A step of a request that the store can fail at.
///
/// ```
/// use express_session_core::Policy;
/// use express_session_core::decide::{self, OnFailure, Fault, Step};
///
/// let policy = Policy::default();
/// assert_eq!(decide::failure(Step::Write, Fault::Outage, &policy), OnFailure::Report);
/// assert_eq!(decide::failure(Step::Touch, Fault::Outage, &policy), OnFailure::Ignore);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Loading the session that the handler asked for.
    Load,
    /// Loading a session that the handler did not ask for, to keep it alive.
    LoadUnasked,
    /// Moving the deadline of a session that was not changed.
    Touch,
    /// Writing what the handler changed.
    Write,
    /// Writing a session that the handler did not ask for: with `resave`, or one that is new.
    WriteUnasked,
    /// Destroying what the handler ended.
    Destroy,
}

/// Why a step failed.
///
/// ```
/// use express_session_core::{LateWrite, Policy};
/// use express_session_core::decide::{self, OnFailure, Fault, Step};
///
/// let strict = Policy { late_write: LateWrite::Refuse, ..Policy::default() };
/// assert_eq!(decide::failure(Step::Write, Fault::Ended, &Policy::default()), OnFailure::ContinueWithoutSession);
/// assert_eq!(decide::failure(Step::Write, Fault::Ended, &strict), OnFailure::Report);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store is out: it cannot be reached, did not answer in time, or refuses to work.
    Outage,
    /// Something is wrong with this session alone: its record is corrupt or too large, or others changed
    /// it at every attempt.
    Session,
    /// The session ended in the meantime.
    Ended,
}

/// What a failure of the store does.
///
/// ```
/// use express_session_core::{Outage, Policy};
/// use express_session_core::decide::{self, OnFailure, Fault, Step};
///
/// let lenient = Policy { outage: Outage::Continue, ..Policy::default() };
/// assert_eq!(decide::failure(Step::Load, Fault::Outage, &lenient), OnFailure::ContinueWithoutSession);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is told: to the handler that called, or in place of its response.
    Report,
    /// The request goes on as if nothing had happened.
    Ignore,
    /// The request goes on without a session: nothing more is stored, and no cookie is sent.
    ContinueWithoutSession,
}

/// Decides what to do when the store fails (departure 18). Where nothing of the visitor's is lost, the
/// response is sent.
///
/// ```
/// use express_session_core::{Departures, Outage, Policy};
/// use express_session_core::decide::{self, OnFailure, Fault, Step};
///
/// let express = Policy { departures: Departures::none(), ..Policy::default() };
/// assert_eq!(decide::failure(Step::Write, Fault::Outage, &Policy::default()), OnFailure::Report);
/// assert_eq!(decide::failure(Step::Write, Fault::Outage, &express), OnFailure::Ignore);
///
/// // A logout that did not happen is told under every policy.
/// let lenient = Policy { outage: Outage::Continue, ..Policy::default() };
/// assert_eq!(decide::failure(Step::Destroy, Fault::Outage, &lenient), OnFailure::Report);
/// ```
#[must_use]
pub fn failure(step: Step, fault: Fault, policy: &Policy) -> OnFailure {
    let honest =
        if policy.departures.report_store_errors { OnFailure::Report } else { OnFailure::Ignore };
    match (step, fault) {
        (Step::LoadUnasked | Step::Touch, _) => OnFailure::Ignore,
        (Step::Destroy, _) => honest,
        (Step::Load | Step::Write | Step::WriteUnasked, Fault::Outage)
            if policy.outage == Outage::Continue =>
        {
            OnFailure::ContinueWithoutSession
        }
        (Step::WriteUnasked, Fault::Ended) => OnFailure::ContinueWithoutSession,
        (Step::WriteUnasked, Fault::Outage) if policy.departures.report_store_errors => {
            OnFailure::ContinueWithoutSession
        }
        (Step::WriteUnasked, Fault::Outage) => OnFailure::Ignore,
        (Step::WriteUnasked, Fault::Session) => honest,
        (Step::Load, _) => OnFailure::Report,
        (Step::Write, Fault::Outage | Fault::Session) => honest,
        (Step::Write, Fault::Ended) => match policy.late_write {
            LateWrite::Drop => OnFailure::ContinueWithoutSession,
            LateWrite::Refuse => OnFailure::Report,
        },
    }
}
