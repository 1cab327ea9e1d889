//! Logins that may use only a part of the commands.

use express_session::store::redis::RedisStore;
use express_session::store::{Error, ErrorKind, Revision, Store as _, Touch, Touched, Updated};
use express_session_core::SessionId;
use express_session_testkit::servers::{self, Redis};
use express_session_testkit::{Clock, Subject, Task, laws};

use super::support::{HOUR, ONE, create, id, now, plain, record};
use crate::{on_tokio, spawned};

/// Enough for connect-redis.
const SIX: &str = "-@all +get +set +del +expire +scan +mget";
async fn order(server: &Redis, words: &str) {
    let mut command = redis::Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command.exec_async(&mut plain(server.url()).await).await.unwrap();
}

/// Creates a login with these commands, and returns the URL.
async fn login(server: &Redis, name: &str, commands: &str) -> String {
    order(server, &format!("ACL SETUSER {name} on >pw ~sess:* {commands}")).await;
    format!("redis://{name}:pw@127.0.0.1:{}", server.port())
}

#[tokio::test]
async fn login_with_transactions_and_without_scripts_changes_sessions() {
    let Some(server) = servers::redis() else { return };
    let url = login(&server, "shop", &format!("{SIX} +watch +multi +exec")).await;
    let store = RedisStore::connect(&url).await.unwrap();
    let revision = create(&store, "a", "1").await;
    let Updated::Done(second) =
        store.update(&id("a"), &record("2"), &revision, now()).await.unwrap()
    else {
        panic!("not updated")
    };
    // The revision is that of another text now.
    let Updated::Conflict(current) =
        store.update(&id("a"), &record("3"), &revision, now()).await.unwrap()
    else {
        panic!("no conflict")
    };
    assert_eq!((&*current.record.text, current.revision), ("2", second.clone()));
    let touch = Touch::new("{}", Some(now().saturating_add(HOUR)));
    assert_eq!(store.touch(&id("a"), &touch, now()).await.unwrap(), Touched::Done);
    store.destroy(&id("a")).await.unwrap();
    let updated = store.update(&id("a"), &record("4"), &second, now()).await.unwrap();
    assert_eq!(updated, Updated::Gone);

    let told = store.lock(&id("a"), ONE, HOUR, now()).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Refused);
    assert!(told.to_string().contains("+evalsha"), "{told}");
}

/// Valkey compares by `SET … IFEQ`, for which the login needs nothing more.
#[test]
fn login_of_six_commands_changes_sessions_at_valkey() {
    let Some(server) = servers::valkey() else { return };
    on_tokio(async {
        let url = login(&server, "six", SIX).await;
        RedisStore::connect(&url).await.unwrap();
        updates_obey_the_laws(url).await;
    });
}

#[test]
fn login_of_six_commands_is_refused_by_redis_when_it_connects() {
    let Some(server) = servers::redis() else { return };
    on_tokio(async {
        let url = login(&server, "six", SIX).await;
        let error = RedisStore::connect(&url).await.unwrap_err();
        error_lists_the_commands(&url, &error).await;
    });
}

async fn error_lists_the_commands(url: &str, error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Refused);
    let told = error.to_string();
    for word in ["evalsha", "eval", "watch", "multi", "exec", "IFEQ"] {
        assert!(told.contains(word), "{told}");
    }
    // Without the check, the second save says the same.
    let store = RedisStore::new(url).unwrap();
    let revision = create(&store, "a", "1").await;
    let error = store.update(&id("a"), &record("2"), &revision, now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("+watch +multi +exec"), "{error}");
}

#[tokio::test]
async fn missing_commands_are_listed() {
    let Some(server) = servers::redis() else { return };
    // A script asks for the deadline too.
    let url = login(&server, "script", &format!("{SIX} +evalsha +eval")).await;
    let error = RedisStore::connect(&url).await.unwrap_err();
    assert!(error.to_string().contains("lacks the commands PTTL"), "{error}");

    let url = login(&server, "reader", "-@all +get").await;
    let error = RedisStore::connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("lacks the commands SET, EXPIRE, DEL"), "{error}");
}

#[tokio::test]
async fn rights_that_change_while_the_store_is_used_are_followed() {
    let Some(server) = servers::redis() else { return };
    let url = login(&server, "changing", "+@all").await;
    let store = RedisStore::connect(&url).await.unwrap();
    let mut revision = create(&store, "a", "0").await;
    let change = async |revision: Revision, text: &str| match store
        .update(&id("a"), &record(text), &revision, now())
        .await
    {
        Ok(Updated::Done(revision)) => revision,
        other => panic!("{other:?}"),
    };
    for (rights, text) in
        [("+@all", "1"), ("-evalsha -eval", "2"), ("+evalsha", "3"), ("+eval", "4")]
    {
        order(&server, &format!("ACL SETUSER changing {rights}")).await;
        order(&server, "SCRIPT FLUSH").await;
        revision = change(revision, text).await;
        assert!(store.load(&id("a"), now()).await.unwrap().is_some(), "{rights}");
    }
}

#[tokio::test]
async fn transaction_whose_call_was_abandoned_guards_no_other() {
    let Some(server) = servers::redis() else { return };
    let url = login(&server, "shop", &format!("{SIX} +watch +multi +exec")).await;
    let store = RedisStore::connect(&url).await.unwrap();
    let revision = create(&store, "a", "1").await;
    let other = create(&store, "b", "1").await;
    for _ in 0..20 {
        let (abandoned, revision) = (store.clone(), revision.clone());
        let call = tokio::spawn(async move {
            abandoned.update(&id("a"), &record("1"), &revision, now()).await
        });
        tokio::task::yield_now().await;
        call.abort();
    }
    let updated = store.update(&id("b"), &record("2"), &other, now()).await.unwrap();
    assert!(matches!(updated, Updated::Done(_)));
    let updated = store.update(&id("b"), &record("3"), &Revision::new(0), now()).await.unwrap();
    assert!(matches!(updated, Updated::Conflict(_)));
}

/// The store of a login.
struct Limited(String);

impl Subject for Limited {
    type Store = RedisStore;

    async fn store(&self) -> RedisStore {
        RedisStore::connect(&self.0).await.unwrap()
    }

    fn clock(&self) -> Clock {
        Clock::Server
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }

    async fn plant(&self, _store: &RedisStore, _id: &SessionId, _garbage: &[u8]) -> bool {
        false
    }
}

#[test]
fn transactions_obey_the_laws_of_an_update() {
    let Some(server) = servers::redis() else { return };
    on_tokio(async {
        let url = login(&server, "shop", &format!("{SIX} +watch +multi +exec")).await;
        updates_obey_the_laws(url).await;
    });
}

async fn updates_obey_the_laws(url: String) {
    let subject = Limited(url);
    laws::concurrent_updates_lose_nothing(&subject).await;
    laws::destroyed_record_stays_gone(&subject).await;
    laws::abandoned_call_happened_or_did_not(&subject).await;
    laws::create_refuses_an_id_that_is_in_use(&subject).await;
}

#[tokio::test]
async fn login_without_the_servers_time_believes_the_callers() {
    let Some(server) = servers::redis() else { return };
    let ahead = now().saturating_add(HOUR);
    for (name, commands, is_told) in [("with", "+time", true), ("without", "", false)] {
        let url = login(&server, name, &format!("{SIX} +watch +multi +exec {commands}")).await;
        let store = RedisStore::connect(&url).await.unwrap();
        let time = store.time(ahead).await.unwrap();
        assert_eq!(time < ahead, is_told, "{name} {time:?}");
    }
}
