//! The session's data: JSON text with an index of its members, which are read and edited one by one.
//!
//! 1. The loaded text is not modified. Reading a member deserialises only its span.
//! 2. An unchanged member is written byte for byte as it was loaded, whichever language wrote it.
//! 3. New members are written like `JSON.stringify` writes them: array indices first, with ECMAScript's numbers and
//!    escapes (item 66). A new key is added at the end; a key that is set again keeps its place.
//! 4. "Changed" is exact: a member that was changed and changed back counts as unchanged. A member that was removed and
//!    added again in another place counts as changed (item 52).
//! 5. The `cookie` member is not data. It keeps its place in the text, and rule 4 ignores it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use super::codec::splice;
use super::error::{Corrupt, InsertError};
use super::json;
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
#[derive(PartialEq)]
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
}

/// The members of most sessions fit without a heap allocation.
type Spans = SmallVec<[Span; 6]>;

#[derive(Clone)]
struct Edited {
    members: Vec<Member>,
    cookie_at: usize,
}

/// The key (with its quotes) and the value of a member in the base's text.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    key: (u32, u32),
    value: (u32, u32),
}

#[derive(Clone)]
struct Member {
    key: Piece,
    value: Piece,
}

/// A piece of JSON: a span of the base's text, or new text.
#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Base(u32, u32),
    Own(Box<str>),
}

impl Piece {
    fn text<'a>(&'a self, base: &'a str) -> &'a str {
        match self {
            Self::Base(start, end) => &base[*start as usize..*end as usize],
            Self::Own(text) => text,
        }
    }
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
            Some(edited) => edited.find(key, text).map(|at| edited.members[at].value.text(text)),
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
        self.edited.as_ref().map_or(self.base.members.len(), |edited| edited.members.len())
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
        let mut removed = false;
        // A text that other software wrote may contain a key twice.
        while let Some(at) = self.position(key) {
            let edited = self.edit();
            edited.members.remove(at);
            edited.cookie_at -= usize::from(at < edited.cookie_at);
            removed = true;
        }
        removed
    }

    /// Removes every member.
    pub fn clear(&mut self) {
        if !self.is_empty() {
            let edited = self.edit();
            edited.members.clear();
            edited.cookie_at = 0;
        }
    }

    /// Checks whether the members differ from the loaded ones, in value or order.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let Some(edited) = &self.edited else { return false };
        let same = edited.members.len() == self.base.members.len()
            && edited.members.iter().zip(&self.base.members).all(|(member, span)| {
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
            self.edited.as_ref().is_some_and(|edited| edited.cookie_at != self.base.cookie_at);
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
        let cookie_at = self.edited.as_ref().map_or(0, |edited| edited.cookie_at);
        let has_escapes = self.pieces().any(|(key, _)| key.contains('\\'));
        Base { text: text.into(), members, cookie: span, cookie_at, has_escapes }
    }

    /// Composes the text from all members. Calls `note` with the end of each member and of the cookie.
    fn compose(&self, cookie: &str, mut note: impl FnMut(usize, Option<(&str, &str)>)) -> String {
        let mut out = String::with_capacity(self.base.text.len() + cookie.len() + 64);
        let cookie_at = self.edited.as_ref().map_or(0, |edited| edited.cookie_at);
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
        if let Some(at) = self.position(key) {
            let member = &mut self.edit().members[at];
            member.value = value;
            return;
        }
        let key_piece = base.map_or_else(
            || {
                let mut quoted = String::with_capacity(key.len() + 2);
                json::quote(key, &mut quoted);
                Piece::Own(quoted.into())
            },
            |span| Piece::Base(span.key.0, span.key.1),
        );
        let edited = self.edit();
        let at = edited.place(key, &text);
        edited.cookie_at += usize::from(json::array_index(key).is_some());
        edited.members.insert(at, Member { key: key_piece, value });
    }

    /// Returns the raw key and value of each member.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = &*self.base.text;
        let edited = self.edited.as_ref();
        let base = if edited.is_none() { &self.base.members[..] } else { &[] };
        let base = base.iter().map(|span| (slice(text, span.key), slice(text, span.value)));
        let own = edited.map_or(&[][..], |edited| &edited.members);
        base.chain(own.iter().map(|member| (member.key.text(text), member.value.text(text))))
    }

    fn position(&self, key: &str) -> Option<usize> {
        let text = &*self.base.text;
        match &self.edited {
            None => self.base.position(key),
            Some(edited) => edited.find(key, text),
        }
    }

    fn edit(&mut self) -> &mut Edited {
        let base = &self.base;
        self.edited.get_or_insert_with(|| Edited {
            members: base
                .members
                .iter()
                .map(|span| Member {
                    key: Piece::Base(span.key.0, span.key.1),
                    value: Piece::Base(span.value.0, span.value.1),
                })
                .collect(),
            cookie_at: base.cookie_at,
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
        let mut cookie = front.map(|span| (0, span));
        let (mut indexed, mut has_escapes) = (false, false);
        let bytes = text.as_bytes();
        let member = |json::Member { key, value, is_escaped }| {
            let is_cookie = if is_escaped {
                is_key(&text[key.clone()], COOKIE)
            } else {
                bytes[key.start + 1..key.end - 1] == *COOKIE.as_bytes()
            };
            if is_cookie {
                // Of two cookies, the last value counts, at the place of the first, as for any key.
                let at = cookie.map_or(members.len(), |(at, _)| at);
                cookie = Some((at, (value.start, value.end)));
                return;
            }
            has_escapes |= is_escaped;
            indexed |= is_escaped || bytes[key.start + 1].is_ascii_digit();
            members.push(Span {
                key: (narrow(key.start), narrow(key.end)),
                value: (narrow(value.start), narrow(value.end)),
            });
        };
        match front {
            None => json::members(&text, member),
            Some((_, end)) => json::members_behind(&text, end, member),
        }
        .map_err(|malformed| Corrupt::NotJson(malformed.at))?;
        let (mut cookie_at, (start, end)) = cookie.ok_or(Corrupt::NoCookie)?;
        if has_escapes || may_repeat(&text, &members) {
            drop_duplicates(&text, &mut members, &mut cookie_at);
        }
        if indexed {
            let index = |span: &Span| index(slice(&text, span.key));
            let behind = members[cookie_at..].iter().filter(|span| index(span).is_some()).count();
            cookie_at += behind;
            members.sort_by_key(|span| index(span).map_or((true, 0), |index| (false, index)));
        }
        Ok(Self { text, members, cookie: start..end, cookie_at, has_escapes })
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
        Self { text, members, cookie: start..end, ..*self }
    }

    /// Finds a member. Of two with the same key it returns the last, as JavaScript does.
    fn find(&self, key: &str) -> Option<&Span> {
        self.position(key).map(|at| &self.members[at])
    }

    fn position(&self, key: &str) -> Option<usize> {
        if self.has_escapes {
            return self.members.iter().rposition(|span| is_key(slice(&self.text, span.key), key));
        }
        let text = self.text.as_bytes();
        self.members.iter().rposition(|Span { key: (start, end), .. }| {
            let (start, end) = (*start as usize + 1, *end as usize - 1);
            end - start == key.len() && text[start..end] == *key.as_bytes()
        })
    }
}

impl Edited {
    fn find(&self, key: &str, base: &str) -> Option<usize> {
        self.members.iter().rposition(|member| is_key(member.key.text(base), key))
    }

    /// Returns the place of a new key in JavaScript's order: an array index by its number, any other key at the end.
    fn place(&self, key: &str, base: &str) -> usize {
        let Some(new) = json::array_index(key) else { return self.members.len() };
        self.members
            .iter()
            .position(|member| index(member.key.text(base)).is_none_or(|other| other > new))
            .unwrap_or(self.members.len())
    }
}

/// Checks whether two of the keys may be equal. Long lists compare hashes. The keys have no escapes.
fn may_repeat(text: &str, members: &[Span]) -> bool {
    const FEW: usize = 8;
    if members.len() <= FEW {
        let key = |span: &Span| &text.as_bytes()[span.key.0 as usize..span.key.1 as usize];
        return members
            .iter()
            .enumerate()
            .any(|(at, span)| members[..at].iter().any(|other| key(span) == key(other)));
    }
    let mut hashes: Vec<u32> = members.iter().map(|span| hash(slice(text, span.key))).collect();
    hashes.sort_unstable();
    hashes.windows(2).any(|pair| pair[0] == pair[1])
}

/// Merges members with equal keys into one, at the place of the first and with the value of the last, as `JSON.parse`
/// does. JavaScript never writes such a text.
fn drop_duplicates(text: &str, members: &mut Spans, cookie_at: &mut usize) {
    let mut at = 0;
    while at < members.len() {
        let key = slice(text, members[at].key);
        // `unquote` does not help, because a key may contain a lone surrogate.
        let same = |span: &Span| {
            let other = slice(text, span.key);
            let has_escapes = key.contains('\\') || other.contains('\\');
            other == key || (has_escapes && json::normalise(other) == json::normalise(key))
        };
        if let Some(later) = members[at + 1..].iter().rposition(same) {
            members[at].value = members[at + 1 + later].value;
            let (mut place, cookie) = (0, *cookie_at);
            members.retain(|span| {
                let keep = place <= at || !same(span);
                *cookie_at -= usize::from(!keep && place < cookie);
                place += 1;
                keep
            });
        }
        at += 1;
    }
}

/// FNV-1a, which is fast for short keys. Collisions only cost time.
fn hash(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Converts a place in a text. [`Base::parse`] refuses texts that are too long for this.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn slice(text: &str, (start, end): (u32, u32)) -> &str {
    &text[start as usize..end as usize]
}

/// Returns the array index that a quoted key is.
fn index(quoted: &str) -> Option<u32> {
    json::unquote(quoted).and_then(|key| json::array_index(&key))
}

/// Checks whether a quoted key, which may have escapes, equals `key`.
pub(super) fn is_key(quoted: &str, key: &str) -> bool {
    let inner = &quoted[1..quoted.len() - 1];
    if inner == key {
        return !inner.contains('\\');
    }
    inner.contains('\\') && json::unquote(quoted).is_some_and(|text| text == key)
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
