//! The expiry of a record, which both sides must see alike.
//!
//! Instead of a rule for each store, Node changes one session and ours another, and the two must have the same
//! expiry.

use anyhow::{Context as _, Result, ensure};
use express_session::Timestamp;
use express_session::store::{Created, Loaded, Record, Touched};
use express_session_core::Document;
use express_session_core::cookie::StoredCookie;

use crate::bench::{Bench, done, fresh_id, touch};
use crate::ours::now;
use crate::session::{self, HOUR};

/// In milliseconds. The largest difference that rounding to whole seconds makes.
const SECOND: i64 = 1_000;

/// The fractions of a second in which rounding up, down and to the nearest differ.
const MAX_AGES: [i64; 8] =
    [HOUR, HOUR + 125, HOUR + 250, HOUR + 375, HOUR + 500, HOUR + 625, HOUR + 875, 24 * HOUR];

pub(super) async fn alike(bench: &mut Bench) -> Result<()> {
    let exact = bench.facts.ends_with_cookie;
    for max_age in MAX_AGES {
        let what = || format!("max age {max_age} ms");
        alike_with(bench, &session::members(), Some(max_age), exact).await.with_context(what)?;
    }
    Ok(())
}

/// Twice, for a `ttl` that depends on the members.
pub(super) async fn alike_without_max_age(bench: &mut Bench) -> Result<()> {
    for members in [r#"{"views":3}"#, r#"{"views":4}"#] {
        alike_with(bench, members, None, false).await.with_context(|| members.to_owned())?;
    }
    Ok(())
}

pub(super) async fn long(bench: &mut Bench) -> Result<()> {
    const MAX_AGE: i64 = 400 * 24 * HOUR;
    if !bench.facts.loses_long_sessions {
        return alike_with(bench, &session::members(), Some(MAX_AGE), false).await;
    }
    let (theirs, ours) = (fresh_id(1), fresh_id(2));
    bench.node.set(&theirs, &session::members(), Some(MAX_AGE)).await?;
    ensure!(bench.node.get(&theirs).await?.is_none(), "node does not lose the session");
    bench.ours.create(&ours, &session::record(Some(MAX_AGE), now())).await?;
    ensure!(bench.node.get(&ours).await?.is_some(), "node does not find what rust wrote");
    end_is_read(bench, &ours).await
}

/// Node saves a session, and ours saves the same under another id; then ours saves Node's again.
async fn alike_with(
    bench: &mut Bench,
    members: &str,
    max_age: Option<i64>,
    exact: bool,
) -> Result<()> {
    let began = now();
    let slack = || if exact { 0 } else { SECOND + millis_since(began) };
    let (theirs, ours) = (fresh_id(1), fresh_id(2));
    bench.node.empty().await?;
    bench.node.set(&theirs, members, max_age).await?;
    let loaded = bench.ours.found(&theirs).await?;
    let text = bench.plain(&loaded.record.text);
    let deadline = cookie_end(&text)?;
    let record = Record { text: text.into(), deadline };
    bench.ours.create(&ours, &record).await?;
    let expected = bench.raw(&theirs).await?.expires;
    near("created by rust", expected, bench.raw(&ours).await?.expires, slack())?;
    done(&bench.ours.update(&theirs, &record, loaded.revision).await?)?;
    near("updated by rust", expected, bench.raw(&theirs).await?.expires, slack())
}

pub(super) async fn read_by_rust(bench: &mut Bench) -> Result<()> {
    for max_age in MAX_AGES.into_iter().map(Some).chain([None]) {
        let id = fresh_id(1);
        bench.node.empty().await?;
        bench.node.set(&id, &session::members(), max_age).await?;
        end_is_read(bench, &id).await?;
    }
    Ok(())
}

pub(super) async fn node_touches(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    for max_age in [Some(HOUR), None] {
        bench.node.empty().await?;
        bench.node.set(&id, &session::members(), max_age).await?;
        bench.node.expire(&id, soon(100)).await?;
        end_is_read(bench, &id).await?;
        bench.node.touch(&id).await?;
        end_is_read(bench, &id).await?;
    }
    Ok(())
}

pub(super) async fn rust_touches(bench: &mut Bench) -> Result<()> {
    for max_age in [Some(HOUR), None] {
        let began = now();
        let (theirs, ours) = before_touch(bench, max_age).await?;
        let loaded = bench.ours.found(&ours).await?;
        let touched = bench.ours.touch(&ours, &touch(&loaded.record.text)?).await?;
        ensure!(touched == Touched::Done, "the touch finds it gone");
        after_touch(bench, &theirs, &ours, began).await?;
    }
    Ok(())
}

pub(super) async fn rust_renews(bench: &mut Bench) -> Result<()> {
    for max_age in [Some(HOUR), None] {
        let began = now();
        let (theirs, ours) = before_touch(bench, max_age).await?;
        bench.ours.visit(&ours).await?;
        after_touch(bench, &theirs, &ours, began).await?;
    }
    Ok(())
}

/// Makes two sessions that expire soon, of which Node touches one.
async fn before_touch(bench: &mut Bench, max_age: Option<i64>) -> Result<(String, String)> {
    let (theirs, ours) = (fresh_id(1), fresh_id(2));
    bench.node.empty().await?;
    for id in [&theirs, &ours] {
        bench.node.set(id, &session::members(), max_age).await?;
        bench.node.expire(id, soon(100)).await?;
    }
    bench.node.touch(&theirs).await?;
    Ok((theirs, ours))
}

/// Checks that both have the same expiry and text after ours has touched the other.
async fn after_touch(bench: &mut Bench, theirs: &str, ours: &str, began: Timestamp) -> Result<()> {
    let slack = SECOND + millis_since(began);
    let expected = bench.raw(theirs).await?;
    let found = bench.raw(ours).await?;
    near("touched by rust", expected.expires, found.expires, slack)?;
    let (expected, found) = (bench.plain(&expected.text), bench.plain(&found.text));
    session::same_members("after the touch", &expected, &found)?;
    if !bench.facts.touch_leaves_cookie {
        let ends = |text: &str| -> Result<_> { Ok(cookie_end(text)?.map(Timestamp::millis)) };
        near("the cookie touched by rust", ends(&expected)?, ends(&found)?, slack)?;
    }
    let read = bench.node.get(ours).await?.context("node finds nothing")?;
    session::same_members("what node reads", &expected, &bench.plain(&read))
}

pub(super) async fn expired(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.node.set(&id, &session::members(), Some(HOUR)).await?;
    bench.node.expire(&id, soon(5)).await?;
    let seen: Loaded = bench.ours.found(&id).await?;
    ensure!(bench.node.get(&id).await?.is_some(), "node finds nothing 5 s before the end");
    bench.node.expire(&id, soon(-2)).await?;
    ensure!(bench.node.get(&id).await?.is_none(), "node finds it 2 s after its end");
    bench.ours.expect_gone(&id, &seen).await?;
    let created = bench.ours.create(&id, &session::record(Some(HOUR), now())).await?;
    ensure!(matches!(created, Created::Done(_)), "an expired session holds its id");
    ensure!(bench.node.get(&id).await?.is_some(), "node does not find the new session");
    Ok(())
}

/// Most stores remove such a session immediately; the `ttl` of some keeps it.
pub(super) async fn past(bench: &mut Bench) -> Result<()> {
    let (theirs, ours) = (fresh_id(1), fresh_id(2));
    bench.node.set(&theirs, &session::members(), Some(-5 * SECOND)).await?;
    let node = bench.node.get(&theirs).await?;
    let lives = node.is_some();
    ensure!(
        bench.ours.load(&theirs).await?.is_some() == lives,
        "node wrote it, node finds: {lives}"
    );

    let date = Timestamp::from_millis(soon(-5));
    let cookie = format!(
        r#"{{"originalMaxAge":-5000,"expires":"{}","httpOnly":true,"path":"/"}}"#,
        date.iso()
    );
    let record = Record { text: session::text(&cookie).into(), deadline: Some(date) };
    bench.ours.create(&ours, &record).await?;
    let node = bench.node.get(&ours).await?.is_some();
    ensure!(node == lives, "rust wrote it, node finds: {node}; node wrote it: {lives}");
    let rust = bench.ours.load(&ours).await?.is_some();
    ensure!(rust == lives, "rust wrote it, rust finds: {rust}; node wrote it: {lives}");
    Ok(())
}

/// Checks that ours reads the expiry of the server, to the second.
async fn end_is_read(bench: &mut Bench, id: &str) -> Result<()> {
    let deadline = bench.ours.found(id).await?.record.deadline.map(Timestamp::millis);
    near("the deadline that rust reads", bench.raw(id).await?.expires, deadline, SECOND)
}

fn near(what: &str, expected: Option<i64>, found: Option<i64>, slack: i64) -> Result<()> {
    let is_near = match (expected, found) {
        (Some(expected), Some(found)) => (expected - found).abs() <= slack,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let iso =
        |at: Option<i64>| at.map_or("never".to_owned(), |at| Timestamp::from_millis(at).iso());
    ensure!(is_near, "{what} ends {}, node's {}", iso(found), iso(expected));
    Ok(())
}

/// Returns the expiry in a record's cookie.
fn cookie_end(text: &str) -> Result<Option<Timestamp>> {
    let cookie = Document::parse(text)?.cookie_text().to_owned();
    let cookie = StoredCookie::parse(&cookie, now())?;
    Ok(cookie.deadline())
}

fn millis_since(began: Timestamp) -> i64 {
    now().millis() - began.millis()
}

fn soon(seconds: i64) -> i64 {
    now().millis() + seconds * SECOND
}
