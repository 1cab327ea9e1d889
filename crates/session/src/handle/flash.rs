//! Flash messages: what one request leaves for the next page of its visitor.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use express_session_core::session::Reapply;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::session::{Slot, json_of, parsed, raw_of};
#[cfg(doc)]
use crate::ErrorKind;
use crate::Session;
use crate::error::Error;
use crate::request::{Edit, TakenMessages};

/// The member of the session, as connect-flash names it.
const MEMBER: &str = "flash";

/// The flash messages of a visitor: a request leaves them, and the next page takes and shows them.
///
/// They are the member `flash` of the session, in the format of npm's connect-flash 0.1.1: lists of messages by type, such
/// as `{"info":["Saved."],"error":[]}`. Express applications on the same store take the messages of this side, and this
/// side takes theirs.
///
/// [`Session::flash`] returns this handle; in an axum handler it is an extractor too, which loads the session.
///
/// ```
/// use axum::response::Redirect;
/// use express_session::{Error, Flash};
///
/// async fn save_profile(flash: Flash) -> Result<Redirect, Error> {
///     flash.push("info", "Your profile was saved.")?;
///     Ok(Redirect::to("/profile"))
/// }
///
/// async fn profile(flash: Flash) -> Result<String, Error> {
///     let messages: Vec<String> = flash.take("info").await?;
///     Ok(messages.join("\n"))
/// }
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
/// # let mut browser = on::Browser::new(express_session::SessionLayer::new("keyboard cat"));
/// # browser.visit(async |session: express_session::Session| save_profile(session.flash()).await);
/// # browser.visit(async |session: express_session::Session| {
/// assert_eq!(profile(session.flash()).await?, "Your profile was saved.");
/// assert_eq!(profile(session.flash()).await?, "");
/// # Ok(()) });
/// ```
///
/// | here | connect-flash |
/// |---|---|
/// | `flash.push("info", "Saved.")?` | `req.flash('info', 'Saved.')` |
/// | `flash.push("info", format!("{n} saved"))?` | `req.flash('info', '%d saved', n)` |
/// | `flash.take::<String>("info").await?` | `req.flash('info')` |
/// | `flash.take_all::<String>().await?` | `req.flash()` |
///
/// Messages are JSON, as members are: usually strings; structs are possible too.
///
/// # Overlapping requests
///
/// Two requests of a session that push at the same time both keep their messages, and of two that take, one gets
/// each message. This holds among requests of this side. Express writes the whole session as it has loaded it, so that
/// a request there can lose or repeat a message, as ever.
///
/// # Cost
///
/// Pushing and peeking work in memory. Taking saves the session immediately, with one call of the store, and two more for
/// each conflict; the end of the request makes no further call for it. Reading or taking where there is no message writes
/// nothing and makes no session. (connect-flash writes an empty member in that case.)
///
/// Messages that no page takes stay in the session, and count towards its
/// [`record_limits`](crate::SessionLayer::record_limits).
///
/// # Errors
///
/// Of every method, those of [`Session`], and [`ErrorKind::Deserialize`] where the member `flash` is no object, or the list
/// of this type no list: the error names the member, and nothing is changed.
#[derive(Clone)]
pub struct Flash {
    session: Session,
}

impl Session {
    /// Returns the flash messages of the session.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.flash().push("info", "Saved.")?;
    /// assert_eq!(session.flash().take::<String>("info").await?, ["Saved."]);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn flash(&self) -> Flash {
        Flash { session: self.clone() }
    }
}

impl Flash {
    /// Adds a message to those of a type.
    ///
    /// One call adds one message. (connect-flash adds each element of an array.) A type can have any name; connect-flash
    /// needs one that is not empty.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let flash = session.flash();
    /// flash.push("info", "Your profile was saved.")?;
    /// flash.push("info", format!("{} photos were uploaded.", 3))?;
    /// assert_eq!(flash.peek::<String>("info")?.len(), 2);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] where the message is no JSON. [`ErrorKind::TooManyUpdates`] after 4,096 without a save.
    pub fn push<T: Serialize>(&self, kind: &str, message: T) -> Result<(), Error> {
        let message = raw_of(MEMBER, &json_of(MEMBER, &message)?)?;
        let kind = kind.to_owned();
        self.change(move |messages| {
            let mut list = messages.list(&kind)?;
            list.push(message.clone());
            messages.set(&kind, &list)
        })
    }

    /// Reads the messages of a type, and removes none.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.flash().push("info", "Saved.")?;
    /// assert_eq!(session.flash().peek::<String>("info")?, ["Saved."]);
    /// assert_eq!(session.flash().peek::<String>("info")?, ["Saved."]);
    /// assert!(session.flash().peek::<String>("error")?.is_empty());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deserialize`] where a message of the type is not what `T` takes.
    pub fn peek<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, Error> {
        read(&self.messages()?.list(kind)?)
    }

    /// Removes the messages of a type and returns them, the oldest first. Each is returned to one request.
    ///
    /// The session is saved before this returns, as by [`Session::take_once`]. A request that is dropped while it waits
    /// for the store has taken them.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.flash().push("info", "Saved.")?;
    /// assert_eq!(session.flash().take::<String>("info").await?, ["Saved."]);
    /// assert!(session.flash().take::<String>("info").await?.is_empty());
    /// assert_eq!(session.get("flash")?, Some(serde_json::json!({})));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deserialize`] where a message of the type is not what `T` takes; all of them stay, then. Those of
    /// [`Session::save`]: whether the messages are taken is not known then, and the end of the request tries to save
    /// again.
    pub async fn take<T>(&self, kind: &str) -> Result<Vec<T>, Error>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let kind = kind.to_owned();
        let lists = self.take_lists(move |name| name == kind).await?;
        Ok(lists.into_iter().flat_map(|(_, list)| list).collect())
    }

    /// Removes all messages and returns them, in lists by their type. Each is returned to one request.
    ///
    /// The types are in the order of the record. At the same cost as [`take`](Self::take).
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.flash().push("warning", "The disk is nearly full.")?;
    /// session.flash().push("info", "Saved.")?;
    /// for (kind, messages) in session.flash().take_all::<String>().await? {
    ///     println!("{kind}: {}", messages.join(" "));
    /// }
    /// assert!(session.flash().take_all::<String>().await?.is_empty());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`take`](Self::take).
    pub async fn take_all<T>(&self) -> Result<Vec<(String, Vec<T>)>, Error>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.take_lists(|_| true).await
    }

    /// Puts back what this request has taken, before later messages of the same type, so that the next page has it again:
    /// for a page that shows its messages and then redirects after all.
    ///
    /// It counts for the whole request, whichever handle has taken the messages. After a
    /// [`regenerate`](Session::regenerate) it carries the messages into the new session. Without anything taken it does
    /// nothing. A handle that lives longer than a request, in a socket, remembers some 4,096 lists.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.flash().push("info", "Saved.")?;
    /// let shown: Vec<String> = session.flash().take("info").await?;
    /// session.flash().keep()?;
    /// assert_eq!(session.flash().peek::<String>("info")?, shown);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyUpdates`] after 4,096 changes without a save. The messages can be kept later, then.
    pub fn keep(&self) -> Result<(), Error> {
        let taken = self.session.shared().forget_taken();
        if taken.is_empty() {
            return Ok(());
        }
        let kept = taken.clone();
        let put_back = move |messages: &mut Messages| messages.put_before(&kept);
        self.change(put_back).inspect_err(|_| self.session.shared().add_taken(taken))
    }

    /// Changes the messages by a function, which is applied again where another request has changed them meanwhile.
    fn change(
        &self,
        change: impl Fn(&mut Messages) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let change = Arc::new(move |before: Option<&str>| {
            let mut messages = Messages::read(before)?;
            change(&mut messages)?;
            Ok(((), messages.edit()?))
        });
        let again = Arc::clone(&change);
        let reapply: Reapply = Arc::new(move |document, key| {
            let ((), edit) = again(document.get_raw(key))?;
            Ok(edit.apply(document, key)?)
        });
        self.session.shared().update(MEMBER, |before| change(before), &reapply, None)
    }

    /// Takes the lists of these types, and saves the session where there is a message among them.
    async fn take_lists<T>(
        &self,
        is_wanted: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<Vec<(String, Vec<T>)>, Error>
    where
        T: DeserializeOwned + Send + 'static,
    {
        if !self.messages()?.has(&is_wanted)? {
            return Ok(Vec::new());
        }
        let is_wanted = Arc::new(is_wanted);
        let slot: Slot<Taken<T>> = Slot::default();
        let take = {
            let is_wanted = Arc::clone(&is_wanted);
            move |before: Option<&str>| {
                let mut messages = Messages::read(before)?;
                let taken = messages.take(&*is_wanted)?;
                // Where another request has removed the member, it stays removed.
                let edit = if before.is_some() { messages.edit()? } else { Edit::Remove };
                Ok::<_, Error>((taken, edit))
            }
        };
        let again = take.clone();
        let last = slot.clone();
        let reapply: Reapply = Arc::new(move |document, key| {
            let (taken, edit) = again(document.get_raw(key))?;
            last.put(Some(taken));
            Ok(edit.apply(document, key)?)
        });
        let shared = self.session.shared();
        let update = || -> Result<Option<()>, Error> {
            if !self.messages()?.has(&*is_wanted)? {
                return Ok(None);
            }
            slot.put(Some(shared.update(MEMBER, take, &reapply, None)?));
            Ok(Some(()))
        };
        // Of a session that is not stored, no other request has these messages.
        let is_taken = match self.session.is_persisted() {
            true => shared.change_finally(update).await?,
            false => update()?,
        };
        let Some(taken) = is_taken.and_then(|()| slot.take()) else { return Ok(Vec::new()) };
        shared.add_taken(taken.as_written);
        Ok(taken.read)
    }

    fn messages(&self) -> Result<Messages, Error> {
        Messages::read(self.session.shared().raw(MEMBER)?.as_deref())
    }
}

impl fmt::Debug for Flash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flash")
    }
}

/// Messages that were taken: as the caller's type, and as they were written.
struct Taken<T> {
    read: Vec<(String, Vec<T>)>,
    as_written: TakenMessages,
}

/// The member: the JSON of each type's list, in the order of the record. A list that no request changes stays as it is
/// written.
#[derive(Default)]
struct Messages(Vec<(String, Box<RawValue>)>);

impl Messages {
    fn read(member: Option<&str>) -> Result<Self, Error> {
        Ok(parsed(MEMBER, member)?.unwrap_or_default())
    }

    fn edit(&self) -> Result<Edit, Error> {
        json_of(MEMBER, self).map(Edit::Set)
    }

    /// Returns the messages of a type. A record that was not written by JSON.stringify may have several lists of it.
    fn list(&self, kind: &str) -> Result<Vec<Box<RawValue>>, Error> {
        let mut all = Vec::new();
        for (_, list) in self.0.iter().filter(|(name, _)| name == kind) {
            all.extend(items(list)?);
        }
        Ok(all)
    }

    /// Sets the list of a type, at the place where one is, or else at the end.
    fn set(&mut self, kind: &str, list: &[Box<RawValue>]) -> Result<(), Error> {
        let list = list_of(list)?;
        match self.0.iter().position(|(name, _)| name == kind) {
            None => self.0.push((kind.to_owned(), list)),
            Some(at) => {
                self.0[at].1 = list;
                let mut place = 0..;
                self.0.retain(|(name, _)| place.next() <= Some(at) || name != kind);
            }
        }
        Ok(())
    }

    /// Puts messages before those of the same types. Lists of other types stay as they are written.
    fn put_before(&mut self, earlier: &TakenMessages) -> Result<(), Error> {
        let mut lists: TakenMessages = Vec::new();
        let mut places = HashMap::new();
        for (kind, list) in earlier {
            let place = *places.entry(kind.as_str()).or_insert(lists.len());
            match lists.get_mut(place) {
                Some((_, all)) => all.extend(list.iter().cloned()),
                None => lists.push((kind.clone(), list.clone())),
            }
        }
        let mut others = Vec::new();
        for (kind, list) in &self.0 {
            match places.get(kind.as_str()).and_then(|place| lists.get_mut(*place)) {
                Some((_, all)) => all.extend(items(list)?),
                None => others.push((kind.clone(), list.clone())),
            }
        }
        self.0 = lists
            .into_iter()
            .map(|(kind, list)| Ok((kind, list_of(&list)?)))
            .chain(others.into_iter().map(Ok))
            .collect::<Result<_, Error>>()?;
        Ok(())
    }

    /// Checks whether there is a message of one of these types.
    fn has(&self, is_wanted: &impl Fn(&str) -> bool) -> Result<bool, Error> {
        for (_, list) in self.0.iter().filter(|(name, _)| is_wanted(name)) {
            if !items(list)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the lists of these types, if each of their messages is what `T` takes.
    fn take<T: DeserializeOwned>(
        &mut self,
        is_wanted: &impl Fn(&str) -> bool,
    ) -> Result<Taken<T>, Error> {
        let mut taken = Taken { read: Vec::new(), as_written: Vec::new() };
        for (name, list) in self.0.iter().filter(|(name, _)| is_wanted(name)) {
            let list = items(list)?;
            if !list.is_empty() {
                taken.read.push((name.clone(), read(&list)?));
                taken.as_written.push((name.clone(), list));
            }
        }
        self.0.retain(|(name, _)| !is_wanted(name));
        Ok(taken)
    }
}

/// Returns the elements of a list. Null is a list without any, as in connect-flash.
fn items(list: &RawValue) -> Result<Vec<Box<RawValue>>, Error> {
    Ok(parsed(MEMBER, Some(list.get()))?.unwrap_or_default())
}

fn read<T: DeserializeOwned>(list: &[Box<RawValue>]) -> Result<Vec<T>, Error> {
    let read = list.iter().map(|message| serde_json::from_str(message.get()));
    read.collect::<Result<_, _>>().map_err(|source| Error::mismatch(MEMBER, &source))
}

fn list_of(list: &[Box<RawValue>]) -> Result<Box<RawValue>, Error> {
    raw_of(MEMBER, &json_of(MEMBER, &list)?)
}

impl Serialize for Messages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(kind, list)| (kind, list)))
    }
}

impl<'de> Deserialize<'de> for Messages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lists;

        impl<'de> Visitor<'de> for Lists {
            type Value = Messages;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of lists")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Messages, A::Error> {
                let mut lists = Vec::new();
                while let Some(list) = map.next_entry()? {
                    lists.push(list);
                }
                Ok(Messages(lists))
            }
        }

        deserializer.deserialize_map(Lists)
    }
}
