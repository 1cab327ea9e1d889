//! The library's own member, and the limits of a session's life, as a visitor meets them.

use express_session::store::{Admin as _, Record, Store as _, Touch};
use express_session::{
    Client, ClientDetail, Cookie, EndedBy, Error, ErrorKind, Session, SessionId, SessionLayer,
    Timestamp, TouchAfter, Typed,
};
use express_session_testkit::{MapStore, Spy, Verb};
use http::HeaderValue;
use http::header::USER_AGENT;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn after(duration: Duration) -> Timestamp {
    NOW.saturating_add(duration)
}

/// The member of a session that began at [`NOW`], and was seen last so long later.
fn member(seen: Duration) -> String {
    let (created, seen) = (NOW.millis(), after(seen).millis());
    format!(r#""__sessionMetadata":{{"created":{created},"seen":{seen}}}"#)
}

/// A record of a day, as express-session writes it at [`NOW`], with these members.
fn day(members: &str) -> String {
    let expires = after(DAY).iso();
    let cookie = format!(
        r#"{{"originalMaxAge":86400000,"expires":"{expires}","httpOnly":true,"path":"/"}}"#
    );
    record(&cookie, members)
}

impl World {
    /// Returns the deadline that the store has for Bob's record.
    async fn deadline(&self) -> Option<Timestamp> {
        let id = SessionId::new(BOB).unwrap();
        let loaded = self.store.inner().load(&id, self.clock.now()).await.unwrap();
        loaded.unwrap().record.deadline
    }

    /// Visits as Node does: the record stays as it is, and its deadline is a day from now.
    async fn visit_in_node(&self) {
        let deadline = Some(self.clock.now().saturating_add(DAY));
        let text = self.kept(BOB).await.unwrap();
        let touch = Touch { deadline, ..Touch::renewing(&text, self.clock.now()).unwrap() };
        let id = SessionId::new(BOB).unwrap();
        self.store.inner().touch(&id, &touch, self.clock.now()).await.unwrap();
    }

    /// Changes the record as Node does, which has loaded this text.
    async fn write_in_node(&self, text: &str) {
        let deadline = Some(self.clock.now().saturating_add(DAY));
        let id = SessionId::new(BOB).unwrap();
        let record = Record { text: text.into(), deadline };
        self.store.inner().destroy(&id).await.unwrap();
        self.store.inner().create(&id, &record, self.clock.now()).await.unwrap();
    }

    /// A layer with a cookie of a day.
    fn daily(&self) -> SessionLayer {
        self.layer().cookie(Cookie::new().max_age(DAY))
    }
}

/// Reads one member.
async fn read_page(layer: &SessionLayer) -> Answer {
    let talk = bob(layer).await;
    talk.session.get::<u32>("views").unwrap();
    talk.end().await
}

async fn ended_by(layer: &SessionLayer) -> Option<EndedBy> {
    let talk = bob(layer).await;
    let ended = talk.session.ended_by();
    assert_eq!(talk.session.is_empty(), ended.is_some());
    talk.end().await;
    ended
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

/// The visits of `lifetime.json`, which the npm package's tests make as well.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Visits {
    now: i64,
    max_age: u64,
    idle_timeout: u64,
    absolute_timeout: u64,
    renewal_grace: u64,
    steps: Vec<Step>,
}

/// A visit: what its handler does, the record after it, how long the store keeps that, and the record under the old id
/// after a renewal, with `NEW` in place of the new one.
#[derive(Deserialize)]
struct Step {
    after: u64,
    act: String,
    record: String,
    left: u64,
    forward: Option<String>,
}

impl Step {
    async fn handle(&self, session: &Session) -> Result<(), Error> {
        match &*self.act {
            "read" => session.get::<u32>("views").map(drop),
            "write" => {
                session.update("views", |views: Option<u32>| views.unwrap_or(0) + 1).map(drop)
            }
            "login" => {
                let user = serde_json::json!({ "id": 7, "name": "Zoë \"Z\"" });
                let login = session.login(user).keep(["views"]);
                login.absolute_timeout(Duration::from_secs(1000)).await
            }
            "remember" => session.login("bob").remember(30 * DAY).with_passport().await,
            "stepUp" => session.step_up(2).await,
            "renew" => session.renew_id().await,
            other => panic!("{other}"),
        }
    }
}

// The member.

#[tokio::test]
async fn records_are_those_of_the_npm_package_byte_for_byte() {
    let text = include_str!("../../../../conformance/vectors/lifetime.json");
    let visits: Visits = serde_json::from_str(text).unwrap();
    let world = World::new();
    assert_eq!(visits.now, NOW.millis());
    let layer = world
        .layer()
        .cookie(Cookie::new().max_age(Duration::from_millis(visits.max_age)))
        .idle_timeout(Duration::from_millis(visits.idle_timeout))
        .absolute_timeout(Duration::from_millis(visits.absolute_timeout))
        .renewal_grace(Duration::from_millis(visits.renewal_grace))
        .touch_after(Duration::ZERO);
    let (mut pair, mut before) = (None, None);
    for step in &visits.steps {
        let now = after(Duration::from_millis(step.after));
        world.clock.set(now);
        let request = pair.as_deref().map_or_else(visit, visit_with);
        let talk = Talk::begin(&layer, request).await;
        step.handle(&talk.session).await.unwrap();
        let id = talk.session.id();
        let answer = talk.end().await;
        if answer.cookie().is_some() {
            pair = Some(answer.pair().to_owned());
        }
        let stored = world.store.inner().load(&id, now).await.unwrap().unwrap().record;
        assert_eq!(*stored.text, step.record);
        let deadline = now.saturating_add(Duration::from_millis(step.left));
        assert_eq!(stored.deadline, Some(deadline), "{} {}", step.after, step.act);
        if let Some(forward) = &step.forward {
            let old = before.replace(id.clone()).unwrap();
            let stored = world.store.inner().load(&old, now).await.unwrap().unwrap().record;
            assert_eq!(*stored.text, forward.replace("NEW", id.as_str()));
        }
        before = Some(id);
    }
}

#[tokio::test]
async fn session_of_node_gets_the_member_with_its_next_write_and_handlers_do_not_see_it() {
    let world = World::with(r#""views":1"#).await;
    let layer = world.layer().metadata(true);
    let talk = bob(&layer).await;
    assert_eq!(talk.session.metadata().unwrap(), None);
    talk.session.insert("views", 2).unwrap();
    talk.end().await;
    let stored = record(PLAIN, &format!(r#""views":2,{}"#, member(Duration::ZERO)));
    assert_eq!(world.kept(BOB).await, Some(stored));

    let talk = bob(&layer).await;
    let metadata = talk.session.metadata().unwrap().unwrap();
    assert_eq!((metadata.created(), metadata.seen()), (NOW, NOW));
    let session = &talk.session;
    assert_eq!((session.keys(), session.len()), (vec!["views".to_owned()], 1));
    assert!(!session.contains("__sessionMetadata"));
    assert_eq!(session.get::<u32>("__sessionMetadata").unwrap(), None);
    assert!(!session.remove("__sessionMetadata").unwrap());
    session.clear().unwrap();
    talk.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, &member(Duration::ZERO))));
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Views {
    views: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Everything {
    #[serde(flatten)]
    all: std::collections::BTreeMap<String, serde_json::Value>,
}

#[tokio::test]
async fn typed_session_neither_sees_nor_drops_the_member() {
    let world = World::with(&format!(r#"{},"views":1"#, member(Duration::ZERO))).await;
    let layer = world.layer().metadata(true);
    let talk = bob(&layer).await;
    let views = Typed::<Views>::new(talk.session.clone());
    assert_eq!(views.update(|views| views.views += 1).unwrap().views, 2);
    let all = Typed::<Everything>::new(talk.session.clone());
    assert_eq!(all.read().unwrap().all.keys().collect::<Vec<_>>(), ["views"]);
    drop((views, all));
    talk.end().await;
    let stored = record(PLAIN, &format!(r#""views":2,{}"#, member(Duration::ZERO)));
    assert_eq!(world.kept(BOB).await, Some(stored));
}

#[tokio::test]
async fn application_cannot_take_the_name_of_the_member() {
    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Taken {
        #[serde(rename = "__sessionMetadata")]
        member: u32,
    }
    let (world, talk) = World::visited("").await;
    talk.session.insert("__sessionMetadata", 1).unwrap();
    talk.abort();

    let talk = bob(&world.layer().metadata(true)).await;
    let session = &talk.session;
    let typed = Typed::<Taken>::new(session.clone());
    for refused in [
        session.insert("__sessionMetadata", 1),
        session.update("__sessionMetadata", |_: Option<u32>| 1).map(drop),
        session.update_now("__sessionMetadata", |_: Option<u32>| 1).await.map(drop),
        typed.write(&Taken { member: 1 }),
        typed.update(|taken| taken.member = 1).map(drop),
    ] {
        assert_eq!(kind(refused), ErrorKind::ReservedName);
    }
    assert!(session.is_empty());
    drop(typed);
    talk.end().await;
    // Another name of the member leaves this one free.
    let talk = bob(&world.layer().metadata(true).metadata_member("__m")).await;
    talk.session.insert("__sessionMetadata", 1).unwrap();
    talk.end().await;
    let times = format!(r#"{{"created":{0},"seen":{0}}}"#, NOW.millis());
    let stored = format!(r#""__sessionMetadata":1,"__m":{times}"#);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, &stored)));
}

#[tokio::test]
async fn hostile_member_breaks_no_request_and_is_replaced() {
    for hostile in [
        "1".to_owned(),
        "null".to_owned(),
        r#""x""#.to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"created":-1e400,"seen":{}}"#.to_owned(),
        r#"{"created":99999999999999999999,"seen":0}"#.to_owned(),
        format!("{}1{}", "[".repeat(100), "]".repeat(100)),
        format!(r#"{{"created":1,"seen":1,"x":"{}"}}"#, "x".repeat(100_000)),
    ] {
        let world = World::with(&format!(r#""__sessionMetadata":{hostile},"views":1"#)).await;
        let layer = world.layer().idle_timeout(HOUR).absolute_timeout(HOUR);
        let talk = bob(&layer).await;
        assert_eq!(talk.session.metadata().unwrap(), None);
        assert_eq!((talk.session.len(), talk.session.ended_by()), (1, None));
        talk.session.insert("views", 2).unwrap();
        talk.end().await;
        let stored = record(PLAIN, &format!(r#""views":2,{}"#, member(Duration::ZERO)));
        assert_eq!(world.kept(BOB).await, Some(stored));
    }
}

#[tokio::test]
async fn member_stays_when_node_writes_on_and_an_older_one_takes_no_visit_back() {
    let world = World::holding(&day(r#""views":1"#)).await;
    let layer = world.daily().metadata(true);
    world.clock.advance(HOUR);
    let talk = bob(&layer).await;
    talk.session.insert("views", 2).unwrap();
    talk.end().await;
    let stored = world.kept(BOB).await.unwrap();
    // Node adds a member behind that of the library.
    world.write_in_node(&stored.replace("}}", r#"},"node":1}"#)).await;
    let talk = bob(&layer).await;
    assert_eq!(talk.session.keys(), ["views", "node"]);
    assert_eq!(talk.session.metadata().unwrap().unwrap().created(), after(HOUR));
    // While this request is under way, Node writes back what it had loaded earlier.
    talk.session.insert("views", 3).unwrap();
    world.clock.advance(HOUR);
    world.write_in_node(&stored).await;
    talk.end().await;
    let talk = bob(&layer).await;
    let metadata = talk.session.metadata().unwrap().unwrap();
    assert_eq!((metadata.created(), metadata.seen()), (after(HOUR), after(2 * HOUR)));
    assert_eq!(talk.session.get("views").unwrap(), Some(3));
}

#[tokio::test]
async fn request_makes_as_many_calls_with_the_member_as_without() {
    let world = World::holding(&day(&format!(r#""views":1,{}"#, member(Duration::ZERO)))).await;
    let layer = world.daily();
    for (passed, plain, noted) in [
        // A hundredth of a day is more than a minute, which counts then.
        (59, &[Verb::Load][..], &[Verb::Load][..]),
        (60, &[Verb::Load, Verb::Touch], &[Verb::Load, Verb::Update]),
    ] {
        for asks in [true, false] {
            for (layer, calls) in [(layer.clone(), plain), (layer.clone().metadata(true), noted)] {
                world.clock.set(NOW);
                world.keep(BOB, &day(&format!(r#""views":1,{}"#, member(Duration::ZERO)))).await;
                world.clock.advance(passed * SECOND);
                world.calls();
                if asks {
                    read_page(&layer).await;
                } else {
                    send(&raw(&layer, async |_| ()), visit_as(BOB)).await;
                }
                assert_eq!(world.verbs(), calls, "{passed} {asks}");
            }
        }
    }
    let seen = format!(r#""views":1,{}"#, member(60 * SECOND));
    assert!(world.kept(BOB).await.unwrap().ends_with(&format!("{seen}}}")));
    assert_eq!(world.deadline().await, Some(after(DAY + 60 * SECOND)));
}

#[tokio::test]
async fn visit_that_is_noted_loses_no_change_of_an_overlapping_request() {
    let world = World::holding(&day(r#""views":1"#)).await;
    let layer = world.daily().metadata(true).touch_after(Duration::ZERO);
    let (reader, writer) = (bob(&layer).await, bob(&layer).await);
    writer.session.update("views", |views: Option<u32>| views.unwrap_or(0) + 1).unwrap();
    world.clock.advance(SECOND);
    // The visit is noted between the load and the write, and once more after it.
    reader.end().await;
    let late = bob(&layer).await;
    writer.end().await;
    world.clock.advance(SECOND);
    late.end().await;
    let talk = bob(&layer).await;
    assert_eq!(talk.session.get("views").unwrap(), Some(2));
    // The write in between was a visit of its own.
    assert_eq!(talk.session.metadata().unwrap().unwrap().seen(), after(SECOND));
}

#[tokio::test]
async fn failure_to_note_a_visit_is_no_failure_of_the_page() {
    let world = World::holding(&day(r#""views":1"#)).await;
    let layer = world.daily().metadata(true).touch_after(Duration::ZERO);
    world.store.fail_next(Verb::Update, express_session::store::ErrorKind::Unavailable);
    assert_eq!(read_page(&layer).await.status, 200);
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
}

#[tokio::test]
async fn session_that_was_destroyed_meanwhile_is_not_brought_back_by_a_visit() {
    let world = World::holding(&day(r#""views":1"#)).await;
    let layer = world.daily().metadata(true).touch_after(Duration::ZERO);
    let (one, two) = (bob(&layer).await, bob(&layer).await);
    one.destroy().await;
    assert_eq!(two.end().await.cookie(), None);
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn explicit_touch_during_a_body_notes_the_visit() {
    let world = World::holding(&day(r#""views":1"#)).await;
    let layer = world.daily().metadata(true);
    let talk = bob(&layer).await;
    let (frames, response) = body::stream();
    let (session, response) = talk.hold(response);
    let response = response.await;
    world.clock.advance(HOUR);
    session.touch().await.unwrap();
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    assert_eq!(world.deadline().await, Some(after(DAY + HOUR)));
    // And a change after it is stored without a conflict.
    session.insert("views", 2).unwrap();
    drop((session, frames));
    read(response).await;
    assert_eq!(world.verbs(), [Verb::Update]);
}

// The clients.

/// A layer that notes the client, whose address is in a header.
fn noting_clients(world: &World, detail: ClientDetail) -> SessionLayer {
    let address = |request: &Parts| request.headers.get("x-address")?.to_str().ok()?.parse().ok();
    world.layer().client_address(detail, address).user_agent(detail)
}

async fn come(layer: &SessionLayer, address: &str, user_agent: &[u8]) -> Talk {
    let mut request = request("/", &[("cookie", &sid(BOB)), ("x-address", address)]);
    if !user_agent.is_empty() {
        let user_agent = HeaderValue::from_bytes(user_agent).unwrap();
        request.headers_mut().insert(USER_AGENT, user_agent);
    }
    Talk::begin(layer, request).await
}

/// The addresses and the user agents of the first and the last visit.
fn clients_of(session: &Session) -> [Option<(String, String)>; 2] {
    let metadata = session.metadata().unwrap();
    let client = |client: Option<&Client>| {
        let client = client?;
        let address = client.address().map(|address| address.to_string()).unwrap_or_default();
        Some((address, client.user_agent().unwrap_or_default().to_owned()))
    };
    let of = metadata.as_ref();
    [of.and_then(|it| it.first_client()), of.and_then(|it| it.last_client())].map(client)
}

fn client(address: &str, user_agent: &str) -> Option<(String, String)> {
    Some((address.to_owned(), user_agent.to_owned()))
}

#[tokio::test]
async fn clients_of_the_first_and_the_last_visit_that_is_noted_are_in_the_record() {
    let world = World::with("\"views\":1").await;
    let layer = noting_clients(&world, ClientDetail::Full).touch_after(HOUR);
    let write = async |address: &str, user_agent: &[u8]| {
        let talk = come(&layer, address, user_agent).await;
        talk.session.insert("views", address).unwrap();
        talk.end().await;
    };
    write("192.0.2.17", b"curl/8.9.1").await;
    // A visit within `touch_after` that only reads is not noted.
    come(&layer, "192.0.2.18", b"curl").await.end().await;
    let talk = come(&layer, "192.0.2.19", b"").await;
    let [a, b] = [client("192.0.2.17", "curl/8.9.1"), client("2001:db8::1", "caf\u{fffd}")];
    assert_eq!(clients_of(&talk.session), [a.clone(), a.clone()]);
    drop(talk.end().await);
    write("2001:db8::1", b"caf\xe9").await;
    let talk = come(&layer, "no address", b"").await;
    assert_eq!(clients_of(&talk.session), [a.clone(), b.clone()]);
    // A visit from nowhere leaves the last known place.
    talk.session.insert("views", 3).unwrap();
    talk.end().await;
    let text = world.kept(BOB).await.unwrap();
    assert!(text.contains(r#""last":{"address":"2001:db8::1","userAgent":"caf"#), "{text}");
    // A layer that does not note them carries them along.
    let plain = world.layer().metadata(true);
    let talk = bob(&plain).await;
    talk.session.insert("views", 4).unwrap();
    talk.end().await;
    let talk = bob(&plain).await;
    assert_eq!(clients_of(&talk.session), [a, b]);
    talk.end().await;
}

#[tokio::test]
async fn login_begins_with_a_client_of_its_own_and_lists_show_both() {
    let world = World::with("\"views\":1").await;
    let layer = noting_clients(&world, ClientDetail::Shortened);
    let talk = come(&layer, "192.0.2.17", b"Firefox/145.0").await;
    talk.session.insert("views", 2).unwrap();
    talk.end().await;
    let talk = come(&layer, "198.51.100.2", b"Firefox/145.1").await;
    talk.session.login("bob").await.unwrap();
    talk.end().await;
    let listed = layer.sessions_of("bob").await.unwrap();
    let [Some(first), Some(last)] = [listed[0].first_client(), listed[0].last_client()] else {
        panic!("{listed:?}")
    };
    assert_eq!((first, first.user_agent()), (last, Some("Firefox/145")));
    assert_eq!(first.address(), "198.51.100.0".parse().ok());
    let shown = format!("{listed:?} {layer:?}");
    assert!(!shown.contains("198") && !shown.contains("Firefox"), "{shown}");
    assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);
    // The mark of an ended session has no personal data any more.
    let records = world.store.inner().list(None, 10, NOW).await.unwrap();
    let texts: Vec<_> = records.sessions.iter().map(|(_, record)| &*record.text).collect();
    assert!(texts.iter().all(|text| !text.contains("198.51")), "{texts:?}");
}

#[tokio::test]
async fn nothing_of_the_client_is_noted_unless_an_option_says_so() {
    let world = World::with("\"views\":1").await;
    for (layer, has_client) in [
        (world.layer().metadata(true), false),
        (world.layer().user_agent(ClientDetail::Full), true),
    ] {
        let talk = come(&layer, "192.0.2.17", b"curl/8").await;
        talk.session.insert("views", has_client).unwrap();
        talk.end().await;
        let text = world.kept(BOB).await.unwrap();
        assert!(text.contains("__sessionMetadata"), "{text}");
        assert_eq!(text.contains("curl/8"), has_client, "{text}");
        assert!(!text.contains("192.0.2"), "{text}");
    }
}

// The limits.

#[tokio::test]
async fn limit_bounds_the_deadline_of_the_store() {
    let world = World::holding(&day("")).await;
    for (layer, deadline) in [
        (world.daily().idle_timeout(HOUR), HOUR + 36 * SECOND),
        (world.daily().idle_timeout(HOUR).touch_after(Duration::ZERO), HOUR),
        (world.daily().absolute_timeout(HOUR), HOUR),
        (world.daily().absolute_timeout(2 * DAY), DAY),
        (world.daily().absolute_timeout(HOUR / 2).idle_timeout(HOUR), HOUR / 2),
    ] {
        world.keep(BOB, &day("")).await;
        let talk = bob(&layer).await;
        talk.session.insert("views", 2).unwrap();
        talk.end().await;
        assert_eq!(world.deadline().await, Some(after(deadline)), "{deadline:?}");
        // The record says what express-session would.
        assert!(world.kept(BOB).await.unwrap().contains(&after(DAY).iso()));
    }
}

#[tokio::test]
async fn session_that_is_used_lives_past_the_idle_timeout_and_not_past_the_absolute_one() {
    for touch_after in [TouchAfter::Hundredth, TouchAfter::Time(HOUR), Duration::ZERO.into()] {
        for asks in [true, false] {
            let world = World::holding(&day("\"views\":1")).await;
            let layer = world.daily().idle_timeout(HOUR).absolute_timeout(10 * HOUR);
            let layer = layer.touch_after(touch_after);
            // Every visit is less than an hour after the one before.
            let step = HOUR - SECOND;
            for visit in 1..=9 {
                world.clock.set(after(visit * step));
                if asks {
                    assert_eq!(ended_by(&layer).await, None, "{touch_after:?} {visit}");
                } else {
                    send(&raw(&layer, async |_| ()), visit_as(BOB)).await;
                }
                assert!(world.kept(BOB).await.is_some(), "{touch_after:?} {visit}");
            }
            // It began for the library with the first visit.
            world.clock.set(after(step + 10 * HOUR));
            assert_eq!(world.kept(BOB).await, None, "{touch_after:?}");
        }
    }
}

/// A visitor whose last visit was not noted loses nothing by that.
#[tokio::test]
async fn idle_timeout_counts_from_the_last_visit_and_not_from_the_last_one_that_was_noted() {
    let world = World::holding(&day("\"views\":1")).await;
    let layer = world.daily().idle_timeout(HOUR);
    read_page(&layer).await;
    let noted = world.clock.now();
    let (first, last) = (60 * SECOND, 95 * SECOND);
    world.clock.set(noted.saturating_add(first));
    read_page(&layer).await;
    world.calls();
    world.clock.set(noted.saturating_add(last));
    read_page(&layer).await;
    assert_eq!(world.verbs(), [Verb::Load], "it is not noted");
    world.clock.set(noted.saturating_add(last + HOUR - SECOND));
    assert_eq!(ended_by(&layer).await, None);
}

#[tokio::test]
async fn session_that_node_keeps_alive_lives_and_ends_by_its_own_idle_timeout() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    let layer = world.daily().idle_timeout(HOUR);
    for visit in 1..6 {
        world.clock.set(after(visit * (HOUR - SECOND)));
        world.visit_in_node().await;
    }
    world.clock.advance(HOUR - SECOND);
    let talk = bob(&layer).await;
    assert_eq!(talk.session.ended_by(), None);
    talk.session.insert("views", 1).unwrap();
    talk.end().await;
    // Node's deadline is a day away, and the store keeps the record until then.
    world.visit_in_node().await;
    world.clock.advance(HOUR + 36 * SECOND);
    assert!(world.kept(BOB).await.is_some());
    world.calls();
    assert_eq!(ended_by(&layer).await, Some(EndedBy::Idle));
    assert_eq!(world.verbs(), [Verb::Load, Verb::Destroy]);
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn absolute_timeout_ends_a_session_that_node_keeps_alive() {
    let world = World::holding(&day(&format!(r#""views":1,{}"#, member(Duration::ZERO)))).await;
    let layer = world.daily().absolute_timeout(12 * HOUR);
    world.clock.set(after(12 * HOUR - SECOND));
    world.visit_in_node().await;
    assert_eq!(ended_by(&layer).await, None);
    world.visit_in_node().await;
    world.clock.set(after(12 * HOUR));
    world.calls();
    assert_eq!(ended_by(&layer).await, Some(EndedBy::Absolute));
    assert_eq!(world.verbs(), [Verb::Load, Verb::Destroy]);
}

#[tokio::test]
async fn ended_session_is_destroyed_also_where_no_handler_asks_for_it() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    let layer = world.daily().absolute_timeout(HOUR);
    world.clock.set(after(HOUR));
    let answer = send(&raw(&layer, async |_| ()), visit_as(BOB)).await;
    assert_eq!(answer.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Load, Verb::Destroy]);
}

#[tokio::test]
async fn visitor_of_an_ended_session_gets_another_id_like_one_whose_session_is_unknown() {
    let world = World::holding(&day(&format!(r#""views":7,{}"#, member(Duration::ZERO)))).await;
    let layer = world.daily().absolute_timeout(HOUR);
    world.clock.set(after(HOUR));
    let talk = bob(&layer).await;
    assert_eq!(talk.session.get::<u32>("views").unwrap(), None);
    assert_ne!(talk.session.id().as_str(), BOB);
    talk.session.insert("views", 1).unwrap();
    let answer = talk.end().await;
    assert_eq!(answer.pair(), sid(&drawn(1)));
    let talk = Talk::begin(&layer, visit_with(answer.pair())).await;
    assert_eq!(talk.session.ended_by(), None);
    assert_eq!(talk.session.metadata().unwrap().unwrap().created(), after(HOUR));
}

#[tokio::test]
async fn ended_session_is_not_brought_back_by_a_request_that_loaded_it_before() {
    for (layer, by) in [
        (SessionLayer::idle_timeout as fn(SessionLayer, Duration) -> SessionLayer, EndedBy::Idle),
        (SessionLayer::absolute_timeout, EndedBy::Absolute),
    ] {
        let world = World::holding(&day(&member(Duration::ZERO))).await;
        let layer = layer(world.daily().touch_after(Duration::ZERO), HOUR);
        let [reader, writer, saver] = [bob(&layer).await, bob(&layer).await, bob(&layer).await];
        world.clock.set(after(HOUR));
        assert_eq!(ended_by(&layer).await, Some(by));
        writer.session.insert("views", 1).unwrap();
        saver.session.insert("views", 1).unwrap();
        assert_eq!(kind(saver.session.save().await), ErrorKind::Ended);
        for talk in [reader, writer, saver] {
            assert_eq!(talk.end().await.cookie(), None);
            assert_eq!(world.kept(BOB).await, None, "{by:?}");
        }
    }
}

#[tokio::test]
async fn failure_to_destroy_an_ended_session_gives_the_visitor_a_new_one_all_the_same() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    let layer = world.daily().absolute_timeout(HOUR);
    world.clock.set(after(HOUR));
    world.store.fail_next(Verb::Destroy, express_session::store::ErrorKind::Unavailable);
    assert_eq!(ended_by(&layer).await, Some(EndedBy::Absolute));
    assert!(world.kept(BOB).await.is_some());
    assert_eq!(ended_by(&layer).await, Some(EndedBy::Absolute));
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn request_that_outlives_the_absolute_timeout_stores_nothing() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    let layer = world.daily().absolute_timeout(HOUR);
    let talk = bob(&layer).await;
    world.visit_in_node().await;
    world.clock.set(after(HOUR));
    talk.session.insert("views", 1).unwrap();
    world.calls();
    assert_eq!(kind(talk.session.save().await), ErrorKind::Ended);
    talk.end().await;
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn clock_that_is_behind_ends_no_session_early_and_does_not_lengthen_its_time() {
    let world = World::holding(&day(&member(HOUR))).await;
    let layer = world.daily().idle_timeout(HOUR).absolute_timeout(3 * HOUR);
    // Another machine is so far behind that the session has not begun there.
    world.clock.set(Timestamp::from_millis(NOW.millis() - 3_600_000));
    let talk = bob(&layer).await;
    assert_eq!(talk.session.ended_by(), None);
    talk.session.insert("views", 1).unwrap();
    talk.end().await;
    assert_eq!(world.deadline().await, Some(after(2 * HOUR + 36 * SECOND)));
    world.clock.set(after(HOUR));
    let talk = bob(&layer).await;
    let metadata = talk.session.metadata().unwrap().unwrap();
    assert_eq!((metadata.created(), metadata.seen()), (NOW, after(HOUR)));
}

#[tokio::test]
async fn cookie_of_the_browser_ends_with_the_absolute_timeout() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    world.clock.set(after(HOUR));
    let absolute = world.daily().absolute_timeout(12 * HOUR).idle_timeout(2 * HOUR);
    for (layer, end) in [
        (absolute.clone(), 12 * HOUR),
        (absolute.rolling(true), 12 * HOUR),
        (world.daily().idle_timeout(2 * HOUR), DAY + HOUR),
    ] {
        let talk = bob(&layer).await;
        talk.session.update("views", |views: Option<u32>| views.unwrap_or(0) + 1).unwrap();
        let answer = talk.end().await;
        let expires = format!("; Expires={};", after(end).http_date());
        assert!(answer.cookie().unwrap().contains(&expires), "{answer:?} {expires}");
    }
}

#[tokio::test]
async fn job_outside_of_a_request_finds_no_ended_session_and_is_no_visit() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    let layer = world.daily().idle_timeout(HOUR);
    let bob = SessionId::new(BOB).unwrap();
    world.clock.set(after(HOUR / 2));
    let session = layer.open(&bob).await.unwrap().unwrap();
    session.insert("paid", true).unwrap();
    session.save().await.unwrap();
    assert!(world.kept(BOB).await.unwrap().contains(&member(Duration::ZERO)));
    // The write has moved no limit.
    assert_eq!(world.deadline().await, Some(after(HOUR + 36 * SECOND)));
    world.visit_in_node().await;
    world.clock.advance(HOUR + 36 * SECOND);
    assert!(layer.open(&bob).await.unwrap().is_none());
    assert_eq!(world.kept(BOB).await, None);
    assert_eq!(kind(session.reload().await), ErrorKind::NotFound);
}

#[tokio::test]
async fn reload_and_a_waiting_socket_find_out_that_a_limit_has_passed() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    let layer = world.daily().absolute_timeout(HOUR);
    let talk = bob(&layer).await;
    world.visit_in_node().await;
    world.clock.set(after(HOUR));
    talk.session.ended(SECOND).await.unwrap();
    assert!(world.kept(BOB).await.is_some(), "to look is not to end");
    assert_eq!(kind(talk.session.reload().await), ErrorKind::NotFound);
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn limits_hold_on_a_store_that_cannot_touch_and_on_a_map() {
    let stores = [Spy::new(MapStore::default()), Spy::without_touch(MapStore::default())];
    for store in stores {
        let world = World::new();
        let clock = world.clock.clone();
        let layer = world.layer().store(store.clone()).clock(move || clock.system_time());
        let layer = layer.idle_timeout(HOUR).touch_after(Duration::ZERO);
        let talk = Talk::begin(&layer, visit()).await;
        talk.session.insert("views", 1).unwrap();
        let pair = talk.end().await.pair().to_owned();
        for visit in 1..4 {
            world.clock.set(after(visit * (HOUR - SECOND)));
            let talk = Talk::begin(&layer, visit_with(&pair)).await;
            assert_eq!(talk.session.get("views").unwrap(), Some(1), "{visit}");
            talk.end().await;
        }
        world.clock.advance(HOUR);
        let talk = Talk::begin(&layer, visit_with(&pair)).await;
        assert!(talk.session.is_empty());
        talk.end().await;
    }
}

#[tokio::test]
async fn limit_of_no_time_and_a_name_that_no_member_can_have_are_refused() {
    let layer = || SessionLayer::new(SECRET);
    let refused = |layer: SessionLayer| layer.build().unwrap_err().option();
    assert_eq!(refused(layer().idle_timeout(Duration::ZERO)), "idle_timeout");
    assert_eq!(refused(layer().absolute_timeout(Duration::from_micros(999))), "absolute_timeout");
    assert_eq!(refused(layer().metadata_member("")), "metadata_member");
    assert_eq!(refused(layer().metadata_member("12")), "metadata_member");
    assert!(layer().idle_timeout(Duration::from_millis(1)).build().is_ok());
}

/// The clock of another process was a year ahead when it noted a visit.
#[tokio::test]
async fn visit_in_the_future_does_not_keep_the_record_from_living_on() {
    let world = World::holding(&day(&format!(r#""views":1,{}"#, member(365 * DAY)))).await;
    let layer = world.daily().idle_timeout(HOUR);
    for visit in 1..4 {
        world.clock.set(after(visit * (DAY - HOUR)));
        let talk = bob(&layer).await;
        assert_eq!(talk.session.get("views").unwrap(), Some(1), "{visit}");
        talk.end().await;
        assert_eq!(world.deadline().await, Some(after(visit * (DAY - HOUR) + DAY)), "{visit}");
    }
}

/// A stream that touches its session, while another page of the visitor writes.
#[tokio::test]
async fn touches_of_a_stream_are_noted_after_the_write_of_another_request() {
    let world = World::holding(&day(r#""views":1"#)).await;
    let layer = world.daily().idle_timeout(HOUR);
    let talk = bob(&layer).await;
    let (frames, response) = body::stream();
    let (session, response) = talk.hold(response);
    let response = response.await;
    let page = bob(&layer).await;
    page.session.insert("page", 1).unwrap();
    page.end().await;
    for touch in 1..=4 {
        world.clock.set(after(touch * (HOUR - SECOND)));
        session.touch().await.unwrap();
        // The interval between two visits that are noted is added.
        let end = touch * (HOUR - SECOND) + HOUR + 36 * SECOND;
        assert_eq!(world.deadline().await, Some(after(end)), "{touch}");
    }
    session.insert("views", 2).unwrap();
    drop((session, frames));
    read(response).await;
    let talk = bob(&layer).await;
    assert_eq!(talk.session.get("page").unwrap(), Some(1));
    assert_eq!(talk.session.get("views").unwrap(), Some(2));
}

/// A handler that asked for nothing leaves its stream the record that was loaded for the request.
#[tokio::test]
async fn stream_that_asks_late_does_not_end_a_session_that_was_used_meanwhile() {
    for is_used in [true, false] {
        let world = World::holding(&day(&format!(r#""views":1,{}"#, member(Duration::ZERO)))).await;
        let layer = world.daily().idle_timeout(HOUR);
        let (hand, mut handed) = tokio::sync::mpsc::unbounded_channel();
        let app = raw(&layer, move |request| {
            let unloaded = Session::from_extensions(request.extensions()).unwrap();
            let (frames, response) = body::stream();
            hand.send((unloaded, frames)).unwrap();
            async move { response }
        });
        let response = tower::ServiceExt::oneshot(app, visit_as(BOB)).await.unwrap();
        let (unloaded, frames) = handed.recv().await.unwrap();
        assert_eq!(world.verbs(), [Verb::Load], "it stays unread");
        if is_used {
            world.clock.set(after(HOUR / 2));
            read_page(&layer).await;
        }
        world.clock.set(after(HOUR + HOUR / 4));
        let session = unloaded.load().await.unwrap();
        assert_eq!(session.get::<u32>("views").unwrap(), is_used.then_some(1));
        drop((session, frames));
        read(response).await;
        assert_eq!(world.kept(BOB).await.is_some(), is_used);
    }
}

// Login and logout.

/// A record of [`NOW`] in which Bob has logged in so long ago.
fn logged_in(ago: Duration, members: &str) -> String {
    let at = NOW.millis() - i64::try_from(ago.as_millis()).unwrap();
    let comma = if members.is_empty() { "" } else { "," };
    day(&format!(
        r#"{members}{comma}"__sessionMetadata":{{"created":{at},"seen":{at},"authenticated":{at},"user":"bob"}}"#
    ))
}

fn user(session: &Session) -> Option<String> {
    session.user().unwrap()
}

#[tokio::test]
async fn login_gives_another_id_and_notes_the_user_and_keeps_named_members_alone() {
    let world = World::holding(&day(r#""cart":["apple"],"role":"guest","n":1.0"#)).await;
    let layer = world.daily().metadata(true);
    world.clock.advance(HOUR);
    let talk = bob(&layer).await;
    world.calls();
    talk.session.login("bob").keep(["n", "cart"]).keep(["none"]).await.unwrap();
    assert_eq!(world.verbs(), [Verb::Destroy]);
    assert_eq!(user(&talk.session).as_deref(), Some("bob"));
    let answer = talk.end().await;
    assert_eq!(world.verbs(), [Verb::Create]);
    assert_eq!(answer.pair(), sid(&drawn(1)));
    assert_eq!(world.kept(BOB).await, None);
    let text = world.kept(&drawn(1)).await.unwrap();
    let at = after(HOUR).millis();
    let expected = format!(
        r#","n":1.0,"cart":["apple"],"__sessionMetadata":{{"created":{at},"seen":{at},"authenticated":{at},"user":"bob"}}}}"#
    );
    assert!(text.ends_with(&expected), "{text}");

    let talk = Talk::begin(&layer, visit_with(answer.pair())).await;
    assert_eq!(user(&talk.session).as_deref(), Some("bob"));
    let metadata = talk.session.metadata().unwrap().unwrap();
    assert_eq!(metadata.authenticated(), Some(after(HOUR)));
}

#[tokio::test]
async fn login_begins_the_absolute_timeout_again() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    let layer = world.daily().absolute_timeout(2 * HOUR);
    world.clock.set(after(HOUR));
    let talk = bob(&layer).await;
    talk.session.login("bob").await.unwrap();
    let pair = talk.end().await.pair().to_owned();
    for (now, is_live) in [(3 * HOUR - SECOND, true), (3 * HOUR, false)] {
        world.clock.set(after(now));
        let talk = Talk::begin(&layer, visit_with(&pair)).await;
        assert_eq!(user(&talk.session).is_some(), is_live);
        talk.end().await;
    }
}

#[tokio::test]
async fn user_who_is_remembered_has_limits_of_this_login() {
    let world = World::new();
    // Without a max age: other sessions end with the browser.
    let layer = world.layer().idle_timeout(HOUR).absolute_timeout(2 * HOUR);
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.login("bob").remember(10 * DAY).await.unwrap();
    let answer = talk.end().await;
    let expires = format!("; Expires={};", after(10 * DAY).http_date());
    assert!(answer.cookie().unwrap().contains(&expires), "{answer:?}");
    for (now, is_live) in [(9 * DAY, true), (10 * DAY - SECOND, true), (10 * DAY, false)] {
        world.clock.set(after(now));
        let talk = Talk::begin(&layer, visit_with(answer.pair())).await;
        assert_eq!(user(&talk.session).is_some(), is_live, "{now:?}");
        talk.end().await;
    }

    // And a shorter one.
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.login("eve").idle_timeout(60 * SECOND).await.unwrap();
    let pair = talk.end().await.pair().to_owned();
    world.clock.advance(61 * SECOND);
    let talk = Talk::begin(&layer, visit_with(&pair)).await;
    assert_eq!(user(&talk.session), None);
}

#[tokio::test]
async fn login_that_fails_leaves_the_session_as_it_was() {
    let world = World::holding(&logged_in(Duration::ZERO, r#""cart":1"#)).await;
    let layer = world.daily().metadata(true);
    let talk = bob(&layer).await;
    let session = &talk.session;
    assert_eq!(kind(session.login(None::<u32>).await), ErrorKind::Serialize);
    assert_eq!(kind(session.login("x".repeat(1023)).await), ErrorKind::Serialize);
    world.store.fail_next(Verb::Destroy, express_session::store::ErrorKind::Unavailable);
    let failed = kind(session.login("eve").await);
    assert_eq!(failed, ErrorKind::Store(express_session::store::ErrorKind::Unavailable));
    assert_eq!((session.id().as_str(), user(session).as_deref()), (BOB, Some("bob")));
    assert_eq!(session.keys(), ["cart"]);
    talk.end().await;
    // Without the option there is no place for the user.
    let talk = bob(&world.daily()).await;
    assert_eq!(kind(talk.session.login("eve").await), ErrorKind::NoMetadata);
    assert_eq!(talk.session.id().as_str(), BOB);
    talk.end().await;
}

/// The browser could not get the new id.
#[tokio::test]
async fn login_after_the_headers_have_left_is_refused_and_leaves_the_session_as_it_was() {
    let world = World::holding(&logged_in(Duration::ZERO, r#""cart":1"#)).await;
    let talk = bob(&world.daily().metadata(true)).await;
    let (frames, response) = body::stream();
    let (session, response) = talk.hold(response);
    let response = response.await;
    world.calls();
    assert_eq!(kind(session.login("eve").keep(["cart"]).await), ErrorKind::CookieNotSent);
    assert_eq!((session.id().as_str(), user(&session).as_deref()), (BOB, Some("bob")));
    session.insert("views", 1).unwrap();
    drop((session, frames));
    read(response).await;
    assert_eq!(world.verbs(), [Verb::Update]);
}

#[tokio::test]
async fn login_that_is_not_awaited_does_nothing() {
    let world = World::holding(&day("")).await;
    let talk = bob(&world.daily().metadata(true)).await;
    drop(talk.session.login("bob"));
    assert_eq!((talk.session.id().as_str(), user(&talk.session)), (BOB, None));
    talk.end().await;
}

#[tokio::test]
async fn requests_that_overlap_with_a_login_do_not_bring_the_old_id_back() {
    let world = World::holding(&day(&member(Duration::ZERO))).await;
    let layer = world.daily().metadata(true).touch_after(Duration::ZERO);
    let [login, reader, writer] = [bob(&layer).await, bob(&layer).await, bob(&layer).await];
    login.session.login("bob").await.unwrap();
    writer.session.insert("views", 1).unwrap();
    for talk in [reader, writer] {
        assert_eq!(talk.end().await.cookie(), None);
    }
    let pair = login.end().await.pair().to_owned();
    assert_eq!(world.kept(BOB).await, None);
    let talk = Talk::begin(&layer, visit_with(&pair)).await;
    assert_eq!((user(&talk.session).as_deref(), talk.session.len()), (Some("bob"), 0));
}

#[tokio::test]
async fn overlapping_writes_after_a_login_keep_the_user() {
    let world = World::holding(&logged_in(Duration::ZERO, "")).await;
    let layer = world.daily().metadata(true);
    let (one, two) = (bob(&layer).await, bob(&layer).await);
    for (talk, key) in [(one, "a"), (two, "b")] {
        world.clock.advance(SECOND);
        talk.session.insert(key, 1).unwrap();
        talk.end().await;
    }
    let talk = bob(&layer).await;
    assert_eq!(talk.session.keys(), ["a", "b"]);
    assert_eq!(user(&talk.session).as_deref(), Some("bob"));
    assert_eq!(talk.session.metadata().unwrap().unwrap().seen(), after(2 * SECOND));
}

#[tokio::test]
async fn login_of_passport_is_read_and_written_and_decides() {
    let world = World::holding(&logged_in(Duration::ZERO, r#""passport":{"user":"eve"}"#)).await;
    let layer = world.daily().metadata(true);
    let talk = bob(&layer).await;
    assert_eq!(user(&talk.session).as_deref(), Some("eve"));
    assert_eq!(kind(talk.session.require_fresh(DAY)), ErrorKind::LoginTooOld);
    talk.session.login("bob").with_passport().keep(["passport"]).await.unwrap();
    assert_eq!(user(&talk.session).as_deref(), Some("bob"));
    talk.session.require_fresh(DAY).unwrap();
    let pair = talk.end().await.pair().to_owned();
    let text = world.kept(&drawn(1)).await.unwrap();
    assert!(text.contains(r#","passport":{"user":"bob"},"#), "{text}");
    // Node logs the user out, and keeps the other members (`keepSessionInfo`).
    let id = SessionId::new(drawn(1)).unwrap();
    let text = text.replace(r#"{"user":"bob"}"#, "{}");
    world.keep(id.as_str(), &text).await;
    let talk = Talk::begin(&layer, visit_with(&pair)).await;
    assert_eq!(user(&talk.session), None);
    assert_eq!(kind(talk.session.require_fresh(DAY)), ErrorKind::NotLoggedIn);
}

#[tokio::test]
async fn step_up_keeps_members_user_limits_and_max_age_under_a_new_id() {
    let world = World::holding(&day(r#""cart":["apple"]"#)).await;
    let layer = world.daily().metadata(true);
    let talk = bob(&layer).await;
    talk.session.login("bob").keep(["cart"]).remember(30 * DAY).await.unwrap();
    assert_eq!(kind(talk.session.require_level(1)), ErrorKind::LevelTooLow);
    talk.session.require_level(0).unwrap();
    let pair = talk.end().await.pair().to_owned();

    world.clock.advance(DAY);
    let talk = Talk::begin(&layer, visit_with(&pair)).await;
    assert_eq!(kind(talk.session.require_fresh(HOUR)), ErrorKind::LoginTooOld);
    talk.session.step_up(2).await.unwrap();
    talk.session.require_fresh(HOUR).unwrap();
    talk.session.require_level(2).unwrap();
    assert_eq!(kind(talk.session.require_level(3)), ErrorKind::LevelTooLow);
    assert_eq!(user(&talk.session).as_deref(), Some("bob"));
    assert_eq!(talk.session.get::<Vec<String>>("cart").unwrap().unwrap(), ["apple"]);
    let stepped = talk.end().await.pair().to_owned();
    assert_ne!(stepped, pair);
    assert_eq!(world.kept(&drawn(1)).await, None);

    // The session lives for the whole of its own time from the step on, and keeps its level.
    world.clock.advance(29 * DAY);
    let talk = Talk::begin(&layer, visit_with(&stepped)).await;
    talk.session.require_level(2).unwrap();
    // An ordinary login has no level.
    talk.session.login("bob").await.unwrap();
    assert_eq!(kind(talk.session.require_level(1)), ErrorKind::LevelTooLow);
}

#[tokio::test]
async fn step_up_needs_a_login_of_this_side() {
    for (members, expected) in [
        (String::new(), ErrorKind::NotLoggedIn),
        // Passport has logged the user in, or another one than the metadata says.
        (r#""passport":{"user":"bob"}"#.to_owned(), ErrorKind::NotLoggedIn),
    ] {
        let world = World::holding(&day(&members)).await;
        let talk = bob(&world.daily().metadata(true)).await;
        assert_eq!(kind(talk.session.step_up(2).await), expected, "{members}");
        talk.end().await;
        assert!(world.kept(BOB).await.is_some());
    }
    let world = World::holding(&logged_in(Duration::ZERO, r#""passport":{"user":"eve"}"#)).await;
    let talk = bob(&world.daily().metadata(true)).await;
    assert_eq!(kind(talk.session.step_up(2).await), ErrorKind::NotLoggedIn);
    assert_eq!(kind(talk.session.require_level(1)), ErrorKind::LevelTooLow);
    talk.end().await;
    // With passport's member for the same user, it stays.
    let world = World::holding(&logged_in(Duration::ZERO, r#""passport":{"user":"bob"}"#)).await;
    let talk = bob(&world.daily().metadata(true)).await;
    talk.session.step_up(2).await.unwrap();
    assert_eq!(talk.session.keys(), ["passport"]);
    talk.session.require_level(2).unwrap();
}

#[tokio::test]
async fn login_is_fresh_for_the_time_that_is_asked_for() {
    for (ago, max_age, expected) in [
        (Duration::ZERO, HOUR, None),
        (HOUR - SECOND, HOUR, None),
        (HOUR, HOUR, Some(ErrorKind::LoginTooOld)),
        (Duration::ZERO, Duration::ZERO, Some(ErrorKind::LoginTooOld)),
    ] {
        let world = World::holding(&logged_in(ago, "")).await;
        let talk = bob(&world.daily().metadata(true)).await;
        let found = talk.session.require_fresh(max_age).err().map(|error| error.kind());
        assert_eq!(found, expected, "{ago:?}");
        talk.end().await;
    }
    let world = World::holding(&logged_in(Duration::ZERO, "")).await;
    // The clock of the machine that noted the login was ahead.
    world.clock.set(Timestamp::from_millis(NOW.millis() - 60_000));
    let talk = bob(&world.daily().metadata(true)).await;
    talk.session.require_fresh(HOUR).unwrap();
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn extractor_of_a_fresh_login_answers_401_and_403() {
    use axum::routing::get;
    use express_session::Fresh;
    use tower::ServiceExt as _;
    for (record, status, challenge) in [
        (day(""), 401, Some("Session")),
        (logged_in(HOUR, ""), 403, None),
        (logged_in(60 * SECOND, ""), 200, None),
    ] {
        let world = World::holding(&record).await;
        let handler = async |Fresh(session): Fresh<300>| user(&session).unwrap();
        let app = axum::Router::new().route("/", get(handler)).layer(world.daily().metadata(true));
        let request = visit_as(BOB).map(|()| axum::body::Body::empty());
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        let found = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
        assert_eq!(found, challenge);
    }
}

#[tokio::test]
async fn logout_destroys_and_clears_the_browser_and_its_data_if_that_is_wanted() {
    for clears in [true, false] {
        let world = World::holding(&logged_in(Duration::ZERO, "")).await;
        let layer = world.daily().metadata(true).clear_site_data(clears);
        let talk = bob(&layer).await;
        talk.session.logout().await.unwrap();
        let answer = talk.end().await;
        assert_eq!(world.kept(BOB).await, None);
        assert!(answer.cookie().unwrap().contains("Expires=Thu, 01 Jan 1970"), "{answer:?}");
        assert_eq!(answer.headers.contains_key("clear-site-data"), clears);
        // Only a logout does.
        world.keep(BOB, &day("")).await;
        let talk = bob(&layer).await;
        talk.session.destroy().await.unwrap();
        assert!(!talk.end().await.headers.contains_key("clear-site-data"));
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn error_response_of_a_handler_that_has_logged_out_clears_the_browsers_data_too() {
    use axum::routing::get;
    use tower::ServiceExt as _;
    let world = World::holding(&logged_in(Duration::ZERO, "")).await;
    let page = |_: &Error, _: &Parts| http::Response::new("sorry".to_owned());
    let layer = world.daily().metadata(true).clear_site_data(true).error_response(page);
    let leave = async |session: Session| {
        session.logout().await?;
        session.insert("n", 1)
    };
    let app = axum::Router::new().route("/", get(leave)).layer(layer);
    let request = visit_as(BOB).map(|()| axum::body::Body::empty());
    let answer = read(app.oneshot(request).await.unwrap()).await;
    assert_eq!(answer.body, "sorry");
    assert!(answer.headers.contains_key("clear-site-data"), "{answer:?}");
}

#[tokio::test]
async fn logout_that_fails_is_reported_and_clears_nothing() {
    let world = World::holding(&logged_in(Duration::ZERO, "")).await;
    let talk = bob(&world.daily().metadata(true).clear_site_data(true)).await;
    world.store.fail(|call| {
        let down = express_session::store::ErrorKind::Unavailable;
        (call.verb() == Verb::Destroy).then(|| express_session::store::Error::new(down, "down"))
    });
    assert!(talk.session.logout().await.is_err());
    let answer = talk.end().await;
    assert_eq!(answer.status, 503);
    assert!(!answer.headers.contains_key("clear-site-data"));
}

#[tokio::test]
async fn regenerate_keeps_the_named_members() {
    let (world, talk) = World::visited(r#""a":1.0,"b":2"#).await;
    talk.session.update("b", |b: Option<u32>| b.unwrap_or(0) + 1).unwrap();
    talk.session.regenerate_keeping(["b", "a", "none"]).await.unwrap();
    assert_eq!(talk.session.keys(), ["b", "a"]);
    let answer = talk.end().await;
    assert_eq!(answer.pair(), sid(&drawn(1)));
    assert_eq!(world.kept(&drawn(1)).await, Some(record(PLAIN, r#""b":3,"a":1.0"#)));
    assert_eq!(world.kept(BOB).await, None);
}
