//! The index of the users is maintained by SQLite itself, whatever program writes.

use std::path::Path;

use express_session::store::Store as _;
use express_session::store::sqlite::{Dialect, SqliteStore};
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::record::Json;
use rusqlite::{Connection, params};

use crate::local::{Folder, NOW, id, later, record};

fn of(user: &str) -> String {
    format!(r#"{{"cookie":{{"path":"/"}},"passport":{{"user":"{user}"}}}}"#)
}

/// Returns the ids of a list of the user's sessions, and of those that their end asks for.
async fn sessions(store: &SqliteStore, user: &str) -> [Vec<String>; 2] {
    let users = UserQuery::new(Json::of(user).unwrap(), MemberName::DEFAULT);
    let mut all = Vec::new();
    for users in [users.clone(), users.complete()] {
        let page = store.sessions_of(&users, None, 100, NOW).await.unwrap();
        all.push(page.sessions.iter().map(|(id, _)| id.as_str().to_owned()).collect());
    }
    all.try_into().unwrap()
}

fn same(names: &[&str]) -> [Vec<String>; 2] {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    [names.clone(), names]
}

/// Writes as the npm store does: an insert that replaces a row, or one that updates it.
fn set(path: &Path, dialect: Dialect, name: &str, text: &str) {
    let connection = Connection::open(path).unwrap();
    let end = "2999-01-01T00:00:00.000Z";
    match dialect {
        Dialect::ConnectSqlite3 => connection.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)",
            params![name, 32_472_144_000_000.0, text],
        ),
        Dialect::BetterSqlite3SessionStore => connection
            .execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", params![name, text, end]),
        Dialect::ConnectSessionKnex | _ => connection.execute(
            "INSERT INTO sessions (sid, expired, sess) VALUES (?, ?, ?) \
             ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess",
            params![name, end, text],
        ),
    }
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_of_node_shows_in_lists_and_none_of_them_fails() {
    for dialect in
        [Dialect::ConnectSqlite3, Dialect::BetterSqlite3SessionStore, Dialect::ConnectSessionKnex]
    {
        let folder = Folder::new();
        let path = folder.fresh();
        let store = SqliteStore::new(&path).dialect(dialect).user_index(true);
        store.open().await.unwrap();
        let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
        let user = "x".repeat(100_000);
        for (name, text) in [
            ("a", of("bob")),
            ("b", of("bob")),
            ("c", of("eve")),
            ("d", "no JSON".to_owned()),
            ("e", r#"{"cookie":{},"a":"\u0000 \ud800","passport":{"user":"bob"}}"#.to_owned()),
            // More levels than SQLite reads.
            ("f", format!(r#"{{"cookie":{{}},"a":{deep},"passport":{{"user":"bob"}}}}"#)),
            ("g", of(&user)),
            ("h", r#"{"cookie":{},"passport":{"user":{"id":[1,{}]}}}"#.to_owned()),
        ] {
            set(&path, dialect, name, &text);
        }
        assert_eq!(sessions(&store, "bob").await, same(&["a", "b", "e", "f"]), "{dialect:?}");
        assert_eq!(sessions(&store, &user).await, same(&["g"]));
        set(&path, dialect, "b", &of("eve"));
        set(&path, dialect, "c", r#"{"cookie":{},"passport":{}}"#);
        assert_eq!(sessions(&store, "bob").await, same(&["a", "e", "f"]), "{dialect:?}");
        assert_eq!(sessions(&store, "eve").await, same(&["b"]), "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_table_gets_an_index_and_one_without_it_lists_the_same() {
    let folder = Folder::new();
    let path = folder.fresh();
    let index = "SELECT count(*) FROM sqlite_master WHERE name = 'sessions_user_index'";
    let count = || -> i64 {
        Connection::open(&path).unwrap().query_row(index, [], |row| row.get(0)).unwrap()
    };
    let before = SqliteStore::new(&path);
    before.create(&id("a"), &record(&of("bob"), later(60)), NOW).await.unwrap();
    assert_eq!(count(), 0);
    let after = SqliteStore::new(&path).user_index(true);
    assert_eq!(sessions(&after, "bob").await, same(&["a"]));
    assert_eq!(count(), 1);
    Connection::open(&path).unwrap().execute("DROP INDEX sessions_user_index", []).unwrap();
    assert_eq!(sessions(&after, "bob").await, same(&["a"]), "without the index it takes longer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_that_repeats_a_member_is_ended_though_a_list_may_lack_it() {
    let folder = Folder::new();
    let path = folder.fresh();
    let store = SqliteStore::new(&path).user_index(true);
    store.open().await.unwrap();
    // No npm store writes this: to JavaScript, and to the library, the last one counts.
    let twice = r#"{"cookie":{},"passport":{"user":"eve"},"passport":{"user":"bob"}}"#;
    set(&path, Dialect::ConnectSqlite3, "a", twice);
    let [_, ended] = sessions(&store, "bob").await;
    assert_eq!(ended, ["a"]);
    assert_eq!(sessions(&store, "eve").await, same(&[]));
}
