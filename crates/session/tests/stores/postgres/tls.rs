//! Encrypted connections.

use std::process::Command;

use express_session::store::postgres::PostgresStore;
use express_session::store::{ErrorKind, Store as _};
use express_session_testkit::servers;

use super::support::{Db, NOW, TEXT, create, id, load, record, shown};
use crate::sql::Database as _;

/// Run by the server in its own folder.
const CERTIFY: &str = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
     -keyout authority.key -out authority.crt && \
     openssl req -new -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out request && \
     printf ''subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n'' > names && \
     openssl x509 -req -days 2 -in request -CA authority.crt -CAkey authority.key \
     -CAcreateserial -extfile names -out server.crt && chmod 600 server.key";

const GUARD: &str = "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF NOT (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) THEN \
     RAISE 'not encrypted'; END IF; RETURN NEW; END $$; \
     CREATE TRIGGER guard BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION guard()";

/// Whom to trust is said in the environment, so that the test goes on in a process of its own.
const URL: &str = "EXPRESS_SESSION_TEST_POSTGRES_URL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_is_encrypted_where_the_url_asks_for_it() {
    if let Ok(url) = std::env::var(URL) {
        let store = PostgresStore::connect(&url).await.unwrap();
        create(&store, "a", &record(TEXT, None)).await;
        assert!(load(&store, "a", NOW).await.is_some());
        // The certificate is for the address, and not for any name.
        let other = PostgresStore::new(&url.replace("127.0.0.1", "localhost")).unwrap();
        shown(other.load(&id("a"), NOW).await, ErrorKind::Refused);
        return;
    }
    if Command::new("openssl").arg("version").output().is_err() {
        return servers::left_out("TLS with PostgreSQL", "openssl is not installed");
    }
    let Some(server) = Db::own() else { return };
    let plain = PostgresStore::new(&server.url()).unwrap().create_table_if_missing(true);
    load(&plain, "a", NOW).await;
    let url = format!("{}?sslmode=require", server.url());
    // The server does not speak TLS yet.
    shown(PostgresStore::connect(&url).await, ErrorKind::Refused);

    let owner = Db::client(&server.url()).await;
    owner.batch_execute(&format!("COPY (SELECT 1) TO PROGRAM '{CERTIFY}'")).await.unwrap();
    owner.batch_execute(GUARD).await.unwrap();
    owner.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    let authority = owner.query_one("SELECT pg_read_file('authority.crt')", &[]).await.unwrap();
    let file = std::env::temp_dir().join(format!("authority-{}.crt", std::process::id()));
    std::fs::write(&file, authority.get::<_, String>(0)).unwrap();
    drop(owner);
    tokio::task::block_in_place(|| {
        server.kill();
        server.restart();
    });

    // This authority is not trusted yet.
    shown(PostgresStore::connect(&url).await, ErrorKind::Refused);
    // This URL does not ask for encryption.
    let unencrypted = plain.create(&id("b"), &record(TEXT, None), NOW).await;
    shown(unencrypted, ErrorKind::Other);
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::tls::connection_is_encrypted_where_the_url_asks_for_it"])
        .env(URL, &url)
        .env("SSL_CERT_FILE", &file)
        .status();
    std::fs::remove_file(&file).unwrap();
    assert!(status.unwrap().success());
    assert!(load(&plain, "a", NOW).await.is_some());
}
