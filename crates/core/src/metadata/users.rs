//! The sessions of one user: which records are theirs.
//!
//! The record itself says so, in the library's own member or in that of npm's passport. An index may find the records, and
//! never decides.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{MemberName, epoch};
use crate::SessionId;
use crate::record::{Json, json};

/// The user whose sessions a store is asked for: see [`Store::sessions_of`](crate::store::Store::sessions_of).
///
/// `Debug` does not show the user.
///
/// ```
/// use express_session_core::metadata::{MemberName, UserQuery};
/// use express_session_core::record::Json;
///
/// let bob = UserQuery::new(Json::of("bob")?, MemberName::DEFAULT);
/// assert!(bob.matches(r#"{"cookie":{},"passport":{"user":"bob"}}"#));
/// assert!(!bob.matches(r#"{"cookie":{},"passport":{"user":"eve"},"friend":"bob"}"#));
/// assert!(bob.everyone().matches(r#"{"cookie":{}}"#));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct UserQuery {
    /// `None` for every session.
    user: Option<Json>,
    member: MemberName,
    is_complete: bool,
}

impl UserQuery {
    /// Asks for the sessions of a user, whose metadata are in the member of this name.
    #[must_use]
    pub const fn new(user: Json, member: MemberName) -> Self {
        Self { user: Some(user), member, is_complete: false }
    }

    /// Asks for the sessions of the user that a record names. `None` for a record without a user.
    ///
    /// ```
    /// use express_session_core::metadata::{MemberName, UserQuery};
    /// use express_session_core::record::Json;
    ///
    /// let text = r#"{"cookie":{},"passport":{"user":"bob"}}"#;
    /// let bob = UserQuery::of_record(text, MemberName::DEFAULT).unwrap();
    /// assert!(bob == UserQuery::new(Json::of("bob")?, MemberName::DEFAULT));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn of_record(text: &str, member: MemberName) -> Option<Self> {
        let (user, _) = epoch::of_session(text, &member)?;
        Some(Self::new(user, member))
    }

    /// Asks for every one of these sessions, to end them: a store with an index that other programs do not maintain reads
    /// its records instead.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.is_complete = true;
        self
    }

    /// Checks whether no session may be missing that another program has written: see [`complete`](Self::complete).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the user, as the text of a JSON string or else as JSON, if an index of the users in the member of this name
    /// can answer. `None` for [every session](Self::everyone), for another member, and for a text with NUL, which not every
    /// database keeps.
    ///
    /// ```
    /// use express_session_core::metadata::{MemberName, UserQuery};
    /// use express_session_core::record::Json;
    ///
    /// let bob = UserQuery::new(Json::of("bob")?, MemberName::DEFAULT);
    /// assert_eq!(bob.indexed(&MemberName::DEFAULT).as_deref(), Some("bob"));
    /// assert_eq!(bob.indexed(&MemberName::new("other").unwrap()), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn indexed(&self, member: &MemberName) -> Option<Cow<'_, str>> {
        let user = self.user.as_ref().filter(|_| self.member == *member)?.as_str();
        let value = if user.starts_with('"') { json::unquote(user)? } else { Cow::Borrowed(user) };
        Some(value).filter(|value| !value.contains('\0'))
    }

    /// Asks for every session: for a store around another one, which cannot read the records itself.
    #[must_use]
    pub fn everyone(&self) -> Self {
        Self { user: None, ..self.clone() }
    }

    /// Checks whether a record is of this user: it says so, as [`user_of`](super::user_of) reads it.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some(user) = &self.user else { return true };
        // Most records are another user's, and need not be read.
        text.contains(user.as_str())
            && epoch::of_session(text, &self.member).is_some_and(|(found, _)| found == *user)
    }

    /// Returns a text that each record of this user contains, byte for byte: for a store whose server can look for it. Others
    /// may contain it too, so that [`matches`](Self::matches) decides. Empty for [every session](Self::everyone).
    ///
    /// ```
    /// use express_session_core::metadata::{MemberName, UserQuery};
    /// use express_session_core::record::Json;
    ///
    /// let bob = UserQuery::new(Json::of("bob")?, MemberName::DEFAULT);
    /// assert_eq!(bob.text(), r#""bob""#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn text(&self) -> &str {
        self.user.as_ref().map_or("", Json::as_str)
    }

    /// Returns the id whose lock is the user's: the logins of one user take it one after the other. It is a digest, and no
    /// session has it.
    #[must_use]
    pub fn lock_id(&self) -> SessionId {
        self.derived_id(Sha256::new_with_prefix("express-session user\0"))
    }

    /// Returns the id of the record that has the user's [epoch](super::Epoch). It is a digest, and no session has it.
    ///
    /// Layers whose metadata are in members of other names have other records: none reads the member of another.
    ///
    /// ```
    /// use express_session_core::metadata::{MemberName, UserQuery};
    /// use express_session_core::record::Json;
    ///
    /// let bob = UserQuery::new(Json::of("bob")?, MemberName::DEFAULT);
    /// assert_eq!(bob.epoch_id().as_str(), "r24bmL6SyEJpMPzAOaASs0eFK5R3UgVD");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn epoch_id(&self) -> SessionId {
        let digest = Sha256::new_with_prefix("express-session epoch\0");
        self.derived_id(digest.chain_update(self.member.as_str()).chain_update("\0"))
    }

    fn derived_id(&self, digest: Sha256) -> SessionId {
        let mut bytes = [0; SessionId::RANDOM_BYTES];
        for (byte, digit) in bytes.iter_mut().zip(digest.chain_update(self.text()).finalize()) {
            *byte = digit;
        }
        SessionId::from_random(bytes)
    }

    /// Returns the user. `None` for [every session](Self::everyone).
    pub(crate) fn user(&self) -> Option<&Json> {
        self.user.as_ref()
    }
}

impl fmt::Debug for UserQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.user.is_some() { "UserQuery(redacted)" } else { "UserQuery(everyone)" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(user: impl serde::Serialize) -> UserQuery {
        UserQuery::new(Json::of(&user).unwrap(), MemberName::DEFAULT)
    }

    fn own(user: &str) -> String {
        format!(r#""__sessionMetadata":{{"created":1,"seen":1,"authenticated":1,"user":{user}}}"#)
    }

    #[test]
    fn record_is_of_the_user_that_the_session_would_return() {
        let (bob, eve) = (own("\"bob\""), own("\"eve\""));
        for (members, is_bobs) in [
            (bob.clone(), true),
            (eve.clone(), false),
            (r#""passport":{"user":"bob"}"#.to_owned(), true),
            // A member of passport decides.
            (format!(r#"{bob},"passport":{{"user":"eve"}}"#), false),
            (format!(r#"{eve},"passport":{{"user":"bob"}}"#), true),
            (format!(r#"{bob},"passport":{{}}"#), false),
            (format!(r#"{bob},"passport":{{"user":null}}"#), false),
            // Elsewhere the name means nothing.
            (r#""user":"bob""#.to_owned(), false),
            (r#""a":{"passport":{"user":"bob"}}"#.to_owned(), false),
            (format!(r#""a":{{{bob}}}"#), false),
            (format!(r#"{eve},"friend":"bob""#), false),
            (own("\"bobby\""), false),
            (own("[\"bob\"]"), false),
            // The last of two counts, as for `JSON.parse`.
            (r#""passport":{"user":"bob"},"passport":{"user":"eve"}"#.to_owned(), false),
            (r#""passport":{"user":"eve"},"passport":{"user":"bob"}"#.to_owned(), true),
        ] {
            let text = format!(r#"{{"cookie":{{}},{members}}}"#);
            assert_eq!(query("bob").matches(&text), is_bobs, "{members}");
            assert!(!is_bobs || text.contains(query("bob").text()), "{members}");
            assert!(query("bob").everyone().matches(&text));
        }
        for text in ["", "\"bob\"", r#"{"passport":{"user":"bob"}"#, r#"[{"user":"bob"}]"#] {
            assert!(!query("bob").matches(text), "{text}");
        }
    }

    #[test]
    fn user_of_another_type_is_another_user() {
        let text = |user: &str| format!(r#"{{"cookie":{{}},{}}}"#, own(user));
        assert!(query(17).matches(&text("17")));
        assert!(!query(17).matches(&text("\"17\"")));
        assert!(!query(17).matches(&text("170")));
        assert!(query(json!({ "id": 1 })).matches(&text(r#"{"id":1}"#)));
        assert!(query("a\"b").matches(&text(r#""a\"b""#)));
    }

    #[test]
    fn every_user_has_a_lock_of_their_own() {
        assert_eq!(query("bob").lock_id(), query("bob").lock_id());
        assert_ne!(query("bob").lock_id(), query("eve").lock_id());
        assert_ne!(query(17).lock_id(), query("17").lock_id());
    }

    #[test]
    fn every_user_has_a_record_of_their_own_for_each_members_name() {
        assert_eq!(query("bob").epoch_id(), query("bob").complete().epoch_id());
        assert_ne!(query("bob").epoch_id(), query("eve").epoch_id());
        assert_ne!(query("bob").epoch_id(), query("bob").lock_id());
        let user = Json::of("bob").unwrap();
        let other = UserQuery::new(user, MemberName::new("other").unwrap());
        assert_ne!(query("bob").epoch_id(), other.epoch_id());
    }

    #[test]
    fn record_with_a_user_names_the_query_that_matches_it() {
        for (members, user) in [
            (own("\"bob\""), Some("bob")),
            (format!(r#"{},"passport":{{"user":"eve"}}"#, own("\"bob\"")), Some("eve")),
            (format!(r#"{},"passport":{{}}"#, own("\"bob\"")), None),
            (r#""n":1"#.to_owned(), None),
        ] {
            let text = format!(r#"{{"cookie":{{}},{members}}}"#);
            let found = UserQuery::of_record(&text, MemberName::DEFAULT);
            assert_eq!(found, user.map(query), "{members}");
        }
        assert_eq!(UserQuery::of_record("{", MemberName::DEFAULT), None);
    }

    #[test]
    fn index_answers_about_one_user_and_its_own_member() {
        let default = &MemberName::DEFAULT;
        let other = MemberName::new("other").unwrap();
        for (user, indexed) in [
            (query("bob"), Some("bob")),
            (query("a\"b\n"), Some("a\"b\n")),
            (query(17), Some("17")),
            (query(json!({ "id": "1" })), Some(r#"{"id":"1"}"#)),
            (query(""), Some("")),
            (query("a\0"), None),
            (query("bob").everyone(), None),
        ] {
            assert_eq!(user.indexed(default).as_deref(), indexed);
            assert_eq!(user.indexed(&other), None);
        }
    }

    #[test]
    fn query_is_complete_only_if_it_is_asked_for() {
        let bob = query("bob");
        assert!(!bob.is_complete() && bob.clone().complete().is_complete());
        assert!(bob.clone().complete().everyone().is_complete() && !bob.everyone().is_complete());
    }

    #[test]
    fn user_never_prints() {
        let bob = query("bob");
        assert_eq!(
            format!("{bob:?} {:?}", bob.everyone()),
            "UserQuery(redacted) UserQuery(everyone)"
        );
    }
}
