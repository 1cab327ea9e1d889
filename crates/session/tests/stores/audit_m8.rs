//! Finding M8 where processes meet: what is taken once is taken once through a server too.

use express_session::store::AnyStore;
use express_session::{Error, Session, SessionLayer};
use express_session_testkit::servers;
use http::{Request, Response};
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::read;

/// Visits a handler through a layer of its own, as of another process.
async fn visit<F>(store: AnyStore, cookie: String, handler: impl Fn(Session) -> F + Clone) -> String
where
    F: Future<Output = Result<String, Error>>,
{
    let service =
        SessionLayer::new("keyboard cat").store(store).layer(service_fn(|request: Request<()>| {
            let handler = handler.clone();
            async move {
                let session = Session::from_extensions(request.extensions())?.load().await?;
                handler(session).await.map(Response::new)
            }
        }));
    let request = Request::builder().header("cookie", cookie).body(()).unwrap();
    let answer = read(service.oneshot(request).await.unwrap()).await;
    answer.cookie().map(str::to_owned).unwrap_or(answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_m8_redis_gives_a_member_once_and_each_number_once() {
    let Some(server) = servers::shared_redis() else { return };
    let store = express_session::store::redis::RedisStore::connect(server.url()).await.unwrap();
    let store = AnyStore::new(store.prefix("once:"));
    let cookie = visit(store.clone(), String::new(), |session| async move {
        session.insert("token", "a7f3")?;
        Ok(String::new())
    })
    .await;
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let visits: JoinSet<_> = (0..50)
        .map(|_| {
            visit(store.clone(), cookie.clone(), |session| async move {
                let token: Option<String> = session.take_once("token").await?;
                let number = session.update_now("n", |n: Option<u32>| n.unwrap_or(0) + 1).await?;
                Ok(format!("{}{number}", token.unwrap_or_default()))
            })
        })
        .collect();
    let answers = visits.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("a7f3")).count(), 1);
    let numbers = answers.iter().map(|answer| answer.trim_start_matches("a7f3").parse().unwrap());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
}
