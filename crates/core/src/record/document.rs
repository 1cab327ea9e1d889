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

use super::json;
use crate::Timestamp;
use crate::cookie::{CookieTemplate, StoredCookie};

/// The name of the member that holds the cookie.
pub(crate) const COOKIE: &str = "cookie";

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
    base: Arc<Base>,
    /// The members as they are now, or `None` while they are those of the base.
    edited: Option<Edited>,
}

/// The text a document was loaded from, and where its members stand.
#[derive(PartialEq)]
struct Base {
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

/// A value in JSON, written as `JSON.stringify` would write it.
///
/// ```
/// use express_session_core::record::Json;
///
/// let json = Json::of("secret")?;
/// assert_eq!(json.as_str(), r#""secret""#);
/// assert_eq!(format!("{json:?}"), "Json(redacted)");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// Serialises a value.
    ///
    /// # Errors
    ///
    /// serde_json's, where the value is no JSON: a map whose keys are no texts, say.
    ///
    /// ```
    /// use express_session_core::record::Json;
    ///
    /// assert_eq!(Json::of(&[1.0, 1e21])?.as_str(), "[1,1e+21]");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        json::stringify(value).map(Self)
    }

    /// Gives the text.
    ///
    /// ```
    /// use express_session_core::record::Json;
    ///
    /// assert_eq!(Json::of(&Some(1.0))?.as_str(), "1");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes an object apart, or gives `None` for what is none.
    ///
    /// ```
    /// use express_session_core::record::Json;
    ///
    /// let pair = Json::of(&std::collections::BTreeMap::from([("a", 1), ("b", 2)]))?;
    /// let members = pair.members().ok_or("no object")?;
    /// assert_eq!(members[1].0, "b");
    /// assert_eq!(members[1].1.as_str(), "2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn members(&self) -> Option<Vec<(String, Self)>> {
        let mut members = Vec::new();
        json::members(&self.0, |json::Member { key, value, .. }| {
            // What serde serialises is Unicode text.
            let key = json::unquote(&self.0[key]).map(Cow::into_owned).unwrap_or_default();
            members.push((key, Self(self.0[value].to_owned())));
        })
        .ok()?;
        Some(members)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json(redacted)")
    }
}

/// How a record begins that JavaScript has made, or we.
const FRONT: &str = r#"{"cookie":"#;

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
        self.insert_raw(key, &value.0);
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
    /// [`to_json`](Self::to_json), without reading it again.
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

/// Replaces the JSON of a record's `cookie`, and nothing else; `None` where the text is no record.
///
/// For stores whose `touch` keeps the text's cookie current, as express-session's `MemoryStore` does
/// (item 69). Costs one pass over the text, and one copy.
///
/// ```
/// use express_session_core::record::with_cookie;
///
/// let text = with_cookie(r#"{"a":1,"cookie":{}}"#, r#"{"path":"/"}"#);
/// assert_eq!(text.as_deref(), Some(r#"{"a":1,"cookie":{"path":"/"}}"#));
/// ```
#[must_use]
pub fn with_cookie(text: &str, cookie: &str) -> Option<String> {
    Some(splice(text, cookie_span(text)?, cookie))
}

/// Starts a record's time anew, as [`Touch::renewing`](crate::store::Touch::renewing) has it: gives the text with its cookie
/// renewed, or `None` where that is the same text, and the new deadline. `None` where the text is no record.
///
/// For stores that implement [`Store::load_and_touch`](crate::store::Store::load_and_touch) and keep the text's cookie current.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::record::with_expiry_reset;
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let text = r#"{"cookie":{"originalMaxAge":60000,"expires":"2023-11-14T22:13:00.000Z"},"a":1}"#;
/// let (text, deadline) = with_expiry_reset(text, now).ok_or("no record")?;
/// assert_eq!(deadline, Some(Timestamp::from_millis(1_700_000_060_000)));
/// assert!(text.is_some_and(|text| text.contains("2023-11-14T22:14:20.000Z")));
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn with_expiry_reset(
    text: &str,
    now: Timestamp,
) -> Option<(Option<String>, Option<Timestamp>)> {
    with_expiry_reset_as(text, &mut None, now)
}

/// Does what [`with_expiry_reset`] does, and faster where the record begins with a familiar cookie. What is behind that is
/// not looked at then: such a text is taken for a record. Where it begins otherwise, what it has becomes familiar.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::record::{with_expiry_reset, with_expiry_reset_as};
///
/// let text = r#"{"cookie":{"originalMaxAge":60000,"expires":"2023-11-14T22:13:00.000Z"},"a":1}"#;
/// let mut familiar = None;
/// for now in [1, 2].map(Timestamp::from_millis) {
///     assert_eq!(with_expiry_reset_as(text, &mut familiar, now), with_expiry_reset(text, now));
/// }
/// ```
#[must_use]
pub fn with_expiry_reset_as(
    text: &str,
    template: &mut Option<CookieTemplate>,
    now: Timestamp,
) -> Option<(Option<String>, Option<Timestamp>)> {
    if let Some(done) = template.as_ref().and_then(|template| with_new_expiry(text, template, now))
    {
        return Some(done);
    }
    let span = cookie_span(text)?;
    let stored = &text[span.clone()];
    let mut cookie = StoredCookie::parse(stored, now).ok()?;
    *template = Some(CookieTemplate::new(&cookie));
    cookie.reset_expiry(now);
    let json = cookie.text();
    let same = json == stored;
    Some(((!same).then(|| splice(text, span, &json)), cookie.deadline()))
}

/// Renews a record that begins with a familiar cookie, if that has no time, or a max age and a date as JavaScript
/// writes it.
fn with_new_expiry(
    text: &str,
    template: &CookieTemplate,
    now: Timestamp,
) -> Option<(Option<String>, Option<Timestamp>)> {
    /// The length of a date up to the year 9999, in its quotes, and the first millisecond after it.
    const DATE: usize = r#""2023-11-14T22:13:20.000Z""#.len();
    const YEAR_10000: i64 = 253_402_300_800_000;
    let cookie = text.strip_prefix(FRONT)?;
    let times = template.times(cookie)?;
    if !cookie[times.end..].starts_with([',', '}']) {
        return None;
    }
    if (times.max_age, times.expires) == ("null", "null") {
        return Some((None, None));
    }
    let deadline = now.millis().checked_add(times.max_age.parse().ok()?)?;
    if times.expires.len() != DATE || !(0..YEAR_10000).contains(&deadline) {
        return None;
    }
    let deadline = Timestamp::from_millis(deadline);
    let mut date = String::with_capacity(DATE);
    deadline.push_iso(&mut date);
    if date == times.expires[1..DATE - 1] {
        return Some((None, Some(deadline)));
    }
    let at = FRONT.len() + times.expires_at + 1;
    Some((Some([&text[..at], &date, &text[at + date.len()..]].concat()), Some(deadline)))
}

/// Gives the JSON of a record's `cookie`.
pub(crate) fn cookie_of(text: &str) -> Option<&str> {
    cookie_span(text).map(|span| &text[span])
}

fn cookie_span(text: &str) -> Option<Range<usize>> {
    let mut span = None;
    json::members(text, |json::Member { key, value, .. }| {
        if is_key(&text[key], COOKIE) {
            span = Some(value);
        }
    })
    .ok()?;
    span
}

fn splice(text: &str, span: Range<usize>, cookie: &str) -> String {
    [&text[..span.start], cookie, &text[span.end..]].concat()
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
fn is_key(quoted: &str, key: &str) -> bool {
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

/// Why a stored text is no session. It names where, and never what.
///
/// ```
/// use express_session_core::{Corrupt, Document};
///
/// let corrupt = |text: &str| Document::parse(text).err();
/// assert_eq!(corrupt("{}x"), Some(Corrupt::NotJson(2)));
/// assert_eq!(corrupt("{}"), Some(Corrupt::NoCookie));
/// assert_eq!(Corrupt::NoCookie.to_string(), "no cookie object in the record");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// It is no JSON object; this is the byte where that shows.
    NotJson(usize),
    /// It has no `cookie` member, or one that is no object.
    NoCookie,
    /// A field of the `cookie` member has a value that express-session cannot use either.
    BadCookie(&'static str),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(at) => write!(f, "not a JSON object, at byte {at}"),
            Self::NoCookie => f.write_str("no cookie object in the record"),
            Self::BadCookie(field) => write!(f, "unusable cookie.{field} in the record"),
        }
    }
}

impl std::error::Error for Corrupt {}

/// Why a member could not be set.
///
/// ```
/// use express_session_core::{Document, InsertError};
///
/// let error = Document::new().insert("id", &1).unwrap_err();
/// assert!(matches!(error, InsertError::Reserved));
/// assert_eq!(error.to_string(), "the name is reserved by express-session");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum InsertError {
    /// express-session keeps this name for itself, and would drop the member when it loads the record.
    Reserved,
    /// The value cannot be serialised as JSON.
    Serialize(serde_json::Error),
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("the name is reserved by express-session"),
            Self::Serialize(_) => f.write_str("the value cannot be serialised as JSON"),
        }
    }
}

impl std::error::Error for InsertError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Reserved => None,
            Self::Serialize(source) => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COOKIE_JSON: &str = r#"{"path":"/"}"#;

    fn parse(text: &str) -> Document {
        Document::parse(text).unwrap()
    }

    #[test]
    fn untouched_document_is_the_same_text_and_no_copy() {
        let document = parse(r#" { "b" : 1.0, "cookie" : {"path":"/"} } "#);
        assert!(Arc::ptr_eq(&document.to_json(COOKIE_JSON), document.base_text()));
    }

    #[test]
    fn new_cookie_leaves_every_other_byte_alone() {
        let document = parse(r#"{ "b" : 1.0, "cookie" : {"path":"/"}, "req" : "\u00e9" }"#);
        assert_eq!(&*document.to_json("{}"), r#"{ "b" : 1.0, "cookie" : {}, "req" : "\u00e9" }"#);
    }

    #[test]
    fn untouched_members_keep_their_bytes() {
        let mut document =
            parse(r#"{"cookie":{},"f":1.0,"s":"\u00e9\ud800","big":12345678901234567890}"#);
        document.insert("n", &7).unwrap();
        assert_eq!(
            &*document.to_json("{}"),
            r#"{"cookie":{},"f":1.0,"s":"\u00e9\ud800","big":12345678901234567890,"n":7}"#
        );
    }

    #[test]
    fn keys_stand_in_javascripts_order() {
        let mut document = Document::new();
        for key in ["b", "10", "a", "9", "07"] {
            document.insert(key, &0).unwrap();
        }
        assert_eq!(&*document.to_json("{}"), r#"{"9":0,"10":0,"cookie":{},"b":0,"a":0,"07":0}"#);
        assert!(document.remove("9"));
        assert_eq!(&*document.to_json("{}"), r#"{"10":0,"cookie":{},"b":0,"a":0,"07":0}"#);
    }

    #[test]
    fn loaded_keys_are_put_into_javascripts_order_once_edited() {
        let mut document = parse(r#"{"z":1,"cookie":{},"7":2,"a":3,"0":4}"#);
        document.insert("new", &5).unwrap();
        assert_eq!(&*document.to_json("{}"), r#"{"0":4,"7":2,"z":1,"cookie":{},"a":3,"new":5}"#);
    }

    /// As `JSON.parse` has it: at the place of the first, with the value of the last.
    #[test]
    fn key_that_stands_in_a_text_twice_is_one_member() {
        for others in [0, 5, 6, 20] {
            let fill: String = (0..others).map(|at| format!("\"k{at}\":{at},")).collect();
            let mut document =
                parse(&format!(r#"{{{fill}"a":1,"cookie":{{}},"b":2,"a":3,"c":4}}"#));
            assert_eq!(document.len(), others + 3);
            assert_eq!(document.keys().skip(others).collect::<Vec<_>>(), ["a", "b", "c"]);
            assert_eq!(document.get_raw("a"), Some("3"));
            document.insert("d", &5).unwrap();
            assert_eq!(
                &*document.to_json("{}"),
                format!(r#"{{{fill}"a":3,"cookie":{{}},"b":2,"c":4,"d":5}}"#)
            );
        }
    }

    #[test]
    fn familiar_records_are_renewed_as_all_others() {
        const YEAR: i64 = 31_557_600_000;
        let now = Timestamp::from_millis(1_700_000_000_123);
        let cookie = |max_age: &str, expires: &str| {
            format!(
                r#"{{"originalMaxAge":{max_age},"expires":{expires},"httpOnly":true,"path":"/"}}"#
            )
        };
        let template =
            Some(CookieTemplate::new(&StoredCookie::parse(&cookie("null", "null"), now).unwrap()));
        let dates = [
            "null",
            r#""2023-11-14T22:13:20.123Z""#,
            r#""2023-11-14T22:14:20.123Z""#,
            r#""+012023-11-14T22:13:20.123Z""#,
            r#""2023-11-14""#,
            r#""garbage, as long as it is""#,
            "false",
        ];
        for max_age in ["null", "60000", "0", "-60000", "60000.5", "1e3", "999999999999999", "true"]
        {
            for date in dates {
                let cookie = cookie(max_age, date);
                for text in [
                    format!(r#"{{"cookie":{cookie}}}"#),
                    format!(r#"{{"cookie":{cookie},"a":1}}"#),
                    format!(r#"{{"a":1,"cookie":{cookie}}}"#),
                    format!(r#" {{"cookie":{cookie},"a":1}}"#),
                    format!(r#"{{"cookie":{cookie}]"#),
                    format!(r#"{{"cookie":{cookie}"#),
                ] {
                    for now in
                        [0, -YEAR, 1_700_000_000_123, 1_699_999_940_123, 7900 * YEAR, 8100 * YEAR]
                    {
                        let now = Timestamp::from_millis(now);
                        let again = with_expiry_reset_as(&text, &mut template.clone(), now);
                        assert_eq!(again, with_expiry_reset(&text, now), "{text} {now}");
                    }
                }
            }
        }
        // That it was not read to its end shows in one that has none.
        let broken = |date: &str| format!(r#"{{"cookie":{},broken"#, cookie("60000", date));
        let again = |text: &str| with_expiry_reset_as(text, &mut template.clone(), now);
        let deadline = Some(Timestamp::from_millis(1_700_000_060_123));
        let expected = broken(r#""2023-11-14T22:14:20.123Z""#);
        assert_eq!(
            again(&broken(r#""2023-11-14T22:13:20.123Z""#)),
            Some((Some(expected.clone()), deadline))
        );
        assert_eq!(again(&expected), Some((None, deadline)));
        let without_time = format!(r#"{{"cookie":{},broken"#, cookie("null", "null"));
        assert_eq!(again(&without_time), Some((None, None)));
        assert_eq!(with_expiry_reset(&without_time, now), None);
    }

    #[test]
    fn familiar_records_are_read_as_all_others() {
        let now = Timestamp::from_millis(1_700_000_000_123);
        let usual = |times: &str| format!(r#"{{{times},"httpOnly":true,"path":"/"}}"#);
        let timeless = usual(r#""originalMaxAge":null,"expires":null"#);
        let template = CookieTemplate::new(&StoredCookie::parse(&timeless, now).unwrap());
        let read = |text: &str| -> Result<_, Corrupt> {
            let document = Document::parse(text)?;
            let cookie = StoredCookie::parse(document.cookie_text(), now)?;
            Ok((document, cookie))
        };
        let timed = usual(r#""originalMaxAge":60000,"expires":"2023-11-14T22:13:20.123Z""#);
        let other = r#"{"path":"/admin"}"#;
        let behind = [
            "}",
            " } ",
            r#","a":1}"#,
            " ,\n\"b\" : [1,{}] , \"7\":2,\"a\":null}",
            r#","a":1,"a":2,"b":3}"#,
            r#","\u0061":1,"a":2}"#,
            r#","a":1,"cookie":{"path":"/shop"},"b":2}"#,
            r#","a":1,"\u0063ookie":{"path":"/shop"}}"#,
            r#","cookie":null}"#,
            "",
            ",}",
            "]",
            "}}",
            r#","a":}"#,
            r#" "a":1}"#,
        ];
        for cookie in [&*timeless, &timed, other, "null"] {
            for behind in behind {
                let text = format!(r#"{{"cookie":{cookie}{behind}"#);
                let (found, expected) = (Document::parse_as(&*text, &template, now), read(&text));
                let texts = |found: Result<(Document, StoredCookie), Corrupt>| {
                    let (document, cookie) = found?;
                    let mut edited = document.clone();
                    edited.insert("new", &0).unwrap();
                    let written = [document.to_json("{}"), edited.to_json("{}")];
                    Ok::<_, Corrupt>((document.cookie_text().to_owned(), cookie, written))
                };
                assert_eq!(texts(found), texts(expected), "{text}");
            }
        }
    }

    #[test]
    fn index_with_escapes_is_an_index() {
        let mut document = parse(r#"{"a":1,"cookie":{},"\u0037":2}"#);
        assert_eq!(document.keys().collect::<Vec<_>>(), ["7", "a"]);
        document.insert("8", &3).unwrap();
        assert_eq!(&*document.to_json("{}"), r#"{"\u0037":2,"8":3,"a":1,"cookie":{}}"#);
    }

    #[test]
    fn changed_and_changed_back_is_unchanged() {
        let mut document = parse(r#"{"cookie":{},"a":1.0,"b":"\u00e9"}"#);
        document.insert("a", &2).unwrap();
        assert!(document.is_changed());
        document.insert("a", &1).unwrap();
        document.insert("b", "é").unwrap();
        assert!(!document.is_changed());
        assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"a":1.0,"b":"\u00e9"}"#);
    }

    #[test]
    fn number_that_is_read_and_set_again_is_unchanged() {
        let mut document = parse(r#"{"cookie":{},"n":3.9430133835633675e-10}"#);
        let number: f64 = document.get("n").unwrap().unwrap();
        document.insert("n", &number).unwrap();
        assert!(!document.is_changed());
    }

    #[test]
    fn integers_that_javascript_takes_for_one_are_two() {
        let mut document = parse(r#"{"cookie":{},"user":9007199254740992,"n":1e15}"#);
        document.insert("user", &9_007_199_254_740_993_u64).unwrap();
        document.insert("n", &1_000_000_000_000_000_u64).unwrap();
        assert!(document.is_member_changed("user") && !document.is_member_changed("n"));
        assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"user":9007199254740993,"n":1e15}"#);
    }

    #[test]
    fn only_integers_are_compared_by_their_digits() {
        let mut document = parse(
            r#"{"cookie":{},"n":0.100000000000000000,"z":-0,"s":"\u00e9t\u00e9, for months"}"#,
        );
        document.insert("n", &0.1).unwrap();
        document.insert("z", &0).unwrap();
        document.insert("s", "été, for months").unwrap();
        assert!(!document.is_changed());
    }

    #[test]
    fn removed_and_added_again_elsewhere_is_changed() {
        let mut document = parse(r#"{"cookie":{},"a":1,"z":2}"#);
        document.remove("a");
        document.insert("a", &1).unwrap();
        assert!(document.is_changed());
        assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"z":2,"a":1}"#);
        document.remove("z");
        document.remove("a");
        document.insert("a", &1).unwrap();
        document.insert("z", &2).unwrap();
        assert!(!document.is_changed());
    }

    #[test]
    fn member_that_changed_sides_with_the_cookie_is_written_where_it_is() {
        let mut document = parse(r#"{"a":1,"cookie":{}}"#);
        document.remove("a");
        document.insert("a", &1).unwrap();
        assert!(!document.is_changed());
        assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"a":1}"#);
    }

    #[test]
    fn of_two_equal_keys_the_last_counts() {
        let mut document = parse(r#"{"a":1,"cookie":{},"\u0061":2,"cookie":{"path":"/"}}"#);
        assert_eq!(document.get::<u8>("a").unwrap(), Some(2));
        assert_eq!(document.cookie_text(), COOKIE_JSON);
        assert_eq!((document.len(), document.keys().count()), (1, 1));
        assert!(document.remove("a"));
        assert!(!document.contains("a"));
    }

    #[test]
    fn equal_keys_are_one_member_at_the_place_of_the_first() {
        let text =
            r#"{"a":1,"b":2,"a":3,"cookie":{},"c":4,"\u0062":5,"a":6,"\ud800":7,"\ud801":8}"#;
        let mut document = parse(text);
        assert_eq!(document.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(&*document.to_json("{}"), text, "untouched, it stays as it is");
        document.insert("d", &9).unwrap();
        assert_eq!(
            &*document.to_json("{}"),
            r#"{"a":6,"b":5,"cookie":{},"c":4,"\ud800":7,"\ud801":8,"d":9}"#
        );
    }

    #[test]
    fn keys_written_several_times_move_the_cookie_by_as_many() {
        for (text, edited) in [
            (r#"{"a":1,"cookie":{},"a":2}"#, r#"{"a":2,"cookie":{},"b":0}"#),
            (r#"{"a":1,"a":2,"cookie":{}}"#, r#"{"a":2,"cookie":{},"b":0}"#),
            (r#"{"a":1,"a":2,"a":3,"cookie":{},"c":4}"#, r#"{"a":3,"cookie":{},"c":4,"b":0}"#),
            (
                r#"{"a":1,"c":1,"a":2,"c":2,"a":3,"cookie":{},"a":4}"#,
                r#"{"a":4,"c":2,"cookie":{},"b":0}"#,
            ),
        ] {
            let mut document = parse(text);
            document.insert("b", &0).unwrap();
            assert_eq!(&*document.to_json("{}"), edited, "{text}");
        }
        let mut document = parse(r#"{"a":1,"a":2,"a":3,"cookie":{}}"#);
        document.insert("a", &4).unwrap();
        assert_eq!(
            &*document.to_json("{}"),
            r#"{"a":4,"cookie":{}}"#,
            "no record without a cookie"
        );
    }

    #[test]
    fn key_is_found_by_what_it_says_and_not_by_how_it_is_written() {
        let document = parse(r#"{"cookie":{},"\u0061":1,"b\\":2}"#);
        assert_eq!((document.get_raw("a"), document.get_raw(r"b\")), (Some("1"), Some("2")));
        assert_eq!((document.get_raw(r"\u0061"), document.get_raw(r"b\\")), (None, None));
    }

    #[test]
    fn members_are_the_same_by_key_value_and_order() {
        let loaded = parse(r#"{"cookie":{},"a":1,"b":[2]}"#);
        for (other, is_same) in [
            (r#"{"a":1.0,"cookie":{"path":"/"},"\u0062":[ 2 ]}"#, true),
            (r#"{"cookie":{},"a":1,"b":[3]}"#, false),
            (r#"{"cookie":{},"a":1,"c":[2]}"#, false),
            (r#"{"cookie":{},"b":[2],"a":1}"#, false),
            (r#"{"cookie":{},"a":1}"#, false),
            (r#"{"cookie":{},"a":1,"b":[2],"c":3}"#, false),
            (r#"{"cookie":{}}"#, false),
        ] {
            assert_eq!(loaded.same_members(&parse(other)), is_same, "{other}");
            assert_eq!(parse(other).same_members(&loaded), is_same, "{other}");
        }
    }

    #[test]
    fn equal_keys_that_are_no_text_are_one_member() {
        let document = parse(r#"{"\ud800":1,"cookie":{},"\uD800":2,"\ud801":3}"#);
        assert_eq!(document.len(), 2);
        assert!(document.same_members(&parse(r#"{"\ud800":2,"\ud801":3,"cookie":{}}"#)));
    }

    #[test]
    fn member_that_is_restored_is_as_it_was_loaded() {
        let mut document = parse(r#"{"cookie":{},"a":1.0}"#);
        document.insert("a", &2).unwrap();
        document.insert("b", &2).unwrap();
        assert!(document.is_member_changed("a") && document.is_member_changed("b"));
        document.revert_member("a");
        assert_eq!(document.get_raw("a"), Some("1.0"));
        assert!(!document.is_member_changed("a") && document.is_member_changed("b"));
        document.revert_member("b");
        assert!(!document.contains("b") && !document.is_changed());
    }

    #[test]
    fn cookie_of_a_record_is_read_and_replaced_and_nothing_else() {
        let text = r#"{ "a" : 1, "cookie" : {"path":"/"}, "b" : "cookie" }"#;
        assert_eq!(cookie_of(text), Some(COOKIE_JSON));
        let replaced = r#"{ "a" : 1, "cookie" : {}, "b" : "cookie" }"#;
        assert_eq!(with_cookie(text, "{}").as_deref(), Some(replaced));
        for text in [r#"{"a":1}"#, "[]", r#"{"cookie":{}"#] {
            assert_eq!((cookie_of(text), with_cookie(text, "{}")), (None, None), "{text}");
        }
    }

    #[test]
    fn object_is_taken_apart_and_nothing_else() {
        let json = Json::of(&std::collections::BTreeMap::from([("a", 1), ("é\n", 2)])).unwrap();
        let members = json.members().unwrap();
        let members: Vec<_> = members.iter().map(|(key, json)| (&**key, json.as_str())).collect();
        assert_eq!(members, [("a", "1"), ("é\n", "2")]);
        assert_eq!(Json::of(&[1]).unwrap().members(), None);
    }

    #[test]
    fn normalised_record_loses_reserved_names_and_counts_as_changed() {
        let document =
            Document::parse_normalised(r#"{"id":1,"cookie":{},"b":1.0,"toString":2}"#).unwrap();
        assert!(document.is_changed());
        assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"b":1}"#);
        assert!(!Document::parse_normalised(r#"{"cookie":{},"b":1.0}"#).unwrap().is_changed());
    }

    #[test]
    fn reserved_names_are_refused() {
        let mut document = Document::new();
        for name in ["cookie", "id", "save", "__proto__"] {
            assert!(matches!(document.insert(name, &1), Err(InsertError::Reserved)));
        }
        assert!(document.is_empty());
    }

    #[test]
    fn what_is_no_record_is_corrupt() {
        for text in ["", "null", "[]", "5", "{\"a\":1", "{\"cookie\":{}}x"] {
            assert!(matches!(Document::parse(text), Err(Corrupt::NotJson(_))), "{text}");
        }
        assert_eq!(Document::parse("{}").unwrap_err(), Corrupt::NoCookie);
    }

    #[test]
    fn errors_say_what_is_wrong_and_not_with_what() {
        use std::error::Error as _;

        for (corrupt, text) in [
            (Corrupt::NotJson(2), "not a JSON object, at byte 2"),
            (Corrupt::NoCookie, "no cookie object in the record"),
            (Corrupt::BadCookie("expires"), "unusable cookie.expires in the record"),
        ] {
            assert_eq!(corrupt.to_string(), text);
        }
        let reserved = Document::new().insert("id", &1).unwrap_err();
        assert_eq!(reserved.to_string(), "the name is reserved by express-session");
        assert!(reserved.source().is_none());
        let no_json = std::collections::BTreeMap::from([([1_u8], 1)]);
        let refused = Document::new().insert("a", &no_json).unwrap_err();
        assert_eq!(refused.to_string(), "the value cannot be serialised as JSON");
        assert!(refused.source().is_some_and(|source| source.is::<serde_json::Error>()));
    }

    #[test]
    fn lone_surrogates_are_kept_though_they_cannot_be_read() {
        let document = parse(r#"{"cookie":{},"\ud800":1,"s":"\ud800"}"#);
        assert!(document.get::<String>("s").is_err());
        assert_eq!(document.keys().collect::<Vec<_>>(), ["s"]);
        assert_eq!(document.len(), 2);
    }

    #[test]
    fn record_is_renewed_without_a_copy_where_nothing_moves() {
        let now = Timestamp::from_millis(1_700_000_000_123);
        let forever =
            r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":1}"#;
        assert_eq!(with_expiry_reset(forever, now), Some((None, None)));
        let minute = r#"{"a":1,"cookie":{"originalMaxAge":60000,"expires":"2023-11-14T22:13:50.123Z","httpOnly":true,"path":"/"}}"#;
        let text = minute.replace("22:13:50", "22:14:20");
        let deadline = Timestamp::from_millis(1_700_000_060_123);
        assert_eq!(with_expiry_reset(minute, now), Some((Some(text), Some(deadline))));
        assert_eq!(with_expiry_reset("[]", now), None);
    }

    #[test]
    fn document_never_prints_its_data() {
        let document = parse(r#"{"cookie":{},"card":"4711"}"#);
        assert_eq!(format!("{document:?}"), "Document { members: 1, .. }");
        let json = Json::of("4711").unwrap();
        assert_eq!((json.as_str(), format!("{json:?}").as_str()), ("\"4711\"", "Json(redacted)"));
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Insert(String, i8),
        Remove(String),
        Clear,
    }

    fn key() -> impl Strategy<Value = String> {
        "[ab]|[0-2]|1[0-1]|é".prop_map(String::from)
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            8 => (key(), 0..3i8).prop_map(|(key, value)| Edit::Insert(key, value)),
            4 => key().prop_map(Edit::Remove),
            1 => Just(Edit::Clear),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_would_be_loaded(
            edits in prop::collection::vec(edit(), 0..12),
            loaded in prop::sample::select(vec![
                r#"{"1":1,"cookie":{},"a":0,"é":2}"#,
                r#" { "z" : 1.0 , "cookie" : { "path" : "/" } , "7" : [ 1 ] , "a\\b" : "c" } "#,
                r#"{"a":1,"cookie":{"path":"/"},"a":2,"cookie":{},"b":3}"#,
            ]),
            cookie in prop::sample::select(vec!["{}", r#"{"path":"/shop","httpOnly":true}"#]),
        ) {
            let mut document = parse(loaded);
            for edit in edits {
                match edit {
                    Edit::Insert(key, value) => document.insert(&key, &value).unwrap(),
                    Edit::Remove(key) => drop(document.remove(&key)),
                    Edit::Clear => document.clear(),
                }
            }
            let written = document.as_saved(cookie);
            prop_assert_eq!(written.base_text(), &document.to_json(cookie));
            let loaded = Document::parse(Arc::clone(written.base_text())).unwrap();
            prop_assert_eq!(written.cookie_text(), cookie);
            prop_assert!(written.base == loaded.base);
            prop_assert!(!written.is_changed() && written.same_members(&document));
        }

        /// The model is a list kept in JavaScript's order by hand.
        #[test]
        fn edits_agree_with_a_plain_list(edits in prop::collection::vec(edit(), 0..24)) {
            let loaded = r#"{"1":1,"cookie":{},"a":0,"é":2}"#;
            let mut document = parse(loaded);
            let mut model: Vec<(String, i8)> = vec![("1".into(), 1), ("a".into(), 0), ("é".into(), 2)];
            for edit in edits {
                match edit {
                    Edit::Insert(key, value) => {
                        document.insert(&key, &value).unwrap();
                        match model.iter_mut().find(|(known, _)| *known == key) {
                            Some(entry) => entry.1 = value,
                            None => model.push((key, value)),
                        }
                        model.sort_by_key(|(key, _)| json::array_index(key).map_or((true, 0), |index| (false, index)));
                    }
                    Edit::Remove(key) => {
                        let known = model.iter().any(|(name, _)| *name == key);
                        prop_assert_eq!(document.remove(&key), known);
                        model.retain(|(name, _)| *name != key);
                    }
                    Edit::Clear => { document.clear(); model.clear(); }
                }
                let keys: Vec<_> = document.keys().map(Cow::into_owned).collect();
                prop_assert_eq!(&keys, &model.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
                let changed = model != [("1".into(), 1), ("a".into(), 0), ("é".into(), 2)];
                prop_assert_eq!(document.is_changed(), changed);
                let again = parse(&document.to_json("{}"));
                prop_assert!(again.same_members(&document));
                prop_assert_eq!(again.to_json("{}"), document.to_json("{}"));
            }
        }
    }
}
