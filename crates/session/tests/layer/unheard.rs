//! Programs without a `tracing` subscriber, right and wrong ones: what a person sees in the terminal.
//!
//! Each runs as a process of its own, since a subscriber counts for a whole process, and so does what it has printed.

use std::convert::Infallible;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use express_session::store::ErrorKind;
use express_session::{Cookie, MemoryStore, Session, SessionLayer};
use express_session_testkit::{Spy, Verb, block_on};
use http::{Request, Response, StatusCode};
use tower::{Layer as _, ServiceExt as _, service_fn};

const SNIPPET: &str = "EXPRESS_SESSION_SNIPPET";
const STRONG: &str = "9cf0c1b2d7e84a5f6b3d2e1f0a9b8c7d";

fn right() -> SessionLayer {
    SessionLayer::new(STRONG)
}

type Snippet = fn() -> SessionLayer;

/// The snippets, each with what it prints.
const SNIPPETS: [(&str, Snippet, &str); 9] = [
    ("right", right, ""),
    ("secure", || right().cookie(Cookie::new().secure(true)), "not sent: it is secure"),
    ("weak", || SessionLayer::new("cat"), "the secret is short, published or easy to guess"),
    ("uninitialized", || right().save_uninitialized(true), "save_uninitialized is on"),
    ("resave", || right().resave(true), "resave is on"),
    ("long", || right().genid(long_id), "longer than 4096 bytes"),
    ("failing", failing, "a session could not be saved"),
    ("silent", || right().cookie(Cookie::new().secure(true)).print_warnings(false), ""),
    ("heard", heard, ""),
];

fn long_id(_: &http::request::Parts) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}{}", COUNT.fetch_add(1, Ordering::Relaxed), "x".repeat(5000))
}

/// The store is out of order.
fn failing() -> SessionLayer {
    let store = Spy::new(MemoryStore::new());
    store.fail_next(Verb::Create, ErrorKind::Unavailable);
    right().store(store)
}

/// Another place shows what is logged.
fn heard() -> SessionLayer {
    crate::support::log::install();
    SessionLayer::new("cat")
}

/// Runs a snippet, where the test below starts it.
#[test]
fn program_without_a_subscriber() {
    let Ok(name) = std::env::var(SNIPPET) else { return };
    let (_, layer, _) = SNIPPETS.into_iter().find(|(other, ..)| *other == name).unwrap();
    let service = layer().layer(service_fn(async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions()).unwrap().load().await.unwrap();
        session.insert("views", 1).unwrap();
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    for _ in 0..2 {
        let response = block_on(service.clone().oneshot(Request::new(()))).unwrap();
        assert!(response.status() == StatusCode::OK || name == "failing");
    }
}

#[test]
fn mistakes_and_failures_are_printed_once_to_a_person_without_a_subscriber() {
    for (name, _, expected) in SNIPPETS {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "unheard::program_without_a_subscriber", "--nocapture"]);
        let output = program.env(SNIPPET, name).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        let printed = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = printed.lines().collect();
        if expected.is_empty() || !cfg!(debug_assertions) {
            assert_eq!(lines, [""; 0], "{name}");
        } else {
            assert_eq!(lines.len(), 1, "{name}: {printed}");
            assert!(lines[0].starts_with("express-session: "), "{name}: {printed}");
            assert!(lines[0].contains(expected), "{name}: {printed}");
            assert!(!printed.contains("cat\"") && !printed.contains("xxxx"), "{name}: {printed}");
        }
    }
}
