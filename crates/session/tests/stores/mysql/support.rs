//! A server, tables of their own, and a second way to look at them.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::on_tokio;
use express_session::store::mysql::MySqlStore;
use express_session::store::mysql::mysql_async::{Conn, Opts};
use express_session::store::{
    Created, Error, ErrorKind, Loaded, Record, Revision, Store as _, Touch,
};
use express_session::{SessionId, Timestamp};
use express_session_testkit::servers;
use express_session_testkit::servers::MariaDb;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) const TEXT: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2023-11-14T23:13:20.000Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;

pub(crate) fn after(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + millis)
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

pub(crate) fn record(text: &str, deadline: impl Into<Option<Timestamp>>) -> Record {
    Record { text: text.into(), deadline: deadline.into() }
}

pub(crate) fn touch(deadline: impl Into<Option<Timestamp>>) -> Touch {
    Touch { cookie: r#"{"path":"/touched"}"#.into(), deadline: deadline.into() }
}

/// Runs a test on a runtime of its own, with this process's server; without one it is left out.
pub(crate) fn on_server<F: Future<Output = ()>>(test: impl FnOnce(&'static MariaDb) -> F) {
    if let Some(server) = servers::shared_mariadb() {
        on_tokio(test(server));
    }
}

/// Runs a test on a runtime of its own, with a server of its own; without one it is left out.
pub(crate) fn on_own_server<F: Future<Output = ()>>(test: impl FnOnce(MariaDb) -> F) {
    // One after the other: while it is installed, a MariaDB has tables in the system's temporary
    // folder, which another that starts removes.
    static STARTING: Mutex<()> = Mutex::new(());
    let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let server = servers::shared_mariadb().and_then(|_| servers::mariadb());
    drop(starting);
    if let Some(server) = server {
        on_tokio(test(server));
    }
}

/// A name that no other test uses.
pub(crate) fn fresh(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{what}_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A store at a URL in a table of its own, which is there already.
pub(crate) async fn store_at(url: &str) -> (MySqlStore, String) {
    let name = fresh("sessions");
    let store = MySqlStore::new(url).unwrap().table_name(&name);
    assert_eq!(load(&store, "nobody", NOW).await, None);
    (store, name)
}

pub(crate) async fn store(server: &MariaDb) -> (MySqlStore, String) {
    store_at(&server.url()).await
}

/// A connection of the test's own.
pub(crate) async fn client(url: &str) -> Conn {
    Conn::new(Opts::from_url(url).unwrap()).await.unwrap()
}

pub(crate) async fn create(store: &MySqlStore, name: &str, record: &Record) -> Revision {
    match store.create(&id(name), record, NOW).await.unwrap() {
        Created::Done(revision) => revision,
        Created::Taken => panic!("taken"),
    }
}

pub(crate) async fn load(store: &MySqlStore, name: &str, now: Timestamp) -> Option<Loaded> {
    store.load(&id(name), now).await.unwrap()
}

/// The text of what is there, which has to be there.
pub(crate) async fn text(store: &MySqlStore, name: &str, now: Timestamp) -> String {
    String::from(&*load(store, name, now).await.unwrap().record.text)
}

/// Waits for something that another task brings about.
pub(crate) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never came about");
}

/// Fails unless it is an error of this kind. Gives everything that it shows.
pub(crate) fn shown<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind) -> String {
    let error = result.unwrap_err();
    let mut shown = format!("{error} {error:?}");
    assert_eq!(error.kind(), kind, "{shown}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        shown.push_str(&format!(" / {error} {error:?}"));
        source = error.source();
    }
    shown
}
