//! The file store neither follows a link nor trusts what another user made (audit M11).
//!
//! Each test plants something in a folder that was there before. A test that needs a second user needs root, and
//! is left out with a message for others.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use express_session::store::file::FileStore;
use express_session::store::{
    Admin as _, Created, ErrorKind, LockOutcome, LockToken, Record, Store as _, Touch, Touched,
    Updated,
};
use express_session::{SessionId, Timestamp};

use crate::local::Folder;
use crate::on_tokio;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TEXT: &str = r#"{"cookie":{"originalMaxAge":60000},"user":"victim"}"#;
const FILE: &str =
    r#"{"cookie":{"originalMaxAge":60000},"user":"victim","__lastAccess":1700000000000}"#;
const OTHER_USER: u32 = 54_321;

fn id() -> SessionId {
    SessionId::new("planted").unwrap()
}

fn record() -> Record {
    Record { text: TEXT.into(), deadline: Some(NOW.saturating_add(Duration::from_secs(60))) }
}

/// A folder of sessions, mode 0700, beside a folder of the victim's other files.
struct Place(Folder);

impl Place {
    fn new() -> Self {
        let place = Self(Folder::new());
        fs::create_dir(place.sessions()).unwrap();
        fs::set_permissions(place.sessions(), Permissions::from_mode(0o700)).unwrap();
        place
    }

    fn sessions(&self) -> PathBuf {
        self.0.path().join("sessions")
    }

    fn session(&self) -> PathBuf {
        self.sessions().join("planted.json")
    }

    /// A file beside the folder, with the content of a session.
    fn elsewhere(&self) -> PathBuf {
        let path = self.0.path().join("elsewhere");
        fs::write(&path, FILE).unwrap();
        path
    }

    fn store(&self) -> FileStore {
        FileStore::new(self.sessions()).fsync(false)
    }
}

/// Makes a path another user's, or says that this user may not.
fn give_away(path: &Path) -> bool {
    let is_given = chown(path, Some(OTHER_USER), Some(OTHER_USER)).is_ok();
    if !is_given {
        let _ = writeln!(std::io::stderr(), "left out: another user's file (needs root)");
    }
    is_given
}

fn touch() -> Touch {
    Touch::new("{}", None)
}

/// The session is corrupt to every call, is not listed, stays, and holds up no cleanup.
async fn assert_distrusted(place: &Place, reason: &str) {
    let store = place.store();
    let loaded = store.load(&id(), NOW).await.map(drop);
    let touched = store.touch(&id(), &touch(), NOW).await.map(drop);
    let created = store.create(&id(), &record(), NOW).await.map(drop);
    for error in [loaded, touched, created].map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!format!("{error:?}").contains("victim"), "{error:?}");
    }
    let later = NOW.saturating_add(Duration::from_secs(3600));
    assert_eq!(store.purge(10, later).await.unwrap(), 0);
    assert_eq!(store.count(NOW).await.unwrap(), 0);
    assert!(store.list(None, 10, NOW).await.unwrap().sessions.is_empty());
    assert!(fs::symlink_metadata(place.session()).is_ok(), "it is an operator's to examine");
}

async fn assert_refused(store: FileStore, reason: &str) {
    let opened = store.open().await;
    let created = store.create(&id(), &record(), NOW).await.map(drop);
    let loaded = store.load(&id(), NOW).await.map(drop);
    let purged = store.purge(10, NOW).await.map(drop);
    for error in [opened, created, loaded, purged].map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

async fn assert_works(store: FileStore) {
    store.open().await.unwrap();
    let created = store.create(&id(), &record(), NOW).await.unwrap();
    assert!(matches!(created, Created::Done(_)), "{created:?}");
    assert_eq!(store.load(&id(), NOW).await.unwrap().unwrap().record, record());
    assert_eq!(store.touch(&id(), &touch(), NOW).await.unwrap(), Touched::Done);
    assert_eq!(store.count(NOW).await.unwrap(), 1);
}

#[test]
fn audit_m11_linked_session_is_not_loaded_and_its_target_not_written() {
    on_tokio(async {
        for link in [symlink as fn(PathBuf, PathBuf) -> _, fs::hard_link] {
            let place = Place::new();
            let elsewhere = place.elsewhere();
            link(elsewhere.clone(), place.session()).unwrap();
            assert_distrusted(&place, "the session's file").await;
            assert_eq!(fs::read_to_string(&elsewhere).unwrap(), FILE);
            // Removing it removes the name alone.
            place.store().destroy(&id()).await.unwrap();
            assert!(!place.session().exists() && elsewhere.exists());
        }
    });
}

#[test]
fn audit_m11_link_to_nowhere_is_not_written_through() {
    on_tokio(async {
        let place = Place::new();
        let target = place.0.path().join("not there");
        symlink(&target, place.session()).unwrap();
        assert_distrusted(&place, "is a link").await;
        assert!(!target.exists());
    });
}

#[test]
fn audit_m11_fifo_socket_device_and_folder_are_no_sessions_and_block_no_call() {
    on_tokio(async {
        type Plant = fn(&Path) -> bool;
        let plant: [(&str, Plant); 4] = [
            ("FIFO", |path| run("mkfifo", &[path.as_os_str()])),
            ("socket", |path| std::os::unix::net::UnixListener::bind(path).is_ok()),
            ("folder", |path| fs::create_dir(path).is_ok()),
            ("device", |path| {
                run("mknod", &[path.as_os_str(), "c".as_ref(), "1".as_ref(), "5".as_ref()])
            }),
        ];
        for (what, plant) in plant {
            let place = Place::new();
            if !plant(&place.session()) {
                let _ = writeln!(std::io::stderr(), "left out: a {what} (cannot make one)");
                continue;
            }
            assert_distrusted(&place, "is no regular file").await;
        }
    });
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> bool {
    std::process::Command::new(program).args(arguments).status().is_ok_and(|done| done.success())
}

#[test]
fn audit_m11_linked_temporary_file_does_not_overwrite_its_target() {
    on_tokio(async {
        for link in [symlink as fn(PathBuf, PathBuf) -> _, fs::hard_link] {
            let place = Place::new();
            let victim = place.elsewhere();
            let locks = place.sessions().join(".lock");
            fs::create_dir(&locks).unwrap();
            for number in 0..64 {
                link(victim.clone(), locks.join(format!("{number:02}.new"))).unwrap();
            }
            assert_works(place.store()).await;
            assert_eq!(fs::read_to_string(&victim).unwrap(), FILE);
            assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o644 & !umask());
        }
    });
}

/// The bits that a new file of this process lacks.
fn umask() -> u32 {
    let folder = Folder::new();
    let file = folder.path().join("new");
    fs::write(&file, "").unwrap();
    0o644 & !fs::metadata(file).unwrap().mode()
}

#[test]
fn audit_m11_linked_lock_is_refused() {
    on_tokio(async {
        let (one, hour) = (LockToken::from_random([1; 16]), Duration::from_secs(3600));
        for (extension, link) in
            [("", symlink as fn(PathBuf, PathBuf) -> _), ("", fs::hard_link), (".leases", symlink)]
        {
            let place = Place::new();
            let victim = place.elsewhere();
            let locks = place.sessions().join(".lock");
            fs::create_dir(&locks).unwrap();
            for number in 0..64 {
                link(victim.clone(), locks.join(format!("{number:02}{extension}"))).unwrap();
            }
            let locked = place.store().lock(&id(), one, hour, NOW).await;
            let error = locked.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
            assert!(error.to_string().contains("a lock's file"), "{error}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), FILE);
        }
    });
}

#[test]
fn audit_m11_linked_folder_of_the_locks_is_refused() {
    on_tokio(async {
        let place = Place::new();
        let elsewhere = place.0.fresh();
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, place.sessions().join(".lock")).unwrap();
        let error = place.store().open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("the folder of the locks is a link"), "{error}");
        assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
    });
}

#[test]
fn audit_m11_linked_folder_is_followed_if_this_user_made_the_link() {
    on_tokio(async {
        let place = Place::new();
        let link = place.0.path().join("link");
        symlink(place.sessions(), &link).unwrap();
        assert_works(FileStore::new(&link)).await;
        fs::remove_dir_all(place.sessions()).unwrap();
        fs::create_dir(place.sessions()).unwrap();

        if std::os::unix::fs::lchown(&link, Some(OTHER_USER), None).is_err() {
            let _ = writeln!(std::io::stderr(), "left out: another user's link (needs root)");
            return;
        }
        assert_refused(FileStore::new(&link), "another user's link").await;
        // With a slash at the end the system would follow it.
        assert_refused(FileStore::new(link.join("")), "another user's link").await;
    });
}

#[test]
fn audit_m11_folder_of_another_user_is_refused() {
    on_tokio(async {
        let place = Place::new();
        if give_away(&place.sessions()) {
            assert_refused(place.store(), "another user's").await;
            // Not even where the group is trusted: this process is not in it.
            assert_refused(place.store().mode(0o660), "another user's").await;
        }
        let place = Place::new();
        fs::create_dir(place.sessions().join(".lock")).unwrap();
        if give_away(&place.sessions().join(".lock")) {
            assert_eq!(place.store().open().await.unwrap_err().kind(), ErrorKind::Refused);
        }
    });
}

/// A service that came from Node has folders of 0755 and files of 0644.
#[test]
fn audit_m11_modes_of_folders_are_judged_by_a_table() {
    on_tokio(async {
        for (mode, is_trusted) in [
            (0o700, true),
            (0o750, true),
            (0o755, true),
            // A umask of 002, as some distributions have, with the group of this user.
            (0o775, true),
            (0o770, true),
            (0o777, false),
            (0o757, false),
            (0o707, false),
            // As /tmp: others may add files, which are judged by their owners.
            (0o1777, true),
        ] {
            let place = Place::new();
            fs::set_permissions(place.sessions(), Permissions::from_mode(mode)).unwrap();
            if is_trusted {
                assert_works(place.store()).await;
            } else {
                assert_refused(place.store(), "every user may write").await;
            }
        }
    });
}

#[test]
fn audit_m11_folder_that_another_group_may_write_to_is_refused() {
    on_tokio(async {
        let place = Place::new();
        if chown(place.sessions(), None, Some(OTHER_USER)).is_err() {
            let _ = writeln!(std::io::stderr(), "left out: another group (needs root)");
            return;
        }
        fs::set_permissions(place.sessions(), Permissions::from_mode(0o770)).unwrap();
        assert_refused(place.store(), "another group may write").await;
        fs::set_permissions(place.sessions(), Permissions::from_mode(0o750)).unwrap();
        assert_works(place.store()).await;
    });
}

#[test]
fn audit_m11_session_of_another_user_is_not_loaded() {
    on_tokio(async {
        let place = Place::new();
        fs::write(place.session(), FILE).unwrap();
        if give_away(&place.session()) {
            assert_distrusted(&place, "another user's").await;
        }
        let place = Place::new();
        fs::write(place.session(), FILE).unwrap();
        fs::set_permissions(place.session(), Permissions::from_mode(0o666)).unwrap();
        assert_distrusted(&place, "every user may write").await;
    });
}

#[test]
fn audit_m11_file_that_cannot_be_removed_keeps_no_other_session_from_being_cleared() {
    on_tokio(async {
        let place = Place::new();
        let store = place.store();
        for number in 0..200 {
            let id = SessionId::new(format!("session-{number}")).unwrap();
            store.create(&id, &record(), NOW).await.unwrap();
        }
        // A folder with the name of a session's file.
        fs::create_dir(place.session()).unwrap();
        store.clear().await.unwrap_err();
        assert_eq!(store.count(NOW).await.unwrap(), 0, "the others are gone");
        fs::remove_dir(place.session()).unwrap();
        store.clear().await.unwrap();
    });
}

#[test]
fn audit_m11_group_is_trusted_where_the_mode_lets_it_write() {
    on_tokio(async {
        let place = Place::new();
        fs::write(place.session(), FILE).unwrap();
        fs::set_permissions(place.session(), Permissions::from_mode(0o660)).unwrap();
        if chown(place.session(), Some(OTHER_USER), None).is_err()
            || chown(place.sessions(), Some(OTHER_USER), None).is_err()
        {
            let _ = writeln!(std::io::stderr(), "left out: another user's folder (needs root)");
            return;
        }
        fs::set_permissions(place.sessions(), Permissions::from_mode(0o2770)).unwrap();
        assert_refused(place.store(), "another user's").await;
        let shared = place.store().mode(0o660);
        assert_eq!(shared.touch(&id(), &touch(), NOW).await.unwrap(), Touched::Done);
        assert_eq!(fs::metadata(place.session()).unwrap().uid(), OTHER_USER, "its owner is kept");
    });
}

/// Where the children of the tests below find the sessions.
const SHARED: &str = "EXPRESS_SESSION_TEST_SHARED";

/// Loads, writes and locks a session, and creates one: as another user of the group.
#[test]
fn child_of_another_user_uses_the_sessions() {
    let Some(folder) = std::env::var_os(SHARED) else { return };
    on_tokio(async {
        let store = FileStore::new(PathBuf::from(folder)).fsync(false).mode(0o660);
        assert_works_as(&store, "second").await;
    });
}

/// The same without the group's mode, and with sessions of its own alone.
#[test]
fn child_of_another_user_uses_its_own_sessions() {
    let Some(folder) = std::env::var_os(SHARED) else { return };
    on_tokio(async {
        let store = FileStore::new(PathBuf::from(folder)).fsync(false);
        let own = SessionId::new("own").unwrap();
        store.create(&own, &record(), NOW).await.unwrap();
        let token = LockToken::from_random([1; 16]);
        store.lock(&own, token, Duration::from_secs(9), NOW).await.unwrap();
        store.unlock(&own, token).await.unwrap();
        store.purge(10, NOW).await.unwrap();
    });
}

/// Runs a test of this file as another user, and returns whether that was possible.
fn run_as_another_user(test: &str, sessions: &Path, group: u32) -> bool {
    use std::os::unix::process::CommandExt as _;

    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("audit_m11::{test}")]);
    child.env(SHARED, sessions).uid(OTHER_USER).gid(group);
    match child.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
            true
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "left out: a second user ({error})");
            false
        }
    }
}

#[test]
fn audit_m11_first_lock_of_root_stops_no_service_of_the_folders_group() {
    on_tokio(async {
        let place = Place::new();
        if chown(place.sessions(), None, Some(OTHER_USER)).is_err() {
            let _ = writeln!(std::io::stderr(), "left out: another group's folder (needs root)");
            return;
        }
        fs::set_permissions(place.0.path(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(place.sessions(), Permissions::from_mode(0o1770)).unwrap();
        // A command that root runs once.
        assert_works_as(&place.store(), "roots").await;
        let service = "child_of_another_user_uses_its_own_sessions";
        run_as_another_user(service, &place.sessions(), OTHER_USER);
    });
}

/// Uses the session of both users, and creates one of its own.
async fn assert_works_as(store: &FileStore, own: &str) {
    if store.load(&id(), NOW).await.unwrap().is_none() {
        store.create(&id(), &record(), NOW).await.unwrap();
    }
    let loaded = store.load(&id(), NOW).await.unwrap().unwrap();
    let updated = store.update(&id(), &record(), &loaded.revision, NOW).await.unwrap();
    assert!(matches!(updated, Updated::Done(_)));
    let token = LockToken::from_random([1; 16]);
    let locked = store.lock(&id(), token, Duration::from_secs(9), NOW).await.unwrap();
    assert!(matches!(locked, LockOutcome::Acquired(_)));
    store.unlock(&id(), token).await.unwrap();
    let own = SessionId::new(own).unwrap();
    assert!(matches!(store.create(&own, &record(), NOW).await.unwrap(), Created::Done(_)));
}

#[test]
fn audit_m11_users_of_one_group_share_sessions_and_locks() {
    on_tokio(async {
        let place = Place::new();
        fs::remove_dir(place.sessions()).unwrap();
        let store = place.store().mode(0o660);
        assert_works_as(&store, "first").await;
        let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(place.sessions()), 0o770);
        assert_eq!(mode(place.sessions().join(".lock")), 0o770);

        fs::set_permissions(place.0.path(), Permissions::from_mode(0o755)).unwrap();
        let group = fs::metadata(place.sessions()).unwrap().gid();
        let service = "child_of_another_user_uses_the_sessions";
        if !run_as_another_user(service, &place.sessions(), group) {
            return;
        }
        // And the first one goes on.
        assert_works_as(&store, "third").await;
        assert_eq!(store.count(NOW).await.unwrap(), 4);
    });
}

/// Folders and files as session-file-store makes them.
#[test]
fn audit_m11_service_from_node_goes_on() {
    on_tokio(async {
        let place = Place::new();
        fs::set_permissions(place.sessions(), Permissions::from_mode(0o755)).unwrap();
        fs::write(place.session(), FILE).unwrap();
        fs::set_permissions(place.session(), Permissions::from_mode(0o644)).unwrap();
        let store = place.store();
        store.open().await.unwrap();
        assert_eq!(store.load(&id(), NOW).await.unwrap().unwrap().record.text, record().text);
        assert_eq!(store.touch(&id(), &touch(), NOW).await.unwrap(), Touched::Done);
        let token = LockToken::from_random([1; 16]);
        let locked = store.lock(&id(), token, Duration::from_secs(1), NOW).await.unwrap();
        assert!(matches!(locked, LockOutcome::Acquired(_)));
    });
}

/// A folder, a session and a temporary file are swapped for links while calls are made.
#[test]
fn audit_m11_swaps_between_check_and_use_write_nothing_elsewhere() {
    on_tokio(async {
        let place = Place::new();
        let outside = place.0.fresh();
        fs::create_dir(&outside).unwrap();
        let victim = outside.join("planted.json");
        fs::write(&victim, FILE).unwrap();
        let (session, stop) = (place.session(), std::sync::atomic::AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = fs::remove_file(&session);
                    let _ = symlink(&victim, &session);
                    for number in 0..64 {
                        let name = format!(".lock/{number:02}.new");
                        let _ = symlink(&victim, place.sessions().join(name));
                    }
                }
            });
            let store = place.store();
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    for _ in 0..300 {
                        let other = Record { text: r#"{"cookie":{},"mine":1}"#.into(), ..record() };
                        let _ = store.create(&id(), &other, NOW).await;
                        let loaded = store.load(&id(), NOW).await.ok().flatten();
                        let text = loaded.map(|loaded| loaded.record.text);
                        assert!(text.is_none_or(|text| text.contains("mine")), "it was followed");
                        let _ = store.destroy(&id()).await;
                    }
                });
            });
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(fs::read_to_string(&victim).unwrap(), FILE);
    });
}
