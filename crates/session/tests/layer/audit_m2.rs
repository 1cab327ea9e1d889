//! Finding M2: a store that hangs delays a page that did not ask for the store by `touch_timeout` in all, and the failure
//! is no error for the page.

use std::time::Duration;

use express_session::{Departures, Error, Session, SessionLayer};
use express_session_testkit::{Fate, Unreliable, Verb};
use http::Request;
use tokio::time::Instant;
use tracing::Level;

use crate::support::{Answer, BOB, World, app, log::Log, raw, send, visit, visit_as};

const TOUCH: Duration = Duration::from_millis(250);
const STORE: Duration = Duration::from_secs(5);

type Network = Unreliable<express_session_testkit::Spy<express_session::MemoryStore>>;

/// A store with one session, whose calls of one kind meet this fate.
async fn network(verb: Verb, fate: Fate) -> (World, Network) {
    let world = World::with(r#""n":1"#).await;
    let network = Unreliable::new(world.store.clone(), 0, tokio::time::sleep);
    network.decide(move |call| (call.verb() == verb).then_some(fate));
    (world, network)
}

/// A handler that does not use its session.
async fn ignored(layer: &SessionLayer, request: Request<()>) -> (Answer, Duration) {
    let app = raw(layer, async |_| "static".to_owned());
    let begun = Instant::now();
    let answer = send(&app, request).await;
    (answer, begun.elapsed())
}

async fn asked<F>(
    layer: &SessionLayer,
    handler: impl Fn(Session) -> F + Clone + Send + 'static,
) -> (Answer, Duration)
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let begun = Instant::now();
    let answer = send(&app(layer, handler), visit_as(BOB)).await;
    (answer, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn audit_m2_page_that_ignores_its_session_waits_touch_timeout_and_is_served() {
    for fate in [Fate::Hang, Fate::Mute, Fate::Delay(STORE), Fate::Linger(STORE)] {
        let (world, network) = network(Verb::Load, fate).await;
        let layer = world.layer().store(network);
        let log = Log::start();
        let (answer, took) = ignored(&layer, visit_as(BOB)).await;
        assert_eq!((answer.status.as_u16(), &*answer.body, took), (200, "static", TOUCH));
        let errors: Vec<_> =
            log.lines().into_iter().filter(|line| line.level == Level::ERROR).collect();
        assert_eq!(errors.len(), 1, "{fate:?}");
        assert!(errors[0].text.contains("touch_timeout"), "{errors:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn audit_m2_option_sets_the_wait_and_store_timeout_bounds_it() {
    let (world, network) = network(Verb::Load, Fate::Hang).await;
    let layer = world.layer().store(network);
    let short = Duration::from_millis(100);
    let (_, took) = ignored(&layer.clone().touch_timeout(short), visit_as(BOB)).await;
    assert_eq!(took, short);
    let (_, took) = ignored(&layer.clone().store_timeout(short), visit_as(BOB)).await;
    assert_eq!(took, short);
    let error = layer.touch_timeout(Duration::ZERO).build().unwrap_err();
    assert_eq!(error.option(), "touch_timeout");
}

#[tokio::test(start_paused = true)]
async fn audit_m2_unasked_load_and_its_touch_wait_no_longer_together_than_one() {
    let world = World::with("").await;
    let network = Unreliable::new(world.store.clone(), 0, tokio::time::sleep);
    network.decide(|_| Some(Fate::Delay(TOUCH.mul_f64(0.8))));
    let layer = world.layer().departures(Departures::all().throttled_touch(false));
    let (answer, took) = ignored(&layer.store(network.clone()), visit_as(BOB)).await;
    assert_eq!((answer.status.as_u16(), took), (200, TOUCH));
    let verbs: Vec<_> = network.fates().iter().map(|(verb, _)| *verb).collect();
    assert_eq!(verbs, [Verb::Load, Verb::Touch]);
}

#[tokio::test(start_paused = true)]
async fn audit_m2_touch_of_a_session_that_was_only_read_waits_touch_timeout() {
    let (world, network) = network(Verb::Touch, Fate::Hang).await;
    for rolling in [false, true] {
        for save_before_response in [false, true] {
            let departures =
                Departures::all().throttled_touch(false).save_before_response(save_before_response);
            let layer =
                world.layer().store(network.clone()).departures(departures).rolling(rolling);
            let (answer, took) = asked(&layer, async |_| Ok(())).await;
            assert_eq!((answer.status.as_u16(), &*answer.body, took), (200, "ok", TOUCH));
            assert_eq!(answer.cookie().is_some(), rolling);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn audit_m2_unasked_writes_wait_touch_timeout_and_an_unstored_session_has_no_cookie() {
    let (world, hanging) = network(Verb::Update, Fate::Hang).await;
    let layer = world.layer().store(hanging).resave(true);
    let (answer, took) = ignored(&layer, visit_as(BOB)).await;
    assert_eq!((answer.status.as_u16(), took), (200, TOUCH));

    let (world, hanging) = network(Verb::Create, Fate::Hang).await;
    let layer = world.layer().store(hanging).save_uninitialized(true);
    let (answer, took) = ignored(&layer, visit()).await;
    assert_eq!((answer.status.as_u16(), answer.cookie(), took), (200, None, TOUCH));
}

#[tokio::test(start_paused = true)]
async fn audit_m2_lock_that_is_not_given_back_in_time_ends_with_its_lease() {
    let (world, network) = network(Verb::Unlock, Fate::Hang).await;
    let layer = world.layer().store(network);
    let (answer, took) = asked(&layer, async |session| {
        let lock = session.lock().await?;
        session.insert("a", 1)?;
        std::mem::forget(lock);
        Ok(())
    })
    .await;
    assert_eq!((answer.status.as_u16(), took), (200, TOUCH));
    assert!(world.kept(BOB).await.unwrap().contains(r#""a":1"#));
}

#[tokio::test(start_paused = true)]
async fn audit_m2_calls_that_the_handler_asked_for_have_store_timeout() {
    let (world, network) = network(Verb::Load, Fate::Hang).await;
    let layer = world.layer().store(network);
    let (answer, took) = asked(&layer, async |_| Ok(())).await;
    assert_eq!((&*answer.body, took), ("Store(TimedOut)", STORE));
    let late = Fate::Delay(STORE.mul_f64(0.9));
    for (verb, change) in [(Verb::Update, true), (Verb::Destroy, false)] {
        let (world, network) = self::network(verb, late).await;
        let layer = world.layer().store(network);
        let (answer, took) = asked(&layer, move |session: Session| async move {
            if change { session.insert("a", 1) } else { session.destroy().await }
        })
        .await;
        assert_eq!((&*answer.body, took), ("ok", STORE.mul_f64(0.9)), "{verb:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn audit_m2_request_whose_load_was_not_answered_hardly_waits_for_what_it_did_not_ask_for() {
    let world = World::with(r#""n":1"#).await;
    let network = Unreliable::new(world.store.clone(), 0, tokio::time::sleep);
    network.decide(|_| Some(Fate::Hang));
    let departures = Departures::all().throttled_touch(false);
    let layer = world.layer().store(network).resave(true).departures(departures);
    let (_, took) = asked(&layer, async |_| Ok(())).await;
    assert!(took >= STORE && took <= STORE.mul_f64(1.1), "{took:?}");
}
