//! Sessions that are opened by their id, outside of a request.

use std::time::Duration;

use express_session::store::ErrorKind as Failure;
use express_session::{ErrorKind, SessionId};
use express_session_testkit::Verb;

use crate::support::*;

fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

#[tokio::test]
async fn session_is_opened_without_a_touch_and_saved_only_explicitly() {
    let world = World::holding(&record(MINUTE, r#""n":1"#)).await;
    let layer = world.minute();
    assert!(layer.open(&id("nobody")).await.unwrap().is_none());
    let session = layer.open(&id(BOB)).await.unwrap().unwrap();
    assert_eq!((session.id().as_str(), session.get::<u8>("n").unwrap()), (BOB, Some(1)));
    session.insert("n", 2).unwrap();
    drop(session);
    assert_eq!(world.verbs(), [Verb::Load, Verb::Load]);

    let session = layer.open(&id(BOB)).await.unwrap().unwrap();
    session.insert("n", 3).unwrap();
    session.save().await.unwrap();
    session.touch().await.unwrap();
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update, Verb::Touch]);
    assert_eq!(world.kept(BOB).await, Some(record(MINUTE, r#""n":3"#)));
}

#[tokio::test]
async fn changes_are_merged_with_those_of_a_request() {
    let (world, talk) = World::visited(r#""n":1"#).await;
    let session = world.layer().open(&id(BOB)).await.unwrap().unwrap();
    talk.session.insert("a", 1).unwrap();
    talk.session.update("n", |n: Option<u8>| n.unwrap_or(0) + 1).unwrap();
    talk.session.save().await.unwrap();
    let n = session.update_now("n", |n: Option<u8>| n.unwrap_or(0) + 10).await.unwrap();
    assert_eq!(n, 12);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":12,"a":1"#)));
}

#[tokio::test]
async fn session_that_has_ended_stays_so_and_can_be_ended_by_its_id() {
    let (world, talk) = World::visited("").await;
    let session = world.layer().open(&id(BOB)).await.unwrap().unwrap();
    talk.destroy().await;
    session.insert("n", 1).unwrap();
    assert_eq!(session.save().await.unwrap_err().kind(), ErrorKind::Ended);
    assert_eq!(world.kept(BOB).await, None);

    let world = World::with("").await;
    world.layer().open(&id(BOB)).await.unwrap().unwrap().destroy().await.unwrap();
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn record_that_cannot_be_read_is_an_error_under_every_setting() {
    let world = World::holding("{").await;
    let layer = world.layer().unreadable_record(express_session::UnreadableRecord::Destroy);
    let error = layer.open(&id(BOB)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store(Failure::Corrupt));
    assert_eq!(world.kept(BOB).await.as_deref(), Some("{"));
}

#[tokio::test(start_paused = true)]
async fn socket_learns_that_its_session_has_ended() {
    let (world, talk) = World::visited("").await;
    let session = world.layer().open(&id(BOB)).await.unwrap().unwrap();
    world.verbs();
    // A store that is unavailable for a moment ends nothing.
    world.store.fail_next(Verb::Load, Failure::Unavailable);
    let waiting = tokio::spawn(async move { session.ended(Duration::from_secs(5)).await });
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    talk.destroy().await;
    waiting.await.unwrap().unwrap();
    let asked = world.verbs().iter().filter(|verb| **verb == Verb::Load).count();
    assert!((2..=4).contains(&asked), "{asked}");

    let world = World::with("").await;
    let session = world.layer().open(&id(BOB)).await.unwrap().unwrap();
    world.store.fail_next(Verb::Load, Failure::Refused);
    let error = session.ended(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store(Failure::Refused));
}
