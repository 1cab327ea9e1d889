//! Many requests that save one session at the same time: nothing is lost, and the store is not asked over
//! and over again.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Mutex;

use express_session::SessionLayer;
use express_session_testkit::Verb;
use http::StatusCode;
use tokio::task::JoinSet;

mod support;

use support::hitch::Hitch;
use support::*;

const WRITERS: usize = 50;

/// Has requests of [`BOB`]'s count up that all save at once: the layers take them in turn, each as a
/// process of its own. Gives the calls of the store from there on.
async fn count_up(layers: impl Fn(&World) -> Vec<SessionLayer>) -> Vec<Verb> {
    let world = World::with(r#""n":0"#).await;
    let hitch = Hitch::before(Verb::Update, world.store.clone());
    let layers: Vec<_> =
        layers(&world).into_iter().map(|layer| layer.store(hitch.clone())).collect();
    let mut answers = JoinSet::new();
    for layer in layers.iter().cycle().take(WRITERS) {
        let talk = Talk::begin(layer, visit_as(BOB)).await;
        talk.session.update("n", |n: Option<usize>| n.unwrap_or(0) + 1).unwrap();
        answers.spawn(talk.end());
    }
    world.calls();
    // Every one is about to write by then, and none has.
    for _ in 0..10 * WRITERS {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.verbs(), []);
    hitch.open();
    while let Some(answer) = answers.join_next().await {
        assert_eq!(answer.unwrap().status, StatusCode::OK);
    }
    let counted = record(PLAIN, &format!(r#""n":{WRITERS}"#));
    assert_eq!(world.kept(BOB).await.unwrap(), counted);
    world.verbs()
}

/// Gives bytes that are the same every time and look like any, other than those of a [`World`].
fn scattered(seed: usize) -> impl Fn(&mut [u8]) + Send + Sync {
    let state = Mutex::new(seed as u64);
    move |bytes| {
        let mut state = state.lock().unwrap();
        for byte in bytes {
            // Knuth's constants of a linear congruential generator.
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = (*state >> 56) as u8;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn writers_of_one_process_fail_once_and_then_go_one_after_the_other() {
    let calls = count_up(|world| vec![world.layer()]).await;
    // All but one find that somebody was faster; in their turn, none does.
    assert_eq!(calls, [Verb::Update; 2 * WRITERS - 1]);
}

#[tokio::test(start_paused = true)]
async fn writers_of_many_processes_lose_nothing_and_do_not_all_try_again_at_once() {
    let process = |world: &World, seed| world.layer().random(scattered(seed));
    let calls = count_up(|world| (1..=WRITERS).map(|seed| process(world, seed)).collect()).await;
    assert!(calls.iter().all(|verb| *verb == Verb::Update));
    assert!(calls.len() < WRITERS * WRITERS / 4, "{} calls", calls.len());
}
