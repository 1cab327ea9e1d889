//! The table of stores: each npm store with the options that change its format, beside ours with the
//! same ones.

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
    /// What is special about it; empty for the defaults.
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
    /// Opens ours, at the address that Node's side gave.
    pub(crate) open: fn(&str) -> Result<Ours>,
}

/// Who makes the table, and so opens the store first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Maker {
    Node,
    Rust,
}

/// What the cases must know of an npm store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// A touch writes the record anew, and so is a conflict for a change that was under way.
    pub(crate) touch_writes: bool,
    /// Ours leaves the text alone in a touch though Node writes it.
    pub(crate) touch_leaves_cookie: bool,
    /// A session of more than 30 days is lost as soon as Node saves it.
    pub(crate) loses_long_sessions: bool,
    /// A record ends with its cookie, to the second, whenever it was saved; elsewhere the time is counted
    /// from the moment of the save.
    pub(crate) ends_with_cookie: bool,
    /// The time of the last save stands at the end of the text.
    pub(crate) stamps: bool,
    /// Nothing keeps Node from writing between our comparison and our writing; then its change is lost.
    pub(crate) lockless: bool,
}

/// Every row, in the order they are played.
pub(crate) fn all() -> Vec<Setup> {
    [redis(), postgres(), mysql(), sqlite(), file(), memcached()].into_iter().flatten().collect()
}

impl Setup {
    fn new(name: &'static str, server: Server, open: fn(&str) -> Result<Ours>) -> Self {
        Self {
            name,
            variant: "",
            kind: name,
            server,
            options: json!({}),
            timezone: "",
            table: Maker::Node,
            facts: Facts::default(),
            open,
        }
    }

    fn variant(mut self, variant: &'static str) -> Self {
        self.variant = variant;
        self
    }

    fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    fn options(mut self, options: Value) -> Self {
        self.options = options;
        self
    }

    fn facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    fn table_by_rust(mut self) -> Self {
        self.table = Maker::Rust;
        self
    }
}

fn redis() -> Vec<Setup> {
    let row = |variant, options, open| {
        Setup::new("connect-redis", Server::Redis, open)
            .kind("redis")
            .variant(variant)
            .options(options)
    };
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
            server: Server::RedisCluster,
            ..row("a cluster", json!({}), |urls| {
                let nodes = urls.replace("redis://", "");
                Ok(Ours::new(RedisStore::new(&format!("redis+cluster://{nodes}"))?))
            })
            .kind("redis cluster")
        },
        Setup {
            server: Server::RedisSentinel,
            ..row("sentinels", json!({}), |urls| {
                let sentinels = urls.replace("redis://", "");
                let url = format!("redis+sentinel://{sentinels}/mymaster");
                Ok(Ours::new(RedisStore::new(&url)?))
            })
            .kind("redis sentinel")
        },
    ]
}

fn mysql() -> Vec<Setup> {
    let row = |variant, options, open| {
        let facts = Facts { ends_with_cookie: true, ..Facts::default() };
        Setup::new("express-mysql-session", Server::MariaDb, open)
            .kind("mysql")
            .variant(variant)
            .options(options)
            .facts(facts)
    };
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
    let row = |variant, options, open| {
        let facts = Facts { touch_writes: true, stamps: true, lockless: true, ..Facts::default() };
        Setup::new("session-file-store", Server::Folder, open)
            .kind("file")
            .variant(variant)
            .options(options)
            .facts(facts)
    };
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
    let row = |variant, options, open| {
        let facts = Facts {
            touch_writes: true,
            touch_leaves_cookie: true,
            loses_long_sessions: true,
            ..Facts::default()
        };
        Setup::new("connect-memcached", Server::Memcached, open)
            .kind("memcached")
            .variant(variant)
            .options(options)
            .facts(facts)
    };
    let ttl = row("ttl", json!({ "ttl": 600 }), |url| {
        Ok(Ours::new(MemcachedStore::new(url)?.ttl(Duration::from_secs(600))))
    });
    vec![
        row("", json!({}), |url| Ok(Ours::new(MemcachedStore::new(url)?))),
        row("prefix", json!({ "prefix": "it's-é:" }), |url| {
            Ok(Ours::new(MemcachedStore::new(url)?.prefix("it's-é:")))
        }),
        Setup { facts: Facts { loses_long_sessions: false, ..ttl.facts }, ..ttl },
    ]
}

fn postgres() -> Vec<Setup> {
    let row = |variant, options, open| {
        let facts = Facts { ends_with_cookie: true, ..Facts::default() };
        Setup::new("connect-pg-simple", Server::Postgres, open)
            .kind("postgres")
            .variant(variant)
            .options(options)
            .facts(facts)
    };
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
    let connect = |open| Setup::new("connect-sqlite3", Server::Folder, open);
    let better = |open| Setup::new("better-sqlite3-session-store", Server::Folder, open);
    let knex = |open| Setup::new("connect-session-knex", Server::Folder, open);
    vec![
        connect(|path| Ok(Ours::new(SqliteStore::new(path)))),
        connect(|path| Ok(Ours::new(SqliteStore::new(path).dialect(Dialect::ConnectSqlite3))))
            .variant("table made by Rust")
            .table_by_rust(),
        connect(|path| Ok(Ours::new(SqliteStore::new(path).table("visitors"))))
            .variant("table")
            .options(json!({ "table": "visitors" })),
        connect(|path| Ok(Ours::new(SqliteStore::new(path))))
            .variant("concurrentDb")
            .options(json!({ "concurrentDb": true })),
        connect(|path| Ok(Ours::new(SqliteStore::new(path).concurrent_db(false))))
            .variant("without a write-ahead log"),
        better(|path| Ok(Ours::new(SqliteStore::new(path)))),
        better(|path| {
            Ok(Ours::new(SqliteStore::new(path).dialect(Dialect::BetterSqlite3SessionStore)))
        })
        .variant("table made by Rust")
        .table_by_rust(),
        knex(|path| Ok(Ours::new(SqliteStore::new(path)))),
        knex(|path| Ok(Ours::new(SqliteStore::new(path).dialect(Dialect::ConnectSessionKnex))))
            .variant("table made by Rust")
            .table_by_rust(),
        knex(|path| {
            Ok(Ours::new(SqliteStore::new(path).table("visitors").sid_field_name("visitor")))
        })
        .variant("tableName, sidFieldName")
        .options(json!({ "tableName": "visitors", "sidFieldName": "visitor" })),
    ]
}
