//! The effect of a request's cookie, and the store calls of one request at a time.

use std::time::Duration;

use express_session::store::{Store as _, Touch};
use express_session::{Cookie, Error, Session, SessionId, Unset};
use express_session_testkit::Verb;
use http::StatusCode;

use crate::support::*;

/// A handler that counts.
async fn count(session: Session) -> Result<String, Error> {
    session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).map(|n| n.to_string())
}

/// A handler that reads.
async fn look(session: Session) -> Result<String, Error> {
    Ok(session.get::<u32>("n")?.map_or_else(|| "none".to_owned(), |n| n.to_string()))
}

// The cookie.

#[tokio::test]
async fn first_visit_is_stored_and_gets_a_cookie() {
    let world = World::new();
    let answer = send(&app(&world.layer(), count), visit()).await;
    assert_eq!(answer.body, "1");
    assert_eq!(
        answer.cookie(),
        Some(&*format!("connect.sid={}; Path=/; HttpOnly", signed(&drawn(1))))
    );
    assert_eq!(world.calls(), format!("create({}, {})", drawn(1), record(PLAIN, r#""n":1"#)));
}

#[tokio::test]
async fn later_visit_goes_on_and_gets_no_cookie() {
    let world = World::new();
    let app = app(&world.layer(), count);
    let pair = send(&app, visit()).await.pair().to_owned();
    world.calls();
    let answer = send(&app, visit_with(&pair)).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("2", None));
    let id = drawn(1);
    assert_eq!(world.calls(), format!("load({id}) update({id}, {})", record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn new_session_that_nothing_is_put_into_is_not_stored() {
    let world = World::new();
    let answer = send(&app(&world.layer(), look), visit()).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("none", None));
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn loaded_session_that_is_only_read_is_touched() {
    let world = World::with(r#""n":7"#).await;
    let answer = send(&app(&world.layer(), look), visit_as(BOB)).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("7", None));
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn handler_that_ignores_the_session_keeps_it_alive_all_the_same() {
    let world = World::with(r#""n":7"#).await;
    let app = raw(&world.layer(), async |_| ());
    let answer = send(&app, visit_as(BOB)).await;
    assert_eq!(answer.cookie(), None);
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn handler_that_ignores_the_session_costs_no_call_without_a_cookie() {
    let world = World::new();
    let app = raw(&world.layer(), async |_| ());
    assert_eq!(send(&app, visit()).await.cookie(), None);
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn cookie_is_found_among_others_quoted_raw_or_in_a_second_header() {
    let raw_value = format!("s:{BOB}.8UBdj82105zrSnipSEyEm90IJgcTf5Rn5YYxeoCmD3g");
    let encoded = signed(BOB);
    let world = World::with(r#""n":7"#).await;
    let app = app(&world.layer(), look);
    for header in [
        format!("a=b; connect.sid={encoded}; c=d"),
        format!("connect.sid=\"{encoded}\""),
        format!("connect.sid={raw_value}"),
        format!("connect.sid=\"{raw_value}\""),
        format!("connect.sid \t=\t {encoded} "),
    ] {
        assert_eq!(send(&app, visit_with(&header)).await.body, "7", "{header}");
        assert_eq!(world.calls(), "load(bob)", "{header}");
    }
    let two = request("/", &[("cookie", "a=b"), ("cookie", &format!("connect.sid={encoded}"))]);
    assert_eq!(send(&app, two).await.body, "7");
}

#[tokio::test]
async fn refused_cookie_never_reaches_the_store() {
    let good = signed(BOB);
    let other_secret = signed_with(BOB, "another");
    let world = World::with(r#""n":7"#).await;
    let app = app(&world.layer(), look);
    for value in [
        "",
        BOB,
        &format!("s:{BOB}"),
        &format!("s%3A{BOB}."),
        &format!("s%3A{BOB}.forged"),
        &good.replace("s%3A", ""),
        &good.replace("s%3AB", "s%3AC"),
        &format!("{good}%3D"),
        &good.replace("8UBdj8", "8ubdj8"),
        &other_secret,
        "s%3A.aJcKKTu8Uv0mRiw7LTI435t%2BpOa%2BgiU%2FWLAuLCKGEFc",
    ] {
        let answer = send(&app, visit_with(&format!("connect.sid={value}"))).await;
        assert_eq!((answer.body.as_str(), answer.cookie()), ("none", None), "{value}");
        assert_eq!(world.calls(), "", "{value}");
    }
    for header in [format!("sid={good}"), format!("Connect.sid={good}"), "connect.sid".to_owned()] {
        assert_eq!(send(&app, visit_with(&header)).await.body, "none", "{header}");
        assert_eq!(world.calls(), "", "{header}");
    }
}

#[tokio::test]
async fn refused_cookie_is_replaced_once_something_is_stored() {
    let world = World::new();
    let forged = visit_with(&format!("connect.sid=s%3A{BOB}.forged"));
    let answer = send(&app(&world.layer(), count), forged).await;
    assert_eq!(answer.pair(), sid(&drawn(1)));
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn of_several_cookies_the_first_that_is_validly_signed_counts() {
    let world = World::with(r#""n":7"#).await;
    world.keep("carol", &record(PLAIN, r#""n":8"#)).await;
    let (bob, carol) = (signed(BOB), signed("carol"));
    let app = app(&world.layer(), look);
    for (header, body) in [
        (format!("connect.sid={bob}; connect.sid={carol}"), "7"),
        (format!("connect.sid={carol}; connect.sid={bob}"), "8"),
        (format!("connect.sid=; connect.sid={bob}"), "7"),
        (format!("connect.sid=s%3A{BOB}.forged; connect.sid={carol}"), "8"),
    ] {
        assert_eq!(send(&app, visit_with(&header)).await.body, body, "{header}");
        assert_eq!(world.verbs(), [Verb::Load], "{header}");
    }
}

#[tokio::test]
async fn without_departure_4_only_the_first_cookie_is_looked_at() {
    let world = World::with(r#""n":7"#).await;
    let layer = world.layer();
    let layer = layer.departures(express_session::Departures::all().duplicate_cookies(false));
    let header = format!("connect.sid=s%3A{BOB}.forged; connect.sid={}", signed(BOB));
    assert_eq!(send(&app(&layer, look), visit_with(&header)).await.body, "none");
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn id_that_the_store_does_not_know_is_never_used_again() {
    let world = World::new();
    let answer = send(&app(&world.layer(), count), visit_as(BOB)).await;
    assert_eq!(answer.pair(), sid(&drawn(1)));
    assert_eq!(
        world.calls(),
        format!("load(bob) create({}, {})", drawn(1), record(PLAIN, r#""n":1"#))
    );
}

#[tokio::test]
async fn expired_session_is_a_new_visit() {
    let world = World::new();
    let app = app(&world.minute(), count);
    let pair = send(&app, visit()).await.pair().to_owned();
    world.clock.advance(Duration::from_secs(60));
    world.calls();
    let answer = send(&app, visit_with(&pair)).await;
    assert_eq!(answer.body, "1");
    assert_eq!(answer.pair(), sid(&drawn(2)));
    assert_eq!(world.verbs(), [Verb::Load, Verb::Create]);
}

#[tokio::test]
async fn every_request_moves_the_end_in_the_store() {
    let world = World::new();
    let app = app(&world.minute(), look);
    world.keep(BOB, &record(MINUTE, r#""n":7"#)).await;
    for _ in 0..5 {
        world.clock.advance(Duration::from_secs(59));
        assert_eq!(send(&app, visit_as(BOB)).await.body, "7");
        assert_eq!(world.verbs(), [Verb::Load, Verb::Touch]);
    }
}

/// Of an hour, `touch_after` is 36 s by default.
#[tokio::test]
async fn session_that_is_only_read_is_touched_once_in_touch_after() {
    const HOUR: &str = r#"{"originalMaxAge":3600000,"expires":"2023-11-14T23:13:20.123Z","httpOnly":true,"path":"/"}"#;
    let (read, touch) = ([Verb::Load].as_slice(), [Verb::Load, Verb::Touch].as_slice());
    for (after, seconds) in [(None, [0, 35, 1, 35, 1]), (Some(600), [0, 599, 1, 599, 1])] {
        for asks in [true, false] {
            let world = World::holding(&record(HOUR, r#""n":7"#)).await;
            let mut layer = world.minute();
            if let Some(after) = after {
                layer = layer.touch_after(Duration::from_secs(after));
            }
            for (passed, verbs) in seconds.into_iter().zip([read, read, touch, read, touch]) {
                world.clock.advance(Duration::from_secs(passed));
                let answer = match asks {
                    true => send(&app(&layer, look), visit_as(BOB)).await,
                    false => send(&raw(&layer, async |_| ()), visit_as(BOB)).await,
                };
                assert_eq!(answer.status, StatusCode::OK);
                assert_eq!(world.verbs(), verbs, "{after:?} {asks} {passed}");
            }
        }
    }
}

#[tokio::test]
async fn request_that_lasts_longer_than_touch_after_touches_at_its_end() {
    let (read, touch) = ([Verb::Load].as_slice(), [Verb::Load, Verb::Touch].as_slice());
    for (before, during, verbs) in [(0, 9, read), (0, 10, touch), (9, 1, touch), (4, 5, read)] {
        let world = World::holding(&record(MINUTE, r#""n":7"#)).await;
        let layer = world.minute().touch_after(Duration::from_secs(10));
        world.clock.advance(Duration::from_secs(before));
        let clock = world.clock.clone();
        let app = app(&layer, move |session: Session| {
            let clock = clock.clone();
            async move {
                clock.advance(Duration::from_secs(during));
                look(session).await
            }
        });
        assert_eq!(send(&app, visit_as(BOB)).await.body, "7");
        assert_eq!(world.verbs(), verbs, "{before} s before it, {during} s of it");
    }
}

#[tokio::test]
async fn reload_finds_out_when_the_session_is_to_be_touched() {
    let world = World::holding(&record(MINUTE, r#""n":7"#)).await;
    let layer = world.minute().touch_after(Duration::from_secs(10));
    world.clock.advance(Duration::from_secs(9));
    let others = world.clone();
    let app = app(&layer, move |session: Session| {
        let World { store, clock, .. } = others.clone();
        async move {
            // Another request touches it meanwhile.
            let deadline = clock.now().saturating_add(Duration::from_secs(60));
            let touch = Touch::new(MINUTE, Some(deadline));
            let id = SessionId::new(BOB).unwrap();
            store.inner().touch(&id, &touch, clock.now()).await.unwrap();
            session.reload().await?;
            clock.advance(Duration::from_secs(9));
            look(session).await
        }
    });
    assert_eq!(send(&app, visit_as(BOB)).await.body, "7");
    assert_eq!(world.verbs(), [Verb::Load, Verb::Load]);
}

#[tokio::test]
async fn with_rolling_the_browsers_expiry_is_at_most_touch_after_later_than_the_records() {
    let world = World::holding(&record(MINUTE, r#""n":7"#)).await;
    let app = app(&world.minute().rolling(true).touch_after(Duration::from_secs(10)), look);
    for second in 1..100 {
        world.clock.advance(Duration::from_secs(1));
        let answer = send(&app, visit_as(BOB)).await;
        let id = SessionId::new(BOB).unwrap();
        let kept = world.store.inner().load(&id, world.clock.now()).await.unwrap().unwrap();
        let behind = world.clock.now().saturating_add(Duration::from_secs(60));
        let behind = behind.saturating_since(kept.record.deadline.unwrap());
        assert!(behind < Duration::from_secs(10), "{second}: {behind:?}");
        assert!(answer.cookie().unwrap().contains("Expires="), "{second}");
    }
}

#[tokio::test]
async fn cookie_with_an_expiry_is_sent_again_when_the_session_is_modified() {
    let world = World::holding(&record(MINUTE, r#""n":7"#)).await;
    world.clock.advance(Duration::from_secs(10));
    let answer = send(&app(&world.minute(), count), visit_as(BOB)).await;
    let line = format!(
        "connect.sid={}; Path=/; Expires=Tue, 14 Nov 2023 22:14:30 GMT; HttpOnly",
        signed(BOB)
    );
    assert_eq!(answer.cookie(), Some(&*line));
    let later = MINUTE.replace("22:14:20", "22:14:30");
    assert_eq!(world.calls(), format!("load(bob) update(bob, {})", record(&later, r#""n":8"#)));
}

#[tokio::test]
async fn stored_session_keeps_its_stored_attributes() {
    let world = World::new();
    let stored = r#"{"originalMaxAge":60000,"expires":null,"httpOnly":false,"path":"/","sameSite":"strict"}"#;
    world.keep(BOB, &record(stored, "")).await;
    let layer = world.layer().rolling(true).cookie(Cookie::new().domain("example.com"));
    let answer = send(&app(&layer, look), visit_as(BOB)).await;
    assert_eq!(
        answer.cookie().unwrap().split_once("; ").unwrap().1,
        "Path=/; Expires=Tue, 14 Nov 2023 22:14:20 GMT; SameSite=Strict"
    );
}

// The options.

#[tokio::test]
async fn save_uninitialized_stores_every_first_visit() {
    let world = World::new();
    let layer = world.layer().save_uninitialized(true);
    let answer = send(&raw(&layer, async |_| ()), visit()).await;
    assert_eq!(answer.pair(), sid(&drawn(1)));
    assert_eq!(world.calls(), format!("create({}, {})", drawn(1), record(PLAIN, "")));

    let answer = send(&raw(&layer, async |_| ()), visit_with(answer.pair())).await;
    assert_eq!(answer.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn resave_writes_what_was_only_read() {
    let world = World::with(r#""n":7"#).await;
    let answer = send(&app(&world.layer().resave(true), look), visit_as(BOB)).await;
    assert_eq!(answer.cookie(), None);
    assert_eq!(world.calls(), format!("load(bob) update(bob, {})", record(PLAIN, r#""n":7"#)));
}

#[tokio::test]
async fn resave_does_not_store_an_untouched_first_visit() {
    let world = World::new();
    let answer = send(&app(&world.layer().resave(true), look), visit()).await;
    assert_eq!((answer.cookie(), world.calls().as_str()), (None, ""));
}

#[tokio::test]
async fn rolling_sends_the_cookie_with_every_response() {
    let world = World::holding(&record(MINUTE, r#""n":7"#)).await;
    world.clock.advance(Duration::from_secs(10));
    let app = app(&world.minute().rolling(true), look);
    let answer = send(&app, visit_as(BOB)).await;
    assert!(answer.cookie().unwrap().contains("Expires=Tue, 14 Nov 2023 22:14:30 GMT"));
    assert_eq!(world.verbs(), [Verb::Load, Verb::Touch]);

    let answer = send(&app, visit()).await;
    assert_eq!((answer.cookie(), world.calls().as_str()), (None, ""));
}

#[tokio::test]
async fn unset_keep_leaves_the_record_as_it_is() {
    let world = World::with(r#""n":7"#).await;
    let app = app(&world.layer(), async |session: Session| {
        session.insert("n", 8)?;
        session.unset()
    });
    let answer = send(&app, visit_as(BOB)).await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
    assert_eq!(world.calls(), "load(bob)");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":7"#)));
}

#[tokio::test]
async fn unset_destroy_ends_record_and_cookie() {
    let world = World::with(r#""n":7"#).await;
    let layer = world.layer().unset(Unset::Destroy);
    let unset = async |session: Session| session.unset();
    let answer = send(&app(&layer, unset), visit_as(BOB)).await;
    assert_eq!(
        answer.cookie(),
        Some("connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly")
    );
    assert_eq!(world.calls(), "load(bob) destroy(bob)");

    // Where there was nothing, there is nothing to do.
    let answer = send(&app(&layer, unset), visit()).await;
    assert_eq!((answer.cookie(), world.calls().as_str()), (None, ""));
}

#[tokio::test]
async fn unset_destroy_leaves_a_session_that_was_not_unset_alone() {
    let world = World::with(r#""n":7"#).await;
    let layer = world.layer().unset(Unset::Destroy);
    send(&raw(&layer, async |_| ()), visit_as(BOB)).await;
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn modified_and_changed_back_is_only_touched() {
    let world = World::with(r#""a":1,"b":1.0"#).await;
    let app = app(&world.layer(), async |session: Session| {
        session.insert("a", 2)?;
        session.insert("a", 1)?;
        session.insert("b", 1)?;
        session.insert("c", 1)?;
        session.remove("c").map(drop)
    });
    send(&app, visit_as(BOB)).await;
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn untouched_members_are_stored_byte_for_byte() {
    let strange = r#""f":1.0,"u":"\u00e9","req":true,"big":12345678901234567890"#;
    let world = World::with(strange).await;
    send(&app(&world.layer(), count), visit_as(BOB)).await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, &format!(r#"{strange},"n":1"#))));
}

#[tokio::test]
async fn cookie_change_alone_counts_as_modified_and_is_sent() {
    let world = World::with(r#""n":7"#).await;
    let app = app(&world.layer(), async |session: Session| {
        session.cookie().set_max_age(Duration::from_secs(60))
    });
    let answer = send(&app, visit_as(BOB)).await;
    assert!(answer.cookie().unwrap().contains("Expires=Tue, 14 Nov 2023 22:14:20 GMT"));
    assert_eq!(world.calls(), format!("load(bob) update(bob, {})", record(MINUTE, r#""n":7"#)));
}

#[tokio::test]
async fn cookie_change_alone_does_not_store_a_first_visit() {
    let world = World::new();
    let app = app(&world.layer(), async |session: Session| {
        session.cookie().set_max_age(Duration::from_secs(60))
    });
    assert_eq!(send(&app, visit()).await.cookie(), None);
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn secure_cookie_over_plain_http_is_not_sent_and_no_orphan_is_stored() {
    let world = World::new();
    let layer = world.layer().cookie(Cookie::new().secure(true));
    let answer = send(&app(&layer, count), visit()).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("1", None));
    assert_eq!(world.calls(), "");

    let answer = send(&app(&layer, count), request("https://example.com/", &[])).await;
    assert!(answer.cookie().unwrap().ends_with("; Path=/; HttpOnly; Secure"));
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn stored_secure_session_is_used_and_saved_over_plain_http() {
    let world = World::new();
    let secure = PLAIN.replace(r#","httpOnly""#, r#","secure":true,"httpOnly""#);
    world.keep(BOB, &record(&secure, r#""n":7"#)).await;
    let layer = world.layer().rolling(true);
    let answer = send(&app(&layer, count), visit_as(BOB)).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("8", None));
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
}

// The path.

#[tokio::test]
async fn path_outside_of_the_cookies_has_no_session() {
    let world = World::with(r#""n":7"#).await;
    let layer = world.layer().cookie(Cookie::new().path("/admin"));
    let app = app(&layer, look);
    let pair = sid(BOB);
    for (path, body) in [
        ("/admin", "7"),
        ("/admin/", "7"),
        ("/admin/users?x=/", "7"),
        ("http://example.com/admin", "7"),
        ("/administrator", "OutsidePath"),
        ("/Admin", "OutsidePath"),
        ("/", "OutsidePath"),
        ("/?/admin", "OutsidePath"),
        ("*", "OutsidePath"),
    ] {
        let answer = send(&app, request(path, &[("cookie", &pair)])).await;
        assert_eq!(answer.body, body, "{path}");
        let calls = if body == "7" { vec![Verb::Load] } else { vec![] };
        assert_eq!(world.verbs(), calls, "{path}");
    }
}

#[tokio::test]
async fn without_departure_3_the_path_is_a_prefix() {
    let world = World::with(r#""n":7"#).await;
    let departures = express_session::Departures::all().path_match(false);
    let layer = world.layer().cookie(Cookie::new().path("/admin")).departures(departures);
    let pair = sid(BOB);
    let administrator = request("/administrator", &[("cookie", &pair)]);
    assert_eq!(send(&app(&layer, look), administrator).await.body, "7");
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn session_that_is_left_alone_is_neither_touched_nor_sent_unless_it_is_changed() {
    for (loads, changes, verbs) in [
        (false, false, vec![]),
        (true, false, vec![Verb::Load]),
        (true, true, vec![Verb::Load, Verb::Update]),
    ] {
        for (rolling, resave) in [(false, true), (true, false), (true, true)] {
            let world = World::holding(&record(MINUTE, r#""n":1"#)).await;
            let layer = world.minute().rolling(rolling).resave(resave);
            let app = raw(&layer, move |request| async move {
                let session = Session::from_extensions(request.extensions()).unwrap();
                session.leave_alone();
                if loads {
                    let session = session.load().await.unwrap();
                    assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
                    if changes {
                        session.insert("n", 2).unwrap();
                    }
                }
                text("file")
            });
            let answer = send(&app, visit_as(BOB)).await;
            assert_eq!((answer.body.as_str(), answer.cookie().is_some()), ("file", changes));
            let called: Vec<_> = world
                .verbs()
                .into_iter()
                .map(|verb| if verb == Verb::Load { Verb::Load } else { verb })
                .collect();
            assert_eq!(called, verbs, "{loads} {changes} {rolling} {resave}");
        }
    }
}
