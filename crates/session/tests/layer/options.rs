//! The options of a layer: what is refused, and what each does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use express_session::{
    Cookie, Departures, Error, MemoryStore, Priority, SameSite, Secret, Secure, SecureConnection,
    Session, SessionLayer,
};
use express_session_testkit::Verb;
use http::Request;
use tower::Layer as _;

use crate::support::*;

/// A handler that makes the session one to be stored.
async fn login(session: Session) -> Result<(), Error> {
    session.insert("a", 1)
}

async fn read(session: Session) -> String {
    session.len().to_string()
}

/// The attributes of a new session's cookie, over plain HTTP.
async fn attributes(layer: &SessionLayer, request: Request<()>) -> String {
    let answer = send(&app(layer, login), request).await;
    answer.cookie().unwrap().split_once("; ").unwrap().1.to_owned()
}

// Values that are refused.

#[test]
fn bad_values_are_refused_by_name_and_value() {
    let year_300_000 = SystemTime::UNIX_EPOCH + Duration::from_secs(9_000_000_000_000);
    let layer = || SessionLayer::new(SECRET);
    let cookie = |cookie: Cookie| layer().cookie(cookie);
    let none: [&str; 0] = [];
    for (layer, option, value) in [
        (SessionLayer::new(none), "secret", "a list without a secret"),
        (SessionLayer::new(Vec::<String>::new()), "secret", "a list without a secret"),
        (layer().name(""), "name", ""),
        (layer().name("connect sid"), "name", "connect sid"),
        (layer().name("sid;"), "name", "sid;"),
        (layer().name("sid=x"), "name", "sid=x"),
        (layer().name("sid\r\nx"), "name", "sid\r\nx"),
        (layer().name("sïd"), "name", "sïd"),
        (cookie(Cookie::new().path("/; Secure")), "cookie.path", "/; Secure"),
        (cookie(Cookie::new().path("/\u{e9}")), "cookie.path", "/\u{e9}"),
        (cookie(Cookie::new().path("/\n")), "cookie.path", "/\n"),
        (cookie(Cookie::new().domain("a b")), "cookie.domain", "a b"),
        (cookie(Cookie::new().domain("-a.example")), "cookie.domain", "-a.example"),
        (cookie(Cookie::new().domain("a..example")), "cookie.domain", "a..example"),
        (cookie(Cookie::new().domain("a.example; Path=/x")), "cookie.domain", "a.example; Path=/x"),
        (cookie(Cookie::new().max_age(Duration::MAX)), "cookie.max_age", "18446744073709551615 s"),
        (
            cookie(Cookie::new().expires(year_300_000)),
            "cookie.expires",
            "+275760-09-13T00:00:00.000Z",
        ),
    ] {
        let error = layer.clone().build().unwrap_err();
        assert_eq!((error.option(), error.value()), (option, value));
        let message = format!("session option {option} is invalid: {value:?}");
        assert_eq!(error.to_string(), message);

        let at_start = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = layer.layer(());
        }));
        let panic = at_start.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(*panic, message);
    }
}

#[test]
fn good_values_are_taken() {
    for layer in [
        SessionLayer::new(SECRET),
        SessionLayer::new([""]),
        SessionLayer::new(SECRET).name("__Host-sid").cookie(Cookie::new().secure(true)),
        SessionLayer::new(SECRET).name("!#$%&'*+-.^_`|~"),
        SessionLayer::new(SECRET).cookie(Cookie::new().domain(".example.com").path("")),
        SessionLayer::new(SECRET).cookie(Cookie::new().max_age(Duration::ZERO)),
        SessionLayer::new(SECRET).cookie(Cookie::new().max_age(Duration::from_secs(10 << 30))),
        SessionLayer::new(SECRET).cookie(Cookie::new().expires(SystemTime::UNIX_EPOCH)),
    ] {
        let layer = layer.build().unwrap();
        let _ = layer.layer(());
    }
}

#[test]
fn value_that_was_mended_is_taken() {
    let layer = SessionLayer::new(SECRET).name("a b");
    assert!(layer.clone().build().is_err());
    assert!(layer.name("ab").build().is_ok());
}

// The secret.

#[tokio::test]
async fn secret_is_text_or_bytes_alone_or_in_a_list() {
    // signatures.json: secret `secret`, id 32 times `A`.
    let id = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let pair = format!("connect.sid=s%3A{id}.6jIeWbTM0KoeQfU2khSKayqpeRPK8v8Cud9f4JV6W8Y");
    let text = "secret";
    for secret in [
        Secret::from(text),
        Secret::from(text.to_owned()),
        Secret::from(text.as_bytes()),
        Secret::from(b"secret"),
        Secret::from(text.as_bytes().to_vec()),
        Secret::from([text]),
        Secret::from([text.to_owned(), "old".to_owned()]),
        Secret::from(vec![text]),
        Secret::from(vec![text.to_owned()]),
        Secret::from(vec![text.as_bytes().to_vec()]),
    ] {
        let layer = SessionLayer::new(secret).genid(move |_| id.to_owned());
        assert_eq!(send(&app(&layer, login), visit()).await.pair(), pair);
    }
}

#[tokio::test]
async fn first_secret_signs_and_all_verify() {
    let world = World::with(r#""n":1"#).await;
    let rotated = world.signing(["new", "older", SECRET]);
    let answer = send(&app(&rotated, read), visit_as(BOB)).await;
    // A session that an older secret has signed keeps its cookie as it is (item 12).
    assert_eq!((answer.body.as_str(), answer.cookie()), ("1", None));

    let layer = rotated.genid(|_| "apple".to_owned());
    let answer = send(&app(&layer, login), visit()).await;
    assert_eq!(answer.pair(), format!("connect.sid={}", signed_with("apple", "new")));

    world.calls();
    let retired = world.signing(["new", "older"]);
    assert_eq!(send(&app(&retired, read), visit_as(BOB)).await.body, "0");
    assert_eq!(world.calls(), "");
}

#[test]
fn debug_output_shows_no_secret() {
    let layer = SessionLayer::new("very secret").store(MemoryStore::new());
    let shown =
        format!("{layer:?} {layer:#?} {:?} {:?}", Secret::from("very secret"), layer.layer(()));
    assert!(!shown.contains("very secret"), "{shown}");
    let bytes = format!("{:?}", b"very secret");
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}

// Name and ids.

#[tokio::test]
async fn name_is_read_and_written() {
    let world = World::with(r#""n":1"#).await;
    let layer = world.layer().name("__Host-sid").cookie(Cookie::new().secure(true));
    let secure = |cookie: &str| request("https://example.com/", &[("cookie", cookie)]);
    let app = app(&layer, read);
    assert_eq!(send(&app, secure(&format!("__Host-sid={}", signed(BOB)))).await.body, "1");
    assert_eq!(send(&app, secure(&sid(BOB))).await.body, "0");
    let answer = send(&crate::support::app(&layer, login), secure("a=b")).await;
    assert!(answer.pair().starts_with("__Host-sid=s%3A"));
}

#[tokio::test]
async fn any_id_of_genid_makes_the_cookie_that_node_makes() {
    for (id, value) in [
        ("apple", "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU"),
        ("%", "s%3A%25.kzQ6x52kKVdF35Qh62AWk4ZekS28K5XYCXKa%2FOTZ01g"),
        ("/foo", "s%3A%2Ffoo.paEKBtAHbV5s1IB8B2zPnzAgYmmnRPIqObW4VRYj%2FMQ"),
    ] {
        let world = World::new();
        let layer = world.layer().genid(move |_| id.to_owned());
        let answer = send(&app(&layer, login), visit()).await;
        assert_eq!(answer.pair(), format!("connect.sid={value}"));
        let answer = send(&app(&layer, read), visit_with(answer.pair())).await;
        assert_eq!(answer.body, "1", "{id}");
    }
}

#[tokio::test]
async fn genid_sees_the_request_and_is_asked_once_a_session() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let world = World::new();
    let layer = world.layer().genid(move |request| {
        let nth = count.fetch_add(1, Ordering::SeqCst);
        format!("{}-{}-{nth}", request.headers["x-region"].to_str().unwrap(), request.uri.path())
    });
    let regional = || request("/a", &[("x-region", "eu")]);
    let talk = Talk::begin(&layer, regional()).await;
    assert_eq!(talk.session.id().as_str(), "eu-/a-0");
    talk.session.regenerate().await.unwrap();
    assert_eq!(talk.session.id().as_str(), "eu-/a-1");
    talk.end().await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    send(&raw(&layer, async |_| ()), regional()).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn ids_are_24_bytes_of_the_source_that_is_given() {
    let world = World::new();
    let layer = world.layer().random(|bytes: &mut [u8]| {
        assert_eq!(bytes.len(), 24);
        bytes.fill(0xff);
    });
    let answer = send(&app(&layer, login), visit()).await;
    assert_eq!(answer.pair(), sid(&"_".repeat(32)));
}

#[tokio::test]
async fn ids_of_the_system_are_all_different() {
    let layer = SessionLayer::new(SECRET);
    let app = app(&layer, async |session: Session| session.id().as_str().to_owned());
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        let id = send(&app, visit()).await.body;
        assert_eq!(id.len(), 32);
        assert!(ids.insert(id));
    }
}

#[tokio::test]
async fn time_is_that_of_the_clock_that_is_given() {
    let layer = SessionLayer::new(SECRET)
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .cookie(Cookie::new().max_age(Duration::from_secs(60)));
    assert_eq!(
        attributes(&layer, visit()).await,
        "Path=/; Expires=Tue, 14 Nov 2023 22:14:20 GMT; HttpOnly"
    );
}

// The cookie.

#[tokio::test]
async fn every_attribute_is_sent_and_stored() {
    let world = World::new();
    let cookie = Cookie::new()
        .domain("example.com")
        .path("/")
        .max_age(Duration::from_secs(60))
        .http_only(true)
        .secure(true)
        .partitioned(true)
        .priority(Priority::High)
        .same_site(SameSite::Lax);
    let layer = world.layer().cookie(cookie);
    assert_eq!(
        attributes(&layer, request("https://example.com/", &[])).await,
        "Domain=example.com; Path=/; Expires=Tue, 14 Nov 2023 22:14:20 GMT; HttpOnly; Secure; \
         Partitioned; Priority=High; SameSite=Lax"
    );
    let stored = r#"{"originalMaxAge":60000,"partitioned":true,"priority":"high","expires":"2023-11-14T22:14:20.123Z","secure":true,"httpOnly":true,"domain":"example.com","path":"/","sameSite":"lax"}"#;
    assert_eq!(world.kept(&drawn(1)).await, Some(record(stored, r#""a":1"#)));
}

#[tokio::test]
async fn false_is_stored_and_not_sent() {
    let world = World::new();
    let cookie = Cookie::new().http_only(false).secure(false).same_site(false).partitioned(false);
    assert_eq!(attributes(&world.layer().cookie(cookie), visit()).await, "Path=/");
    let stored = r#"{"originalMaxAge":null,"partitioned":false,"expires":null,"secure":false,"httpOnly":false,"path":"/","sameSite":false}"#;
    assert_eq!(world.kept(&drawn(1)).await, Some(record(stored, r#""a":1"#)));
}

#[tokio::test]
async fn same_site_is_sent_as_it_is_set() {
    for (same_site, sent) in [
        (SameSite::from(true), "; SameSite=Strict"),
        (SameSite::from(false), ""),
        (SameSite::Lax, "; SameSite=Lax"),
        (SameSite::Strict, "; SameSite=Strict"),
        (SameSite::None, "; SameSite=None"),
        (SameSite::Auto, "; SameSite=Lax"),
    ] {
        let departures = Departures::all().browser_rules(false);
        let layer = World::new().layer().departures(departures);
        let layer = layer.cookie(Cookie::new().same_site(same_site));
        let expected = format!("Path=/; HttpOnly{sent}");
        assert_eq!(attributes(&layer, visit()).await, expected, "{same_site:?}");
    }
}

#[tokio::test]
async fn auto_is_what_the_connection_is_when_the_session_is_made() {
    let auto = Cookie::new().secure(Secure::Auto).same_site(SameSite::Auto);
    for (uri, sent, stored) in [
        (
            "/",
            "Path=/; HttpOnly; SameSite=Lax",
            r#""secure":false,"httpOnly":true,"path":"/","sameSite":"lax""#,
        ),
        (
            "https://example.com/",
            "Path=/; HttpOnly; Secure; SameSite=None",
            r#""secure":true,"httpOnly":true,"path":"/","sameSite":"none""#,
        ),
    ] {
        let world = World::new();
        let layer = world.layer().cookie(auto.clone());
        assert_eq!(attributes(&layer, request(uri, &[])).await, sent);
        assert!(world.kept(&drawn(1)).await.unwrap().contains(stored));
    }
}

#[tokio::test]
async fn cookie_with_gives_each_request_its_own() {
    let world = World::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let layer = world.layer().cookie_with(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        let host = request.headers["host"].to_str().unwrap();
        Cookie::new().domain(host).secure(Secure::Auto)
    });
    let to = |host| request("/", &[("host", host)]);
    assert_eq!(attributes(&layer, to("a.example")).await, "Domain=a.example; Path=/; HttpOnly");
    assert_eq!(attributes(&layer, to("b.example")).await, "Domain=b.example; Path=/; HttpOnly");
    // Once for the path, and once for the session.
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    send(&raw(&layer, async |_| ()), to("c.example")).await;
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn cookie_with_decides_the_path_of_each_request() {
    let layer = World::new().layer().cookie_with(|request| {
        Cookie::new().path(if request.uri.path().starts_with("/admin") { "/admin" } else { "/app" })
    });
    assert_eq!(attributes(&layer, request("/admin/x", &[])).await, "Path=/admin; HttpOnly");
    assert_eq!(send(&app(&layer, login), request("/", &[])).await.body, "OutsidePath");
}

#[tokio::test]
async fn without_departure_6_auto_of_a_function_stays_auto() {
    let world = World::new();
    let departures = Departures::all().cookie_function_auto(false).skip_unreachable_sessions(false);
    let layer = world
        .layer()
        .departures(departures)
        .cookie_with(|_| Cookie::new().same_site(SameSite::Auto).secure(false));
    assert_eq!(send(&app(&layer, login), visit()).await.cookie(), None);
    assert!(world.kept(&drawn(1)).await.unwrap().contains(r#""sameSite":"auto""#));
}

// How a connection is known to be secure.

#[tokio::test]
async fn connection_is_secure_by_scheme_marker_proxy_or_function() {
    let marked = || {
        let mut marked = visit();
        marked.extensions_mut().insert(SecureConnection);
        marked
    };
    let https = || request("https://example.com/", &[]);
    let forwarded = |value| request("/", &[("x-forwarded-proto", value)]);
    let standard = |value| request("/", &[("forwarded", value)]);
    for (proxy, request, secure) in [
        (None, visit(), false),
        (None, https(), true),
        (None, marked(), true),
        (None, forwarded("https"), false),
        (Some(false), https(), false),
        (Some(false), marked(), true),
        (Some(false), forwarded("https"), false),
        (Some(true), marked(), true),
        (Some(true), https(), false),
        (Some(true), forwarded("https"), true),
        (Some(true), forwarded("HTTPS , http"), true),
        (Some(true), forwarded("http,https"), false),
        (Some(true), standard("for=192.0.2.1;proto=https"), true),
        (Some(true), standard("proto=http, proto=https"), false),
        (None, standard("proto=https"), false),
    ] {
        let seen = format!("{proxy:?} {request:?}");
        let layer = World::new().layer().proxy(proxy).cookie(Cookie::new().secure(true));
        let answer = send(&app(&layer, login), request).await;
        assert_eq!(answer.cookie().is_some(), secure, "{seen}");
    }
}

#[tokio::test]
async fn own_function_says_that_a_connection_is_secure() {
    let world = World::new();
    let layer = world
        .layer()
        .proxy(false)
        .secure_when(|request| request.headers.contains_key("x-tls"))
        .cookie(Cookie::new().secure(true));
    let answer = send(&app(&layer, login), request("/", &[("x-tls", "1")])).await;
    assert!(answer.cookie().is_some());
    assert_eq!(send(&app(&layer, login), visit()).await.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn without_departure_5_forwarded_is_not_read() {
    let departures = Departures::all().forwarded(false);
    let layer = World::new().layer().proxy(true).cookie(Cookie::new().secure(true));
    let forwarded = request("/", &[("forwarded", "proto=https")]);
    let answer = send(&app(&layer.departures(departures), login), forwarded).await;
    assert_eq!(answer.cookie(), None);
}

// The store.

#[tokio::test]
async fn layers_without_a_store_have_each_a_memory_of_their_own() {
    let (one, two) = (SessionLayer::new(SECRET), SessionLayer::new(SECRET));
    let answer = send(&app(&one, login), visit()).await;
    let again = || visit_with(answer.pair());
    assert_eq!(send(&app(&one, read), again()).await.body, "1");
    assert_eq!(send(&app(&one.clone(), read), again()).await.body, "1");
    assert_eq!(send(&app(&two, read), again()).await.body, "0");
}

#[tokio::test]
async fn departures_off_is_express_session() {
    let world = World::with(r#""n":1"#).await;
    let layer = world.layer().departures(Departures::none());
    send(&app(&layer, read), visit_as(BOB)).await;
    assert_eq!(world.calls(), format!("load(bob) touch(bob, {PLAIN})"));
    // The record is loaded before the handler, whether or not it asks.
    let seen = world.store.clone();
    let app = raw(&layer, move |_| {
        let calls = seen.calls().len();
        async move { calls.to_string() }
    });
    assert_eq!(send(&app, visit_as(BOB)).await.body, "1");
}
