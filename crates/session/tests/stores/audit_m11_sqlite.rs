//! The SQLite store follows no link of another user, and trusts no file of one (audit M11).
//!
//! A test that needs a second user needs root, and is left out with a message for others.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use express_session::store::sqlite::SqliteStore;
use express_session::store::{ErrorKind, Record, Store as _};
use express_session::{SessionId, Timestamp};

use crate::local::Folder;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const OTHER_USER: u32 = 54_321;

fn id() -> SessionId {
    SessionId::new("planted").unwrap()
}

fn record() -> Record {
    let text = r#"{"cookie":{"originalMaxAge":60000},"user":"victim"}"#;
    Record { text: text.into(), deadline: Some(NOW.saturating_add(Duration::from_secs(60))) }
}

/// Returns whether this user may not give a file to another user, and tells that a part of the test is left out.
fn is_left_out(given: &std::io::Result<()>) -> bool {
    if given.is_err() {
        let _ = writeln!(std::io::stderr(), "left out: another user's file (needs root)");
    }
    given.is_err()
}

/// A folder of this mode with a database, and another one in which another user could put something.
struct Database(Folder);

impl Database {
    async fn in_folder_of_mode(mode: u32) -> Self {
        let place = Self(Folder::new());
        place.set_mode(place.0.path(), 0o700);
        // Without files beside it that the test would change while they are in use.
        let store = SqliteStore::new(place.path()).concurrent_db(false);
        store.create(&id(), &record(), NOW).await.unwrap();
        place.set_mode(place.0.path(), mode);
        place
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("sessions.db")
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn set_mode(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
}

async fn refusal_of(path: &Path) -> Option<String> {
    let loaded = SqliteStore::new(path).load(&id(), NOW).await;
    loaded.err().map(|error| {
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        error.to_string()
    })
}

#[tokio::test]
async fn audit_m11_database_in_a_folder_of_every_user_is_refused() {
    for (mode, is_refused) in [(0o700, false), (0o775, false), (0o1777, false), (0o777, true)] {
        let place = Database::in_folder_of_mode(mode).await;
        let refusal = refusal_of(&place.path()).await;
        assert_eq!(refusal.is_some(), is_refused, "{mode:o}: {refusal:?}");
        assert!(refusal.is_none_or(|it| it.ends_with("may write to the database's folder")));
        // A folder that is fine, with a link into this one.
        let other = Folder::new();
        let link = other.path().join("link.db");
        symlink(place.path(), &link).unwrap();
        let through = refusal_of(&link).await;
        assert_eq!(through.is_some(), is_refused, "{mode:o}, through a link: {through:?}");
    }
}

#[tokio::test]
async fn audit_m11_database_that_every_user_may_write_is_refused() {
    let place = Database::in_folder_of_mode(0o700).await;
    for mode in [0o600, 0o644, 0o664] {
        place.set_mode(&place.path(), mode);
        assert_eq!(refusal_of(&place.path()).await, None, "{mode:o}");
    }
    place.set_mode(&place.path(), 0o666);
    let refusal = refusal_of(&place.path()).await.unwrap();
    assert!(refusal.ends_with("every user may write to a file of the database"), "{refusal}");
}

#[tokio::test]
async fn audit_m11_what_another_user_plants_beside_the_database_is_refused() {
    for name in ["sessions.db", "sessions.db-wal", "sessions.db-shm", "sessions.db-journal"] {
        let place = Database::in_folder_of_mode(0o1777).await;
        let planted = place.beside(name);
        if name != "sessions.db" {
            fs::write(&planted, "").unwrap();
        }
        if is_left_out(&chown(&planted, Some(OTHER_USER), Some(OTHER_USER))) {
            return;
        }
        let refusal = refusal_of(&place.path()).await.unwrap();
        assert!(refusal.ends_with("a file of the database is another user's"), "{refusal}");
        // Where only trusted users may write, the owner of the file does not matter.
        place.set_mode(place.0.path(), 0o755);
        assert_eq!(refusal_of(&place.path()).await, None, "{name}");
    }
}

#[tokio::test]
async fn audit_m11_link_of_another_user_to_a_database_is_refused() {
    let place = Database::in_folder_of_mode(0o700).await;
    let public = Folder::new();
    place.set_mode(public.path(), 0o1777);
    let link = public.path().join("sessions.db");
    symlink(place.path(), &link).unwrap();
    assert_eq!(refusal_of(&link).await, None, "its own link");
    if !is_left_out(&lchown(&link, Some(OTHER_USER), Some(OTHER_USER))) {
        let refusal = refusal_of(&link).await.unwrap();
        assert!(refusal.ends_with("the database's file is another user's link"), "{refusal}");
    }
    let own = place.beside("round.db");
    symlink(&own, &own).unwrap();
    assert!(refusal_of(&own).await.unwrap().ends_with("a link to itself"));
}

#[tokio::test]
async fn audit_m11_database_behind_a_dangling_link_is_made_for_its_user_alone() {
    let (place, links) = (Folder::new(), Folder::new());
    let (made, link) = (place.path().join("made.db"), links.path().join("link.db"));
    symlink(&made, &link).unwrap();
    SqliteStore::new(&link).create(&id(), &record(), NOW).await.unwrap();
    assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn audit_m11_files_beside_the_database_that_are_links_are_refused() {
    let place = Database::in_folder_of_mode(0o700).await;
    symlink(place.beside("elsewhere"), place.beside("sessions.db-journal")).unwrap();
    assert!(refusal_of(&place.path()).await.unwrap().contains("is a link"));
    assert!(!place.beside("elsewhere").exists());
}

#[tokio::test]
async fn audit_m11_database_in_a_folder_of_another_user_is_refused_unless_its_group_is_shared() {
    let place = Database::in_folder_of_mode(0o775).await;
    let own_group = fs::metadata(place.0.path()).unwrap().gid();
    for (group, mode, is_refused) in
        [(OTHER_USER, 0o775, true), (own_group, 0o755, true), (own_group, 0o775, false)]
    {
        place.set_mode(place.0.path(), mode);
        if is_left_out(&chown(place.0.path(), Some(OTHER_USER), Some(group))) {
            return;
        }
        let refusal = refusal_of(&place.path()).await;
        assert_eq!(refusal.is_some(), is_refused, "{group} {mode:o}: {refusal:?}");
        assert!(refusal.is_none_or(|it| it.ends_with("the database's folder is another user's")));
    }
}
