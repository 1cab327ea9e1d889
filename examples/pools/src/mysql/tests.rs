//! The store obeys the laws, over a pool and a real server.

use express_session_testkit::laws::wrong_clock_ends_no_record;
use express_session_testkit::{Subject, Task, servers, store_laws};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

use super::*;
use crate::testing;

/// Each store has a database of its own, since the table has one name.
struct Databases;

impl Subject for Databases {
    type Store = MySqlPoolStore;

    async fn store(&self) -> MySqlPoolStore {
        let name = testing::name();
        let server: MySqlConnectOptions = servers::shared_mariadb().unwrap().url().parse().unwrap();
        let pool = MySqlPool::connect_with(server.clone()).await.unwrap();
        sqlx::raw_sql(&format!("CREATE DATABASE {name}")).execute(&pool).await.unwrap();
        pool.close().await;
        let pool = MySqlPoolOptions::new().max_connections(4);
        let pool = pool.connect_with(server.database(&name)).await.unwrap();
        sqlx::raw_sql(TABLE).execute(&pool).await.unwrap();
        MySqlPoolStore(pool)
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        testing::parallel(tasks).await;
    }

    /// The column takes nothing but UTF-8, and NULL.
    async fn plant(&self, store: &MySqlPoolStore, id: &SessionId, _: &[u8]) -> bool {
        let row = query("INSERT INTO sessions VALUES (?, 4294967295, NULL)").bind(id.as_str());
        row.execute(&store.0).await.unwrap();
        true
    }
}

fn with_server(law: impl Future<Output = ()>) {
    if servers::shared_mariadb().is_some() {
        testing::on_runtime(law);
    }
}

store_laws!(Databases, block_on = with_server);

#[test]
fn wrong_clock_ends_no_record_of_the_pool() {
    with_server(wrong_clock_ends_no_record(&Databases));
}

/// To the collation, both are one id.
#[test]
fn id_with_a_space_at_its_end_is_refused_by_every_call() {
    with_server(async {
        let store = Databases.store().await;
        let (id, now) = (SessionId::new("a ").unwrap(), Time::from_millis(1_700_000_000_000));
        let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
        store.create(&SessionId::new("a").unwrap(), &record, now).await.unwrap();
        let errors = [
            store.load(&id, now).await.unwrap_err(),
            store.create(&id, &record, now).await.unwrap_err(),
            store.destroy(&id).await.unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Unsuitable), "{errors:?}");
    });
}
