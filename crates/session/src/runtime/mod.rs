//! The layer's surroundings: time, randomness, timers, tasks, queues.

pub(crate) mod batcher;
pub(crate) mod completion;
pub(crate) mod console;
pub(crate) mod failures;
pub(crate) mod keyed;
pub(crate) mod pacemaker;
pub(crate) mod system;
pub(crate) mod timeout;
