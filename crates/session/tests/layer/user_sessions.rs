//! The sessions of one user: listed, ended, and limited in number.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use express_session::store::{
    self, Admin as _, AnyStore, Created, ErrorKind as StoreErrorKind, Loaded, Record, Revision,
    Store, Touch, Touched, Updated,
};
use express_session::{
    AtLimit, Cookie, EndedBy, Error, ErrorKind, Session, SessionId, SessionLayer, Timestamp,
    UserSession,
};
use express_session_testkit::{MapStore, Spy, Verb, WithoutLocks};

use crate::support::delayed_store::DelayedStore;
use crate::support::*;

const MINUTE_LONG: Duration = Duration::from_secs(60);

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

/// Logs a user in from a browser without a cookie, and returns the cookie it got.
async fn log_in(layer: &SessionLayer, user: &str) -> String {
    let talk = Talk::begin(layer, visit()).await;
    talk.session.insert("cart", "apple").unwrap();
    talk.session.login(user).keep(["cart"]).await.unwrap();
    talk.end().await.pair().to_owned()
}

fn noting(world: &World) -> SessionLayer {
    world.layer().metadata(true)
}

// The list.

#[tokio::test]
async fn sessions_of_the_user_are_listed_with_their_times_and_without_their_ids() {
    let world = World::new();
    let layer = noting(&world);
    let phone = log_in(&layer, "bob").await;
    world.clock.advance(MINUTE_LONG);
    let laptop = log_in(&layer, "bob").await;
    log_in(&layer, "eve").await;
    let began = NOW.saturating_add(MINUTE_LONG);
    world.clock.advance(MINUTE_LONG);

    let talk = back(&layer, &laptop).await;
    let sessions = talk.session.user_sessions().await.unwrap();
    let times: Vec<_> =
        sessions.iter().map(|it| (it.created(), it.seen(), it.authenticated())).collect();
    assert_eq!(times, [began, NOW].map(|began| (Some(began), Some(began), Some(began))));
    assert_eq!(sessions.iter().map(UserSession::is_current).collect::<Vec<_>>(), [true, false]);
    for session in &sessions {
        let shown = format!("{session:?}");
        for pair in [&phone, &laptop] {
            let id = &pair["connect.sid=s%3A".len()..][..32];
            assert!(!shown.contains(id));
        }
        assert!(
            session.public_id().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
    }
    talk.end().await;
    // An administrator sees the same, and none is their own.
    let listed = layer.sessions_of("bob").await.unwrap();
    let ids = |sessions: &[UserSession]| -> Vec<String> {
        sessions.iter().map(|it| it.public_id().to_owned()).collect()
    };
    assert_eq!(ids(&listed), ids(&sessions));
    assert!(listed.iter().all(|it| !it.is_current()));
    assert_eq!(layer.sessions_of("none").await.unwrap(), []);
}

#[tokio::test]
async fn sessions_that_have_ended_are_not_listed() {
    let world = World::new();
    let layer = noting(&world).idle_timeout(MINUTE_LONG).store(MapStore::default());
    log_in(&layer, "bob").await;
    assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 1);
    world.clock.advance(2 * MINUTE_LONG);
    assert_eq!(layer.sessions_of("bob").await.unwrap(), []);
    assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 0);
}

#[tokio::test]
async fn visitor_without_a_user_has_no_list() {
    let (_world, talk) = World::first_visit().await;
    let session = &talk.session;
    assert_eq!(kind(session.user_sessions().await), ErrorKind::NotLoggedIn);
    assert_eq!(kind(session.end_user_session("x").await), ErrorKind::NotLoggedIn);
    assert_eq!(kind(session.end_other_sessions().await), ErrorKind::NotLoggedIn);
    assert_eq!(kind(session.end_all_sessions().await), ErrorKind::NotLoggedIn);
}

#[tokio::test]
async fn session_of_passport_is_listed_and_ended() {
    let world = World::with(r#""passport":{"user":"bob"},"views":1"#).await;
    let layer = noting(&world);
    let sessions = layer.sessions_of("bob").await.unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].created(), sessions[0].authenticated()), (None, None));
    assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);
    // The record has nothing of the user any more, and Express finds no user in it.
    let mark = format!(
        r#""__sessionMetadata":{{"created":{0},"seen":{0},"ended":"revoked"}}"#,
        NOW.millis()
    );
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, &mark)));
    assert_eq!(found(&layer, &sid(BOB)).await, (None, Some(EndedBy::Revoked)));
    assert_eq!(world.kept(BOB).await, None, "the first request that finds the mark removes it");
}

/// Express has loaded the session before it ended, and writes it once more, with another cookie time.
#[tokio::test]
async fn mark_that_node_has_written_on_top_of_ends_the_session_all_the_same() {
    let world = World::with(r#""passport":{"user":"bob"}"#).await;
    let layer = noting(&world);
    layer.end_sessions_of("bob").await.unwrap();
    let mark = world.kept(BOB).await.unwrap();
    let written = mark.replace(r#""__session"#, r#""views":1,"__session"#);
    world.keep(BOB, &written).await;
    let talk = bob(&layer).await;
    assert_eq!(talk.session.ended_by(), Some(EndedBy::Revoked));
    assert!(talk.session.is_empty());
    talk.end().await;
}

#[tokio::test]
async fn record_is_destroyed_where_no_request_would_read_the_mark() {
    let world = World::with(r#""passport":{"user":"bob"}"#).await;
    let layer = world.layer();
    assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);
    assert_eq!(world.kept(BOB).await, None);
    assert_eq!(found(&layer, &sid(BOB)).await.0, None);
}

#[tokio::test]
async fn mark_lasts_as_long_as_the_session_would_have_and_a_day_without_an_end() {
    for (layer, end) in
        [(World::new().minute(), MINUTE_LONG), (World::new().layer(), Duration::from_secs(86_400))]
    {
        let store = Spy::new(MapStore::default());
        let layer = layer.metadata(true).store(store.clone());
        log_in(&layer, "bob").await;
        layer.end_sessions_of("bob").await.unwrap();
        let page = store.list(None, 10, NOW).await.unwrap();
        let deadlines: Vec<_> = page.sessions.iter().map(|(_, record)| record.deadline).collect();
        assert_eq!(deadlines, [Some(NOW.saturating_add(end))]);
    }
}

// The end.

#[tokio::test]
async fn one_session_is_ended_by_its_public_id_and_only_by_its_own_user() {
    let world = World::new();
    let layer = noting(&world);
    let (phone, laptop) = (log_in(&layer, "bob").await, log_in(&layer, "bob").await);
    let eve = log_in(&layer, "eve").await;

    let talk = back(&layer, &laptop).await;
    let sessions = talk.session.user_sessions().await.unwrap();
    let public_id = sessions.iter().find(|it| !it.is_current()).unwrap().public_id().to_owned();
    talk.end().await;

    let talk = back(&layer, &eve).await;
    assert!(!talk.session.end_user_session(&public_id).await.unwrap());
    talk.end().await;
    assert!(!layer.end_session_of("eve", &public_id).await.unwrap());
    assert_eq!(found(&layer, &phone).await, live("bob"));

    let talk = back(&layer, &laptop).await;
    for wrong in ["", "x", &public_id[1..], &public_id.to_uppercase()] {
        assert!(!talk.session.end_user_session(wrong).await.unwrap(), "{wrong}");
    }
    assert!(talk.session.end_user_session(&public_id).await.unwrap());
    assert!(!talk.session.end_user_session(&public_id).await.unwrap());
    talk.end().await;
    assert_eq!(found(&layer, &phone).await, (None, Some(EndedBy::Revoked)));
    assert_eq!(found(&layer, &laptop).await, live("bob"));
    assert_eq!(found(&layer, &eve).await, live("eve"));
}

#[tokio::test]
async fn public_id_of_an_earlier_secret_is_valid_as_long_as_the_secret_is() {
    let world = World::new();
    let old = world.signing("old").metadata(true);
    log_in(&old, "bob").await;
    let public_id = old.sessions_of("bob").await.unwrap()[0].public_id().to_owned();
    let other = world.signing("new").metadata(true);
    assert!(!other.end_session_of("bob", &public_id).await.unwrap());
    let both = world.signing(["new", "old"]).metadata(true);
    assert_ne!(both.sessions_of("bob").await.unwrap()[0].public_id(), public_id);
    assert!(both.end_session_of("bob", &public_id).await.unwrap());
}

#[tokio::test]
async fn own_session_that_is_ended_is_logged_out() {
    let world = World::new();
    let layer = noting(&world).clear_site_data(true);
    let pair = log_in(&layer, "bob").await;
    let talk = back(&layer, &pair).await;
    let public_id = talk.session.user_sessions().await.unwrap()[0].public_id().to_owned();
    assert!(talk.session.end_user_session(&public_id).await.unwrap());
    assert!(talk.end().await.headers.contains_key("clear-site-data"));
    assert_eq!(world.store.inner().count(NOW).await.unwrap(), 0);
}

#[tokio::test]
async fn other_sessions_end_and_this_one_goes_on() {
    let world = World::new();
    let layer = noting(&world);
    let (phone, tablet) = (log_in(&layer, "bob").await, log_in(&layer, "bob").await);
    let (laptop, eve) = (log_in(&layer, "bob").await, log_in(&layer, "eve").await);
    let talk = back(&layer, &laptop).await;
    assert_eq!(talk.session.end_other_sessions().await.unwrap(), 2);
    assert_eq!(talk.session.end_other_sessions().await.unwrap(), 0);
    talk.session.insert("password", "changed").unwrap();
    talk.end().await;
    for pair in [&phone, &tablet] {
        assert_eq!(found(&layer, pair).await, (None, Some(EndedBy::Revoked)));
    }
    for (pair, user) in [(&laptop, "bob"), (&eve, "eve")] {
        assert_eq!(found(&layer, pair).await, live(user));
    }
}

#[tokio::test]
async fn all_sessions_end_and_a_login_after_that_is_listed() {
    let world = World::new();
    let layer = noting(&world);
    let (phone, laptop) = (log_in(&layer, "bob").await, log_in(&layer, "bob").await);
    let talk = back(&layer, &laptop).await;
    assert_eq!(talk.session.end_all_sessions().await.unwrap(), 2);
    let answer = talk.end().await;
    assert!(answer.cookie().unwrap().contains("Expires=Thu, 01 Jan 1970"));
    assert_eq!(found(&layer, &phone).await, (None, Some(EndedBy::Revoked)));
    assert_eq!(layer.sessions_of("bob").await.unwrap(), []);
    let phone = log_in(&layer, "bob").await;
    assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 1);
    assert_eq!(found(&layer, &phone).await, live("bob"));
}

/// A use of the session by a request under way, after the session has ended.
type Work = fn(Session) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

#[tokio::test]
async fn request_under_way_never_revives_an_ended_session() {
    let works: [(&str, Work); 8] = [
        ("reads", |_| Box::pin(async { Ok(()) })),
        ("changes", |session| Box::pin(async move { session.insert("views", 2) })),
        ("saves", |session| {
            Box::pin(async move {
                session.insert("views", 2)?;
                session.save().await
            })
        }),
        ("touches", |session| Box::pin(async move { session.touch().await })),
        ("updates", |session| {
            Box::pin(async move {
                let increment = |views: Option<u32>| views.unwrap_or(0) + 1;
                session.update_now("views", increment).await.map(drop)
            })
        }),
        ("locks", |session| {
            Box::pin(async move {
                let lock = session.lock().await?;
                session.insert("views", 2)?;
                lock.unlock().await
            })
        }),
        ("reloads", |session| Box::pin(async move { session.reload().await })),
        ("regenerates", |session| {
            Box::pin(async move { session.regenerate_keeping(["cart"]).await })
        }),
    ];
    for (name, work) in works {
        for never_waits in [true, false] {
            let world = World::new();
            let mut layer = noting(&world).touch_after(Duration::ZERO);
            if never_waits {
                layer = layer.store(world.store.inner().clone());
            }
            let pair = log_in(&layer, "bob").await;
            let talk = back(&layer, &pair).await;
            assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);
            let outcome = work(talk.session.clone()).await;
            let is_refused = !matches!(name, "reads" | "changes" | "touches" | "regenerates");
            assert_eq!(outcome.is_err(), is_refused, "{name}");
            talk.end().await;
            assert_eq!(layer.sessions_of("bob").await.unwrap(), [], "{name}");
            let found = found(&layer, &pair).await;
            assert_eq!(found.0, None, "{name}");
        }
    }
}

/// The batch writes of a process meet the mark as well.
#[tokio::test]
async fn overlapping_writes_of_an_ended_session_all_end() {
    let world = World::new();
    let layer = noting(&world);
    let pair = log_in(&layer, "bob").await;
    let talks = [back(&layer, &pair).await, back(&layer, &pair).await, back(&layer, &pair).await];
    layer.end_sessions_of("bob").await.unwrap();
    let saves = talks.iter().enumerate().map(|(number, talk)| {
        let session = talk.session.clone();
        async move {
            session.insert(&format!("n{number}"), 1)?;
            session.save().await
        }
    });
    for saved in futures_util::future::join_all(saves).await {
        assert_eq!(kind(saved), ErrorKind::Ended);
    }
    for talk in talks {
        assert_eq!(kind(talk.session.insert("late", 1)), ErrorKind::Ended);
        assert_eq!(talk.end().await.status, 200);
    }
    assert_eq!(found(&layer, &pair).await, (None, Some(EndedBy::Revoked)));
}

/// A write of the session comes between the load and the mark: the mark goes on top of it.
#[tokio::test]
async fn end_wins_over_a_write_that_comes_between() {
    let world = World::new();
    let pair = log_in(&noting(&world), "bob").await;
    let (delayed, gate) = world.delayed(DelayedStore::before, Verb::Update);
    let administrator = delayed.metadata(true);
    let mut ending = pin!(administrator.end_sessions_of("bob"));
    assert!(waits(ending.as_mut()).await);
    let talk = back(&noting(&world), &pair).await;
    talk.session.insert("views", 7).unwrap();
    talk.end().await;
    gate.open();
    assert_eq!(ending.await.unwrap(), 1);
    assert_eq!(found(&noting(&world), &pair).await, (None, Some(EndedBy::Revoked)));
}

/// In between, the session has become another user's: it is not ended.
#[tokio::test]
async fn session_of_another_user_by_now_is_not_ended() {
    let world = World::with(r#""passport":{"user":"bob"}"#).await;
    let (delayed, gate) = world.delayed(DelayedStore::before, Verb::Update);
    let administrator = delayed.metadata(true);
    let mut ending = pin!(administrator.end_sessions_of("bob"));
    assert!(waits(ending.as_mut()).await);
    world.keep(BOB, &record(PLAIN, r#""passport":{"user":"eve"}"#)).await;
    gate.open();
    assert_eq!(ending.await.unwrap(), 0);
    assert_eq!(found(&noting(&world), &sid(BOB)).await, live("eve"));
}

#[tokio::test]
async fn sessions_end_although_the_caller_goes_away() {
    let world = World::new();
    let (phone, tablet) =
        (log_in(&noting(&world), "bob").await, log_in(&noting(&world), "bob").await);
    let (delayed, gate) = world.delayed(DelayedStore::before, Verb::Update);
    let administrator = delayed.metadata(true);
    {
        let mut ending = pin!(administrator.end_sessions_of("bob"));
        assert!(waits(ending.as_mut()).await);
    }
    gate.open();
    assert_eq!(administrator.drain(Duration::from_secs(5)).await, 0);
    for pair in [&phone, &tablet] {
        assert_eq!(found(&noting(&world), pair).await, (None, Some(EndedBy::Revoked)));
    }
}

#[tokio::test]
async fn store_that_fails_is_an_error_and_the_call_can_be_repeated() {
    let world = World::new();
    let layer = noting(&world);
    let pair = log_in(&layer, "bob").await;
    world.store.fail_next(Verb::Update, StoreErrorKind::Unavailable);
    let failed = kind(layer.end_sessions_of("bob").await);
    assert_eq!(failed, ErrorKind::Store(StoreErrorKind::Unavailable));
    assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);
    assert_eq!(found(&layer, &pair).await, (None, Some(EndedBy::Revoked)));
}

#[tokio::test]
async fn ordinary_requests_make_no_more_calls() {
    let world = World::new();
    let layer = noting(&world).max_sessions(3, AtLimit::Refuse);
    let pair = log_in(&layer, "bob").await;
    world.verbs();
    let talk = back(&layer, &pair).await;
    talk.session.insert("views", 1).unwrap();
    talk.end().await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    let talk = back(&layer, &pair).await;
    talk.end().await;
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn login_without_a_limit_makes_no_more_calls() {
    let world = World::new();
    let layer = noting(&world);
    log_in(&layer, "bob").await;
    assert_eq!(world.verbs(), [Verb::Create]);
    log_in(&layer.max_sessions(2, AtLimit::Refuse), "bob").await;
    assert_eq!(world.verbs(), [Verb::Lock, Verb::Create, Verb::Unlock]);
}

// The limit.

#[tokio::test]
async fn login_beyond_the_limit_is_refused_and_changes_nothing() {
    let world = World::new();
    let layer = world.layer().max_sessions(2, AtLimit::Refuse);
    let pairs = [log_in(&layer, "bob").await, log_in(&layer, "bob").await];
    let other = log_in(&layer, "eve").await;
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.insert("cart", "pear").unwrap();
    talk.session.save().await.unwrap();
    let id = talk.session.id();
    assert_eq!(kind(talk.session.login("bob").await), ErrorKind::TooManySessions);
    assert_eq!(talk.session.id(), id);
    assert_eq!(talk.session.get::<String>("cart").unwrap().as_deref(), Some("pear"));
    assert_eq!(talk.session.user::<String>().unwrap(), None);
    talk.end().await;
    for pair in &pairs {
        assert_eq!(found(&layer, pair).await, live("bob"));
    }
    assert_eq!(found(&layer, &other).await, live("eve"));

    // A logout makes room.
    back(&layer, &pairs[0]).await.destroy().await;
    log_in(&layer, "bob").await;
    assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 2);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn refused_login_is_answered_with_a_403() {
    let world = World::new();
    let layer = world.layer().max_sessions(1, AtLimit::Refuse);
    log_in(&layer, "bob").await;
    let talk = Talk::begin(&layer, visit()).await;
    let error = talk.session.login("bob").await.unwrap_err();
    let response = ::axum::response::IntoResponse::into_response(error);
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn least_recently_used_session_ends_and_learns_why() {
    let world = World::new();
    let layer =
        world.layer().touch_after(Duration::ZERO).max_sessions(2, AtLimit::EndLeastRecentlyUsed);
    let phone = log_in(&layer, "bob").await;
    world.clock.advance(MINUTE_LONG);
    let tablet = log_in(&layer, "bob").await;
    world.clock.advance(MINUTE_LONG);
    // The phone began first and is used last.
    assert_eq!(found(&layer, &phone).await, live("bob"));
    let laptop = log_in(&layer, "bob").await;
    assert_eq!(found(&layer, &tablet).await, (None, Some(EndedBy::Limit)));
    for pair in [&phone, &laptop] {
        assert_eq!(found(&layer, pair).await, live("bob"));
    }
    assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 2);
}

#[tokio::test]
async fn session_that_logs_in_again_does_not_count() {
    for at_limit in [AtLimit::Refuse, AtLimit::EndLeastRecentlyUsed] {
        let world = World::new();
        let layer = world.layer().max_sessions(2, at_limit);
        let (phone, laptop) = (log_in(&layer, "bob").await, log_in(&layer, "bob").await);
        let talk = back(&layer, &laptop).await;
        talk.session.login("bob").await.unwrap();
        let laptop = talk.end().await.pair().to_owned();
        for pair in [&phone, &laptop] {
            assert_eq!(found(&layer, pair).await, live("bob"));
        }
        assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn sessions_that_have_ended_do_not_count() {
    let world = World::new();
    let layer = world
        .layer()
        .store(MapStore::default())
        .idle_timeout(MINUTE_LONG)
        .max_sessions(1, AtLimit::Refuse);
    log_in(&layer, "bob").await;
    world.clock.advance(2 * MINUTE_LONG);
    log_in(&layer, "bob").await;
    layer.end_sessions_of("bob").await.unwrap();
    log_in(&layer, "bob").await;
}

#[tokio::test]
async fn session_of_passport_counts() {
    let world = World::with(r#""passport":{"user":"bob"}"#).await;
    let layer = world.layer().max_sessions(1, AtLimit::EndLeastRecentlyUsed);
    log_in(&layer, "bob").await;
    assert_eq!(found(&layer, &sid(BOB)).await, (None, Some(EndedBy::Limit)));
}

#[tokio::test]
async fn login_that_is_not_stored_leaves_no_user_behind() {
    let world = World::new();
    let layer = world.layer().max_sessions(1, AtLimit::Refuse);
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.insert("cart", "pear").unwrap();
    world.store.fail_next(Verb::Create, StoreErrorKind::Unavailable);
    let failed = kind(talk.session.login("bob").with_passport().keep(["cart"]).await);
    assert_eq!(failed, ErrorKind::Store(StoreErrorKind::Unavailable));
    assert_eq!(talk.session.user::<String>().unwrap(), None);
    assert_eq!(talk.session.keys(), ["cart"]);
    let pair = talk.end().await.pair().to_owned();
    assert_eq!(layer.sessions_of("bob").await.unwrap(), []);
    let talk = back(&layer, &pair).await;
    assert_eq!(talk.session.keys(), ["cart"]);
    talk.end().await;
    // The lock is free.
    log_in(&layer, "bob").await;
}

/// The application has no id for the session that goes on without the user: then there is none.
#[tokio::test]
async fn login_that_is_not_stored_ends_the_session_where_there_is_no_other_id() {
    let world = World::new();
    let ids = Arc::new(Mutex::new(vec!["", "second", "first"]));
    let layer = world
        .layer()
        .genid(move |_| ids.lock().unwrap().pop().unwrap_or_default().to_owned())
        .max_sessions(1, AtLimit::Refuse);
    let talk = Talk::begin(&layer, visit()).await;
    world.store.fail_next(Verb::Create, StoreErrorKind::Unavailable);
    let failed = kind(talk.session.login("bob").await);
    assert_eq!(failed, ErrorKind::Store(StoreErrorKind::Unavailable));
    assert_eq!(kind(talk.session.user::<String>()), ErrorKind::Ended);
    talk.end().await;
    assert_eq!(world.store.inner().count(NOW).await.unwrap(), 0);
}

/// The record of a login whose lock has run out is taken back: another login may have counted without it.
#[tokio::test]
async fn login_whose_lock_has_run_out_is_taken_back() {
    let world = World::new();
    let (delayed, gate) = world.delayed(DelayedStore::after, Verb::Create);
    let slow = delayed.max_sessions(1, AtLimit::Refuse);
    let layer = world.layer().max_sessions(1, AtLimit::Refuse);
    let talk = Talk::begin(&slow, visit()).await;
    let mut login = pin!(talk.session.login("bob").into_future());
    assert!(waits(login.as_mut()).await);
    world.clock.advance(Duration::from_secs(31));
    gate.open();
    assert_eq!(kind(login.await), ErrorKind::Locked);
    assert_eq!(talk.session.user::<String>().unwrap(), None);
    talk.end().await;
    assert_eq!(layer.sessions_of("bob").await.unwrap(), []);
    log_in(&layer, "bob").await;
}

#[tokio::test]
async fn limit_of_none_is_no_option() {
    let error = SessionLayer::new("x").max_sessions(0, AtLimit::Refuse).build().unwrap_err();
    assert_eq!((error.option(), error.value()), ("max_sessions", "0"));
}

#[tokio::test]
async fn store_without_locks_or_lists_refuses_loudly() {
    let world = World::new();
    let unsupported = ErrorKind::Store(StoreErrorKind::Unsupported);
    let layer = world.layer().store(WithoutLocks(MapStore::default()));
    let limited = layer.clone().max_sessions(1, AtLimit::Refuse);
    let talk = Talk::begin(&limited, visit()).await;
    talk.session.insert("cart", 1).unwrap();
    assert_eq!(kind(talk.session.login("bob").await), unsupported);
    assert_eq!(talk.session.user::<String>().unwrap(), None);
    talk.end().await;
    // It lists and ends all the same.
    let layer = layer.metadata(true);
    log_in(&layer, "bob").await;
    assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);

    let layer = world.layer().metadata(true).store(Bare(MapStore::default()));
    assert_eq!(kind(layer.sessions_of("bob").await), unsupported);
    assert_eq!(kind(layer.end_sessions_of("bob").await), unsupported);
}

#[tokio::test]
async fn sessions_are_found_behind_any_store_and_with_bound_records() {
    let world = World::new();
    let any = AnyStore::new(Spy::new(MapStore::default()));
    for layer in [world.layer().store(any), world.layer().bind_records(true)] {
        let layer = layer.max_sessions(1, AtLimit::EndLeastRecentlyUsed);
        let (phone, laptop) = (log_in(&layer, "bob").await, log_in(&layer, "bob").await);
        assert_eq!(found(&layer, &phone).await, (None, Some(EndedBy::Limit)));
        assert_eq!(found(&layer, &laptop).await, live("bob"));
        assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);
        assert_eq!(found(&layer, &laptop).await, (None, Some(EndedBy::Revoked)));
    }
}

/// A record that was copied from another id is not listed: no request could load it.
#[tokio::test]
async fn record_that_is_bound_to_another_id_is_not_listed() {
    let world = World::new();
    let layer = world.layer().metadata(true).bind_records(true);
    log_in(&layer, "bob").await;
    let page = world.store.inner().list(None, 10, NOW).await.unwrap();
    world.keep(BOB, &page.sessions[0].1.text).await;
    assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 1);
}

/// Logins of one user through several layers, which share nothing but the store, as several processes do. With each login
/// that has succeeded, the user's sessions are counted while the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_logins_never_exceed_the_limit() {
    const LIMIT: usize = 2;
    for at_limit in [AtLimit::Refuse, AtLimit::EndLeastRecentlyUsed] {
        let store = Arc::new(MapStore::default());
        let layer = || {
            SessionLayer::new(SECRET)
                .store(MapStore::clone(&store))
                .cookie(Cookie::new().max_age(Duration::from_secs(3600)))
                .lock_wait(MINUTE_LONG)
                .max_sessions(LIMIT, at_limit)
        };
        let layers = [layer(), layer(), layer()];
        let logins = (0..18).map(|number| {
            let layer = layers[number % layers.len()].clone();
            tokio::spawn(async move {
                let talk = Talk::begin(&layer, visit()).await;
                let login = talk.session.login("bob").await;
                let count = layer.sessions_of("bob").await.unwrap().len();
                assert!((1..=LIMIT).contains(&count), "{count} sessions");
                talk.end().await;
                login.is_ok()
            })
        });
        let logins: Vec<_> = logins.collect();
        let mut succeeded = 0;
        for login in logins {
            succeeded += usize::from(login.await.unwrap());
        }
        assert_eq!(succeeded, if at_limit == AtLimit::Refuse { LIMIT } else { 18 });
        assert_eq!(layers[0].sessions_of("bob").await.unwrap().len(), LIMIT);
    }
}

/// With a limit, a login that has begun before the sessions end is stored and ended, or comes after it.
#[tokio::test]
async fn login_and_the_end_of_all_sessions_come_one_after_the_other() {
    let world = World::new();
    let (delayed, gate) = world.delayed(DelayedStore::before, Verb::Create);
    let slow = delayed.max_sessions(5, AtLimit::Refuse);
    let layer = world.layer().max_sessions(5, AtLimit::Refuse);
    let talk = Talk::begin(&slow, visit()).await;
    let mut login = pin!(talk.session.login("bob").into_future());
    assert!(waits(login.as_mut()).await);
    let mut ending = pin!(layer.end_sessions_of("bob"));
    assert!(waits(ending.as_mut()).await, "the login is under way");
    gate.open();
    login.await.unwrap();
    assert_eq!(ending.await.unwrap(), 1);
    let pair = talk.end().await.pair().to_owned();
    assert_eq!(found(&layer, &pair).await, (None, Some(EndedBy::Revoked)));
}

/// A store with the calls of a store alone: as an application wrote it before there were lists.
struct Bare(MapStore);

impl Store for Bare {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, store::Error> {
        self.0.load(id, now).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, store::Error> {
        self.0.create(id, record, now).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, store::Error> {
        self.0.update(id, record, expected, now).await
    }

    async fn touch(
        &self,
        id: &SessionId,
        touch: &Touch,
        now: Timestamp,
    ) -> Result<Touched, store::Error> {
        self.0.touch(id, touch, now).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), store::Error> {
        self.0.destroy(id).await
    }
}

// Renewed ids.

#[tokio::test]
async fn end_of_the_other_sessions_spares_the_own_one_under_its_new_id_and_reaches_theirs() {
    let world = World::new();
    let layer = world.layer().metadata(true).renewal_grace(MINUTE_LONG);
    let laptop = log_in(&layer, "bob").await;
    world.clock.advance(MINUTE_LONG);
    let phone = log_in(&layer, "bob").await;

    // A page of the laptop is open, while another tab, and the phone, get new ids.
    let page = back(&layer, &laptop).await;
    page.session.user::<String>().unwrap();
    for pair in [&laptop, &phone] {
        let tab = back(&layer, pair).await;
        tab.session.renew_id().await.unwrap();
        tab.end().await;
    }
    let sessions = page.session.user_sessions().await.unwrap();
    assert_eq!(sessions.iter().filter(|it| it.is_current()).count(), 1);
    assert_eq!(sessions.len(), 2);
    assert_eq!(page.session.end_other_sessions().await.unwrap(), 1);
    page.end().await;

    assert_eq!(found(&layer, &laptop).await, live("bob"));
    assert_eq!(found(&layer, &phone).await, (None, Some(EndedBy::Revoked)));
}

#[tokio::test]
async fn login_counts_the_own_session_under_its_new_id_as_its_own() {
    let world = World::new();
    let layer = world.layer().max_sessions(1, AtLimit::Refuse).renewal_grace(MINUTE_LONG);
    let pair = log_in(&layer, "bob").await;
    let page = back(&layer, &pair).await;
    page.session.user::<String>().unwrap();
    let tab = back(&layer, &pair).await;
    tab.session.renew_id().await.unwrap();
    tab.end().await;
    page.session.login("bob").await.unwrap();
    let pair = page.end().await.pair().to_owned();
    assert_eq!(found(&layer, &pair).await, live("bob"));
    let listed = layer.sessions_of("bob").await.unwrap();
    assert_eq!(listed.len(), 1);
}

/// The session of the phone gets a new id between the list and the mark of a login that needs its place.
#[tokio::test]
async fn login_ends_a_session_under_the_id_that_it_has_got_meanwhile() {
    let world = World::new();
    let limited = |layer: SessionLayer| {
        layer.max_sessions(1, AtLimit::EndLeastRecentlyUsed).renewal_grace(MINUTE_LONG)
    };
    let layer = limited(world.layer());
    let phone = log_in(&layer, "bob").await;
    let (delayed, gate) = world.delayed(DelayedStore::before, Verb::Update);
    let delayed = limited(delayed);
    let laptop = Talk::begin(&delayed, visit()).await;
    laptop.session.insert("cart", "apple").unwrap();
    let session = laptop.session.clone();
    let mut login = pin!(async move { session.login("bob").await });
    assert!(waits(login.as_mut()).await);
    let tab = back(&layer, &phone).await;
    tab.session.renew_id().await.unwrap();
    tab.end().await;
    gate.open();
    login.await.unwrap();
    laptop.end().await;
    assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 1);
    assert_eq!(found(&layer, &phone).await, (None, Some(EndedBy::Limit)));
}
