//! For authors of session stores, and for tests of what uses one: the [laws] that every store must
//! obey, a [`Spy`] that records and breaks a store's calls, and a [`FakeClock`] that tests move explicitly.
//!
//! # Testing a store of your own
//!
//! Say once how to open it, by implementing [`Subject`]. Then [`store_laws!`] makes one test of each
//! law, so that `cargo test` names the one that is broken:
//! `laws::create_refuses_an_id_that_is_in_use`. [`lock_laws!`] does the same for a store that also has
//! locks, [`admin_laws!`] for one that lists, counts and clears, [`clock_laws!`] for one that judges what it
//! deletes by a second clock, and [`order_laws!`] for one that carries out an abandoned call before the next.
//!
//! ```
//! use express_session_testkit::Subject;
//! # use express_session_testkit::MapStore as MyStore;
//!
//! struct MySubject;
//!
//! impl Subject for MySubject {
//!     type Store = MyStore;
//!
//!     /// Opens a store with nothing in it.
//!     async fn store(&self) -> MyStore {
//!         MyStore::default()
//!     }
//! }
//!
//! // One test a law, in modules `laws`, `lock_laws` and `admin_laws`.
//! express_session_testkit::store_laws!(MySubject);
//! express_session_testkit::lock_laws!(MySubject);
//! express_session_testkit::admin_laws!(MySubject);
//! # fn main() { // An example runs no tests, so one law is called directly.
//! #     use express_session_testkit::{block_on, laws};
//! #     block_on(laws::create_refuses_an_id_that_is_in_use(&MySubject));
//! # }
//! ```
//!
//! A store that talks over a socket needs its runtime around the test, and its parallel calls
//! spawned:
//!
//! ```
//! use express_session_testkit::{Subject, Task, store_laws};
//! # use express_session_testkit::MapStore as MyStore;
//!
//! struct MySubject;
//!
//! impl Subject for MySubject {
//!     type Store = MyStore;
//!
//!     async fn store(&self) -> MyStore {
//!         MyStore::default()
//!     }
//!
//!     async fn parallel(&self, tasks: Vec<Task>) {
//!         let tasks = tasks.into_iter();
//!         let running: Vec<_> = tasks.map(tokio::spawn).collect();
//!         for task in running {
//!             task.await.unwrap();
//!         }
//!     }
//! }
//!
//! store_laws!(MySubject, block_on = |law| {
//!     tokio::runtime::Runtime::new().unwrap().block_on(law)
//! });
//! # fn main() {
//! #     let runtime = tokio::runtime::Runtime::new().unwrap();
//! #     runtime.block_on(express_session_testkit::laws::concurrent_updates_lose_nothing(&MySubject));
//! # }
//! ```
//!
//! A server that keeps time itself, as Redis does, cannot be shown a later `now`: say so with
//! [`Subject::clock`], and the laws wait for it, for a few seconds in all. A server that is missing is
//! a reason to fail, never to skip: let [`Subject::store`] panic.
//!
//! With the feature `model`, `model_laws!` plays random operations to the store and to a plain model, and makes
//! smaller what differs.
//!
//! With the feature `browser`, `Browser` sends requests with a cookie to an application, without a socket.
//!
//! With the feature `servers`, the module `servers` starts real servers on loopback. This crate brings no
//! runtime.
#![forbid(unsafe_code)]

#[macro_use]
mod wrap;

mod block_on;
#[cfg(feature = "browser")]
mod browser;
#[cfg(feature = "servers")]
pub mod child;
mod clock;
pub mod laws;
mod map;
#[cfg(feature = "model")]
pub mod model;
#[cfg(feature = "servers")]
mod proxy;
#[cfg(all(feature = "servers", unix))]
pub mod servers;
mod spy;
mod subject;
#[cfg(feature = "servers")]
mod temporary_folder;
mod unreliable;

pub use block_on::block_on;
#[cfg(feature = "browser")]
pub use browser::{Browser, Page};
pub use clock::FakeClock;
pub use map::MapStore;
#[cfg(feature = "servers")]
pub use proxy::Proxy;
pub use spy::{Call, Spy, Verb};
pub use subject::{Clock, Subject, Task, join_all, on_threads};
#[cfg(feature = "servers")]
pub use temporary_folder::TemporaryFolder;
pub use unreliable::{Fate, Odds, Unreliable};
pub use wrap::WithoutLocks;
