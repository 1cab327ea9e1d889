//! Many requests that save one session at the same time: nothing is lost, and the store is not asked over
//! and over again.

use std::sync::Mutex;
use std::time::Duration;

use express_session::store::{self, ErrorKind as Failure};
use express_session::{ErrorKind, SessionLayer};
use express_session_testkit::Verb;
use http::StatusCode;
use tokio::task::JoinSet;

use crate::support::delayed_store::DelayedStore;
use crate::support::*;

const WRITERS: usize = 50;

/// Begins requests of [`BOB`]'s, each of which has counted up: the layers take them in turn, each as a process
/// of its own. Writes take a millisecond.
async fn counted_up(layers: Vec<SessionLayer>, world: &World) -> Vec<Talk> {
    let delayed_store = DelayedStore::slow(Verb::Update, world.store.clone());
    let layers: Vec<_> =
        layers.into_iter().map(|layer| layer.store(delayed_store.clone())).collect();
    let mut talks = Vec::new();
    for layer in layers.iter().cycle().take(WRITERS) {
        let talk = bob(layer).await;
        talk.session.update("n", |n: Option<usize>| n.unwrap_or(0) + 1).unwrap();
        talks.push(talk);
    }
    world.calls();
    talks
}

/// Ends all requests concurrently, and returns their answers.
async fn end(talks: impl IntoIterator<Item = Talk>) -> Vec<StatusCode> {
    let ends: JoinSet<_> = talks.into_iter().map(Talk::end).collect();
    ends.join_all().await.iter().map(|answer| answer.status).collect()
}

fn counted(n: usize) -> String {
    record(PLAIN, &format!(r#""n":{n}"#))
}

/// Returns bytes that are the same every time and look like any, other than those of a [`World`].
fn scattered(seed: usize) -> impl Fn(&mut [u8]) + Send + Sync {
    let state = Mutex::new(seed as u64);
    move |bytes| {
        let mut state = state.lock().unwrap();
        for byte in bytes {
            // Knuth's constants of a linear congruential generator.
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = (*state >> 56) as u8;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn writers_of_one_process_fail_once_and_are_then_written_together() {
    let world = World::with(r#""n":0"#).await;
    let talks = counted_up(vec![world.layer()], &world).await;
    assert_eq!(end(talks).await, [StatusCode::OK; WRITERS]);
    assert_eq!(world.kept(BOB).await.unwrap(), counted(WRITERS));
    // Each once, the first that had its turn before others came, and one for all of these.
    assert_eq!(world.verbs(), [Verb::Update; WRITERS + 2]);
}

#[tokio::test(start_paused = true)]
async fn writers_of_many_processes_lose_nothing_and_retry_with_jitter() {
    let world = World::with(r#""n":0"#).await;
    let layers = (1..=WRITERS).map(|seed| world.layer().random(scattered(seed))).collect();
    let talks = counted_up(layers, &world).await;
    assert_eq!(end(talks).await, [StatusCode::OK; WRITERS]);
    assert_eq!(world.kept(BOB).await.unwrap(), counted(WRITERS));
    let calls = world.verbs();
    assert!(calls.iter().all(|verb| *verb == Verb::Update));
    assert!(calls.len() < WRITERS * WRITERS / 4, "{} calls", calls.len());
}

#[tokio::test(start_paused = true)]
async fn writers_of_two_processes_are_written_together_in_each() {
    let world = World::with(r#""n":0"#).await;
    let talks = counted_up(vec![world.layer(), world.layer()], &world).await;
    assert_eq!(end(talks).await, [StatusCode::OK; WRITERS]);
    assert_eq!(world.kept(BOB).await.unwrap(), counted(WRITERS));
    let calls = world.verbs().len();
    assert!(calls < WRITERS + 20, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn members_of_each_and_what_they_removed_are_kept_apart() {
    let world = World::with(r#""gone":1,"n":0"#).await;
    let talks = counted_up(vec![world.layer()], &world).await;
    for (number, talk) in talks.iter().enumerate() {
        talk.session.insert(&format!("m{number}"), number).unwrap();
    }
    talks[7].session.remove("gone").unwrap();
    assert_eq!(end(talks).await, [StatusCode::OK; WRITERS]);
    let kept: serde_json::Value = serde_json::from_str(&world.kept(BOB).await.unwrap()).unwrap();
    assert_eq!((&kept["gone"], &kept["n"]), (&serde_json::Value::Null, &WRITERS.into()));
    assert!((0..WRITERS).all(|number| kept[format!("m{number}")] == number), "{kept}");
}

/// Begins to save, and stops waiting for it.
async fn save_and_leave(talk: &Talk) {
    let saved = tokio::time::timeout(Duration::ZERO, talk.session.save()).await;
    assert!(saved.is_err(), "it is done already");
}

#[tokio::test(start_paused = true)]
async fn saves_that_are_dropped_are_carried_out_and_what_comes_on_top_is_not_lost() {
    let world = World::with(r#""n":0"#).await;
    let talks = counted_up(vec![world.layer(), world.layer()], &world).await;
    for talk in &talks {
        save_and_leave(talk).await;
        talk.session.update("n", |n: Option<usize>| n.unwrap_or(0) + 1).unwrap();
    }
    assert_eq!(end(talks).await, [StatusCode::OK; WRITERS]);
    assert_eq!(world.kept(BOB).await.unwrap(), counted(2 * WRITERS));
}

#[tokio::test(start_paused = true)]
async fn update_on_top_of_an_insert_is_made_again_once_the_insert_is_saved() {
    for is_saved in [true, false] {
        let world = World::with(r#""n":0"#).await;
        let delayed_store = DelayedStore::after(Verb::Update, world.store.clone());
        let setter = Talk::begin(&world.layer().store(delayed_store.clone()), visit_as(BOB)).await;
        let counter = bob(&world.layer()).await;
        setter.session.insert("n", 5).unwrap();
        if is_saved {
            // The store has it, and the answer is on its way.
            save_and_leave(&setter).await;
        }
        setter.session.update("n", |n: Option<usize>| n.unwrap_or(0) + 10).unwrap();
        counter.session.update("n", |n: Option<usize>| n.unwrap_or(0) + 100).unwrap();
        assert_eq!(counter.end().await.status, StatusCode::OK);
        delayed_store.open();
        assert_eq!(setter.end().await.status, StatusCode::OK);
        assert_eq!(world.kept(BOB).await.unwrap(), counted(if is_saved { 115 } else { 15 }));
    }
}

/// Polls the ends of some requests until they have joined the others, and drops them.
#[tokio::test(start_paused = true)]
async fn requests_dropped_while_others_write_for_them_delay_no_other_request() {
    for dropped_after in 0..6 {
        let world = World::with(r#""n":0"#).await;
        let mut talks = counted_up(vec![world.layer()], &world).await;
        let stay = talks.split_off(WRITERS / 2);
        let leave: Vec<_> = talks.into_iter().map(|talk| tokio::spawn(talk.end())).collect();
        let staying = tokio::spawn(end(stay));
        tokio::time::sleep(Duration::from_millis(dropped_after)).await;
        leave.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(staying.await.unwrap(), [StatusCode::OK; WRITERS / 2]);
        let mut answered = 0;
        for leave in leave {
            answered +=
                usize::from(leave.await.is_ok_and(|answer| answer.status == StatusCode::OK));
        }
        let kept: serde_json::Value =
            serde_json::from_str(&world.kept(BOB).await.unwrap()).unwrap();
        let n = kept["n"].as_u64().unwrap() as usize;
        // Those that were dropped may have been written, each once at most.
        assert!((WRITERS / 2 + answered..=WRITERS).contains(&n), "{n} after {dropped_after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn store_that_fails_is_asked_once_for_all_who_wait() {
    let world = World::with(r#""n":0"#).await;
    let talks = counted_up(vec![world.layer()], &world).await;
    let ends = tokio::spawn(end(talks));
    // The conflicts are over, and the one that came first is writing.
    tokio::time::sleep(Duration::from_micros(1500)).await;
    world.store.fail(|call| {
        let down = || store::Error::new(Failure::Unavailable, "down");
        (call.verb() == Verb::Update).then(down)
    });
    let answers = ends.await.unwrap();
    let failed = answers.iter().filter(|status| **status != StatusCode::OK).count();
    assert_eq!(failed, WRITERS - 1, "{answers:?}");
    assert!(world.verbs().len() <= WRITERS + 2, "{} calls", world.verbs().len());
    assert_eq!(world.kept(BOB).await.unwrap(), counted(1));
}

#[tokio::test(start_paused = true)]
async fn record_that_the_store_refuses_is_only_its_own_writers_failure() {
    let world = World::with(r#""n":0"#).await;
    let talks = counted_up(vec![world.layer()], &world).await;
    let ends = tokio::spawn(end(talks));
    tokio::time::sleep(Duration::from_micros(2500)).await;
    world.store.fail_next(Verb::Update, Failure::Unsuitable);
    assert_eq!(ends.await.unwrap(), [StatusCode::OK; WRITERS]);
    assert_eq!(world.kept(BOB).await.unwrap(), counted(WRITERS));
}

/// A store that refuses a write has not applied it: no change is in doubt.
#[tokio::test(start_paused = true)]
async fn changes_of_a_refused_batch_are_merged_with_later_writes() {
    let world = World::with(r#""n":0"#).await;
    let talks = counted_up(vec![world.layer()], &world).await;
    let saves: JoinSet<_> = talks
        .iter()
        .map(|talk| {
            let session = talk.session.clone();
            async move { session.save().await.is_ok() }
        })
        .collect();
    let saves = tokio::spawn(saves.join_all());
    tokio::time::sleep(Duration::from_micros(2500)).await;
    world.store.fail_next(Verb::Update, Failure::Refused);
    let saved = saves.await.unwrap().into_iter().filter(|is_saved| *is_saved).count();
    assert!(saved < WRITERS, "nothing was refused");
    assert_eq!(end(talks).await, [StatusCode::OK; WRITERS]);
    assert_eq!(world.kept(BOB).await.unwrap(), counted(WRITERS));
}

#[tokio::test(start_paused = true)]
async fn logout_ends_all_who_wait() {
    let world = World::with(r#""n":0"#).await;
    let layer = world.layer();
    let talks = counted_up(vec![layer.clone()], &world).await;
    let leaving = bob(&layer).await;
    let saves: JoinSet<_> = talks
        .iter()
        .map(|talk| {
            let session = talk.session.clone();
            async move { session.save().await.map_err(|error| error.kind()) }
        })
        .collect();
    let saves = tokio::spawn(saves.join_all());
    tokio::time::sleep(Duration::from_micros(1500)).await;
    leaving.session.destroy().await.unwrap();
    let saves = saves.await.unwrap();
    assert_eq!(saves.iter().filter(|saved| **saved == Err(ErrorKind::Ended)).count(), WRITERS - 1);
    assert_eq!(world.kept(BOB).await, None);
    end(talks).await;
    leaving.end().await;
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test(start_paused = true)]
async fn session_that_was_written_together_is_saved_and_goes_on() {
    let world = World::with(r#""n":0"#).await;
    let talks = counted_up(vec![world.layer()], &world).await;
    let saves: JoinSet<_> = talks
        .iter()
        .map(|talk| {
            let session = talk.session.clone();
            async move { session.save().await.unwrap() }
        })
        .collect();
    saves.join_all().await;
    world.calls();
    // A saved change is not saved again, and each request sees the changes of its batch.
    let last = talks.last().unwrap().session.clone();
    assert!(last.get::<usize>("n").unwrap() > Some(1));
    last.insert("late", true).unwrap();
    drop(last);
    assert_eq!(end(talks).await, [StatusCode::OK; WRITERS]);
    let kept: serde_json::Value = serde_json::from_str(&world.kept(BOB).await.unwrap()).unwrap();
    assert_eq!((&kept["n"], &kept["late"]), (&WRITERS.into(), &true.into()));
    let updates = world.verbs().len();
    assert!(updates <= 2, "{updates} updates");
}

/// Ends many requests on several threads at the same moment, over a store that answers immediately: those that meet
/// write together, and a request that has to wait for the others begins nothing before it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_store_refuses_none_of_the_requests_that_end_concurrently() {
    for round in 0..40 {
        let world = World::with("").await;
        let layer = world.layer().store(world.store.inner().clone());
        let mut talks = Vec::new();
        for number in 0..WRITERS {
            let talk = bob(&layer).await;
            talk.session.insert(&format!("m{number}"), number).unwrap();
            talks.push(talk);
        }
        assert_eq!(end(talks).await, [StatusCode::OK; WRITERS], "round {round}");
        let kept = world.kept(BOB).await.unwrap();
        for number in 0..WRITERS {
            assert!(kept.contains(&format!(r#""m{number}":{number}"#)), "round {round}: {kept}");
        }
    }
}
