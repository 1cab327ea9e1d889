//! The thread on which all stores wait for their servers.
//!
//! All JavaScript threads of the process share it, so that concurrent calls go to a server together. It never ends;
//! the addon is linked so that it is not unloaded.

use std::future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle};

/// Returns its runtime, which the first call starts.
pub(super) fn handle() -> io::Result<Handle> {
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    Ok(handle.insert(start()?).clone())
}

static HANDLE: Mutex<Option<Handle>> = Mutex::new(None);

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("session stores".to_owned())
        .spawn(move || runtime.block_on(future::pending::<()>()))?;
    Ok(handle)
}
