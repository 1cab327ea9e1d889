//! Gates, at which the slow requests of one round wait until something else has happened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The gates of one application, by name. The first use of a name creates its gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gates(Arc<Mutex<HashMap<String, Gate>>>);

#[derive(Clone, Debug, Default)]
struct Gate {
    arrived: watch::Sender<usize>,
    is_open: watch::Sender<bool>,
}

impl Gates {
    /// Counts one more request at the gate.
    pub(crate) fn arrive(&self, name: &str) {
        self.gate(name).arrived.send_modify(|arrived| *arrived += 1);
    }

    /// Waits until so many requests are at the gate.
    pub(crate) async fn arrived(&self, name: &str, count: usize) {
        let mut arrived = self.gate(name).arrived.subscribe();
        // The map keeps the sender, so that the wait cannot end otherwise.
        let _ = arrived.wait_for(|arrived| *arrived >= count).await;
    }

    /// Lets all requests through, those at the gate and later ones.
    pub(crate) fn open(&self, name: &str) {
        self.gate(name).is_open.send_replace(true);
    }

    /// Waits until the gate is open.
    pub(crate) async fn opened(&self, name: &str) {
        let mut is_open = self.gate(name).is_open.subscribe();
        let _ = is_open.wait_for(|is_open| *is_open).await;
    }

    fn gate(&self, name: &str) -> Gate {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(name.to_owned()).or_default().clone()
    }
}
