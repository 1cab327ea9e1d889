//! An operator's lists and counts.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bench::{Bench, fresh_id};
use crate::ours::now;
use crate::session::{self, HOUR};

pub(super) async fn agree(bench: &mut Bench) -> Result<()> {
    let mut ids = fill(bench).await?;
    let (gone, also_gone) = (ids.remove(0), ids.pop());
    bench.node.destroy(&gone).await?;
    bench.ours.destroy(&also_gone.unwrap_or_default()).await?;
    ids.sort_unstable();
    let (node, rust) = (bench.node.length().await?, bench.ours.count().await?);
    ensure!(
        node == rust && rust == ids.len() as u64,
        "{} sessions, node {node}, rust {rust}",
        ids.len()
    );
    ensure!(bench.ours.ids().await? == ids, "rust lists others");
    ensure!(bench.node.ids().await? == ids, "node lists others");
    Ok(())
}

pub(super) async fn rust_clears(bench: &mut Bench) -> Result<()> {
    let ids = fill(bench).await?;
    bench.ours.clear().await?;
    for id in &ids {
        ensure!(bench.node.get(id).await?.is_none(), "node still finds one");
    }
    ensure!(bench.node.length().await? == 0, "node still counts some");
    Ok(())
}

pub(super) async fn node_clears(bench: &mut Bench) -> Result<()> {
    let ids = fill(bench).await?;
    bench.node.clear().await?;
    for id in &ids {
        // session-file-store answers when the last file is removed, and other files may still exist.
        let mut looks = 500;
        while bench.ours.load(id).await?.is_some() {
            ensure!(looks > 0, "rust still loads one");
            looks -= 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    ensure!(bench.ours.count().await? == 0, "rust still counts some");
    Ok(())
}

/// Creates some of the sessions on Node and some with ours.
async fn fill(bench: &mut Bench) -> Result<Vec<String>> {
    let ids: Vec<_> = (1..=9).map(fresh_id).collect();
    for (number, id) in ids.iter().enumerate() {
        if number % 2 == 0 {
            bench.node.set(id, &session::members(), Some(HOUR)).await?;
        } else {
            bench.ours.create(id, &session::record(None, now())).await?;
        }
    }
    Ok(ids)
}
