//! The table of stores: each npm store with the options that change its format, beside ours with the same options.

use std::time::Duration;

use anyhow::Result;
use express_session::store::file::FileStore;
use express_session::store::memcached::MemcachedStore;
use express_session::store::mysql::MySqlStore;
use express_session::store::postgres::PostgresStore;
use express_session::store::redis::RedisStore;
use express_session::store::sqlite::{Dialect, SqliteStore};
use express_session::store::{Admin, Error};
use express_session_core::Document;
use serde_json::{Value, json};

use crate::ours::Ours;
use crate::servers::Server;

/// One row: a store with its options, on both sides.
pub(crate) struct Setup {
    /// The npm store.
    pub(crate) name: &'static str,
    /// The options in words; empty for the defaults.
    pub(crate) variant: &'static str,
    /// Its name in `node/stores.mjs`.
    pub(crate) kind: &'static str,
    pub(crate) server: Server,
    /// The options of the npm store.
    pub(crate) options: Value,
    /// The time zone of the database.
    pub(crate) timezone: &'static str,
    pub(crate) table: Maker,
    pub(crate) facts: Facts,
    /// Opens ours, at the URL that Node returned.
    pub(crate) open: Open,
}

/// The side that creates the table, and opens the store first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Maker {
    Node,
    Rust,
}

/// The facts about an npm store that the cases depend on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// A touch writes the record again, which is a conflict for a concurrent change.
    pub(crate) touch_writes: bool,
    /// A touch of ours leaves the text alone, although Node writes it.
    pub(crate) touch_leaves_cookie: bool,
    /// A session of more than 30 days is lost as soon as Node saves it.
    pub(crate) loses_long_sessions: bool,
    /// A record expires with its cookie, to the second; elsewhere its time starts at the save.
    pub(crate) ends_with_cookie: bool,
    /// The time of the last save is at the end of the text.
    pub(crate) stamps: bool,
    /// Node can write between our comparison and our write, and its change is lost then.
    pub(crate) lockless: bool,
}

/// Every row, in the order they are played.
pub(crate) fn all() -> Vec<Setup> {
    [redis(), postgres(), mysql(), sqlite(), file(), memcached()].into_iter().flatten().collect()
}

type Open = Box<dyn Fn(&str) -> Result<Ours>>;

/// Returns a function that makes the rows of an npm store: the options in words and as they are, and the same of ours.
fn rows<S: Admin + Clone>(
    name: &'static str,
    kind: &'static str,
    server: Server,
    facts: Facts,
    open: fn(&str) -> Result<S, Error>,
) -> impl Fn(&'static str, Value, fn(S) -> S) -> Setup {
    move |variant, options, set| Setup {
        name,
        variant,
        kind,
        server,
        options,
        timezone: "",
        table: Maker::Node,
        facts,
        open: Box::new(move |url| Ok(Ours::new(set(open(url)?)))),
    }
}

/// The options of both sides are the defaults.
fn same<S>(store: S) -> S {
    store
}

const TEN_MINUTES: Duration = Duration::from_secs(600);

impl Setup {
    fn table_by_rust(self) -> Self {
        Self { table: Maker::Rust, ..self }
    }
}

fn redis() -> Vec<Setup> {
    let facts = Facts::default();
    let row = rows("connect-redis", "redis", Server::Redis, facts, RedisStore::new);
    let valkey = rows("connect-redis", "redis", Server::Valkey, facts, RedisStore::new);
    let cluster: fn(&str) -> _ = |urls| {
        let nodes = urls.replace("redis://", "");
        RedisStore::new(&format!("redis+cluster://{nodes}"))
    };
    let cluster = rows("connect-redis", "redis cluster", Server::RedisCluster, facts, cluster);
    let sentinel: fn(&str) -> _ = |urls| {
        let sentinels = urls.replace("redis://", "");
        RedisStore::new(&format!("redis+sentinel://{sentinels}/mymaster"))
    };
    let sentinel = rows("connect-redis", "redis sentinel", Server::RedisSentinel, facts, sentinel);
    vec![
        row("", json!({}), same),
        row("prefix", json!({ "prefix": "it's {é}:" }), |store| store.prefix("it's {é}:")),
        row("an empty prefix", json!({ "prefix": "" }), |store| store.prefix("")),
        row("ttl", json!({ "ttl": 600 }), |store| store.ttl(TEN_MINUTES)),
        row("ttl, a function", json!({ "ttl": "by member" }), |store| {
            store.ttl_with(|record| {
                let views = Document::parse(&*record.text).map(|record| record.get("views"));
                let is_short = matches!(views, Ok(Ok(Some(4_u32..))));
                Duration::from_secs(if is_short { 60 } else { 7200 })
            })
        }),
        row("disableTTL", json!({ "disableTTL": true }), |store| store.disable_ttl(true)),
        row("disableTouch", json!({ "disableTouch": true }), |store| store.disable_touch(true)),
        valkey("valkey", json!({}), same),
        valkey("valkey, ttl", json!({ "ttl": 600 }), |store| store.ttl(TEN_MINUTES)),
        cluster("a cluster", json!({}), same),
        sentinel("sentinels", json!({}), same),
    ]
}

fn mysql() -> Vec<Setup> {
    let facts = Facts { ends_with_cookie: true, ..Facts::default() };
    let row = rows("express-mysql-session", "mysql", Server::MariaDb, facts, MySqlStore::new);
    let names = json!({ "session_id": "the id", "expires": "until", "data": "json`" });
    let schema = json!({ "schema": { "tableName": "my table", "columnNames": names } });
    vec![
        row("", json!({}), same),
        row("table made by Rust", json!({ "createDatabaseTable": false }), same).table_by_rust(),
        row("schema.tableName, schema.columnNames", schema, |store| {
            store.table_name("my table").column_names("the id", "until", "json`")
        }),
        row("expiration", json!({ "expiration": 600_000 }), |store| store.expiration(TEN_MINUTES)),
        row("disableTouch", json!({ "disableTouch": true }), |store| store.disable_touch(true)),
    ]
}

fn file() -> Vec<Setup> {
    let facts = Facts { touch_writes: true, stamps: true, lockless: true, ..Facts::default() };
    let row =
        rows("session-file-store", "file", Server::Folder, facts, |path| Ok(FileStore::new(path)));
    vec![
        row("", json!({}), same),
        row("ttl", json!({ "ttl": 600 }), |store| store.ttl(TEN_MINUTES)),
        row("fileExtension", json!({ "fileExtension": ".session" }), |store| {
            store.file_extension(".session")
        }),
        row("no fileExtension", json!({ "fileExtension": "" }), |store| store.file_extension("")),
    ]
}

fn memcached() -> Vec<Setup> {
    let facts = Facts { touch_writes: true, touch_leaves_cookie: true, ..Facts::default() };
    let open: fn(&str) -> _ = MemcachedStore::new;
    let ttl = rows("connect-memcached", "memcached", Server::Memcached, facts, open);
    let facts = Facts { loses_long_sessions: true, ..facts };
    let row = rows("connect-memcached", "memcached", Server::Memcached, facts, open);
    vec![
        row("", json!({}), same),
        row("prefix", json!({ "prefix": "it's-é:" }), |store| store.prefix("it's-é:")),
        ttl("ttl", json!({ "ttl": 600 }), |store| store.ttl(TEN_MINUTES)),
    ]
}

fn postgres() -> Vec<Setup> {
    let facts = Facts { ends_with_cookie: true, ..Facts::default() };
    let row = rows("connect-pg-simple", "postgres", Server::Postgres, facts, PostgresStore::new);
    let create = |mut options: Value| {
        options["createTableIfMissing"] = true.into();
        options
    };
    let names = json!({ "tableName": "my \"own\" table", "schemaName": "App" });
    vec![
        row("", create(json!({})), same),
        row("table made by Rust", json!({}), |store| store.create_table_if_missing(true))
            .table_by_rust(),
        row("tableName, schemaName", create(names), |store| {
            store.table_name("my \"own\" table").schema_name("App")
        }),
        row("ttl", create(json!({ "ttl": 600 })), |store| store.ttl(TEN_MINUTES)),
        row("disableTouch", create(json!({ "disableTouch": true })), |store| {
            store.disable_touch(true)
        }),
        Setup {
            timezone: "America/New_York",
            ..row("time zone of New York", create(json!({})), same)
        },
    ]
}

fn sqlite() -> Vec<Setup> {
    let [connect, better, knex] =
        ["connect-sqlite3", "better-sqlite3-session-store", "connect-session-knex"].map(|name| {
            rows(name, name, Server::Folder, Facts::default(), |path| Ok(SqliteStore::new(path)))
        });
    let none = || json!({});
    vec![
        connect("", none(), same),
        connect("table made by Rust", none(), |store| store.dialect(Dialect::ConnectSqlite3))
            .table_by_rust(),
        connect("table", json!({ "table": "visitors" }), |store| store.table("visitors")),
        connect("concurrentDb", json!({ "concurrentDb": true }), same),
        connect("without a write-ahead log", none(), |store| store.concurrent_db(false)),
        better("", none(), same),
        better("table made by Rust", none(), |store| {
            store.dialect(Dialect::BetterSqlite3SessionStore)
        })
        .table_by_rust(),
        knex("", none(), same),
        knex("table made by Rust", none(), |store| store.dialect(Dialect::ConnectSessionKnex))
            .table_by_rust(),
        knex(
            "tableName, sidFieldName",
            json!({ "tableName": "visitors", "sidFieldName": "visitor" }),
            |store| store.table("visitors").sid_field_name("visitor"),
        ),
    ]
}
