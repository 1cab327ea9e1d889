//! Random operations against a store, compared with a plain model of one; with the feature `model`.
//!
//! The [laws](crate::laws) test the cases that their authors thought of. Here the operations are random: creating,
//! updating with a revision of any age, touching, renewing, destroying, locking, listing and clearing, on a
//! few odd ids, with odd texts and deadlines, while time passes. The model is a text and a deadline for each
//! id. It forgives what express-session's own formats make coarser, as the laws do, and nothing else.
//!
//! A failing case is shrunk until nothing can be left out, and printed as a list of operations.
//!
//! `PROPTEST_CASES` sets how many cases there are, and `PROPTEST_RNG_SEED` which; unless set they are a few,
//! and always the same.

mod generate;
mod history;
mod sequence;
mod state;

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use express_session_core::store::Admin;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use self::history::Histories;
use self::sequence::{NoOperator, Operator};
use crate::Subject;

/// Makes tests of a store against the model, in a module `model_laws`.
///
/// The arguments are those of [`store_laws!`](crate::store_laws).
///
/// ```
/// use express_session_testkit::{MapStore, model_laws};
///
/// model_laws!(MapStore::default());
/// # // Tests are left out where there is no harness.
/// # fn main() { assert!(!cfg!(test)); }
/// ```
#[macro_export]
macro_rules! model_laws {
    ($subject:expr $(,)?) => {
        $crate::model_laws!($subject, block_on = $crate::block_on);
    };
    ($subject:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__model_tests! { model_laws, $subject, $block_on, [
            random_operations_agree_with_the_model
            concurrent_operations_are_linearizable
        ] }
    };
}

/// Makes tests of a store that also lists, counts and clears against the model, in a module `model_laws`: what
/// [`model_laws!`](crate::model_laws) does, with the operations of an operator among the others.
///
/// The arguments are those of [`store_laws!`](crate::store_laws).
///
/// ```
/// use express_session_testkit::{MapStore, admin_model_laws};
///
/// admin_model_laws!(MapStore::default());
/// # // Tests are left out where there is no harness.
/// # fn main() { assert!(!cfg!(test)); }
/// ```
#[macro_export]
macro_rules! admin_model_laws {
    ($subject:expr $(,)?) => {
        $crate::admin_model_laws!($subject, block_on = $crate::block_on);
    };
    ($subject:expr, block_on = $block_on:expr $(,)?) => {
        $crate::__model_tests! { model_laws, $subject, $block_on, [
            random_operations_of_an_operator_too_agree_with_the_model
            concurrent_operations_are_linearizable
        ] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __model_tests {
    ($module:ident, $subject:expr, $block_on:expr, [$($test:ident)*]) => {
        #[cfg(test)]
        mod $module {
            #[allow(unused_imports, reason = "a subject may be named with its whole path")]
            use super::*;

            $(
                #[test]
                fn $test() {
                    ($block_on)($crate::model::$test(&$subject))
                }
            )*
        }
    };
}

/// Random operations, one after the other, have the results that they have in the model.
///
/// A store whose server has a clock of its own is waited for once, for all cases together.
///
/// # Panics
///
/// Where the store does otherwise; with the fewest operations that show it.
pub async fn random_operations_agree_with_the_model(subject: &impl Subject) {
    sequence::check::<_, NoOperator>(subject).await;
}

/// The same with the operations of [`Admin`] among the others.
///
/// # Panics
///
/// Where the store does otherwise; with the fewest operations that show it.
pub async fn random_operations_of_an_operator_too_agree_with_the_model(
    subject: &impl Subject<Store: Admin>,
) {
    sequence::check::<_, Operator>(subject).await;
}

/// A few concurrent tasks on one id get results as if they had asked one after the other, in some
/// order that fits what was over before something else began.
///
/// # Panics
///
/// Where there is no such order; with the fewest operations that show it, as far as that can be found out
/// where chance decides. With more tasks than 64 operations.
pub async fn concurrent_operations_are_linearizable(subject: &impl Subject) {
    let histories = Histories::of(subject).await;
    let mut runner = runner();
    for number in 0..runner.config().cases {
        let mut tree = tree(&mut runner, &generate::concurrent());
        let Err(failure) = histories.play(&tree.current()).await else { continue };
        // A case that fails intermittently is tried a few times before it counts as passed.
        let smallest = smallest(&mut *tree, failure, async |case| {
            for _ in 0..TRIES {
                histories.play(&case).await?;
            }
            Ok(())
        })
        .await;
        panic!("{}\n{}", smallest, told(number, runner.config()));
    }
}

/// Plays the history that `number` stands for, and looks at it as
/// [`concurrent_operations_are_linearizable`] does: for a scheduler that tries many orders of the same one.
///
/// # Panics
///
/// Where the results fit no order.
pub async fn one_history_is_linearizable(subject: &impl Subject, number: u64) {
    let histories = Histories::of(subject).await;
    let config = Config { rng_seed: RngSeed::Fixed(number), ..Config::default() };
    let case = tree(&mut TestRunner::new(config), &generate::concurrent()).current();
    if let Err(failure) = histories.play(&case).await {
        panic!("{failure}\nThis is history {number}.");
    }
}

/// Draws cases: the same each time, unless the environment says otherwise.
fn runner() -> TestRunner {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    TestRunner::new(config)
}

fn tree<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> Box<S::Tree> {
    let tree = strategy.new_tree(runner);
    Box::new(tree.unwrap_or_else(|reason| panic!("no case can be drawn: {reason}")))
}

/// Makes a case smaller for as long as it fails, and tells the last failure.
async fn smallest<T: ValueTree>(
    tree: &mut T,
    mut failure: String,
    mut play: impl AsyncFnMut(T::Value) -> Result<(), String>,
) -> String {
    let mut smaller = tree.simplify();
    for _ in 0..SMALLER {
        if !smaller {
            break;
        }
        smaller = match play(tree.current()).await {
            Ok(()) => tree.complicate(),
            Err(newer) => {
                failure = newer;
                tree.simplify()
            }
        };
    }
    failure
}

fn told(number: u32, config: &Config) -> String {
    format!(
        "This is case {number} of {}, made smaller; PROPTEST_RNG_SEED is {}, and PROPTEST_CASES sets their \
         number.",
        config.cases, config.rng_seed
    )
}

/// Takes a panic for a failure, so that what panics is made smaller too.
async fn caught<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let mut work = pin!(work);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))
            .unwrap_or_else(|panic| Poll::Ready(Err(format!("it panicked: {}", words(&*panic)))))
    })
    .await
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("with no word")
}

/// How many cases there are unless the environment says otherwise.
const CASES: u32 = 64;
/// How often a case is made smaller at most.
const SMALLER: usize = 2000;
/// How often a smaller case is played that does not fail each time.
const TRIES: usize = 20;
