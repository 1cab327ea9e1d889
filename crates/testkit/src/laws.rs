//! The laws of a store, one function for each. A law panics if the store breaks it, or fails.
//!
//! [`store_laws!`](crate::store_laws), [`lock_laws!`](crate::lock_laws) and
//! [`admin_laws!`](crate::admin_laws) make tests of them; call one directly to debug it. The
//! numbers are those of the rules in [`express_session_core::store`].
//!
//! The laws ask for nothing that express-session's own formats make impossible: a deadline may be
//! kept in whole seconds, and a touch may put the new cookie into the text or leave the text alone.

#![expect(clippy::missing_panics_doc, reason = "every law panics, as the page says")]

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::record::{Document, Json, with_cookie};
use express_session_core::store::{
    Admin, Created, Error, ErrorKind, Fenced, FencingToken, Loaded, LockOutcome, LockToken, Record,
    Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use crate::{Clock, Subject, Task};

/// Makes one test of each law of [`laws`](crate::laws) that is about [`Store`], in a module `laws`.
///
/// The first argument is an expression for the [`Subject`], evaluated for each test. The second is any function that
/// waits for a future, [`block_on`](crate::block_on) unless given. The crate's page has examples.
///
/// ```
/// use express_session_testkit::{MapStore, store_laws};
///
/// store_laws!(MapStore::default());
/// store_laws!(MapStore::default(), block_on = |law| {
///     tokio::runtime::Runtime::new().unwrap().block_on(law)
/// });
/// # // Tests are left out where there is no harness.
/// # fn main() { assert!(!cfg!(test)); }
/// ```
#[macro_export]
macro_rules! store_laws {
    ($subject:expr $(,)?) => {
        $crate::store_laws!($subject, block_on = $crate::block_on);
    };
    ($subject:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__law_tests! { laws, $subject, $block_on, [
            record_is_loaded_as_it_was_saved
            megabyte_is_loaded_as_it_was_saved_or_refused
            record_is_never_returned_after_its_deadline
            record_without_a_deadline_is_kept
            create_refuses_an_id_that_is_in_use
            create_takes_the_id_of_an_expired_record
            one_of_many_concurrent_creates_is_done
            update_replaces_the_record_that_was_loaded
            update_after_another_is_a_conflict_and_changes_nothing
            update_of_an_earlier_life_of_the_id_is_a_conflict
            concurrent_updates_lose_nothing
            update_moves_the_deadline
            touch_moves_the_deadline
            touch_keeps_the_data_and_the_revision
            lifetime_is_that_of_a_record_without_a_deadline
            destroyed_record_stays_gone
            expired_record_stays_gone
            logout_is_final_while_others_write
            destroy_of_nothing_is_success
            every_id_keeps_its_own_record
            abandoned_call_happened_or_did_not
            corrupt_record_is_an_error_and_stays
            store_has_every_call_about_locks_or_none
        ] }
    };
}

/// Makes one test of each law of [`laws`](crate::laws) that is about locks, in a module `lock_laws`:
/// for a store that has them.
///
/// The arguments are those of [`store_laws!`](crate::store_laws).
///
/// ```
/// use express_session_testkit::{MapStore, lock_laws};
///
/// lock_laws!(MapStore::default());
/// # // Tests are left out where there is no harness.
/// # fn main() { assert!(!cfg!(test)); }
/// ```
#[macro_export]
macro_rules! lock_laws {
    ($subject:expr $(,)?) => {
        $crate::lock_laws!($subject, block_on = $crate::block_on);
    };
    ($subject:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__law_tests! { lock_laws, $subject, $block_on, [
            lock_is_taken_while_another_holds_it
            locking_again_resets_the_lease_of_the_holder
            lock_is_free_after_its_lease
            lock_is_free_once_its_holder_unlocks_it
            fencing_token_grows_with_every_holder
            unlock_by_another_changes_nothing
            one_of_many_concurrent_locks_is_done
            every_id_has_its_own_lock
            lock_needs_no_record_and_outlives_it
            lock_does_not_affect_calls_without_it
            locked_update_writes_as_an_update_does
            locked_update_without_the_lock_is_lost
            locked_update_after_the_lease_is_lost
            locked_update_is_one_step_with_its_lock
            concurrent_critical_sections_lose_nothing
            abandoned_call_about_a_lock_happened_or_did_not
        ] }
    };
}

/// Makes one test of each law of [`laws`](crate::laws) that is about [`Admin`], in a module
/// `admin_laws`.
///
/// The arguments are those of [`store_laws!`](crate::store_laws).
///
/// ```
/// use express_session_testkit::{MapStore, admin_laws};
///
/// admin_laws!(MapStore::default());
/// # // Tests are left out where there is no harness.
/// # fn main() { assert!(!cfg!(test)); }
/// ```
#[macro_export]
macro_rules! admin_laws {
    ($subject:expr $(,)?) => {
        $crate::admin_laws!($subject, block_on = $crate::block_on);
    };
    ($subject:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__law_tests! { admin_laws, $subject, $block_on, [
            listing_gives_each_session_once_while_others_write
            listing_and_count_leave_out_what_has_expired
            clear_removes_everything_and_nothing_of_another_store
            purge_removes_what_has_expired_and_nothing_else
            locks_are_no_sessions
            sessions_of_a_user_are_those_whose_record_says_so
            sessions_of_a_user_follow_every_write
            logins_at_the_same_time_are_all_listed
            session_of_a_user_is_listed_once_while_others_write
        ] }
    };
}

/// Makes one test of each law of [`laws`](crate::laws) that is about wrong clocks, in a module `clock_laws`:
/// for a store that judges what it deletes by a second clock, its server's or the machine's.
///
/// The arguments are those of [`store_laws!`](crate::store_laws). The laws use the real time with every
/// [clock](crate::Subject::clock) of the subject.
///
/// ```
/// use express_session_testkit::{MapStore, clock_laws};
///
/// clock_laws!(MapStore::default());
/// # // Tests are left out where there is no harness.
/// # fn main() { assert!(!cfg!(test)); }
/// ```
#[macro_export]
macro_rules! clock_laws {
    ($subject:expr $(,)?) => {
        $crate::clock_laws!($subject, block_on = $crate::block_on);
    };
    ($subject:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__law_tests! { clock_laws, $subject, $block_on, [
            wrong_clock_ends_no_record
            wrong_clock_purges_nothing
            wrong_clock_takes_no_lock
            clock_that_is_ahead_is_not_the_stores
        ] }
    };
}

/// Makes one test of each law of [`laws`](crate::laws) that is about the order of calls, in a module `order_laws`: for
/// a store that carries out an abandoned call of a session before the next one.
///
/// The arguments are those of [`store_laws!`](crate::store_laws). A store over a pool of connections need not obey them:
/// no call of the layer relies on it.
///
/// ```
/// use express_session_testkit::{MapStore, order_laws};
///
/// order_laws!(MapStore::default());
/// # // Tests are left out where there is no harness.
/// # fn main() { assert!(!cfg!(test)); }
/// ```
#[macro_export]
macro_rules! order_laws {
    ($subject:expr $(,)?) => {
        $crate::order_laws!($subject, block_on = $crate::block_on);
    };
    ($subject:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__law_tests! { order_laws, $subject, $block_on, [
            abandoned_call_is_over_before_the_next
        ] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ($module:ident, $subject:expr, $block_on:expr, [$($law:ident)*]) => {
        #[cfg(test)]
        mod $module {
            #[allow(unused_imports, reason = "a subject may be named with its whole path")]
            use super::*;

            $(
                #[test]
                fn $law() {
                    ($block_on)($crate::laws::$law(&$subject))
                }
            )*
        }
    };
}

/// Rule 1: a record is returned byte for byte as it was given.
///
/// A text that is no session record may be refused as [`ErrorKind::Unsuitable`], and is not kept then.
pub async fn record_is_loaded_as_it_was_saved(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    for (number, text) in TEXTS.iter().enumerate() {
        let id = id(format!("text-{number}"));
        let record = trial.record(text);
        let created = trial.store.create(&id, &record, trial.now()).await;
        if is_refused(text, created.as_ref().err()) {
            assert_eq!(trial.text(&id).await, None, "refused, and kept");
            continue;
        }
        assert!(matches!(ok(created), Created::Done(_)), "an unused id was taken");
        assert_eq!(trial.text(&id).await.as_deref(), Some(*text), "after create");

        let revision = trial.loaded(&id).await.revision;
        let other = TEXTS[(number + 1) % TEXTS.len()];
        let updated = trial.store.update(&id, &trial.record(other), &revision, trial.now()).await;
        let expected = if is_refused(other, updated.as_ref().err()) {
            *text
        } else {
            assert!(matches!(ok(updated), Updated::Done(_)), "what was loaded was not replaced");
            other
        };
        assert_eq!(trial.text(&id).await.as_deref(), Some(expected), "after update");
    }
}

/// Returns whether a store has refused a text, and may.
fn is_refused(text: &str, error: Option<&Error>) -> bool {
    Document::parse(text).is_err()
        && error.is_some_and(|error| error.kind() == ErrorKind::Unsuitable)
}

/// Rule 1, for a large record: it is kept whole, or refused as [`ErrorKind::Unsuitable`] and then not
/// kept at all. Nothing is ever cut off.
pub async fn megabyte_is_loaded_as_it_was_saved_or_refused(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("large");
    let text = format!(r#"{{"cookie":{{}},"large":"{}"}}"#, "é0".repeat((1 << 20) / 3));
    let record = Record { text: text.as_str().into(), deadline: Some(trial.later(3600)) };
    match trial.store.create(&id, &record, trial.now()).await {
        Ok(created) => {
            assert!(matches!(created, Created::Done(_)), "{created:?}");
            let loaded = trial.text(&id).await;
            assert!(loaded.as_deref() == Some(&text), "the record was changed");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsuitable, "{error:?}");
            assert_eq!(trial.text(&id).await, None, "a refused record was kept");
        }
    }
}

/// Rule 2: until a second before its deadline a record is returned, and from its deadline on never;
/// a store that keeps whole seconds has one more where the deadline is not a whole one.
pub async fn record_is_never_returned_after_its_deadline(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let late = id("late");
    let text = r#"{"cookie":{}}"#;
    for deadline in [trial.now(), Timestamp::from_millis(1_000_000_000_000), Timestamp::MIN] {
        let record = Record { text: text.into(), deadline: Some(deadline) };
        // Whether it takes such a record at all is the store's own affair.
        let _ = trial.store.create(&late, &record, trial.now()).await;
        assert_eq!(trial.text(&late).await, None, "a record was born expired, and returned");
    }

    let (whole, part) = (id("whole"), id("part"));
    let deadline = trial.deadline();
    let later = deadline.saturating_add(Duration::from_millis(500));
    trial.create(&whole, text, deadline).await;
    trial.create(&part, text, later).await;
    trial.pass_until_before(deadline).await;
    assert_eq!(trial.text(&whole).await.as_deref(), Some(text), "returned a second before");
    assert_eq!(trial.text(&part).await.as_deref(), Some(text), "returned a second before");
    trial.pass(deadline).await;
    assert_eq!(trial.text(&whole).await, None, "gone at its deadline");
    trial.pass(later.saturating_add(SECOND)).await;
    assert_eq!(trial.text(&part).await, None, "gone a second after its deadline");
}

/// A record without a deadline is kept, for at least as long as a visit takes.
pub async fn record_without_a_deadline_is_kept(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let id = id("browser-session");
    let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    let Created::Done(revision) = ok(trial.store.create(&id, &record, trial.now()).await) else {
        panic!("an unused id was taken")
    };
    trial.pass(trial.deadline()).await;
    assert!(trial.text(&id).await.is_some(), "kept after create");
    let updated = ok(trial.store.update(&id, &record, &revision, trial.now()).await);
    assert!(matches!(updated, Updated::Done(_)), "{updated:?}");
    trial.pass(trial.deadline()).await;
    assert!(trial.text(&id).await.is_some(), "kept after update");
}

/// Rule 3: `create` refuses an id that has a live record, and leaves that record alone.
pub async fn create_refuses_an_id_that_is_in_use(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("taken");
    trial.create(&id, r#"{"cookie":{},"first":true}"#, trial.later(3600)).await;
    let first = trial.loaded(&id).await;

    let second = trial.record(r#"{"cookie":{},"second":true}"#);
    assert_eq!(ok(trial.store.create(&id, &second, trial.now()).await), Created::Taken);
    let after = trial.loaded(&id).await;
    assert_eq!((after.record.text, after.revision), (first.record.text, first.revision));
}

/// Rule 3, for an id that had a record once: expired is as good as not there.
pub async fn create_takes_the_id_of_an_expired_record(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let id = id("again");
    let deadline = trial.deadline();
    trial.create(&id, r#"{"cookie":{},"first":true}"#, deadline).await;
    trial.pass(deadline).await;
    let second = r#"{"cookie":{},"second":true}"#;
    trial.create(&id, second, trial.later(3600)).await;
    assert_eq!(trial.text(&id).await.as_deref(), Some(second));
}

/// Rule 3, in parallel: of many that create the same id, one does.
pub async fn one_of_many_concurrent_creates_is_done(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let winners = Arc::new(std::sync::Mutex::new(Vec::new()));
    let task = |number| -> Task {
        let (store, winners, now) = (Arc::clone(&trial.store), Arc::clone(&winners), trial.now());
        let record = trial.record(&counted(number));
        Box::pin(async move {
            turn().await;
            if let Created::Done(_) = ok(store.create(&id("contested"), &record, now).await) {
                winners.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(number);
            }
        })
    };
    subject.parallel((0..WRITERS).map(task).collect()).await;
    let winners = winners.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    assert_eq!(winners.len(), 1, "of {WRITERS} that create one id, this many did");
    assert_eq!(trial.text(&id("contested")).await, Some(counted(winners[0])));
}

/// Rule 4: `update` replaces the record that was loaded, and gives the revision that a load gives
/// then.
pub async fn update_replaces_the_record_that_was_loaded(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("replaced");
    let mut revision = trial.create(&id, &counted(0), trial.later(3600)).await;
    assert_eq!(trial.loaded(&id).await.revision, revision, "the revision that create gave");
    for number in 1..4 {
        revision = trial.update(&id, &counted(number), &revision, trial.later(3600)).await;
        let loaded = trial.loaded(&id).await;
        assert_eq!(*loaded.record.text, counted(number));
        assert_eq!(loaded.revision, revision, "the revision that update gave");
    }
}

/// Rule 4: an update of a record that another call has changed since writes nothing, and returns the stored record.
pub async fn update_after_another_is_a_conflict_and_changes_nothing(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("contested");
    let loaded = trial.create(&id, &counted(0), trial.later(3600)).await;
    let others = trial.update(&id, &counted(1), &loaded, trial.later(3600)).await;

    let mine = trial.record(&counted(2));
    match ok(trial.store.update(&id, &mine, &loaded, trial.now()).await) {
        Updated::Conflict(current) => {
            assert_eq!(*current.record.text, counted(1), "the record of the conflict");
            assert_eq!(current.revision, others, "the revision of the conflict");
            trial.update(&id, &counted(3), &current.revision, trial.later(3600)).await;
        }
        other @ (Updated::Done(_) | Updated::Gone) => panic!("no conflict: {other:?}"),
    }
    assert_eq!(trial.text(&id).await, Some(counted(3)));
}

/// Rule 4, for an id that was destroyed and created again: what was loaded before does not stand for
/// the record that is there now.
pub async fn update_of_an_earlier_life_of_the_id_is_a_conflict(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("reborn");
    let earlier = trial.create(&id, &counted(0), trial.later(3600)).await;
    ok(trial.store.destroy(&id).await);
    trial.create(&id, &counted(1), trial.later(3600)).await;

    let updated = trial.store.update(&id, &trial.record(&counted(2)), &earlier, trial.now()).await;
    assert!(matches!(ok(updated), Updated::Conflict(_)), "an earlier life was overwritten");
    assert_eq!(trial.text(&id).await, Some(counted(1)));
}

/// Rule 4, in parallel: of many that count one up, each trying again on a conflict, none is lost.
pub async fn concurrent_updates_lose_nothing(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("counter");
    trial.create(&id, &counted(0), trial.later(3600)).await;
    let task = |_| -> Task {
        let (store, id, now) = (Arc::clone(&trial.store), id.clone(), trial.now());
        let deadline = Some(trial.later(3600));
        Box::pin(async move {
            let loaded = ok(store.load(&id, now).await);
            let mut current = loaded.unwrap_or_else(|| panic!("the counter is gone"));
            loop {
                turn().await;
                let text = counted(count_in(&current.record.text) + 1).into();
                let record = Record { text, deadline };
                match ok(store.update(&id, &record, &current.revision, now).await) {
                    Updated::Done(_) => break,
                    Updated::Conflict(newer) => current = newer,
                    Updated::Gone => panic!("the counter is gone"),
                }
            }
        })
    };
    subject.parallel((0..WRITERS).map(task).collect()).await;
    assert_eq!(trial.text(&id).await, Some(counted(WRITERS)));
}

/// An update keeps the record until its own deadline, be that later or earlier than the one before.
pub async fn update_moves_the_deadline(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let (longer, shorter) = (id("longer"), id("shorter"));
    let deadline = trial.deadline();
    let revision = trial.create(&longer, &counted(0), deadline).await;
    trial.update(&longer, &counted(1), &revision, trial.later(3600)).await;
    let revision = trial.create(&shorter, &counted(0), trial.later(3600)).await;
    trial.update(&shorter, &counted(1), &revision, deadline).await;

    trial.pass(deadline).await;
    assert_eq!(trial.text(&longer).await, Some(counted(1)), "kept until the later deadline");
    assert_eq!(trial.text(&shorter).await, None, "gone at the earlier deadline");
}

/// A touch keeps the record until its own deadline, be that later or earlier than the one before.
///
/// A store without touch ([`Store::supports_touch`]) is not asked.
pub async fn touch_moves_the_deadline(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    if !trial.store.supports_touch() {
        return;
    }
    let (longer, shorter) = (id("longer"), id("shorter"));
    let deadline = trial.deadline();
    trial.create(&longer, &counted(0), deadline).await;
    assert_eq!(trial.touch(&longer, trial.later(3600)).await, Touched::Done);
    trial.create(&shorter, &counted(0), trial.later(3600)).await;
    assert_eq!(trial.touch(&shorter, deadline).await, Touched::Done);

    trial.pass(deadline).await;
    assert!(trial.text(&longer).await.is_some(), "kept until the later deadline");
    assert_eq!(trial.text(&shorter).await, None, "gone at the earlier deadline");
}

/// A touch changes nothing of the data, and nothing of the revision: who touches gets in no writer's
/// way.
///
/// A store without touch ([`Store::supports_touch`]) is not asked.
pub async fn touch_keeps_the_data_and_the_revision(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    if !trial.store.supports_touch() {
        return;
    }
    let id = id("touched");
    let text = r#"{"7":"x","cookie":{"path":"/"},"b": 1.0 }"#;
    let revision = trial.create(&id, text, trial.later(60)).await;
    for _ in 0..2 {
        assert_eq!(trial.touch(&id, trial.later(3600)).await, Touched::Done);
        let touched = trial.text(&id).await;
        assert!(
            touched.as_deref() == Some(text) || touched == with_cookie(text, COOKIE),
            "neither the text as it was, nor with the new cookie: {touched:?}",
        );
    }
    assert_eq!(trial.loaded(&id).await.revision, revision);
    trial.update(&id, &counted(1), &revision, trial.later(3600)).await;
}

/// A record without a deadline of its own lives for the time of [`Store::lifetime`], if the store knows it.
pub async fn lifetime_is_that_of_a_record_without_a_deadline(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let Some(lifetime) = trial.store.lifetime().of(None) else { return };
    let id = id("default");
    let record = Record { text: counted(0).into(), deadline: None };
    let created = trial.store.create(&id, &record, trial.now()).await;
    assert!(matches!(ok(created), Created::Done(_)));
    let Some(deadline) = trial.loaded(&id).await.record.deadline else {
        assert_eq!(lifetime, Duration::MAX, "it has no end");
        return;
    };
    let left = deadline.saturating_since(trial.now());
    // Stores round to a second, and their server's clock has gone on.
    assert!(left.abs_diff(lifetime) <= Duration::from_secs(2), "{left:?} instead of {lifetime:?}");
}

/// Rule 5: neither `update` nor `touch` brings back what was destroyed.
pub async fn destroyed_record_stays_gone(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("destroyed");
    let revision = trial.create(&id, &counted(0), trial.later(3600)).await;
    ok(trial.store.destroy(&id).await);
    assert_eq!(trial.text(&id).await, None);
    trial.assert_gone(&id, &revision).await;
}

/// Rule 5: neither `update` nor `touch` brings back what has expired.
pub async fn expired_record_stays_gone(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let (loaded, unseen) = (id("loaded"), id("unseen"));
    let deadline = trial.deadline();
    let revision = trial.create(&loaded, &counted(0), deadline).await;
    let other = trial.create(&unseen, &counted(0), deadline).await;
    trial.pass(deadline).await;
    assert_eq!(trial.text(&loaded).await, None);
    trial.assert_gone(&loaded, &revision).await;
    trial.assert_gone(&unseen, &other).await;
}

/// Rule 5, in parallel: a record that is destroyed while others load, update and touch it stays gone.
pub async fn logout_is_final_while_others_write(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    for round in 0..8 {
        let id = id(format!("logout-{round}"));
        trial.create(&id, &counted(0), trial.later(3600)).await;
        let writer = |_| -> Task {
            let (store, id, now) = (Arc::clone(&trial.store), id.clone(), trial.now());
            let (record, touch) = (trial.record(&counted(1)), trial.touch_until(trial.later(3600)));
            Box::pin(async move {
                for _ in 0..16 {
                    let Some(loaded) = ok(store.load(&id, now).await) else { break };
                    turn().await;
                    ok(store.update(&id, &record, &loaded.revision, now).await);
                    if store.supports_touch() {
                        turn().await;
                        ok(store.touch(&id, &touch, now).await);
                    }
                }
            })
        };
        let mut tasks: Vec<Task> = (0..8).map(writer).collect();
        let (store, logged_out) = (Arc::clone(&trial.store), id.clone());
        tasks.push(Box::pin(async move {
            for _ in 0..round {
                turn().await;
            }
            ok(store.destroy(&logged_out).await);
        }));
        subject.parallel(tasks).await;
        assert_eq!(trial.text(&id).await, None, "a writer brought it back");
    }
}

/// Rule 6: destroying what is not there, or not any more, is success.
pub async fn destroy_of_nothing_is_success(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let (id, other) = (id("destroyed"), id("other"));
    ok(trial.store.destroy(&id).await);
    trial.create(&id, &counted(0), trial.later(3600)).await;
    trial.create(&other, &counted(1), trial.later(3600)).await;
    ok(trial.store.destroy(&id).await);
    ok(trial.store.destroy(&id).await);
    assert_eq!(trial.text(&id).await, None);
    assert_eq!(trial.text(&other).await, Some(counted(1)), "the wrong one was destroyed");
}

/// Every id has a record of its own, also an unusual one: with quotes, globs, slashes, spaces at
/// its end, other scripts, another case. An id that the store cannot keep is refused, as
/// [`ErrorKind::Unsuitable`] with a message that does not tell the id.
pub async fn every_id_keeps_its_own_record(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let mut kept = Vec::new();
    for (number, text) in hostile_ids().into_iter().enumerate() {
        let id = id(text.as_str());
        let record = trial.record(&counted(number));
        match trial.store.create(&id, &record, trial.now()).await {
            Ok(Created::Done(_)) => kept.push((number, id)),
            Ok(Created::Taken) => panic!("another id was taken for {text:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsuitable, "{text:?}: {error:?}");
                let shown = format!("{error} {error:?}");
                assert!(text.len() < 4 || !shown.contains(&text), "an error tells the id {text:?}");
            }
        }
    }
    assert!(kept.iter().any(|(number, _)| *number == 0), "not even an ordinary id is kept");
    for (number, id) in &kept {
        assert_eq!(trial.text(id).await, Some(counted(*number)), "{:?}", id.as_str());
    }
    while let Some((_, destroyed)) = kept.pop() {
        ok(trial.store.destroy(&destroyed).await);
        assert_eq!(trial.text(&destroyed).await, None, "{:?}", destroyed.as_str());
        for (number, id) in kept.iter().rev().take(3).chain(kept.first()) {
            let text = trial.text(id).await;
            assert_eq!(text, Some(counted(*number)), "{:?}", (destroyed.as_str(), id.as_str()));
        }
    }
}

/// A call whose future is dropped at any point happens or does not, and leaves a store that goes on working: a
/// visitor who closes the browser tears no record, and garbles no connection.
///
/// A server may carry the call out when a later one has been answered, as over a pool of connections.
pub async fn abandoned_call_happened_or_did_not(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let other = id("other");
    trial.create(&other, &counted(99), trial.later(3600)).await;
    for polls in 1..8 {
        let (id, now) = (id(format!("abandoned-{polls}")), trial.now());
        let revision = trial.create(&id, &counted(0), trial.later(3600)).await;
        let record = trial.record(&counted(1));
        abandon(trial.store.update(&id, &record, &revision, now), polls).await;
        let text = trial.text(&id).await;
        assert!(text == Some(counted(0)) || text == Some(counted(1)), "torn: {text:?}");

        let touch = trial.touch_until(trial.later(3600));
        abandon(trial.store.touch(&id, &touch, now), polls).await;
        abandon(trial.store.load(&id, now), polls).await;
        assert!(trial.text(&id).await.is_some(), "lost by a touch or a load");
        abandon(trial.store.destroy(&id), polls).await;
        abandon(trial.store.create(&id, &record, now), polls).await;
        let text = trial.text(&id).await;
        assert!(
            text.is_none() || text == Some(counted(0)) || text == Some(counted(1)),
            "torn: {text:?}",
        );
        assert_eq!(trial.text(&other).await, Some(counted(99)), "the answer to another call");
    }
}

/// A call whose future is dropped is over when the next call of its session is answered: what that one has destroyed
/// does not come back.
pub async fn abandoned_call_is_over_before_the_next(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("abandoned");
    for polls in 1..8 {
        abandon(trial.store.create(&id, &trial.record(&counted(0)), trial.now()), polls).await;
        ok(trial.store.destroy(&id).await);
        let revision = trial.create(&id, &counted(1), trial.later(3600)).await;
        abandon(trial.store.update(&id, &trial.record(&counted(2)), &revision, trial.now()), polls)
            .await;
        ok(trial.store.destroy(&id).await);
        assert_eq!(trial.text(&id).await, None, "after {polls} polls");
    }
}

/// Rule 7: what the store cannot read is an error of kind [`ErrorKind::Corrupt`], and stays where it
/// is, so that an operator can inspect it.
///
/// It needs [`Subject::plant`], and does nothing for a store that has no such thing.
pub async fn corrupt_record_is_an_error_and_stays(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("corrupt");
    if !subject.plant(&trial.store, &id, b"\xff\xfe{not a session").await {
        return;
    }
    for _ in 0..2 {
        match trial.store.load(&id, trial.now()).await {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}"),
            Ok(loaded) => panic!("garbage was loaded as {loaded:?}"),
        }
    }
}

/// A store that has no locks says so, to each of the three calls, and one that has some lacks none.
pub async fn store_has_every_call_about_locks_or_none(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let (id, record) = (id("locked"), trial.record(&counted(0)));
    let revision = trial.create(&id, &counted(0), trial.later(3600)).await;
    let locked = trial.store.lock(&id, ONE, HOUR, trial.now()).await.map(drop);
    let updated = trial.store.update_locked(&id, &record, &revision, ONE, trial.now()).await;
    let unlocked = trial.store.unlock(&id, ONE).await;
    let has = |answer: Result<(), Error>| match answer {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::Unsupported => false,
        Err(error) => panic!("the store failed: {error:?}"),
    };
    let has = [has(locked), has(updated.map(drop)), has(unlocked)];
    assert!(has == [true; 3] || has == [false; 3], "lock, update_locked, unlock: {has:?}");
}

/// While a lock is held, other callers do not get it, also when they ask again.
pub async fn lock_is_taken_while_another_holds_it(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("locked");
    assert!(matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)));
    for _ in 0..2 {
        assert_eq!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Held);
    }
    assert!(
        matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)),
        "the holder lost it by that"
    );
}

/// Locking again with the same token resets the lease, whether that is longer or shorter than the time left.
pub async fn locking_again_resets_the_lease_of_the_holder(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let (longer, shorter) = (id("longer"), id("shorter"));
    let (lease, end) = trial.lease();
    for (id, first, second) in [(&longer, lease, HOUR), (&shorter, HOUR, lease)] {
        assert!(matches!(trial.lock(id, ONE, first).await, LockOutcome::Acquired(_)));
        assert!(matches!(trial.lock(id, ONE, second).await, LockOutcome::Acquired(_)));
    }
    trial.pass(end).await;
    assert_eq!(trial.lock(&longer, OTHER, HOUR).await, LockOutcome::Held, "the longer lease");
    assert!(
        matches!(trial.lock(&shorter, OTHER, HOUR).await, LockOutcome::Acquired(_)),
        "the shorter lease"
    );
}

/// A lock is held until its lease is over, and not after.
pub async fn lock_is_free_after_its_lease(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let id = id("locked");
    let (lease, end) = trial.lease();
    assert!(matches!(trial.lock(&id, ONE, lease).await, LockOutcome::Acquired(_)));
    trial.pass_until_before(end).await;
    assert_eq!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Held, "a second before");
    trial.pass(end).await;
    assert!(matches!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Acquired(_)));
    assert_eq!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Held, "it is another's now");
}

/// The fencing token of each holder is higher than that of every earlier one, and renewing a lease keeps it.
pub async fn fencing_token_grows_with_every_holder(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let id = id("locked");
    let mut highest = None;
    // Much faster than any clock ticks, with the same holder and with others.
    for holder in [ONE, OTHER, ONE, ONE].repeat(8) {
        let fence = trial.fence(&id, holder, HOUR).await;
        assert!(Some(fence) > highest, "{fence} after {highest:?}");
        assert_eq!(trial.fence(&id, holder, HOUR).await, fence, "renewed");
        ok(trial.store.unlock(&id, holder).await);
        highest = Some(fence);
    }
    let (lease, end) = trial.lease();
    let before = trial.fence(&id, OTHER, lease).await;
    trial.pass(end).await;
    ok(trial.store.destroy(&id).await);
    assert!(trial.fence(&id, OTHER, HOUR).await > before, "the lease had ended");
}

/// A lock that its holder gave back is free.
pub async fn lock_is_free_once_its_holder_unlocks_it(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("locked");
    for holder in [ONE, OTHER, ONE] {
        assert!(matches!(trial.lock(&id, holder, HOUR).await, LockOutcome::Acquired(_)));
        ok(trial.store.unlock(&id, holder).await);
    }
}

/// Unlocking with a token that does not hold the lock, or no longer, changes nothing and succeeds.
pub async fn unlock_by_another_changes_nothing(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let (id, free) = (id("locked"), id("free"));
    ok(trial.store.unlock(&free, ONE).await);

    let (lease, end) = trial.lease();
    assert!(matches!(trial.lock(&id, ONE, lease).await, LockOutcome::Acquired(_)));
    ok(trial.store.unlock(&id, OTHER).await);
    assert_eq!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Held);

    trial.pass(end).await;
    assert!(matches!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Acquired(_)));
    ok(trial.store.unlock(&id, ONE).await);
    assert_eq!(
        trial.lock(&id, ONE, HOUR).await,
        LockOutcome::Held,
        "unlocked by a caller that had lost it"
    );
}

/// Of many that lock the same id, one does.
pub async fn one_of_many_concurrent_locks_is_done(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let winners = Arc::new(std::sync::Mutex::new(Vec::new()));
    let task = |number| -> Task {
        let (store, winners, now) = (Arc::clone(&trial.store), Arc::clone(&winners), trial.now());
        Box::pin(async move {
            turn().await;
            if let LockOutcome::Acquired(_) =
                ok(store.lock(&id("contested"), holder(number), HOUR, now).await)
            {
                winners.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(number);
            }
        })
    };
    subject.parallel((0..WRITERS).map(task).collect()).await;
    let winners = winners.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    assert_eq!(winners.len(), 1, "of {WRITERS} that lock one id, this many did");
    assert!(matches!(
        trial.lock(&id("contested"), holder(winners[0]), HOUR).await,
        LockOutcome::Acquired(_)
    ));
}

/// Every id has a lock of its own, as it has a record of its own.
pub async fn every_id_has_its_own_lock(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let mut kept = Vec::new();
    for (number, text) in hostile_ids().into_iter().enumerate() {
        let (id, holder) = (id(text.as_str()), holder(number));
        match trial.store.lock(&id, holder, HOUR, trial.now()).await {
            Ok(LockOutcome::Acquired(_)) => kept.push((id, holder)),
            Ok(LockOutcome::Held) => panic!("another id was locked for {text:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsuitable, "{text:?}: {error:?}");
                let shown = format!("{error} {error:?}");
                assert!(text.len() < 4 || !shown.contains(&text), "an error tells the id {text:?}");
            }
        }
    }
    assert!(kept.len() > 1, "not even ordinary ids can be locked");
    while let Some((unlocked, owner)) = kept.pop() {
        ok(trial.store.unlock(&unlocked, owner).await);
        for (id, _) in kept.iter().rev().take(3).chain(kept.first()) {
            let locked = trial.lock(id, holder(1000), HOUR).await;
            assert_eq!(locked, LockOutcome::Held, "{:?}", (unlocked.as_str(), id.as_str()));
        }
    }
}

/// A lock is the id's and not the record's: it is there before the record is, and after.
pub async fn lock_needs_no_record_and_outlives_it(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("locked");
    let record = trial.record(&counted(1));
    assert!(matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)));
    assert_eq!(trial.text(&id).await, None, "a lock was taken for a record");
    let fenced = trial.update_locked(&id, &record, &Revision::new(1), ONE).await;
    assert_eq!(fenced, Fenced::Held(Updated::Gone));
    assert_eq!(trial.text(&id).await, None, "an update under a lock made a record");

    let revision = trial.create(&id, &counted(0), trial.later(3600)).await;
    assert_eq!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Held, "after create");
    ok(trial.store.destroy(&id).await);
    assert_eq!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Held, "after destroy");
    let fenced = trial.update_locked(&id, &record, &revision, ONE).await;
    assert_eq!(fenced, Fenced::Held(Updated::Gone));

    trial.create(&id, &counted(0), trial.later(3600)).await;
    ok(trial.store.unlock(&id, ONE).await);
    assert_eq!(trial.text(&id).await, Some(counted(0)), "unlock took the record along");
}

/// A lock is a matter between those who ask for it: everybody else writes as ever.
pub async fn lock_does_not_affect_calls_without_it(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("locked");
    assert!(matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)));
    let revision = trial.create(&id, &counted(0), trial.later(3600)).await;
    assert_eq!(trial.loaded(&id).await.revision, revision);
    trial.update(&id, &counted(1), &revision, trial.later(3600)).await;
    if trial.store.supports_touch() {
        assert_eq!(trial.touch(&id, trial.later(3600)).await, Touched::Done);
    }
    assert_eq!(count_in(&trial.loaded(&id).await.record.text), 1);
    ok(trial.store.destroy(&id).await);
    assert_eq!(trial.text(&id).await, None);
    assert!(
        matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)),
        "the holder has it still"
    );
}

/// Rule 4, under a lock: what [`Store::update`] would answer, and do.
pub async fn locked_update_writes_as_an_update_does(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let id = id("locked");
    let deadline = trial.deadline();
    assert!(matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)));
    let seen = trial.create(&id, &counted(0), trial.later(3600)).await;

    let fenced = trial.update_locked(&id, &trial.record(&counted(1)), &seen, ONE).await;
    let Fenced::Held(Updated::Done(revision)) = fenced else { panic!("not written: {fenced:?}") };
    let loaded = trial.loaded(&id).await;
    assert_eq!(*loaded.record.text, counted(1));
    assert_eq!(loaded.revision, revision, "the revision that the update gave");

    let fenced = trial.update_locked(&id, &trial.record(&counted(2)), &seen, ONE).await;
    let Fenced::Held(Updated::Conflict(current)) = fenced else { panic!("{fenced:?}") };
    assert_eq!(*current.record.text, counted(1), "the record of the conflict");
    assert_eq!(current.revision, revision, "the revision of the conflict");
    assert_eq!(trial.text(&id).await, Some(counted(1)), "a conflict changed something");

    let record = Record { text: counted(3).into(), deadline: Some(deadline) };
    let fenced = trial.update_locked(&id, &record, &revision, ONE).await;
    let Fenced::Held(Updated::Done(revision)) = fenced else { panic!("not written: {fenced:?}") };
    trial.pass(deadline).await;
    assert_eq!(trial.text(&id).await, None, "kept after its deadline");
    let fenced = trial.update_locked(&id, &trial.record(&counted(4)), &revision, ONE).await;
    assert_eq!(fenced, Fenced::Held(Updated::Gone));
    assert_eq!(trial.text(&id).await, None, "brought back");
}

/// A token that never had the lock, returned it, or lost it to another writes nothing, and learns that
/// rather than of a conflict.
pub async fn locked_update_without_the_lock_is_lost(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let (id, gone) = (id("locked"), id("gone"));
    let (mine, theirs) = (trial.record(&counted(1)), trial.record(&counted(2)));
    let seen = trial.create(&id, &counted(0), trial.later(3600)).await;
    assert_eq!(trial.update_locked(&id, &mine, &seen, ONE).await, Fenced::Lost, "never locked");
    assert!(matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)));
    ok(trial.store.unlock(&id, ONE).await);
    assert_eq!(trial.update_locked(&id, &mine, &seen, ONE).await, Fenced::Lost, "given back");

    let (lease, end) = trial.lease();
    assert!(matches!(trial.lock(&id, ONE, lease).await, LockOutcome::Acquired(_)));
    trial.pass(end).await;
    assert!(matches!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Acquired(_)));
    assert_eq!(trial.update_locked(&id, &mine, &seen, ONE).await, Fenced::Lost, "taken");
    assert_eq!(trial.text(&id).await, Some(counted(0)), "written without the lock");

    let fenced = trial.update_locked(&id, &theirs, &seen, OTHER).await;
    assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "{fenced:?}");
    assert_eq!(trial.update_locked(&id, &mine, &seen, ONE).await, Fenced::Lost, "and written");
    assert_eq!(trial.text(&id).await, Some(counted(2)));
    assert_eq!(trial.update_locked(&gone, &mine, &seen, ONE).await, Fenced::Lost, "no record");
}

/// Rule 8: an expired lease is a lost lock, even if no other token has asked for it since.
pub async fn locked_update_after_the_lease_is_lost(subject: &impl Subject) {
    let mut trial = Trial::of(subject).await;
    let id = id("locked");
    let (lease, end) = trial.lease();
    let seen = trial.create(&id, &counted(0), trial.later(3600)).await;
    assert!(matches!(trial.lock(&id, ONE, lease).await, LockOutcome::Acquired(_)));
    trial.pass_until_before(end).await;
    let fenced = trial.update_locked(&id, &trial.record(&counted(1)), &seen, ONE).await;
    let Fenced::Held(Updated::Done(revision)) = fenced else {
        panic!("a second before: {fenced:?}")
    };

    trial.pass(end).await;
    let fenced = trial.update_locked(&id, &trial.record(&counted(2)), &revision, ONE).await;
    assert_eq!(fenced, Fenced::Lost);
    assert_eq!(trial.text(&id).await, Some(counted(1)), "written after the lease");
    assert!(matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)));
    let fenced = trial.update_locked(&id, &trial.record(&counted(3)), &revision, ONE).await;
    assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "locked again: {fenced:?}");
}

/// Rule 8, in parallel: once another has the lock, the one who had it before writes nothing more, not
/// even with a call that was on its way.
pub async fn locked_update_is_one_step_with_its_lock(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    for round in 0..16 {
        let id = id(format!("passed-on-{round}"));
        let seen = trial.create(&id, &counted(0), trial.later(3600)).await;
        assert!(matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)));
        let now = trial.now();
        let (store, locked, record) =
            (Arc::clone(&trial.store), id.clone(), trial.record(&counted(1)));
        let writer: Task = Box::pin(async move {
            ok(store.update_locked(&locked, &record, &seen, ONE, now).await);
        });
        let (store, locked) = (Arc::clone(&trial.store), id.clone());
        let taker: Task = Box::pin(async move {
            for _ in 0..round / 4 {
                turn().await;
            }
            ok(store.unlock(&locked, ONE).await);
            assert!(matches!(
                ok(store.lock(&locked, OTHER, HOUR, now).await),
                LockOutcome::Acquired(_)
            ));
            let first = ok(store.load(&locked, now).await).map(|loaded| loaded.revision);
            for _ in 0..8 {
                turn().await;
                let later = ok(store.load(&locked, now).await).map(|loaded| loaded.revision);
                assert_eq!(later, first, "written though another holds the lock");
            }
        });
        subject.parallel(vec![writer, taker]).await;
    }
}

/// Callers that take turns under the lock overwrite no update of each other, and see no conflict.
pub async fn concurrent_critical_sections_lose_nothing(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let id = id("counter");
    trial.create(&id, &counted(0), trial.later(3600)).await;
    let task = |number| -> Task {
        let (store, id, now) = (Arc::clone(&trial.store), id.clone(), trial.now());
        let (deadline, holder) = (Some(trial.later(3600)), holder(number));
        Box::pin(async move {
            let mut attempts = 0;
            while ok(store.lock(&id, holder, HOUR, now).await) == LockOutcome::Held {
                attempts += 1;
                assert!(attempts < ATTEMPTS, "the lock is never free");
                turn().await;
            }
            let loaded = ok(store.load(&id, now).await);
            let loaded = loaded.unwrap_or_else(|| panic!("the counter is gone"));
            turn().await;
            let text = counted(count_in(&loaded.record.text) + 1).into();
            let record = Record { text, deadline };
            let fenced = store.update_locked(&id, &record, &loaded.revision, holder, now).await;
            let fenced = ok(fenced);
            assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "under a lock: {fenced:?}");
            turn().await;
            ok(store.unlock(&id, holder).await);
        })
    };
    subject.parallel((0..SECTIONS).map(task).collect()).await;
    assert_eq!(trial.text(&id).await, Some(counted(SECTIONS)));
}

/// A call about a lock whose future is dropped at any point has happened or has not: no other token holds the
/// lock then, and no record is torn.
pub async fn abandoned_call_about_a_lock_happened_or_did_not(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    for polls in 1..8 {
        let now = trial.now();
        let id = id(format!("abandoned-{polls}"));
        let revision = trial.create(&id, &counted(0), trial.later(3600)).await;
        abandon(trial.store.lock(&id, ONE, HOUR, now), polls).await;
        assert!(
            matches!(trial.lock(&id, ONE, HOUR).await, LockOutcome::Acquired(_)),
            "the lock had no holder"
        );
        assert_eq!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Held);

        let record = trial.record(&counted(1));
        abandon(trial.store.update_locked(&id, &record, &revision, ONE, now), polls).await;
        let text = trial.text(&id).await;
        assert!(text == Some(counted(0)) || text == Some(counted(1)), "torn: {text:?}");
        assert_eq!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Held, "a write took it away");

        abandon(trial.store.unlock(&id, ONE), polls).await;
        if trial.lock(&id, OTHER, HOUR).await == LockOutcome::Held {
            ok(trial.store.unlock(&id, ONE).await);
            assert!(
                matches!(trial.lock(&id, OTHER, HOUR).await, LockOutcome::Acquired(_)),
                "stuck"
            );
        }
        // Loaded under the lock: what was abandoned before can write no more.
        let current = trial.loaded(&id).await.revision;
        let fenced = trial.update_locked(&id, &trial.record(&counted(2)), &current, OTHER).await;
        assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "{fenced:?}");
    }
}

/// A session that is there from the first page of a listing to the last is listed exactly once,
/// though others come, go and are written meanwhile, and it is itself.
pub async fn listing_gives_each_session_once_while_others_write(
    subject: &impl Subject<Store: Admin>,
) {
    const SESSIONS: usize = 10_000;
    const PAGE: usize = 300;
    let trial = Trial::of(subject).await;
    let task = |first| -> Task {
        let (store, now, deadline) =
            (Arc::clone(&trial.store), trial.now(), Some(trial.later(3600)));
        Box::pin(async move {
            for number in (first..SESSIONS).step_by(16) {
                let record = Record { text: counted(number).into(), deadline };
                ok(store.create(&id(format!("stays-{number}")), &record, now).await);
            }
        })
    };
    subject.parallel((0..16).map(task).collect()).await;

    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut after = None;
    for page in 0.. {
        assert!(page < SESSIONS, "the listing does not end");
        let listed = ok(trial.store.list(after, PAGE, trial.now()).await);
        assert!(listed.sessions.len() <= PAGE, "more than asked for: {}", listed.sessions.len());
        for (id, record) in listed.sessions {
            if let Some(number) = id.as_str().strip_prefix("stays-") {
                assert_eq!(count_in(&record.text).to_string(), number, "another's record");
            }
            *seen.entry(id.as_str().to_owned()).or_default() += 1;
        }
        after = listed.next;
        if after.is_none() {
            break;
        }
        for number in 0..10 {
            let passer = id(format!("passes-{page}-{number}"));
            trial.create(&passer, &counted(0), trial.later(3600)).await;
            ok(trial.store.destroy(&id(format!("passes-{}-{number}", page / 2))).await);
            let stays = id(format!("stays-{}", (page * 997 + number * 101) % SESSIONS));
            let Loaded { record, revision } = trial.loaded(&stays).await;
            ok(trial.store.update(&stays, &record, &revision, trial.now()).await);
        }
    }
    for number in 0..SESSIONS {
        let times = seen.get(&format!("stays-{number}")).copied();
        assert_eq!(times, Some(1), "how often session {number} was listed");
    }
}

/// A listing gives no session that has expired, and a count counts none.
pub async fn listing_and_count_leave_out_what_has_expired(subject: &impl Subject<Store: Admin>) {
    let mut trial = Trial::of(subject).await;
    assert_eq!(ok(trial.store.count(trial.now()).await), 0, "a new store is empty");
    assert_eq!(trial.list().await, [""; 0]);
    let deadline = trial.deadline();
    for number in 0..5 {
        trial.create(&id(format!("expires-{number}")), &counted(0), deadline).await;
    }
    for number in 0..3 {
        trial.create(&id(format!("stays-{number}")), &counted(0), trial.later(3600)).await;
    }
    let all = (ok(trial.store.count(trial.now()).await), trial.list().await.len());
    // A machine that is busy may take longer than that.
    if trial.later(1) < deadline {
        assert_eq!(all, (8, 8));
    }
    trial.pass(deadline).await;
    assert_eq!(ok(trial.store.count(trial.now()).await), 3);
    assert_eq!(trial.list().await, ["stays-0", "stays-1", "stays-2"]);
}

/// Clearing a store empties it, leaves it usable, and touches nothing of a store beside it.
pub async fn clear_removes_everything_and_nothing_of_another_store(
    subject: &impl Subject<Store: Admin>,
) {
    let (cleared, beside) = (Trial::of(subject).await, Trial::of(subject).await);
    let mut kept = Vec::new();
    for (number, text) in hostile_ids().into_iter().enumerate() {
        let id = id(text);
        for trial in [&cleared, &beside] {
            let record = trial.record(&counted(number));
            // Another law covers unsuitable ids.
            let _ = trial.store.create(&id, &record, trial.now()).await;
        }
        if beside.text(&id).await.is_some() {
            kept.push((number, id));
        }
    }
    ok(cleared.store.clear().await);
    assert_eq!(ok(cleared.store.count(cleared.now()).await), 0, "something is left");
    for (number, id) in &kept {
        assert_eq!(cleared.text(id).await, None, "{:?} is left", id.as_str());
        assert_eq!(beside.text(id).await, Some(counted(*number)), "{:?} is lost", id.as_str());
    }
    ok(cleared.store.clear().await);
    cleared.create(&id("after"), &counted(0), cleared.later(3600)).await;
    assert_eq!(cleared.text(&id("after")).await, Some(counted(0)));
}

/// Purging removes no more than it was asked to, and nothing that is live.
pub async fn purge_removes_what_has_expired_and_nothing_else(subject: &impl Subject<Store: Admin>) {
    let mut trial = Trial::of(subject).await;
    let deadline = trial.deadline();
    for number in 0..20 {
        trial.create(&id(format!("expires-{number}")), &counted(0), deadline).await;
        trial.create(&id(format!("stays-{number}")), &counted(1), trial.later(3600)).await;
    }
    assert_eq!(ok(trial.store.purge(100, trial.now()).await), 0, "nothing has expired");
    trial.pass(deadline).await;
    let mut purged = 0;
    loop {
        match ok(trial.store.purge(7, trial.now()).await) {
            0 => break,
            some => {
                assert!(some <= 7, "{some} removed, where 7 were asked for");
                purged += some;
            }
        }
    }
    // A store that removes them itself has fewer left to purge.
    assert!(purged <= 20, "{purged} of 20 expired records were purged");
    assert_eq!(ok(trial.store.count(trial.now()).await), 20);
    for number in 0..20 {
        assert!(trial.text(&id(format!("stays-{number}"))).await.is_some(), "lost");
    }
}

/// A lock is not listed, counted or purged, held or not, and does not go when its record does.
///
/// It does nothing for a store that has no locks.
pub async fn locks_are_no_sessions(subject: &impl Subject<Store: Admin>) {
    let mut trial = Trial::of(subject).await;
    let (lease, end) = trial.lease();
    for number in 0..5 {
        let id = id(format!("locked-{number}"));
        match trial.store.lock(&id, ONE, lease, trial.now()).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => return,
            locked => assert!(matches!(ok(locked), LockOutcome::Acquired(_))),
        }
    }
    trial.create(&id("locked-0"), &counted(0), trial.later(3600)).await;
    assert!(matches!(trial.lock(&id("held"), ONE, HOUR).await, LockOutcome::Acquired(_)));
    assert_eq!(ok(trial.store.count(trial.now()).await), 1);
    assert_eq!(trial.list().await, ["locked-0"]);
    trial.pass(end).await;
    assert_eq!(ok(trial.store.purge(100, trial.now()).await), 0, "a lock was purged");
    assert_eq!(ok(trial.store.count(trial.now()).await), 1);
    assert_eq!(trial.list().await, ["locked-0"]);
    assert_eq!(
        trial.lock(&id("held"), OTHER, HOUR).await,
        LockOutcome::Held,
        "purged while it is held"
    );
}

/// A user's sessions are found by what their records say, whatever else the records of the store contain.
pub async fn sessions_of_a_user_are_those_whose_record_says_so(
    subject: &impl Subject<Store: Admin>,
) {
    let mut trial = Trial::of(subject).await;
    let own = |user: &str| {
        format!(r#""__sessionMetadata":{{"created":1,"seen":1,"authenticated":1,"user":{user}}}"#)
    };
    let passport = |user: &str| format!(r#""passport":{{"user":{user}}}"#);
    let (bob, eve) = ("\"bob\"", "\"eve\"");
    for (name, members) in [
        ("bob-own", own(bob)),
        ("bob-passport", passport(bob)),
        ("bob-both", format!("{},{}", passport(bob), own(bob))),
        // Passport has logged in another user, or none.
        ("eve-now", format!("{},{}", own(bob), passport(eve))),
        ("logged-out", format!("{},{}", own(bob), r#""passport":{}"#)),
        ("eve-own", own(eve)),
        (
            "other-members",
            r#""friend":"bob","user":"bob","a":{"passport":{"user":"bob"}}"#.to_owned(),
        ),
        ("case", own("\"BOB\"")),
        ("space", own("\"bob \"")),
        ("number", own("7")),
        ("text", own("\"7\"")),
        ("quotes", own(r#""a'b\"%_\\""#)),
        ("unicode", passport("\"Zażółć 🦀\"")),
        ("object", own(r#"{"id":7,"name":"bob"}"#)),
    ] {
        let text = format!(r#"{{"cookie":{{"path":"/"}},{members}}}"#);
        trial.create(&id(name), &text, trial.later(3600)).await;
    }
    for (number, text) in TEXTS.iter().enumerate() {
        let record = trial.record(text);
        let created = trial.store.create(&id(format!("text-{number}")), &record, trial.now()).await;
        if !is_refused(text, created.as_ref().err()) {
            ok(created);
        }
    }
    for (user, names) in [
        (bob, &["bob-both", "bob-own", "bob-passport"][..]),
        (eve, &["eve-now", "eve-own"]),
        ("\"BOB\"", &["case"]),
        ("\"bob \"", &["space"]),
        ("7", &["number"]),
        ("\"7\"", &["text"]),
        (r#""a'b\"%_\\""#, &["quotes"]),
        ("\"Zażółć 🦀\"", &["unicode"]),
        (r#"{"id":7,"name":"bob"}"#, &["object"]),
        ("\"none\"", &[]),
        ("8", &[]),
    ] {
        assert_eq!(trial.sessions_of(user).await, names, "the sessions of {user}");
    }

    let deadline = trial.deadline();
    let text = format!(r#"{{"cookie":{{"path":"/"}},{}}}"#, own("\"short\""));
    trial.create(&id("expires"), &text, deadline).await;
    trial.create(&id("stays"), &text, trial.later(3600)).await;
    trial.pass(deadline).await;
    assert_eq!(trial.sessions_of("\"short\"").await, ["stays"]);
}

/// A login, another login and a logout show in the next listing, by whatever call they were written.
pub async fn sessions_of_a_user_follow_every_write(subject: &impl Subject<Store: Admin>) {
    let trial = Trial::of(subject).await;
    let (session, end) = (id("session"), trial.later(3600));
    let text = |user: &str| format!(r#"{{"cookie":{{"path":"/"}},"passport":{{"user":{user}}}}}"#);
    let mut revision = trial.create(&session, &counted(0), end).await;
    for user in ["\"bob\"", "\"eve\"", "\"bob\"", "null", "\"bob\""] {
        revision = trial.update(&session, &text(user), &revision, end).await;
        for other in ["\"bob\"", "\"eve\""] {
            let names: &[&str] = if user == other { &["session"] } else { &[] };
            assert_eq!(trial.sessions_of(other).await, names, "{other} after the login of {user}");
        }
    }
    if trial.store.supports_touch() {
        assert_eq!(trial.touch(&session, end).await, Touched::Done);
        assert_eq!(trial.sessions_of("\"bob\"").await, ["session"]);
    }
    ok(trial.store.destroy(&session).await);
    assert_eq!(trial.sessions_of("\"bob\"").await, [""; 0]);
    trial.create(&session, &text("\"bob\""), end).await;
    assert_eq!(trial.sessions_of("\"bob\"").await, ["session"]);
}

/// Logins of one user at the same time are all listed: none of them overwrites another.
pub async fn logins_at_the_same_time_are_all_listed(subject: &impl Subject<Store: Admin>) {
    let trial = Trial::of(subject).await;
    for round in 0..10 {
        let text = format!(r#"{{"cookie":{{"path":"/"}},"passport":{{"user":{round}}}}}"#);
        let task = |number| -> Task {
            let (store, now, record) = (Arc::clone(&trial.store), trial.now(), trial.record(&text));
            Box::pin(async move {
                let id = id(format!("{round}-{number}"));
                assert!(matches!(ok(store.create(&id, &record, now).await), Created::Done(_)));
            })
        };
        subject.parallel((0..3).map(task).collect()).await;
        let names = [0, 1, 2].map(|number| format!("{round}-{number}"));
        assert_eq!(trial.sessions_of(&round.to_string()).await, names);
    }
}

/// A session of a user that is there from the first page to the last is listed exactly once, though others come, go and are
/// written meanwhile.
pub async fn session_of_a_user_is_listed_once_while_others_write(
    subject: &impl Subject<Store: Admin>,
) {
    const SESSIONS: usize = 300;
    let trial = Trial::of(subject).await;
    let text = |user: usize| format!(r#"{{"cookie":{{"path":"/"}},"passport":{{"user":{user}}}}}"#);
    for number in 0..SESSIONS {
        let name = id(format!("stays-{number}"));
        trial.create(&name, &text(number % 3), trial.later(3600)).await;
    }
    let users = query("1");
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut after = None;
    for page in 0.. {
        assert!(page < 10 * SESSIONS, "the listing does not end");
        let listed = ok(trial.store.sessions_of(&users, after, 7, trial.now()).await);
        assert!(listed.sessions.len() <= 7, "more than asked for: {}", listed.sessions.len());
        for (id, record) in listed.sessions {
            assert!(users.matches(&record.text), "another user's session");
            *seen.entry(id.as_str().to_owned()).or_default() += 1;
        }
        after = listed.next;
        if after.is_none() {
            break;
        }
        let passer = id(format!("passes-{page}"));
        trial.create(&passer, &text(1), trial.later(3600)).await;
        ok(trial.store.destroy(&id(format!("passes-{}", page / 2))).await);
        let stays = id(format!("stays-{}", (page * 97) % SESSIONS));
        let Loaded { record, revision } = trial.loaded(&stays).await;
        ok(trial.store.update(&stays, &record, &revision, trial.now()).await);
    }
    for number in (1..SESSIONS).step_by(3) {
        let times = seen.get(&format!("stays-{number}")).copied();
        assert_eq!(times, Some(1), "how often session {number} was listed");
    }
}

/// Rule 9: a clock that is ahead or behind ends no record that is live by the right one, in any call, and a record that
/// a call has touched, updated or created has its whole lifetime by the right clock too.
///
/// The result of a call with a wrong clock is the store's own affair, but for `create`: an id in use is taken. A record
/// that it creates may be over by the right clock immediately.
pub async fn wrong_clock_ends_no_record(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    for lifetime in LIFETIMES {
        for (number, wrong) in wrong_clocks(lifetime).enumerate() {
            let id = |name: &str| id(format!("{name}-{}-{number}", lifetime.as_secs()));
            let record = |count, deadline| Record { text: counted(count).into(), deadline };
            let right = real_time();
            let (end, wrong) = (Some(right.saturating_add(lifetime)), wrong(right));
            let wrong_end = Some(wrong.saturating_add(lifetime));
            // Each record ends soon by the right clock.
            let soon = Some(right.saturating_add(lifetime / 20));
            for name in ["idle", "touched", "updated"] {
                let deadline = if name == "idle" { end } else { soon };
                let created = trial.store.create(&id(name), &record(1, deadline), right).await;
                assert!(matches!(ok(created), Created::Done(_)), "an unused id was taken");
            }

            for name in ["idle", "touched", "updated"] {
                ok(trial.store.load(&id(name), wrong).await);
                let created = trial.store.create(&id(name), &record(100, wrong_end), wrong).await;
                assert_eq!(ok(created), Created::Taken);
            }
            let touch = Touch::new(COOKIE, wrong_end);
            let touched = match trial.store.supports_touch() {
                true => ok(trial.store.touch(&id("touched"), &touch, wrong).await),
                false => Touched::Gone,
            };
            let revision = ok(trial.store.load(&id("updated"), real_time()).await);
            let revision = revision.unwrap_or_else(|| panic!("{wrong:?} ended it")).revision;
            let update = record(2, wrong_end);
            let updated = trial.store.update(&id("updated"), &update, &revision, wrong).await;
            let updated = matches!(ok(updated), Updated::Done(_));
            let created = trial.store.create(&id("created"), &record(1, wrong_end), wrong).await;
            assert!(matches!(ok(created), Created::Done(_)), "an unused id was taken");

            let whole = lifetime.saturating_sub(LATE);
            for (name, count, left) in [
                ("idle", 1, whole),
                ("touched", 1, if touched == Touched::Done { whole } else { Duration::ZERO }),
                ("updated", 1 + usize::from(updated), if updated { whole } else { Duration::ZERO }),
                ("created", 1, if wrong_end > Some(right) { whole } else { continue }),
            ] {
                let until = right.saturating_add(left);
                let loaded = ok(trial.store.load(&id(name), until.max(real_time())).await);
                assert!(
                    loaded.is_some(),
                    "{name}: ended before {until:?} after calls at {wrong:?}"
                );
                let loaded = ok(trial.store.load(&id(name), real_time()).await);
                let loaded = loaded.unwrap_or_else(|| panic!("{name}: ended by {wrong:?}"));
                assert_eq!(count_in(&loaded.record.text), count, "{name}");
                let deadline = loaded.record.deadline;
                assert!(
                    deadline.is_none_or(|end| end >= until),
                    "{name}: {deadline:?} at {wrong:?}"
                );
                // No later than the wrong clock says, or the right one.
                let latest = wrong_end.max(end).map(|end| end.saturating_add(LATE));
                assert!(deadline <= latest, "{name}: {deadline:?} at {wrong:?}");
            }
        }
    }
}

/// Rule 9, for cleanup: a purge by a wrong clock removes nothing that is live by the right one, and a listing and a count
/// have every session that a clock behind has touched.
pub async fn wrong_clock_purges_nothing(subject: &impl Subject<Store: Admin>) {
    let trial = Trial::of(subject).await;
    let right = real_time();
    for number in 0..5 {
        let deadline = Some(right.saturating_add(HOUR));
        let record = Record { text: counted(number).into(), deadline };
        ok(trial.store.create(&id(format!("live-{number}")), &record, right).await);
    }
    for wrong in wrong_clocks(HOUR) {
        let wrong = wrong(right);
        if trial.store.supports_touch() {
            let touch = Touch::new(COOKIE, Some(wrong.saturating_add(HOUR)));
            ok(trial.store.touch(&id("live-0"), &touch, wrong).await);
        }
        assert_eq!(ok(trial.store.purge(100, wrong).await), 0, "a live session was purged");
        ok(trial.store.count(wrong).await);
        ok(trial.store.list(None, 100, wrong).await);
        assert_eq!(ok(trial.store.count(real_time()).await), 5);
        let later = right.saturating_add(HOUR.saturating_sub(LATE));
        assert_eq!(ok(trial.store.count(later).await), 5, "after a touch at {wrong:?}");
        let page = ok(trial.store.list(None, 100, later).await);
        assert_eq!(page.sessions.len(), 5, "after a touch at {wrong:?}");
    }
}

/// Rule 9, for limits: a store whose caller's clock is ahead tells another [time](Store::time), by which sessions go on.
pub async fn clock_that_is_ahead_is_not_the_stores(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    for ahead in [LATE + LATE, HOUR, 100 * DAY] {
        let told = ok(trial.store.time(real_time().saturating_add(ahead)).await);
        assert!(
            told <= real_time().saturating_add(LATE),
            "{told:?} by a clock that is {ahead:?} ahead"
        );
    }
    let right = real_time();
    let told = ok(trial.store.time(right).await);
    assert!(right <= told.saturating_add(LATE), "{told:?} at {right:?}");
}

/// Rule 9, for locks: a clock that is wrong takes no lock that is held, and one that is behind by less than its lease
/// holds a lock for the whole of it.
///
/// It does nothing for a store that has no locks.
pub async fn wrong_clock_takes_no_lock(subject: &impl Subject) {
    let trial = Trial::of(subject).await;
    let (right, id) = (real_time(), id("locked"));
    let revision = trial.create(&id, &counted(0), right.saturating_add(HOUR)).await;
    match trial.store.lock(&id, ONE, HOUR, right).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        locked => assert!(matches!(ok(locked), LockOutcome::Acquired(_))),
    }
    for wrong in wrong_clocks(HOUR) {
        let wrong = wrong(right);
        assert_eq!(ok(trial.store.lock(&id, OTHER, HOUR, wrong).await), LockOutcome::Held);
    }
    let record = Record { text: counted(1).into(), deadline: Some(right.saturating_add(HOUR)) };
    let fenced = ok(trial.store.update_locked(&id, &record, &revision, ONE, right).await);
    assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "{fenced:?}");
    ok(trial.store.unlock(&id, ONE).await);
    for part in PARTS {
        let behind = before(right, HOUR * part / 100);
        let locked = ok(trial.store.lock(&id, ONE, HOUR, behind).await);
        assert!(matches!(locked, LockOutcome::Acquired(_)), "{locked:?}");
        let later = right.saturating_add(HOUR.saturating_sub(LATE));
        let other = ok(trial.store.lock(&id, OTHER, HOUR, later).await);
        assert_eq!(other, LockOutcome::Held, "a lock of {behind:?} was over before its lease");
        ok(trial.store.unlock(&id, ONE).await);
    }
}

/// A server may count a long lifetime in another way than a short one.
const LIFETIMES: [Duration; 2] = [HOUR, Duration::from_secs(60 * 24 * 60 * 60)];
/// By how much a clock is wrong, in hundredths of a lifetime.
const PARTS: [u32; 3] = [10, 50, 99];
/// How much later the right clock may be when a call is carried out, and how much a store may round.
const LATE: Duration = Duration::from_secs(30);

/// Returns the clocks that are wrong by more than the lifetime, and by a part of it.
fn wrong_clocks(lifetime: Duration) -> impl Iterator<Item = impl Fn(Timestamp) -> Timestamp> {
    let parts = PARTS.into_iter().map(move |part| lifetime * part / 100);
    [25 * HOUR, 100 * DAY].into_iter().chain(parts).flat_map(|by| {
        [true, false].map(|is_ahead| {
            move |right: Timestamp| {
                if is_ahead { right.saturating_add(by) } else { before(right, by) }
            }
        })
    })
}

fn before(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_millis(time.millis().saturating_sub_unsigned(by.as_millis() as u64))
}

const WRITERS: usize = 64;
/// Fewer than writers: all but one do nothing but ask for the lock.
const SECTIONS: usize = 16;
/// How often to ask for a lock that others hold, each for the time of a few calls.
const ATTEMPTS: usize = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ONE: LockToken = LockToken::from_random([1; LockToken::BYTES]);
/// With bytes that are neither text nor a number that a column would take for another.
const OTHER: LockToken = LockToken::from_random([
    0xff, 0x00, b'\'', b'\\', 0x80, b'\n', b':', b' ', b'0', 0xc3, 0x28, b'%', 0x7f, b'"', 0x1a,
    0x00,
]);
const COOKIE: &str = r#"{"originalMaxAge":60000,"path":"/","touched":true}"#;

const TEXTS: [&str; 10] = [
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}}"#,
    r#"{"7":"x","10":"y","cookie":{},"b":1,"a":2}"#,
    r#"{ "cookie" : {} , "spaces":  [ 1.0, 1e3, -0, 12345678901234567890 ] }"#,
    "{\"cookie\":{},\"scripts\":\"Zażółć 会话 🦀 \u{2028} e\u{301} \u{feff}\"}",
    r#"{"cookie":{},"escapes":"\" \\ \/ \b \f \n \r \t \u0000 \ud83e\udd80 \ud800"}"#,
    "{\"cookie\":{},\"raw\":\"\0 \u{1} \u{7f} \r\n\"}",
    r#"{"cookie":{},"sql":"'; DROP TABLE sessions; -- %s $1 ? \\' `"}"#,
    r#"{"cookie":{},"b":1,"b":2}"#,
    "not a session at all",
    " ",
];

fn hostile_ids() -> Vec<String> {
    let texts = [
        "GVnCWKzBQjJUJfPQGKNq-8rZ2vzVZ3xM", // An ordinary one, which every store must keep.
        "a",
        "A",
        "a ",
        " a",
        "a\t",
        "a\n",
        "a\r\nflush_all",
        "a\0",
        "a\0b",
        "á",
        "a\u{301}",
        "ａ",
        "ß",
        "ss",
        "'",
        "''",
        "\"",
        "`",
        "\\",
        "\\\\",
        "'; DROP TABLE sessions; --",
        "*",
        "?",
        "[a-z]",
        "%",
        "_",
        "{}",
        "{a}",
        "$1",
        ":",
        "sess:a",
        "/",
        "/a",
        "a/",
        "a/b",
        "..",
        ".",
        "../a",
        "../../etc/passwd",
        "C:\\a",
        "CON",
        "a.json",
        "a?b#c",
        "%2e%2e%2f",
        "null",
        "0",
        "-1",
        "会话",
        "جلسة",
        "🦀",
        "\u{202e}a",
        "\u{feff}a",
        "\u{7f}",
    ];
    let long = ["x".repeat(250), "x".repeat(251), "x".repeat(4096), "é".repeat(2048)];
    texts.into_iter().map(str::to_owned).chain(long).collect()
}

/// A store under a law, and what time it is there.
struct Trial<S> {
    store: Arc<S>,
    clock: Clock,
    now: Timestamp,
}

impl<S: Store> Trial<S> {
    async fn of(subject: &impl Subject<Store = S>) -> Self {
        let store = Arc::new(subject.store().await);
        // 2023-11-14, at a whole second.
        Self { store, clock: subject.clock(), now: Timestamp::from_millis(1_700_000_060_000) }
    }

    fn now(&self) -> Timestamp {
        match self.clock {
            Clock::Argument => self.now,
            Clock::Server => real_time(),
        }
    }

    fn later(&self, seconds: u64) -> Timestamp {
        self.now().saturating_add(Duration::from_secs(seconds))
    }

    /// Returns a deadline, at a whole second, that can be passed.
    fn deadline(&self) -> Timestamp {
        let later = match self.clock {
            Clock::Argument => self.later(60),
            Clock::Server => self.later(4),
        };
        Timestamp::from_millis(later.millis() / 1000 * 1000)
    }

    /// Returns a lease that can be waited for, and when it is over.
    fn lease(&self) -> (Duration, Timestamp) {
        let (now, end) = (self.now(), self.deadline());
        (Duration::from_millis(end.millis().abs_diff(now.millis())), end)
    }

    /// Lets time go by until a deadline is passed.
    async fn pass(&mut self, deadline: Timestamp) {
        match self.clock {
            Clock::Argument => self.now = deadline,
            // A server's clock may differ by a little, and count whole seconds.
            Clock::Server => self.wait(deadline.saturating_add(Duration::from_millis(1200))).await,
        }
    }

    /// Lets time go by until a second before a deadline, where it can be known so exactly.
    async fn pass_until_before(&mut self, deadline: Timestamp) {
        match self.clock {
            Clock::Argument => self.now = Timestamp::from_millis(deadline.millis() - 1000),
            Clock::Server => {}
        }
    }

    /// Waits while the store is asked now and then, which keeps its connections going.
    async fn wait(&self, until: Timestamp) {
        while real_time() < until {
            ok(self.store.load(&id("none"), real_time()).await);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn record(&self, text: &str) -> Record {
        Record { text: text.into(), deadline: Some(self.later(3600)) }
    }

    fn touch_until(&self, deadline: Timestamp) -> Touch {
        Touch::new(COOKIE, Some(deadline))
    }

    async fn create(&self, id: &SessionId, text: &str, deadline: Timestamp) -> Revision {
        let record = Record { text: text.into(), deadline: Some(deadline) };
        match ok(self.store.create(id, &record, self.now()).await) {
            Created::Done(revision) => revision,
            Created::Taken => panic!("an unused id was taken"),
        }
    }

    async fn update(
        &self,
        id: &SessionId,
        text: &str,
        expected: &Revision,
        deadline: Timestamp,
    ) -> Revision {
        let record = Record { text: text.into(), deadline: Some(deadline) };
        match ok(self.store.update(id, &record, expected, self.now()).await) {
            Updated::Done(revision) => revision,
            other @ (Updated::Conflict(_) | Updated::Gone) => {
                panic!("the record that was loaded was not replaced: {other:?}")
            }
        }
    }

    async fn touch(&self, id: &SessionId, deadline: Timestamp) -> Touched {
        ok(self.store.touch(id, &self.touch_until(deadline), self.now()).await)
    }

    /// Takes the lock, which is free or the holder's.
    async fn fence(&self, id: &SessionId, holder: LockToken, lease: Duration) -> FencingToken {
        match self.lock(id, holder, lease).await {
            LockOutcome::Acquired(fence) => fence,
            LockOutcome::Held => panic!("the lock was free, or the holder's"),
        }
    }

    async fn lock(&self, id: &SessionId, holder: LockToken, lease: Duration) -> LockOutcome {
        ok(self.store.lock(id, holder, lease, self.now()).await)
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
    ) -> Fenced {
        ok(self.store.update_locked(id, record, expected, holder, self.now()).await)
    }

    async fn loaded(&self, id: &SessionId) -> Loaded {
        let loaded = ok(self.store.load(id, self.now()).await);
        loaded.unwrap_or_else(|| panic!("a live record was not returned"))
    }

    async fn text(&self, id: &SessionId) -> Option<String> {
        let loaded = ok(self.store.load(id, self.now()).await);
        loaded.map(|loaded| String::from(&*loaded.record.text))
    }

    async fn assert_gone(&self, id: &SessionId, revision: &Revision) {
        let record = self.record(&counted(1));
        let updated = ok(self.store.update(id, &record, revision, self.now()).await);
        assert_eq!(updated, Updated::Gone);
        assert_eq!(self.text(id).await, None, "update brought it back");
        if self.store.supports_touch() {
            assert_eq!(self.touch(id, self.later(3600)).await, Touched::Gone);
            assert_eq!(self.text(id).await, None, "touch brought it back");
        }
    }
}

impl<S: Admin> Trial<S> {
    async fn list(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let page = ok(self.store.list(after, 2, self.now()).await);
            ids.extend(page.sessions.iter().map(|(id, _)| String::from(id.as_str())));
            after = page.next;
            if after.is_none() {
                ids.sort();
                return ids;
            }
        }
    }

    /// Returns the ids of a user's sessions, in order: of a list, and of what the end of the sessions asks for.
    async fn sessions_of(&self, user: &str) -> Vec<String> {
        let [listed, ended] =
            [self.found(&query(user)).await, self.found(&query(user).complete()).await];
        assert_eq!(listed, ended, "the list of {user}, and the sessions that are ended");
        listed
    }

    async fn found(&self, users: &UserQuery) -> Vec<String> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let page = ok(self.store.sessions_of(users, after, 2, self.now()).await);
            ids.extend(page.sessions.iter().map(|(id, _)| String::from(id.as_str())));
            after = page.next;
            if after.is_none() {
                ids.sort();
                return ids;
            }
        }
    }
}

/// Asks for the sessions of a user, given as JSON.
fn query(user: &str) -> UserQuery {
    let user: serde_json::Value =
        serde_json::from_str(user).unwrap_or_else(|_| panic!("the laws' users are JSON"));
    let user = Json::of(&user).unwrap_or_else(|_| panic!("the laws' users are JSON"));
    UserQuery::new(user, MemberName::DEFAULT)
}

fn id(text: impl Into<Arc<str>>) -> SessionId {
    SessionId::new(text).unwrap_or_else(|| panic!("the laws use no empty id"))
}

fn ok<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("the store failed: {error:?}"))
}

fn holder(number: usize) -> LockToken {
    LockToken::from_random((number as u128 + 1).to_be_bytes())
}

fn counted(number: usize) -> String {
    format!(r#"{{"cookie":{{"path":"/"}},"n":{number}}}"#)
}

/// Reads the number of [`counted`], also where a touch has replaced the cookie.
fn count_in(text: &str) -> usize {
    let number = text.rsplit_once(r#""n":"#).and_then(|(_, rest)| rest.strip_suffix('}'));
    let number = number.and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("not the text that was saved: {text:?}"))
}

/// Lets other tasks have a turn.
async fn turn() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Drops a call at its `polls`-th await point, if it has so many.
async fn abandon<T>(call: impl Future<Output = T>, polls: usize) {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(|context| {
        left -= 1;
        if call.as_mut().poll(context).is_ready() || left == 0 {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

#[expect(clippy::disallowed_methods, reason = "a server's clock can only be waited for")]
pub(crate) fn real_time() -> Timestamp {
    SystemTime::now().into()
}

#[cfg(test)]
mod tests {
    const SOURCE: &str = include_str!("laws.rs");

    #[test]
    fn every_law_is_in_the_list_that_tests_are_made_of() {
        let laws = SOURCE.split("\npub async fn ").skip(1);
        let laws: Vec<_> = laws.filter_map(|rest| rest.split('(').next()).collect();
        assert_eq!(laws.len(), 53);
        for law in laws {
            assert!(SOURCE.contains(&format!("\n            {law}\n")), "{law} is not tested");
        }
    }
}
