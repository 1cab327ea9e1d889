//! The text of a sealed record: `{"cookie":{…},"sealed":"v1.<key id>.<base64url>"}`.
//!
//! 1. The `cookie` is that of the record, in plain text, because stores read it and a touch replaces it without the
//!    key. The whole record, with the cookie that it had when it was sealed, is in `sealed`.
//! 2. The encrypted bytes begin with the state of the name ([`State`]) and the session's id.
//! 3. The version, the key id and the name at rest are associated data, so that a record opens under its own name only.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use express_session_core::record::with_cookie;
use express_session_core::store::{Error, ErrorKind};
use express_session_core::{Document, SessionId};

use super::keys::{Key, SealKeys};

/// The content of a sealed text.
pub(super) struct Envelope {
    pub(super) state: State,
    pub(super) id: SessionId,
    /// The record, with the cookie at rest; only the cookie for [`State::Arriving`] and [`State::Ended`].
    pub(super) text: Arc<str>,
}

/// The meaning of a text for the session whose name it is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The session's record.
    Record,
    /// The place of a record that is about to move here from another name. There is no session under this name yet.
    Arriving { from: Box<str> },
    /// A record that is moving to another name, where it is written next. It is not changed here any more.
    Moved,
    /// The place of a record that did not arrive, because its session ended. There is no session under this name.
    Ended,
}

/// The content of a text at rest.
pub(super) enum Content {
    Sealed(Envelope),
    /// Not of the form of a sealed text.
    Plain,
    /// Of the form, and none of the keys opens it under this name.
    Unopened,
}

/// Seals a text for a name at rest.
///
/// # Errors
///
/// [`ErrorKind::Unsuitable`] if the text is not a session record, whose cookie the store needs.
pub(super) fn seal(
    key: &Key,
    name: &SessionId,
    state: &State,
    id: &SessionId,
    text: &Arc<str>,
) -> Result<Arc<str>, Error> {
    let unsuitable = |message| Error::new(ErrorKind::Unsuitable, message);
    let record = Document::parse(Arc::clone(text))
        .map_err(|corrupt| unsuitable("the text is not a session record").with_source(corrupt))?;
    let mut plain = Vec::with_capacity(text.len() + 256);
    let (cookie, only_cookie) = (record.cookie_text(), record_of_cookie(record.cookie_text()));
    let text = match state {
        State::Record | State::Moved => &**text,
        State::Arriving { .. } | State::Ended => &only_cookie,
    };
    plain.push(state.tag());
    push(&mut plain, id.as_str());
    if let State::Arriving { from } = state {
        push(&mut plain, from);
    }
    plain.extend_from_slice(text.as_bytes());
    let sealed = key
        .encrypt(plain, associated(key.id(), name).as_bytes())
        .ok_or_else(|| unsuitable("the text is too long to be encrypted"))?;
    let sealed = URL_SAFE_NO_PAD.encode(sealed);
    let parts = [COOKIE, cookie, SEALED, VERSION, key.id(), ".", &sealed, "\"}"];
    Ok(parts.concat().into())
}

/// Opens a text that was found under a name at rest.
pub(super) fn open(keys: &SealKeys, name: &SessionId, text: &Arc<str>) -> Content {
    let Ok(outer) = Document::parse(Arc::clone(text)) else { return Content::Plain };
    let Some((key, sealed)) = sealed_member(&outer) else { return Content::Plain };
    let opened = keys.with_id(&key).and_then(|key| {
        let plain = key.decrypt(&sealed, associated(key.id(), name).as_bytes())?;
        parse(&plain, outer.cookie_text())
    });
    opened.map_or(Content::Unopened, Content::Sealed)
}

/// Returns the key id and the encrypted bytes of a document of the form of a sealed text.
fn sealed_member(outer: &Document) -> Option<(String, Vec<u8>)> {
    let member = outer.get::<String>("sealed").ok().flatten().filter(|_| outer.len() == 1)?;
    let (key, sealed) = member.strip_prefix(VERSION)?.split_once('.')?;
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    Some((key.to_owned(), sealed))
}

fn parse(plain: &[u8], cookie: &str) -> Option<Envelope> {
    let (&tag, mut rest) = plain.split_first()?;
    let id = SessionId::new(pop(&mut rest)?)?;
    let state = match tag {
        RECORD => State::Record,
        ARRIVING => State::Arriving { from: pop(&mut rest)?.into() },
        MOVED => State::Moved,
        ENDED => State::Ended,
        _ => return None,
    };
    let text = std::str::from_utf8(rest).ok()?;
    Some(Envelope { state, id, text: with_cookie_at_rest(text, cookie)? })
}

/// Returns the text with the cookie that a touch may have replaced.
fn with_cookie_at_rest(text: &str, cookie: &str) -> Option<Arc<str>> {
    let text: Arc<str> = text.into();
    if Document::parse(Arc::clone(&text)).ok()?.cookie_text() == cookie {
        return Some(text);
    }
    with_cookie(&text, cookie).map(Arc::from)
}

impl State {
    fn tag(&self) -> u8 {
        match self {
            Self::Record => RECORD,
            Self::Arriving { .. } => ARRIVING,
            Self::Moved => MOVED,
            Self::Ended => ENDED,
        }
    }
}

fn record_of_cookie(cookie: &str) -> String {
    [COOKIE, cookie, "}"].concat()
}

/// The parts are free of ambiguity: a key id has no dot.
fn associated(key: &str, name: &SessionId) -> String {
    [VERSION, key, ".", name.as_str()].concat()
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn pop<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

const COOKIE: &str = r#"{"cookie":"#;
const SEALED: &str = r#","sealed":""#;
const VERSION: &str = "v1.";
const RECORD: u8 = 0;
const ARRIVING: u8 = 1;
const MOVED: u8 = 2;
const ENDED: u8 = 3;
