//! The options that decide what happens to a session, and the questions that they answer.
//!
//! [`Policy`] has a method for each decision that depends on a [departure](Departures). Only this module and
//! [`decide`](crate::decide) read departures; every other module calls a method.

mod client;
mod departures;
mod epoch;
mod limits;
mod max_sessions;
mod renewal;
mod touch_after;

pub use client::{ClientDetail, ClientNotes};
pub use departures::Departures;
pub use limits::{End, Ended, EndedBy, Limits};
pub use max_sessions::{Admission, AtLimit, MaxSessions};
pub use renewal::Renewal;
pub(crate) use touch_after::ROUNDING;
pub use touch_after::TouchAfter;

use std::time::Duration;

use crate::Timestamp;
use crate::record::RecordLimits;
use crate::signing::{Attempts, Presented};
use crate::store::Touch;

/// The treatment of the record when a handler unsets the session: express-session's `unset` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unset {
    /// The record stays as it is, and the changes of this request are dropped. The default.
    #[default]
    Keep,
    /// The record is destroyed at the end of the request.
    Destroy,
}

/// How a request continues when the store is unavailable: the store cannot be reached, does not answer in time, or
/// refuses to work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    /// The request fails with a response that asks the client to retry. The default.
    #[default]
    Fail,
    /// The request continues with an empty session that is not stored. Ending a session still fails, so that a
    /// visitor never sees a logout that did not happen.
    Continue,
}

/// The treatment of the changes of a request whose session ended in the meantime: by a logout, by
/// `regenerate`, or because it expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LateWrite {
    /// The changes are dropped, and the handler's response is sent without a cookie. The default.
    #[default]
    Drop,
    /// The response is replaced by 409 Conflict.
    Refuse,
}

/// How a request continues whose stored record cannot be read: it is cut off, another application's, or larger than
/// [`RecordLimits`] allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnreadableRecord {
    /// Using the session is an error. The record stays as it is. The default.
    #[default]
    Fail,
    /// The visitor gets a new session with a new id. The record stays under the old id until it expires, for an operator to
    /// look at.
    StartNew,
    /// The record is destroyed, and the visitor gets a new session.
    Destroy,
}

/// How a request continues whose cookies name two different sessions, both validly signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguousCookie {
    /// The first one counts. The default.
    #[default]
    First,
    /// None counts: using the session is an error, answered by 400.
    Refuse,
}

/// The directive for caches of a response that sets the session's cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheHeaders {
    /// `Cache-Control: private`: the browser may store the response, shared caches may not. The default.
    #[default]
    Private,
    /// `Cache-Control: no-store`: no cache may store it. The browser reloads the page when the visitor goes back.
    NoStore,
}

/// The options that [`decide::plan`](crate::decide::plan) and the methods here decide by.
///
/// ```
/// use express_session_core::policy::{LoadTime, OnConflict, SaveTime};
/// use express_session_core::{Departures, Policy};
///
/// let policy = Policy::default();
/// assert_eq!(policy.when_to_load(true, false), LoadTime::Late);
/// assert_eq!(policy.when_to_save(), SaveTime::Early);
/// assert_eq!(policy.on_conflict(), OnConflict::Merge);
///
/// // express-session loads before the handler, saves at the end of the body, and overwrites.
/// let express = Policy { departures: Departures::none(), ..policy };
/// assert_eq!(express.when_to_load(true, false), LoadTime::Early);
/// assert_eq!(express.when_to_save(), SaveTime::AtEnd);
/// assert_eq!(express.on_conflict(), OnConflict::Overwrite);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Saves a loaded session even if it was not modified.
    pub resave: bool,
    /// Sends the cookie with every response.
    pub rolling: bool,
    /// Saves a new session even if it is empty.
    pub save_uninitialized: bool,
    /// The treatment of the record of a session that was unset.
    pub unset: Unset,
    /// How a request continues when the store is unavailable.
    pub outage: Outage,
    /// The treatment of changes to a session that has ended.
    pub late_write: LateWrite,
    /// The treatment of a record that cannot be read.
    pub unreadable_record: UnreadableRecord,
    /// The outcome of a request whose cookies name two sessions.
    pub ambiguous_cookie: AmbiguousCookie,
    /// The directive for caches of a response that sets the cookie.
    pub cache_headers: CacheHeaders,
    /// How often requests that only read reset the expiry of a record.
    pub touch_after: TouchAfter,
    /// How large a record may be.
    pub record_limits: RecordLimits,
    /// Whether each record has the library's own member. A limit, and a note of the client, turn it on as well.
    pub metadata: bool,
    /// The parts of a visit's client that each record notes.
    pub client: ClientNotes,
    /// How long a session may live.
    pub limits: Limits,
    /// How many sessions a user may have.
    pub max_sessions: Option<MaxSessions>,
    /// Whether each user has an [epoch](crate::metadata::Epoch): a session from before the end of its user's sessions has
    /// ended, also where the search for them has missed it, or another program has stored it again.
    pub user_epoch: bool,
    /// How ids are renewed, if they are.
    pub renewal: Option<Renewal>,
    /// The differences from express-session.
    pub departures: Departures,
}

/// When the record of a request is loaded: see [`Policy::when_to_load`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadTime {
    /// Before the handler runs.
    Early,
    /// When the handler first uses the session, or else after the handler.
    Late,
    /// Only when the handler uses the session: without that, this request has nothing to load.
    Asked,
}

/// When the session of a response is saved: see [`Policy::when_to_save`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveTime {
    /// Before the headers leave, and again at the end of the body if the session has changed since.
    Early,
    /// At the end of the body.
    AtEnd,
}

/// The outcome of a write if the store's record is unexpectedly there or missing: see [`Policy::on_missing_record`] and
/// [`Policy::on_id_collision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMismatch {
    /// Write unconditionally.
    Overwrite,
    /// Do not write.
    Refuse,
}

/// The outcome of a write if another request has written the record since it was loaded: see [`Policy::on_conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Rebase this request's changes onto the stored record.
    Merge,
    /// Write this request's session over the stored record.
    Overwrite,
}

impl Policy {
    /// Decides when to load (departure 2). `has_cookie` states whether the request has a validly signed cookie,
    /// `is_refused` whether its cookies are [refused](Self::refuses).
    ///
    /// ```
    /// use express_session_core::Policy;
    /// use express_session_core::policy::LoadTime;
    ///
    /// // Without a cookie there is nothing to load, unless the handler uses the session.
    /// assert_eq!(Policy::default().when_to_load(false, false), LoadTime::Asked);
    /// ```
    #[must_use]
    pub fn when_to_load(&self, has_cookie: bool, is_refused: bool) -> LoadTime {
        if !self.departures.lazy_load {
            LoadTime::Early
        } else if !is_refused && (has_cookie || self.save_uninitialized) {
            // Every request keeps its session alive, and the first one stores a new session.
            LoadTime::Late
        } else {
            LoadTime::Asked
        }
    }

    /// Returns the options for a request that leaves its session alone: without a change of the handler, its record is
    /// neither written nor touched, and no cookie is sent.
    #[must_use]
    pub fn leaving_alone(&self) -> Self {
        Self { resave: false, rolling: false, save_uninitialized: false, ..*self }
    }

    /// Returns until when a request that only reads leaves the expiry of a record, because it was reset recently
    /// (departure 20); `None` if such a request resets it now. `lifetime` is the time between a reset and the deadline,
    /// `None` if it is not known; `deadline` is `None` for a record that never expires.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::{Policy, Timestamp};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let hour = Duration::from_secs(3600);
    /// let left = |seconds| Some(now.saturating_add(Duration::from_secs(seconds)));
    /// // A hundredth of an hour is 36 s.
    /// let second_later = Some(now.saturating_add(Duration::from_secs(1)));
    /// assert_eq!(Policy::default().next_touch(Some(hour), left(3565), now), second_later);
    /// assert_eq!(Policy::default().next_touch(Some(hour), left(3564), now), None);
    /// ```
    #[must_use]
    pub fn next_touch(
        &self,
        lifetime: Option<Duration>,
        deadline: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.throttles_touch() { self.touch_after.next(lifetime, deadline, now) } else { None }
    }

    /// Checks whether a session that is only read may be left untouched (departure 20).
    #[must_use]
    pub fn throttles_touch(&self) -> bool {
        self.departures.throttled_touch
    }

    /// Checks whether a session that the handler did not use needs nothing but its expiry reset: nothing is stored and
    /// no cookie is sent, with any content of the record.
    ///
    /// ```
    /// use express_session_core::Policy;
    ///
    /// assert!(Policy::default().needs_only_touch());
    /// // With `rolling` every response has the cookie, and its settings are in the record.
    /// let rolling = Policy { rolling: true, ..Policy::default() };
    /// assert!(!rolling.needs_only_touch());
    /// ```
    #[must_use]
    pub fn needs_only_touch(&self) -> bool {
        !self.rolling && !self.resave
    }

    /// Decides when to save (departure 15).
    #[must_use]
    pub fn when_to_save(&self) -> SaveTime {
        if self.departures.save_before_response { SaveTime::Early } else { SaveTime::AtEnd }
    }

    /// Decides what a write does if the record of a loaded session is missing (departure 16).
    #[must_use]
    pub fn on_missing_record(&self) -> OnMismatch {
        if self.departures.destroy_is_final { OnMismatch::Refuse } else { OnMismatch::Overwrite }
    }

    /// Checks whether a new session gets another id if the outcome of its first write is not known (departures 15 and 16).
    /// The write may arrive after the session has ended, and must not bring it back under an id that a browser has. With
    /// departure 15 off the cookie may have left before.
    ///
    /// ```
    /// use express_session_core::{Departures, Policy};
    ///
    /// let departures = Departures::all().destroy_is_final(false);
    /// assert!(Policy::default().renews_id_in_doubt());
    /// assert!(!Policy { departures, ..Policy::default() }.renews_id_in_doubt());
    /// ```
    #[must_use]
    pub fn renews_id_in_doubt(&self) -> bool {
        self.departures.destroy_is_final && self.departures.save_before_response
    }

    /// Decides what a write does if the id of a new session is already in use (departure 17).
    #[must_use]
    pub fn on_id_collision(&self) -> OnMismatch {
        if self.departures.unique_ids { OnMismatch::Refuse } else { OnMismatch::Overwrite }
    }

    /// Returns the policy of a write that express-session does not have: with any departures, it resets the session's
    /// expiry (12).
    #[must_use]
    pub fn of_own_writes(&self) -> Self {
        Self { departures: self.departures.single_write(true), ..*self }
    }

    /// Returns the policy of a write that is final when it is done, with any departures: it merges (19), and refuses
    /// a record that is gone (16) or another visitor's (17). express-session [has no such write](Self::of_own_writes).
    #[must_use]
    pub fn of_final_writes(&self) -> Self {
        let own = self.of_own_writes();
        let departures = own.departures.merge_changes(true).destroy_is_final(true);
        Self { departures: departures.unique_ids(true), ..own }
    }

    /// Decides what a write does if another request has written the record (departure 19).
    #[must_use]
    pub fn on_conflict(&self) -> OnConflict {
        if self.departures.merge_changes { OnConflict::Merge } else { OnConflict::Overwrite }
    }

    /// Checks whether ending a session calls the store (departure 13). `may_be_stored` states whether the session
    /// may have a record.
    ///
    /// ```
    /// use express_session_core::{Departures, Policy};
    ///
    /// let express = Policy { departures: Departures::none(), ..Policy::default() };
    /// assert!(!Policy::default().destroys(false));
    /// assert!(express.destroys(false));
    /// ```
    #[must_use]
    pub fn destroys(&self, may_be_stored: bool) -> bool {
        may_be_stored || !self.departures.single_destroy
    }

    /// Checks whether every write and every touch of a response resets the session's expiry (departure 12).
    #[must_use]
    pub fn save_resets_expiry(&self) -> bool {
        self.departures.single_write
    }

    /// Checks whether an explicit touch calls the store immediately (departure 15). It does if the response is
    /// already being sent; before that, the touch is part of the response's own save.
    ///
    /// ```
    /// use express_session_core::{Departures, Policy};
    ///
    /// let express = Policy { departures: Departures::none(), ..Policy::default() };
    /// assert!(Policy::default().touches_immediately(true));
    /// assert!(!Policy::default().touches_immediately(false));
    /// assert!(!express.touches_immediately(true));
    /// ```
    #[must_use]
    pub fn touches_immediately(&self, is_sending: bool) -> bool {
        is_sending && self.departures.save_before_response
    }

    /// Returns which cookies of the name to verify (departure 4).
    ///
    /// ```
    /// use express_session_core::{Departures, Policy};
    ///
    /// let express = Policy { departures: Departures::none(), ..Policy::default() };
    /// assert!(!Policy::default().cookie_attempts().is_first_only());
    /// assert!(express.cookie_attempts().is_first_only());
    /// ```
    #[must_use]
    pub fn cookie_attempts(&self) -> Attempts {
        if self.departures.duplicate_cookies { Attempts::ALL } else { Attempts::FIRST }
    }

    /// Checks whether a request with these cookies may not use its session.
    #[must_use]
    pub fn refuses(&self, presented: &Presented) -> bool {
        presented.is_ambiguous && self.ambiguous_cookie == AmbiguousCookie::Refuse
    }

    /// Checks whether a cookie that browsers drop is refused (departure 21).
    #[must_use]
    pub fn follows_browser_rules(&self) -> bool {
        self.departures.browser_rules
    }

    /// Returns the directive for caches of a response that sets the session's cookie (departure 22).
    ///
    /// ```
    /// use express_session_core::{CacheHeaders, Departures, Policy};
    ///
    /// let express = Policy { departures: Departures::none(), ..Policy::default() };
    /// assert_eq!(Policy::default().cache_headers(), Some(CacheHeaders::Private));
    /// assert_eq!(express.cache_headers(), None);
    /// ```
    #[must_use]
    pub fn cache_headers(&self) -> Option<CacheHeaders> {
        self.departures.cache_headers.then_some(self.cache_headers)
    }

    /// Checks whether the cookie's path is matched as in browsers (departure 3), or else by prefix.
    #[must_use]
    pub fn matches_path_like_browsers(&self) -> bool {
        self.departures.path_match
    }

    /// Checks whether the `Forwarded` header counts under `proxy` (departure 5).
    #[must_use]
    pub fn reads_forwarded(&self) -> bool {
        self.departures.forwarded
    }

    /// Checks whether `auto` is resolved also if a function returns the cookie's settings (departure 6).
    #[must_use]
    pub fn resolves_auto_from_function(&self) -> bool {
        self.departures.cookie_function_auto
    }

    /// Checks whether nested layers with different cookie names each have a session (departure 7).
    #[must_use]
    pub fn nests_layers_by_name(&self) -> bool {
        self.departures.layers_by_name
    }

    /// Checks whether unchanged members are stored byte for byte (departure 8).
    #[must_use]
    pub fn keeps_records_verbatim(&self) -> bool {
        self.departures.verbatim
    }

    /// Checks whether a change of the cookie alone is saved (departure 9).
    #[must_use]
    pub fn saves_cookie_changes(&self) -> bool {
        self.departures.cookie_changes_saved
    }

    /// Returns the touch as a store carries it out: it replaces the record's cookie, unless changes of the cookie are
    /// saved without it (departure 9).
    #[must_use]
    pub fn touch(&self, touch: Touch) -> Touch {
        Touch { replaces_cookie: !self.saves_cookie_changes(), ..touch }
    }

    /// Checks whether a new session is left unsaved if its cookie cannot be sent (departure 10).
    #[must_use]
    pub fn skips_unreachable_sessions(&self) -> bool {
        self.departures.skip_unreachable_sessions
    }

    /// Checks whether the browser's cookie is expired when its session is destroyed (departure 14).
    #[must_use]
    pub fn clears_cookie(&self) -> bool {
        self.departures.clear_cookie
    }

    /// Checks whether a failure of the store is reported and leaves the session unchanged (departure 18).
    #[must_use]
    pub fn reports_store_errors(&self) -> bool {
        self.departures.report_store_errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_that_leaves_its_session_alone_has_the_other_options() {
        let policy =
            Policy { resave: true, rolling: true, save_uninitialized: true, ..Policy::default() };
        assert_eq!(policy.leaving_alone(), Policy { unset: policy.unset, ..Policy::default() });
        let unset = Policy { unset: Unset::Destroy, ..policy };
        assert_eq!(unset.leaving_alone().unset, Unset::Destroy);
    }

    #[test]
    fn writes_that_express_session_does_not_have_turn_on_what_they_promise() {
        let express = Policy { departures: Departures::none(), ..Policy::default() };
        let own = Departures::none().single_write(true);
        assert_eq!(express.of_own_writes(), Policy { departures: own, ..express });
        let last = own.merge_changes(true).destroy_is_final(true).unique_ids(true);
        assert_eq!(express.of_final_writes(), Policy { departures: last, ..express });
    }
}
