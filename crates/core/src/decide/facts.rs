//! The facts of a session at the end of its request.

/// The facts of a session when its response is ready, or when its body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the request still has a session.
    pub session: Lifecycle,
    /// Whether the request's cookie has the session's id.
    pub id: CookieMatch,
    /// The origin of the session.
    pub origin: Origin,
    /// Whether the members have changed.
    pub data: Data,
    /// Whether the cookie's settings have changed.
    pub attributes: Attributes,
    /// The saves of this request so far.
    pub saved: Saved,
    /// The record in the store, as far as this request knows.
    pub record: RecordStatus,
    /// Whether the cookie has an expiry.
    pub expiry: Expiry,
    /// Whether a cookie can still reach the browser.
    pub reach: Reach,
}

/// Whether the request still has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It has one.
    Live,
    /// The handler unset it: `req.session = null`.
    Unset,
    /// The handler destroyed it.
    Destroyed,
    /// The session could not be loaded: the store failed.
    Unread,
}

/// Whether the request's cookie has the session's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieMatch {
    /// The request had no valid cookie.
    Unknown,
    /// The cookie has another id, which the store does not know or `regenerate` has replaced.
    Other,
    /// The cookie has this id.
    Presented,
    /// The cookie has an earlier id of the stored session, which was renewed.
    Renewed,
}

/// The origin of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Created for this request.
    New,
    /// Loaded from the store.
    Loaded,
    /// Created by `regenerate`: the id has changed during the request.
    Regenerated,
}

/// Whether the members have changed since the session was loaded or created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The same values in the same order.
    Same,
    /// Different values, or a different order.
    Changed,
}

/// Whether the cookie's settings have changed since the session was loaded or created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// The same settings.
    Same,
    /// Different settings, not saved yet.
    Changed,
    /// Different settings, already saved explicitly.
    Saved,
}

/// The saves of this request so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Nothing was saved.
    Never,
    /// The handler explicitly saved an earlier state of the members.
    Stale,
    /// The handler explicitly saved the current members.
    Current,
    /// The response's own save is complete, and nothing has changed since.
    Committed,
}

/// The record in the store, as far as this request knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordStatus {
    /// The store has no record of this id.
    Absent,
    /// The store has a record and can touch it.
    Touchable,
    /// The store has a record, whose expiry was reset recently: a touch would move it by less than `touch_after`.
    Touched,
    /// The store has a record and does not support touching.
    Untouchable,
    /// The store has a record, whose id is to be renewed.
    Renewable,
}

/// Whether the cookie has an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The cookie lasts until the browser closes.
    None,
    /// The cookie expires at a point in time.
    Some,
}

/// Whether a cookie can still reach the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It can reach it.
    Open,
    /// The cookie is restricted to HTTPS, and the connection is plain HTTP.
    Insecure,
    /// The cookie has an attribute that a header cannot contain.
    Unprintable,
    /// The headers were sent, with this session's cookie.
    Sent,
    /// The headers were sent without it.
    Late,
}
