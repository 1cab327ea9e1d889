//! The session's own member: when the session began, when it was last seen, which user has logged in, and where the
//! session went when its id was renewed.
//!
//! express-session's records have no place for it, so that the library adds one member to them, if the policy
//! [keeps metadata](crate::Policy::keeps_metadata). The member is not data: a [`Document`] never has it.
//!
//! 1. A load takes the member out of the text, a write puts it back as the last member.
//! 2. A member of another shape, or longer than 4,096 bytes, counts as absent, and the next write replaces it.
//! 3. Node keeps the member like any other. It may write an older one back: [`Metadata::merge`] has no conflicts.
//! 4. The clients of the first and the last visit are part of it, where the policy notes them.
//! 5. The record under the old id of a renewed session has the member and no data: it only forwards to the new id.
//! 6. Where the policy has [epochs](crate::Policy::user_epoch), a login notes that of its user, and a record of its own has
//!    the user's present one.

mod client;
pub(crate) mod epoch;
pub(crate) mod member;
mod users;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use crate::record::{Json, json};
use crate::{Document, SessionId, Timestamp};
use client::Clients;
pub use client::{Client, MAX_USER_AGENT};
pub use epoch::Epoch;
pub use users::UserQuery;

/// The name of the member by default.
pub const MEMBER: &str = "__sessionMetadata";

/// The longest text of a user, in bytes of JSON.
pub const MAX_USER: usize = 1024;

/// The longest text of the member that is read.
const MAX_BYTES: usize = 4096;

/// The latest point in time of a JavaScript `Date`, in milliseconds.
const MAX_DATE: i64 = Timestamp::MAX.millis();

/// The name of the library's own member.
///
/// ```
/// use express_session_core::metadata::{MEMBER, MemberName};
///
/// assert_eq!(MemberName::new("__life").unwrap().as_str(), "__life");
/// assert_eq!(MemberName::DEFAULT.as_str(), MEMBER);
/// // express-session reserves some names, and JavaScript sorts numbers to the front.
/// assert_eq!(MemberName::new("cookie"), None);
/// assert_eq!(MemberName::new("12"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberName(Cow<'static, str>);

impl MemberName {
    /// [`MEMBER`].
    pub const DEFAULT: Self = Self(Cow::Borrowed(MEMBER));

    /// Takes a name. `None` for one that is empty, that express-session reserves, or that begins with a digit.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let is_free = Document::new().insert(&name, &()).is_ok();
        let is_usable = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
        (is_free && is_usable).then_some(Self(name.into()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The library's own notes about a session.
///
/// All times are by the clock of the process that wrote them, in milliseconds. `Debug` does not show the user.
///
/// ```
/// use std::time::Duration;
/// use express_session_core::{Metadata, Timestamp};
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let mut metadata = Metadata::new(now);
/// metadata.see(now.saturating_add(Duration::from_secs(60)));
/// assert_eq!(metadata.created(), now);
/// assert_eq!(metadata.text(), r#"{"created":1700000000000,"seen":1700000060000}"#);
/// assert_eq!(Metadata::parse(&metadata.text()), Some(metadata));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Metadata {
    created: Timestamp,
    seen: Timestamp,
    /// Since when the session has its id, if that was renewed.
    renewed: Option<Timestamp>,
    login: Option<Authentication>,
    /// The user's epoch when the session's user logged in.
    epoch: Epoch,
    /// Where the first and the last visit came from, if that is noted.
    clients: Option<Box<Clients>>,
    moved: Option<Box<Moved>>,
    ended: Option<Mark>,
}

/// The mark of a session that another one, or an administrator, has ended. Its record stays, without data, so that the next
/// request can say why.
///
/// ```
/// use express_session_core::Metadata;
/// use express_session_core::metadata::Mark;
///
/// let metadata = Metadata::parse(r#"{"created":1,"seen":1,"ended":"limit"}"#).unwrap();
/// assert_eq!(metadata.ended(), Some(Mark::Limit));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// The user or an administrator has ended it.
    Revoked,
    /// A later login needed its place.
    Limit,
}

impl Mark {
    const fn text(self) -> &'static str {
        match self {
            Self::Revoked => "\"revoked\"",
            Self::Limit => "\"limit\"",
        }
    }

    /// Reads a mark. One of another version of the library ends the session all the same.
    fn parse(value: &str) -> Self {
        if value == Self::Limit.text() { Self::Limit } else { Self::Revoked }
    }
}

/// The contents of a record that only forwards to another id, or marks that its session was ended.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The new id; `None` where the session has ended.
    to: Option<SessionId>,
    /// The end of the grace period.
    until: Timestamp,
}

/// The authentication of a session's user: its login.
#[derive(Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The time of the authentication.
    pub at: Timestamp,
    /// The user, of at most [`MAX_USER`] bytes.
    pub user: Json,
    /// The idle timeout of this session, in place of the policy's.
    pub idle: Option<Duration>,
    /// The absolute timeout of this session, in place of the policy's.
    pub absolute: Option<Duration>,
    /// The level of assurance, where the application has levels: 2 after a second factor, for example.
    pub level: Option<u8>,
}

impl Metadata {
    /// Begins at this time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            created: now,
            seen: now,
            renewed: None,
            login: None,
            epoch: Epoch::FIRST,
            clients: None,
            moved: None,
            ended: None,
        }
    }

    /// Returns when the session began, or, for a session that Node began, when the library first wrote it.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// Returns the time of the last visit that was noted: an earlier one by less than `touch_after`, where later requests
    /// only read.
    #[must_use]
    pub fn seen(&self) -> Timestamp {
        self.seen
    }

    /// Returns when the session got its id by a renewal, or `None` if it has the one that it began with.
    ///
    /// ```
    /// use express_session_core::Metadata;
    ///
    /// let text = r#"{"created":1700000000000,"seen":1700000900000,"renewed":1700000900000}"#;
    /// let metadata = Metadata::parse(text).unwrap();
    /// assert_eq!(metadata.renewed(), Some(metadata.seen()));
    /// assert_eq!(metadata.text(), text);
    /// ```
    #[must_use]
    pub fn renewed(&self) -> Option<Timestamp> {
        self.renewed
    }

    /// Returns since when the session has its id.
    pub(crate) fn has_id_since(&self) -> Timestamp {
        self.renewed.unwrap_or(self.created)
    }

    /// Returns the login, or `None` before it.
    #[must_use]
    pub fn authentication(&self) -> Option<&Authentication> {
        self.login.as_ref()
    }

    /// Returns the time of the login.
    #[must_use]
    pub fn authenticated(&self) -> Option<Timestamp> {
        self.login.as_ref().map(|login| login.at)
    }

    /// Returns the epoch of the session's user at the login, or a later one that the session has got since.
    ///
    /// ```
    /// use express_session_core::Metadata;
    ///
    /// let text = r#"{"created":1,"seen":1,"authenticated":1,"user":"bob","epoch":7}"#;
    /// let metadata = Metadata::parse(text).unwrap();
    /// assert_eq!(metadata.epoch().number(), 7);
    /// assert_eq!(metadata.text(), text);
    /// ```
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the client of the first visit, or of the first one that this library has noted.
    #[must_use]
    pub fn first_client(&self) -> Option<&Client> {
        self.clients.as_deref().map(|clients| &clients.first)
    }

    /// Returns the client of the [last visit that was noted](Self::seen).
    #[must_use]
    pub fn last_client(&self) -> Option<&Client> {
        self.clients.as_deref().map(|clients| &clients.last)
    }

    /// Returns the mark of a session that another one has ended.
    #[must_use]
    pub fn ended(&self) -> Option<Mark> {
        self.ended
    }

    /// Ends the session: the login and the clients go, the mark stays.
    pub(crate) fn end(&mut self, mark: Mark) {
        (self.login, self.clients, self.ended) = (None, None, Some(mark));
        self.epoch = Epoch::FIRST;
    }

    /// Notes a visit. A clock that is behind changes nothing.
    pub fn see(&mut self, now: Timestamp) {
        self.seen = self.seen.max(now);
    }

    /// Notes where a visit came from. It is the last one, and the first one if none is noted.
    ///
    /// ```
    /// use express_session_core::metadata::Client;
    /// use express_session_core::policy::{ClientDetail, ClientNotes};
    /// use express_session_core::{Metadata, Timestamp};
    ///
    /// let notes = ClientNotes { address: Some(ClientDetail::Full), ..ClientNotes::default() };
    /// let client = |address: &str| Client::new(notes, address.parse().ok(), None);
    /// let [home, office] = ["192.0.2.1", "198.51.100.2"].map(client);
    ///
    /// let mut metadata = Metadata::new(Timestamp::from_millis(1));
    /// metadata.see_client(home.as_ref());
    /// metadata.see_client(office.as_ref());
    /// assert_eq!(metadata.first_client(), home.as_ref());
    /// assert_eq!(metadata.last_client(), office.as_ref());
    /// ```
    pub fn see_client(&mut self, client: Option<&Client>) {
        let Some(client) = client else { return };
        match &mut self.clients {
            Some(clients) if clients.last == *client => {}
            Some(clients) => clients.last = client.clone(),
            empty => *empty = Some(Box::new(Clients::new(client))),
        }
    }

    /// Begins again at this time, with the same login: a session that was not stored has not begun.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        (self.created, self.seen, self.renewed, self.clients) = (now, now, None, None);
    }

    /// Notes that the session gets another id, which is a visit.
    pub(crate) fn renew(&mut self, now: Timestamp) {
        self.see(now);
        self.renewed = Some(now);
    }

    /// Returns the member of the record under an old id. It has no login: a list of a user's sessions counts the session
    /// once.
    pub(crate) fn forwarding(&self, to: SessionId, until: Timestamp) -> Self {
        let moved = Some(Box::new(Moved { to: Some(to), until }));
        Self {
            created: self.created,
            seen: self.seen,
            renewed: None,
            login: None,
            epoch: Epoch::FIRST,
            clients: None,
            moved,
            ended: None,
        }
    }

    /// Returns the member of a record whose session is being ended.
    pub(crate) fn ending(now: Timestamp) -> Self {
        Self { moved: Some(Box::new(Moved { to: None, until: now })), ..Self::new(now) }
    }

    /// Checks whether the record only forwards to another id, or its session is being ended.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved.is_some()
    }

    /// Checks whether the record forwards to another id, or has done so.
    pub(crate) fn was_renewed(&self) -> bool {
        self.moved.as_ref().is_some_and(|moved| moved.to.is_some())
    }

    /// Returns the id that the record forwards to, within the grace period.
    pub(crate) fn moved_to(&self, now: Timestamp) -> Option<&SessionId> {
        self.moved.as_ref().filter(|moved| now < moved.until)?.to.as_ref()
    }

    /// Checks whether these are the notes of the same session as others, under an id that it got by a renewal: it began, and
    /// its user logged in, in the same milliseconds.
    ///
    /// ```
    /// use express_session_core::Metadata;
    ///
    /// let of = |text| Metadata::parse(text).unwrap();
    /// let before = of(r#"{"created":1700000000000,"seen":1700000900000}"#);
    /// let after = of(r#"{"created":1700000000000,"seen":1700000900000,"renewed":1700000900000}"#);
    /// assert!(after.continues(&before) && !before.continues(&after));
    /// ```
    #[must_use]
    pub fn continues(&self, earlier: &Self) -> bool {
        self.renewed.is_some()
            && self.created == earlier.created
            && self.authenticated() == earlier.authenticated()
    }

    /// Checks whether the member is read again as it is written.
    pub(crate) fn is_readable(&self) -> bool {
        self.text().len() <= MAX_BYTES
    }

    /// Notes a login, without an epoch.
    pub fn authenticate(&mut self, login: Authentication) {
        (self.login, self.epoch) = (Some(login), Epoch::FIRST);
    }

    /// Notes the present epoch of the session's user. The login of another user, which passport has replaced, goes.
    pub(crate) fn raise_epoch(&mut self, user: &Json, epoch: Epoch) {
        if self.login.as_ref().is_some_and(|login| login.user != *user) {
            (self.login, self.epoch) = (None, Epoch::FIRST);
        }
        self.epoch = self.epoch.max(epoch);
    }

    /// Merges the notes of two overlapping requests: the session began at the earlier time, was seen at the later one, each
    /// with the client of that visit, and the later login counts, with its epoch.
    ///
    /// ```
    /// use express_session_core::{Metadata, Timestamp};
    ///
    /// let [one, two] = [1_700_000_000_000, 1_700_000_000_007].map(Timestamp::from_millis);
    /// let merged = Metadata::new(two).merge(&Metadata::new(one));
    /// assert_eq!((merged.created(), merged.seen()), (one, two));
    /// ```
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let at = |metadata: &Self| metadata.login.as_ref().map(|login| login.at);
        let login = if at(other) > at(self) { &other.login } else { &self.login };
        let epoch = match at(other).cmp(&at(self)) {
            Ordering::Greater => other.epoch,
            // One of the requests has ended the user's other sessions.
            Ordering::Equal => self.epoch.max(other.epoch),
            Ordering::Less => self.epoch,
        };
        Self {
            created: self.created.min(other.created),
            seen: self.seen.max(other.seen),
            renewed: self.renewed.max(other.renewed),
            login: login.clone(),
            epoch,
            clients: self.merge_clients(other),
            moved: None,
            ended: self.ended.or(other.ended),
        }
    }

    fn merge_clients(&self, other: &Self) -> Option<Box<Clients>> {
        let (Some(own), Some(others)) = (&self.clients, &other.clients) else {
            return self.clients.clone().or_else(|| other.clients.clone());
        };
        let first = if other.created < self.created { &others.first } else { &own.first };
        let last = if other.seen > self.seen { &others.last } else { &own.last };
        Some(Box::new(Clients { first: first.clone(), last: last.clone() }))
    }

    /// Returns the JSON of the member.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(128);
        self.push(&mut text);
        text
    }

    pub(crate) fn push(&self, out: &mut String) {
        let number = |out: &mut String, name: &str, number: i128| {
            // Writing to a string never fails.
            let _ = write!(out, ",\"{name}\":{number}");
        };
        // Writing to a string never fails.
        let _ = write!(out, "{{\"created\":{}", self.created.millis());
        number(out, "seen", self.seen.millis().into());
        if let Some(renewed) = self.renewed {
            number(out, "renewed", renewed.millis().into());
        }
        if let Some(login) = &self.login {
            number(out, "authenticated", login.at.millis().into());
            out.push_str(",\"user\":");
            out.push_str(login.user.as_str());
            for (name, time) in [("idle", login.idle), ("absolute", login.absolute)] {
                if let Some(time) = time {
                    number(out, name, i128::try_from(time.as_millis()).unwrap_or(i128::MAX));
                }
            }
            if let Some(level) = login.level {
                number(out, "level", level.into());
            }
        }
        if self.epoch != Epoch::FIRST {
            number(out, "epoch", self.epoch.number().into());
        }
        if let Some(clients) = &self.clients {
            out.push_str(",\"first\":");
            clients.first.push(out);
            if clients.last != clients.first {
                out.push_str(",\"last\":");
                clients.last.push(out);
            }
        }
        if let Some(mark) = self.ended {
            out.push_str(",\"ended\":");
            out.push_str(mark.text());
        }
        if let Some(moved) = &self.moved {
            out.push_str(",\"movedTo\":");
            match &moved.to {
                Some(to) => json::quote(to.as_str(), out),
                None => out.push_str("null"),
            }
            number(out, "movedUntil", moved.until.millis().into());
        }
        out.push('}');
    }

    /// Reads the JSON of the member. `None` for any other shape: the times of the beginning and of the last visit have to
    /// be integers that are dates.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (mut created, mut seen, mut at) = (None, None, None);
        let (mut user, mut idle, mut absolute, mut level) = (None, None, None, None);
        let (mut renewed, mut to, mut until) = (None, None, None);
        let (mut first, mut last, mut ended) = (None, None, None);
        let mut epoch = Epoch::FIRST;
        json::members(text, |json::Member { key, value, .. }| {
            let value = &text[value];
            match &text[key] {
                "\"created\"" => created = time(value),
                "\"seen\"" => seen = time(value),
                "\"renewed\"" => renewed = time(value),
                // A value of another type leads nowhere: the record is not a session.
                "\"movedTo\"" => to = Some(json::unquote(value).and_then(SessionId::new)),
                "\"movedUntil\"" => until = time(value),
                "\"authenticated\"" => at = time(value),
                "\"user\"" => {
                    let is_user = value != "null" && value.len() <= MAX_USER;
                    user = is_user.then(|| Json::from_text(value));
                }
                "\"idle\"" => idle = duration(value),
                "\"absolute\"" => absolute = duration(value),
                "\"level\"" => level = value.parse().ok(),
                "\"epoch\"" => epoch = Epoch::parse(value),
                "\"first\"" => first = Client::parse(value),
                "\"last\"" => last = Client::parse(value),
                "\"ended\"" => ended = Some(Mark::parse(value)),
                _ => {}
            }
        })
        .ok()?;
        let (created, seen) = (created?, seen?);
        let login = at.zip(user);
        let login = login.map(|(at, user)| Authentication { at, user, idle, absolute, level });
        let moved = to.map(|to| Box::new(Moved { to, until: until.unwrap_or(Timestamp::MIN) }));
        let clients = first.map(|first| {
            let last = last.unwrap_or_else(|| first.clone());
            Box::new(Clients { first, last })
        });
        let seen = seen.max(created);
        Some(Self { created, seen, renewed, login, epoch, clients, moved, ended })
    }
}

/// The user of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user, as the login stored it.
    pub user: Json,
    /// When the user logged in; `None` where npm's passport has logged the user in, which notes no time.
    pub authenticated: Option<Timestamp>,
    /// The level of assurance of the login, if it has one. Passport notes none.
    pub level: Option<u8>,
    /// The user's epoch at the login. Passport notes none.
    pub epoch: Epoch,
}

impl User {
    /// Checks whether the user has logged in no longer ago than `max_age`. Passport's logins are never fresh; one in the
    /// future, by a clock that was ahead, is.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::metadata::user_of;
    /// use express_session_core::{Metadata, Timestamp};
    ///
    /// let metadata = Metadata::parse(r#"{"created":1,"seen":1,"authenticated":1,"user":"bob"}"#);
    /// let user = user_of(metadata.as_ref(), None).unwrap();
    /// assert!(user.is_fresh(Duration::from_millis(2), Timestamp::from_millis(2)));
    /// assert!(!user.is_fresh(Duration::from_millis(1), Timestamp::from_millis(2)));
    /// ```
    #[must_use]
    pub fn is_fresh(&self, max_age: Duration, now: Timestamp) -> bool {
        self.authenticated.is_some_and(|at| now.saturating_since(at) < max_age)
    }

    /// Checks whether the login has this level or a higher one. A login without a level has 0.
    ///
    /// ```
    /// use express_session_core::Metadata;
    /// use express_session_core::metadata::user_of;
    ///
    /// let metadata = Metadata::parse(r#"{"created":1,"seen":1,"authenticated":1,"user":"bob","level":2}"#);
    /// let user = user_of(metadata.as_ref(), None).unwrap();
    /// assert!(user.has_level(2) && !user.has_level(3));
    /// ```
    #[must_use]
    pub fn has_level(&self, level: u8) -> bool {
        self.level.unwrap_or_default() >= level
    }
}

/// Returns the login of a session that can be stepped up: the one in the metadata, if the user is its user by
/// [`user_of`]. Passport's own user has none.
///
/// ```
/// use express_session_core::Metadata;
/// use express_session_core::metadata::own_login;
///
/// let metadata = Metadata::parse(r#"{"created":1,"seen":1,"authenticated":1,"user":"bob"}"#);
/// let metadata = metadata.as_ref();
/// assert!(own_login(metadata, None).is_some());
/// assert!(own_login(metadata, Some(r#"{"user":"bob"}"#)).is_some());
/// assert!(own_login(metadata, Some(r#"{"user":"eve"}"#)).is_none());
/// assert!(own_login(metadata, Some("{}")).is_none());
/// ```
#[must_use]
pub fn own_login<'a>(
    metadata: Option<&'a Metadata>,
    passport: Option<&str>,
) -> Option<&'a Authentication> {
    user_of(metadata, passport)?.authenticated?;
    metadata?.authentication()
}

/// Finds the user of a session: that of the metadata, or that of npm's passport. `passport` is the JSON of the member of
/// this name.
///
/// If there is such a member, it decides: passport may have logged the user out, or another one in, and copied the
/// metadata from one record to the next (its option `keepSessionInfo`). The time of the login counts only for the same user.
///
/// ```
/// use express_session_core::metadata::user_of;
/// use express_session_core::record::Json;
///
/// let user = user_of(None, Some(r#"{"user":"bob"}"#)).unwrap();
/// assert_eq!((user.user, user.authenticated), (Json::of("bob")?, None));
/// assert_eq!(user_of(None, Some("{}")), None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn user_of(metadata: Option<&Metadata>, passport: Option<&str>) -> Option<User> {
    let login = metadata.and_then(Metadata::authentication);
    let own = login.map(|login| User {
        user: login.user.clone(),
        authenticated: Some(login.at),
        level: login.level,
        epoch: metadata.map_or(Epoch::FIRST, Metadata::epoch),
    });
    let Some(passport) = passport else { return own };
    let mut user = None;
    json::members(passport, |json::Member { key, value, .. }| {
        if &passport[key] == "\"user\"" {
            user = Some(&passport[value]);
        }
    })
    .ok()?;
    let user = user.filter(|user| *user != "null")?;
    // Notes about the login of another user say nothing about this one.
    let notes = metadata.filter(|metadata| metadata.authentication().is_none());
    Some(own.filter(|own| own.user.as_str() == user).unwrap_or_else(|| User {
        user: Json::from_text(user),
        authenticated: None,
        level: None,
        epoch: notes.map_or(Epoch::FIRST, Metadata::epoch),
    }))
}

fn time(value: &str) -> Option<Timestamp> {
    let millis: i64 = value.parse().ok()?;
    (-MAX_DATE..=MAX_DATE).contains(&millis).then(|| Timestamp::from_millis(millis))
}

/// Reads a time limit. One that no `Date` can reach is as good as none, and zero would end the session when it begins.
fn duration(value: &str) -> Option<Duration> {
    let millis: u64 = value.parse().ok()?;
    (1..=MAX_DATE as u64).contains(&millis).then(|| Duration::from_millis(millis))
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("created", &self.created)
            .field("seen", &self.seen)
            .field("renewed", &self.renewed)
            .field("login", &self.login)
            .field("epoch", &self.epoch)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("at", &self.at)
            .field("user", &self.user)
            .field("idle", &self.idle)
            .field("absolute", &self.absolute)
            .field("level", &self.level)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_700_000_000_000;

    fn at(offset: i64) -> Timestamp {
        Timestamp::from_millis(T + offset)
    }

    fn login(offset: i64, user: &str) -> Authentication {
        let user = Json::of(user).unwrap();
        Authentication { at: at(offset), user, idle: None, absolute: None, level: None }
    }

    #[test]
    fn metadata_is_read_as_it_was_written() {
        let mut metadata = Metadata::new(at(0));
        metadata.see(at(5));
        assert_eq!(Metadata::parse(&metadata.text()), Some(metadata.clone()));
        let (idle, absolute) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(2)));
        let level = Some(2);
        let bob = login(3, "bob \"b\" </script>");
        metadata.authenticate(Authentication { idle, absolute, level, ..bob });
        assert_eq!(Metadata::parse(&metadata.text()), Some(metadata));
    }

    #[test]
    fn member_of_another_shape_counts_as_absent() {
        let long = format!(r#"{{"created":1,"seen":1,"x":"{}"}}"#, "x".repeat(MAX_BYTES));
        for text in [
            "",
            "null",
            "1",
            "[]",
            "\"text\"",
            "{}",
            "{",
            r#"{"created":1}"#,
            r#"{"seen":1}"#,
            r#"{"created":"1","seen":1}"#,
            r#"{"created":1.5,"seen":1}"#,
            r#"{"created":1e3,"seen":1}"#,
            r#"{"created":null,"seen":1}"#,
            r#"{"created":{},"seen":1}"#,
            r#"{"created":8640000000000001,"seen":1}"#,
            r#"{"created":1,"seen":99999999999999999999}"#,
            r#"{"created":1,"seen":1} x"#,
            &long,
        ] {
            assert_eq!(Metadata::parse(text), None, "{text}");
        }
    }

    #[test]
    fn login_without_a_time_or_a_user_counts_as_no_login() {
        let long = format!(r#""authenticated":1,"user":"{}""#, "x".repeat(MAX_USER - 1));
        for members in [
            r#""authenticated":1"#,
            r#""user":"bob""#,
            r#""authenticated":1,"user":null"#,
            r#""authenticated":"1","user":"bob""#,
            &long,
        ] {
            let text = format!(r#"{{"created":1,"seen":1,{members}}}"#);
            assert_eq!(Metadata::parse(&text).unwrap().authentication(), None, "{members}");
        }
    }

    #[test]
    fn limit_of_zero_or_without_end_or_of_another_type_counts_as_none() {
        for limit in ["0", "-1", "null", "\"1\"", "1.5", "8640000000000001"] {
            let text = format!(
                r#"{{"created":1,"seen":1,"authenticated":1,"user":0,"idle":{limit},"absolute":{limit}}}"#
            );
            let login = Metadata::parse(&text).unwrap().authentication().cloned().unwrap();
            assert_eq!((login.idle, login.absolute), (None, None), "{limit}");
        }
    }

    #[test]
    fn level_of_another_type_counts_as_none() {
        for (level, read) in [("0", Some(0)), ("255", Some(255)), ("256", None), ("-1", None)] {
            let text =
                format!(r#"{{"created":1,"seen":1,"authenticated":1,"user":0,"level":{level}}}"#);
            let metadata = Metadata::parse(&text).unwrap();
            assert_eq!(metadata.authentication().unwrap().level, read, "{level}");
        }
        for level in ["null", "\"2\"", "2.0", "[2]"] {
            let text =
                format!(r#"{{"created":1,"seen":1,"authenticated":1,"user":0,"level":{level}}}"#);
            let metadata = Metadata::parse(&text).unwrap();
            assert_eq!(metadata.authentication().unwrap().level, None, "{level}");
        }
    }

    #[test]
    fn member_has_a_name_that_neither_node_nor_javascript_treats_in_its_own_way() {
        assert!(MemberName::new(MEMBER).is_some() && MemberName::new("é\"").is_some());
        for name in ["", "cookie", "save", "__proto__", "0", "12", "1a"] {
            assert_eq!(MemberName::new(name), None, "{name}");
        }
    }

    #[test]
    fn session_is_never_seen_before_it_began_and_a_slow_clock_takes_nothing_back() {
        let mut metadata = Metadata::parse(r#"{"created":9,"seen":1}"#).unwrap();
        assert_eq!(metadata.seen(), Timestamp::from_millis(9));
        metadata.see(Timestamp::from_millis(8));
        assert_eq!(metadata.seen(), Timestamp::from_millis(9));
    }

    #[test]
    fn mark_is_read_as_it_was_written_and_the_login_goes() {
        for mark in [Mark::Revoked, Mark::Limit] {
            let mut metadata = Metadata::new(at(0));
            metadata.authenticate(login(3, "bob"));
            metadata.end(mark);
            assert_eq!(metadata.authentication(), None);
            assert_eq!(Metadata::parse(&metadata.text()), Some(metadata));
        }
    }

    #[test]
    fn mark_that_is_not_known_ends_the_session_all_the_same() {
        for ended in ["\"moved\"", "null", "{}", "0", "\"Limit\""] {
            let text = format!(r#"{{"created":1,"seen":1,"ended":{ended}}}"#);
            assert_eq!(Metadata::parse(&text).unwrap().ended(), Some(Mark::Revoked), "{ended}");
        }
    }

    #[test]
    fn merge_never_drops_a_mark() {
        let live = Metadata::new(at(0));
        let mut ended = live.clone();
        ended.end(Mark::Limit);
        assert_eq!(live.merge(&ended).ended(), Some(Mark::Limit));
        assert_eq!(ended.merge(&live).ended(), Some(Mark::Limit));
        assert_eq!(live.merge(&live).ended(), None);
    }

    #[test]
    fn merge_takes_the_earlier_beginning_the_later_visit_and_the_later_login() {
        let metadata = |created, seen, login: Option<Authentication>| Metadata {
            created: at(created),
            seen: at(seen),
            renewed: None,
            login,
            epoch: Epoch::FIRST,
            clients: None,
            moved: None,
            ended: None,
        };
        let (bob, eve) = (Some(login(1, "bob")), Some(login(2, "eve")));
        for (one, other, merged) in [
            ((0, 5, None), (1, 3, None), (0, 5, None)),
            ((1, 3, None), (0, 5, None), (0, 5, None)),
            ((0, 3, bob.clone()), (0, 5, None), (0, 5, bob.clone())),
            ((0, 3, None), (0, 5, bob.clone()), (0, 5, bob.clone())),
            ((0, 3, bob.clone()), (0, 5, eve.clone()), (0, 5, eve.clone())),
            ((0, 3, eve.clone()), (0, 5, bob), (0, 5, eve)),
        ] {
            let [one, other, merged] =
                [one, other, merged].map(|(created, seen, login)| metadata(created, seen, login));
            assert_eq!(one.merge(&other), merged);
        }
    }

    #[test]
    fn merge_takes_the_epoch_of_the_login_that_counts_and_of_one_login_the_higher_one() {
        let of = |login: Option<(i64, &str)>, epoch: i64| {
            let mut metadata = Metadata::new(at(0));
            if let Some((offset, user)) = login {
                metadata.authenticate(self::login(offset, user));
            }
            metadata.epoch = Epoch::parse(&epoch.to_string());
            metadata
        };
        let (bob, later) = (Some((1, "bob")), Some((2, "bob")));
        for (one, other, epoch) in [
            ((bob, 5), (bob, 7), 7),
            ((bob, 7), (bob, 5), 7),
            ((None, 7), (None, 0), 7),
            ((bob, 7), (later, 5), 5),
            ((later, 5), (bob, 7), 5),
            ((bob, 5), (None, 7), 5),
        ] {
            let merged = of(one.0, one.1).merge(&of(other.0, other.1));
            assert_eq!(merged.epoch().number(), epoch, "{one:?} {other:?}");
        }
    }

    #[test]
    fn epoch_goes_with_the_login_and_stays_with_a_renewed_id() {
        let bob = Json::of("bob").unwrap();
        let epoch = Epoch::FIRST.next(at(7));
        let mut metadata = Metadata::new(at(0));
        metadata.authenticate(login(1, "bob"));
        metadata.raise_epoch(&bob, epoch);
        assert_eq!(Metadata::parse(&metadata.text()), Some(metadata.clone()));
        metadata.raise_epoch(&bob, Epoch::FIRST.next(at(5)));
        metadata.renew(at(8));
        metadata.restart(at(8));
        assert_eq!(metadata.epoch(), epoch);
        let forward = metadata.forwarding(SessionId::new("x").unwrap(), at(9));
        assert_eq!(forward.epoch(), Epoch::FIRST);
        for (change, has_login) in [
            (Metadata::end as fn(&mut Metadata, Mark), false),
            (|metadata, _| metadata.authenticate(login(9, "bob")), true),
        ] {
            let mut metadata = metadata.clone();
            change(&mut metadata, Mark::Revoked);
            assert_eq!(
                (metadata.epoch(), metadata.authentication().is_some()),
                (Epoch::FIRST, has_login)
            );
        }
        // Passport has logged another user in.
        metadata.raise_epoch(&Json::of("eve").unwrap(), Epoch::FIRST.next(at(1)));
        assert_eq!(metadata.epoch(), Epoch::FIRST.next(at(1)));
        assert_eq!(metadata.authentication(), None);
    }

    fn client(user_agent: &str) -> Client {
        let full = Some(crate::policy::ClientDetail::Full);
        let notes = crate::policy::ClientNotes { address: full, user_agent: full };
        Client::new(notes, "192.0.2.17".parse().ok(), Some(user_agent)).unwrap()
    }

    #[test]
    fn clients_are_read_as_they_were_written_and_an_equal_last_one_is_not_written() {
        let [a, b] = ["a", "b"].map(client);
        let mut metadata = Metadata::new(at(0));
        metadata.see_client(None);
        assert_eq!((metadata.first_client(), metadata.last_client()), (None, None));
        metadata.see_client(Some(&a));
        assert!(!metadata.text().contains("\"last\""));
        for (client, first, last) in [(&a, &a, &a), (&b, &a, &b), (&a, &a, &a)] {
            metadata.see_client(Some(client));
            assert_eq!(
                (metadata.first_client(), metadata.last_client()),
                (Some(first), Some(last))
            );
            assert_eq!(Metadata::parse(&metadata.text()), Some(metadata.clone()));
        }
        metadata.end(Mark::Revoked);
        assert_eq!(metadata.first_client(), None);
        metadata.see_client(Some(&a));
        metadata.restart(at(1));
        assert_eq!(metadata.first_client(), None);
    }

    #[test]
    fn last_client_without_a_first_one_counts_as_unknown() {
        let text = r#"{"created":1,"seen":1,"first":7,"last":{"userAgent":"a"}}"#;
        assert_eq!(Metadata::parse(text).unwrap().last_client(), None);
    }

    #[test]
    fn merge_takes_the_client_of_the_earlier_beginning_and_that_of_the_later_visit() {
        let metadata = |created, seen, agents: Option<[&str; 2]>| {
            let mut metadata = Metadata::new(at(created));
            metadata.see(at(seen));
            for agent in agents.into_iter().flatten() {
                metadata.see_client(Some(&client(agent)));
            }
            metadata
        };
        let (ab, cd) = (Some(["a", "b"]), Some(["c", "d"]));
        for (one, other, merged) in [
            ((0, 5, ab), (1, 6, cd), ["a", "d"]),
            ((1, 6, ab), (0, 5, cd), ["c", "b"]),
            ((0, 6, ab), (1, 5, cd), ["a", "b"]),
            ((0, 5, ab), (0, 5, cd), ["a", "b"]),
            ((1, 5, ab), (0, 6, None), ["a", "b"]),
            ((0, 6, None), (1, 5, cd), ["c", "d"]),
        ] {
            let [one, other] =
                [one, other].map(|(created, seen, agents)| metadata(created, seen, agents));
            let merged_metadata = one.merge(&other);
            let agents = [merged_metadata.first_client(), merged_metadata.last_client()]
                .map(|client| client.unwrap().user_agent().unwrap().to_owned());
            assert_eq!(agents, merged, "{} {}", one.text(), other.text());
        }
    }

    #[test]
    fn member_with_the_longest_contents_is_readable() {
        let mut metadata = Metadata::new(at(0));
        metadata.authenticate(login(3, &"x".repeat(MAX_USER - 2)));
        for agent in ["\"", "\\"] {
            metadata.see_client(Some(&client(&agent.repeat(2 * MAX_USER_AGENT))));
        }
        assert!(metadata.is_readable());
        assert_eq!(Metadata::parse(&metadata.text()), Some(metadata));
    }

    #[test]
    fn later_renewal_counts_and_a_merge_forwards_nowhere() {
        let (mut one, mut two) = (Metadata::new(at(0)), Metadata::new(at(0)));
        one.renew(at(5));
        assert_eq!((one.seen(), one.renewed(), one.has_id_since()), (at(5), Some(at(5)), at(5)));
        assert_eq!(
            (two.merge(&one).renewed(), one.merge(&two).renewed()),
            (Some(at(5)), Some(at(5)))
        );
        two.renew(at(7));
        assert_eq!(one.merge(&two).renewed(), Some(at(7)));
        let id = SessionId::new("x").unwrap();
        let forward = one.forwarding(id, at(9));
        assert!(forward.has_moved() && !one.merge(&forward).has_moved());
        assert!(!forward.merge(&one).has_moved());
        // A session that was not stored has not been renewed either.
        one.restart(at(8));
        assert_eq!((one.renewed(), one.has_id_since()), (None, at(8)));
    }

    #[test]
    fn forwarding_record_leads_to_its_id_until_the_grace_period_ends() {
        for text in ["x", "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", "a\"b\\ é"] {
            let id = SessionId::new(text).unwrap();
            let mut metadata = Metadata::new(at(0));
            metadata.authenticate(login(3, "bob"));
            let forward = metadata.forwarding(id.clone(), at(10));
            let read = Metadata::parse(&forward.text()).unwrap();
            assert_eq!(read, forward);
            assert_eq!(read.authentication(), None);
            for (now, to) in [(0, Some(&id)), (9, Some(&id)), (10, None), (99, None)] {
                assert_eq!(read.moved_to(at(now)), to, "{text} {now}");
            }
            assert!(!format!("{read:?}").contains("BBB"));
        }
        let ended = Metadata::parse(&Metadata::ending(at(0)).text()).unwrap();
        assert!(ended.has_moved() && ended.moved_to(at(-1)).is_none());
        let long = SessionId::new("x".repeat(MAX_BYTES)).unwrap();
        assert!(!Metadata::new(at(0)).forwarding(long, at(1)).is_readable());
    }

    #[test]
    fn forward_of_another_shape_leads_nowhere_and_is_no_session() {
        for members in [
            r#""movedTo":5,"movedUntil":9999999999999"#,
            r#""movedTo":{},"movedUntil":9999999999999"#,
            r#""movedTo":"","movedUntil":9999999999999"#,
            r#""movedTo":null,"movedUntil":9999999999999"#,
            r#""movedTo":"x""#,
            r#""movedTo":"x","movedUntil":"9999999999999""#,
            r#""movedTo":"x","movedUntil":9999999999999,"movedTo":null"#,
        ] {
            let read = Metadata::parse(&format!(r#"{{"created":1,"seen":1,{members}}}"#)).unwrap();
            assert!(read.has_moved() && read.moved_to(at(0)).is_none(), "{members}");
            assert_eq!(read.was_renewed(), read.text().contains(r#""movedTo":"x""#), "{members}");
        }
        let plain = Metadata::parse(r#"{"created":1,"seen":1,"movedUntil":5}"#).unwrap();
        assert!(!plain.has_moved());
    }

    #[test]
    fn member_of_passport_decides_who_the_user_is() {
        let mut metadata = Metadata::new(at(0));
        metadata.authenticate(Authentication { level: Some(2), ..login(1, "bob") });
        let bob = Some(("\"bob\"", Some(at(1))));
        for (has_login, passport, user) in [
            (false, None, None),
            (true, None, bob),
            (true, Some(r#"{"user":"bob"}"#), bob),
            // Node has logged another user in, or a user of another type.
            (true, Some(r#"{"user":"eve"}"#), Some(("\"eve\"", None))),
            (true, Some(r#"{"user":{"id":1}}"#), Some((r#"{"id":1}"#, None))),
            (false, Some(r#"{"user":0}"#), Some(("0", None))),
            // Node has logged the user out.
            (true, Some("{}"), None),
            (true, Some(r#"{"user":null}"#), None),
            (false, Some("{}"), None),
            // The member is another application's.
            (true, Some("true"), None),
            (true, Some("null"), None),
            (true, Some(r#"["user"]"#), None),
        ] {
            let metadata = if has_login { metadata.clone() } else { Metadata::new(at(0)) };
            let found = user_of(Some(&metadata), passport);
            // The level belongs to the login, as its time does.
            let level = found.as_ref().and_then(|found| found.level);
            assert_eq!(level, user.and_then(|(_, at)| at).map(|_| 2), "{passport:?}");
            let found = found.as_ref().map(|found| (found.user.as_str(), found.authenticated));
            assert_eq!(found, user, "{has_login} {passport:?}");
        }
    }

    #[test]
    fn user_is_not_shown() {
        let mut metadata = Metadata::new(at(0));
        metadata.authenticate(login(0, "bob"));
        assert!(!format!("{metadata:?}").contains("bob"));
    }
}
