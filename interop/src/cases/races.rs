//! Concurrent changes of one session on both sides.

use anyhow::{Context as _, Result, bail, ensure};
use express_session::store::{Loaded, Updated};
use express_session_core::{Document, session::merge};
use serde_json::json;

use crate::bench::{Bench, done, fresh_id, outcome, renewed, same};
use crate::ours::Ours;
use crate::session::{self, HOUR};

const TIMES: u32 = 50;

/// Node writes between our load and our update, each time.
pub(super) async fn in_turn(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.node.set(&id, &session::members(), Some(HOUR)).await?;
    for time in 1..=TIMES {
        let loaded = bench.ours.found(&id).await?;
        bench.node.change(&id, "node", json!(time)).await?;
        let theirs = bench.raw(&id).await?.text;

        let mut ours = Document::parse(loaded.record.text)?;
        ours.insert("rust", &time)?;
        let updated = bench.ours.update(&id, &renewed(&ours)?, loaded.revision).await?;
        let Updated::Conflict(current) = updated else {
            bail!("time {time}: {} instead of a conflict", outcome(&updated));
        };
        let found = bench.plain(&current.record.text);
        same("the record in the conflict", &bench.plain(&theirs), &found)?;
        same("the record after the conflict", &theirs, &bench.raw(&id).await?.text)?;

        let merged = merge::merge(&ours, &Document::parse(current.record.text)?).document;
        done(&bench.ours.update(&id, &renewed(&merged)?, current.revision).await?)?;
    }
    let found = bench.node.get(&id).await?.context("node finds nothing")?;
    let found = Document::parse(found)?;
    ensure!(found.get::<u32>("node")? == Some(TIMES), "node's changes are lost");
    ensure!(found.get::<u32>("rust")? == Some(TIMES), "rust's changes are lost");
    Ok(())
}

/// Both sides write as fast as they can. Ours loses no change of Node; Node overwrites ours, as it overwrites those of
/// other Node processes.
pub(super) async fn without_order(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.node.set(&id, &session::members(), Some(HOUR)).await?;
    let lockless = bench.facts.lockless;
    let mut seen = 0;
    let mut changes = 0;
    {
        let Bench { node, ours, .. } = bench;
        let writing = node.write(&id, "node", TIMES);
        tokio::pin!(writing);
        loop {
            tokio::select! {
                biased;
                written = &mut writing => { written?; break }
                change = change_once(ours, &id, &mut seen, changes, lockless) => {
                    change?;
                    changes += 1;
                }
            }
        }
    }
    // This change comes after the last one of Node.
    change_once(&bench.ours, &id, &mut seen, changes, lockless).await?;
    let found = Document::parse(bench.node.get(&id).await?.context("node finds nothing")?)?;
    let last = found.get::<u32>("node")?;
    ensure!(lockless || last == Some(TIMES), "rust overwrote node's last change");
    ensure!(found.get::<u32>("rust")? == Some(changes), "rust's last change is lost");
    session::same_members("the rest", &session::text("{}"), &without(found, &["node", "rust"]))
}

/// Makes one change, and merges it until it is stored. Node's counter must never go back.
async fn change_once(
    ours: &Ours,
    id: &str,
    seen: &mut u32,
    value: u32,
    is_lockless: bool,
) -> Result<()> {
    let mut current: Loaded = ours.found(id).await?;
    loop {
        let mut document = Document::parse(current.record.text)?;
        let node = document.get::<u32>("node")?.unwrap_or(0);
        if !is_lockless {
            ensure!(node >= *seen, "node's {seen} became {node}");
        }
        *seen = node;
        document.insert("rust", &value)?;
        match ours.update(id, &renewed(&document)?, current.revision).await? {
            Updated::Done(_) => return Ok(()),
            Updated::Conflict(other) => current = other,
            Updated::Gone => bail!("the session is gone while node writes it"),
        }
    }
}

fn without(mut document: Document, keys: &[&str]) -> String {
    for key in keys.iter().chain(&["__lastAccess"]) {
        document.remove(key);
    }
    document.to_json("{}").to_string()
}

/// A touch that leaves the text alone does not disturb a change; one that writes it is a conflict, and loses nothing
/// either.
pub(super) async fn touch_meanwhile(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.node.set(&id, &session::members(), Some(HOUR)).await?;
    let loaded = bench.ours.found(&id).await?;
    bench.node.touch(&id).await?;
    let mut ours = Document::parse(loaded.record.text)?;
    ours.insert("views", &4)?;
    let mut updated = bench.ours.update(&id, &renewed(&ours)?, loaded.revision).await?;
    if let (Updated::Conflict(current), true) = (&updated, bench.facts.touch_writes) {
        let theirs = Document::parse(current.record.text.clone())?;
        let merged = merge::merge(&ours, &theirs).document;
        updated = bench.ours.update(&id, &renewed(&merged)?, current.revision.clone()).await?;
    }
    done(&updated)?;
    let found = bench.node.get(&id).await?.context("node finds nothing")?;
    ensure!(found.contains(r#""views":4"#), "the change is lost");
    Ok(())
}

pub(super) async fn destroy_meanwhile(bench: &mut Bench) -> Result<()> {
    let id = fresh_id(1);
    bench.node.set(&id, &session::members(), Some(HOUR)).await?;
    let loaded = bench.ours.found(&id).await?;
    let mut ours = Document::parse(loaded.record.text)?;
    ours.insert("views", &4)?;
    bench.node.destroy(&id).await?;
    let updated = bench.ours.update(&id, &renewed(&ours)?, loaded.revision).await?;
    ensure!(updated == Updated::Gone, "the update ends in {}", outcome(&updated));
    ensure!(bench.node.get(&id).await?.is_none(), "node finds it again");
    Ok(())
}
