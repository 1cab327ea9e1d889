//! The lock of a session: who has it, what it keeps out, and how it ends.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use express_session::store::{self, AnyStore, Store as _};
use express_session::{Departures, Error, ErrorKind, Session, SessionId, SessionLayer};
use express_session_testkit::{MapStore, Verb, WithoutLocks};
use http::{Request, Response, StatusCode};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::delayed_store::DelayedStore;
use crate::support::*;

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

async fn lock(session: &Session) -> express_session::SessionLock {
    session.lock().await.unwrap()
}

/// Reads, is held up, and writes: what loses updates unless one request goes after the other.
async fn add_one(session: Session) -> Result<(), Error> {
    let lock = session.lock().await?;
    let n: u32 = session.get("n")?.unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    session.insert("n", n + 1)?;
    lock.unlock().await
}

#[tokio::test(start_paused = true)]
async fn sections_under_a_lock_come_one_after_the_other() {
    let world = World::with(r#""n":0"#).await;
    let service = world.layer().layer(service_fn(async |request: Request<()>| {
        add_one(Session::from_extensions(request.extensions())?.load().await?).await?;
        Ok::<_, Error>(Response::new(text("")))
    }));
    let requests: Vec<_> =
        (0..50).map(|_| tokio::spawn(service.clone().oneshot(visit_as(BOB)))).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(world.kept(BOB).await.unwrap(), record(PLAIN, r#""n":50"#));
}

#[tokio::test(start_paused = true)]
async fn layers_of_two_processes_take_turns_through_the_store() {
    let world = World::with(r#""n":0"#).await;
    let (one, other) = (world.layer(), world.layer());
    let [first, second] = [bob(&one).await, bob(&other).await];
    let held = lock(&first.session).await;
    let waiting = second.session.clone();
    let waiting = tokio::spawn(async move {
        let lock = waiting.lock().await.unwrap();
        let seen = waiting.get::<u32>("n").unwrap();
        lock.unlock().await.unwrap();
        seen
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.session.insert("n", 7).unwrap();
    assert!(!waiting.is_finished());
    held.unlock().await.unwrap();
    assert_eq!(waiting.await.unwrap(), Some(7));
}

#[tokio::test]
async fn lock_costs_two_calls_and_one_to_give_it_back() {
    let (world, talk) = World::visited("").await;
    world.calls();
    let held = lock(&talk.session).await;
    assert_eq!(world.verbs(), [Verb::Lock, Verb::Load]);
    held.unlock().await.unwrap();
    assert_eq!(world.verbs(), [Verb::Unlock]);
    let held = lock(&talk.session).await;
    talk.session.insert("a", 1).unwrap();
    world.calls();
    held.unlock().await.unwrap();
    assert_eq!(world.verbs(), [Verb::UpdateLocked, Verb::Unlock]);
    talk.end().await;
    assert_eq!(world.verbs(), []);
}

#[tokio::test]
async fn session_is_as_the_store_has_it_with_ones_own_changes_on_top() {
    let (world, talk) = World::visited(r#""a":1,"b":1"#).await;
    talk.session.insert("mine", 1).unwrap();
    world.keep(BOB, &record(PLAIN, r#""a":2,"b":1"#)).await;
    let held = lock(&talk.session).await;
    assert_eq!(talk.session.get::<u8>("a").unwrap(), Some(2));
    assert_eq!(talk.session.get::<u8>("mine").unwrap(), Some(1));
    held.unlock().await.unwrap();
    assert_eq!(world.kept(BOB).await.unwrap(), record(PLAIN, r#""a":2,"b":1,"mine":1"#));
    talk.end().await;
}

#[tokio::test]
async fn those_that_ask_for_no_lock_are_merged_as_always() {
    let world = World::with("").await;
    let layer = world.layer();
    let (locked, free) = (bob(&layer).await, bob(&layer).await);
    let held = lock(&locked.session).await;
    free.session.insert("theirs", 1).unwrap();
    assert_eq!(free.end().await.status, StatusCode::OK);
    locked.session.insert("ours", 1).unwrap();
    held.unlock().await.unwrap();
    locked.end().await;
    let both = record(PLAIN, r#""theirs":1,"ours":1"#);
    assert_eq!(world.kept(BOB).await.unwrap(), both);
}

#[tokio::test]
async fn lock_lasts_until_the_response_is_saved() {
    let world = World::with("").await;
    let layer = world.layer().lock_wait(Duration::ZERO);
    let talk = bob(&layer).await;
    // Dropping the lock does not end it.
    drop(lock(&talk.session).await);
    let other = bob(&layer).await;
    assert_eq!(kind(other.session.lock().await), ErrorKind::Locked);
    talk.session.insert("a", 1).unwrap();
    world.calls();
    assert_eq!(talk.end().await.status, StatusCode::OK);
    assert_eq!(world.verbs(), [Verb::UpdateLocked, Verb::Unlock]);
    lock(&other.session).await.unlock().await.unwrap();
    other.end().await;
}

#[tokio::test]
async fn lock_lasts_while_a_body_is_sent_that_can_change_the_session() {
    let world = World::with("").await;
    let layer = world.layer().lock_wait(Duration::ZERO);
    let talk = bob(&layer).await;
    let held = lock(&talk.session).await;
    let (session, sent) = talk.hold(text("ok"));
    let response = sent.await;
    let other = bob(&layer).await;
    assert_eq!(kind(other.session.lock().await), ErrorKind::Locked);
    session.insert("late", 1).unwrap();
    world.calls();
    drop((session, held));
    read(response).await;
    assert_eq!(world.verbs(), [Verb::UpdateLocked, Verb::Unlock]);
    lock(&other.session).await.unlock().await.unwrap();
    other.end().await;
}

#[tokio::test]
async fn holder_of_an_expired_lease_writes_nothing() {
    let world = World::with(r#""n":1"#).await;
    let layer = world.layer().lock_lease(Duration::from_secs(30));
    let talk = bob(&layer).await;
    let held = lock(&talk.session).await;
    talk.session.insert("n", 2).unwrap();
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(kind(talk.session.save().await), ErrorKind::LockLost);
    assert_eq!(kind(held.renew().await), ErrorKind::LockLost);
    assert_eq!(kind(held.unlock().await), ErrorKind::LockLost);
    // Nor does the end of the request, and the response says so.
    let answer = talk.end().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(world.kept(BOB).await.unwrap(), record(PLAIN, r#""n":1"#));
}

#[tokio::test]
async fn lease_that_is_renewed_goes_on() {
    let world = World::with("").await;
    let layer = world.layer().lock_lease(Duration::from_secs(30));
    let talk = bob(&layer).await;
    let held = lock(&talk.session).await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(29));
        held.renew().await.unwrap();
    }
    talk.session.insert("n", 2).unwrap();
    held.unlock().await.unwrap();
    assert_eq!(world.kept(BOB).await.unwrap(), record(PLAIN, r#""n":2"#));
    talk.end().await;
}

#[tokio::test(start_paused = true)]
async fn request_that_hangs_with_a_lock_holds_others_up_for_its_lease_only() {
    let world = World::with("").await;
    let layer = world.layer().lock_lease(Duration::from_secs(3));
    let (hanging, next) = (bob(&layer).await, bob(&layer).await);
    let _held = lock(&hanging.session).await;
    let clock = world.clock.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        clock.advance(Duration::from_secs(3));
    });
    let start = tokio::time::Instant::now();
    lock(&next.session).await.unlock().await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(3100), "{:?}", start.elapsed());
    next.end().await;
}

#[tokio::test(start_paused = true)]
async fn lock_is_waited_for_as_long_as_the_option_says() {
    let world = World::with("").await;
    for layer in [world.layer(), world.layer()] {
        let one = layer.lock_wait(Duration::from_secs(2));
        let holder = bob(&one).await;
        let held = lock(&holder.session).await;
        // In the same process, and in another.
        for layer in [one.clone(), world.layer().lock_wait(Duration::from_secs(2))] {
            let next = bob(&layer).await;
            let start = tokio::time::Instant::now();
            assert_eq!(kind(next.session.lock().await), ErrorKind::Locked);
            assert_eq!(start.elapsed(), Duration::from_secs(2));
            assert_eq!(next.end().await.status, StatusCode::OK);
        }
        held.unlock().await.unwrap();
        holder.end().await;
    }
}

#[tokio::test]
async fn error_of_a_lock_is_answered_with_a_time_to_try_again() {
    let world = World::with("").await;
    let layer = world.layer().lock_wait(Duration::ZERO);
    let holder = bob(&layer).await;
    let held = lock(&holder.session).await;
    let service = layer.layer(service_fn(async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions()).unwrap().load().await.unwrap();
        let error = session.lock().await.unwrap_err();
        Ok::<_, Infallible>(axum::response::IntoResponse::into_response(error))
    }));
    let response = service.oneshot(visit_as(BOB)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    held.unlock().await.unwrap();
    holder.end().await;
}

#[tokio::test]
async fn request_has_a_lock_once() {
    let (world, talk) = World::visited("").await;
    let held = lock(&talk.session).await;
    assert_eq!(kind(talk.session.clone().lock().await), ErrorKind::LockedTwice);
    // The one it has is untouched by that.
    world.calls();
    talk.session.insert("a", 1).unwrap();
    held.unlock().await.unwrap();
    assert_eq!(world.verbs(), [Verb::UpdateLocked, Verb::Unlock]);
    lock(&talk.session).await.unlock().await.unwrap();
    talk.end().await;
}

#[tokio::test(start_paused = true)]
async fn request_that_is_dropped_gives_its_lock_back() {
    let world = World::with("").await;
    let layer = world.layer().lock_wait(Duration::from_secs(1));
    let talk = bob(&layer).await;
    let held = lock(&talk.session).await;
    drop((talk.abort(), held));
    let next = bob(&layer).await;
    lock(&next.session).await.unlock().await.unwrap();
    next.end().await;
}

#[tokio::test(start_paused = true)]
async fn request_that_stops_asking_gives_its_lock_back_even_if_the_store_had_given_it() {
    let world = World::with("").await;
    let (layer, delayed_store) = world.delayed(DelayedStore::after, Verb::Lock);
    let talk = bob(&layer).await;
    {
        let asking = pin!(talk.session.lock());
        // The store does it, and the answer is held.
        assert!(asking.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(world.verbs(), [Verb::Load, Verb::Lock]);
    }
    delayed_store.open();
    let next = bob(&world.layer().lock_wait(Duration::from_secs(1))).await;
    lock(&next.session).await.unlock().await.unwrap();
    // And may ask again itself.
    lock(&talk.session).await.unlock().await.unwrap();
    talk.end().await;
    next.end().await;
}

#[tokio::test]
async fn save_while_the_lock_is_still_asked_for_is_one_without_it() {
    let world = World::with("").await;
    let (layer, delayed_store) = world.delayed(DelayedStore::before, Verb::Lock);
    let talk = bob(&layer).await;
    let session = talk.session.clone();
    let mut asking = pin!(session.lock());
    assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    world.calls();
    talk.session.insert("a", 1).unwrap();
    talk.session.save().await.unwrap();
    assert_eq!(world.verbs(), [Verb::Update]);
    delayed_store.open();
    asking.await.unwrap().unlock().await.unwrap();
    talk.end().await;
    assert_eq!(world.kept(BOB).await.unwrap(), record(PLAIN, r#""a":1"#));
}

#[tokio::test]
async fn where_an_end_is_not_final_a_destroyed_session_is_locked_and_written_again() {
    let world = World::with("").await;
    let layer = world.layer().departures(Departures::all().destroy_is_final(false));
    let talk = bob(&layer).await;
    world.store.inner().destroy(&SessionId::new(BOB).unwrap()).await.unwrap();
    let held = lock(&talk.session).await;
    talk.session.insert("a", 1).unwrap();
    held.unlock().await.unwrap();
    talk.end().await;
    assert_eq!(world.kept(BOB).await.unwrap(), record(PLAIN, r#""a":1"#));
}

#[tokio::test]
async fn session_that_ended_in_the_meantime_is_not_locked() {
    let world = World::with("").await;
    let layer = world.layer();
    let talk = bob(&layer).await;
    world.store.inner().destroy(&SessionId::new(BOB).unwrap()).await.unwrap();
    assert_eq!(kind(talk.session.lock().await), ErrorKind::Ended);
    talk.end().await;
}

#[tokio::test]
async fn session_that_was_regenerated_under_a_lock_is_saved_without_it() {
    let (world, talk) = World::visited(r#""user":"bob""#).await;
    let held = lock(&talk.session).await;
    talk.session.regenerate().await.unwrap();
    talk.session.insert("user", "bob").unwrap();
    world.calls();
    held.unlock().await.unwrap();
    assert_eq!(world.verbs(), [Verb::Create, Verb::Unlock]);
    talk.end().await;
}

#[tokio::test]
async fn logout_needs_no_lock_and_the_holder_learns_of_it() {
    let world = World::with(r#""user":"bob""#).await;
    let layer = world.layer();
    let (holder, leaving) = (bob(&layer).await, bob(&layer).await);
    let held = lock(&holder.session).await;
    leaving.session.destroy().await.unwrap();
    leaving.end().await;
    holder.session.insert("a", 1).unwrap();
    assert_eq!(kind(held.unlock().await), ErrorKind::Ended);
    holder.end().await;
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn new_session_can_be_locked_and_is_created_then() {
    let (world, talk) = World::first_visit().await;
    let held = lock(&talk.session).await;
    talk.session.insert("a", 1).unwrap();
    held.unlock().await.unwrap();
    assert_eq!(world.verbs(), [Verb::Lock, Verb::Create, Verb::Unlock]);
    talk.end().await;
}

#[tokio::test]
async fn store_without_locks_says_so_and_everything_else_goes_on() {
    let layer = SessionLayer::new(SECRET).store(AnyStore::new(WithoutLocks(MapStore::default())));
    let talk = Talk::begin(&layer, visit()).await;
    let error = talk.session.lock().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store(store::ErrorKind::Unsupported));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the session store cannot do this: it has no locks");
    talk.session.insert("a", 1).unwrap();
    talk.session.save().await.unwrap();
    assert_eq!(talk.end().await.status, StatusCode::OK);
}
