//! The Node process that one npm store runs in.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, anyhow, bail};
use express_session_testkit::child;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A running npm store. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Node {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// The record that the server has under an id.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) text: String,
    /// Its expiry in milliseconds, if it expires.
    pub(crate) expires: Option<i64>,
}

/// A package that is not installed, or was not built.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl Node {
    /// Starts the process, without a store.
    pub(crate) fn start() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        let mut process = Command::from(child::node(&folder, "`cargo xtask interop`")?)
            .arg("main.mjs")
            .env_remove("NODE_ENV")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run node")?;
        let input = process.stdin.take().context("no input of node")?;
        let output = process.stdout.take().context("no output of node")?;
        Ok(Self { input, output: BufReader::new(output).lines(), _process: process })
    }

    /// Creates an empty database for the store and returns its URL.
    pub(crate) async fn prepare(&mut self, place: &Value) -> Result<String> {
        self.text("prepare", place.clone()).await
    }

    /// Opens the store and returns the versions of its packages.
    pub(crate) async fn open(&mut self, place: &Value) -> Result<String> {
        self.text("open", place.clone()).await
    }

    pub(crate) async fn set(
        &mut self,
        id: &str,
        members: &str,
        max_age: Option<i64>,
    ) -> Result<()> {
        let cookie = max_age.map_or(json!({}), |max_age| json!({ "maxAge": max_age }));
        self.set_with(id, members, cookie).await
    }

    /// Saves a new session whose cookie has these options.
    pub(crate) async fn set_with(&mut self, id: &str, members: &str, cookie: Value) -> Result<()> {
        self.ask("set", json!({ "id": id, "members": members, "cookie": cookie })).await.map(drop)
    }

    /// Returns the session that a request on Node would find, as JSON.
    pub(crate) async fn get(&mut self, id: &str) -> Result<Option<String>> {
        let found = self.ask("get", json!({ "id": id })).await?;
        Ok(found.as_str().map(str::to_owned))
    }

    pub(crate) async fn change(&mut self, id: &str, key: &str, value: Value) -> Result<()> {
        self.ask("change", json!({ "id": id, "key": key, "value": value })).await.map(drop)
    }

    /// Touches the session, as a request does that changes nothing.
    pub(crate) async fn touch(&mut self, id: &str) -> Result<()> {
        self.ask("touch", json!({ "id": id })).await.map(drop)
    }

    /// Saves one session, as it is now, with 1, 2, 3 … in one member, as fast as possible.
    pub(crate) async fn write(&mut self, id: &str, key: &str, times: u32) -> Result<()> {
        self.ask("write", json!({ "id": id, "key": key, "times": times })).await.map(drop)
    }

    pub(crate) async fn destroy(&mut self, id: &str) -> Result<()> {
        self.ask("destroy", json!({ "id": id })).await.map(drop)
    }

    pub(crate) async fn length(&mut self) -> Result<u64> {
        self.ask("length", json!({})).await?.as_u64().context("no number")
    }

    /// Removes all sessions, through the store if it can.
    pub(crate) async fn clear(&mut self) -> Result<()> {
        self.ask("clear", json!({})).await.map(drop)
    }

    /// Reads the record from the server, bypassing the store.
    pub(crate) async fn raw(&mut self, id: &str) -> Result<Option<Raw>> {
        let raw = self.ask("raw", json!({ "id": id })).await?;
        if raw.is_null() {
            return Ok(None);
        }
        let text = raw["text"].as_str().context("no text")?.to_owned();
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 are small")]
        let expires = raw["expires"].as_f64().map(|millis| millis.round() as i64);
        Ok(Some(Raw { text, expires }))
    }

    /// Sets the expiry of the record, bypassing the store.
    pub(crate) async fn expire(&mut self, id: &str, at: i64) -> Result<()> {
        self.ask("expire", json!({ "id": id, "at": at })).await.map(drop)
    }

    /// Returns the stored ids, sorted.
    pub(crate) async fn ids(&mut self) -> Result<Vec<String>> {
        let ids = self.ask("ids", json!({})).await?;
        let mut ids: Vec<String> = serde_json::from_value(ids)?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// Removes all sessions, bypassing the store.
    pub(crate) async fn empty(&mut self) -> Result<()> {
        self.ask("empty", json!({})).await.map(drop)
    }

    /// Starts an Express application with the store and returns its port.
    pub(crate) async fn serve(&mut self, secret: &str) -> Result<u16> {
        let port = self.ask("serve", json!({ "secret": secret })).await?;
        port.as_u64().and_then(|port| u16::try_from(port).ok()).context("no port")
    }

    async fn text(&mut self, verb: &str, given: Value) -> Result<String> {
        let answer = self.ask(verb, given).await?;
        answer.as_str().map(str::to_owned).with_context(|| format!("{verb} returned no text"))
    }

    async fn ask(&mut self, verb: &str, mut given: Value) -> Result<Value> {
        given["do"] = verb.into();
        self.input.write_all(format!("{given}\n").as_bytes()).await?;
        self.input.flush().await?;
        let line = self.output.next_line().await?.context("node has ended")?;
        let mut answer: Value = serde_json::from_str(&line)?;
        if answer["missing"].as_bool() == Some(true) {
            let error = answer["error"].as_str().unwrap_or_default();
            return Err(anyhow!(Missing(error.lines().next().unwrap_or_default().to_owned())));
        }
        if let Some(error) = answer["error"].as_str() {
            bail!("node: {verb}: {error}");
        }
        Ok(answer["ok"].take())
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}
