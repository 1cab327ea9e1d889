//! Encrypted connections.

use std::path::Path;
use std::sync::LazyLock;

use express_session::store::redis::RedisStore;
use express_session::store::{Error, ErrorKind, Store as _};
use express_session::{connect, store::ConnectErrorKind};
use express_session_testkit::servers::{self, Redis};
use redis::{ClientTlsConfig, TlsCertificates};

use super::support::{create, id, now};

static SERVER: LazyLock<Option<Redis>> = LazyLock::new(servers::redis_tls);

fn pem(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn authority(path: impl AsRef<Path>) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(pem(path)) }
}

async fn visit(store: &RedisStore) {
    store.destroy(&id("a")).await.unwrap();
    create(store, "a", "1").await;
    assert!(store.load(&id("a"), now()).await.unwrap().is_some());
}

fn told(result: Result<RedisStore, Error>, kind: ErrorKind) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn connection_is_encrypted_as_the_url_of_a_host_asks() {
    let Some(server) = SERVER.as_ref() else { return };
    let (url, ca) = (server.url(), server.ca_path().display().to_string());
    for url in [
        // Heroku's certificate is signed by itself, and its documentation says to accept it.
        format!("{url}?ssl_cert_reqs=none"),
        format!("{url}/0#insecure"),
        format!("{url}?ssl_cert_reqs=required&ssl_ca_certs={ca}"),
        format!("{url}?ssl_ca_certs={ca}&family=0&allowUsernameInURI=true&db=0"),
        format!("{}?ssl_ca_certs={ca}", url.replace("rediss:", "valkeys:")),
        format!("{}?ssl_ca_certs={ca}", url.replace("rediss:", "redis+tls:")),
        format!("{}?ssl_ca_certs={ca}", url.replace("127.0.0.1", "localhost")),
    ] {
        visit(&RedisStore::connect(&url).await.unwrap().prefix(&*format!("tls:{url}:"))).await;
        connect(&url).await.unwrap();
    }
}

#[tokio::test]
async fn private_authority_is_trusted_and_no_other() {
    let Some(server) = SERVER.as_ref() else { return };
    let store = RedisStore::new_with_tls(server.url(), authority(server.ca_path())).unwrap();
    visit(&store.prefix("authority:")).await;

    // The public authorities did not sign it, and this one neither.
    let [certificate, key] = server.certificate_paths();
    let of_another = RedisStore::new_with_tls(server.url(), authority(&certificate)).unwrap();
    for store in [RedisStore::new(server.url()).unwrap(), of_another] {
        let error = store.ping().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        let told = error.to_string();
        assert!(told.contains("ssl_ca_certs or ca") && told.contains("ssl_cert_reqs"), "{told}");
    }
    let no_certificate = RedisStore::new_with_tls(server.url(), authority(&key));
    assert!(told(no_certificate, ErrorKind::Other).contains("ssl_ca_certs"));
    let missing = format!("{}?ssl_ca_certs=/nowhere/hunter2.pem", server.url());
    let told = told(RedisStore::new(&missing), ErrorKind::Other);
    assert!(told.contains("ssl_ca_certs") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn certificates_are_never_left_aside_for_plain_text() {
    let Some(server) = SERVER.as_ref() else { return };
    for url in ["redis://127.0.0.1", "redis+cluster://127.0.0.1", "redis+sentinel://a/m"] {
        let plain = RedisStore::new_with_tls(url, authority(server.ca_path()));
        assert!(told(plain, ErrorKind::Other).contains("rediss://"));
    }
    let error = connect("redis://127.0.0.1?tls=true").await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::UnknownOption);
    assert!(error.to_string().contains("rediss://"), "{error}");
}

#[tokio::test]
async fn client_certificate_is_presented() {
    let Some(server) = servers::redis_tls() else { return };
    let (ca, [certificate, key]) = (server.ca_path(), server.certificate_paths());
    let plain = RedisStore::new_with_tls(server.url(), authority(&ca)).unwrap();
    plain.ping().await.unwrap();
    {
        let client = redis::Client::build_with_tls(server.url(), authority(&ca)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("tls-auth-clients").arg("yes");
        set.exec_async(&mut connection).await.unwrap();
    }
    let client = ClientTlsConfig { client_cert: pem(&certificate), client_key: pem(&key) };
    let both = TlsCertificates { client_tls: Some(client), root_cert: Some(pem(&ca)) };
    visit(&RedisStore::new_with_tls(server.url(), both).unwrap()).await;
    let parameters = format!(
        "ssl_ca_certs={}&ssl_certfile={}&ssl_keyfile={}",
        ca.display(),
        certificate.display(),
        key.display(),
    );
    visit(&RedisStore::connect(&format!("{}?{parameters}", server.url())).await.unwrap()).await;

    let without = RedisStore::new_with_tls(server.url(), authority(&ca)).unwrap();
    let error = without.ping().await.unwrap_err();
    let told = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert!(told.contains("ssl_certfile"), "{told}");
    let alone = format!("{}?ssl_certfile={}", server.url(), certificate.display());
    assert!(self::told(RedisStore::new(&alone), ErrorKind::Other).contains("need each other"));
}
