//! The runtime under the laws: a pool does not outlive its own, so that each law has one.

use std::sync::atomic::{AtomicU32, Ordering};

use express_session_testkit::Task;

pub(crate) fn on_runtime(law: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(law);
}

/// Runs tasks at the same time.
pub(crate) async fn parallel(tasks: Vec<Task>) {
    for task in tasks.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Returns a name for what one store has of a server.
pub(crate) fn name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("law_{}_", NUMBER.fetch_add(1, Ordering::Relaxed))
}
