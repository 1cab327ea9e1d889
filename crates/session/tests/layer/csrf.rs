//! CSRF tokens, in the format of csurf, and requests that overlap.

use std::pin::pin;

use express_session::store::{self, ErrorKind as Failure};
use express_session::{Csrf, Error, ErrorKind, Outage, Session};
use express_session_testkit::{Call, Verb};
use http::{HeaderMap, HeaderValue};

use crate::support::delayed_store::DelayedStore;
use crate::support::*;

/// A secret of csurf, and tokens of it that csrf 3.1.0 made on Node 20.
const SECRET_OF_NODE: &str = r#""csrfSecret":"3nkuzPqYe_bWFPFhdcCFkSvb""#;
const TOKEN_OF_NODE: &str = "aB3xYz90-BwHvlajnQ0QILTkZMFz4Uia1AT0";

async fn token(session: &Session) -> String {
    session.csrf().token().await.unwrap()
}

fn verifies(session: &Session, token: &str) -> bool {
    match session.csrf().verify(token) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidCsrfToken);
            false
        }
    }
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[tokio::test]
async fn token_and_secret_have_the_form_of_csurf() {
    let (world, talk) = World::visited("").await;
    let token = token(&talk.session).await;
    let secret: String = talk.session.get("csrfSecret").unwrap().unwrap();
    assert_eq!((secret.len(), is_base64url(&secret)), (24, true), "{secret}");
    let (salt, hash) = token.split_once('-').unwrap();
    assert_eq!((salt.len(), hash.len(), is_base64url(hash)), (8, 27, true), "{token}");
    assert!(salt.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
    let stored = record(PLAIN, &format!(r#""csrfSecret":"{secret}""#));
    assert_eq!(world.kept(BOB).await, Some(stored));
}

#[tokio::test]
async fn token_of_node_is_valid_for_the_secret_of_node() {
    let (world, talk) = World::visited(SECRET_OF_NODE).await;
    world.calls();
    assert!(verifies(&talk.session, TOKEN_OF_NODE));
    let ours = token(&talk.session).await;
    assert!(verifies(&talk.session, &ours));
    talk.end().await;
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn secret_is_saved_with_the_first_token_and_costs_later_ones_nothing() {
    let (world, talk) = World::visited("").await;
    world.calls();
    let first = token(&talk.session).await;
    assert_eq!(world.verbs(), [Verb::Update]);
    let second = token(&talk.session).await;
    assert_ne!(first, second);
    talk.end().await;
    assert_eq!(world.calls(), "");

    let talk = bob(&world.layer()).await;
    assert!(verifies(&talk.session, &first) && verifies(&talk.session, &second));
    assert!(verifies(&talk.session, &token(&talk.session).await));
    talk.end().await;
    assert_eq!(world.verbs(), [Verb::Load]);
}

#[tokio::test]
async fn token_of_a_first_visit_is_valid_in_the_next_request() {
    let (world, talk) = World::first_visit().await;
    let token = token(&talk.session).await;
    let answer = talk.end().await;
    assert_eq!(world.verbs(), [Verb::Create]);
    let talk = Talk::begin(&world.layer(), visit_with(answer.pair())).await;
    assert!(verifies(&talk.session, &token));
}

#[tokio::test]
async fn request_that_only_verifies_makes_no_session() {
    let (world, talk) = World::first_visit().await;
    assert!(!verifies(&talk.session, TOKEN_OF_NODE));
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.calls(), "");
}

// Overlapping requests.

#[tokio::test]
async fn first_tokens_of_overlapping_requests_are_all_valid() {
    let (world, one, two) = World::visited_twice("").await;
    let tokens = [token(&one.session).await, token(&two.session).await];
    // The one that lost knows it before its response leaves.
    assert!(tokens.iter().all(|token| verifies(&two.session, token)));
    two.session.insert("views", 1).unwrap();
    one.end().await;
    two.end().await;
    let talk = bob(&world.layer()).await;
    assert!(tokens.iter().all(|token| verifies(&talk.session, token)));
}

/// Each of two layers is a process: they share the store, and no queue.
#[tokio::test]
async fn first_tokens_of_two_processes_that_write_at_the_same_moment_are_all_valid() {
    let world = World::with("").await;
    let (one, store) = world.delayed(DelayedStore::before, Verb::Update);
    let two = world.layer().store(store.clone());
    let (one, two) = (bob(&one).await, bob(&two).await);
    let (first, second) = (one.session.csrf(), two.session.csrf());
    let (mut first, mut second) = (pin!(first.token()), pin!(second.token()));
    // Both have made a secret, and neither has a token before the store has one of them.
    assert!(waits(first.as_mut()).await && waits(second.as_mut()).await);
    store.open();
    let (first, second) = tokio::join!(first, second);
    let tokens = [first.unwrap(), second.unwrap()];
    one.end().await;
    two.end().await;
    let talk = bob(&world.layer()).await;
    for token in &tokens {
        assert!(verifies(&talk.session, token), "{token}");
    }
}

#[tokio::test]
async fn token_is_not_returned_before_its_secret_is_stored() {
    for failure in [Failure::Refused, Failure::Unavailable] {
        let (world, one, two) = World::visited_twice("").await;
        let is_update = |call: &Call| call.verb() == Verb::Update;
        world.store.fail(move |call| is_update(call).then(|| store::Error::new(failure, "down")));
        // The secret is in the session after the first call, and is not used as long as it is not stored.
        for _ in 0..2 {
            assert_eq!(kind(one.session.csrf().token().await), ErrorKind::Store(failure));
        }
        assert_eq!(world.kept(BOB).await, Some(record(PLAIN, "")));
        world.store.fail(|_| None);
        let tokens = [token(&one.session).await, token(&two.session).await];
        let talk = bob(&world.layer()).await;
        assert!(tokens.iter().all(|token| verifies(&talk.session, token)), "{failure:?}");
    }
}

#[tokio::test]
async fn secret_of_a_write_without_an_answer_gives_no_token_in_that_request() {
    let world = World::with("").await;
    let (layer, _) = world.delayed(DelayedStore::lost, Verb::Update);
    let talk = bob(&layer).await;
    let lost = kind(talk.session.csrf().token().await);
    assert_eq!(lost, ErrorKind::Store(Failure::TimedOut));
    assert_eq!(kind(talk.session.csrf().token().await), ErrorKind::Conflict);
    let next = bob(&layer).await;
    let token = token(&next.session).await;
    next.end().await;
    let last = bob(&layer).await;
    assert!(verifies(&last.session, &token));
}

#[tokio::test]
async fn regenerated_session_has_another_secret() {
    let (world, talk) = World::visited(SECRET_OF_NODE).await;
    let session = talk.session.clone();
    session.regenerate().await.unwrap();
    assert!(!verifies(&session, TOKEN_OF_NODE));
    let fresh = token(&session).await;
    assert!(!verifies(&session, TOKEN_OF_NODE) && verifies(&session, &fresh));
    drop(session);
    let answer = talk.end().await;
    let talk = Talk::begin(&world.layer(), visit_with(answer.pair())).await;
    assert!(!verifies(&talk.session, TOKEN_OF_NODE) && verifies(&talk.session, &fresh));
}

// Hostile tokens, and other shapes of the secret.

#[tokio::test]
async fn texts_that_are_no_token_are_refused() {
    let (_, talk) = World::visited(SECRET_OF_NODE).await;
    let hash = TOKEN_OF_NODE.split_once('-').unwrap().1;
    let long = format!("{}-{hash}", "a".repeat(1 << 20));
    for text in [
        "",
        "-",
        "--",
        "a",
        "aB3xYz90",
        hash,
        &long,
        "é-é",
        "\0",
        "aB3xYz90-",
        // Another salt, padding, spaces, the other alphabet of base64, another case.
        &format!("aB3xYz91-{hash}"),
        &format!("{TOKEN_OF_NODE}="),
        &format!(" {TOKEN_OF_NODE}"),
        &format!("{TOKEN_OF_NODE}\n"),
        &format!("-{TOKEN_OF_NODE}"),
        &format!("aB3xYz90--{hash}"),
        &TOKEN_OF_NODE.to_lowercase(),
        // csurf takes a character for its lowest byte.
        &TOKEN_OF_NODE.replace('a', "\u{161}"),
    ] {
        assert!(!verifies(&talk.session, text), "{} bytes: {:.60}", text.len(), text);
    }
    assert_eq!(kind(talk.session.csrf().verify(None)), ErrorKind::InvalidCsrfToken);
    for at in 0..TOKEN_OF_NODE.len() {
        let mut other = TOKEN_OF_NODE.as_bytes().to_vec();
        other[at] ^= 1;
        assert!(!verifies(&talk.session, &String::from_utf8(other).unwrap()), "byte {at}");
    }
}

#[tokio::test]
async fn token_of_another_session_is_refused() {
    let (_, one) = World::first_visit().await;
    let (_, two) = World::visited(SECRET_OF_NODE).await;
    assert!(!verifies(&two.session, &token(&one.session).await));
}

/// An attacker knows the hash of a salt and an empty secret.
#[tokio::test]
async fn empty_secret_has_no_tokens_and_is_replaced() {
    // printf 'a-' | openssl sha1 -binary | base64
    const FORGED: &str = "a-1QVN3jc8b6ft0K3SzuUfQKtXtTU";
    for secret in [r#""""#, "null"] {
        let (world, talk) = World::visited(&format!(r#""csrfSecret":{secret}"#)).await;
        for forged in [FORGED, "", "-", "a-"] {
            assert!(!verifies(&talk.session, forged), "{secret}");
        }
        let fresh = token(&talk.session).await;
        assert!(verifies(&talk.session, &fresh));
        assert!(!world.kept(BOB).await.unwrap().ends_with(&format!("{secret}}}")));
    }
}

#[tokio::test]
async fn secret_that_is_no_string_is_an_error_that_names_it_and_stays() {
    for secret in ["5", "true", r#"["secret"]"#, r#"{"secret":"secret"}"#] {
        let (world, talk) = World::visited(&format!(r#""csrfSecret":{secret}"#)).await;
        world.calls();
        let error = talk.session.csrf().token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deserialize);
        assert!(error.to_string().contains("csrfSecret"), "{error}");
        assert!(!format!("{error:?}").contains(r#""secret"#), "{error:?}");
        assert_eq!(kind(talk.session.csrf().verify(TOKEN_OF_NODE)), ErrorKind::Deserialize);
        talk.end().await;
        assert_eq!(world.calls(), "");
    }
}

#[tokio::test]
async fn secret_of_any_length_is_kept() {
    let (world, talk) = World::visited(r#""csrfSecret":"short""#).await;
    let token = token(&talk.session).await;
    assert!(verifies(&talk.session, &token));
    talk.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""csrfSecret":"short""#)));
}

#[tokio::test]
async fn request_without_a_store_gets_no_token() {
    let world = World::new();
    let layer = world.layer().outage(Outage::Continue);
    world.store.fail(|_| Some(store::Error::new(Failure::Unavailable, "down")));
    let talk = bob(&layer).await;
    let kind = kind(talk.session.csrf().token().await);
    assert_eq!(kind, ErrorKind::Store(Failure::Unavailable));
    assert!(!verifies(&talk.session, TOKEN_OF_NODE));
}

#[tokio::test]
async fn ended_session_has_no_tokens() {
    let (_, talk) = World::visited(SECRET_OF_NODE).await;
    let session = talk.session.clone();
    session.destroy().await.unwrap();
    assert_eq!(kind(session.csrf().token().await), ErrorKind::Ended);
    assert_eq!(kind(session.csrf().verify(TOKEN_OF_NODE)), ErrorKind::Ended);
}

#[tokio::test]
async fn handle_and_error_print_neither_token_nor_secret() {
    let (_, talk) = World::visited(SECRET_OF_NODE).await;
    assert_eq!(format!("{:?}", talk.session.csrf()), "Csrf");
    let error = talk.session.csrf().verify("guessed-token").unwrap_err();
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains("guessed") && !printed.contains("3nku"), "{printed}");
}

// Headers.

#[test]
fn token_is_found_in_the_headers_of_csurf_in_its_order() {
    let mut headers = HeaderMap::new();
    assert_eq!(Csrf::in_headers(&headers), None);
    headers.insert("authorization", HeaderValue::from_static("none"));
    for name in ["x-xsrf-token", "x-csrf-token", "xsrf-token", "csrf-token"] {
        headers.insert(name, HeaderValue::from_static(name));
        assert_eq!(Csrf::in_headers(&headers), Some(name));
    }
    // An empty header, and one that is no text, are passed over.
    headers.insert("csrf-token", HeaderValue::from_static(""));
    assert_eq!(Csrf::in_headers(&headers), Some("xsrf-token"));
    headers.insert("xsrf-token", HeaderValue::from_bytes(&[0xff]).unwrap());
    assert_eq!(Csrf::in_headers(&headers), Some("x-csrf-token"));
}
