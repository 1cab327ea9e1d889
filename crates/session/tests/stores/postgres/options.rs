//! The effect of each option.

use express_session::store::postgres::PostgresStore;
use express_session::store::postgres::deadpool_postgres::tokio_postgres::NoTls;
use express_session::store::postgres::deadpool_postgres::{Config, PoolConfig, Runtime};
use express_session::store::{Admin as _, ErrorKind, Store as _};

use super::support::{Db, NOW, TEXT, after, create, fresh, id, load, record, shown, store};
use crate::sql::Database as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_table_is_refused_by_name_and_made_if_asked_for() {
    let Some(server) = Db::shared() else { return };
    let name = fresh("missing \"one\"");
    let store = PostgresStore::new(&server.url()).unwrap().table_name(&name);
    let told = shown(store.load(&id("a"), NOW).await, ErrorKind::Refused);
    assert!(told.contains("create_table_if_missing"), "{told}");
    assert!(told.contains("42P01"), "{told}");

    let making = store.create_table_if_missing(true);
    create(&making, "a", &record(TEXT, None)).await;
    let existing = PostgresStore::new(&server.url()).unwrap().table_name(&name);
    assert!(load(&existing, "a", NOW).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schema_is_the_one_that_was_named() {
    let Some(server) = Db::shared() else { return };
    let client = Db::client(&server.url()).await;
    client.batch_execute("CREATE SCHEMA \"other \"\" one\"").await.unwrap();
    let name = fresh("session");
    let open = || PostgresStore::new(&server.url()).unwrap().table_name(&name);
    let there = open().schema_name("other \" one").create_table_if_missing(true);
    create(&there, "a", &record(TEXT, None)).await;
    shown(open().load(&id("a"), NOW).await, ErrorKind::Refused);
    shown(open().schema_name("none").load(&id("a"), NOW).await, ErrorKind::Refused);
    let none = open().schema_name("none").create_table_if_missing(true);
    shown(none.load(&id("a"), NOW).await, ErrorKind::Refused);
    assert!(load(&there, "a", NOW).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreated_table_is_used_without_reconnecting() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let client = Db::client(&server.url()).await;
    for sess in ["jsonb", "text", "json"] {
        create(&store, "a", &record(TEXT, None)).await;
        assert!(load(&store, "a", NOW).await.is_some());
        assert_eq!(store.list(None, 10, NOW).await.unwrap().sessions.len(), 1);
        let sql = format!(
            "DROP TABLE {table}; CREATE TABLE {table} \
             (more int, sid text PRIMARY KEY, sess {sess}, expire timestamptz(3))"
        );
        client.batch_execute(&sql).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_statements_are_prepared_again() {
    let Some(server) = Db::shared() else { return };
    let (_, table) = store(server).await;
    let mut config = Config::new();
    config.url = Some(server.url());
    config.pool = Some(PoolConfig::new(1));
    let pool = config.create_pool(Some(Runtime::Tokio1), NoTls).unwrap();
    let store = PostgresStore::with_pool(pool.clone()).table_name(table).prepare_statements(true);
    create(&store, "a", &record(TEXT, None)).await;
    for _ in 0..2 {
        assert!(load(&store, "a", NOW).await.is_some());
        pool.get().await.unwrap().batch_execute("DEALLOCATE ALL").await.unwrap();
    }
    assert!(load(&store, "a", NOW).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_passes_over_what_is_being_written() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    create(&store, "a", &record(TEXT, after(0))).await;
    create(&store, "b", &record(TEXT, after(0))).await;
    let mut client = Db::client(&server.url()).await;
    let writing = client.transaction().await.unwrap();
    let sql = format!("UPDATE {table} SET expire = '2999-01-01' WHERE sid = 'a'");
    writing.execute(&sql, &[]).await.unwrap();
    assert_eq!(store.purge(10, after(1000)).await.unwrap(), 1);
    writing.commit().await.unwrap();
    assert!(load(&store, "a", after(1000)).await.is_some());
}

#[test]
fn nothing_secret_is_shown() {
    let store = PostgresStore::new("postgres://web:hunter2@db.example/shop").unwrap();
    assert_eq!(
        format!("{store:?}"),
        "PostgresStore { table: \"session\", create_table_if_missing: false, user_index: false, ttl: 86400s, \
         disable_touch: false, prune_session_interval: Some(900s), timeout: 5s, max_waiting: 4096, prepare_statements: None, max_connections: 10 }",
    );
    for url in ["postgres://web:hunter2@/shop?hunter2=1", "hunter2", "host=a port=hunter2"] {
        let told = shown(PostgresStore::new(url), ErrorKind::Other);
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
#[cfg(not(feature = "tls"))]
fn encryption_that_is_not_built_in_is_never_left_out_silently() {
    let url = "postgres://localhost/shop?sslmode=require";
    let told = shown(PostgresStore::new(url), ErrorKind::Other);
    assert!(told.contains("`tls`"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_explicitly_shows_what_is_wrong() {
    let Some(server) = Db::shared() else { return };
    PostgresStore::connect(&server.url()).await.unwrap();
    let nobody = server.url().replace("//postgres@", "//nobody@");
    shown(PostgresStore::connect(&nobody).await, ErrorKind::Refused);
    let nothing = "postgres://postgres@127.0.0.1:1/postgres";
    shown(PostgresStore::connect(nothing).await, ErrorKind::Unavailable);
}
