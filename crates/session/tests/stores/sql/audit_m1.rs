//! A machine whose clock is wrong neither ends the sessions of others nor stops cleaning (audit M1).

use std::time::{Duration, SystemTime};

use express_session::Timestamp;
use express_session::store::{Created, Store as _, Touched};

use super::{Database, TEXT, fresh, id, record, touch};

/// The real time, moved by some seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(Timestamp::from(SystemTime::now()).millis() + seconds * 1000)
}

const HOUR: i64 = 60 * 60;

pub(crate) async fn audit_m1_machine_that_is_ahead_deletes_nothing_and_goes_on_cleaning<
    D: Database,
>() {
    let Some(server) = D::shared() else { return };
    let (url, table) = (D::url(server), fresh("wrong_clock"));
    let store = D::open(&url, &table);
    let machine = D::cleanup_interval(D::open(&url, &table), Some(Duration::from_secs(60)));
    let mut client = D::client(&url).await;
    for live in ["live-1", "live-2"] {
        let created = store.create(&id(live), &record(TEXT, at(HOUR)), at(0)).await.unwrap();
        assert!(matches!(created, Created::Done(_)));
    }
    machine.load(&id("none"), at(0)).await.unwrap();
    // Ahead, and then right again: at both times something that has really ended is removed.
    for clock in [25 * HOUR, 61] {
        store.create(&id("ended"), &record(TEXT, at(-5)), at(-10)).await.unwrap();
        machine.load(&id("none"), at(clock)).await.unwrap();
        let cleaned = async {
            let ids = format!("SELECT {} FROM {table} ORDER BY 1", D::ID);
            loop {
                let ids = D::texts(&mut client, &ids).await;
                if !ids.contains(&"ended".to_owned()) {
                    break ids;
                }
                tokio::task::yield_now().await;
            }
        };
        let left = tokio::time::timeout(Duration::from_secs(30), cleaned).await;
        assert_eq!(left.expect("it was cleaned"), ["live-1", "live-2"], "clock {clock}");
    }
}

pub(crate) async fn audit_m1_end_that_is_meant_is_kept_and_one_of_a_slow_clock_is_not<
    D: Database,
>() {
    let Some(server) = D::shared() else { return };
    let store = D::open(&D::url(server), &fresh("slow_clock"));
    let live = || async { store.load(&id("a"), at(0)).await.unwrap().is_some() };
    store.create(&id("a"), &record(TEXT, at(HOUR)), at(0)).await.unwrap();
    // A day behind, each end is over by the server's clock.
    let (slow, end) = (at(-24 * HOUR), at(-23 * HOUR));
    assert_eq!(store.touch(&id("a"), &touch(end), slow).await.unwrap(), Touched::Done);
    assert!(live().await, "touched");
    let loaded = store.load(&id("a"), slow).await.unwrap().unwrap();
    let text = TEXT.replace("bob", "eve");
    let updated = store.update(&id("a"), &record(&text, end), &loaded.revision, slow).await;
    updated.unwrap();
    assert!(live().await, "updated");
    let loaded = store.load(&id("a"), at(0)).await.unwrap().unwrap();
    assert_eq!(*loaded.record.text, *text);

    // An earlier end that is still to come, and one that the application has let come.
    store.touch(&id("a"), &touch(at(60)), at(0)).await.unwrap();
    assert!(live().await && store.load(&id("a"), at(70)).await.unwrap().is_none());
    store.touch(&id("a"), &touch(at(-2)), at(0)).await.unwrap();
    assert!(!live().await, "it was meant to end");
}
