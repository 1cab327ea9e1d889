//! Statements are prepared where no pooler is in between.

use express_session::store::postgres::PostgresStore;
use express_session::store::postgres::deadpool_postgres::tokio_postgres::NoTls;
use express_session::store::postgres::deadpool_postgres::{Config, Runtime};
use express_session::store::{Store as _, Updated};

use super::pooler;
use super::support::{Db, NOW, TEXT, create, id, record, store};
use crate::sql::Database as _;
use crate::sql::failures::through;

/// A table that counts the prepared statements of the connection that updates it.
async fn counting_table(then: &str) -> String {
    let server = Db::shared().unwrap();
    let (_, table) = store(server).await;
    let trigger = format!(
        "CREATE TABLE prepared_{table} (statements bigint); \
         CREATE FUNCTION count_{table}() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO prepared_{table} SELECT count(*) FROM pg_prepared_statements; {then} RETURN NEW; END'; \
         CREATE TRIGGER count BEFORE UPDATE ON {table} \
         FOR EACH ROW EXECUTE FUNCTION count_{table}()"
    );
    Db::client(&server.url()).await.batch_execute(&trigger).await.unwrap();
    table
}

async fn are_prepared(store: PostgresStore) -> bool {
    counts(store, "").await.iter().all(|count| count != "0")
}

/// Returns the number of prepared statements in each of three updates, after which the server does something else.
async fn counts(store: PostgresStore, then: &str) -> Vec<String> {
    let table = counting_table(then).await;
    let store = store.table_name(&table).max_connections(1);
    let mut revision = create(&store, "a", &record(TEXT, None)).await;
    for number in 1..4 {
        let next = record(&format!(r#"{{"cookie":{{}},"n":{number}}}"#), None);
        let updated = store.update(&id("a"), &next, &revision, NOW).await.unwrap();
        let Updated::Done(written) = updated else { panic!("{updated:?}") };
        revision = written;
    }
    let mut client = Db::client(&Db::shared().unwrap().url()).await;
    let counts =
        Db::texts(&mut client, &format!("SELECT statements::text FROM prepared_{table}")).await;
    assert_eq!(counts.len(), 3);
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_prepared_on_a_direct_connection() {
    let Some(server) = Db::shared() else { return };
    let direct = || PostgresStore::new(&server.url()).unwrap();
    assert!(are_prepared(direct()).await);
    let by_name = server.url().replace("127.0.0.1", "localhost");
    assert!(are_prepared(PostgresStore::new(&by_name).unwrap()).await);
    assert!(!are_prepared(direct().prepare_statements(false)).await);
    for parameter in ["pgbouncer=true", "statement_cache_size=0"] {
        let url = format!("{}?{parameter}", server.url());
        assert!(!are_prepared(PostgresStore::new(&url).unwrap()).await, "{parameter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_not_prepared_where_a_pooler_may_be_in_between() {
    let Some(server) = Db::shared() else { return };
    let (_proxy, url) = through::<Db>(server);
    let proxied = || PostgresStore::new(&url).unwrap();
    assert!(!are_prepared(proxied()).await);
    assert!(are_prepared(proxied().prepare_statements(true)).await);
    if let Some(pooler) = pooler::shared() {
        assert!(!are_prepared(PostgresStore::new(&pooler.url()).unwrap()).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_of_the_application_prepares_only_if_it_is_asked_to() {
    let Some(server) = Db::shared() else { return };
    let mut config = Config::new();
    config.url = Some(server.url());
    let pool = || config.create_pool(Some(Runtime::Tokio1), NoTls).unwrap();
    assert!(!are_prepared(PostgresStore::with_pool(pool())).await);
    assert!(are_prepared(PostgresStore::with_pool(pool()).prepare_statements(true)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_forgets_a_statement_ends_preparation() {
    let Some(server) = Db::shared() else { return };
    let direct = || PostgresStore::new(&server.url()).unwrap();
    assert_eq!(counts(direct(), "DEALLOCATE ALL;").await, ["2", "0", "0"]);
    // The update is prepared again for the third.
    let asked = direct().prepare_statements(true);
    assert_eq!(counts(asked, "DEALLOCATE ALL;").await, ["2", "0", "1"]);
}
