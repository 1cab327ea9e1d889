//! A user never has more sessions than allowed, on any store that processes share, and the end of them is final, also for
//! a login under way.
//!
//! Each process is a layer over a store of its own: they share the server alone.

use std::time::{Duration, SystemTime};

use express_session::store::Store;
use express_session::{AtLimit, Cookie, EndedBy, SessionLayer};

use crate::support::{SECRET, Talk, visit, visit_with};

const LIMIT: usize = 2;
const LOGINS: usize = 12;
const EPOCH_USER: &str = "ann";

fn layer(store: impl Store, at_limit: AtLimit) -> SessionLayer {
    SessionLayer::new(SECRET)
        .store(store)
        .cookie(Cookie::new().max_age(Duration::from_secs(3600)))
        .store_timeout(Duration::from_secs(30))
        .lock_wait(Duration::from_secs(60))
        .max_sessions(LIMIT, at_limit)
}

/// Checks what holds for a user's sessions whichever process serves them.
pub(crate) async fn processes_agree_on_the_sessions(open: [impl Store + Clone; 4]) {
    let [one, two, ..] = &open;
    audit_m1_limits_by_a_clock_that_is_ahead_end_no_session([one.clone(), two.clone()]).await;
    login_under_way_ends_with_the_others([one.clone(), two.clone()]).await;
    processes_never_exceed_the_limit(open).await;
}

/// Loads sessions in a process whose clock is ahead, so that their limits have passed for it.
async fn audit_m1_limits_by_a_clock_that_is_ahead_end_no_session(stores: [impl Store; 2]) {
    let [hour, day] = [3600, 86_400].map(Duration::from_secs);
    let cookies = [Cookie::new(), Cookie::new().max_age(30 * day)];
    let [right, ahead] = stores.map(|store| SessionLayer::new(SECRET).store(store));
    let ahead = ahead.clock(move || SystemTime::now() + day);
    for cookie in cookies {
        for limited in [
            |layer: SessionLayer, hour| layer.idle_timeout(hour),
            |layer: SessionLayer, hour| layer.absolute_timeout(hour),
        ] {
            let [right, ahead] = [&right, &ahead].map(|layer| limited(layer.clone(), hour));
            let [right, ahead] = [right, ahead].map(|layer| layer.cookie(cookie.clone()));
            let pair = log_in(&right).await;
            let found = Talk::begin(&ahead, visit_with(&pair)).await;
            assert_eq!(found.session.user::<String>().unwrap(), None);
            assert!(found.session.reload().await.is_err());
            found.end().await;
            let found = Talk::begin(&right, visit_with(&pair)).await;
            assert_eq!(found.session.user::<String>().unwrap().as_deref(), Some(EPOCH_USER));
            found.session.destroy().await.unwrap();
            found.end().await;
        }
    }
}

/// Stores the session of a login after another process has ended those of the user.
async fn login_under_way_ends_with_the_others(stores: [impl Store; 2]) {
    let layers = stores.map(|store| SessionLayer::new(SECRET).store(store).user_epoch(true));
    let laptop = log_in(&layers[1]).await;
    let talk = Talk::begin(&layers[0], visit()).await;
    talk.session.login(EPOCH_USER).await.unwrap();
    assert_eq!(layers[1].end_sessions_of(EPOCH_USER).await.unwrap(), 1);
    let phone = talk.end().await.pair().to_owned();
    for pair in [phone, laptop] {
        let found = Talk::begin(&layers[1], visit_with(&pair)).await;
        assert_eq!(found.session.user::<String>().unwrap(), None);
        assert_eq!(found.session.ended_by(), Some(EndedBy::Revoked));
        found.end().await;
    }
    assert_eq!(layers[0].sessions_of(EPOCH_USER).await.unwrap(), []);
    let later = log_in(&layers[0]).await;
    let found = Talk::begin(&layers[1], visit_with(&later)).await;
    assert_eq!(found.session.user::<String>().unwrap().as_deref(), Some(EPOCH_USER));
    found.end().await;
}

async fn log_in(layer: &SessionLayer) -> String {
    let talk = Talk::begin(layer, visit()).await;
    talk.session.login(EPOCH_USER).await.unwrap();
    talk.end().await.pair().to_owned()
}

/// Lets two processes log one user in at the same time, and counts the sessions after each login.
async fn processes_never_exceed_the_limit(open: [impl Store; 4]) {
    let [one, two, three, four] = open;
    for (at_limit, stores, user) in [
        (AtLimit::Refuse, [one, two], "bob"),
        (AtLimit::EndLeastRecentlyUsed, [three, four], "eve"),
    ] {
        let layers = stores.map(|store| layer(store, at_limit));
        let logins = (0..LOGINS).map(|number| {
            let layer = layers[number % layers.len()].clone();
            tokio::spawn(async move {
                let talk = Talk::begin(&layer, visit()).await;
                let login = talk.session.login(user).await;
                let count = layer.sessions_of(user).await.unwrap().len();
                assert!((1..=LIMIT).contains(&count), "{count} sessions");
                let answer = talk.end().await;
                login.is_ok().then(|| answer.pair().to_owned())
            })
        });
        let logins: Vec<_> = logins.collect();
        let mut pairs = Vec::new();
        for login in logins {
            pairs.extend(login.await.unwrap());
        }
        assert_eq!(pairs.len(), if at_limit == AtLimit::Refuse { LIMIT } else { LOGINS });

        // A process ends what the other has begun, and a request under way brings nothing back.
        let mut talks = Vec::new();
        for pair in &pairs {
            let talk = Talk::begin(&layers[1], visit_with(pair)).await;
            if talk.session.user::<String>().unwrap().is_some() {
                talks.push(talk);
            }
        }
        assert_eq!(talks.len(), LIMIT);
        assert_eq!(layers[0].end_sessions_of(user).await.unwrap(), LIMIT as u64);
        for talk in talks {
            talk.session.insert("views", 1).unwrap();
            talk.session.save().await.unwrap_err();
            talk.end().await;
        }
        assert_eq!(layers[1].sessions_of(user).await.unwrap(), []);

        let talk = Talk::begin(&layers[0], visit()).await;
        talk.session.login(user).await.unwrap();
        talk.end().await;
        assert_eq!(layers[1].sessions_of(user).await.unwrap().len(), 1, "a login after the end");
    }
}

#[cfg(feature = "redis")]
#[test]
fn processes_on_redis_agree_on_the_sessions() {
    use express_session::store::redis::RedisStore;
    use express_session_testkit::servers;

    let Some(server) = servers::shared_redis() else { return };
    crate::on_tokio(async {
        for (prefix, index) in [("users:", false), ("indexed-users:", true)] {
            let open = async || {
                let store = RedisStore::connect(server.url()).await.unwrap();
                store.prefix(prefix).user_index(index)
            };
            let stores = [open().await, open().await, open().await, open().await];
            processes_agree_on_the_sessions(stores).await;
        }
    });
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) async fn processes_on_sql_agree_on_the_sessions<D: crate::sql::Database>() {
    let Some(server) = D::shared() else { return };
    let (url, table) = (D::url(server), crate::sql::fresh("users"));
    let open = || D::timeout(D::open(&url, &table), Duration::from_secs(30));
    processes_agree_on_the_sessions([open(), open(), open(), open()]).await;
}

#[cfg(feature = "sqlite")]
#[test]
fn processes_on_sqlite_agree_on_the_sessions() {
    use express_session::store::sqlite::SqliteStore;
    use express_session_testkit::TemporaryFolder;

    crate::on_tokio(async {
        let folder = TemporaryFolder::new("users-sqlite").unwrap();
        let path = folder.path().join("users.sqlite");
        for (table, index) in [("users", false), ("indexed", true)] {
            let open = || SqliteStore::new(&path).table(table).user_index(index);
            processes_agree_on_the_sessions([open(), open(), open(), open()]).await;
        }
    });
}

#[cfg(feature = "file")]
#[test]
fn processes_on_files_agree_on_the_sessions() {
    use express_session::store::file::FileStore;
    use express_session_testkit::TemporaryFolder;

    crate::on_tokio(async {
        let folder = TemporaryFolder::new("users-files").unwrap();
        let open = || FileStore::new(folder.path());
        processes_agree_on_the_sessions([open(), open(), open(), open()]).await;
    });
}
