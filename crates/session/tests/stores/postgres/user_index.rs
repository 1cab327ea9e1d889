//! The index of the users is maintained by the server, whatever program writes.

use std::marker::PhantomData;
use std::time::Duration;

use express_session::SessionLayer;
use express_session::store::Store as _;
use express_session::store::postgres::PostgresStore;
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::record::Json;
use express_session_testkit::{Subject, Task, admin_laws};

use super::support::{Db, NOW, create, fresh, record, store, until};
use crate::spawned;
use crate::sql::{Database as _, with_server};
use crate::support::{SECRET, Talk, visit};

/// The laws' store, with an index.
struct Indexed(PhantomData<Db>);

impl Subject for Indexed {
    type Store = PostgresStore;

    async fn store(&self) -> PostgresStore {
        let url = Db::url(Db::shared().unwrap());
        let store = Db::open(&url, &fresh(Db::QUOTED)).user_index(true);
        store.timeout(Duration::from_secs(60))
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

admin_laws!(Indexed(PhantomData), block_on = with_server::<Db>);

fn of(user: &str) -> String {
    format!(r#"{{"cookie":{{"path":"/"}},"passport":{{"user":"{user}"}}}}"#)
}

/// Returns the ids of a list of the user's sessions, which are those that their end asks for.
async fn sessions(store: &PostgresStore, user: &str) -> Vec<String> {
    let users = UserQuery::new(Json::of(user).unwrap(), MemberName::DEFAULT);
    let mut all = Vec::new();
    for users in [users.clone(), users.complete()] {
        let page = store.sessions_of(&users, None, 100, NOW).await.unwrap();
        let ids: Vec<_> = page.sessions.iter().map(|(id, _)| id.as_str().to_owned()).collect();
        all.push(ids);
    }
    assert_eq!(all[0], all[1], "a list, and what is ended");
    all.remove(0)
}

fn indexed(table: &str) -> PostgresStore {
    Db::open(&Db::url(Db::shared().unwrap()), table).user_index(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_of_node_shows_in_lists_and_none_of_them_fails() {
    let Some(server) = Db::shared() else { return };
    let table = fresh("node_users");
    let store = indexed(&table);
    assert_eq!(sessions(&store, "bob").await, [""; 0]);
    let client = Db::client(&server.url()).await;
    // The statement of connect-pg-simple's `set`.
    let set = format!(
        "INSERT INTO \"{table}\" (sess, expire, sid) SELECT $1::text::json, to_timestamp(4e9), $2 \
         ON CONFLICT (sid) DO UPDATE SET sess=$1::text::json, expire=to_timestamp(4e9) RETURNING sid"
    );
    let long = "x".repeat(100_000);
    for (name, text) in [
        ("a", of("bob")),
        ("b", of("bob")),
        ("c", of("eve")),
        // JSON to the server's parser, but for its operators.
        ("d", r#"{"cookie":{},"a":"\u0000","passport":{"user":"bob"}}"#.to_owned()),
        ("e", r#"{"cookie":{},"a":"\ud800","passport":{"user":"bob"}}"#.to_owned()),
        ("f", r#"{"cookie":{},"\u0000":1,"passport":{"user":"eve"}}"#.to_owned()),
        ("g", of(&long)),
        ("h", r#"{"cookie":{},"passport":{"user":"eve"},"passport":{"user":"bob"}}"#.to_owned()),
        ("i", r#"[{"passport":{"user":"bob"}}]"#.to_owned()),
        ("j", r#"{"cookie":{},"passport":"bob"}"#.to_owned()),
        ("k", r#"{"cookie":{},"passport":{"user":"a\u0001b"}}"#.to_owned()),
    ] {
        client.execute(&set, &[&text, &name]).await.unwrap();
    }
    assert_eq!(sessions(&store, "bob").await, ["a", "b", "d", "e", "h"]);
    assert_eq!(sessions(&store, "eve").await, ["c", "f"]);
    assert_eq!(sessions(&store, &long).await, ["g"]);
    assert_eq!(sessions(&store, "a\u{1}b").await, ["k"]);
    assert_eq!(sessions(&store, "a\0b").await, [""; 0]);

    client.execute(&set, &[&of("eve"), &"b"]).await.unwrap();
    client.execute(&set, &[&r#"{"cookie":{},"passport":{}}"#, &"c"]).await.unwrap();
    assert_eq!(sessions(&store, "bob").await, ["a", "d", "e", "h"]);
    assert_eq!(sessions(&store, "eve").await, ["b", "f"]);

    let drop = format!("DROP INDEX \"{table}_user\"");
    client.batch_execute(&drop).await.unwrap();
    assert_eq!(sessions(&store, "bob").await, ["a", "d", "e", "h"], "without the index");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_search_the_index() {
    let Some(server) = Db::shared() else { return };
    let table = fresh("searched_users");
    let store = indexed(&table);
    create(&store, "a", &record(&of("bob"), None)).await;
    let url = server.url();
    // In a small table the planner reads every record.
    let fill = format!(
        "INSERT INTO {table} (sid, sess, expire) \
         SELECT 'other-' || g, json_build_object('passport', json_build_object('user', g)), now() \
         FROM generate_series(1, 5000) g; ANALYZE {table}"
    );
    Db::client(&url).await.batch_execute(&fill).await.unwrap();
    assert_eq!(sessions(&store, "bob").await, ["a"]);
    let scans = format!(
        "SELECT idx_scan::text FROM pg_stat_all_indexes \
         WHERE indexrelname = '{table}_user' AND idx_scan > 0"
    );
    // The server counts a little later.
    until(async || {
        let mut client = Db::client(&url).await;
        Db::texts(&mut client, &scans).await.len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_table_gets_an_index_in_the_background() {
    let Some(server) = Db::shared() else { return };
    let (before, table) = store(server).await;
    create(&before, "a", &record(&of("bob"), None)).await;
    // As several processes that start at the same time.
    let stores: Vec<_> = (0..4).map(|_| indexed(&table)).collect();
    let calls = stores.iter().map(|store| sessions(store, "bob"));
    for call in calls {
        assert_eq!(call.await, ["a"]);
    }
    let sql = format!(
        "SELECT indexrelid::regclass::text FROM pg_index \
         WHERE indrelid = '{table}'::regclass AND indisvalid AND indexrelid::regclass::text LIKE '%_user'"
    );
    let url = server.url();
    until(async || {
        let mut client = Db::client(&url).await;
        Db::texts(&mut client, &sql).await.len() == 1
    })
    .await;
    assert_eq!(sessions(&stores[0], "bob").await, ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_index_hides_no_session_from_the_end_of_sessions() {
    let Some(server) = Db::shared() else { return };
    let table = fresh("lost_users");
    let layer = SessionLayer::new(SECRET).metadata(true).store(indexed(&table));
    let client = Db::client(&server.url()).await;
    for drops in [false, true] {
        let talk = Talk::begin(&layer, visit()).await;
        talk.session.login("bob").await.unwrap();
        talk.end().await;
        if drops {
            client.batch_execute(&format!("DROP INDEX \"{table}_user\"")).await.unwrap();
        }
        assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 1, "after a login");
        assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1);
        assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_another_member_are_searched_in_every_record() {
    if Db::shared().is_none() {
        return;
    }
    let store = indexed(&fresh("other_users"));
    let text = r#"{"cookie":{},"__other":{"created":1,"seen":1,"authenticated":1,"user":"bob"}}"#;
    create(&store, "a", &record(text, None)).await;
    let member = MemberName::new("__other").unwrap();
    let users = UserQuery::new(Json::of("bob").unwrap(), member);
    let page = store.sessions_of(&users, None, 10, NOW).await.unwrap();
    assert_eq!(page.sessions.len(), 1);
    assert_eq!(sessions(&store, "bob").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_agree_on_the_sessions() {
    let Some(server) = Db::shared() else { return };
    let (url, table) = (Db::url(server), fresh("indexed_users"));
    let open = || Db::open(&url, &table).user_index(true).timeout(Duration::from_secs(30));
    crate::user_sessions::processes_agree_on_the_sessions([open(), open(), open(), open()]).await;
}
