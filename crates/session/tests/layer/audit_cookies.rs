//! The findings of the audit about cookies, caches and secrets: M6, M7, M12 and the low ones.

use std::time::Duration;

use express_session::{
    AmbiguousCookie, CacheHeaders, Cookie, Departures, Error, ErrorKind, MemoryStore, SameSite,
    Secure, Session, SessionLayer,
};
use express_session_testkit::Verb;
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, StatusCode};
use tower::ServiceExt as _;

use crate::support::log::Log;
use crate::support::*;

const EVE: &str = "EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE";

/// A secret that no check finds weak.
const STRONG: &str = "9cf0c1b2d7e84a5f6b3d2e1f0a9b8c7d";

async fn login(session: Session) -> Result<(), Error> {
    session.insert("a", 1)
}

async fn user(session: Session) -> Result<String, Error> {
    Ok(session.get::<String>("user")?.unwrap_or_else(|| "a new visitor".to_owned()))
}

/// A world with the sessions of Bob and of Eve.
async fn bob_and_eve() -> World {
    let world = World::with(r#""user":"bob""#).await;
    world.keep(EVE, &record(PLAIN, r#""user":"eve""#)).await;
    world
}

fn pair(id: &str) -> String {
    format!("connect.sid={}", signed(id))
}

// M6: what browsers drop in silence.

#[test]
fn audit_m6_a_cookie_that_browsers_drop_is_refused_when_the_layer_is_built() {
    let (secure, cookie) = (|| Cookie::new().secure(true), Cookie::new);
    for (name, cookie, option) in [
        ("__Host-sid", cookie(), "cookie.secure"),
        ("__Host-sid", cookie().secure(Secure::Never), "cookie.secure"),
        ("__Host-sid", secure().domain("example.com"), "cookie.domain"),
        ("__Host-sid", secure().path("/admin"), "cookie.path"),
        ("__Host-sid", secure().path(""), "cookie.path"),
        ("__hOsT-sid", secure().path("/admin"), "cookie.path"),
        ("__Secure-sid", cookie(), "cookie.secure"),
        ("__secure-sid", cookie(), "cookie.secure"),
        ("__Http-sid", secure().http_only(false), "cookie.http_only"),
        ("__Host-Http-sid", secure().http_only(false), "cookie.http_only"),
        ("sid", cookie().same_site(SameSite::None), "cookie.secure"),
        ("sid", cookie().same_site(SameSite::Auto), "cookie.secure"),
        ("sid", cookie().partitioned(true), "cookie.secure"),
        ("sid", cookie().path("admin"), "cookie.path"),
    ] {
        let layer = || SessionLayer::new(STRONG).store(MemoryStore::new());
        let layer = layer().name(name).cookie(cookie.clone());
        let error = layer.clone().build().unwrap_err();
        assert_eq!(error.option(), option, "{name} {cookie:?}");
        assert!(error.value().starts_with("browsers "), "{error}");

        // express-session sends it.
        let log = Log::start();
        assert!(layer.departures(Departures::all().browser_rules(false)).build().is_ok());
        let warnings = log.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("browsers drop"), "{warnings:?}");
    }
    for (name, cookie) in [
        ("__Host-sid", secure()),
        ("__Host-sid", cookie().secure(Secure::Auto)),
        ("__Host-sid", secure().domain("")),
        ("__Secure-sid", secure().domain("example.com").path("/admin")),
        ("__Host-Http-sid", secure()),
        ("sid", secure().same_site(SameSite::None).partitioned(true)),
        ("sid", cookie().secure(Secure::Auto).same_site(SameSite::Auto)),
        ("__Hostess", cookie()),
    ] {
        let layer = SessionLayer::new(STRONG).name(name).cookie(cookie.clone());
        assert!(layer.build().is_ok(), "{name} {cookie:?}");
    }
}

#[tokio::test]
async fn audit_m6_a_changed_cookie_that_browsers_drop_is_not_sent_and_logs_a_warning() {
    type Change = fn(&Session) -> Result<(), Error>;
    let changes: [(Change, bool); 6] = [
        (|session| session.cookie().set_secure(false), false),
        (|session| session.cookie().set_path("/admin"), false),
        (|session| session.cookie().set_domain("example.com"), false),
        (|session| session.cookie().set_http_only(false), false),
        (|session| session.cookie().set_same_site(SameSite::None), true),
        (|session| session.cookie().set_max_age(Duration::from_secs(60)), true),
    ];
    for (change, is_sent) in changes {
        for departures in [Departures::all(), Departures::none()] {
            let world = World::new();
            let layer = world.layer().name("__Host-Http-sid").cookie(Cookie::new().secure(true));
            let layer = layer.departures(departures);
            let log = Log::start();
            let app = app(&layer, move |session: Session| async move {
                session.insert("a", 1)?;
                change(&session)
            });
            let answer = send(&app, request("https://example.com/", &[])).await;
            let is_sent = is_sent || departures == Departures::none();
            let is_insecure = answer.cookie().is_some_and(|line| !line.contains("; Secure"));
            assert_eq!(answer.cookie().is_some(), is_sent, "{:?}", answer.cookie());
            assert!(!is_insecure || departures == Departures::none());
            // A session that no browser can reach is not stored (departure 10).
            assert_eq!(!world.verbs().is_empty(), is_sent);
            let is_told = log.warnings().iter().any(|line| line.contains("browsers drop"));
            assert_eq!(is_told, !is_sent);
        }
    }
}

#[tokio::test]
async fn audit_m6_a_stored_cookie_that_browsers_drop_is_not_sent() {
    // Stored before the name had a prefix, by Node, or by a function of the request.
    let world = World::with(r#""user":"bob""#).await;
    let layer = world.layer().name("__Host-sid").cookie(Cookie::new().secure(true)).rolling(true);
    let cookie = format!("__Host-sid={}", signed(BOB));
    let log = Log::start();
    let visit = || request("https://example.com/", &[("cookie", &cookie)]);
    let answer = send(&app(&layer, user), visit()).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("bob", None));
    assert!(log.text().contains("browsers drop"), "{}", log.text());

    let layer = World::new().layer().cookie_with(|_| Cookie::new().partitioned(true));
    assert_eq!(send(&app(&layer, login), request("/", &[])).await.cookie(), None);
    // Secure::Auto over plain HTTP.
    let auto = Cookie::new().secure(Secure::Auto);
    let layer = World::new().layer().name("__Host-sid").cookie(auto);
    assert_eq!(send(&app(&layer, login), request("/", &[])).await.cookie(), None);
    let answer = send(&app(&layer, login), request("https://example.com/", &[])).await;
    assert!(answer.cookie().unwrap().ends_with("; Path=/; HttpOnly; Secure"));
}

// M6: tossing.

#[tokio::test]
async fn audit_m6_eight_hundred_planted_cookies_log_no_visitor_out() {
    let world = bob_and_eve().await;
    let app = app(&world.layer(), user);
    let forged = format!("connect.sid=s%3A{}.{}; ", "x".repeat(32), "A".repeat(43));
    let long = format!("connect.sid=s%3A{}.{}; ", "x".repeat(50_000), "A".repeat(43));
    for (junk, many) in [
        ("connect.sid=x; ", 8),
        ("connect.sid=x; ", 800),
        ("connect.sid; connect.sid=\"; connect.sid=%; ", 800),
        (&*forged, 8),
        (&*forged, 800),
        (&*long, 8),
    ] {
        let answer = send(&app, visit_with(&(junk.repeat(many) + &pair(BOB)))).await;
        assert_eq!(answer.body, "bob", "{many} times {}", &junk[..15]);
    }
    // In many headers, as HTTP/2 sends them.
    let mut request = visit();
    for _ in 0..800 {
        request.headers_mut().append(COOKIE, forged.trim_end_matches("; ").parse().unwrap());
    }
    request.headers_mut().append(COOKIE, pair(BOB).parse().unwrap());
    assert_eq!(send(&app, request).await.body, "bob");
}

#[tokio::test]
async fn audit_m6_two_valid_ids_log_a_warning_once_a_minute_without_them() {
    let world = bob_and_eve().await;
    let app = app(&world.layer(), user);
    let both = format!("{}; {}", pair(EVE), pair(BOB));
    let log = Log::start();
    for _ in 0..10 {
        assert_eq!(send(&app, visit_with(&both)).await.body, "eve");
    }
    assert_eq!(log.lines().len(), 1, "{}", log.text());
    world.clock.advance(Duration::from_millis(59_999));
    send(&app, visit_with(&both)).await;
    assert_eq!(log.lines().len(), 1);
    world.clock.advance(Duration::from_millis(60_000));
    send(&app, visit_with(&both)).await;
    assert_eq!(log.lines().len(), 2);
    assert!(log.lines()[1].text.contains("left_out=10"), "{}", log.text());
    for hidden in [BOB, EVE, &signed(BOB)[..40], &signed(EVE)[..40]] {
        assert!(!log.text().contains(hidden), "{}", log.text());
    }
    // One id twice is one session.
    world.clock.advance(Duration::from_millis(600_000));
    let twice = format!("{}; {}", pair(BOB), pair(BOB));
    assert_eq!(send(&app, visit_with(&twice)).await.body, "bob");
    assert_eq!(log.lines().len(), 2);
}

#[tokio::test]
async fn audit_m6_two_valid_ids_are_refused_by_the_option() {
    for save_uninitialized in [false, true] {
        for departures in [Departures::all(), Departures::all().lazy_load(false)] {
            let world = bob_and_eve().await;
            let layer = world.layer().ambiguous_cookie(AmbiguousCookie::Refuse);
            let layer = layer.save_uninitialized(save_uninitialized).departures(departures);
            let both = visit_with(&format!("{}; {}", pair(EVE), pair(BOB)));
            let answer = send(&app(&layer, user), both.clone()).await;
            if departures.lazy_load {
                assert_eq!(answer.body, "AmbiguousCookie");
                // A request that does not use its session is served.
                let log = Log::start();
                let answer = send(&raw(&layer, async |_| ()), both).await;
                assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
                assert!(log.lines().iter().all(|line| line.level != tracing::Level::ERROR));
            } else {
                assert_eq!((answer.status, answer.cookie()), (StatusCode::BAD_REQUEST, None));
                assert!(!answer.body.contains("user"));
            }
            // Neither session was loaded or touched.
            assert_eq!(world.calls(), "");
            for one in
                [format!("{}; {}", pair(BOB), pair(BOB)), format!("connect.sid=x; {}", pair(BOB))]
            {
                assert_eq!(send(&app(&layer, user), visit_with(&one)).await.body, "bob");
            }
        }
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn audit_m6_a_refused_request_is_answered_by_400() {
    let world = bob_and_eve().await;
    let layer = world.layer().ambiguous_cookie(AmbiguousCookie::Refuse);
    let handler = axum::routing::get(async |session: Session| session.id().as_str().to_owned());
    let router: axum::Router = axum::Router::new().route("/", handler).layer(layer);
    let both = format!("{}; {}", pair(EVE), pair(BOB));
    let request = Request::get("/").header("cookie", both).body(axum::body::Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let error = response.extensions().get::<std::sync::Arc<Error>>().unwrap();
    assert_eq!(error.kind(), ErrorKind::AmbiguousCookie);
}

#[tokio::test]
async fn audit_m6_key_per_name_keeps_layers_with_one_secret_apart() {
    // WSTG-SESS-08: by default the signature does not cover the cookie's name.
    for (key_per_name, seen) in [(false, "1"), (true, "a new visitor")] {
        let world = World::new();
        let [shop, admin] =
            ["shop", "admin"].map(|name| world.layer().name(name).key_per_name(key_per_name));
        let login = app(&shop, async |session: Session| session.insert("user", "1"));
        let answer = send(&login, visit()).await;
        let own = answer.pair().to_owned();
        assert_eq!(send(&app(&shop, user), visit_with(&own)).await.body, "1");
        let moved = own.replace("shop=", "admin=");
        assert_eq!(send(&app(&admin, user), visit_with(&moved)).await.body, seen);
    }
}

#[tokio::test]
async fn audit_m6_express_can_share_sessions_of_a_key_per_name() {
    // Node: createHmac('sha256', 'keyboard cat').update('cookie:shop').digest('base64').replace(/=+$/, '')
    let derived = "lZAWT2KISVpBRUlr0+FonZ86+eSZrTlCG6QW0088Vqk";
    let world = World::with(r#""user":"bob""#).await;
    let layer = world.layer().name("shop").key_per_name(true);
    let cookie = format!("shop={}", signed_with(BOB, derived));
    assert_eq!(send(&app(&layer, user), visit_with(&cookie)).await.body, "bob");
}

// Rows of SECURITY.md that had no test.

#[tokio::test]
async fn guessing_an_id_needs_192_random_bits_and_the_secret() {
    let world = World::with(r#""user":"bob""#).await;
    let app = app(&world.layer(), user);
    // The id itself, and signatures that are near.
    let good = signed(BOB);
    for guess in [BOB.to_owned(), format!("s%3A{BOB}"), signed_with(BOB, "keyboard dog")] {
        assert_eq!(
            send(&app, visit_with(&format!("connect.sid={guess}"))).await.body,
            "a new visitor"
        );
    }
    for at in (good.len() - 40..good.len()).filter(|at| !good[..*at].ends_with(['%', '2'])) {
        let other = if good.as_bytes()[at] == b'x' { "y" } else { "x" };
        let near = format!("connect.sid={}{other}{}", &good[..at], &good[at + 1..]);
        assert_eq!(send(&app, visit_with(&near)).await.body, "a new visitor", "{at}");
    }
    // No guess reaches the store.
    assert_eq!(world.calls(), "");
    assert_eq!(8 * express_session::SessionId::RANDOM_BYTES, 192);
}

#[tokio::test]
async fn planting_a_session_is_detected_or_impossible() {
    // A planted cookie that comes first is used, with a warning; refused by an option; and a `__Host-` name of another
    // case, which a subdomain can set in old browsers, is another name.
    let world = bob_and_eve().await;
    let log = Log::start();
    let both = visit_with(&format!("{}; {}", pair(EVE), pair(BOB)));
    assert_eq!(send(&app(&world.layer(), user), both).await.body, "eve");
    assert!(log.text().contains("planted"));
    let layer = world.layer().name("__Host-sid").cookie(Cookie::new().secure(true));
    for planted in ["__host-sid", "__HOST-sid", " __Host-sid\u{a0}", "sid"] {
        let mut request = visit();
        let cookie = format!("{planted}={}", signed(EVE));
        request.headers_mut().insert(COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
        assert_eq!(send(&app(&layer, user), request).await.body, "a new visitor", "{planted}");
    }
}

#[tokio::test]
async fn costly_header_is_read_in_one_pass_and_hashes_a_bounded_part() {
    // 400 kB, the most that hyper takes: forged ids, values to decode, and names to compare.
    let world = World::with(r#""user":"bob""#).await;
    let app = app(&world.layer(), user);
    let forged = format!("connect.sid=s%3A{}.{}; ", "x".repeat(32), "A".repeat(43));
    for part in [&*forged, "connect.sid=%41; ", "connect.si=; ", "=", ";", "connect.sid="] {
        let header = part.repeat(400_000 / part.len());
        assert_eq!(send(&app, visit_with(&header)).await.body, "a new visitor");
    }
    assert_eq!(world.calls(), "");
}

// M7: caches.

#[tokio::test]
async fn audit_m7_every_response_with_the_cookie_is_kept_out_of_shared_caches() {
    let cached = async |session: Session| {
        session.insert("a", 1)?;
        let mut response = text("page");
        let value = HeaderValue::from_static("public, max-age=600, s-maxage=600");
        response.headers_mut().insert(CACHE_CONTROL, value);
        Ok::<_, Error>(response)
    };
    let cache = |answer: &Answer| {
        let lines = answer.headers.get_all(CACHE_CONTROL).iter();
        lines.map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" | ")
    };
    let logout = async |session: Session| session.destroy().await;
    let late = Departures::all().save_before_response(false);
    for (layer, at_login, of_page) in [
        (World::new().layer(), "private", "max-age=600, private"),
        (World::new().layer().departures(late), "private", "max-age=600, private"),
        (
            World::new().layer().cache_headers(CacheHeaders::NoStore),
            "no-store",
            "max-age=600, no-store",
        ),
        (
            World::new().layer().departures(Departures::all().cache_headers(false)),
            "",
            "public, max-age=600, s-maxage=600",
        ),
    ] {
        let answer = send(&app(&layer, login), visit()).await;
        assert_eq!(cache(&answer), at_login);
        let cookie = answer.pair().to_owned();
        // Nothing is set, and nothing added.
        assert_eq!(cache(&send(&app(&layer, user), visit_with(&cookie)).await), "");
        assert_eq!(cache(&send(&app(&layer, cached), visit()).await), of_page);
        // Expiring the cookie is setting it.
        let answer = send(&app(&layer, logout), visit_with(&cookie)).await;
        assert!(answer.cookie().is_some());
        assert_eq!(cache(&answer), at_login);
    }
}

#[tokio::test]
async fn audit_m7_departures_off_add_no_header() {
    let layer = World::new().layer().departures(Departures::none()).save_uninitialized(true);
    let answer = send(&app(&layer, login), visit()).await;
    assert!(answer.cookie().is_some() && !answer.headers.contains_key(CACHE_CONTROL));
}

// M12: what prints.

#[tokio::test]
async fn audit_m12_neither_the_requests_cookie_nor_the_responses_prints() {
    for keeps_request in [false, true] {
        let world = World::with(r#""user":"bob""#).await;
        let mut layer = world.layer().rolling(true);
        if keeps_request {
            layer = layer.secure_when(|request| {
                assert!(!format!("{request:?}").contains(BOB));
                false
            });
        }
        let handler = raw(&layer, async |request: Request<()>| {
            let shown = format!("{request:?} {:?}", request.headers());
            assert!(!shown.contains(BOB) && shown.contains("Sensitive"), "{shown}");
            let session = Session::from_extensions(request.extensions())?.load().await?;
            assert!(
                !format!("{session:?} {:?} {:?}", session.id(), session.cookie()).contains(BOB)
            );
            session.destroy().await
        });
        let mut request = visit_as(BOB);
        request.headers_mut().append(COOKIE, pair(BOB).parse().unwrap());
        let response = handler.clone().oneshot(request).await.unwrap();
        assert!(response.headers()[SET_COOKIE].is_sensitive());

        let response = app(&layer, login).oneshot(visit()).await.unwrap();
        let shown = format!("{response:?} {:?}", response.headers());
        assert!(response.headers()[SET_COOKIE].is_sensitive());
        assert!(!shown.contains("s%3A") && !shown.contains(&drawn(1)), "{shown}");
    }
}

// Low: secrets.

#[test]
fn audit_l1_a_weak_secret_is_an_error_by_option_and_a_warning_by_default() {
    for weak in [
        "",
        "keyboard cat",
        "for this machine only",
        "0123456789012345",
        "passwordpassword",
        "f81d4fae7dec11d0a76500a0c91e6bf6",
    ] {
        let layer = || SessionLayer::new([STRONG, weak]).store(MemoryStore::new());
        let error = layer().refuse_weak_secrets(true).build().unwrap_err();
        assert_eq!(error.option(), "secret");
        assert!(weak.is_empty() || !format!("{error} {error:?}").contains(weak), "{error}");
        let log = Log::start();
        let _ = layer().build().unwrap();
        let warnings = log.warnings();
        assert_eq!(warnings.len(), 1, "{weak}");
        assert!(warnings[0].contains("secret") && (weak.is_empty() || !warnings[0].contains(weak)));
    }
    let log = Log::start();
    let layer = SessionLayer::new(STRONG).store(MemoryStore::new()).refuse_weak_secrets(true);
    assert!(layer.build().is_ok());
    assert_eq!(log.text(), "");
}

#[test]
fn audit_l1_every_secret_that_this_repository_prints_is_weak() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders =
        vec![root.join("examples"), root.join("crates/session/src"), root.join("crates/node")];
    let mut files = vec![root.join("README.md"), root.join("COMPARE.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !["node_modules", "target", "test"].contains(&&*name) {
                folders.push(path);
            } else if [".md", ".rs"].iter().any(|end| name.ends_with(end)) {
                files.push(path);
            }
        }
    }
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (before, quote) in [
            ("SessionLayer::new(\"", '"'),
            ("SessionLayer::new([\"", '"'),
            ("SessionLayer::hardened(\"", '"'),
            ("unwrap_or_else(|_| \"", '"'),
            ("secret: '", '\''),
            ("const SECRET: &str = \"", '"'),
            ("const NEW: &str = \"", '"'),
            ("const OLD: &str = \"", '"'),
            ("let secret = \"", '"'),
        ] {
            for part in text.split(before).skip(1) {
                let secret = part.split(quote).next().unwrap();
                let check = express_session_core::signing::check_secret(secret.as_bytes());
                assert!(check.is_err(), "{}: {secret:?} is published: list it", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

// Low: stored cookies.

#[tokio::test]
async fn audit_l5_a_hardened_layer_hardens_stored_records() {
    let soft = r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:14:20.123Z","secure":false,"httpOnly":false,"domain":"evil.example","path":"/evil","sameSite":"none"}"#;
    let own = || Cookie::new().secure(true).same_site(SameSite::Lax);
    for by_function in [false, true] {
        for hardens in [false, true] {
            let world = World::new();
            world.keep(BOB, &record(soft, r#""user":"bob""#)).await;
            let layer = world.layer().harden_stored_cookies(hardens);
            let layer =
                if by_function { layer.cookie_with(move |_| own()) } else { layer.cookie(own()) };
            let layer = layer.departures(Departures::all().browser_rules(false));
            let visit = || request("https://example.com/", &[("cookie", &pair(BOB))]);
            let change = app(&layer, async |session: Session| session.insert("b", 1));
            let answer = send(&change, visit()).await;
            let sent = answer.cookie().unwrap().split_once("; ").unwrap().1;
            let expected = if hardens {
                "Path=/; Expires=Tue, 14 Nov 2023 22:14:20 GMT; HttpOnly; Secure; SameSite=Lax"
            } else {
                "Domain=evil.example; Path=/evil; Expires=Tue, 14 Nov 2023 22:14:20 GMT; SameSite=None"
            };
            assert_eq!(sent, expected);
            // The write stores them.
            let kept = world.kept(BOB).await.unwrap();
            assert_eq!(kept.contains("evil"), !hardens, "{kept}");
            assert!(kept.contains(r#""originalMaxAge":60000"#) && kept.contains(r#""user":"bob""#));
            // Over plain HTTP it is for HTTPS only.
            let change = app(&layer, async |session: Session| session.insert("b", 2));
            assert_eq!(send(&change, visit_as(BOB)).await.cookie().is_none(), hardens);
        }
    }
}

// Low: records that are bound to their ids.

#[tokio::test]
async fn audit_l6_a_record_is_bound_to_its_id_by_option() {
    let world = World::new();
    let layer = world.layer().bind_records(true);
    let login = app(&layer, async |session: Session| session.insert("user", "bob"));
    let cookie = send(&login, visit()).await.pair().to_owned();
    let own = world.kept(&drawn(1)).await.unwrap();
    let digest = own.split(r#""__boundTo":""#).nth(1).unwrap().split('"').next().unwrap();
    let member = format!(r#","__boundTo":"{digest}""#);
    assert_eq!(own, record(PLAIN, &format!(r#""user":"bob"{member}"#)));
    assert!(!own.contains(&drawn(1)) && !cookie.contains(&digest[..8]));

    // It is no member for handlers, and reading changes nothing.
    let read = app(&layer, async |session: Session| Ok::<_, Error>(session.keys().join(" ")));
    assert_eq!(send(&read, visit_with(&cookie)).await.body, "user");
    assert_eq!(world.kept(&drawn(1)).await.unwrap(), own);
    // A change keeps it, also under a lock and where two requests overlap.
    let change = app(&layer, async |session: Session| {
        let lock = session.lock().await?;
        session.insert("n", 1)?;
        session.save().await?;
        lock.unlock().await
    });
    assert_eq!(send(&change, visit_with(&cookie)).await.body, "ok");
    let slow = Talk::begin(&layer, visit_with(&cookie)).await;
    slow.session.insert("m", 2).unwrap();
    let other = app(&layer, async |session: Session| session.insert("o", 3));
    send(&other, visit_with(&cookie)).await;
    slow.end().await;
    assert_eq!(send(&read, visit_with(&cookie)).await.body, "user n o m");

    // Node writes its members behind it, and keeps it.
    world.keep(&drawn(1), &record(PLAIN, &format!(r#""a":1{member},"b":2"#))).await;
    assert_eq!(send(&read, visit_with(&cookie)).await.body, "a b");
    assert_eq!(send(&login, visit_with(&cookie)).await.body, "ok");
    assert_eq!(send(&read, visit_with(&cookie)).await.body, "a b user");

    // The record of another id is an error, also with members behind the digest, and nothing of it is written.
    for members in [format!(r#""user":"eve"{member}"#), format!(r#""user":"eve"{member},"z":1"#)] {
        world.keep(BOB, &record(PLAIN, &members)).await;
        let answer = send(&app(&layer, user), visit_as(BOB)).await;
        assert_eq!(answer.body, "Store(Corrupt)");
        assert_eq!(world.kept(BOB).await, Some(record(PLAIN, &members)));
    }
    // A record without the digest, or with a false one of another type, has no session.
    for members in [r#""user":"eve""#, r#""user":"eve","__boundTo":7"#] {
        world.keep(BOB, &record(PLAIN, members)).await;
        assert_eq!(send(&app(&layer, user), visit_as(BOB)).await.body, "a new visitor");
    }
    // An old secret's digest is valid until the record is written again.
    let rotated = world.signing([STRONG, SECRET]).bind_records(true);
    assert_eq!(send(&app(&rotated, user), visit_with(&cookie)).await.body, "bob");
    // Without the option it is a member like any other.
    let answer = send(&app(&world.layer(), user), visit_with(&cookie)).await;
    assert_eq!(answer.body, "bob");
}

#[tokio::test]
async fn audit_l5_hardening_a_session_is_no_change_of_it() {
    let world = World::with(r#""user":"bob""#).await;
    let layer = world.layer().cookie(Cookie::new().same_site(SameSite::Lax));
    let layer = layer.harden_stored_cookies(true);
    let answer = send(&app(&layer, user), visit_as(BOB)).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("bob", None));
    assert_eq!(world.verbs(), [Verb::Load]);
    // A session that began over HTTPS stays there, with Secure::Auto.
    let secure = PLAIN.replace(r#""httpOnly""#, r#""secure":true,"httpOnly""#);
    world.keep(BOB, &record(&secure, "")).await;
    let auto = Cookie::new().secure(Secure::Auto);
    let layer = world.layer().cookie(auto).harden_stored_cookies(true).rolling(true);
    assert_eq!(send(&app(&layer, user), visit_as(BOB)).await.cookie(), None);
}
