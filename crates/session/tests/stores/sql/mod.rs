//! The suite that the stores over SQL servers share, and what its tests need.

pub(crate) mod audit_m1;
pub(crate) mod failures;
pub(crate) mod locks;
pub(crate) mod options;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use express_session::store::{
    Admin, Created, Error, ErrorKind, Loaded, Record, Revision, Store, Touch,
};
use express_session::{SessionId, Timestamp};
use express_session_testkit::{Clock, Subject, Task};

use crate::{on_tokio, spawned};

/// A SQL server, and the store over it.
pub(crate) trait Database: 'static {
    type Server: Send + Sync + 'static;
    type Store: Store + Admin + Clone + Send + Sync + 'static;
    type Client: Send;

    /// The column of the session id.
    const ID: &'static str;
    /// A table name that has to be quoted.
    const QUOTED: &'static str;
    /// An end of a lease two days ago.
    const LONG_AGO: &'static str;
    /// How many connections the test of abandoned calls allows.
    const CONNECTIONS: usize;
    /// A time of a lease that is over.
    const PAST: &'static str;
    /// Ends what [`Database::hold_up`] began.
    const LET_GO: &'static str;

    /// Returns this process's server, or `None` where it is not installed.
    fn shared() -> Option<&'static Self::Server>;

    /// Starts a server for one test.
    fn own() -> Option<Self::Server>;

    fn url(server: &Self::Server) -> String;

    /// Returns the URL of a server at another address.
    fn url_at(address: &str) -> String;

    fn port(server: &Self::Server) -> u16;

    fn kill(server: &Self::Server);

    fn restart(server: &Self::Server);

    /// Returns a store that creates its table where that is missing.
    fn open(url: &str, table: &str) -> Self::Store;

    fn connections(store: Self::Store, limit: usize) -> Self::Store;

    fn timeout(store: Self::Store, timeout: Duration) -> Self::Store;

    fn ttl(store: Self::Store, ttl: Duration) -> Self::Store;

    fn disable_touch(store: Self::Store) -> Self::Store;

    /// Sets the interval of the cleanup, or turns it off.
    fn cleanup_interval(store: Self::Store, interval: Option<Duration>) -> Self::Store;

    /// Returns the statement that adds 2500 expired sessions.
    fn fill(table: &str) -> String;

    /// Returns the statements that hold up each write to a table before it is committed.
    fn hold_up(table: &str) -> [String; 2];

    /// Returns the condition of a statement about a table that waits for another transaction's lock.
    fn waiting(table: &str) -> String;

    /// Returns a store, with its table, for each isolation that reads what others have committed.
    fn isolated(
        server: &'static Self::Server,
    ) -> impl Future<Output = Vec<(Self::Store, String)>> + Send;

    /// Opens a connection beside the store.
    fn client(url: &str) -> impl Future<Output = Self::Client> + Send;

    fn execute(client: &mut Self::Client, sql: &str) -> impl Future<Output = ()> + Send;

    /// Returns the only column of each row.
    fn texts(client: &mut Self::Client, sql: &str) -> impl Future<Output = Vec<String>> + Send;
}

/// The parts of a [`Database`] for which a server and its store have methods of the same name.
macro_rules! database_parts {
    ($server:ident, $store:ident) => {
        type Server = $server;
        type Store = $store;

        fn url(server: &$server) -> String {
            server.url()
        }

        fn port(server: &$server) -> u16 {
            server.port()
        }

        fn kill(server: &$server) {
            server.kill();
        }

        fn restart(server: &$server) {
            server.restart();
        }

        fn timeout(store: $store, timeout: Duration) -> $store {
            store.timeout(timeout)
        }

        fn disable_touch(store: $store) -> $store {
            store.disable_touch(true)
        }
    };
}
pub(crate) use database_parts;

/// Makes a test of each function of the suite, and of each law, of `support::Db`.
macro_rules! sql_suite {
    () => {
        sql_suite!(failures:
            server_that_cannot_be_reached_is_unavailable_in_time,
            answer_that_never_comes_is_timed_out_and_not_taken_for_another,
            answer_that_breaks_off_is_unavailable_and_leaves_all_or_nothing,
            killed_server_is_used_again_when_it_is_back_and_nothing_is_lost,
            every_verb_is_one_round_trip_and_a_refused_update_two,
            lock_of_another_is_waited_for_in_time_only,
            abandoned_call_is_carried_out_before_the_next_of_its_session,
        );
        sql_suite!(options:
            concurrent_first_calls_that_create_the_table_all_succeed,
            disabled_touch_moves_nothing,
            touch_leaves_the_text_alone,
            expired_sessions_are_removed_after_each_interval_by_the_next_call,
            ttl_is_for_sessions_without_an_expiry_of_their_own,
        );
        sql_suite!(locks:
            first_locks_of_many_processes_make_one_table,
            locks_with_an_expired_lease_are_removed_with_the_sessions,
            write_after_a_takeover_is_lost_although_it_began_before,
            takeover_waits_for_a_write_that_has_begun,
        );

        sql_suite!(audit_m1:
            audit_m1_machine_that_is_ahead_deletes_nothing_and_goes_on_cleaning,
            audit_m1_end_that_is_meant_is_kept_and_one_of_a_slow_clock_is_not,
        );

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn processes_agree_on_the_sessions() {
            crate::user_sessions::processes_on_sql_agree_on_the_sessions::<support::Db>().await;
        }

        mod laws {
            use std::marker::PhantomData;

            use express_session_testkit::{admin_laws, admin_model_laws, clock_laws};
            use express_session_testkit::{lock_laws, order_laws, store_laws};

            use super::support::Db;
            use crate::sql::{Leased, Tables, with_server};

            store_laws!(Tables::<Db>(PhantomData), block_on = with_server::<Db>);
            lock_laws!(Leased::<Db>(PhantomData), block_on = with_server::<Db>);
            admin_laws!(Tables::<Db>(PhantomData), block_on = with_server::<Db>);
            admin_model_laws!(Tables::<Db>(PhantomData), block_on = with_server::<Db>);
            clock_laws!(Leased::<Db>(PhantomData), block_on = with_server::<Db>);
            order_laws!(Leased::<Db>(PhantomData), block_on = with_server::<Db>);
        }
    };
    ($module:ident: $($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::sql::$module::$name::<support::Db>().await;
            }
        )+
    };
}
pub(crate) use sql_suite;

/// The laws' store: a table for each, at a time that the law chooses.
pub(crate) struct Tables<D>(pub(crate) std::marker::PhantomData<fn() -> D>);

impl<D: Database> Subject for Tables<D> {
    type Store = D::Store;

    async fn store(&self) -> D::Store {
        let url = D::url(D::shared().unwrap());
        D::timeout(D::open(&url, &fresh(D::QUOTED)), Duration::from_secs(60))
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

/// The same at the real time: leases follow the clock of the server.
pub(crate) struct Leased<D>(pub(crate) std::marker::PhantomData<fn() -> D>);

impl<D: Database> Subject for Leased<D> {
    type Store = D::Store;

    async fn store(&self) -> D::Store {
        Tables::<D>(self.0).store().await
    }

    fn clock(&self) -> Clock {
        Clock::Server
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

/// Leaves a law out where there is no server.
pub(crate) fn with_server<D: Database>(law: impl Future<Output = ()>) {
    if D::shared().is_some() {
        on_tokio(law);
    }
}

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) const TEXT: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2023-11-14T23:13:20.000Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;

/// The records that the real packages were seen to write.
pub(crate) const A: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2026-11-23T17:08:15.560Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;
pub(crate) const B: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;

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
    Touch::new(r#"{"path":"/touched"}"#, deadline.into())
}

/// A name that no other test uses.
pub(crate) fn fresh(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{what}_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A store at a URL, with a table of its own that exists already.
pub(crate) async fn store_at<D: Database>(url: &str) -> (D::Store, String) {
    let name = fresh("sessions");
    let store = D::open(url, &name);
    assert_eq!(load(&store, "none", NOW).await, None);
    (store, name)
}

pub(crate) async fn store<D: Database>(server: &D::Server) -> (D::Store, String) {
    store_at::<D>(&D::url(server)).await
}

pub(crate) async fn create(store: &impl Store, name: &str, record: &Record) -> Revision {
    match store.create(&id(name), record, NOW).await.unwrap() {
        Created::Done(revision) => revision,
        Created::Taken => panic!("taken"),
    }
}

pub(crate) async fn load(store: &impl Store, name: &str, now: Timestamp) -> Option<Loaded> {
    store.load(&id(name), now).await.unwrap()
}

/// Returns the text of a record that exists.
pub(crate) async fn text(store: &impl Store, name: &str, now: Timestamp) -> String {
    String::from(&*load(store, name, now).await.unwrap().record.text)
}

/// Waits until a condition holds that another task brings about.
pub(crate) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the condition never held");
}

/// Fails unless it is an error of this kind, and returns everything that it shows.
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
