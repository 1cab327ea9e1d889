//! The session's data: JSON text with an index of its members, which are read and edited one by one.
//!
//! 1. The loaded text is not modified. Reading a member deserialises only its span.
//! 2. An unchanged member is written byte for byte as it was loaded, whichever language wrote it.
//! 3. New members are written like `JSON.stringify` writes them: array indices first, with ECMAScript's numbers and
//!    escapes (item 66). A new key is added at the end; a key that is set again keeps its place.
//! 4. "Changed" is exact: a member that was changed and changed back counts as unchanged. A member that was removed and
//!    added again in another place counts as changed (item 52).
//! 5. The cost of reading and editing is O(n log n) in the members, whatever their names: short records are searched from
//!    one end to the other, long ones by an index.
//! 6. The `cookie` member is not data. It keeps its place in the text, and rule 4 ignores it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use super::codec::splice;
use super::edited::{Edited, FEW, Member, Piece, is_key, normal_key};
use super::error::{Corrupt, InsertError};
use super::json;
use super::order;
use super::value::Json;
use crate::Timestamp;
use crate::cookie::{CookieTemplate, StoredCookie};

/// The name of the cookie's member.
pub(super) const COOKIE: &str = "cookie";

/// The names of express-session's own properties (item 56). Node drops a stored member with such a name when it loads
/// the record, so that `insert` refuses it.
const RESERVED: [&str; 21] = [
    COOKIE,
    "req",
    "id",
    "touch",
    "resetMaxAge",
    "save",
    "reload",
    "destroy",
    "regenerate",
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];

/// The members of a session, backed by the text that they were loaded from.
///
/// Reading deserialises one member. An unchanged document is never copied.
///
/// ```
/// use express_session_core::Document;
///
/// let text = r#"{"cookie":{"path":"/"},"views":1,"user":{"name":"bob"}}"#;
/// let mut document = Document::parse(text)?;
/// assert_eq!(document.get::<u32>("views")?, Some(1));
///
/// document.insert("views", &2)?;
/// assert!(document.is_changed());
/// assert_eq!(
///     &*document.to_json(r#"{"path":"/"}"#),
///     r#"{"cookie":{"path":"/"},"views":2,"user":{"name":"bob"}}"#,
/// );
///
/// document.insert("views", &1)?;
/// assert!(!document.is_changed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Document {
    /// Shared by clones, because callers clone a document to remember its state.
    pub(super) base: Arc<Base>,
    /// The current members, or `None` while they equal those of the base.
    edited: Option<Edited>,
}

/// The text that a document was loaded from, with the places of its members.
pub(super) struct Base {
    text: Arc<str>,
    /// All members except the cookie, in JavaScript's order.
    members: Spans,
    /// The place of the cookie's value.
    cookie: Range<usize>,
    /// The number of members before the cookie.
    cookie_at: usize,
    /// Whether a key has escapes, so that its text differs from the bytes between its quotes.
    has_escapes: bool,
    /// How deep the values are nested at most.
    depth: usize,
    /// The searches so far, if there are many members.
    searches: AtomicU32,
    /// The hashes of the keys, sorted, and their places.
    index: OnceLock<Box<[(u64, u32)]>>,
}

/// The members of most sessions fit without a heap allocation.
type Spans = SmallVec<[Span; 6]>;

/// The key (with its quotes) and the value of a member in the base's text.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    key: (u32, u32),
    value: (u32, u32),
}

/// The start of a record that JavaScript or this crate has written.
pub(super) const FRONT: &str = r#"{"cookie":"#;

/// The record of a new, empty session.
static EMPTY: LazyLock<Arc<Base>> = LazyLock::new(|| {
    Arc::new(Base {
        text: r#"{"cookie":{}}"#.into(),
        members: Spans::new(),
        cookie: 10..12,
        cookie_at: 0,
        has_escapes: false,
        depth: 0,
        searches: AtomicU32::new(0),
        index: OnceLock::new(),
    })
});

impl Document {
    /// Creates the document of a new session, which has no members.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let document = Document::new();
    /// assert!(document.is_empty());
    /// assert_eq!(&*document.to_json("{}"), r#"{"cookie":{}}"#);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { base: Arc::clone(&EMPTY), edited: None }
    }

    /// Indexes a stored record.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the text is not a JSON object, or has no `cookie` (items 23 and 67).
    pub fn parse(text: impl Into<Arc<str>>) -> Result<Self, Corrupt> {
        Base::parse(text.into()).map(|base| Self { base: Arc::new(base), edited: None })
    }

    /// Indexes a stored record and reads its cookie. This is faster if the record begins with a cookie that matches the
    /// template.
    ///
    /// # Errors
    ///
    /// The errors of [`Document::parse`] and [`StoredCookie::parse`].
    ///
    /// ```
    /// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
    /// use express_session_core::{Document, Timestamp};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let template = CookieTemplate::new(&StoredCookie::new(&Cookie::new(), now, false, true));
    /// let text = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":1}"#;
    /// let (document, cookie) = Document::parse_as(text, &template, now)?;
    /// assert_eq!(document.get("a")?, Some(1));
    /// assert_eq!(cookie, StoredCookie::parse(document.cookie_text(), now)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse_as(
        text: impl Into<Arc<str>>,
        template: &CookieTemplate,
        now: Timestamp,
    ) -> Result<(Self, StoredCookie), Corrupt> {
        let text = text.into();
        let known = text.strip_prefix(FRONT).and_then(|text| template.match_prefix(text));
        let Some((cookie, length)) = known else {
            let document = Self::parse(text)?;
            let cookie = StoredCookie::parse(document.cookie_text(), now)?;
            return Ok((document, cookie));
        };
        let span = (FRONT.len(), FRONT.len() + length);
        let base = Base::parse_behind(text, Some(span))?;
        // A second cookie member may follow, which counts instead.
        let cookie = if (base.cookie.start, base.cookie.end) == span {
            cookie
        } else {
            StoredCookie::parse(&base.text[base.cookie.clone()], now)?
        };
        Ok((Self { base: Arc::new(base), edited: None }, cookie))
    }

    /// Indexes a stored record like express-session: the text is first normalised as `JSON.stringify(JSON.parse(text))`,
    /// and members with reserved names are dropped, which counts as a change (items 53 and 56).
    ///
    /// # Errors
    ///
    /// The errors of [`Document::parse`].
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let document = Document::parse_normalised(r#"{ "cookie": {}, "n": 1.0, "save": 1 }"#)?;
    /// assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"n":1}"#);
    /// assert!(document.is_changed());
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    pub fn parse_normalised(text: &str) -> Result<Self, Corrupt> {
        Base::parse(text.into())?;
        let mut document = Self::parse(json::normalise(text))?;
        for name in RESERVED {
            document.remove(name);
        }
        Ok(document)
    }

    /// Returns the text that the document was loaded from.
    #[must_use]
    pub fn base_text(&self) -> &Arc<str> {
        &self.base.text
    }

    /// Returns the JSON of the cookie as it was loaded.
    #[must_use]
    pub fn cookie_text(&self) -> &str {
        &self.base.text[self.base.cookie.clone()]
    }

    /// Returns the JSON of a member.
    #[must_use]
    pub fn get_raw(&self, key: &str) -> Option<&str> {
        let text = &*self.base.text;
        match &self.edited {
            None => self.base.find(key).map(|span| slice(text, span.value)),
            Some(edited) => edited.get(key, text).map(|member| member.value.text(text)),
        }
    }

    /// Deserialises a member.
    ///
    /// # Errors
    ///
    /// serde_json's error if the member cannot be deserialised as `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, serde_json::Error> {
        self.get_raw(key).map(serde_json::from_str).transpose()
    }

    /// Checks whether the document has a member with this key.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.get_raw(key).is_some()
    }

    /// Returns the keys in JavaScript's order. A key with a lone surrogate is omitted, since it is not Unicode text.
    pub fn keys(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.pieces().filter_map(|(key, _)| json::unquote(key))
    }

    /// Counts the members, without the cookie.
    #[must_use]
    pub fn len(&self) -> usize {
        self.edited.as_ref().map_or(self.base.members.len(), Edited::len)
    }

    /// Checks whether the document has no member except the cookie.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets a member to a value, serialised like `JSON.stringify`.
    ///
    /// # Errors
    ///
    /// [`InsertError::Reserved`] for a name that express-session reserves, [`InsertError::Serialize`] for a value that
    /// cannot be serialised as JSON.
    pub fn insert<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), InsertError> {
        self.insert_json(key, &Json::of(value).map_err(InsertError::Serialize)?)
    }

    /// Sets a member to a value that is already serialised.
    ///
    /// # Errors
    ///
    /// [`InsertError::Reserved`], as with [`insert`](Self::insert).
    ///
    /// ```
    /// use express_session_core::Document;
    /// use express_session_core::record::Json;
    ///
    /// let mut document = Document::new();
    /// document.insert_json("items", &Json::of(&["apple"])?)?;
    /// assert_eq!(document.get_raw("items"), Some(r#"["apple"]"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert_json(&mut self, key: &str, value: &Json) -> Result<(), InsertError> {
        if RESERVED.contains(&key) {
            return Err(InsertError::Reserved);
        }
        self.insert_raw(key, value.as_str());
        Ok(())
    }

    /// Removes a member. Returns `false` if there is none.
    pub fn remove(&mut self, key: &str) -> bool {
        // An unchanged document stays unchanged.
        let base = Arc::clone(&self.base);
        self.contains(key) && self.edit().remove(key, &base.text)
    }

    /// Removes every member.
    pub fn clear(&mut self) {
        if !self.is_empty() {
            self.edited = Some(Edited::Few { members: Vec::new(), cookie_at: 0 });
        }
    }

    /// Returns how deep the values are nested at most: 0 if all are scalars.
    pub(super) fn depth(&self) -> usize {
        let Some(edited) = &self.edited else { return self.base.depth };
        let own = edited.iter().map(|member| match &member.value {
            Piece::Own(value) if value.starts_with(['{', '[']) => json::depth(value),
            Piece::Own(_) | Piece::Key(_) | Piece::Base(..) => 0,
        });
        own.fold(self.base.depth, usize::max)
    }

    /// Checks whether the members differ from the loaded ones, in value or order.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let Some(edited) = &self.edited else { return false };
        let same = edited.len() == self.base.members.len()
            && edited.iter().zip(&self.base.members).all(|(member, span)| {
                member.key == Piece::Base(span.key.0, span.key.1)
                    && member.value == Piece::Base(span.value.0, span.value.1)
            });
        !same
    }

    /// Checks whether a member differs from the loaded one.
    #[must_use]
    pub fn is_member_changed(&self, key: &str) -> bool {
        let loaded = self.base.find(key).map(|span| slice(&self.base.text, span.value));
        self.edited.is_some() && self.get_raw(key) != loaded
    }

    /// Checks whether two documents have the same members in the same order.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let one = Document::parse(r#"{"cookie":{},"n":1.0}"#)?;
    /// let other = Document::parse(r#"{ "n": 1, "cookie": {"path":"/"} }"#)?;
    /// assert!(one.same_members(&other));
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    #[must_use]
    pub fn same_members(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .pieces()
                .zip(other.pieces())
                .all(|(one, other)| same_json(one.0, other.0) && same_json(one.1, other.1))
    }

    /// Returns the text of the record, with `cookie` as the JSON of its cookie.
    ///
    /// If nothing differs, this is the loaded text itself, without a copy.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let text = r#"{ "cookie": {}, "n": 1.0 }"#;
    /// let document = Document::parse(text)?;
    /// assert_eq!(&*document.to_json("{}"), text);
    /// assert_eq!(&*document.to_json(r#"{"path":"/"}"#), r#"{ "cookie": {"path":"/"}, "n": 1.0 }"#);
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    #[must_use]
    pub fn to_json(&self, cookie: &str) -> Arc<str> {
        if self.is_composed() {
            return self.compose(cookie, |_, _| {}).into();
        }
        if cookie == self.cookie_text() {
            return Arc::clone(&self.base.text);
        }
        splice(&self.base.text, self.base.cookie.clone(), cookie).into()
    }

    /// Returns the document that a load would return after this one was saved with `cookie` as the JSON of its cookie.
    /// Its text is that of [`to_json`](Self::to_json); it is indexed without parsing.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"cookie":{},"a":1}"#)?;
    /// document.insert("b", &2)?;
    /// let saved = document.as_saved(r#"{"path":"/"}"#);
    /// assert_eq!(&**saved.base_text(), r#"{"cookie":{"path":"/"},"a":1,"b":2}"#);
    /// assert!(!saved.is_changed() && document.is_changed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_saved(&self, cookie: &str) -> Self {
        if self.is_composed() {
            return Self { base: Arc::new(self.composed(cookie)), edited: None };
        }
        if cookie == self.cookie_text() {
            return self.base();
        }
        Self { base: Arc::new(self.base.with_cookie(cookie)), edited: None }
    }

    /// Checks whether the text has to be composed from the members.
    fn is_composed(&self) -> bool {
        // A member that was removed and added again may be on the other side of the cookie, which does not change the data.
        let moved =
            self.edited.as_ref().is_some_and(|edited| edited.cookie_at() != self.base.cookie_at);
        moved || self.is_changed()
    }

    /// Composes the text from all members, and indexes it.
    fn composed(&self, cookie: &str) -> Base {
        let mut members = Spans::with_capacity(self.len());
        let mut span = 0..0;
        let text = self.compose(cookie, |end, member| {
            let Some((key, value)) = member else {
                span = end - cookie.len()..end;
                return;
            };
            let value_at = end - value.len();
            let key_at = value_at - 1 - key.len();
            members.push(Span {
                key: (narrow(key_at), narrow(value_at - 1)),
                value: (narrow(value_at), narrow(end)),
            });
        });
        let cookie_at = self.edited.as_ref().map_or(0, Edited::cookie_at);
        let has_escapes = self.pieces().any(|(key, _)| key.contains('\\'));
        Base {
            text: text.into(),
            members,
            cookie: span,
            cookie_at,
            has_escapes,
            depth: self.depth(),
            searches: AtomicU32::new(0),
            index: OnceLock::new(),
        }
    }

    /// Composes the text from all members. Calls `note` with the end of each member and of the cookie.
    fn compose(&self, cookie: &str, mut note: impl FnMut(usize, Option<(&str, &str)>)) -> String {
        let mut out = String::with_capacity(self.base.text.len() + cookie.len() + 64);
        let cookie_at = self.edited.as_ref().map_or(0, Edited::cookie_at);
        out.push('{');
        for (at, (key, value)) in self.pieces().enumerate() {
            if at == cookie_at {
                push_member("\"cookie\"", cookie, &mut out);
                note(out.len(), None);
            }
            push_member(key, value, &mut out);
            note(out.len(), Some((key, value)));
        }
        if cookie_at == self.len() {
            push_member("\"cookie\"", cookie, &mut out);
            note(out.len(), None);
        }
        out.push('}');
        out
    }

    /// Reverts a member to its loaded value, or removes it if it was not loaded.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"cookie":{},"a":1}"#)?;
    /// document.insert("a", &2)?;
    /// document.insert("b", &2)?;
    /// document.revert_member("a");
    /// document.revert_member("b");
    /// assert!(!document.is_changed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn revert_member(&mut self, key: &str) {
        let loaded = self.base.find(key).map(|span| slice(&self.base.text, span.value).to_owned());
        match loaded {
            Some(value) => self.insert_raw(key, &value),
            None => drop(self.remove(key)),
        }
    }

    /// Returns the document as it was loaded, without later changes.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"cookie":{},"views":1}"#)?;
    /// document.insert("views", &2)?;
    /// assert_eq!(document.base().get("views")?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn base(&self) -> Self {
        Self { base: Arc::clone(&self.base), edited: None }
    }

    pub(crate) fn insert_raw(&mut self, key: &str, value: &str) {
        let base = self.base.find(key).copied();
        let text = Arc::clone(&self.base.text);
        // Equal values keep the bytes of the base, so that rule 4 only compares spans.
        let value = match base {
            Some(span) if same_json(slice(&text, span.value), value) => {
                Piece::Base(span.value.0, span.value.1)
            }
            _ => Piece::Own(value.into()),
        };
        if (self.edited.is_some() || base.is_some())
            && let Some(member) = self.edit().get_mut(key, &text)
        {
            member.value = value;
            return;
        }
        let key_piece = base.map_or_else(
            || {
                let mut quoted = String::with_capacity(key.len() + 2);
                json::quote(key, &mut quoted);
                Piece::Key(quoted.into())
            },
            |span| Piece::Base(span.key.0, span.key.1),
        );
        self.edit().insert(key, Member { key: key_piece, value }, &text);
    }

    /// Returns the raw key and value of each member.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = &*self.base.text;
        let edited = self.edited.as_ref();
        let base = if edited.is_none() { &self.base.members[..] } else { &[] };
        let base = base.iter().map(|span| (slice(text, span.key), slice(text, span.value)));
        let (few, many) = edited.map_or((&[][..], None), Edited::members);
        let own = few.iter().chain(many.into_iter().flat_map(BTreeMap::values));
        base.chain(own.map(move |member| (member.key.text(text), member.value.text(text))))
    }

    fn edit(&mut self) -> &mut Edited {
        let base = &self.base;
        self.edited.get_or_insert_with(|| {
            let members = base.members.iter().map(|span| Member {
                key: Piece::Base(span.key.0, span.key.1),
                value: Piece::Base(span.value.0, span.value.1),
            });
            Edited::new(members, base.cookie_at, &base.text)
        })
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("members", &self.len()).finish_non_exhaustive()
    }
}

impl Base {
    /// Checks whether two bases have the same text, and the same places in it.
    #[cfg(test)]
    pub(super) fn is_equal(&self, other: &Self) -> bool {
        let parts = |base: &Self| {
            (base.cookie.clone(), base.cookie_at, base.has_escapes, base.members.clone())
        };
        self.text == other.text && parts(self) == parts(other)
    }

    fn parse(text: Arc<str>) -> Result<Self, Corrupt> {
        Self::parse_behind(text, None)
    }

    /// Indexes a record. With `front`, the first member is the cookie at that place, and only the text after it is read.
    fn parse_behind(text: Arc<str>, front: Option<(usize, usize)>) -> Result<Self, Corrupt> {
        // Spans have 32 bits. No session comes near that size.
        if u32::try_from(text.len()).is_err() {
            return Err(Corrupt::NotJson(0));
        }
        let mut members = Spans::new();
        let mut normal = NormalKeys::default();
        let mut cookie = front.map(|span| (0, span));
        let (mut indexed, mut has_escapes) = (false, false);
        let bytes = text.as_bytes();
        let member = |json::Member { key, value, is_escaped }| {
            let is_cookie = if is_escaped {
                normal.push(members.len(), &text[key.clone()])[1..].strip_suffix('"')
                    == Some(COOKIE)
            } else {
                bytes[key.start + 1..key.end - 1] == *COOKIE.as_bytes()
            };
            if is_cookie {
                // Of two cookies, the last value counts, at the place of the first, as for any key.
                let at = cookie.map_or(members.len(), |(at, _)| at);
                cookie = Some((at, (value.start, value.end)));
                normal.spans.truncate(members.len());
                return;
            }
            has_escapes |= is_escaped;
            let first = if is_escaped {
                normal.get(members.len()).map_or(0, |normal| normal.as_bytes()[1])
            } else {
                bytes[key.start + 1]
            };
            indexed |= first.is_ascii_digit();
            members.push(Span {
                key: (narrow(key.start), narrow(key.end)),
                value: (narrow(value.start), narrow(value.end)),
            });
        };
        let depth = match front {
            None => json::members(&text, member),
            Some((_, end)) => json::members_behind(&text, end, member),
        }
        .map_err(|malformed| Corrupt::NotJson(malformed.at))?;
        let (mut cookie_at, (start, end)) = cookie.ok_or(Corrupt::NoCookie)?;
        let plain = |at: usize| slice(&text, members[at].key);
        let key = |at: usize| normal.get(at).unwrap_or_else(|| plain(at));
        let has_repeats = if has_escapes {
            order::has_repeats(members.len(), key)
        } else {
            order::has_repeats(members.len(), plain)
        };
        if indexed || has_repeats {
            let key = |at: usize| {
                let quoted = key(at);
                &quoted[1..quoted.len() - 1]
            };
            let order = order::in_javascript_order(members.len(), key);
            // The cookie is behind the array indices, and the members that came before it.
            let is_before =
                |place: usize| place < cookie_at || json::array_index(key(place)).is_some();
            cookie_at = order.iter().filter(|(place, _)| is_before(*place)).count();
            members = order
                .into_iter()
                .map(|(place, value)| Span { key: members[place].key, value: members[value].value })
                .collect();
        }
        let (searches, index) = (AtomicU32::new(0), OnceLock::new());
        let cookie = start..end;
        Ok(Self { text, members, cookie, cookie_at, has_escapes, depth, searches, index })
    }

    /// Replaces the cookie, and keeps every other byte.
    fn with_cookie(&self, cookie: &str) -> Self {
        let (start, end) = (self.cookie.start, self.cookie.start + cookie.len());
        let moved = |at: u32| {
            let at = at as usize;
            narrow(if at < self.cookie.end { at } else { at - self.cookie.end + end })
        };
        let moved = |(start, end): (u32, u32)| (moved(start), moved(end));
        let members = self
            .members
            .iter()
            .map(|span| Span { key: moved(span.key), value: moved(span.value) })
            .collect();
        let text = splice(&self.text, self.cookie.clone(), cookie).into();
        let Self { cookie_at, has_escapes, depth, .. } = *self;
        let (searches, cookie) = (AtomicU32::new(0), start..end);
        // The members are the same, and in the same order.
        let index = self.index.clone();
        Self { text, members, cookie, cookie_at, has_escapes, depth, searches, index }
    }

    /// Finds a member.
    fn find(&self, key: &str) -> Option<&Span> {
        let is_long = self.members.len() > FEW;
        if let Some(index) = is_long.then(|| self.index()).flatten() {
            let normal = normal_key(key);
            let hash = order::hash(&normal);
            let first = index.partition_point(|(other, _)| *other < hash);
            return index[first..]
                .iter()
                .take_while(|(other, _)| *other == hash)
                .map(|(_, at)| &self.members[*at as usize])
                .find(|span| is_key(slice(&self.text, span.key), key));
        }
        if self.has_escapes {
            return self.members.iter().rfind(|span| is_key(slice(&self.text, span.key), key));
        }
        let text = self.text.as_bytes();
        self.members.iter().rfind(|Span { key: (start, end), .. }| {
            #[cfg(test)]
            order::steps::count();
            let (start, end) = (*start as usize + 1, *end as usize - 1);
            end - start == key.len() && text[start..end] == *key.as_bytes()
        })
    }

    /// Returns the index. It costs as much as several searches without one, which are made first.
    fn index(&self) -> Option<&[(u64, u32)]> {
        const SEARCHES_WITHOUT: u32 = 8;
        if let Some(index) = self.index.get() {
            return Some(index);
        }
        if self.searches.fetch_add(1, Ordering::Relaxed) < SEARCHES_WITHOUT {
            return None;
        }
        Some(self.index.get_or_init(|| {
            let mut index: Vec<(u64, u32)> = self
                .members
                .iter()
                .zip(0..)
                .map(|(span, at)| {
                    let mut normal = String::new();
                    let quoted = slice(&self.text, span.key);
                    let quoted = if self.has_escapes {
                        json::push_normal_string(quoted, &mut normal);
                        &normal
                    } else {
                        quoted
                    };
                    (order::hash(&quoted[1..quoted.len() - 1]), at)
                })
                .collect();
            index.sort_unstable();
            index.into()
        }))
    }
}

/// The normal forms of the keys that have escapes, one after the other. A key may contain a lone surrogate, which no Rust
/// string can hold.
#[derive(Default)]
struct NormalKeys {
    text: String,
    /// The places in the text; the empty one of a key without escapes.
    spans: Vec<Range<usize>>,
}

impl NormalKeys {
    /// Adds the key of a member, and returns its normal form.
    fn push(&mut self, member: usize, quoted: &str) -> &str {
        let start = self.text.len();
        json::push_normal_string(quoted, &mut self.text);
        self.spans.resize(member, 0..0);
        self.spans.push(start..self.text.len());
        &self.text[start..]
    }

    fn get(&self, member: usize) -> Option<&str> {
        self.spans.get(member).filter(|span| !span.is_empty()).map(|span| &self.text[span.clone()])
    }
}

/// Converts a place in a text. [`Base::parse`] refuses texts that are too long for this.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn slice(text: &str, (start, end): (u32, u32)) -> &str {
    &text[start as usize..end as usize]
}

/// Checks whether two JSON texts are equal to JavaScript and to a reader of 64-bit integers.
fn same_json(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    // Values with only one notation are equal only if their texts are.
    if has_one_form(one) && has_one_form(other) {
        return false;
    }
    json::normalise_exactly(one) == json::normalise_exactly(other)
}

/// Checks whether a JSON value has only one notation.
fn has_one_form(value: &str) -> bool {
    matches!(value, "true" | "false" | "null") || json::is_short_integer(value)
}

fn push_member(key: &str, value: &str, out: &mut String) {
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str(key);
    out.push(':');
    out.push_str(value);
}
