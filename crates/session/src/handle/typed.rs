//! The session as a struct of the application.

use std::fmt;
use std::marker::PhantomData;

use express_session_core::Document;
use express_session_core::record::Json;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};
use crate::request::insert;
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
/// With `#[serde(default)]` on the struct, a record that was stored before a field was added is read as
/// well.
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
    /// Reads the struct.
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
    /// [`ErrorKind::Deserialize`] where the stored members are not what the struct takes,
    /// [`ErrorKind::Ended`] where the session is over.
    pub fn read(&self) -> Result<T, Error> {
        self.session.shared().with_session(|session| read(&session.document)).and_then(|read| read)
    }

    /// Writes the struct: every field that differs from what is stored.
    ///
    /// A field that is not serialised any more (`skip_serializing_if`) is removed.
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
        self.session.shared().change(|session| {
            let before = read::<T>(&session.document).ok();
            let mut document = session.document.clone();
            let keys = write(&mut document, before.as_ref(), value)?;
            session.document = document;
            keys.iter().for_each(|key| session.overwrite(key));
            Ok(())
        })
    }

    /// Changes the struct, and returns it as it is now.
    ///
    /// The fields that change are written as by [`Session::insert`]: where another request has changed the
    /// same field meanwhile, the later save wins. For a counter or a list use [`Session::update`].
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
    /// As [`read`](Self::read) and [`write`](Self::write).
    pub fn update(&self, change: impl FnOnce(&mut T)) -> Result<T, Error> {
        let mut value = self.read()?;
        change(&mut value);
        self.write(&value)?;
        Ok(value)
    }
}

fn read<T: DeserializeOwned + Default>(document: &Document) -> Result<T, Error> {
    if document.is_empty() {
        return Ok(T::default());
    }
    // The whole record is read, and the cookie is one member that the struct does not know.
    let text = document.to_json("null");
    serde_json::from_str(&text).map_err(|source| Error::mismatch("", &source))
}

/// Sets what differs, and returns the names of the members that were set or removed.
fn write<T: Serialize>(
    document: &mut Document,
    before: Option<&T>,
    after: &T,
) -> Result<Vec<String>, Error> {
    let before = before.map(fields).transpose()?.unwrap_or_default();
    let after = fields(after)?;
    let mut touched = Vec::new();
    for (key, value) in &after {
        if document.get_raw(key) != Some(value.as_str()) {
            insert(document, key, value)?;
            touched.push(key.clone());
        }
    }
    for (key, _) in before {
        if !after.iter().any(|(kept, _)| *kept == key) {
            document.remove(&key);
            touched.push(key);
        }
    }
    Ok(touched)
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
