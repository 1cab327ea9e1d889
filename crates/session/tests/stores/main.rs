//! Tests of the stores, each on the server or the disk that it needs.
//!
//! The modules named after a store prove its laws, its format and its failures; the others put one question to
//! every store.

#![allow(clippy::unwrap_used, reason = "a failure here fails a test")]
#![cfg_attr(
    feature = "redis",
    allow(clippy::disallowed_methods, reason = "a server follows the clock of the machine")
)]

#[cfg(all(unix, feature = "file"))]
mod audit_m11;
#[cfg(all(unix, feature = "sqlite"))]
mod audit_m11_sqlite;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "memcached"))]
mod audit_m3;
#[cfg(feature = "redis")]
mod audit_m8;
mod breaker;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "memcached"))]
mod call_size;
mod cancellation;
mod connect;
#[cfg(feature = "file")]
mod file;
#[cfg(any(feature = "file", feature = "sqlite"))]
mod local;
mod logs;
#[cfg(feature = "memcached")]
mod memcached;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "memcached"))]
mod recovery;
#[cfg(feature = "redis")]
mod redis;
mod round_trips;
#[cfg(feature = "sealed")]
mod sealed;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[path = "../support/mod.rs"]
mod support;
#[cfg(any(
    feature = "redis",
    feature = "postgres",
    feature = "mysql",
    feature = "sqlite",
    feature = "file"
))]
mod user_sessions;

use express_session_testkit::Task;

/// Runs a test on a runtime of its own: a store keeps connections, which do not outlive their runtime.
#[allow(dead_code, reason = "the memory store needs none")]
fn on_tokio<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// Runs the tasks of a law concurrently on this runtime.
#[allow(dead_code, reason = "the memory store runs them on threads")]
async fn spawned(tasks: Vec<Task>) {
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    for task in running {
        task.await.unwrap();
    }
}
