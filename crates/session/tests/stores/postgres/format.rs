//! The table is connect-pg-simple's, as its version 10.0.0 makes, writes and reads it.

use express_session::Timestamp;
use express_session::store::postgres::PostgresStore;
use express_session::store::{Created, ErrorKind, Revision, Store as _, Updated};

use super::support::{
    Db, NOW, TEXT, after, create, fresh, id, load, record, shown, store, store_at, text,
};
use crate::sql::{A, B, Database as _};

/// The statements of `set`, `get` and `touch` of connect-pg-simple.
const SET: &str = "INSERT INTO \"session\" (sess, expire, sid) SELECT $1::text::json, to_timestamp($2), $3 \
     ON CONFLICT (sid) DO UPDATE SET sess=$1::text::json, expire=to_timestamp($2) RETURNING sid";
const GET: &str =
    "SELECT sess::text FROM \"session\" WHERE sid = $1 AND expire >= to_timestamp($2)";
const TOUCH: &str = "UPDATE \"session\" SET expire = to_timestamp($1) WHERE sid = $2 RETURNING sid";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_and_rows_are_those_of_connect_pg_simple() {
    let Some(server) = Db::own() else { return };
    let store = PostgresStore::new(&server.url()).unwrap().create_table_if_missing(true);
    let now = Timestamp::parse("2026-11-23T16:08:15.560Z").unwrap();
    let (a, b) = (id(&"A".repeat(32)), id(&"B".repeat(32)));
    let hour = Timestamp::parse("2026-11-23T17:08:15.560Z");
    assert!(matches!(store.create(&a, &record(A, hour), now).await, Ok(Created::Done(_))));
    assert!(matches!(store.create(&b, &record(B, None), now).await, Ok(Created::Done(_))));

    let client = Db::client(&server.url()).await;
    let rows = client
        .query("SELECT sid, sess::text, expire::text FROM session ORDER BY sid", &[])
        .await
        .unwrap();
    let rows: Vec<[String; 3]> =
        rows.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect();
    let [first, second] = rows.try_into().unwrap();
    assert_eq!(first, ["A".repeat(32), A.to_owned(), "2026-11-23 17:08:16".to_owned()]);
    assert_eq!(second, ["B".repeat(32), B.to_owned(), "2026-11-24 16:08:16".to_owned()]);

    let columns = client
        .query(
            "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, collname::text \
             FROM pg_attribute LEFT JOIN pg_collation c ON c.oid = attcollation \
             WHERE attrelid = 'session'::regclass AND attnum > 0 ORDER BY attnum",
            &[],
        )
        .await
        .unwrap();
    let columns: Vec<(String, String, bool, Option<String>)> =
        columns.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let column = |name: &str, kind: &str, collation: Option<&str>| {
        (name.to_owned(), kind.to_owned(), true, collation.map(str::to_owned))
    };
    assert_eq!(
        columns,
        [
            column("sid", "character varying", Some("default")),
            column("sess", "json", None),
            column("expire", "timestamp(6) without time zone", None),
        ],
    );
    let indexes = client
        .query("SELECT indexdef FROM pg_indexes WHERE tablename = 'session' ORDER BY 1", &[])
        .await
        .unwrap();
    let indexes: Vec<String> = indexes.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        indexes,
        [
            "CREATE INDEX \"IDX_session_expire\" ON public.session USING btree (expire)",
            "CREATE UNIQUE INDEX session_pkey ON public.session USING btree (sid)",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_reads_what_the_other_wrote_in_any_time_zone() {
    let Some(server) = Db::own() else { return };
    // New York is behind, Kathmandu 5 h 45 min ahead.
    for (zone, local) in [
        ("UTC", "2023-11-14 22:13:21"),
        ("America/New_York", "2023-11-14 17:13:21"),
        ("Asia/Kathmandu", "2023-11-15 03:58:21"),
    ] {
        let url = format!("{}?options=-c%20TimeZone%3D{zone}", server.url());
        let store = PostgresStore::new(&url).unwrap().create_table_if_missing(true);
        let node = Db::client(&url).await;
        let end = after(500);
        create(&store, "ours", &record(TEXT, end)).await;
        let row = node.query_one("SELECT expire::text FROM session", &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), local);

        let seconds = |millis: i64| (NOW.millis() + millis).div_euclid(1000) as f64;
        let ours = node.query_one(GET, &[&"ours", &seconds(1000)]).await.unwrap();
        assert_eq!(ours.get::<_, String>(0), TEXT);
        assert!(node.query(GET, &[&"ours", &seconds(2000)]).await.unwrap().is_empty());

        node.query(SET, &[&B, &seconds(60_000), &"theirs"]).await.unwrap();
        let theirs = load(&store, "theirs", after(59_999)).await.unwrap();
        assert_eq!(&*theirs.record.text, B);
        assert_eq!(theirs.record.deadline, Some(after(60_000)), "{zone}");
        assert_eq!(theirs.revision, Revision::of_text(B));
        assert_eq!(load(&store, "theirs", after(60_000)).await, None);

        node.query(TOUCH, &[&seconds(90_000), &"theirs"]).await.unwrap();
        let touched = load(&store, "theirs", NOW).await.unwrap();
        assert_eq!(touched.record.deadline, Some(after(90_000)));
        let updated = store.update(&id("theirs"), &record(TEXT, end), &theirs.revision, NOW).await;
        assert_eq!(updated.unwrap(), Updated::Done(Revision::of_text(TEXT)));
        node.execute("DROP TABLE session", &[]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expire_is_the_whole_second_after_the_deadline() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let client = Db::client(&server.url()).await;
    for (deadline, seconds) in [
        (NOW.millis() + 1, 1_700_000_001.0),
        (NOW.millis(), 1_700_000_000.0),
        (NOW.millis() - 1, 1_700_000_000.0),
        (-1, 0.0),
        // The last second that JavaScript knows, and one that PostgreSQL does not.
        (Timestamp::MAX.millis(), 8_640_000_000_000.0),
        (Timestamp::MIN.millis(), -62_135_596_800.0),
    ] {
        let name = fresh("id");
        create(&store, &name, &record(TEXT, Timestamp::from_millis(deadline))).await;
        let sql =
            format!("SELECT extract(epoch from expire)::float8 FROM {table} WHERE sid = '{name}'");
        let row = client.query_one(&sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, f64>(0), seconds, "{deadline}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_no_json_is_refused_and_stays_secret() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    let revision = create(&store, "there", &record(TEXT, None)).await;
    for secret in ["secret", "{\"cookie\":{},\"a\":secret}", "[\"secret\u{1}\"]", "\0secret"] {
        let wrong = record(secret, None);
        for result in [
            store.create(&id("new"), &wrong, NOW).await.map(drop),
            store.update(&id("there"), &wrong, &revision, NOW).await.map(drop),
        ] {
            let shown = shown(result, ErrorKind::Unsuitable);
            assert!(!shown.contains("secret"), "{shown}");
        }
        assert_eq!(load(&store, "new", NOW).await, None);
        assert_eq!(text(&store, "there", NOW).await, TEXT);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_escape_and_every_order_is_kept_in_json() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    for (number, kept) in [
        "{\"b\":1, \"a\" : 1.0 ,\"10\":1e400,\"b\":2,\"cookie\":{}}",
        r#"{"cookie":{},"a":"\u0000 \ud800 \u00e9 \/"}"#,
        "{\"cookie\":{},\"a\":\"é 会话 🦀 \u{2028}\"}",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("id-{number}");
        let revision = create(&store, &name, &record(kept, None)).await;
        assert_eq!(text(&store, &name, NOW).await, kept);
        assert_eq!(revision, Revision::of_text(kept));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_other_types_work_as_well() {
    let Some(server) = Db::shared() else { return };
    let client = Db::client(&server.url()).await;
    const UUID: &str = "123e4567-e89b-12d3-a456-426614174000";
    for (sid, sess, expire, name) in [
        ("varchar(100)", "jsonb", "timestamp(6)", "a"),
        ("text", "text", "timestamptz", "a"),
        ("varchar(36)", "json", "timestamptz(3)", UUID),
        ("uuid", "json", "timestamp(6)", UUID),
        ("char(36)", "jsonb", "timestamptz", UUID),
    ] {
        let table = fresh("session");
        let sql = format!(
            "CREATE TABLE {table} (sid {sid} PRIMARY KEY, sess {sess} NOT NULL, \
             expire {expire} NOT NULL)"
        );
        client.batch_execute(&sql).await.unwrap();
        let store = PostgresStore::new(&server.url()).unwrap().table_name(&table);
        let given = r#"{"views": 1,"cookie":{"originalMaxAge":60000}}"#;
        let kept = match sess {
            "jsonb" => r#"{"views": 1, "cookie": {"originalMaxAge": 60000}}"#,
            _ => given,
        };
        let revision = create(&store, name, &record(given, after(1000))).await;
        let loaded = load(&store, name, NOW).await.unwrap();
        assert_eq!((&*loaded.record.text, loaded.revision), (kept, revision.clone()), "{sess}");
        assert_eq!(loaded.record.deadline, Some(after(1000)));

        store.touch(&id(name), &crate::sql::touch(after(60_000)), NOW).await.unwrap();
        let touched = load(&store, name, NOW).await.unwrap();
        assert_eq!(touched.record.deadline, Some(after(60_000)), "{sess} {expire}");

        let next = record(r#"{"views": 2,"cookie":{}}"#, after(1000));
        let updated = store.update(&id(name), &next, &revision, NOW).await.unwrap();
        let current = load(&store, name, NOW).await.unwrap();
        assert_eq!(updated, Updated::Done(current.revision.clone()));
        let conflict = store.update(&id(name), &next, &revision, NOW).await.unwrap();
        assert_eq!(conflict, Updated::Conflict(current));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_or_text_that_the_table_cannot_keep_is_unsuitable() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let kept = record(TEXT, None);
    // Of random characters, for the index compresses what it can.
    let mut state = 1_u64;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 33) as u8 % 90)
    });
    let long: String = random.take(8000).collect();
    for refused in [long.as_str(), "secret\0"] {
        let shown = shown(store.create(&id(refused), &kept, NOW).await, ErrorKind::Unsuitable);
        assert!(!shown.contains(refused) && !shown.contains("secret"), "{shown}");
        assert_eq!(load(&store, refused, NOW).await, None);
        store.destroy(&id(refused)).await.unwrap();
    }
    let client = Db::client(&server.url()).await;
    client.batch_execute(&format!("ALTER TABLE {table} ALTER sid TYPE varchar(5)")).await.unwrap();
    let shown = shown(store.create(&id("secret"), &kept, NOW).await, ErrorKind::Unsuitable);
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_corrupt_and_stays() {
    let Some(server) = Db::shared() else { return };
    let name = fresh("raw");
    let owner = Db::client(&server.url()).await;
    let sql = format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0");
    owner.batch_execute(&sql).await.unwrap();
    let url = server.url().replace("/postgres", &format!("/{name}"));
    let url = url.replace(&format!("//{name}@"), "//postgres@");
    let (store, table) = store_at(&url).await;
    let client = Db::client(&url).await;
    let sql = format!(
        "INSERT INTO {table} VALUES ('a', E'{{\"cookie\":{{}},\"a\":\"\\xff\"}}', '9999-01-01')"
    );
    client.batch_execute(&sql).await.unwrap();
    for _ in 0..2 {
        shown(store.load(&id("a"), NOW).await, ErrorKind::Corrupt);
    }
}
