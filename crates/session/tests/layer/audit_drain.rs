//! The low finding about shutdown: a save or a logout that continues in a task of its own ended with the runtime.

use std::pin::pin;
use std::time::Duration;

use express_session::{Error, Session, SessionLayer};
use express_session_testkit::Verb;
use tower::ServiceExt as _;

use crate::support::delayed_store::DelayedStore;
use crate::support::{BOB, World, app, poll_once, record, visit_as};

const LIMIT: Duration = Duration::from_secs(10);

/// Begins a request, and drops it where it waits for the store.
async fn abandon<F>(layer: &SessionLayer, handler: impl Fn(Session) -> F + Clone + Send + 'static)
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut response = pin!(app(layer, handler).oneshot(visit_as(BOB)));
    assert!(poll_once(response.as_mut()).await.is_pending());
}

#[tokio::test(start_paused = true)]
async fn audit_l2_waits_for_the_save_and_the_logout_of_requests_that_were_dropped() {
    for (verb, is_logout) in [(Verb::Update, false), (Verb::Destroy, true)] {
        let world = World::with(r#""n":1"#).await;
        let store = DelayedStore::before(verb, world.store.clone());
        let layer = world.layer().store(store.clone()).build().unwrap();
        abandon(&layer, move |session: Session| async move {
            if is_logout { session.destroy().await } else { session.insert("n", 2) }
        })
        .await;
        let mut drained = Box::pin(layer.drain(LIMIT));
        assert!(poll_once(drained.as_mut()).await.is_pending(), "{verb:?}");
        store.open();
        assert_eq!(drained.await, 0, "{verb:?}");
        let expected = (!is_logout).then(|| record(crate::support::PLAIN, r#""n":2"#));
        assert_eq!(world.kept(BOB).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn audit_l2_tells_how_many_operations_have_not_ended_in_time() {
    let world = World::with("").await;
    let store = DelayedStore::before(Verb::Update, world.store.clone());
    let layer = world.layer().store(store.clone()).store_timeout(LIMIT * 9);
    assert_eq!(layer.drain(LIMIT).await, 0);
    for n in 0..2 {
        abandon(&layer, move |session: Session| async move {
            session.insert("n", n)?;
            session.save().await
        })
        .await;
    }
    let begun = tokio::time::Instant::now();
    assert_eq!(layer.drain(LIMIT).await, 2);
    assert_eq!(begun.elapsed(), LIMIT);
    store.open();
    assert_eq!(layer.drain(LIMIT).await, 0);
}

#[tokio::test(start_paused = true)]
async fn audit_l2_flushes_the_batches_of_overlapping_writers_and_gives_locks_back() {
    let world = World::with(r#""n":0"#).await;
    let store = DelayedStore::slow(Verb::Update, world.store.clone());
    let layer = world.layer().store(store).build().unwrap();
    for _ in 0..20 {
        abandon(&layer, async |session: Session| {
            session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).map(drop)
        })
        .await;
    }
    assert_eq!(layer.drain(LIMIT).await, 0);
    let n = r#""n":20"#;
    assert!(world.kept(BOB).await.unwrap().contains(n));

    let store = DelayedStore::before(Verb::Unlock, world.store.clone());
    let layer = world.layer().store(store.clone()).build().unwrap();
    abandon(&layer, async |session: Session| {
        let _lock = session.lock().await?;
        std::future::pending().await
    })
    .await;
    let mut drained = Box::pin(layer.drain(LIMIT));
    assert!(poll_once(drained.as_mut()).await.is_pending());
    store.open();
    assert_eq!(drained.await, 0);
    assert_eq!(world.verbs().last(), Some(&Verb::Unlock));
}
