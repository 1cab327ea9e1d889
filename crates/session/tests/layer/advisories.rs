//! Known attacks on session layers, and known ways to lose a visitor's session: each by the name of
//! its advisory, its issue, or the finding in the comparison with other crates.

use std::time::Duration;

use express_session::store::{ErrorKind as Failure, Record, Store as _};
use express_session::{
    Cookie, Departures, Error, ErrorKind, MemoryStore, Session, SessionId, Timestamp,
};
use express_session_testkit::{Spy, Verb};
use http::StatusCode;

use crate::support::delayed_store::DelayedStore;
use crate::support::*;

async fn user(session: Session) -> Result<String, Error> {
    Ok(session.get::<String>("user")?.unwrap_or_else(|| "nobody".to_owned()))
}

async fn login(session: Session) -> Result<(), Error> {
    session.regenerate().await?;
    session.insert("user", "bob")
}

// Session fixation: an attacker knows, or has chosen, the id that the visitor logs in with.

#[tokio::test]
async fn fixation_an_id_that_the_client_has_chosen_is_refused() {
    // axum_session 0.22 takes any id; PHP does by default.
    let world = World::new();
    let put = app(&world.layer(), async |session: Session| session.insert("a", 1));
    for value in ["chosen", "s:chosen", "s%3Achosen", "s%3Achosen.", BOB, "00000000"] {
        let answer = send(&put, visit_with(&format!("connect.sid={value}"))).await;
        let call = world.store.take_calls().remove(0);
        assert_eq!(call.verb(), Verb::Create, "{value}");
        assert_ne!(call.id().as_str(), value);
        assert!(!answer.pair().contains("chosen"));
    }
}

#[tokio::test]
async fn fixation_a_signed_id_without_a_record_is_not_adopted() {
    let world = World::new();
    let put = app(&world.layer(), async |session: Session| session.insert("a", 1));
    let answer = send(&put, visit_as(BOB)).await;
    assert_eq!(answer.pair(), sid(&drawn(1)));
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn fixation_the_id_from_before_the_login_leads_nowhere_after_it() {
    // CVE-2022-25896 (passport), CVE-2023-29019 (@fastify/passport): the id stayed the same.
    let world = World::with(r#""cart":1"#).await;
    let answer = send(&app(&world.layer(), login), visit_as(BOB)).await;
    assert_ne!(answer.pair(), sid(BOB));
    assert_eq!(world.kept(BOB).await, None);
    assert_eq!(send(&app(&world.layer(), user), visit_as(BOB)).await.body, "nobody");
    assert_eq!(send(&app(&world.layer(), user), visit_with(answer.pair())).await.body, "bob");
}

#[tokio::test]
async fn fixation_a_request_of_the_old_id_cannot_follow_into_the_new_session() {
    let world = World::with("").await;
    let attacker = bob(&world.layer()).await;
    send(&app(&world.layer(), login), visit_as(BOB)).await;
    attacker.session.insert("user", "mallory").unwrap();
    assert_eq!(attacker.session.save().await.unwrap_err().kind(), ErrorKind::Ended);
    attacker.end().await;
    assert_eq!(world.kept(BOB).await, None);
    assert_eq!(world.kept(&drawn(1)).await, Some(record(PLAIN, r#""user":"bob""#)));
}

#[tokio::test]
async fn tower_sessions_flush_then_insert_does_not_keep_the_id() {
    // peers.md, finding 2: logging out and in within one request kept the old id.
    let world = World::with(r#""user":"mallory""#).await;
    let relogin = app(&world.layer(), async |session: Session| {
        session.destroy().await?;
        session.insert("user", "bob")
    });
    let answer = send(&relogin, visit_as(BOB)).await;
    assert_eq!(answer.body, "Ended");
    assert_eq!(world.kept(BOB).await, None);

    let world = World::with(r#""user":"mallory""#).await;
    let answer = send(&app(&world.layer(), login), visit_as(BOB)).await;
    assert_eq!(answer.pair(), sid(&drawn(1)));
    assert_eq!(world.calls().split(' ').filter(|call| call.contains("bob)")).count(), 2);
}

#[tokio::test]
async fn tower_sessions_cycle_id_and_a_5xx_does_not_lose_the_session() {
    // peers.md, finding 3: the old record was gone, the new one not saved, no cookie sent.
    let world = World::with(r#""user":"bob""#).await;
    let cycle = app(&world.layer(), async |session: Session| {
        let user: Option<String> = session.get("user")?;
        session.regenerate().await?;
        session.insert("user", user)?;
        let mut response = text("something else failed");
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        Ok::<_, Error>(response)
    });
    let answer = send(&cycle, visit_as(BOB)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(send(&app(&world.layer(), user), visit_with(answer.pair())).await.body, "bob");
}

// The cookie header: what an attacker can put there.

#[tokio::test]
async fn cve_2024_47764_nothing_breaks_out_of_a_cookie_attribute() {
    // GHSA-pxg6-pf52-xh8x, cookie before 0.7.0.
    let injected = "x; Secure; Path=/admin";
    for cookie in [Cookie::new().domain(injected), Cookie::new().path(injected)] {
        assert!(World::new().layer().cookie(cookie.clone()).build().is_err());
        let world = World::new();
        let layer = world.layer().cookie_with(move |_| cookie.clone().path("/"));
        let answer = send(&app(&layer, login), visit()).await;
        assert!(answer.cookie().is_none_or(|line| !line.contains("admin")));
    }
    assert!(World::new().layer().name("a=b; Path=/admin; c").build().is_err());

    let (_, talk) = World::visited("").await;
    assert!(talk.session.cookie().set_path(injected).is_err());
    assert!(talk.session.cookie().set_domain(injected).is_err());
}

#[tokio::test]
async fn cve_2024_47764_a_stored_attribute_does_not_break_out_either() {
    // Another program may have written the record.
    let evil = PLAIN.replace(r#""path":"/""#, r#""path":"/; Domain=evil.example\r\nX: y""#);
    let world = World::holding(&record(&evil, "")).await;
    let answer = send(&raw(&world.layer().rolling(true), async |_| ()), visit_as(BOB)).await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
    assert!(!answer.headers.contains_key("x"));
}

#[tokio::test]
async fn id_of_genid_does_not_break_out_of_the_cookie() {
    let world = World::new();
    let layer = world.layer().genid(|_| "x; Domain=evil.example\r\nX: y".to_owned());
    let answer = send(&app(&layer, login), visit()).await;
    assert!(!answer.headers.contains_key("x"));
    let line = answer.cookie().unwrap();
    assert!(line.starts_with("connect.sid=s%3Ax%3B%20Domain%3Devil.example%0D%0AX%3A%20y."));
    assert!(line.ends_with("; Path=/; HttpOnly"), "{line}");
}

#[tokio::test]
async fn cookie_tossing_a_forged_duplicate_does_not_log_the_visitor_out() {
    // express-session #318, #448, #549; peers.md, finding 4.
    let world = World::with(r#""user":"bob""#).await;
    let app = app(&world.layer(), user);
    let good = sid(BOB);
    for forged in
        ["connect.sid=", "connect.sid=x", "connect.sid=s%3Ax.y", "connect.sid=\"", "connect.sid"]
    {
        for header in [format!("{forged}; {good}"), format!("{good}; {forged}")] {
            assert_eq!(send(&app, visit_with(&header)).await.body, "bob", "{header}");
        }
    }
}

#[tokio::test]
async fn cookie_sandwich_quotes_do_not_swallow_other_cookies() {
    // PortSwigger: legacy quoted strings make one cookie's value span the next.
    let world = World::with(r#""user":"bob""#).await;
    let app = app(&world.layer(), user);
    let good = sid(BOB);
    for header in [
        format!("$Version=1; a=\"x; {good}; b=y\""),
        format!("a=\"; {good}; b=\""),
        format!("$Version=1; {good}; $Path=/"),
    ] {
        assert_eq!(send(&app, visit_with(&header)).await.body, "bob", "{header}");
    }
    let swallowed = visit_with("connect.sid=\"s%3Ax; HttpOnly=secret\"");
    assert_eq!(send(&app, swallowed).await.body, "nobody");
}

#[tokio::test]
async fn cookie_chaos_unicode_white_space_is_not_part_of_nothing() {
    // A name that only looks like `__Host-…` once white space is trimmed is another name.
    let world = World::with(r#""user":"bob""#).await;
    let layer = world.layer().name("__Host-sid").cookie(Cookie::new().secure(true));
    let app = app(&layer, user);
    let value = signed(BOB);
    for space in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}", "\u{feff}"] {
        let mut request = visit();
        let header = format!("{space}__Host-sid={value}");
        let header = http::HeaderValue::from_bytes(header.as_bytes()).unwrap();
        request.headers_mut().insert("cookie", header);
        assert_eq!(send(&app, request).await.body, "nobody", "{space:?}");
    }
    for header in
        [format!("__host-sid={value}"), format!("Host-sid={value}"), format!("=__Host-sid={value}")]
    {
        assert_eq!(send(&app, visit_with(&header)).await.body, "nobody", "{header}");
    }
    assert_eq!(world.calls(), "");
    assert_eq!(send(&app, visit_with(&format!("__Host-sid={value}"))).await.body, "bob");
}

#[tokio::test]
async fn host_cookie_can_be_removed_again() {
    // tower-sessions #154 and #268: the removal had other attributes than the cookie.
    let world = World::new();
    let secure = PLAIN.replace(r#","httpOnly""#, r#","secure":true,"httpOnly""#);
    world.keep(BOB, &record(&secure, "")).await;
    let layer = world.layer().name("__Host-sid").cookie(Cookie::new().secure(true));
    let logout = app(&layer, async |session: Session| session.destroy().await);
    let cookie = format!("__Host-sid={}", signed(BOB));
    let answer = send(&logout, request("https://example.com/", &[("cookie", &cookie)])).await;
    assert_eq!(
        answer.cookie(),
        Some("__Host-sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure")
    );
}

#[tokio::test]
async fn hostile_cookie_headers_are_survived() {
    let world = World::new();
    let app = app(&world.layer(), user);
    for header in [
        "connect.sid=%".as_bytes(),
        b"connect.sid=%ff%fe",
        b"connect.sid=s%3A%00.%00",
        b"connect.sid=s%3A..........",
        b"connect.sid=s:\xff\xfe.\xff",
        b"connect.sid=s%3A%ED%A0%80.x",
        b";;;;;;=;=;=;",
        b"=====",
        &[b'='; 8000],
        &[b';'; 8000],
    ] {
        let mut request = visit();
        let value = http::HeaderValue::from_bytes(header).unwrap();
        request.headers_mut().insert("cookie", value);
        assert_eq!(send(&app, request).await.body, "nobody");
    }
    assert_eq!(world.calls(), "");
}

// Expiry.

#[tokio::test]
async fn cve_2024_35220_an_expired_session_does_not_come_back_for_its_max_age() {
    // GHSA-pj27-2xvp-4qxg, @fastify/session: on load, maxAge overrode what was expired.
    let world = World::new();
    let app = app(&world.minute(), user);
    let id = SessionId::new(BOB).unwrap();
    let text = record(MINUTE, r#""user":"bob""#).into();
    let deadline = Some(Timestamp::from_millis(NOW.millis() + 60_000));
    world.store.inner().create(&id, &Record { text, deadline }, NOW).await.unwrap();
    world.clock.advance(Duration::from_millis(59_999));
    assert_eq!(send(&app, visit_as(BOB)).await.body, "bob");
    world.clock.advance(Duration::from_millis(60_000));
    let answer = send(&app, visit_as(BOB)).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("nobody", None));
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn live_session_with_text_that_looks_expired_is_live() {
    // Stores whose touch leaves the text alone: its `expires` is routinely in the past (item 67).
    let world = World::new();
    let old = MINUTE.replace("2023", "2020");
    world.keep(BOB, &record(&old, r#""user":"bob""#)).await;
    assert_eq!(send(&app(&world.minute(), user), visit_as(BOB)).await.body, "bob");
}

// Logging out.

#[tokio::test]
async fn logout_race_a_request_under_way_does_not_bring_the_session_back() {
    // express-session #632, connect-redis #328, session-file-store PR 55.
    for save_by_hand in [false, true] {
        let world = World::with(r#""user":"bob""#).await;
        let slow = bob(&world.layer()).await;
        let logout = app(&world.layer(), async |session: Session| session.destroy().await);
        send(&logout, visit_as(BOB)).await;
        slow.session.insert("page", 2).unwrap();
        if save_by_hand {
            assert_eq!(slow.session.save().await.unwrap_err().kind(), ErrorKind::Ended);
        }
        assert_eq!(slow.end().await.cookie(), None);
        assert_eq!(world.kept(BOB).await, None);
        assert_eq!(send(&app(&world.layer(), user), visit_as(BOB)).await.body, "nobody");
    }
}

#[tokio::test]
async fn logout_while_the_slow_request_is_being_saved_is_final_too() {
    let world = World::with(r#""user":"bob""#).await;
    let delayed_store = DelayedStore::before(Verb::Update, world.store.clone());
    let slow = Talk::begin(&world.layer().store(delayed_store.clone()), visit_as(BOB)).await;
    slow.session.insert("page", 2).unwrap();
    let (session, mut sent) = slow.hold(text("ok"));
    drop(session);
    assert!(waits(sent.as_mut()).await);
    let logout = app(&world.layer(), async |session: Session| session.destroy().await);
    send(&logout, visit_as(BOB)).await;
    delayed_store.open();
    assert_eq!(read(sent.await).await.cookie(), None);
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn logout_makes_the_browser_forget_the_cookie() {
    // express-session #241.
    let world = World::with("").await;
    let logout = app(&world.layer(), async |session: Session| session.destroy().await);
    let answer = send(&logout, visit_as(BOB)).await;
    assert!(answer.cookie().unwrap().contains("Expires=Thu, 01 Jan 1970"));
}

#[tokio::test]
async fn tower_sessions_clear_of_an_unread_session_is_not_forgotten() {
    // tower-sessions #134: `clear` did nothing where nothing was read before.
    let world = World::with(r#""user":"bob""#).await;
    let clear = app(&world.layer(), async |session: Session| session.clear());
    send(&clear, visit_as(BOB)).await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, "")));
}

// A store that fails.

#[tokio::test]
async fn axum_session_one_failed_load_does_not_wipe_the_session() {
    // peers.md, finding 7: an error was taken for "not found", and an empty record written.
    for failure in [Failure::Unavailable, Failure::TimedOut, Failure::Other] {
        let world = World::with(r#""user":"bob""#).await;
        world.store.fail_next(Verb::Load, failure);
        let answer = send(&app(&world.layer().save_uninitialized(true), user), visit_as(BOB)).await;
        assert_eq!(answer.cookie(), None);
        assert_eq!(answer.body, format!("Store({failure:?})"));
        assert_eq!(world.calls(), "load(bob)");
        assert_eq!(send(&app(&world.layer(), user), visit_as(BOB)).await.body, "bob");
    }
}

#[tokio::test]
async fn failed_load_that_the_handler_did_not_ask_for_lets_the_response_leave_and_writes_nothing() {
    let world = World::with(r#""user":"bob""#).await;
    world.store.fail_next(Verb::Load, Failure::Unavailable);
    let layer = world.layer().save_uninitialized(true).rolling(true);
    let answer = send(&raw(&layer, async |_| ()), visit_as(BOB)).await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn salvo_express_session_a_failed_save_is_not_reported_as_success() {
    // peers.md §5: the error was only logged, and the visitor told that all was well.
    let world = World::with("").await;
    world.store.fail_next(Verb::Create, Failure::Unavailable);
    let answer = send(&app(&world.layer(), login), visit_as(BOB)).await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::SERVICE_UNAVAILABLE, None));
}

#[tokio::test]
async fn express_session_issue_492_a_store_that_never_answers_keeps_the_response_and_not_the_request()
 {
    // The response waits, and a client or a time-out that gives up leaves nothing half done.
    let world = World::with(r#""n":1"#).await;
    let delayed_store = DelayedStore::before(Verb::Update, world.store.clone());
    let talk = bob(&world.layer().store(delayed_store)).await;
    talk.session.insert("n", 2).unwrap();
    let (session, mut sent) = talk.hold(text("ok"));
    assert!(waits(sent.as_mut()).await);
    drop(sent);
    drop(session);
    let other = bob(&world.layer()).await;
    assert_eq!(other.session.get::<u8>("n").unwrap(), Some(1));
}

// Lost changes.

#[tokio::test]
async fn express_session_issue_606_overlapping_requests_lose_no_change() {
    let world = World::with("").await;
    let layer = world.layer();
    let mut talks = Vec::new();
    for member in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let talk = bob(&layer).await;
        talk.session.insert(member, 1).unwrap();
        talks.push(talk);
    }
    for talk in talks {
        talk.end().await;
    }
    let talk = bob(&layer).await;
    assert_eq!(talk.session.keys(), ["a", "b", "c", "d", "e", "f", "g", "h"]);
}

#[tokio::test]
async fn touch_of_an_overlapping_request_keeps_the_changed_cookie() {
    const MONTH: Duration = Duration::from_secs(30 * 86_400);
    const HOUR: Duration = Duration::from_secs(3600);
    for (departures, kept_for) in [(Departures::all(), MONTH), (Departures::none(), HOUR)] {
        let world = World::new();
        let layer = world.layer().cookie(Cookie::new().max_age(HOUR)).departures(departures);
        let login = app(&layer, async |session: Session| session.insert("user", "bob"));
        let cookie = send(&login, visit()).await.pair().to_owned();
        world.clock.advance(HOUR / 2);
        let reading = Talk::begin(&layer, visit_with(&cookie)).await;
        let remember = app(&layer, async |session: Session| {
            session.insert("remembered", true)?;
            session.cookie().set_max_age(MONTH)
        });
        send(&remember, visit_with(&cookie)).await;
        reading.end().await;
        let read = app(&layer, async |session: Session| {
            Ok::<_, Error>(format!("{:?}", session.cookie().original_max_age()))
        });
        let answer = send(&read, visit_with(&cookie)).await;
        assert_eq!(answer.body, format!("{:?}", Some(kept_for)));
    }
}

#[tokio::test]
async fn actix_session_an_update_counts_as_a_change() {
    // peers.md, finding 5.
    let world = World::with(r#""n":1"#).await;
    let update = app(&world.layer(), async |session: Session| {
        session.update("n", |n: Option<u8>| n.unwrap_or(0) + 1).map(drop)
    });
    send(&update, visit_as(BOB)).await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn pavex_session_a_removal_counts_as_a_change() {
    // peers.md, finding 6.
    let world = World::with(r#""n":1"#).await;
    let remove = app(&world.layer(), async |session: Session| session.remove("n").map(drop));
    send(&remove, visit_as(BOB)).await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, "")));
}

#[tokio::test]
async fn express_session_issue_521_layers_that_share_a_store_keep_their_options() {
    let world = World::new();
    let (plain, minute) = (world.layer(), world.minute());
    let _ = app(&minute, login);
    let answer = send(&app(&plain, login), visit()).await;
    assert!(answer.cookie().unwrap().ends_with("; Path=/; HttpOnly"));
}

#[tokio::test]
async fn express_session_issue_284_first_visits_do_not_fill_the_memory() {
    let store = MemoryStore::new();
    let world = World::over(Spy::new(store.clone()));
    let app = app(&world.layer(), user);
    for _ in 0..1000 {
        send(&app, visit()).await;
    }
    assert_eq!(world.calls(), "");
    assert!(format!("{store:?}").contains("sessions: 0"));
}

#[tokio::test]
async fn secure_cookie_over_plain_http_leaves_no_orphan_record() {
    let world = World::new();
    let layer = world.layer().save_uninitialized(true).cookie(Cookie::new().secure(true));
    for _ in 0..3 {
        assert_eq!(send(&raw(&layer, async |_| ()), visit()).await.cookie(), None);
    }
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn tower_sessions_issue_195_a_session_saved_explicitly_gets_its_cookie() {
    let world = World::new();
    let save = app(&world.layer(), async |session: Session| session.save().await);
    assert!(send(&save, visit()).await.cookie().is_some());
}

#[tokio::test]
async fn salvo_express_session_a_record_of_node_is_kept_to_the_byte() {
    // peers.md §5: dropped attributes, reordered members, nanoseconds, `sameSite: true` as an error.
    let stored = r#"{"z":1,"cookie":{"originalMaxAge":60000.5,"partitioned":true,"priority":"high","expires":null,"httpOnly":true,"domain":null,"path":"/","sameSite":true},"a":{"y":1.50,"x":[]}}"#;
    let world = World::holding(stored).await;
    let put = app(&world.layer(), async |session: Session| session.insert("n", 1));
    send(&put, visit_as(BOB)).await;
    let kept = world.kept(BOB).await.unwrap();
    assert!(kept.starts_with(r#"{"z":1,"cookie":{"originalMaxAge":"#), "{kept}");
    assert!(
        kept.contains(
            r#""partitioned":true,"priority":"high","expires":"2023-11-14T22:14:20.123Z""#
        )
    );
    assert!(kept.ends_with(r#""sameSite":true},"a":{"y":1.50,"x":[]},"n":1}"#), "{kept}");
}

// Timing.

#[test]
fn ids_and_signatures_are_compared_in_constant_time() {
    // GHSA-92vm-wfm5-mxvv, cookie-signature before 1.0.4. Time cannot be asserted; what compares can be
    // named, so that another way of comparing has to pass by here.
    let id = include_str!("../../../core/src/id.rs");
    assert!(id.contains("constant_time::same(self") && id.contains("impl PartialEq for SessionId"));
    assert!(!id.contains("derive(Clone, PartialEq"));
    let keyring = include_str!("../../../core/src/signing/keyring.rs");
    assert!(keyring.contains("constant_time::same(&signature"));
    assert!(
        include_str!("../../../core/src/signing/constant_time.rs").contains("differing.ct_eq(&0)")
    );
}
