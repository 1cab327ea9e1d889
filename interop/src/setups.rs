//! The table of stores: each npm store with the options that change its format, beside ours with the same options.

use std::time::Duration;

use anyhow::Result;
use express_session::store::file::FileStore;
use express_session::store::memcached::MemcachedStore;
use express_session::store::mysql::MySqlStore;
use express_session::store::postgres::PostgresStore;
use express_session::store::redis::RedisStore;
use express_session::store::sqlite::{Dialect, SqliteStore};
use express_session_core::Document;
use serde_json::{Value, json};

use crate::ours::Ours;
use crate::servers::Server;

/// One row: a store with its options, on both sides.
#[derive(Debug)]
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

type Open = fn(&str) -> Result<Ours>;

/// Returns a function that makes the rows of an npm store: the options in words and as they are, and ours with them.
fn rows(
    name: &'static str,
    kind: &'static str,
    server: Server,
    facts: Facts,
) -> impl Fn(&'static str, Value, Open) -> Setup {
    move |variant, options, open| Setup {
        name,
        variant,
        kind,
        server,
        options,
        timezone: "",
        table: Maker::Node,
        facts,
        open,
    }
}

impl Setup {
    fn table_by_rust(self) -> Self {
        Self { table: Maker::Rust, ..self }
    }
}

fn redis() -> Vec<Setup> {
    let row = rows("connect-redis", "redis", Server::Redis, Facts::default());
    vec![
        row("", json!({}), |url| Ok(Ours::new(RedisStore::new(url)?))),
        row("prefix", json!({ "prefix": "it's {é}:" }), |url| {
            Ok(Ours::new(RedisStore::new(url)?.prefix("it's {é}:")))
        }),
        row("an empty prefix", json!({ "prefix": "" }), |url| {
            Ok(Ours::new(RedisStore::new(url)?.prefix("")))
        }),
        row("ttl", json!({ "ttl": 600 }), |url| {
            Ok(Ours::new(RedisStore::new(url)?.ttl(Duration::from_secs(600))))
        }),
        row("ttl, a function", json!({ "ttl": "by member" }), |url| {
            Ok(Ours::new(RedisStore::new(url)?.ttl_with(|record| {
                let views = Document::parse(&*record.text).map(|record| record.get("views"));
                let is_short = matches!(views, Ok(Ok(Some(4_u32..))));
                Duration::from_secs(if is_short { 60 } else { 7200 })
            })))
        }),
        row("disableTTL", json!({ "disableTTL": true }), |url| {
            Ok(Ours::new(RedisStore::new(url)?.disable_ttl(true)))
        }),
        row("disableTouch", json!({ "disableTouch": true }), |url| {
            Ok(Ours::new(RedisStore::new(url)?.disable_touch(true)))
        }),
        Setup {
            kind: "redis cluster",
            server: Server::RedisCluster,
            ..row("a cluster", json!({}), |urls| {
                let nodes = urls.replace("redis://", "");
                Ok(Ours::new(RedisStore::new(&format!("redis+cluster://{nodes}"))?))
            })
        },
        Setup {
            kind: "redis sentinel",
            server: Server::RedisSentinel,
            ..row("sentinels", json!({}), |urls| {
                let sentinels = urls.replace("redis://", "");
                let url = format!("redis+sentinel://{sentinels}/mymaster");
                Ok(Ours::new(RedisStore::new(&url)?))
            })
        },
    ]
}

fn mysql() -> Vec<Setup> {
    let facts = Facts { ends_with_cookie: true, ..Facts::default() };
    let row = rows("express-mysql-session", "mysql", Server::MariaDb, facts);
    let names = json!({ "session_id": "the id", "expires": "until", "data": "json`" });
    vec![
        row("", json!({}), |url| Ok(Ours::new(MySqlStore::new(url)?))),
        row("table made by Rust", json!({ "createDatabaseTable": false }), |url| {
            Ok(Ours::new(MySqlStore::new(url)?))
        })
        .table_by_rust(),
        row(
            "schema.tableName, schema.columnNames",
            json!({ "schema": { "tableName": "my table", "columnNames": names } }),
            |url| {
                let store = MySqlStore::new(url)?.table_name("my table");
                Ok(Ours::new(store.column_names("the id", "until", "json`")))
            },
        ),
        row("expiration", json!({ "expiration": 600_000 }), |url| {
            Ok(Ours::new(MySqlStore::new(url)?.expiration(Duration::from_secs(600))))
        }),
        row("disableTouch", json!({ "disableTouch": true }), |url| {
            Ok(Ours::new(MySqlStore::new(url)?.disable_touch(true)))
        }),
    ]
}

fn file() -> Vec<Setup> {
    let facts = Facts { touch_writes: true, stamps: true, lockless: true, ..Facts::default() };
    let row = rows("session-file-store", "file", Server::Folder, facts);
    vec![
        row("", json!({}), |path| Ok(Ours::new(FileStore::new(path)))),
        row("ttl", json!({ "ttl": 600 }), |path| {
            Ok(Ours::new(FileStore::new(path).ttl(Duration::from_secs(600))))
        }),
        row("fileExtension", json!({ "fileExtension": ".session" }), |path| {
            Ok(Ours::new(FileStore::new(path).file_extension(".session")))
        }),
        row("no fileExtension", json!({ "fileExtension": "" }), |path| {
            Ok(Ours::new(FileStore::new(path).file_extension("")))
        }),
    ]
}

fn memcached() -> Vec<Setup> {
    let facts = Facts { touch_writes: true, touch_leaves_cookie: true, ..Facts::default() };
    let ttl = rows("connect-memcached", "memcached", Server::Memcached, facts);
    let facts = Facts { loses_long_sessions: true, ..facts };
    let row = rows("connect-memcached", "memcached", Server::Memcached, facts);
    vec![
        row("", json!({}), |url| Ok(Ours::new(MemcachedStore::new(url)?))),
        row("prefix", json!({ "prefix": "it's-é:" }), |url| {
            Ok(Ours::new(MemcachedStore::new(url)?.prefix("it's-é:")))
        }),
        ttl("ttl", json!({ "ttl": 600 }), |url| {
            Ok(Ours::new(MemcachedStore::new(url)?.ttl(Duration::from_secs(600))))
        }),
    ]
}

fn postgres() -> Vec<Setup> {
    let facts = Facts { ends_with_cookie: true, ..Facts::default() };
    let row = rows("connect-pg-simple", "postgres", Server::Postgres, facts);
    let create = json!({ "createTableIfMissing": true });
    vec![
        row("", create.clone(), |url| Ok(Ours::new(PostgresStore::new(url)?))),
        row("table made by Rust", json!({}), |url| {
            Ok(Ours::new(PostgresStore::new(url)?.create_table_if_missing(true)))
        })
        .table_by_rust(),
        row(
            "tableName, schemaName",
            json!({
                "createTableIfMissing": true,
                "tableName": "my \"own\" table",
                "schemaName": "App",
            }),
            |url| {
                let store = PostgresStore::new(url)?.table_name("my \"own\" table");
                Ok(Ours::new(store.schema_name("App")))
            },
        ),
        row("ttl", json!({ "createTableIfMissing": true, "ttl": 600 }), |url| {
            Ok(Ours::new(PostgresStore::new(url)?.ttl(Duration::from_secs(600))))
        }),
        row("disableTouch", json!({ "createTableIfMissing": true, "disableTouch": true }), |url| {
            Ok(Ours::new(PostgresStore::new(url)?.disable_touch(true)))
        }),
        Setup {
            timezone: "America/New_York",
            ..row("time zone of New York", create, |url| Ok(Ours::new(PostgresStore::new(url)?)))
        },
    ]
}

fn sqlite() -> Vec<Setup> {
    let [connect, better, knex] =
        ["connect-sqlite3", "better-sqlite3-session-store", "connect-session-knex"]
            .map(|name| rows(name, name, Server::Folder, Facts::default()));
    let none = || json!({});
    vec![
        connect("", none(), |path| Ok(Ours::new(SqliteStore::new(path)))),
        connect("table made by Rust", none(), |path| {
            Ok(Ours::new(SqliteStore::new(path).dialect(Dialect::ConnectSqlite3)))
        })
        .table_by_rust(),
        connect("table", json!({ "table": "visitors" }), |path| {
            Ok(Ours::new(SqliteStore::new(path).table("visitors")))
        }),
        connect("concurrentDb", json!({ "concurrentDb": true }), |path| {
            Ok(Ours::new(SqliteStore::new(path)))
        }),
        connect("without a write-ahead log", none(), |path| {
            Ok(Ours::new(SqliteStore::new(path).concurrent_db(false)))
        }),
        better("", none(), |path| Ok(Ours::new(SqliteStore::new(path)))),
        better("table made by Rust", none(), |path| {
            Ok(Ours::new(SqliteStore::new(path).dialect(Dialect::BetterSqlite3SessionStore)))
        })
        .table_by_rust(),
        knex("", none(), |path| Ok(Ours::new(SqliteStore::new(path)))),
        knex("table made by Rust", none(), |path| {
            Ok(Ours::new(SqliteStore::new(path).dialect(Dialect::ConnectSessionKnex)))
        })
        .table_by_rust(),
        knex(
            "tableName, sidFieldName",
            json!({ "tableName": "visitors", "sidFieldName": "visitor" }),
            |path| {
                let store = SqliteStore::new(path).table("visitors");
                Ok(Ours::new(store.sid_field_name("visitor")))
            },
        ),
    ]
}
