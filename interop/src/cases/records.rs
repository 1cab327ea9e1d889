//! Records that one side writes and the other reads.

use anyhow::{Context as _, Result, ensure};
use express_session::store::{Created, Record};
use serde_json::json;

use crate::bench::{Bench, fresh_id, same};
use crate::ours::now;
use crate::session::{self, HOUR};

pub(super) async fn node_writes(bench: &mut Bench) -> Result<()> {
    for (id, max_age) in [(fresh_id(1), Some(HOUR)), (fresh_id(2), None)] {
        bench.node.set(&id, &session::members(), max_age).await?;
        let raw = bench.raw(&id).await?.text;
        let loaded = bench.ours.found(&id).await?.record.text;
        same("what rust loads", &bench.plain(&raw), &bench.plain(&loaded))?;
        // The members have the form of `JSON.stringify`.
        let cookie = session::cookie_of(&loaded)?;
        same("what node stored", &session::text(&cookie), &bench.plain(&loaded))?;
    }
    Ok(())
}

pub(super) async fn rust_changes(bench: &mut Bench) -> Result<()> {
    for (id, max_age) in [(fresh_id(1), Some(HOUR)), (fresh_id(2), None)] {
        bench.node.set(&id, &session::members(), max_age).await?;
        let record = bench.ours.change(&id, "views", &json!(4)).await?;
        let expected = session::text(&session::cookie_of(&record.text)?);
        let expected = expected.replace(r#""views":3"#, r#""views":4"#);
        let raw = bench.raw(&id).await?.text;
        same("what rust stored", &expected, &bench.plain(&raw))?;
        let found = bench.node.get(&id).await?.context("node finds nothing")?;
        same("what node reads", &expected, &bench.plain(&found))?;

        bench.ours.change(&id, "new", &json!({ "é": [1.5, 1e21] })).await?;
        bench.ours.visit(&id).await?;
        let found = bench.node.get(&id).await?.context("node finds nothing after a touch")?;
        let cookie = session::cookie_of(&found)?;
        let expected = session::text(&cookie).replace(r#""views":3"#, r#""views":4"#);
        let expected =
            format!(r#"{},"new":{{"é":[1.5,1e+21]}}}}"#, &expected[..expected.len() - 1]);
        same("what node reads after a touch", &expected, &bench.plain(&found))?;
    }
    Ok(())
}

pub(super) async fn rust_writes(bench: &mut Bench) -> Result<()> {
    for (id, max_age) in [(fresh_id(1), Some(HOUR)), (fresh_id(2), None)] {
        let record = session::record(max_age, now());
        let created = bench.ours.create(&id, &record).await?;
        ensure!(matches!(created, Created::Done(_)), "the id is taken");
        let raw = bench.raw(&id).await?.text;
        same("what rust stored", &record.text, &bench.plain(&raw))?;
        let found = bench.node.get(&id).await?.context("node finds nothing")?;
        same("what node reads", &record.text, &bench.plain(&found))?;
    }
    Ok(())
}

pub(super) async fn node_changes(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.ours.create(&id, &session::record(Some(HOUR), now())).await?;
    bench.node.change(&id, "views", json!(4)).await?;
    bench.node.change(&id, "views", json!(5)).await?;
    let loaded = bench.ours.found(&id).await?;
    let expected = session::text(&session::cookie_of(&loaded.record.text)?);
    let expected = expected.replace(r#""views":3"#, r#""views":5"#);
    same("what rust reads", &expected, &bench.plain(&loaded.record.text))?;
    bench.node.destroy(&id).await?;
    bench.ours.expect_gone(&id, &loaded).await
}

pub(super) async fn taken(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.node.set(&id, &session::members(), Some(HOUR)).await?;
    let before = bench.raw(&id).await?.text;
    let record = Record { text: r#"{"cookie":{},"ours":1}"#.into(), deadline: None };
    let created = bench.ours.create(&id, &record).await?;
    ensure!(created == Created::Taken, "the id was not refused");
    same("what is stored", &before, &bench.raw(&id).await?.text)
}

pub(super) async fn cookies(bench: &mut Bench) -> Result<()> {
    let options = [
        json!({ "maxAge": HOUR, "domain": "example.com", "path": "/shop", "httpOnly": false,
            "secure": true, "sameSite": "none", "partitioned": true, "priority": "high" }),
        json!({ "sameSite": true, "secure": false, "path": "/é" }),
    ];
    for (number, options) in (1..).zip(options) {
        let id = fresh_id(number);
        bench.node.set_with(&id, &session::members(), options).await?;
        let before = session::cookie_of(&bench.raw(&id).await?.text)?;
        bench.ours.change(&id, "views", &json!(4)).await?;
        bench.ours.visit(&id).await?;
        let after = session::cookie_of(&bench.raw(&id).await?.text)?;
        same("what rust leaves", &session::timeless(&before)?, &session::timeless(&after)?)?;
        bench.node.change(&id, "views", json!(5)).await?;
        let after = session::cookie_of(&bench.ours.found(&id).await?.record.text)?;
        same("what node leaves", &session::timeless(&before)?, &session::timeless(&after)?)?;
    }
    Ok(())
}

pub(super) async fn large(bench: &mut Bench) -> Result<()> {
    let (theirs, ours) = (fresh_id(1), fresh_id(2));
    let members = format!(r#"{{"large":"{}"}}"#, "aé日😀".repeat(50_000));
    bench.node.set(&theirs, &members, Some(HOUR)).await?;
    let record = bench.ours.change(&theirs, "views", &json!(4)).await?;
    bench.ours.create(&ours, &record).await?;
    for id in [&theirs, &ours] {
        let found = bench.node.get(id).await?.context("node finds nothing")?;
        same("what node reads", &record.text, &bench.plain(&found))?;
    }
    Ok(())
}

pub(super) async fn odd_id(bench: &mut Bench) -> Result<()> {
    let id = r#"it's-"a"-ключ-%-*-[?]-日本"#;
    bench.node.set(id, &session::members(), Some(HOUR)).await?;
    let loaded = bench.ours.found(id).await?;
    bench.ours.change(id, "views", &json!(4)).await?;
    let found = bench.node.get(id).await?.context("node finds nothing")?;
    ensure!(found.contains(r#""views":4"#), "node does not see the change");
    bench.node.destroy(id).await?;
    bench.ours.expect_gone(id, &loaded).await
}

pub(super) async fn node_destroys(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.node.set(&id, &session::members(), Some(HOUR)).await?;
    let loaded = bench.ours.found(&id).await?;
    bench.node.destroy(&id).await?;
    bench.ours.expect_gone(&id, &loaded).await?;
    ensure!(bench.node.get(&id).await?.is_none(), "node finds it again");
    ensure!(bench.node.raw(&id).await?.is_none(), "something is stored again");
    bench.ours.destroy(&id).await
}

pub(super) async fn rust_destroys(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.node.set(&id, &session::members(), Some(HOUR)).await?;
    bench.ours.destroy(&id).await?;
    ensure!(bench.node.get(&id).await?.is_none(), "node still finds it");
    ensure!(bench.node.raw(&id).await?.is_none(), "something is still stored");
    bench.node.destroy(&id).await
}
