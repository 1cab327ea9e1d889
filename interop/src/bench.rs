//! One npm store and one of ours, open on the same server.

use anyhow::{Context as _, Result, bail, ensure};
use express_session::SessionId;
use express_session::store::{Loaded, Record, Revision, Touch, Touched, Updated};
use express_session_core::Document;

use crate::node::{Node, Raw};
use crate::ours::{Ours, now};
use crate::setups::{Facts, Maker, Setup};

/// Both sides, with the facts about the npm store.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) ours: Ours,
    pub(crate) facts: Facts,
    /// The npm packages with their versions.
    pub(crate) versions: String,
}

impl Bench {
    /// Opens both sides, first the one that creates the table.
    pub(crate) async fn open(setup: &Setup, place: serde_json::Value) -> Result<Self> {
        let mut place = place;
        place["kind"] = setup.kind.into();
        place["options"] = setup.options.clone();
        place["timezone"] = setup.timezone.into();
        let mut node = Node::start()?;
        let url = node.prepare(&place).await?;
        place["url"] = url.clone().into();
        let ours = (setup.open)(&url)?;
        let versions = match setup.table {
            Maker::Node => node.open(&place).await?,
            Maker::Rust => {
                ours.load("none").await.context("before Node has opened the store")?;
                node.open(&place).await?
            }
        };
        Ok(Self { node, ours, facts: setup.facts, versions })
    }

    /// Returns the record in the server, as Node reads it.
    pub(crate) async fn raw(&mut self, id: &str) -> Result<Raw> {
        self.node.raw(id).await?.with_context(|| format!("nothing is stored as {id}"))
    }

    /// Returns the part of a session's text on which both sides must agree: the time that session-file-store adds is
    /// removed.
    pub(crate) fn plain(&self, text: &str) -> String {
        match Document::parse(text) {
            Ok(mut document) if self.facts.stamps => {
                document.remove("__lastAccess");
                document.to_json(document.cookie_text()).to_string()
            }
            Ok(_) | Err(_) => text.to_owned(),
        }
    }
}

impl Ours {
    /// Loads a session that must exist.
    pub(crate) async fn found(&self, id: &str) -> Result<Loaded> {
        self.load(id).await?.with_context(|| format!("ours does not find {id}"))
    }

    /// Changes one member, as a request does, and returns the stored record.
    pub(crate) async fn change(
        &self,
        id: &str,
        key: &str,
        value: &serde_json::Value,
    ) -> Result<Record> {
        let loaded = self.found(id).await?;
        let mut document = Document::parse(loaded.record.text)?;
        document.insert(key, value)?;
        let record = renewed(&document)?;
        done(&self.update(id, &record, loaded.revision).await?)?;
        Ok(record)
    }

    /// Touches the session, as a request does that changes nothing.
    pub(crate) async fn visit(&self, id: &str) -> Result<()> {
        let loaded = self.found(id).await?;
        let touched = self.touch(id, &touch(&loaded.record.text)?).await?;
        ensure!(touched == Touched::Done, "the touch finds no session");
        Ok(())
    }

    /// Checks that only `create` and `destroy` succeed on a session that is gone.
    pub(crate) async fn expect_gone(&self, id: &str, seen: &Loaded) -> Result<()> {
        ensure!(self.load(id).await?.is_none(), "ours still loads it");
        for revision in [seen.revision.clone(), Revision::new(7)] {
            let updated = self.update(id, &seen.record, revision).await?;
            ensure!(updated == Updated::Gone, "the update ends in {}", outcome(&updated));
        }
        if self.can_touch() {
            let touched = self.touch(id, &touch(&seen.record.text)?).await?;
            ensure!(touched == Touched::Gone, "ours still touches it");
        }
        ensure!(self.load(id).await?.is_none(), "ours brought it back");
        Ok(())
    }
}

pub(crate) fn touch(text: &str) -> Result<Touch> {
    Touch::renewing(text, now()).context("no record")
}

/// Returns the record that a request saves at the present time.
pub(crate) fn renewed(document: &Document) -> Result<Record> {
    let touch = touch(&document.to_json(document.cookie_text()))?;
    Ok(Record { text: document.to_json(&touch.cookie), deadline: touch.deadline })
}

/// Checks that an update was stored.
pub(crate) fn done(updated: &Updated) -> Result<()> {
    ensure!(matches!(updated, Updated::Done(_)), "the update ends in {}", outcome(updated));
    Ok(())
}

/// Returns an update's outcome in words.
pub(crate) fn outcome(updated: &Updated) -> &'static str {
    match updated {
        Updated::Done(_) => "done",
        Updated::Conflict(_) => "a conflict",
        Updated::Gone => "gone",
    }
}

/// Checks that two texts are the same; the error shows where they differ.
pub(crate) fn same(what: &str, expected: &str, found: &str) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let common = expected.chars().zip(found.chars()).take_while(|(a, b)| a == b).count();
    let around =
        |text: &str| -> String { text.chars().skip(common.saturating_sub(20)).take(80).collect() };
    bail!("{what}: {:?} expected, {:?} found", around(expected), around(found))
}

/// Returns an id that express-session could have made.
pub(crate) fn fresh_id(number: u8) -> String {
    SessionId::from_random([number; SessionId::RANDOM_BYTES]).as_str().to_owned()
}
