//! The table is express-mysql-session's, as its version 3.0.3 makes, writes and reads it.

use express_session::Timestamp;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::{
    Admin as _, Created, ErrorKind, Revision, Store as _, Touched, Updated,
};

use super::support::{
    Db, NOW, TEXT, after, create, fresh, id, load, record, shown, store, text, touch,
};
use crate::sql::{A, B, Database as _};

/// The statements of `set` and `touch` of express-mysql-session.
const SET: &str = "INSERT INTO `sessions` (`session_id`, `expires`, `data`) VALUES (?, ?, ?) \
     ON DUPLICATE KEY UPDATE `expires` = VALUES(`expires`), `data` = VALUES(`data`)";
const TOUCH: &str = "UPDATE `sessions` SET `expires` = ? WHERE `session_id` = ?";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_and_rows_are_those_of_express_mysql_session() {
    let Some(server) = Db::own() else { return };
    let store = express_session::store::mysql::MySqlStore::new(&server.url()).unwrap();
    let now = Timestamp::parse("2026-11-23T16:08:15.560Z").unwrap();
    let (a, b) = (id(&"A".repeat(32)), id(&"B".repeat(32)));
    let hour = Timestamp::parse("2026-11-23T17:08:15.560Z");
    assert!(matches!(store.create(&a, &record(A, hour), now).await, Ok(Created::Done(_))));
    assert!(matches!(store.create(&b, &record(B, None), now).await, Ok(Created::Done(_))));

    let mut node = Db::client(&server.url()).await;
    let rows: Vec<(String, u64, String)> =
        node.query("SELECT session_id, expires, data FROM sessions ORDER BY 1").await.unwrap();
    assert_eq!(
        rows,
        [
            ("A".repeat(32), 1_795_453_696, A.to_owned()),
            ("B".repeat(32), 1_795_536_496, B.to_owned()),
        ],
    );
    let ours: Option<(String, String)> =
        node.query_first("SHOW CREATE TABLE sessions").await.unwrap();
    node.query_drop("DROP TABLE sessions").await.unwrap();
    node.query_drop(
        "CREATE TABLE IF NOT EXISTS `sessions` (
          `session_id` varchar(128) COLLATE utf8mb4_bin NOT NULL,
          `expires` int(11) unsigned NOT NULL,
          `data` mediumtext COLLATE utf8mb4_bin,
          PRIMARY KEY (`session_id`)
        ) ENGINE=InnoDB",
    )
    .await
    .unwrap();
    let theirs: Option<(String, String)> =
        node.query_first("SHOW CREATE TABLE sessions").await.unwrap();
    assert!(theirs.is_some());
    assert_eq!(ours, theirs);

    node.exec_drop(SET, ("theirs", 1_700_000_060, B)).await.unwrap();
    let theirs = load(&store, "theirs", after(59_999)).await.unwrap();
    assert_eq!(&*theirs.record.text, B);
    assert_eq!(theirs.record.deadline, Some(after(60_000)));
    assert_eq!(theirs.revision, Revision::of_text(B));
    assert_eq!(load(&store, "theirs", after(60_000)).await, None);
    node.exec_drop(TOUCH, (1_700_000_090, "theirs")).await.unwrap();
    let touched = load(&store, "theirs", NOW).await.unwrap();
    assert_eq!(touched.record.deadline, Some(after(90_000)));
    let updated = store.update(&id("theirs"), &record(A, None), &theirs.revision, NOW).await;
    assert_eq!(updated.unwrap(), Updated::Done(Revision::of_text(A)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expires_is_the_second_nearest_to_the_deadline() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let mut client = Db::client(&server.url()).await;
    for (deadline, seconds) in [
        (NOW.millis() + 499, 1_700_000_000_u64),
        (NOW.millis() + 500, 1_700_000_001),
        (NOW.millis(), 1_700_000_000),
        (NOW.millis() - 500, 1_700_000_000),
        (NOW.millis() - 501, 1_699_999_999),
        (-1, 0),
        // Ids that the column cannot hold.
        (Timestamp::MAX.millis(), 4_294_967_295),
        (Timestamp::MIN.millis(), 0),
    ] {
        let name = fresh("id");
        create(&store, &name, &record(TEXT, Timestamp::from_millis(deadline))).await;
        let sql = format!("SELECT expires FROM {table} WHERE session_id = '{name}'");
        assert_eq!(client.query_first(sql).await.unwrap(), Some(seconds), "{deadline}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_what_is_there_is_done_and_not_a_conflict() {
    let Some(server) = Db::shared() else { return };
    for flag in ["true", "false"] {
        use express_session::store::mysql::mysql_async::{Opts, OptsBuilder, Pool};
        let opts = OptsBuilder::from_opts(Opts::from_url(&server.url()).unwrap());
        let pool = Pool::new(opts.client_found_rows(flag == "true"));
        let store = express_session::store::mysql::MySqlStore::with_pool(pool.clone());
        let store = store.table_name(fresh("sessions"));
        let same = record(TEXT, after(60_000));
        let revision = create(&store, "a", &same).await;
        assert_eq!(store.create(&id("a"), &same, NOW).await.unwrap(), Created::Taken, "{flag}");
        let updated = store.update(&id("a"), &same, &revision, NOW).await.unwrap();
        assert_eq!(updated, Updated::Done(revision.clone()), "{flag}");
        let other = Revision::new(1);
        let current = load(&store, "a", NOW).await.unwrap();
        let updated = store.update(&id("a"), &same, &other, NOW).await.unwrap();
        assert_eq!(updated, Updated::Conflict(current), "{flag}");
        let touched = store.touch(&id("a"), &touch(after(60_000)), NOW).await.unwrap();
        assert_eq!(touched, Touched::Done, "{flag}");
        // An expired record is taken over, also by its like.
        let later = after(60_000);
        let again = store.create(&id("a"), &record(TEXT, after(90_000)), later).await.unwrap();
        assert_eq!(again, Created::Done(revision), "{flag}");
        store.clear().await.unwrap();
        assert_eq!(store.count(NOW).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_the_collation_takes_for_the_same_are_never_mixed_up() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    let kept = record(TEXT, None);
    create(&store, "a", &kept).await;
    shown(store.create(&id("a "), &kept, NOW).await, ErrorKind::Unsuitable);
    assert_eq!(load(&store, "a ", NOW).await, None);
    store.destroy(&id("a ")).await.unwrap();
    assert_eq!(
        store.update(&id("a "), &kept, &Revision::of_text(TEXT), NOW).await.unwrap(),
        Updated::Gone,
    );
    assert_eq!(store.touch(&id("a "), &touch(None), NOW).await.unwrap(), Touched::Gone,);
    assert!(load(&store, "a", NOW).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_or_text_that_the_table_cannot_keep_is_unsuitable() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let kept = record(TEXT, None);
    create(&store, &"é".repeat(128), &kept).await;
    let secret = "secret".repeat(22);
    let told = shown(store.create(&id(&secret), &kept, NOW).await, ErrorKind::Unsuitable);
    assert!(!told.contains("secret"), "{told}");
    assert_eq!(load(&store, &secret, NOW).await, None);

    let large = record(&format!("\"{}\"", "x".repeat(1 << 24)), None);
    let told = shown(store.create(&id("a"), &large, NOW).await, ErrorKind::Unsuitable);
    assert!(!told.contains("xx"), "{told}");
    assert_eq!(load(&store, "a", NOW).await, None);

    // Nothing is cut off, though the server would do that by itself.
    let mut client = Db::client(&server.url()).await;
    client.query_drop("SET GLOBAL sql_mode = ''").await.unwrap();
    for column in ["varchar(20) CHARACTER SET utf8mb4", "mediumtext CHARACTER SET latin1"] {
        client.query_drop(format!("DELETE FROM {table}")).await.unwrap();
        client.query_drop(format!("ALTER TABLE {table} MODIFY data {column}")).await.unwrap();
        let other = express_session::store::mysql::MySqlStore::new(&server.url()).unwrap();
        let other = other.table_name(&table);
        let secret = record(r#"{"cookie":{},"secret":"secret 会话"}"#, None);
        let told = shown(other.create(&id("a"), &secret, NOW).await, ErrorKind::Unsuitable);
        assert!(!told.contains("secret"), "{told}");
        assert_eq!(load(&other, "a", NOW).await, None);
    }
    client.query_drop("SET GLOBAL sql_mode = DEFAULT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_larger_than_a_packet_is_kept_or_refused() {
    let Some(server) = Db::own() else { return };
    let mut client = Db::client(&server.url()).await;
    client.query_drop("SET GLOBAL max_allowed_packet = 1048576").await.unwrap();
    let (store, _) = store(&server).await;
    for (length, is_persisted) in [(1_000_000, true), (1_048_000, true), (1_048_576, false)] {
        let name = length.to_string();
        let large = record(&format!("\"{}\"", "x".repeat(length)), None);
        let created = store.create(&id(&name), &large, NOW).await;
        if is_persisted {
            assert!(matches!(created, Ok(Created::Done(_))));
            assert!(text(&store, &name, NOW).await == *large.text);
        } else {
            let told = shown(created, ErrorKind::Unsuitable);
            assert!(!told.contains("xx"), "{told}");
            assert_eq!(load(&store, &name, NOW).await, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_corrupt_and_stays() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let mut client = Db::client(&server.url()).await;
    for sql in [
        format!("ALTER TABLE {table} MODIFY data mediumblob"),
        format!("INSERT INTO {table} VALUES ('a', 4000000000, X'FFFE7B'), ('b', 4000000000, NULL)"),
    ] {
        client.query_drop(sql).await.unwrap();
    }
    for _ in 0..2 {
        for name in ["a", "b"] {
            shown(store.load(&id(name), NOW).await, ErrorKind::Corrupt);
            let next = record(TEXT, None);
            let update = store.update(&id(name), &next, &Revision::new(0), NOW).await;
            shown(update, ErrorKind::Corrupt);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_in_columns_of_another_character_set_stay_distinct() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let mut client = Db::client(&server.url()).await;
    let sql = format!("ALTER TABLE {table} MODIFY data mediumtext CHARACTER SET latin1");
    client.query_drop(sql).await.unwrap();
    let revision = create(&store, "a", &record("\"é\"", None)).await;
    assert_eq!(text(&store, "a", NOW).await, "\"é\"");
    let updated = store.update(&id("a"), &record("\"è\"", None), &revision, NOW).await.unwrap();
    assert_eq!(updated, Updated::Done(Revision::of_text("\"è\"")));
}
