//! Several processes, which are this test program started again: some that count together, over conflicts or
//! each in its turn, and one that saves without end and is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use express_session::SessionId;
use express_session::store::{Created, Fenced, LockOutcome, LockToken, Record, Store, Updated};

use super::{Folder, NOW, id, later, record};

const PLACE: &str = "EXPRESS_SESSION_TEST_PLACE";
/// How often to kill; 50 unless the environment says otherwise.
const KILLS: &str = "EXPRESS_SESSION_KILLS";
const SESSIONS: u64 = 8;

/// Where to save, if this process was started by a test.
pub(crate) fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

/// Saves one session after the other, and says so, until it is killed.
pub(crate) async fn save_for_ever(store: impl Store) {
    let mut output = std::io::stdout();
    let mut first = 0;
    for session in 0..SESSIONS {
        let loaded = store.load(&name(session), NOW).await.unwrap();
        first = first.max(loaded.map_or(0, |loaded| number_in(&loaded.record.text)));
    }
    for number in first + 1.. {
        let session = name(number % SESSIONS);
        match store.load(&session, NOW).await.unwrap() {
            None => {
                let created = store.create(&session, &numbered(number), NOW).await.unwrap();
                assert!(matches!(created, Created::Done(_)));
            }
            Some(loaded) => {
                let revision = loaded.revision;
                let updated = store.update(&session, &numbered(number), &revision, NOW).await;
                assert!(matches!(updated.unwrap(), Updated::Done(_)));
            }
        }
        writeln!(output, "saved {number}").unwrap();
    }
}

/// Starts this test program again and again to save, kills it in the middle, and looks at every session.
///
/// `child` is the path of the test that calls [`save_for_ever`].
pub(crate) async fn kill_and_look<S: Store>(child: &str, open: impl Fn(PathBuf) -> S) {
    let folder = Folder::new();
    let place = folder.fresh();
    let kills: u64 =
        std::env::var(KILLS).map_or(50, |kills| kills.parse().expect("a number of kills"));
    for kill in 0..kills {
        let mut process = start(child, &place);
        // It is some saves ahead of what has been read, at any point of any of them.
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let saved = lines.filter_map(|line| line.unwrap().strip_prefix("saved ")?.parse().ok());
        let last: u64 = saved.take(usize::try_from(1 + kill * 7 % 23).unwrap()).last().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();

        let store = open(place.clone());
        for session in 0..SESSIONS {
            let loaded = store.load(&name(session), NOW).await.unwrap();
            let Some(loaded) = loaded else {
                assert!(last < SESSIONS, "session {session} is lost after kill {kill}");
                continue;
            };
            let number = number_in(&loaded.record.text);
            assert_eq!(loaded.record, numbered(number), "torn at kill {kill}");
            assert_eq!(number % SESSIONS, session, "another session's at kill {kill}");
            assert!(number + SESSIONS > last, "save {last} is lost at kill {kill}");
        }
    }
}

const COUNTERS: u64 = 4;
const STEPS: u64 = 50;

/// Counts one record up, over conflicts.
pub(crate) async fn count_up(store: impl Store) {
    let counter = id("counter");
    for _ in 0..STEPS {
        let mut loaded = store.load(&counter, NOW).await.unwrap().unwrap();
        loop {
            let next = numbered(number_in(&loaded.record.text) + 1);
            match store.update(&counter, &next, &loaded.revision, NOW).await.unwrap() {
                Updated::Done(_) => break,
                Updated::Conflict(current) => loaded = current,
                Updated::Gone => panic!("the counter is gone"),
            }
        }
    }
}

/// How often each counts up under the lock, and how often it asks for it.
const TURNS: u64 = 12;
const ATTEMPTS: u32 = 1_000_000;

/// Counts one record up under its lock, and meets no conflict.
pub(crate) async fn count_under_the_lock(store: impl Store) {
    let counter = id("counter");
    for turn in 0..TURNS {
        let mut bytes = [0; LockToken::BYTES];
        bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
        bytes[4..12].copy_from_slice(&turn.to_be_bytes());
        let holder = LockToken::from_random(bytes);
        let mut attempts = 0;
        while store.lock(&counter, holder, Duration::from_secs(60), NOW).await.unwrap()
            == LockOutcome::Held
        {
            attempts += 1;
            assert!(attempts < ATTEMPTS, "the lock is never free");
            tokio::task::yield_now().await;
        }
        let loaded = store.load(&counter, NOW).await.unwrap().unwrap();
        let next = numbered(number_in(&loaded.record.text) + 1);
        let fenced = store.update_locked(&counter, &next, &loaded.revision, holder, NOW).await;
        assert!(matches!(fenced.unwrap(), Fenced::Held(Updated::Done(_))));
        store.unlock(&counter, holder).await.unwrap();
    }
}

/// Starts this test program a few times to count one record up, and sees that nothing is lost.
///
/// `child` is the test that calls [`count_up`].
pub(crate) async fn count_together<S: Store>(child: &str, open: impl Fn(PathBuf) -> S) {
    count(child, open, COUNTERS * STEPS).await;
}

/// The same, each under the lock: `child` is the test that calls [`count_under_the_lock`].
pub(crate) async fn count_in_turns<S: Store>(child: &str, open: impl Fn(PathBuf) -> S) {
    count(child, open, COUNTERS * TURNS).await;
}

async fn count<S: Store>(child: &str, open: impl Fn(PathBuf) -> S, expected: u64) {
    let folder = Folder::new();
    let place = folder.fresh();
    let store = open(place.clone());
    let created = store.create(&id("counter"), &numbered(0), NOW).await.unwrap();
    assert!(matches!(created, Created::Done(_)));
    let counters: Vec<_> = (0..COUNTERS).map(|_| start(child, &place)).collect();
    for counter in counters {
        let output = counter.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let loaded = store.load(&id("counter"), NOW).await.unwrap().unwrap();
    assert_eq!(number_in(&loaded.record.text), expected);
}

fn start(child: &str, place: &Path) -> Child {
    // The test harness leaves the crate out of the names of its tests.
    let (_, name_of_the_test) = child.split_once("::").unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name_of_the_test, "--nocapture"])
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn name(session: u64) -> SessionId {
    id(&format!("session-{session}"))
}

/// Returns a record that its number identifies as complete: of 0 to 60,000 bytes.
fn numbered(number: u64) -> Record {
    let fill = number.to_string().repeat(usize::try_from(number * 7919 % 15_000).unwrap());
    let text = format!(r#"{{"cookie":{{"originalMaxAge":3600000}},"n":{number},"fill":"{fill}"}}"#);
    record(&text, later(3600))
}

fn number_in(text: &str) -> u64 {
    let number = text.split_once(r#""n":"#).unwrap().1.split_once(',').unwrap().0;
    number.parse().unwrap()
}

/// Makes the tests of several processes, each with the test that runs in the processes that it starts. These
/// do nothing by themselves.
macro_rules! process_tests {
    ($open:expr, $child:expr) => {
        process_tests! { $open, $child,
            concurrent_processes_lose_no_update: count_together child_counts_up: count_up
        }
        process_tests! { $open, $child,
            processes_that_take_the_lock_have_no_conflict: count_in_turns
            child_counts_up_under_the_lock: count_under_the_lock
        }
        process_tests!(killed $open, $child);
    };
    (killed $open:expr, $child:expr) => {
        process_tests! { $open, $child,
            killed_process_leaves_every_session_whole: kill_and_look
            child_saves_until_it_is_killed: save_for_ever
        }
    };
    ($open:expr, $child:expr, $test:ident: $start:ident $child_test:ident: $run:ident) => {
        #[test]
        fn $child_test() {
            if let Some(place) = crate::local::processes::place() {
                crate::on_tokio(crate::local::processes::$run($child(place)));
            }
        }

        #[test]
        fn $test() {
            let child = concat!(module_path!(), "::", stringify!($child_test));
            crate::on_tokio(crate::local::processes::$start(child, $open));
        }
    };
}
pub(crate) use process_tests;
