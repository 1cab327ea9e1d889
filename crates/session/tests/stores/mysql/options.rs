//! The effect of each option.

use express_session::store::mysql::MySqlStore;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::{Admin as _, ErrorKind, Store as _};

use super::support::{Db, NOW, TEXT, after, create, fresh, id, load, record, shown, store};
use crate::sql::Database as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_table_is_made_unless_that_is_not_wanted() {
    let Some(server) = Db::shared() else { return };
    let name = fresh("missing ` one");
    let open = || MySqlStore::new(&server.url()).unwrap().table_name(&name);
    let told =
        shown(open().create_database_table(false).load(&id("a"), NOW).await, ErrorKind::Refused);
    assert!(told.contains("1146"), "{told}");
    create(&open(), "a", &record(TEXT, None)).await;
    assert!(load(&open().create_database_table(false), "a", NOW).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_of_another_database_and_columns_of_other_names_are_used() {
    let Some(server) = Db::shared() else { return };
    let mut client = Db::client(&server.url()).await;
    client.query_drop("CREATE DATABASE `other ``one`").await.unwrap();
    let open = || {
        let store = MySqlStore::new(&server.url()).unwrap();
        store.table_name("other `one.sessions").column_names("i d", "until`", "order")
    };
    create(&open(), "a", &record(TEXT, after(60_000))).await;
    let sql = "SELECT `order` FROM `other ``one`.sessions WHERE `i d` = 'a' AND `until``` > 0";
    assert_eq!(client.query_first(sql).await.unwrap(), Some(TEXT.to_owned()));
    assert_eq!(open().list(None, 10, NOW).await.unwrap().sessions.len(), 1);
    assert_eq!(open().purge(10, after(60_000)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_who_may_not_create_tables_can_use_one() {
    let Some(server) = Db::shared() else { return };
    let mut client = Db::client(&server.url()).await;
    // In `test` everybody may do everything.
    client.query_drop("CREATE DATABASE guarded").await.unwrap();
    let url = server.url().replace("/test", "/guarded");
    load(&MySqlStore::new(&url).unwrap(), "a", NOW).await;
    for sql in [
        "CREATE USER visitor@'127.0.0.1' IDENTIFIED BY 'hunter2'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON guarded.sessions TO visitor@'127.0.0.1'",
    ] {
        client.query_drop(sql).await.unwrap();
    }
    let url = url.replace("//root@", "//visitor:hunter2@");
    let visitor = MySqlStore::new(&url).unwrap();
    create(&visitor, "a", &record(TEXT, None)).await;
    let told =
        shown(visitor.table_name("nothing").load(&id("secret"), NOW).await, ErrorKind::Refused);
    assert!(!told.contains("secret") && !told.contains("hunter2"), "{told}");
    let url = url.replace("hunter2", "hunter3");
    let told = shown(MySqlStore::new(&url).unwrap().load(&id("a"), NOW).await, ErrorKind::Refused);
    assert!(told.contains("1045") && !told.contains("hunter3"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreated_table_is_used_without_reconnecting() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let mut client = Db::client(&server.url()).await;
    for data in ["longtext", "mediumblob", "text"] {
        create(&store, "a", &record(TEXT, None)).await;
        assert!(load(&store, "a", NOW).await.is_some());
        for sql in [
            format!("DROP TABLE {table}"),
            format!(
                "CREATE TABLE {table} (more int, session_id varchar(128) PRIMARY KEY, \
                 data {data}, expires bigint)"
            ),
        ] {
            client.query_drop(sql).await.unwrap();
        }
    }
    create(&store, "a", &record(TEXT, None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_from_end_to_end_with_any_first_character_of_ids() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    let mut names = ["\u{1}", "\t", "\n\n", "!", "a", "a\t", "a\u{1}", "é", "🦀"];
    for name in names {
        create(&store, name, &record(TEXT, None)).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(after, 2, NOW).await.unwrap();
        seen.extend(page.sessions.iter().map(|(id, _)| id.as_str().to_owned()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort();
    names.sort();
    assert_eq!(seen, names);
}

#[test]
fn nothing_secret_is_shown() {
    let store = MySqlStore::new("mysql://web:hunter2@db.example/shop").unwrap();
    assert_eq!(
        format!("{store:?}"),
        "MySqlStore { table: `sessions`, create_database_table: true, expiration: 86400s, \
         clear_expired: true, check_expiration_interval: 900s, disable_touch: false, timeout: 5s, max_waiting: 4096, \
         connection_limit: Some(10) }",
    );
    for url in ["mysql://web:hunter2@h:hunter2/", "hunter2", "mysql://h/d?hunter2=hunter2"] {
        let told = shown(MySqlStore::new(url), ErrorKind::Other);
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
#[cfg(not(feature = "tls"))]
fn encryption_that_is_not_built_in_is_never_left_out_silently() {
    let url = "mysql://localhost/shop?require_ssl=true";
    let told = shown(MySqlStore::new(url), ErrorKind::Other);
    assert!(told.contains("`tls`"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_explicitly_shows_what_is_wrong() {
    let Some(server) = Db::shared() else { return };
    MySqlStore::connect(&server.url()).await.unwrap();
    let nobody = server.url().replace("//root@", "//nobody:hunter2@");
    let told = shown(MySqlStore::connect(&nobody).await, ErrorKind::Refused);
    assert!(told.contains("1045") && !told.contains("hunter2"), "{told}");
    shown(MySqlStore::connect("mysql://root@127.0.0.1:1/").await, ErrorKind::Unavailable);
}
