//! The session's data: JSON text with its members indexed, read and edited one by one.
//!
//! 1. The text stays as it was loaded. A member is read by deserialising its span, and nothing else.
//! 2. A member nobody touched is written byte for byte as it was, whatever language wrote it.
//! 3. What we write follows `JSON.stringify`: integer-like keys first, ECMAScript's numbers and
//!    escapes (item 66). A new key goes to the end, a key that is set again keeps its place.
//! 4. "Changed" is exact: a member that was changed and changed back is unchanged, one that was
//!    removed and added again in another place is not (item 52).
//! 5. The `cookie` member is not data. It keeps its place in the text, and takes no part in 4.

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

/// The name of the member that holds the cookie.
pub(super) const COOKIE: &str = "cookie";

/// Names that a session of express-session has of its own (item 56): a stored member of such a name
/// does not come back on Node, so none is written here.
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

/// A session's members, over the text they were loaded from.
///
/// Reading costs the deserialisation of one member; an untouched document costs no copy at all.
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
    /// Shared by clones: a document is copied wherever its state is to be remembered.
    pub(super) base: Arc<Base>,
    /// The members as they are now, or `None` while they are those of the base.
    edited: Option<Edited>,
}

/// The text a document was loaded from, and where its members stand.
#[derive(PartialEq)]
pub(super) struct Base {
    text: Arc<str>,
    /// All members but the cookie, in JavaScript's order.
    members: Spans,
    /// Where the value of the cookie stands.
    cookie: Range<usize>,
    /// How many members come before the cookie.
    cookie_at: usize,
    /// Whether a key has escapes, so that its text is not what is between its quotes.
    has_escapes: bool,
}

/// As many as most sessions have need no place of their own.
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

/// A piece of JSON: of the base's text, or our own.
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

/// How a record begins that JavaScript has made, or we.
pub(super) const FRONT: &str = r#"{"cookie":"#;

/// The record of a new session, before anything is in it.
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
    /// Makes the document of a new session: no members, and the cookie in front.
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
    /// [`Corrupt`] where the text is no JSON object, or has no `cookie` (items 23 and 67).
    ///
    /// ```
    /// use express_session_core::{Corrupt, Document};
    ///
    /// let document = Document::parse(r#"{"cookie":{},"views":1}"#)?;
    /// assert_eq!(document.get("views")?, Some(1));
    /// assert_eq!(Document::parse(r#"{"views":1}"#).err(), Some(Corrupt::NoCookie));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(text: impl Into<Arc<str>>) -> Result<Self, Corrupt> {
        Base::parse(text.into()).map(|base| Self { base: Arc::new(base), edited: None })
    }

    /// Indexes a stored record, and reads its cookie: faster where it begins with a familiar one.
    ///
    /// # Errors
    ///
    /// As [`Document::parse`] and [`StoredCookie::parse`].
    ///
    /// ```
    /// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
    /// use express_session_core::{Document, Timestamp};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let usual = CookieTemplate::new(&StoredCookie::new(&Cookie::new(), now, false, true));
    /// let text = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":1}"#;
    /// let (document, cookie) = Document::parse_as(text, &usual, now)?;
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
        // There may be another, which counts then.
        let cookie = if (base.cookie.start, base.cookie.end) == span {
            cookie
        } else {
            StoredCookie::parse(&base.text[base.cookie.clone()], now)?
        };
        Ok((Self { base: Arc::new(base), edited: None }, cookie))
    }

    /// Indexes a stored record as express-session does: the text is first put into the form that
    /// `JSON.stringify(JSON.parse(text))` gives, and members with reserved names are dropped, which
    /// counts as a change (items 53 and 56).
    ///
    /// # Errors
    ///
    /// As [`Document::parse`].
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

    /// Gives the text this was loaded from.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"cookie":{},"views":1}"#)?;
    /// document.clear();
    /// assert_eq!(&**document.base_text(), r#"{"cookie":{},"views":1}"#);
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    #[must_use]
    pub fn base_text(&self) -> &Arc<str> {
        &self.base.text
    }

    /// Gives the JSON of the cookie as it was loaded.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let document = Document::parse(r#"{"cookie":{"path":"/"},"views":1}"#)?;
    /// assert_eq!(document.cookie_text(), r#"{"path":"/"}"#);
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    #[must_use]
    pub fn cookie_text(&self) -> &str {
        &self.base.text[self.base.cookie.clone()]
    }

    /// Gives the JSON of a member.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let document = Document::parse(r#"{"cookie":{},"price":1.50}"#)?;
    /// assert_eq!(document.get_raw("price"), Some("1.50"));
    /// assert_eq!(document.get_raw("cookie"), None);
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    #[must_use]
    pub fn get_raw(&self, key: &str) -> Option<&str> {
        let text = &*self.base.text;
        match &self.edited {
            None => self.base.find(key).map(|span| slice(text, span.value)),
            Some(edited) => edited.find(key, text).map(|at| edited.members[at].value.text(text)),
        }
    }

    /// Reads a member.
    ///
    /// # Errors
    ///
    /// serde_json's, where the member is not what `T` takes.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let document = Document::parse(r#"{"cookie":{},"views":1}"#)?;
    /// assert_eq!(document.get::<u32>("views")?, Some(1));
    /// assert_eq!(document.get::<u32>("visits")?, None);
    /// assert!(document.get::<String>("views").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, serde_json::Error> {
        self.get_raw(key).map(serde_json::from_str).transpose()
    }

    /// Says whether there is such a member.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let document = Document::parse(r#"{"cookie":{},"user":null}"#)?;
    /// assert!(document.contains("user"));
    /// assert!(!document.contains("cookie"));
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.get_raw(key).is_some()
    }

    /// Gives the keys in JavaScript's order. A key that is no Unicode text (a lone surrogate) is left out.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::new();
    /// for key in ["b", "10", "9"] {
    ///     document.insert(key, &true)?;
    /// }
    /// assert_eq!(document.keys().collect::<Vec<_>>(), ["9", "10", "b"]);
    /// # Ok::<(), express_session_core::InsertError>(())
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.pieces().filter_map(|(key, _)| json::unquote(key))
    }

    /// Counts the members, without the cookie.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let document = Document::parse(r#"{"cookie":{},"views":1}"#)?;
    /// assert_eq!(document.len(), 1);
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.edited.as_ref().map_or(self.base.members.len(), |edited| edited.members.len())
    }

    /// Says whether there is no member but the cookie.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let document = Document::parse(r#"{"cookie":{}}"#)?;
    /// assert!(document.is_empty());
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets a member to a value, serialised as `JSON.stringify` would.
    ///
    /// # Errors
    ///
    /// [`InsertError::Reserved`] for a name that express-session keeps for itself,
    /// [`InsertError::Serialize`] for a value that is no JSON.
    ///
    /// ```
    /// use express_session_core::{Document, InsertError};
    ///
    /// let mut document = Document::new();
    /// document.insert("views", &1)?;
    /// assert_eq!(document.get_raw("views"), Some("1"));
    /// assert!(matches!(document.insert("cookie", &1), Err(InsertError::Reserved)));
    /// # Ok::<(), InsertError>(())
    /// ```
    pub fn insert<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), InsertError> {
        self.insert_json(key, &Json::of(value).map_err(InsertError::Serialize)?)
    }

    /// Sets a member to a value that is serialised already.
    ///
    /// # Errors
    ///
    /// [`InsertError::Reserved`], as of [`insert`](Self::insert).
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
        self.insert_raw(key, &value.as_str());
        Ok(())
    }

    /// Removes a member, and says whether there was one.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"cookie":{},"views":1}"#)?;
    /// assert!(document.remove("views"));
    /// assert!(!document.remove("views"));
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    pub fn remove(&mut self, key: &str) -> bool {
        let mut removed = false;
        // A foreign text may hold a key twice.
        while let Some(at) = self.position(key) {
            let edited = self.edit();
            edited.members.remove(at);
            edited.cookie_at -= usize::from(at < edited.cookie_at);
            removed = true;
        }
        removed
    }

    /// Removes every member.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"views":1,"cookie":{}}"#)?;
    /// document.clear();
    /// assert_eq!(&*document.to_json("{}"), r#"{"cookie":{}}"#);
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    pub fn clear(&mut self) {
        if !self.is_empty() {
            let edited = self.edit();
            edited.members.clear();
            edited.cookie_at = 0;
        }
    }

    /// Says whether the members are others than those loaded, by value and order.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"cookie":{},"views":1}"#)?;
    /// document.insert("views", &2)?;
    /// assert!(document.is_changed());
    /// document.insert("views", &1)?;
    /// assert!(!document.is_changed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// Says whether a member is another than the one loaded.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"cookie":{},"a":1,"b":1}"#)?;
    /// document.insert("a", &2)?;
    /// assert!(document.is_member_changed("a") && !document.is_member_changed("b"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_member_changed(&self, key: &str) -> bool {
        let loaded = self.base.find(key).map(|span| slice(&self.base.text, span.value));
        self.edited.is_some() && self.get_raw(key) != loaded
    }

    /// Says whether two documents have the same members, by value and order.
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

    /// Writes the record, with `cookie` as the JSON of its cookie.
    ///
    /// Where nothing differs, this is the loaded text itself and no copy.
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

    /// Gives what would be loaded if this was written, with `cookie` as the JSON of its cookie: the text of
    /// [`render`](Self::render), without reading it again.
    ///
    /// ```
    /// use express_session_core::Document;
    ///
    /// let mut document = Document::parse(r#"{"cookie":{},"a":1}"#)?;
    /// document.insert("b", &2)?;
    /// let written = document.as_saved(r#"{"path":"/"}"#);
    /// assert_eq!(&**written.base_text(), r#"{"cookie":{"path":"/"},"a":1,"b":2}"#);
    /// assert!(!written.is_changed() && document.is_changed());
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

    /// Says whether the text has to be written anew.
    fn is_composed(&self) -> bool {
        // A member that went and came back may have changed sides with the cookie, which is no change of data.
        let moved =
            self.edited.as_ref().is_some_and(|edited| edited.cookie_at != self.base.cookie_at);
        moved || self.is_changed()
    }

    /// Writes all members anew, and indexes them.
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

    /// Writes all members anew. `note` is told where each ends, and the cookie.
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

    /// Takes a change of one member back: it is as it was loaded.
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

    /// Gives the document as it was loaded, without the changes made since.
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
        // The base's own bytes are kept where they mean the same, so that rule 4 is a comparison of spans.
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

    /// Gives the raw key and value of each member.
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

    /// Indexes a record, or what is behind a cookie that is its first member and known.
    fn parse_behind(text: Arc<str>, front: Option<(usize, usize)>) -> Result<Self, Corrupt> {
        // Spans are of 32 bits; nothing near that size is a session.
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
                // Of two, the last value counts, at the place of the first (as for any key).
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

    /// Replaces the cookie, and leaves every other byte alone.
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

    /// Finds a member; of two with one key the last, which is the one JavaScript sees.
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

    /// Says where JavaScript puts a new key: an array index among its like, any other at the end.
    fn place(&self, key: &str, base: &str) -> usize {
        let Some(new) = json::array_index(key) else { return self.members.len() };
        self.members
            .iter()
            .position(|member| index(member.key.text(base)).is_none_or(|other| other > new))
            .unwrap_or(self.members.len())
    }
}

/// Says whether two of the keys may be the same: they are, or their hashes are. None has escapes.
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

/// Leaves one of several members of one key: at the place of the first, with the value of the last. Such a
/// text is not of JavaScript's making, and is what `JSON.parse` makes of it.
fn drop_duplicates(text: &str, members: &mut Spans, cookie_at: &mut usize) {
    let mut at = 0;
    while at < members.len() {
        let key = slice(text, members[at].key);
        // Not by `unquote`: a key may be no Unicode text.
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

/// FNV-1a: keys are short, and all that counts is that equal ones have equal numbers.
fn hash(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A place in a text. None is longer than [`Base::parse`] takes.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn slice(text: &str, (start, end): (u32, u32)) -> &str {
    &text[start as usize..end as usize]
}

/// Gives the array index that a key is, as it stands in a text.
fn index(quoted: &str) -> Option<u32> {
    json::unquote(quoted).and_then(|key| json::array_index(&key))
}

/// Says whether a key as it stands in a text, with quotes and escapes, is this one.
pub(super) fn is_key(quoted: &str, key: &str) -> bool {
    let inner = &quoted[1..quoted.len() - 1];
    if inner == key {
        return !inner.contains('\\');
    }
    inner.contains('\\') && json::unquote(quoted).is_some_and(|text| text == key)
}

/// Says whether two JSON texts mean the same to JavaScript, and to a reader of 64-bit integers.
fn same_json(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    // What is written in one way only is another value if it is another text.
    if has_one_form(one) && has_one_form(other) {
        return false;
    }
    json::normalise_exactly(one) == json::normalise_exactly(other)
}

/// Says whether a JSON value can be written in no other way.
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
