//! The session as a struct of the application.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use express_session_core::Document;
use express_session_core::record::Json;
use express_session_core::session::Reapply;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::session::Slot;
use crate::error::{Error, ErrorKind};
use crate::request::{Edit, apply_all};
use crate::{LazySession, Session};

/// The visitor's session, read and written as a struct.
///
/// Each field of the struct is a member of the session of the same name, on the record that Express and
/// untyped handlers see too. Members that the struct does not know stay as they are. A session in which nothing
/// is yet reads as `T::default()`.
///
/// ```
/// use express_session::{Error, Typed};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// #[serde(default)]
/// struct Cart {
///     items: Vec<String>,
///     coupon: Option<String>,
/// }
///
/// async fn add(cart: Typed<Cart>) -> Result<String, Error> {
///     let cart = cart.update(|cart| cart.items.push("apple".to_owned()))?;
///     Ok(format!("{} items", cart.items.len()))
/// }
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
/// assert_eq!(add(Typed::new(session)).await?, "1 items");
/// # Ok(()) });
/// ```
///
/// A record that was stored before a field was added is read as well: the field is as in `T::default()`.
///
/// `T` serialises as a JSON object. A flattened map takes every member that has no field of its own. With
/// `deny_unknown_fields` each member of the session must be a field, those of other handlers too. An enum is tagged
/// inside (`#[serde(tag = "kind")]`) or untagged; when it changes its variant, the fields of the old one are removed. An
/// externally tagged enum can be read only while the session has no other member.
pub struct Typed<T> {
    session: Session,
    data: PhantomData<fn() -> T>,
}

impl<T> Typed<T> {
    /// Puts a type on a session.
    ///
    /// ```
    /// use express_session::Typed;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # #[serde(default)]
    /// # struct Cart { items: Vec<String> }
    ///
    /// # on::visit(async |session| {
    /// let cart = Typed::<Cart>::new(session);
    /// assert!(cart.read()?.items.is_empty());
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self { session, data: PhantomData }
    }

    /// Returns the session itself: its id, its cookie, `regenerate`, `destroy`.
    ///
    /// ```
    /// use express_session::Typed;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # #[serde(default)]
    /// # struct Cart { items: Vec<String> }
    ///
    /// # on::visit(async |session| {
    /// let cart = Typed::<Cart>::new(session);
    /// cart.update(|cart| cart.items.push("apple".to_owned()))?;
    /// assert_eq!(cart.session().keys(), ["items"]);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl<T: Serialize + DeserializeOwned + Default> Typed<T> {
    /// Reads the struct. A field that no member has is as in `T::default()`.
    ///
    /// ```
    /// use express_session::Typed;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # #[serde(default)]
    /// # struct Cart { items: Vec<String> }
    ///
    /// # on::visit(async |session| {
    /// session.insert("items", ["apple"])?;
    /// let cart = Typed::<Cart>::new(session);
    /// assert_eq!(cart.read()?.items, ["apple"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deserialize`] where the stored members are not what the struct takes: the error names the field,
    /// where serde tells it. [`ErrorKind::Ended`] where the session is over.
    pub fn read(&self) -> Result<T, Error> {
        read(&self.document()?)
    }

    /// Writes the struct: every field that differs from what is stored.
    ///
    /// A field that is not serialised any more (`skip_serializing_if`) is removed. Of two requests that write the same
    /// field, the later save wins: what is computed from [`read`](Self::read) belongs into [`update`](Self::update).
    ///
    /// ```
    /// use express_session::Typed;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # #[serde(default)]
    /// # struct Cart { items: Vec<String> }
    ///
    /// # on::visit(async |session| {
    /// session.insert("user", "bob")?;
    /// let cart = Typed::<Cart>::new(session.clone());
    /// cart.write(&Cart { items: vec!["apple".to_owned()] })?;
    /// assert_eq!(session.keys(), ["user", "items"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] where it is no JSON object, [`ErrorKind::ReservedName`] for a field that is
    /// called `cookie`, `id`, `save`, …; the session is unchanged then.
    pub fn write(&self, value: &T) -> Result<(), Error> {
        let document = self.document()?;
        let before = match read::<T>(&document) {
            Ok(before) => fields(&before)?,
            Err(_) => Vec::new(),
        };
        let edits = edits::<T>(&document, &before, fields(value)?)?;
        let shared = self.session.shared();
        edits.iter().try_for_each(|(key, _)| shared.check_name(key))?;
        shared.change(|session| {
            let mut document = session.document.clone();
            apply_all(&mut document, &edits)?;
            session.document = document;
            edits.iter().for_each(|(key, _)| session.overwrite(key));
            Ok(())
        })
    }

    /// Changes the struct by a function, and returns it as it is now.
    ///
    /// Where another request of the same visitor has changed the session in the meantime, the function is applied again,
    /// to the struct that is stored then, and all its fields are written together: no change is lost, and a field that
    /// is computed from another one fits it. The function should do nothing else than compute.
    ///
    /// The struct returned is the one of this request: what is stored in the end may be another. A limit or a unique
    /// number needs [`update_now`](Self::update_now).
    ///
    /// ```
    /// use express_session::Typed;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # #[serde(default)]
    /// # struct Cart { items: Vec<String> }
    ///
    /// # on::visit(async |session| {
    /// let cart = Typed::<Cart>::new(session);
    /// let now = cart.update(|cart| cart.items.push("apple".to_owned()))?;
    /// assert_eq!(now.items, ["apple"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read) and [`write`](Self::write), and [`ErrorKind::TooManyUpdates`] after 4,096 without a save.
    pub fn update(&self, change: impl Fn(&mut T) + Send + Sync + 'static) -> Result<T, Error> {
        self.update_with(change, |_| {})
    }

    /// Changes the struct as [`update`](Self::update) does, and saves the session: the struct that it returns is the one
    /// that was stored. See [`Session::update_now`] for when it is needed, and its cost.
    ///
    /// ```
    /// use express_session::Typed;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # #[serde(default)]
    /// # struct Login { tries: u32 }
    ///
    /// # on::visit(async |session| {
    /// let login = Typed::<Login>::new(session);
    /// assert!(login.update_now(|login| login.tries += 1).await?.tries <= 3);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`update`](Self::update) and of [`Session::update_now`].
    pub async fn update_now(
        &self,
        change: impl Fn(&mut T) + Send + Sync + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
    {
        let slot = Slot::default();
        let stored = slot.clone();
        let changed = self.session.shared().change_finally(|| {
            slot.put(Some(self.update_with(change, move |value| stored.put(Some(value)))?));
            Ok(Some(()))
        });
        changed.await?;
        slot.take().ok_or_else(|| Error::new(ErrorKind::Conflict))
    }

    /// Updates, and shows `see` the struct of each time that the function is applied again.
    fn update_with(
        &self,
        change: impl Fn(&mut T) + Send + Sync + 'static,
        see: impl Fn(T) + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let change = Arc::new(change);
        let again = Arc::clone(&change);
        let reapply: Reapply = Arc::new(move |document, _| {
            let (value, edits) = applied(document, &*again)?;
            see(value);
            Ok(apply_all(document, &edits)?)
        });
        self.session.shared().update_all(|document| applied(document, &*change), &reapply)
    }

    /// Copies the members: serde runs the application's own code, and no lock is held while it does.
    fn document(&self) -> Result<Document, Error> {
        self.session.shared().with_session(|session| session.document.clone())
    }
}

/// Reads a struct from the members. A member that is null, and that its field does not take, counts as missing.
///
/// The cookie is not one of them: a flattened map would take it, and `deny_unknown_fields` would refuse it.
fn read<T: Serialize + DeserializeOwned + Default>(document: &Document) -> Result<T, Error> {
    if document.is_empty() {
        return Ok(T::default());
    }
    let mut omitted = HashSet::new();
    loop {
        let error = match read_without(document, &omitted) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let field = error.member().unwrap_or_default();
        if document.get_raw(field) != Some("null") || !omitted.insert(field.to_owned()) {
            return Err(error);
        }
        if omitted.len() > MAX_SINGLE_NULLS {
            let nulls = document.keys().filter(|key| document.get_raw(key) == Some("null"));
            omitted.extend(nulls.map(Cow::into_owned));
        }
    }
}

/// The number of nulls that are left out one by one, each with another attempt to read. A map whose names a visitor
/// chooses may have thousands: all are left out then.
const MAX_SINGLE_NULLS: usize = 32;

/// Reads a struct from the members but these. A field whose member is missing is as in the default.
fn read_without<T: Serialize + DeserializeOwned + Default>(
    document: &Document,
    omitted: &HashSet<String>,
) -> Result<T, Error> {
    let mut members = Members::default();
    for key in document.keys().filter(|key| !omitted.contains(&**key)) {
        members.push(&key, document.get_raw(&key).unwrap_or("null"))?;
    }
    members.read().or_else(|error| {
        let defaults = fields(&T::default())?;
        let is_missing = |key: &String| omitted.contains(key) || !document.contains(key);
        let mut missing = defaults.iter().filter(|(key, _)| is_missing(key)).peekable();
        if missing.peek().is_none() {
            return Err(error);
        }
        missing.try_for_each(|(key, value)| members.push(key, value.as_str()))?;
        members.read()
    })
}

/// The text of a JSON object.
#[derive(Default)]
struct Members(String);

impl Members {
    fn push(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let failed = |source| Error::of_member(ErrorKind::Serialize, key).with_source(source);
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(Json::of(key).map_err(failed)?.as_str());
        self.0.push(':');
        self.0.push_str(value);
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let text = format!("{}}}", self.0);
        let mut json = serde_json::Deserializer::from_str(&text);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let field = match error.path().iter().next() {
                Some(Segment::Map { key }) => key.as_str(),
                _ => "",
            };
            // The name of a field that the struct does not know is the visitor's, perhaps.
            let is_unknown = error.inner().to_string().starts_with("unknown field");
            Error::mismatch(if is_unknown { "" } else { field }, error.inner())
        })
    }
}

/// Applies a function to the struct, and returns what becomes of its members.
fn applied<T: Serialize + DeserializeOwned + Default>(
    document: &Document,
    change: impl Fn(&mut T),
) -> Result<(T, Vec<(String, Edit)>), Error> {
    let mut value = read::<T>(document)?;
    let before = fields(&value)?;
    change(&mut value);
    let edits = edits::<T>(document, &before, fields(&value)?)?;
    Ok((value, edits))
}

/// Compares the fields before and after a change. A field that did not change, or is what the member is, stays as it is
/// written. A member by which serde knows a field that is written under another name (`alias`) goes when that one comes.
fn edits<T: Serialize + DeserializeOwned + Default>(
    document: &Document,
    before: &[(String, Json)],
    after: Vec<(String, Json)>,
) -> Result<Vec<(String, Edit)>, Error> {
    let kept: HashSet<_> = after.iter().map(|(key, _)| key.clone()).collect();
    let before: HashMap<_, _> = before.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let is_changed = |(key, value): &(String, Json)| match document.get_raw(key) {
        None => true,
        Some(raw) => {
            let same = before.get(key.as_str()).is_some_and(|old| old.as_str() == value.as_str());
            !same && raw != value.as_str()
        }
    };
    let set = after.into_iter().filter(is_changed).map(|(key, value)| (key, Edit::Set(value)));
    let gone = before.keys().filter(|key| !kept.contains(**key) && document.contains(key));
    let gone = gone.map(|key| ((*key).to_owned(), Edit::Remove));
    let mut edits: Vec<_> = set.chain(gone).collect();
    // Where no struct was read before, what hinders is not for this one to remove.
    let was_readable = !before.is_empty();
    if was_readable && edits.iter().any(|(key, _)| !document.contains(key)) {
        let mut edited = document.clone();
        apply_all(&mut edited, &edits)?;
        let aliases = aliases::<T>(&edited, &kept);
        edits.extend(aliases.into_iter().map(|key| (key, Edit::Remove)));
    }
    Ok(edits)
}

/// Returns the members that are none of the fields as they are written, and without which the struct can be read again.
fn aliases<T: Serialize + DeserializeOwned + Default>(
    document: &Document,
    fields: &HashSet<String>,
) -> Vec<String> {
    let mut found = Vec::new();
    if read::<T>(document).is_ok() {
        return found;
    }
    let others = document.keys().map(Cow::into_owned).filter(|key| !fields.contains(key));
    let mut others: Vec<_> = others.collect();
    loop {
        let is_readable = |count: usize| {
            let omitted = found.iter().chain(&others[..count]).cloned().collect();
            read_without::<T>(document, &omitted).is_ok()
        };
        // The more is left out the better it can be read: the last of the first so many is one of them.
        let (mut unreadable, mut readable) = (0, others.len());
        if is_readable(unreadable) {
            return found;
        }
        if !is_readable(readable) {
            return Vec::new();
        }
        while readable - unreadable > 1 {
            let middle = usize::midpoint(unreadable, readable);
            if is_readable(middle) {
                readable = middle;
            } else {
                unreadable = middle;
            }
        }
        others.truncate(readable);
        found.extend(others.pop());
    }
}

/// Serialises a struct, and returns its fields in their order.
fn fields<T: Serialize>(value: &T) -> Result<Vec<(String, Json)>, Error> {
    let failed = || Error::of_member(ErrorKind::Serialize, "");
    let json = Json::of(value).map_err(|source| failed().with_source(source))?;
    json.members().ok_or_else(failed)
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self::new(self.session.clone())
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Typed").field(&self.session).finish()
    }
}

impl LazySession {
    /// Loads the session, and puts a type on it.
    ///
    /// ```
    /// use express_session::{Error, Session, SessionLayer, Typed};
    /// use http::{Request, Response};
    /// use tower::{Layer as _, ServiceExt as _, service_fn};
    ///
    /// #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// struct Counter { views: u64 }
    ///
    /// let service = SessionLayer::new("keyboard cat").layer(service_fn(async |request: Request<()>| {
    ///     let session = Session::from_extensions(request.extensions())?;
    ///     let counter: Typed<Counter> = session.load_typed().await?;
    ///     let counter = counter.update(|counter| counter.views += 1)?;
    ///     Ok::<_, Error>(Response::new(format!("{} views", counter.views)))
    /// }));
    /// # let response = express_session_testkit::block_on(service.oneshot(Request::new(())))?;
    /// assert!(response.headers().contains_key("set-cookie"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`LazySession::load`].
    pub async fn load_typed<T>(self) -> Result<Typed<T>, Error> {
        self.load().await.map(Typed::new)
    }
}

#[cfg(feature = "axum")]
impl<S: Sync, T> axum_core::extract::FromRequestParts<S> for Typed<T> {
    type Rejection = Error;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        Session::from_extensions(&parts.extensions)?.load_typed().await
    }
}

/// `Option<Typed<T>>` is for handlers that work with and without a session, as `Option<`[`Session`]`>` is.
#[cfg(feature = "axum")]
impl<S: Sync, T> axum_core::extract::OptionalFromRequestParts<S> for Typed<T> {
    type Rejection = Error;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        use axum_core::extract::OptionalFromRequestParts;
        let session = <Session as OptionalFromRequestParts<S>>::from_request_parts(parts, state);
        Ok(session.await?.map(Self::new))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer};

    use super::*;

    thread_local! {
        static READS: Cell<u32> = const { Cell::new(0) };
    }

    #[derive(Serialize)]
    struct Counted(String);

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            READS.set(READS.get() + 1);
            String::deserialize(deserializer).map(Self)
        }
    }

    #[test]
    fn nulls_of_a_map_are_left_out_in_a_bounded_number_of_attempts() {
        let nulls: String = (0..5000).map(|number| format!(r#","n{number}":null"#)).collect();
        let text = format!(r#"{{"cookie":{{}},"first":"a"{nulls},"last":"b"}}"#);
        let document = Document::parse(text.as_str()).unwrap();
        let map: BTreeMap<String, Counted> = read(&document).unwrap();
        assert_eq!(map.into_values().map(|counted| counted.0).collect::<String>(), "ab");
        assert!(READS.get() < 200, "{}", READS.get());
    }
}
