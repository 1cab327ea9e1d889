//! The batches that concurrent writers of one session in this process share.

use express_session_core::session::{BatchOutcome, SetAside, WriteBatch};
use tokio::sync::watch;

/// The batch of one session's writers, and the channel that tells them its outcome.
#[derive(Default)]
pub(crate) struct WriteBatcher {
    pub(crate) batch: WriteBatch,
    outcome: Option<Outcomes>,
}

type Outcomes = watch::Sender<Option<BatchOutcome>>;

impl WriteBatcher {
    /// Returns what will tell the outcome of the write that is being put together.
    pub(crate) fn subscribe(&mut self) -> watch::Receiver<Option<BatchOutcome>> {
        self.outcome.get_or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    /// Notifies every request that has an entry in the batch.
    pub(crate) fn publish(&mut self, outcome: &BatchOutcome) {
        if let Some(outcomes) = self.outcome.take() {
            outcomes.send_replace(Some(outcome.clone()));
        }
    }

    /// Sets the write of the others aside, so that an entry can be written alone.
    pub(crate) fn set_aside(&mut self) -> Others {
        Others { write: self.batch.set_aside(), outcome: self.outcome.take() }
    }

    /// Takes back what was set aside.
    pub(crate) fn put_back(&mut self, others: Others) {
        self.batch.put_back(others.write);
        self.outcome = others.outcome;
    }
}

/// The write of the others, set aside.
pub(crate) struct Others {
    write: SetAside,
    outcome: Option<Outcomes>,
}
