//! The epoch of a user: the end of all sessions, which no login under way and no other program's write gets past.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use express_session::store::sealed::{SealKeys, SealedStore};
use express_session::store::{Admin as _, Error as StoreError, ErrorKind as StoreErrorKind};
use express_session::{
    AtLimit, Cookie, EndedBy, Error, ErrorKind, MemoryStore, Outage, SessionId, SessionLayer,
    Timestamp,
};
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::record::Json;
use express_session_testkit::{Call, MapStore, Verb};

use crate::support::delayed_store::DelayedStore;
use crate::support::*;

const MINUTE_LONG: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

async fn log_in(layer: &SessionLayer, user: &str) -> String {
    let talk = Talk::begin(layer, visit()).await;
    talk.session.login(user).await.unwrap();
    talk.end().await.pair().to_owned()
}

const REVOKED: (Option<String>, Option<EndedBy>) = (None, Some(EndedBy::Revoked));

fn with_epochs(layer: SessionLayer) -> SessionLayer {
    layer.user_epoch(true)
}

/// The id in a cookie.
fn id(pair: &str) -> &str {
    &pair["connect.sid=s%3A".len()..][..32]
}

fn epoch_id(user: &str) -> String {
    let users = UserQuery::new(Json::of(user).unwrap(), MemberName::DEFAULT);
    users.epoch_id().as_str().to_owned()
}

/// The metadata of a login that was at [`NOW`].
fn member(user: &str, epoch: i64) -> String {
    let now = NOW.millis();
    let epoch = if epoch == 0 { String::new() } else { format!(r#","epoch":{epoch}"#) };
    format!(
        r#""__sessionMetadata":{{"created":{now},"seen":{now},"authenticated":{now},"user":"{user}"{epoch}}}"#
    )
}

// Logins under way.

/// The login has read the epoch before the end, and its session is stored after it: the search cannot find it.
#[tokio::test]
async fn login_that_is_stored_after_the_search_has_ended_with_the_others() {
    for (user_epoch, expected) in [(true, REVOKED), (false, live("bob"))] {
        let world = World::new();
        let layer = world.layer().metadata(true).user_epoch(user_epoch);
        let talk = Talk::begin(&layer, visit()).await;
        talk.session.login("bob").await.unwrap();
        assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 0);
        let pair = talk.end().await.pair().to_owned();
        assert_eq!(found(&layer, &pair).await, expected);
        assert_eq!(world.kept(id(&pair)).await.is_some(), !user_epoch);
    }
}

/// The same where the login comes between the search and its first mark.
#[tokio::test]
async fn login_that_is_stored_during_the_search_has_ended_with_the_others() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let phone = log_in(&layer, "bob").await;
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.login("bob").await.unwrap();
    let (delayed, gate) = world.delayed(DelayedStore::before, Verb::Update);
    let administrator = with_epochs(delayed);
    let mut ending = pin!(administrator.end_sessions_of("bob"));
    assert!(waits(ending.as_mut()).await);
    let laptop = talk.end().await.pair().to_owned();
    gate.open();
    assert_eq!(ending.await.unwrap(), 1);
    for pair in [&phone, &laptop] {
        assert_eq!(found(&layer, pair).await, REVOKED);
    }
}

#[tokio::test]
async fn login_after_the_end_is_a_new_one() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    log_in(&layer, "bob").await;
    layer.end_sessions_of("bob").await.unwrap();
    world.verbs();
    let pair = log_in(&layer, "bob").await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Create]);
    assert_eq!(found(&layer, &pair).await, live("bob"));
    assert!(world.kept(id(&pair)).await.unwrap().contains(&member("bob", NOW.millis())));
    // The clock has not moved, and the next end ends it all the same.
    layer.end_sessions_of("bob").await.unwrap();
    world.keep(id(&pair), &record(PLAIN, &member("bob", NOW.millis()))).await;
    assert_eq!(found(&layer, &pair).await, REVOKED);
}

#[tokio::test]
async fn login_within_a_limit_comes_before_the_end_or_after_it() {
    let world = World::new();
    let limited = |layer: SessionLayer| with_epochs(layer).max_sessions(2, AtLimit::Refuse);
    let layer = limited(world.layer());
    let pair = log_in(&layer, "bob").await;
    // One that waits for the lock while the sessions end begins after them.
    let (delayed, gate) = world.delayed(DelayedStore::before, Verb::Update);
    let administrator = limited(delayed);
    let mut ending = pin!(administrator.end_sessions_of("bob"));
    assert!(waits(ending.as_mut()).await);
    let talk = Talk::begin(&layer, visit()).await;
    let session = talk.session.clone();
    let login = tokio::spawn(async move { session.login("bob").await });
    gate.open();
    assert_eq!(ending.await.unwrap(), 1);
    login.await.unwrap().unwrap();
    let later = talk.end().await.pair().to_owned();
    assert_eq!(found(&layer, &later).await, live("bob"));
    assert_eq!(found(&layer, &pair).await, REVOKED);
    // Those that have ended do not count, wherever their records come from.
    world.keep(id(&pair), &record(PLAIN, &member("bob", 0))).await;
    assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 1);
    log_in(&layer, "bob").await;
}

/// A second factor is no new login: the session ends, although the step comes after the end.
#[tokio::test]
async fn step_up_keeps_the_epoch_of_its_login() {
    for limit in [None, Some(5)] {
        let world = World::new();
        let mut layer = with_epochs(world.layer());
        if let Some(limit) = limit {
            layer = layer.max_sessions(limit, AtLimit::Refuse);
        }
        let pair = log_in(&layer, "bob").await;
        let talk = back(&layer, &pair).await;
        talk.session.step_up(2).await.unwrap();
        let pair = talk.end().await.pair().to_owned();
        assert_eq!(found(&layer, &pair).await, live("bob"));
        let talk = back(&layer, &pair).await;
        layer.end_sessions_of("bob").await.unwrap();
        talk.session.step_up(2).await.unwrap();
        let pair = talk.end().await.pair().to_owned();
        assert_eq!(found(&layer, &pair).await, REVOKED);
    }
}

// Writes of another program.

#[tokio::test]
async fn session_that_express_stores_again_has_ended_and_its_record_goes() {
    for renewal in [false, true] {
        let world = World::new();
        let mut layer = with_epochs(world.layer());
        if renewal {
            layer = layer.renewal_grace(MINUTE_LONG);
        }
        let pair = log_in(&layer, "bob").await;
        let before = world.kept(id(&pair)).await.unwrap();
        assert!(!before.contains("epoch"));
        assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);
        world.keep(id(&pair), &before).await;
        assert_eq!(layer.sessions_of("bob").await.unwrap(), []);
        assert_eq!(found(&layer, &pair).await, REVOKED);
        assert_eq!(world.kept(id(&pair)).await, None);
        // Also one that is opened by its id.
        world.keep(id(&pair), &before).await;
        let session = layer.open(&SessionId::new(id(&pair)).unwrap()).await.unwrap();
        assert!(session.is_none());
        assert_eq!(world.kept(id(&pair)).await, None);
    }
}

#[tokio::test]
async fn session_of_passport_has_the_first_epoch() {
    let world = World::with(r#""passport":{"user":"bob"}"#).await;
    let layer = with_epochs(world.layer());
    assert_eq!(found(&layer, &sid(BOB)).await, live("bob"));
    let text = world.kept(BOB).await.unwrap();
    layer.end_sessions_of("bob").await.unwrap();
    for text in [record(PLAIN, r#""passport":{"user":"bob"}"#), text] {
        world.keep(BOB, &text).await;
        assert_eq!(found(&layer, &sid(BOB)).await, REVOKED);
    }
    // Passport has copied the notes of another user's login (`keepSessionInfo`).
    let notes = member("eve", NOW.millis() + 9);
    world.keep(BOB, &record(PLAIN, &format!(r#""passport":{{"user":"bob"}},{notes}"#))).await;
    assert_eq!(found(&layer, &sid(BOB)).await, REVOKED);
}

#[tokio::test]
async fn reload_and_the_wait_for_the_end_find_it_too() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let pair = log_in(&layer, "bob").await;
    let before = world.kept(id(&pair)).await.unwrap();
    let [one, two] = [back(&layer, &pair).await, back(&layer, &pair).await];
    layer.end_sessions_of("bob").await.unwrap();
    world.keep(id(&pair), &before).await;
    two.session.ended(MINUTE_LONG).await.unwrap();
    assert_eq!(kind(one.session.reload().await), ErrorKind::NotFound);
    assert_eq!(world.kept(id(&pair)).await, None);
}

#[tokio::test]
async fn handler_that_does_not_ask_keeps_no_ended_session_alive() {
    let world = World::new();
    let layer = with_epochs(world.minute());
    let pair = log_in(&layer, "bob").await;
    let before = world.kept(id(&pair)).await.unwrap();
    layer.end_sessions_of("bob").await.unwrap();
    world.keep(id(&pair), &before).await;
    world.clock.advance(Duration::from_secs(30));
    let app = raw(&layer, |_| async {});
    send(&app, visit_with(&pair)).await;
    assert_eq!(world.kept(id(&pair)).await, None);
}

// The session that goes on.

#[tokio::test]
async fn end_of_the_others_gives_the_own_session_the_new_epoch_and_saves_nothing_else() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let (phone, laptop) = (log_in(&layer, "bob").await, log_in(&layer, "bob").await);
    let before = world.kept(id(&phone)).await.unwrap();
    let talk = back(&layer, &laptop).await;
    talk.session.insert("password", "changed").unwrap();
    assert_eq!(talk.session.end_other_sessions().await.unwrap(), 1);
    let text = world.kept(id(&laptop)).await.unwrap();
    assert!(text.ends_with(&format!(",{}}}", member("bob", NOW.millis()))), "{text}");
    assert!(!text.contains("password"));
    assert_eq!(talk.session.end_other_sessions().await.unwrap(), 0);
    talk.end().await;
    assert!(world.kept(id(&laptop)).await.unwrap().contains("password"));
    assert_eq!(found(&layer, &laptop).await, live("bob"));
    world.keep(id(&phone), &before).await;
    assert_eq!(found(&layer, &phone).await, REVOKED);
}

#[tokio::test]
async fn session_that_is_not_stored_yet_gets_the_epoch_with_its_save() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let phone = log_in(&layer, "bob").await;
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.login("bob").await.unwrap();
    assert_eq!(talk.session.end_other_sessions().await.unwrap(), 1);
    let pair = talk.end().await.pair().to_owned();
    assert_eq!(found(&layer, &pair).await, live("bob"));
    assert_eq!(found(&layer, &phone).await, REVOKED);
}

#[tokio::test]
async fn own_session_of_passport_goes_on() {
    for notes in ["", &format!(",{}", member("eve", 0))] {
        let world = World::with(&format!(r#""passport":{{"user":"bob"}}{notes}"#)).await;
        let layer = with_epochs(world.layer());
        let phone = log_in(&layer, "bob").await;
        let talk = bob(&layer).await;
        assert_eq!(talk.session.end_other_sessions().await.unwrap(), 1);
        talk.end().await;
        assert_eq!(found(&layer, &sid(BOB)).await, live("bob"));
        assert_eq!(found(&layer, &phone).await, REVOKED);
    }
}

/// A tab of the same browser has loaded the session before the end of the others, and reads the epoch after it.
#[tokio::test]
async fn overlapping_request_of_the_own_session_goes_on() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let pair = log_in(&layer, "bob").await;
    let (delayed, gate) = world.delayed(DelayedStore::after, Verb::Load);
    let slow = with_epochs(delayed);
    let mut tab = pin!(back(&slow, &pair));
    assert!(waits(tab.as_mut()).await, "it has loaded the session");
    let page = back(&layer, &pair).await;
    page.session.end_other_sessions().await.unwrap();
    page.end().await;
    gate.open();
    let tab = tab.await;
    assert_eq!(tab.session.user::<String>().unwrap().as_deref(), Some("bob"));
    tab.session.insert("views", 1).unwrap();
    tab.end().await;
    assert_eq!(found(&layer, &pair).await, live("bob"));
}

/// Two tabs of one browser end the others: neither ends its own session.
#[tokio::test]
async fn two_requests_of_one_session_may_end_the_others() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let pair = log_in(&layer, "bob").await;
    let [one, two] = [back(&layer, &pair).await, back(&layer, &pair).await];
    one.session.end_other_sessions().await.unwrap();
    two.session.end_other_sessions().await.unwrap();
    one.session.insert("n", 1).unwrap();
    one.end().await;
    two.end().await;
    assert_eq!(found(&layer, &pair).await, live("bob"));
}

/// A thief's request is under way when the user's sessions end. It cannot give its session a new epoch.
#[tokio::test]
async fn session_that_has_ended_cannot_end_the_others() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let pair = log_in(&layer, "bob").await;
    let before = world.kept(id(&pair)).await.unwrap();
    let talk = back(&layer, &pair).await;
    layer.end_sessions_of("bob").await.unwrap();
    let later = log_in(&layer, "bob").await;
    for text in [None, Some(before)] {
        if let Some(text) = text {
            world.keep(id(&pair), &text).await;
        }
        assert_eq!(kind(talk.session.end_other_sessions().await), ErrorKind::Ended);
    }
    talk.end().await;
    assert_eq!(found(&layer, &later).await, live("bob"));
    assert_eq!(found(&layer, &pair).await, REVOKED);
}

#[tokio::test]
async fn end_of_all_sessions_spares_no_copy_of_the_own_one() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let (phone, laptop) = (log_in(&layer, "bob").await, log_in(&layer, "bob").await);
    let before = world.kept(id(&laptop)).await.unwrap();
    let talk = back(&layer, &laptop).await;
    assert_eq!(talk.session.end_all_sessions().await.unwrap(), 2);
    talk.end().await;
    world.keep(id(&laptop), &before).await;
    for pair in [&phone, &laptop] {
        assert_eq!(found(&layer, pair).await, REVOKED);
    }
}

#[tokio::test]
async fn end_of_one_session_leaves_the_epoch() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    log_in(&layer, "bob").await;
    let public_id = layer.sessions_of("bob").await.unwrap()[0].public_id().to_owned();
    assert!(layer.end_session_of("bob", &public_id).await.unwrap());
    assert_eq!(world.kept(&epoch_id("bob")).await, None);
}

#[tokio::test]
async fn renewed_id_keeps_the_epoch() {
    let world = World::new();
    let layer = with_epochs(world.layer()).renewal_grace(MINUTE_LONG);
    layer.end_sessions_of("bob").await.unwrap();
    let pair = log_in(&layer, "bob").await;
    let talk = back(&layer, &pair).await;
    talk.session.renew_id().await.unwrap();
    let renewed = talk.end().await.pair().to_owned();
    let before = world.kept(id(&renewed)).await.unwrap();
    assert!(before.contains(&format!(r#""epoch":{}"#, NOW.millis())), "{before}");
    // Under the old id it is the same session.
    assert_eq!(found(&layer, &pair).await, live("bob"));
    layer.end_sessions_of("bob").await.unwrap();
    world.keep(id(&renewed), &before).await;
    assert_eq!(found(&layer, &pair).await, REVOKED);
    assert_eq!(world.kept(id(&renewed)).await, None);
}

// The record of the epoch.

#[tokio::test]
async fn record_of_the_epoch_is_no_session_and_is_not_listed() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    layer.end_sessions_of("bob").await.unwrap();
    let (id, now) = (epoch_id("bob"), NOW.millis());
    let expires = NOW.saturating_add(400 * DAY).iso();
    let cookie = format!(
        r#"{{"originalMaxAge":34560000000,"expires":"{expires}","httpOnly":true,"path":"/"}}"#
    );
    let text = format!(
        r#"{{"cookie":{cookie},"__sessionMetadata":{{"created":{now},"seen":{now},"epoch":{now},"movedTo":null,"movedUntil":{now}}}}}"#
    );
    assert_eq!(world.kept(&id).await, Some(text.clone()));
    assert_eq!(layer.sessions_of("bob").await.unwrap(), []);
    // Its id is signed, as by a thief that has the secret.
    for layer in [&layer, &world.layer().metadata(true)] {
        let talk = Talk::begin(layer, visit_as(&id)).await;
        assert!(talk.session.is_empty() && talk.session.id().as_str() != id);
        talk.session.insert("role", "admin").unwrap();
        assert_ne!(self::id(talk.end().await.pair()), id);
        assert!(layer.open(&SessionId::new(id.as_str()).unwrap()).await.unwrap().is_none());
    }
    assert_eq!(world.kept(&id).await, Some(text));
}

#[tokio::test]
async fn record_of_the_epoch_outlasts_every_session() {
    let longer = 500 * DAY;
    for (layer, lasts) in [
        (World::new().layer(), 400 * DAY),
        (World::new().minute(), 400 * DAY),
        (World::new().layer().cookie(Cookie::new().max_age(longer)), longer),
        (World::new().layer().absolute_timeout(longer), longer),
        (World::new().layer().idle_timeout(longer), longer + longer / 10),
    ] {
        let store = MemoryStore::new();
        with_epochs(layer).store(store.clone()).end_sessions_of("bob").await.unwrap();
        let page = store.list(None, 10, NOW).await.unwrap();
        assert_eq!(page.sessions[0].1.deadline, Some(NOW.saturating_add(lasts)));
    }
    // Sessions last for ever in this one.
    let store = MapStore::default();
    with_epochs(World::new().layer()).store(store.clone()).end_sessions_of("bob").await.unwrap();
    let page = store.list(None, 10, NOW).await.unwrap();
    assert_eq!(page.sessions[0].1.deadline, None);
}

#[tokio::test]
async fn raises_that_meet_all_count() {
    let world = World::new();
    let (delayed, gate) = world.delayed(DelayedStore::before, Verb::Create);
    let slow = with_epochs(delayed);
    let mut ending = pin!(slow.end_sessions_of("bob"));
    assert!(waits(ending.as_mut()).await);
    with_epochs(world.layer()).end_sessions_of("bob").await.unwrap();
    gate.open();
    ending.await.unwrap();
    let raised = format!(r#""epoch":{}"#, NOW.millis() + 1);
    assert!(world.kept(&epoch_id("bob")).await.unwrap().contains(&raised));
}

#[tokio::test]
async fn sessions_end_behind_any_member_and_with_bound_and_sealed_records() {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).unwrap();
    let sealed = SealedStore::new(MemoryStore::new(), SealKeys::new([secret]).unwrap());
    let world = World::new();
    for layer in [
        with_epochs(world.layer()).bind_records(true),
        with_epochs(world.layer()).store(sealed.clone()),
        with_epochs(world.layer()).store(sealed).bind_records(true),
        with_epochs(world.layer()).metadata_member("__notes"),
    ] {
        let talk = Talk::begin(&layer, visit()).await;
        talk.session.login("bob").await.unwrap();
        layer.end_sessions_of("bob").await.unwrap();
        layer.end_sessions_of("bob").await.unwrap();
        let pair = talk.end().await.pair().to_owned();
        assert_eq!(found(&layer, &pair).await, REVOKED);
        let pair = log_in(&layer, "bob").await;
        assert_eq!(found(&layer, &pair).await, live("bob"));
        layer.end_sessions_of("bob").await.unwrap();
    }
}

/// Records that were not bound yet, and those that are bound by a secret which was dropped, cannot be read.
#[tokio::test]
async fn epoch_whose_record_cannot_be_read_is_replaced() {
    let world = World::new();
    let unbound = with_epochs(world.layer());
    let bound = |secrets: Vec<&str>| with_epochs(world.signing(secrets).bind_records(true));
    let layers = [
        unbound,
        bound(vec![SECRET]),
        bound(vec!["another secret", SECRET]),
        bound(vec!["another secret"]),
    ];
    for layer in layers {
        let pair = log_in(&layer, "bob").await;
        assert_eq!(found(&layer, &pair).await, live("bob"));
        let talk = Talk::begin(&layer, visit()).await;
        talk.session.login("bob").await.unwrap();
        layer.end_sessions_of("bob").await.unwrap();
        let under_way = talk.end().await.pair().to_owned();
        for pair in [pair, under_way] {
            assert_eq!(found(&layer, &pair).await, REVOKED);
        }
    }
}

// Failures, and the cost.

#[tokio::test]
async fn session_does_not_pass_where_the_epoch_cannot_be_read() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let pair = log_in(&layer, "bob").await;
    let reserved = epoch_id("bob");
    let failing = Arc::new(Mutex::new(true));
    let fails = Arc::clone(&failing);
    world.store.fail(move |call| {
        let is_epoch = matches!(call, Call::Load { id } if id.as_str() == reserved);
        let error = || StoreError::new(StoreErrorKind::Unavailable, "on purpose");
        (is_epoch && *fails.lock().unwrap()).then(error)
    });
    let answer = send(&app(&layer, |_| async {}), visit_with(&pair)).await;
    assert_eq!(answer.body, "Store(Unavailable)");
    let unavailable = ErrorKind::Store(StoreErrorKind::Unavailable);
    let without = layer.clone().outage(Outage::Continue);
    assert_eq!(found(&without, &pair).await, (None, None));
    let opened = layer.open(&SessionId::new(id(&pair)).unwrap()).await;
    assert_eq!(kind(opened), unavailable);
    assert_eq!(kind(layer.end_sessions_of("bob").await), unavailable);
    assert_eq!(kind(layer.sessions_of("bob").await), unavailable);
    // A login fails before it has changed anything.
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.insert("cart", "apple").unwrap();
    assert_eq!(kind(talk.session.login("bob").await), unavailable);
    assert_eq!(talk.session.keys(), ["cart"]);
    talk.end().await;
    *failing.lock().unwrap() = false;
    assert_eq!(found(&layer, &pair).await, live("bob"));
}

#[tokio::test]
async fn request_of_a_user_costs_one_call_more_and_of_any_other_visitor_none() {
    let world = World::new();
    let layer = with_epochs(world.layer());
    let pair = log_in(&layer, "bob").await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Create]);
    found(&layer, &pair).await;
    assert_eq!(world.calls(), format!("load({}) load({})", id(&pair), epoch_id("bob")));
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.insert("cart", "apple").unwrap();
    let pair = talk.end().await.pair().to_owned();
    assert_eq!(world.verbs(), [Verb::Create]);
    found(&layer, &pair).await;
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn layer_without_the_option_carries_the_epoch_along_and_makes_no_call() {
    let world = World::new();
    for layer in [world.layer(), world.layer().metadata(true)] {
        let text = record(PLAIN, &format!(r#""a":1,{}"#, member("bob", 7)));
        world.keep(BOB, &text).await;
        let talk = bob(&layer).await;
        talk.session.insert("a", 2).unwrap();
        talk.end().await;
        assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
        assert_eq!(world.kept(BOB).await, Some(text.replace(r#""a":1"#, r#""a":2"#)));
    }
    let layer = world.layer().metadata(true);
    layer.end_sessions_of("bob").await.unwrap();
    assert_eq!(world.kept(&epoch_id("bob")).await, None);
}

/// The records of `epoch.json`, which the npm package's tests read and write as well.
#[tokio::test]
async fn epochs_are_those_of_the_vectors() {
    let text = include_str!("../../../../conformance/vectors/epoch.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap();
        let world = World::new();
        world.clock.set(Timestamp::from_millis(vectors["now"].as_i64().unwrap()));
        let layer = with_epochs(world.layer());
        let id = text("epochId");
        if let Some(before) = case["before"].as_str() {
            world.keep(id, before).await;
        }
        for session in case["sessions"].as_array().unwrap() {
            world.keep(BOB, session["record"].as_str().unwrap()).await;
            let talk = bob(&layer).await;
            let expected = session["ended"].as_bool().unwrap().then_some(EndedBy::Revoked);
            assert_eq!(talk.session.ended_by(), expected, "{session}");
            talk.end().await;
        }
        let user: serde_json::Value = case["user"].clone();
        layer.end_sessions_of(&user).await.unwrap();
        assert_eq!(world.kept(id).await.as_deref(), Some(text("after")), "{user}");
    }
}
