//! The findings H3, M5 and M10 of the audit, through a layer.

use std::time::Duration;

use express_session::store::ErrorKind as Failure;
use express_session::{Departures, ErrorKind, LimitExceeded, MemoryStore, RecordLimits, Session};
use express_session_testkit::{Fate, Spy, Unreliable, Verb};
use http::StatusCode;

use crate::support::{BOB, PLAIN, World, app, drawn, record, send, visit, visit_as};

type Network = Unreliable<Spy<MemoryStore>>;

fn network(world: &World) -> Network {
    Unreliable::new(world.store.clone(), 7, tokio::time::sleep)
}

fn views(session: &Session) -> Option<u64> {
    session.get("views").unwrap()
}

fn count(session: &Session) {
    session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1).unwrap();
}

/// A handler that saves, and goes on after an error.
async fn stubborn(session: Session) {
    count(&session);
    drop(session.save().await);
}

#[tokio::test(start_paused = true)]
async fn audit_m5_late_first_record_does_not_undo_a_logout() {
    // The record arrives when the visitor has the cookie, after the logout, or never; or its answer is lost.
    for fate in [Fate::Stray(1), Fate::Stray(2), Fate::Hang, Fate::Lose(Failure::TimedOut)] {
        let world = World::new();
        let network = network(&world);
        let layer = world.layer().store(network.clone()).store_timeout(Duration::from_secs(1));
        network.next(Verb::Create, fate);
        let answer = send(&app(&layer, stubborn), visit()).await;
        assert_eq!(answer.status, StatusCode::OK);
        let cookie = answer.cookie().unwrap();
        assert!(cookie.contains(&drawn(2)), "{fate:?}: the id of the second create: {cookie}");
        let logout = app(&layer, async |session: Session| session.destroy().await);
        assert_eq!(send(&logout, visit_as(&drawn(2))).await.status, StatusCode::OK);
        network.deliver().await;
        let back = app(&layer, async |session: Session| format!("{:?}", views(&session)));
        assert_eq!(send(&back, visit_as(&drawn(2))).await.body, "None", "{fate:?}");
        assert_eq!(world.kept(&drawn(2)).await, None, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn audit_m5_regenerate_and_destroy_after_a_create_in_doubt_leave_no_usable_id() {
    for regenerates in [true, false] {
        let world = World::new();
        let network = network(&world);
        let layer = world.layer().store(network.clone()).store_timeout(Duration::from_secs(1));
        network.next(Verb::Create, Fate::Stray(3));
        let handler = move |session: Session| async move {
            stubborn(session.clone()).await;
            if regenerates {
                session.regenerate().await.unwrap();
                session.insert("user", "bob").unwrap();
            } else {
                session.destroy().await.unwrap();
            }
        };
        let answer = send(&app(&layer, handler), visit()).await;
        network.deliver().await;
        assert!(world.kept(&drawn(1)).await.is_some(), "the record has arrived");
        match answer.cookie() {
            Some(cookie) => assert!(regenerates && !cookie.contains(&drawn(1)), "{cookie}"),
            None => assert!(!regenerates),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn audit_m5_with_departure_15_off_the_id_stays_that_of_the_cookie() {
    let world = World::new();
    let network = network(&world);
    let departures = Departures::all().save_before_response(false);
    let layer = world.layer().store(network.clone()).departures(departures);
    network.next(Verb::Create, Fate::Lose(Failure::TimedOut));
    let answer = send(&app(&layer, stubborn), visit()).await;
    assert!(answer.cookie().unwrap().contains(&drawn(1)));
    assert!(world.kept(&drawn(1)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn audit_m10_equal_count_of_another_process_is_not_taken_for_ones_own() {
    for (fate, applied) in [
        (Fate::Fail(Failure::TimedOut), false),
        (Fate::Lose(Failure::TimedOut), true),
        (Fate::Hang, false),
        (Fate::Mute, true),
    ] {
        let world = World::with(r#""views":0"#).await;
        let network = network(&world);
        let layer = world.layer().store(network.clone()).store_timeout(Duration::from_secs(1));
        let other = world.layer();
        network.next(Verb::Update, fate);
        let handler = move |session: Session| {
            let other = other.clone();
            async move {
                stubborn(session).await;
                // Another process counts meanwhile, and stores the same text as the write in doubt.
                if !applied {
                    let app = app(&other, async |session: Session| count(&session));
                    assert_eq!(send(&app, visit_as(BOB)).await.status, StatusCode::OK);
                }
            }
        };
        let answer = send(&app(&layer, handler), visit_as(BOB)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{fate:?}");
        assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""views":1"#)), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn audit_m10_value_that_was_set_is_recognised_by_its_text() {
    let world = World::with(r#""step":0"#).await;
    let network = network(&world);
    let layer = world.layer().store(network.clone());
    network.next(Verb::Update, Fate::Lose(Failure::TimedOut));
    let handler = async |session: Session| {
        session.insert("step", 1).unwrap();
        assert!(session.save().await.is_err());
        session.save().await.unwrap();
    };
    assert_eq!(send(&app(&layer, handler), visit_as(BOB)).await.status, StatusCode::OK);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""step":1"#)));
}

#[tokio::test]
async fn audit_h3_form_with_hostile_names_makes_no_session_that_blocks() {
    let world = World::new();
    let layer = world.layer();
    let fill = async |session: Session| {
        for number in 0..20_000 {
            session.insert(&format!("\n\"{number}"), 1).unwrap();
        }
    };
    let answer = send(&app(&layer, fill), visit()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!((answer.cookie(), world.calls()), (None, String::new()), "nothing is stored");
}

#[tokio::test]
async fn audit_h3_session_that_becomes_too_large_is_an_error_that_names_the_limit() {
    let world = World::with(r#""a":1"#).await;
    let limits = RecordLimits::default().members(2);
    let layer = world.layer().record_limits(limits);
    let grow = async |session: Session| {
        session.insert("b", 1).unwrap();
        session.insert("c", 1).unwrap();
        let error = session.save().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RecordLimit(LimitExceeded::Members));
        assert!(error.to_string().contains("record_limits.members"), "{error}");
        assert!(!error.is_temporary());
        session.remove("c").unwrap();
        session.save().await
    };
    assert_eq!(send(&app(&layer, grow), visit_as(BOB)).await.status, StatusCode::OK);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1,"b":1"#)));
}

#[tokio::test]
async fn audit_h3_stored_record_that_is_too_large_fails_and_stays() {
    let deep = format!(r#""a":{}{}"#, "[".repeat(200), "]".repeat(200));
    for (members, limits) in [
        (&*deep, RecordLimits::default()),
        (r#""a":1,"b":1"#, RecordLimits::default().members(1)),
        (r#""a":1,"b":1"#, RecordLimits::default().bytes(40)),
    ] {
        let world = World::with(members).await;
        let layer = world.layer().record_limits(limits);
        let answer = send(&app(&layer, async |_: Session| ()), visit_as(BOB)).await;
        assert!(answer.body.starts_with("RecordLimit"), "{}", answer.body);
        assert_eq!(world.kept(BOB).await, Some(record(PLAIN, members)));
    }
}
