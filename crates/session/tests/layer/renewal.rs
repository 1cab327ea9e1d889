//! The renewal of a session's id, as visitors with overlapping requests meet it.

use std::time::Duration;

use express_session::store::sealed::{SealKeys, SealedStore};
use express_session::store::{Admin as _, ErrorKind as Failure, Store as _};
use express_session::{
    Cookie, Departures, ErrorKind, LateWrite, LazySession, MemoryStore, Session, SessionId,
    SessionLayer,
};
use express_session_testkit::Verb;
use http::StatusCode;

use crate::support::delayed_store::DelayedStore;
use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);
const QUARTER: Duration = Duration::from_secs(900);
const GRACE: Duration = Duration::from_secs(30);

/// The member of a session that began at [`NOW`].
fn member() -> String {
    format!(r#""__sessionMetadata":{{"created":{0},"seen":{0}}}"#, NOW.millis())
}

/// A world with [`BOB`]'s session, whose id is due for a renewal.
async fn due() -> (World, SessionLayer) {
    let world = World::with(&format!(r#""n":1,{}"#, member())).await;
    world.clock.advance(QUARTER);
    let layer = world.layer().renew_after(QUARTER);
    (world, layer)
}

fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

/// The pair of the cookie that the n-th drawn id has.
fn drawn_pair(nth: u8) -> String {
    sid(&drawn(nth))
}

async fn as_id(layer: &SessionLayer, id: &str) -> Talk {
    Talk::begin(layer, visit_as(id)).await
}

fn count(session: &Session) {
    session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
}

/// Reads the session under an id: its number and its id, or `None` where it is new.
async fn look(layer: &SessionLayer, visitor: &str) -> Option<(u32, String)> {
    let talk = as_id(layer, visitor).await;
    let n = talk.session.get("n").unwrap();
    let found = n.map(|n| (n, talk.session.id().as_str().to_owned()));
    talk.end().await;
    found
}

// When an id is renewed.

#[tokio::test]
async fn request_renews_an_old_id_by_itself_with_two_calls_and_sends_the_new_cookie() {
    let (world, layer) = due().await;
    world.clock.set(NOW.saturating_add(QUARTER - SECOND));
    let talk = bob(&layer).await;
    assert_eq!(talk.session.get("n").unwrap(), Some(1));
    assert_eq!(talk.end().await.cookie(), None);
    world.calls();

    world.clock.advance(SECOND);
    let talk = bob(&layer).await;
    assert_eq!(talk.session.get("n").unwrap(), Some(1));
    let answer = talk.end().await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Create, Verb::Update]);
    assert_eq!(answer.pair(), drawn_pair(1));
    let (created, now) = (NOW.millis(), world.clock.now().millis());
    let kept = format!(
        r#""n":1,"__sessionMetadata":{{"created":{created},"seen":{now},"renewed":{now}}}"#
    );
    assert_eq!(world.kept(&drawn(1)).await, Some(record(PLAIN, &kept)));
    // The old record has no data, and ends with the grace period.
    let until = world.clock.now().saturating_add(GRACE);
    let forward = format!(
        r#""__sessionMetadata":{{"created":{created},"seen":{now},"movedTo":"{}","movedUntil":{}}}"#,
        drawn(1),
        until.millis(),
    );
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, &forward)));
    let loaded = world.store.inner().load(&id(BOB), world.clock.now()).await.unwrap().unwrap();
    assert_eq!(loaded.record.deadline, Some(until));

    // The next request with the new cookie makes as many calls as any.
    let talk = as_id(&layer, &drawn(1)).await;
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn changes_are_stored_with_the_renewal() {
    let (world, layer) = due().await;
    let talk = bob(&layer).await;
    count(&talk.session);
    talk.end().await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Create, Verb::Update]);
    assert_eq!(look(&layer, &drawn(1)).await, Some((2, drawn(1))));
}

#[tokio::test]
async fn request_that_does_not_ask_for_the_session_neither_renews_the_id_nor_follows_it() {
    let (world, layer) = due().await;
    let app = raw(&layer, async |_| ());
    world.calls();
    assert_eq!(send(&app, visit_as(BOB)).await.cookie(), None);
    assert!(!world.verbs().contains(&Verb::Create));
    bob(&layer).await.end().await;
    world.calls();
    assert_eq!(send(&app, visit_as(BOB)).await.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn session_that_is_left_alone_keeps_its_id_and_sends_no_cookie() {
    let (world, layer) = due().await;
    let app = raw(&layer, async |request: http::Request<()>| {
        let session = Session::from_extensions(request.extensions()).unwrap();
        session.leave_alone();
        session.load().await.unwrap();
    });
    assert_eq!(send(&app, visit_as(BOB)).await.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Load]);
    bob(&layer).await.end().await;
    world.calls();
    assert_eq!(send(&app, visit_as(BOB)).await.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Load, Verb::Load]);
}

#[tokio::test]
async fn id_is_not_renewed_where_the_cookie_cannot_be_sent() {
    let (world, layer) = due().await;
    let secure =
        r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/","secure":true}"#;
    world.keep(BOB, &record(secure, &format!(r#""n":1,{}"#, member()))).await;
    world.calls();
    assert_eq!(bob(&layer).await.end().await.cookie(), None);
    assert!(!world.verbs().contains(&Verb::Create));
    // Nor where the response leaves before the session is saved.
    let departures = Departures::all().save_before_response(false);
    world.keep(BOB, &record(PLAIN, &format!(r#""n":1,{}"#, member()))).await;
    assert_eq!(bob(&layer.departures(departures)).await.end().await.cookie(), None);
    assert!(!world.verbs().contains(&Verb::Create));
}

#[tokio::test]
async fn handler_renews_the_id_and_keeps_everything() {
    let world = World::with(&format!(r#""n":1,{}"#, member())).await;
    let layer = world.layer().renewal_grace(GRACE);
    let talk = bob(&layer).await;
    count(&talk.session);
    talk.session.renew_id().await.unwrap();
    assert_eq!(world.verbs(), [Verb::Load, Verb::Create, Verb::Update]);
    assert_eq!(talk.session.id().as_str(), drawn(1));
    assert_eq!(talk.session.get("n").unwrap(), Some(2));
    let metadata = talk.session.metadata().unwrap().unwrap();
    assert_eq!((metadata.created(), metadata.renewed()), (NOW, Some(NOW)));
    let answer = talk.end().await;
    assert_eq!(answer.pair(), drawn_pair(1));
    assert_eq!(world.verbs(), []);
    // Never by itself.
    world.clock.advance(100 * QUARTER);
    assert_eq!(as_id(&layer, &drawn(1)).await.end().await.cookie(), None);
}

#[tokio::test]
async fn change_after_a_renewal_is_written_under_the_new_id() {
    let world = World::with(&format!(r#""n":1,{}"#, member())).await;
    let layer = world.layer().renewal_grace(GRACE);
    let talk = bob(&layer).await;
    talk.session.renew_id().await.unwrap();
    count(&talk.session);
    talk.session.renew_id().await.unwrap();
    count(&talk.session);
    let answer = talk.end().await;
    assert_eq!(answer.pair(), drawn_pair(2));
    // One forward after the other.
    for visitor in [BOB, &drawn(1), &drawn(2)] {
        assert_eq!(look(&layer, visitor).await, Some((3, drawn(2))));
    }
}

#[tokio::test]
async fn session_that_was_never_stored_only_takes_another_id() {
    let world = World::new();
    let layer = world.layer().renewal_grace(GRACE);
    let talk = Talk::begin(&layer, visit()).await;
    let before = talk.session.id();
    talk.session.renew_id().await.unwrap();
    assert_ne!(talk.session.id(), before);
    count(&talk.session);
    let after = talk.session.id();
    assert_eq!(talk.end().await.pair(), sid(after.as_str()));
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn renewal_needs_the_option_headers_that_have_not_left_and_no_lock() {
    let world = World::with(&format!(r#""n":1,{}"#, member())).await;
    for layer in [world.layer(), world.layer().metadata(true)] {
        let talk = bob(&layer).await;
        let error = talk.session.renew_id().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoRenewal);
        assert!(error.to_string().contains("renew_after"));
    }
    let layer = world.layer().renewal_grace(GRACE);
    let talk = bob(&layer).await;
    let lock = talk.session.lock().await.unwrap();
    let refused = talk.session.renew_id().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LockedTwice);
    lock.unlock().await.unwrap();
    let (frames, response) = body::stream();
    let (session, response) = talk.hold(response);
    let response = response.await;
    let late = session.renew_id().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::CookieNotSent);
    drop((session, frames));
    read(response).await;
    let job = layer.open(&id(BOB)).await.unwrap().unwrap();
    assert_eq!(job.renew_id().await.unwrap_err().kind(), ErrorKind::CookieNotSent);
}

#[test]
fn option_of_no_time_is_refused_by_its_name() {
    let layer = || SessionLayer::new(SECRET);
    for (layer, option) in [
        (layer().renew_after(Duration::ZERO), "renew_after"),
        (layer().renew_after(QUARTER).renewal_grace(Duration::ZERO), "renewal_grace"),
        (layer().renewal_grace(Duration::from_micros(1)), "renewal_grace"),
        // Twice the time of a store that does not answer.
        (layer().renewal_grace(10 * SECOND - Duration::from_millis(1)), "renewal_grace"),
    ] {
        assert_eq!(layer.build().unwrap_err().option(), option);
    }
    assert!(layer().renewal_grace(10 * SECOND).build().is_ok());
}

// The grace period.

#[tokio::test]
async fn parallel_requests_of_the_old_id_see_and_write_the_same_session_within_the_grace_period() {
    let (world, layer) = due().await;
    let under_way = bob(&layer).await;
    count(&under_way.session);
    bob(&layer).await.end().await;
    world.calls();
    // It was loaded before the renewal, and saves after it.
    let answer = under_way.end().await;
    assert_eq!(
        world.verbs(),
        [Verb::Create, Verb::Update, Verb::Destroy, Verb::Load, Verb::Update]
    );
    assert_eq!(answer.pair(), drawn_pair(1));
    assert_eq!(look(&layer, &drawn(1)).await, Some((2, drawn(1))));

    // And one that comes later with the old cookie gets the new one.
    world.clock.advance(GRACE - SECOND);
    world.calls();
    let late = bob(&layer).await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Load]);
    assert_eq!(late.session.id().as_str(), drawn(1));
    count(&late.session);
    let answer = late.end().await;
    assert_eq!((answer.pair(), world.verbs()), (&*drawn_pair(1), vec![Verb::Update]));
    assert_eq!(look(&layer, &drawn(1)).await, Some((3, drawn(1))));
}

#[tokio::test]
async fn after_the_grace_period_the_old_id_leads_to_no_session() {
    let (world, layer) = due().await;
    let under_way = bob(&layer).await;
    count(&under_way.session);
    bob(&layer).await.end().await;
    world.clock.advance(GRACE);
    assert_eq!(look(&layer, BOB).await, None);
    // A request that lasted longer than the grace period stores nothing, and does not say that it has.
    let refused = under_way.session.save().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let refused = under_way.session.destroy().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let answer = under_way.end().await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert_eq!(look(&layer, &drawn(1)).await, Some((1, drawn(1))));
}

#[tokio::test]
async fn touch_of_node_does_not_prolong_the_grace_period() {
    let (world, layer) = due().await;
    bob(&layer).await.end().await;
    let text = world.kept(BOB).await.unwrap();
    // Node reads a session without data.
    assert!(!text.contains(r#""n":"#));
    // Its touch moves the deadline, and its `set` adds a member.
    let text = text.replace(r#","__session"#, r#","node":1,"__session"#);
    world.keep(BOB, &text).await;
    assert_eq!(look(&layer, BOB).await, Some((1, drawn(1))));
    world.clock.advance(GRACE);
    assert_eq!(look(&layer, BOB).await, None);
    let talk = bob(&layer).await;
    assert!(talk.session.is_empty() && talk.session.ended_by().is_none());
    assert_ne!(talk.session.id().as_str(), BOB);
}

#[tokio::test]
async fn layer_that_renews_nothing_follows_the_ids_that_others_have_renewed() {
    let (world, layer) = due().await;
    bob(&layer).await.end().await;
    let other = world.layer().metadata(true);
    assert_eq!(look(&other, BOB).await, Some((1, drawn(1))));
}

#[tokio::test]
async fn explicit_reload_lock_and_touch_follow_the_renewal() {
    let (world, layer) = due().await;
    let [reloads, locks, touches] = [bob(&layer).await, bob(&layer).await, bob(&layer).await];
    let other = bob(&layer).await;
    count(&other.session);
    other.end().await;

    reloads.session.reload().await.unwrap();
    assert_eq!(reloads.session.id().as_str(), drawn(1));
    assert_eq!(reloads.session.get("n").unwrap(), Some(2));
    count(&reloads.session);
    assert_eq!(reloads.end().await.pair(), drawn_pair(1));

    world.calls();
    let lock = locks.session.lock().await.unwrap();
    assert_eq!(locks.session.id().as_str(), drawn(1));
    assert_eq!(locks.session.get("n").unwrap(), Some(3));
    let taken: Vec<_> =
        world.store.take_calls().into_iter().filter(|call| call.verb() == Verb::Lock).collect();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[1].id().as_str(), drawn(1));
    count(&locks.session);
    lock.unlock().await.unwrap();
    locks.end().await;

    let (frames, response) = body::stream();
    let (session, response) = touches.hold(response);
    // The response has left with the old id's session unchanged.
    let response = response.await;
    session.touch().await.unwrap();
    assert_eq!(session.get("n").unwrap(), Some(4));
    session.insert("late", 1).unwrap();
    drop((session, frames));
    read(response).await;
    assert!(world.kept(&drawn(1)).await.unwrap().contains(r#""late":1"#));
}

#[tokio::test(start_paused = true)]
async fn socket_that_waits_for_the_end_of_its_session_follows_the_renewal() {
    let (world, layer) = due().await;
    let socket = layer.open(&id(BOB)).await.unwrap().unwrap();
    bob(&layer).await.end().await;
    let ended = socket.ended(SECOND);
    tokio::pin!(ended);
    assert!(waits(ended.as_mut()).await);
    for _ in 0..100 {
        tokio::time::sleep(SECOND).await;
        assert!(waits(ended.as_mut()).await);
    }
    assert_eq!(socket.id().as_str(), drawn(1));
    world.clock.advance(GRACE);
    count(&socket);
    socket.save().await.unwrap();
    assert_eq!(look(&layer, &drawn(1)).await, Some((2, drawn(1))));
    as_id(&layer, &drawn(1)).await.destroy().await;
    ended.await.unwrap();
}

#[tokio::test]
async fn job_opens_the_session_under_its_old_id() {
    let (world, layer) = due().await;
    bob(&layer).await.end().await;
    let job = layer.open(&id(BOB)).await.unwrap().unwrap();
    job.update_now("n", |n: Option<u32>| n.unwrap_or(0) + 1).await.unwrap();
    assert_eq!(look(&layer, &drawn(1)).await, Some((2, drawn(1))));
    world.clock.advance(GRACE);
    assert!(layer.open(&id(BOB)).await.unwrap().is_none());
}

// Races.

#[tokio::test]
async fn two_parallel_renewals_end_with_one_session() {
    let (world, layer) = due().await;
    // Two processes.
    let other = world.layer().renew_after(QUARTER);
    let (one, two) = (bob(&layer).await, bob(&other).await);
    count(&one.session);
    count(&two.session);
    two.session.renew_id().await.unwrap();
    one.session.renew_id().await.unwrap();
    assert_eq!(one.session.id(), two.session.id());
    let [one, two] = [one.end().await, two.end().await];
    assert_eq!(one.pair(), two.pair());
    assert_eq!(look(&layer, BOB).await.unwrap().0, 3);
    // Beside the session there is the record that forwards, and nothing else.
    assert_eq!(stored_ids(&world).await.len(), 2);
}

async fn stored_ids(world: &World) -> Vec<SessionId> {
    let page = world.store.inner().list(None, 100, world.clock.now()).await.unwrap();
    page.sessions.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_process_that_meet_renew_the_id_once_and_lose_no_update() {
    for processes in [1, 3] {
        let (world, _) = due().await;
        let slow = DelayedStore::slow(Verb::Update, world.store.clone());
        let layers: Vec<_> = (0..processes)
            .map(|_| world.layer().renew_after(QUARTER).store(slow.clone()))
            .collect();
        let mut talks = Vec::new();
        for layer in layers.iter().cycle().take(30) {
            let talk = bob(layer).await;
            count(&talk.session);
            talks.push(talk);
        }
        let ends: tokio::task::JoinSet<_> = talks.into_iter().map(Talk::end).collect();
        for answer in ends.join_all().await {
            assert_eq!(answer.status, StatusCode::OK);
        }
        let (n, present) = look(&layers[0], BOB).await.unwrap();
        assert_eq!(n, 31, "{processes}");
        assert_ne!(present, BOB);
        // The records that were given up are destroyed.
        assert_eq!(stored_ids(&world).await.len(), 2, "{processes}");
    }
}

#[tokio::test]
async fn logout_under_the_old_id_ends_the_session_and_is_final() {
    for unread in [false, true] {
        let (world, layer) = due().await;
        let (under_way, writer) = (bob(&layer).await, bob(&layer).await);
        count(&writer.session);
        let renews = bob(&layer).await;
        renews.end().await;
        if unread {
            let app = raw(&layer, async |request: http::Request<()>| {
                let session: LazySession = Session::from_extensions(request.extensions()).unwrap();
                drop(request);
                session.destroy().await
            });
            let answer = send(&app, visit_as(BOB)).await;
            assert_eq!(answer.status, StatusCode::OK);
            drop(under_way.abort());
        } else {
            under_way.destroy().await;
        }
        assert_eq!(stored_ids(&world).await.len(), 0);
        let refused = writer.session.save().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Ended);
        writer.end().await;
        for visitor in [BOB, &drawn(1)] {
            assert_eq!(look(&layer, visitor).await, None);
        }
        assert_eq!(stored_ids(&world).await.len(), 0);
    }
}

#[tokio::test]
async fn logout_between_the_two_calls_of_a_renewal_is_final() {
    let (world, layer) = due().await;
    let delayed = DelayedStore::after(Verb::Create, world.store.clone());
    let slow = layer.clone().store(delayed.clone());
    let renews = bob(&slow).await;
    let mut response = Box::pin(renews.end());
    assert!(waits(response.as_mut()).await);
    assert_eq!(stored_ids(&world).await.len(), 2);
    bob(&layer).await.destroy().await;
    delayed.open();
    assert_eq!(response.await.cookie(), None);
    assert_eq!(stored_ids(&world).await.len(), 0);
}

#[tokio::test]
async fn login_and_regenerate_under_the_old_id_end_the_renewed_session() {
    for logs_in in [false, true] {
        let (world, layer) = due().await;
        let under_way = bob(&layer).await;
        bob(&layer).await.end().await;
        if logs_in {
            under_way.session.login("bob").await.unwrap();
        } else {
            under_way.session.regenerate().await.unwrap();
        }
        assert_eq!(stored_ids(&world).await.len(), 0);
        count(&under_way.session);
        let pair = under_way.end().await.pair().to_owned();
        assert_ne!(pair, drawn_pair(1));
        assert_eq!(stored_ids(&world).await.len(), 1);
    }
}

#[tokio::test]
async fn logout_marks_the_record_first_where_ids_are_renewed_and_is_one_call_otherwise() {
    let (world, layer) = due().await;
    let talk = bob(&layer).await;
    world.calls();
    talk.destroy().await;
    assert_eq!(world.verbs(), [Verb::Update, Verb::Destroy]);
    world.keep(BOB, &record(PLAIN, &member())).await;
    let talk = bob(&world.layer().metadata(true)).await;
    world.calls();
    talk.destroy().await;
    assert_eq!(world.verbs(), [Verb::Destroy]);
}

#[tokio::test]
async fn session_that_was_destroyed_meanwhile_is_not_renewed() {
    for late_write in [LateWrite::Drop, LateWrite::Refuse] {
        for changes in [false, true] {
            let (world, layer) = due().await;
            let layer = layer.late_write(late_write);
            let (one, two) = (bob(&layer).await, bob(&layer).await);
            if changes {
                count(&one.session);
            }
            two.destroy().await;
            let answer = one.end().await;
            assert_eq!(answer.cookie(), None);
            let is_refused = changes && late_write == LateWrite::Refuse;
            assert_eq!(answer.status == StatusCode::CONFLICT, is_refused);
            assert_eq!(stored_ids(&world).await.len(), 0);
        }
    }
}

// Failures.

#[tokio::test]
async fn failed_renewal_is_no_failure_of_a_page_that_only_reads() {
    for verb in [Verb::Create, Verb::Update] {
        let (world, layer) = due().await;
        world.store.fail_next(verb, Failure::Unavailable);
        let answer = bob(&layer).await.end().await;
        assert_eq!(answer.status, StatusCode::OK);
        // The old id is as good as before, and the next request renews it.
        assert_eq!(answer.cookie().map(|_| answer.pair()), Some(&*sid(BOB)), "{verb:?}");
        let answer = bob(&layer).await.end().await;
        assert_ne!(answer.pair(), sid(BOB));
        assert_eq!(look(&layer, BOB).await.unwrap().0, 1);
    }
}

#[tokio::test]
async fn failed_renewal_of_a_changed_session_fails_the_request() {
    for verb in [Verb::Create, Verb::Update] {
        let (world, layer) = due().await;
        let talk = bob(&layer).await;
        count(&talk.session);
        world.store.fail_next(verb, Failure::Unavailable);
        let answer = talk.end().await;
        assert_eq!((answer.status, answer.cookie()), (StatusCode::SERVICE_UNAVAILABLE, None));
        assert_eq!(look(&layer, BOB).await.unwrap().0, 1, "{verb:?}");
    }
}

#[tokio::test]
async fn renewal_whose_answer_is_lost_is_found_by_the_next_request() {
    let (world, layer) = due().await;
    let lost = DelayedStore::lost(Verb::Update, world.store.clone());
    let talk = bob(&layer.clone().store(lost)).await;
    count(&talk.session);
    let answer = talk.end().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    // The store has done it.
    assert_eq!(look(&layer, BOB).await, Some((2, drawn(1))));
}

#[tokio::test]
async fn handler_that_goes_on_after_a_lost_answer_counts_once_or_not_at_all() {
    let (world, layer) = due().await;
    let lost = DelayedStore::lost(Verb::Update, world.store.clone());
    let talk = bob(&layer.clone().store(lost)).await;
    count(&talk.session);
    let error = talk.session.renew_id().await.unwrap_err();
    assert!(error.is_temporary());
    let answer = talk.end().await;
    let (n, _) = look(&layer, BOB).await.unwrap();
    assert!(n == 2 || answer.status == StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(n, 2);
}

#[tokio::test]
async fn load_of_the_new_id_that_fails_is_a_failed_load() {
    let (world, layer) = due().await;
    bob(&layer).await.end().await;
    let mut loads = 0;
    world.store.fail(move |call| {
        loads += u32::from(call.verb() == Verb::Load);
        (loads == 2).then(|| express_session::store::Error::new(Failure::Unavailable, "down"))
    });
    let app = app(&layer, async |session: Session| session.get::<u32>("n").map(drop));
    let answer = send(&app, visit_as(BOB)).await;
    assert!(answer.body.contains("Unavailable"), "{}", answer.body);
    assert_eq!(answer.cookie(), None);
}

// Life.

#[tokio::test]
async fn renewal_prolongs_no_absolute_timeout_and_is_a_visit() {
    let world = World::with(&format!(r#""n":1,{}"#, member())).await;
    let hour = 4 * QUARTER;
    let layer = world.layer().absolute_timeout(hour).idle_timeout(2 * QUARTER).renew_after(QUARTER);
    let mut visitor = BOB.to_owned();
    for nth in 1..4 {
        world.clock.advance(QUARTER);
        let answer = as_id(&layer, &visitor).await.end().await;
        assert_eq!(answer.pair(), drawn_pair(nth));
        visitor = drawn(nth);
        let loaded = world.store.inner().load(&id(&visitor), world.clock.now()).await;
        let deadline = loaded.unwrap().unwrap().record.deadline.unwrap();
        assert!(deadline <= NOW.saturating_add(hour));
    }
    world.clock.advance(QUARTER);
    assert_eq!(look(&layer, &visitor).await, None);
}

#[tokio::test]
async fn renewed_cookie_has_the_sessions_time_and_attributes() {
    let world = World::new();
    let layer =
        world.layer().cookie(Cookie::new().max_age(2 * QUARTER).path("/")).renew_after(QUARTER);
    let talk = Talk::begin(&layer, visit()).await;
    count(&talk.session);
    let first = talk.end().await.cookie().unwrap().to_owned();
    world.clock.advance(QUARTER);
    let talk = Talk::begin(&layer, visit_with(first.split(';').next().unwrap())).await;
    let renewed = talk.end().await.cookie().unwrap().to_owned();
    assert_ne!(renewed.split(';').next(), first.split(';').next());
    let expires = world.clock.now().saturating_add(2 * QUARTER).http_date();
    assert!(renewed.ends_with(&format!("; Path=/; Expires={expires}; HttpOnly")), "{renewed}");
}

#[tokio::test]
async fn sealed_and_bound_records_are_renewed_like_others() {
    let memory = MemoryStore::new();
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).unwrap();
    let sealed = SealedStore::new(memory.clone(), SealKeys::new([secret]).unwrap());
    let world = World::new();
    for layer in [
        world.layer().bind_records(true),
        world.layer().store(sealed.clone()),
        world.layer().store(sealed).bind_records(true),
    ] {
        let layer = layer.renew_after(QUARTER);
        let talk = Talk::begin(&layer, visit()).await;
        count(&talk.session);
        let old = talk.session.id().as_str().to_owned();
        talk.end().await;
        world.clock.advance(QUARTER);
        let under_way = as_id(&layer, &old).await;
        count(&under_way.session);
        let answer = as_id(&layer, &old).await.end().await;
        assert_eq!(under_way.end().await.pair(), answer.pair());
        let (n, present) = look(&layer, &old).await.unwrap();
        assert_eq!(n, 2);
        as_id(&layer, &old).await.destroy().await;
        assert_eq!(look(&layer, &present).await, None);
    }
    // The records that forward end with the grace period.
    world.clock.advance(GRACE);
    assert_eq!(memory.count(world.clock.now()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn lock_holder_loses_its_lock_when_another_process_renews_the_id() {
    let (world, layer) = due().await;
    let other = world.layer().renew_after(QUARTER);
    let holds = bob(&layer).await;
    let lock = holds.session.lock().await.unwrap();
    // A request of the same process leaves the id alone.
    assert_eq!(bob(&layer).await.end().await.cookie(), None);
    assert!(bob(&other).await.end().await.cookie().is_some());
    holds.session.insert("n", 7).unwrap();
    assert_eq!(lock.unlock().await.unwrap_err().kind(), ErrorKind::LockLost);
    holds.end().await;
    let (n, present) = look(&layer, BOB).await.unwrap();
    assert_eq!((n, present != BOB), (1, true));
}
