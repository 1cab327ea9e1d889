//! The file store writes what session-file-store writes, and takes what it has written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::local::{Folder, NOW, id, later, record};
use express_session::store::file::FileStore;
use express_session::store::{
    Admin, Created, ErrorKind, Loaded, LockOutcome, LockToken, Record, Store, Touch, Touched,
    Updated,
};
use express_session::{SessionId, Timestamp};

/// The recorded example: the file of session-file-store, the record in it, and when that was saved.
const FILE: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2026-11-23T17:01:42.645Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3,"__lastAccess":1795449702645}"#;
const A: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2026-11-23T17:01:42.645Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;
const B: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;

fn a() -> SessionId {
    id(&"A".repeat(32))
}

fn b() -> SessionId {
    id(&"B".repeat(32))
}

fn file_of(folder: &Path, id: &SessionId) -> PathBuf {
    folder.join(format!("{}.json", id.as_str()))
}

async fn create(store: &FileStore, id: &SessionId, record: &Record, now: Timestamp) {
    assert!(matches!(store.create(id, record, now).await.unwrap(), Created::Done(_)));
}

async fn load(store: &FileStore, id: &SessionId, now: Timestamp) -> Option<Loaded> {
    store.load(id, now).await.unwrap()
}

/// A store with these options in a folder of its own.
fn opened(options: fn(FileStore) -> FileStore) -> (Folder, FileStore) {
    let folder = Folder::new();
    let store = options(FileStore::new(folder.path()));
    (folder, store)
}

/// Returns the names in the folder, in their order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_is_that_of_session_file_store() {
    let (folder, store) = opened(|store| store);
    create(&store, &a(), &record(A, later(3600)), NOW).await;
    assert_eq!(std::fs::read_to_string(file_of(folder.path(), &a())).unwrap(), FILE);
    assert_eq!(names(folder.path()), [".lock", &format!("{}.json", a().as_str())]);

    let expected = format!(r#"{},"__lastAccess":1795449702645}}"#, &B[..B.len() - 1]);
    create(&store, &b(), &record(B, None), NOW).await;
    assert_eq!(std::fs::read_to_string(file_of(folder.path(), &b())).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_of_session_file_store_is_read() {
    let folder = Folder::new();
    std::fs::write(file_of(folder.path(), &a()), FILE).unwrap();
    let store = FileStore::new(folder.path()).reap_interval(None);
    let loaded = load(&store, &a(), NOW).await.unwrap();
    assert_eq!(loaded.record, record(A, later(3600)));
    assert_eq!(load(&store, &a(), later(3600)).await, None);
    let page = store.list(None, 10, NOW).await.unwrap();
    assert_eq!((page.sessions, page.next), (vec![(a(), record(A, later(3600)))], None));
    assert_eq!(store.count(NOW).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn touch_writes_the_cookie_and_the_time_into_the_file() {
    let (folder, store) = opened(|store| store);
    let file = file_of(folder.path(), &a());
    std::fs::write(&file, FILE).unwrap();
    let revision = load(&store, &a(), NOW).await.unwrap().revision;

    let touch = Touch::renewing(A, later(10)).unwrap();
    assert_eq!(store.touch(&a(), &touch, later(10)).await.unwrap(), Touched::Done);
    let touched = FILE.replace("17:01:42", "17:01:52").replace(":1795449702645", ":1795449712645");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), touched);

    let touched = load(&store, &a(), later(10)).await.unwrap();
    assert_eq!((touched.revision, touched.record.deadline), (revision, Some(later(3610))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn touch_keeps_the_cookie_that_another_request_has_changed() {
    let (folder, store) = opened(|store| store);
    let file = file_of(folder.path(), &a());
    let text = r#"{"cookie":{"originalMaxAge":90000,"httpOnly":true,"path":"/"},"a":1}"#;
    create(&store, &a(), &record(text, Some(later(90))), NOW).await;
    let revision = load(&store, &a(), NOW).await.unwrap().revision;

    let touch = Touch::new(r#"{"originalMaxAge":60000}"#, Some(later(70)));
    assert_eq!(store.touch(&a(), &touch, later(10)).await.unwrap(), Touched::Done);
    let touched = load(&store, &a(), later(10)).await.unwrap();
    assert_eq!((touched.revision, touched.record.deadline), (revision.clone(), Some(later(100))));
    assert!(std::fs::read_to_string(&file).unwrap().contains(r#""originalMaxAge":90000,"#));

    let touch = Touch { replaces_cookie: true, ..touch };
    assert_eq!(store.touch(&a(), &touch, later(10)).await.unwrap(), Touched::Done);
    let touched = load(&store, &a(), later(10)).await.unwrap();
    assert_eq!(touched.record.deadline, Some(later(70)));
    assert_ne!(touched.revision, revision, "another cookie is a change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_without_a_max_age_ends_an_hour_or_the_ttl_after_its_last_access() {
    let (folder, store) = opened(|store| store.reap_interval(None));
    create(&store, &b(), &record(B, None), NOW).await;
    assert!(load(&store, &b(), later(3599)).await.is_some());
    assert!(load(&store, &b(), later(3600)).await.is_none());
    let short = FileStore::new(folder.path()).ttl(Duration::from_secs(60));
    assert!(load(&short, &b(), later(60)).await.is_none());
    let touch = Touch::new(r#"{"path":"/"}"#, None);
    assert_eq!(short.touch(&b(), &touch, later(10)).await.unwrap(), Touched::Done);
    assert_eq!(load(&short, &b(), later(10)).await.unwrap().record.deadline, Some(later(70)));
    assert!(load(&short, &b(), later(69)).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meanwhile_a_write_of_node_is_a_conflict_and_its_touch_is_not() {
    let (folder, store) = opened(|store| store);
    let file = file_of(folder.path(), &a());
    std::fs::write(&file, FILE).unwrap();
    let loaded = load(&store, &a(), NOW).await.unwrap();

    std::fs::write(&file, FILE.replace("1795449702645", "1795449702999")).unwrap();
    let update = store.update(&a(), &record(B, None), &loaded.revision, NOW).await.unwrap();
    assert!(matches!(update, Updated::Done(_)), "{update:?}");

    std::fs::write(&file, FILE.replace("bob", "eve")).unwrap();
    let update = store.update(&a(), &record(A, None), &loaded.revision, NOW).await.unwrap();
    let Updated::Conflict(current) = update else { panic!("Node's save is lost") };
    assert_eq!(*current.record.text, A.replace("bob", "eve"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_leads_out_of_the_folder() {
    let folder = Folder::new();
    let inner = folder.path().join("a/sessions");
    let store = FileStore::new(&inner);
    store.open().await.unwrap();
    let session = record(A, later(60));
    let long = "x".repeat(251);
    for hostile in [
        "../a", "..", ".", "../../a", "/etc/a", "/", "a/b", "a/", "\\a", "..\\a", "a\0", "\0",
        ".lock/00", ".hidden", &long,
    ] {
        let hostile = id(hostile);
        let error = store.create(&hostile, &session, NOW).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsuitable);
        assert!(
            !format!("{error} {error:?}").contains(hostile.as_str()) || hostile.as_str().len() < 4
        );
        assert_eq!(load(&store, &hostile, NOW).await, None);
        let revision = express_session::store::Revision::new(0);
        let updated = store.update(&hostile, &session, &revision, NOW).await.unwrap();
        assert_eq!(updated, Updated::Gone);
        let touch = Touch::new("{}", None);
        assert_eq!(store.touch(&hostile, &touch, NOW).await.unwrap(), Touched::Gone);
        store.destroy(&hostile).await.unwrap();
    }
    assert_eq!(names(&inner), [".lock"]);
    assert_eq!(names(folder.path()), ["a"]);
    create(&store, &id(&"x".repeat(250)), &session, NOW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrupt_file_is_an_error_and_stays() {
    let (folder, store) = opened(|store| store);
    let file = file_of(folder.path(), &a());
    create(&store, &b(), &record(B, None), NOW).await;
    for garbage in [&b""[..], b"\xff", b"[]", b"{}", &FILE.as_bytes()[..100], b"{\"cookie\":{}}x"] {
        std::fs::write(&file, garbage).unwrap();
        let errors = [
            store.load(&a(), NOW).await.unwrap_err(),
            store.create(&a(), &record(A, None), NOW).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(!format!("{error:?}").contains("bob"));
        }
        assert_eq!(store.count(NOW).await.unwrap(), 1, "the others count");
        assert_eq!(store.list(None, 10, NOW).await.unwrap().sessions.len(), 1);
        assert_eq!(store.purge(10, NOW).await.unwrap(), 0);
        assert_eq!(std::fs::read(&file).unwrap(), garbage);
    }
    store.destroy(&a()).await.unwrap();
    assert_eq!(load(&store, &a(), NOW).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_files_are_left_alone() {
    let (folder, store) = opened(|store| store);
    create(&store, &a(), &record(A, later(60)), NOW).await;
    // The file that session-file-store leaves when it is killed in the middle of a save, and others.
    let others = [".gitkeep", ".x.json", "a.json.123456", "notes.txt"];
    for name in others {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    assert_eq!(store.count(NOW).await.unwrap(), 1);
    assert_eq!(store.purge(10, later(60)).await.unwrap(), 1);
    store.clear().await.unwrap();
    assert_eq!(
        names(folder.path()),
        [".gitkeep", ".lock", ".x.json", "a.json.123456", "notes.txt"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_extension_makes_another_store() {
    let folder = Folder::new();
    let (one, other) = (FileStore::new(folder.path()), FileStore::new(folder.path()));
    let other = other.file_extension(".sess");
    create(&one, &a(), &record(A, later(60)), NOW).await;
    assert_eq!(load(&other, &a(), NOW).await, None);
    create(&other, &a(), &record(B, later(60)), NOW).await;
    other.clear().await.unwrap();
    assert_eq!(names(folder.path()), [".lock", &format!("{}.json", a().as_str())]);

    let bare = FileStore::new(folder.fresh()).file_extension("");
    create(&bare, &a(), &record(A, later(60)), NOW).await;
    assert_eq!(bare.count(NOW).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_sessions_are_removed_after_each_interval() {
    let (folder, store) = opened(|store| store.fsync(false));
    for number in 0..300 {
        let end = if number % 2 == 0 { later(1) } else { later(100_000) };
        create(&store, &id(&format!("s-{number}")), &record(A, end), NOW).await;
    }
    let kept = id("s-1");
    assert!(load(&store, &kept, later(3599)).await.is_some());
    tokio::task::yield_now().await;
    assert_eq!(names(folder.path()).len(), 301, "not yet");
    assert!(load(&store, &kept, later(3600)).await.is_some());
    while names(folder.path()).len() > 151 {
        tokio::task::yield_now().await;
    }
    assert!(load(&store, &kept, later(3600)).await.is_some());
}

const HOLDER: LockToken = LockToken::from_random([1; LockToken::BYTES]);
const LEASE: Duration = Duration::from_secs(30);

async fn acquire(store: &FileStore, id: &SessionId, holder: LockToken, lease: Duration) {
    assert!(matches!(store.lock(id, holder, lease, NOW).await.unwrap(), LockOutcome::Acquired(_)));
}

/// Returns the names of the files that hold locks of sessions.
fn leases(folder: &Path) -> Vec<String> {
    let names = names(&folder.join(".lock")).into_iter();
    names.filter(|name| name.ends_with(".leases")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_of_sessions_are_where_session_file_store_does_not_look_and_go_when_given_back() {
    let (folder, store) = opened(|store| store);
    for id in [a(), b(), id("a\nb"), id("\""), id("会话")] {
        acquire(&store, &id, HOLDER, LEASE).await;
        assert_eq!(names(folder.path()), [".lock"]);
        assert_eq!(leases(folder.path()).len(), 1);
        store.clear().await.unwrap();
        let other = LockToken::from_random([2; LockToken::BYTES]);
        assert_eq!(store.lock(&id, other, LEASE, NOW).await.unwrap(), LockOutcome::Held);
        store.unlock(&id, HOLDER).await.unwrap();
        assert_eq!(leases(folder.path()), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_that_are_over_are_removed_with_the_expired_sessions_or_by_a_purge() {
    let (folder, store) = opened(|store| store.fsync(false));
    let hold = async |from: usize, lease: u64| {
        for number in from..from + 200 {
            let id = id(&format!("{number}-session"));
            let lease = Duration::from_secs(lease);
            acquire(&store, &id, HOLDER, lease).await;
        }
    };
    hold(0, 30).await;
    let files = leases(folder.path()).len();
    assert!(files > 30, "{files}");
    assert_eq!(store.purge(10, later(29)).await.unwrap(), 0);
    assert_eq!(leases(folder.path()).len(), files);
    assert_eq!(store.purge(10, later(30)).await.unwrap(), 0);
    assert_eq!(leases(folder.path()), [""; 0]);

    hold(0, 30).await;
    acquire(&store, &a(), HOLDER, 2 * LEASE).await;
    let cleaning = FileStore::new(folder.path()).reap_interval(Duration::from_secs(1));
    assert!(load(&cleaning, &a(), later(28)).await.is_none());
    assert!(load(&cleaning, &a(), later(30)).await.is_none());
    while leases(folder.path()).len() > 1 {
        tokio::task::yield_now().await;
    }
    let other = LockToken::from_random([2; LockToken::BYTES]);
    assert_eq!(store.lock(&a(), other, LEASE, later(59)).await.unwrap(), LockOutcome::Held);
}

/// The remains of a file after a power cut, without `fsync`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_of_locks_that_cannot_be_read_holds_none() {
    let (folder, store) = opened(|store| store);
    let other = LockToken::from_random([2; LockToken::BYTES]);
    for left in ["", "\0\0\0", r#"{"a":{"holder":["#] {
        acquire(&store, &a(), HOLDER, LEASE).await;
        let file = folder.path().join(".lock").join(&leases(folder.path())[0]);
        std::fs::write(file, left).unwrap();
        acquire(&store, &a(), other, LEASE).await;
        store.unlock(&a(), other).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_that_is_removed_is_made_again() {
    let folder = Folder::new();
    let path = folder.path().join("a/b");
    let store = FileStore::new(&path);
    assert_eq!(load(&store, &a(), NOW).await, None);
    assert_eq!(store.count(NOW).await.unwrap(), 0);
    assert!(!path.exists(), "who reads makes nothing");
    create(&store, &a(), &record(A, later(60)), NOW).await;
    std::fs::remove_dir_all(&path).unwrap();
    create(&store, &a(), &record(A, later(60)), NOW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_distinct_kinds() {
    let folder = Folder::new();
    let file = folder.path().join("a file");
    std::fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = FileStore::new(&path).open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(std::error::Error::source(&error).is_some());
    }
    let store = FileStore::new(folder.path());
    for text in ["", "5", "[]", "{}", "not JSON"] {
        let error = store.create(&a(), &record(text, None), NOW).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsuitable, "{text}");
    }
    assert!(!file_of(folder.path(), &a()).exists());
}

/// Another process, or its thread, that holds the locks and does not let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_lock_is_waited_for_and_then_a_timeout() {
    let folder = Folder::new();
    let patient = FileStore::new(folder.path());
    let store = patient.clone().timeout(Duration::from_millis(50));
    create(&patient, &a(), &record(A, later(60)), NOW).await;
    let locks: Vec<_> = names(&folder.path().join(".lock"))
        .into_iter()
        .map(|name| {
            let lock = std::fs::File::options()
                .write(true)
                .open(folder.path().join(".lock").join(name))
                .unwrap();
            fs4::FileExt::lock(&lock).unwrap();
            lock
        })
        .collect();
    assert!(!locks.is_empty());
    let touch = Touch::new("{}", Some(later(60)));
    let error = store.touch(&a(), &touch, NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(load(&patient, &a(), NOW).await.is_some(), "a reader does not wait");
    drop(locks);
    // The call before may still be on its way.
    assert_eq!(patient.touch(&a(), &touch, NOW).await.unwrap(), Touched::Done);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_are_their_owners_only_and_others_keep_their_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let path = folder.fresh();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let store = FileStore::new(&path);
    create(&store, &a(), &record(A, later(60)), NOW).await;
    assert_eq!(mode(&path), 0o700);
    let file = file_of(&path, &a());
    assert_eq!(mode(&file), 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let touch = Touch::new("{}", Some(later(60)));
    store.touch(&a(), &touch, NOW).await.unwrap();
    assert_eq!(mode(&file), 0o644);
    let group = FileStore::new(&path).mode(0o660);
    create(&group, &b(), &record(B, later(60)), NOW).await;
    assert_eq!(mode(&file_of(&path, &b())), 0o660);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_is_refused_and_every_session_stays_as_it_was() {
    let Some(disk) = crate::local::SmallDisk::new() else { return };
    let store = FileStore::new(disk.path());
    let text = |number: usize, size| {
        format!(r#"{{"cookie":{{}},"n":{number},"fill":"{}"}}"#, "x".repeat(size))
    };
    create(&store, &a(), &record(A, later(60)), NOW).await;
    let mut saved = 0;
    let error = loop {
        let big = record(&text(saved, 100_000), later(60));
        match store.create(&id(&format!("s-{saved}")), &big, NOW).await {
            Ok(created) => assert!(matches!(created, Created::Done(_))),
            Err(error) => break error,
        }
        saved += 1;
    };
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    let loaded = load(&store, &a(), NOW).await.unwrap();
    assert_eq!(loaded.record, record(A, later(60)));
    let too_big = record(&text(0, 300_000), later(60));
    let update = store.update(&a(), &too_big, &loaded.revision, NOW).await;
    assert_eq!(update.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(load(&store, &a(), NOW).await, Some(loaded));
    for number in 0..saved {
        let loaded = load(&store, &id(&format!("s-{number}")), NOW).await.unwrap();
        assert_eq!(*loaded.record.text, text(number, 100_000));
    }
    // Half a record was left nowhere: a smaller one fits.
    store.destroy(&id("s-0")).await.unwrap();
    create(&store, &b(), &record(&text(0, 90_000), later(60)), NOW).await;
}
