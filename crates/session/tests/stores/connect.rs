//! Every store of this crate opens by its URL, with its options.

use std::time::{Duration, SystemTime};

#[allow(unused_imports, reason = "each store uses a part of it")]
use express_session::store::{AnyStore, ConnectErrorKind, Created, Record, Store as _};
use express_session::{SessionId, Timestamp, connect};

/// The time, as the servers have it.
#[expect(clippy::disallowed_methods, reason = "a server has a clock of its own")]
fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Saves a session that has no expiry of its own, and sees that the option `ttl=90s` gave it one.
async fn save_and_load(store: AnyStore) {
    let id = SessionId::new("by-url").unwrap();
    let record = Record { text: r#"{"cookie":{},"n":1}"#.into(), deadline: None };
    store.destroy(&id).await.unwrap();
    let before = now();
    assert!(matches!(store.create(&id, &record, before).await.unwrap(), Created::Done(_)));
    let loaded = store.load(&id, now()).await.unwrap().unwrap().record;
    assert_eq!(loaded.text, record.text);
    if let Some(deadline) = loaded.deadline {
        let left = deadline.saturating_since(before);
        let expected = Duration::from_secs(85)..=Duration::from_secs(95);
        assert!(expected.contains(&left), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    save_and_load(connect("memory://?ttl=90s&max_sessions=10").await.unwrap()).await;
}

#[cfg(any(feature = "sqlite", feature = "file"))]
mod local_disk {
    use super::*;
    use crate::local::Folder;

    #[cfg(feature = "sqlite")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        let parent = Folder::new();
        let folder = parent.path().join("made");
        let url = format!(
            "sqlite://{}/a%20b.db?ttl=90s&dialect=connect-session-knex&table=visits\
             &create_dir_if_not_exists=true&cleanup_interval=never&synchronous=full\
             &concurrent_db=true&busy_timeout=1s&timeout=2s&readers=1&create_table=true\
             &sid_field_name=sid&user_index=true",
            folder.display(),
        );
        save_and_load(connect(&url).await.unwrap()).await;
        assert!(folder.join("a b.db").is_file());
        let error = connect(&url.replace("=connect-session-knex", "=connect-sqlite3")).await;
        assert_eq!(error.unwrap_err().kind(), ConnectErrorKind::Store);
        let error = connect(&url.replace("knex", "nex")).await.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::InvalidOption);

        save_and_load(connect("sqlite://:memory:?ttl=90s").await.unwrap()).await;
    }

    #[cfg(feature = "file")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn file() {
        let parent = Folder::new();
        let folder = parent.path().join("made");
        let url = format!(
            "file://{}?ttl=90s&file_extension=.sess&reap_interval=never&fsync=false&mode=640\
             &timeout=2s",
            folder.display(),
        );
        save_and_load(connect(&url).await.unwrap()).await;
        assert!(folder.join("by-url.sess").is_file());
        let error = connect(&url.replace("=640", "=999")).await.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::InvalidOption);
    }
}

#[cfg(all(
    unix,
    any(feature = "redis", feature = "postgres", feature = "mysql", feature = "memcached"),
))]
mod servers {
    use express_session_testkit::servers;

    use super::*;

    #[cfg(feature = "redis")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis() {
        let Some(server) = servers::shared_redis() else { return };
        let url = format!(
            "{}?ttl=90s&prefix=by%20url:&disable_touch=false&disable_ttl=false\
             &scan_count=50&timeout=2s&protocol=2",
            server.url(),
        );
        save_and_load(connect(&url).await.unwrap()).await;
        save_and_load(connect(&format!("{}?ttl=90s&db=1", server.url())).await.unwrap()).await;
        let error = connect(&format!("{}?dbs=1", server.url())).await.unwrap_err();
        assert_eq!(error.to_string(), "redis:// has no option dbs");
        let error = connect(&format!("{}?keyPrefix=a", server.url())).await.unwrap_err();
        assert_eq!(error.to_string(), "redis:// has no option keyPrefix: use prefix");

        let with = |options: &str| format!("{}?{options}", server.url());
        let both = with("ttl=90s&user_index=true&replicas=0&replicas_timeout=250ms");
        save_and_load(connect(&both).await.unwrap()).await;
        for one in ["replicas=1", "replicas_timeout=250ms"] {
            let error = connect(&with(one)).await.unwrap_err();
            assert_eq!(error.kind(), ConnectErrorKind::InvalidOption);
            assert_eq!(error.to_string(), "replicas and replicas_timeout need each other");
        }
        // It has none, so that a change fails: the option reaches the store.
        let store = connect(&with("replicas=1&replicas_timeout=1ms")).await.unwrap();
        let error = store.destroy(&SessionId::new("nobody").unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), express_session::store::ErrorKind::TimedOut);
    }

    #[cfg(feature = "postgres")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        let Some(server) = servers::shared_postgres() else { return };
        let url = format!(
            "{}?ttl=90s&table=by_url&create_table_if_missing=true&user_index=true&disable_touch=false\
             &prune_session_interval=never&prune_session_randomized_interval=true\
             &timeout=2s&max_connections=2&application_name=by%20url",
            server.url(),
        );
        save_and_load(connect(&url).await.unwrap()).await;
        let error = connect(&format!("{}?tables=x", server.url())).await.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::UnknownOption);
    }

    #[cfg(feature = "mysql")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn mysql() {
        let Some(server) = servers::shared_mariadb() else { return };
        let url = format!(
            "{}?ttl=90s&table=by_url&create_database_table=true&clear_expired=false\
             &check_expiration_interval=1h&disable_touch=false&connection_limit=2\
             &timeout=2s&tcp_nodelay=true",
            server.url(),
        );
        save_and_load(connect(&url).await.unwrap()).await;
        let error = connect(&format!("{}?tables=x", server.url())).await.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::UnknownOption);
    }

    #[cfg(feature = "memcached")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memcached() {
        let Some(server) = servers::shared_memcached() else { return };
        let url = format!("{}?ttl=90s&prefix=by-url:&timeout=2s&max_connections=2", server.url(),);
        save_and_load(connect(&url).await.unwrap()).await;
    }
}
