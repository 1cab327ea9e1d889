//! Several processes on one SQLite file lose no update of each other, and one that is killed while it saves
//! leaves every session whole, and loses none that was saved.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod local;

use express_session::store::sqlite::SqliteStore;
use local::on_tokio;
use local::processes::{
    count_in_turns, count_together, count_under_the_lock, count_up, kill_and_look, place,
    save_for_ever,
};

/// What the test below starts. By itself it does nothing.
#[test]
fn child_counts_up() {
    if let Some(place) = place() {
        on_tokio(count_up(SqliteStore::new(place)));
    }
}

#[test]
fn processes_at_once_lose_no_update() {
    on_tokio(count_together("child_counts_up", SqliteStore::new));
}

/// What the test below starts. By itself it does nothing.
#[test]
fn child_counts_up_under_the_lock() {
    if let Some(place) = place() {
        on_tokio(count_under_the_lock(SqliteStore::new(place)));
    }
}

#[test]
fn processes_that_take_the_lock_have_no_conflict() {
    on_tokio(count_in_turns("child_counts_up_under_the_lock", SqliteStore::new));
}

/// What the test below starts, and kills. By itself it does nothing.
#[test]
fn child_saves_until_it_is_killed() {
    if let Some(place) = place() {
        on_tokio(save_for_ever(SqliteStore::new(place)));
    }
}

#[test]
fn killed_process_leaves_every_session_whole() {
    on_tokio(kill_and_look("child_saves_until_it_is_killed", SqliteStore::new));
}

mod without_a_log {
    use super::*;

    #[test]
    fn child_saves_until_it_is_killed() {
        if let Some(place) = place() {
            on_tokio(save_for_ever(SqliteStore::new(place).concurrent_db(false)));
        }
    }

    #[test]
    fn killed_process_leaves_every_session_whole() {
        let open = |place| SqliteStore::new(place).concurrent_db(false);
        on_tokio(kill_and_look("without_a_log::child_saves_until_it_is_killed", open));
    }
}
