//! Several processes on one SQLite file lose no update of each other, and one that is killed while it saves
//! leaves every session whole, and loses none that was saved.

use crate::local::processes::{
    count_in_turns, count_together, count_under_the_lock, count_up, kill_and_look, place,
    save_for_ever,
};
use crate::on_tokio;
use express_session::store::sqlite::SqliteStore;

/// The process that the test below starts. By itself it does nothing.
#[test]
fn child_counts_up() {
    if let Some(place) = place() {
        on_tokio(count_up(SqliteStore::new(place)));
    }
}

#[test]
fn concurrent_processes_lose_no_update() {
    on_tokio(count_together(concat!(module_path!(), "::child_counts_up"), SqliteStore::new));
}

/// The process that the test below starts. By itself it does nothing.
#[test]
fn child_counts_up_under_the_lock() {
    if let Some(place) = place() {
        on_tokio(count_under_the_lock(SqliteStore::new(place)));
    }
}

#[test]
fn processes_that_take_the_lock_have_no_conflict() {
    on_tokio(count_in_turns(
        concat!(module_path!(), "::child_counts_up_under_the_lock"),
        SqliteStore::new,
    ));
}

/// The process that the test below starts and kills. By itself it does nothing.
#[test]
fn child_saves_until_it_is_killed() {
    if let Some(place) = place() {
        on_tokio(save_for_ever(SqliteStore::new(place)));
    }
}

#[test]
fn killed_process_leaves_every_session_whole() {
    on_tokio(kill_and_look(
        concat!(module_path!(), "::child_saves_until_it_is_killed"),
        SqliteStore::new,
    ));
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
        on_tokio(kill_and_look(concat!(module_path!(), "::child_saves_until_it_is_killed"), open));
    }
}
