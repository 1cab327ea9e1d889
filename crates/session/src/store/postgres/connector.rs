//! How the store connects where it has only a URL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::{Hook, Manager, ManagerConfig, Pool, RecyclingMethod};
use express_session_core::store::Error;
use tokio_postgres::{Config, NoTls};

use super::address::Address;
use super::direct;
#[cfg(feature = "tls")]
use super::encryption::Demand;
#[cfg(feature = "tls")]
use super::tls;

/// The connections that one address can have to another, by their ports.
const MOST_CONNECTIONS: usize = 65_535;

/// A parsed URL.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    /// Where the URL asks for it: by itself, the feature changes nothing.
    #[cfg(feature = "tls")]
    tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
    /// Cleared by the URL, or by the first sign of a pooler.
    is_direct: Arc<AtomicBool>,
}

impl Connector {
    pub(super) fn new(address: Address) -> Result<Self, Error> {
        #[cfg(not(feature = "tls"))]
        address.encryption.check()?;
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: match address.encryption.demand {
                Demand::Plain => None,
                Demand::Encrypted | Demand::Trusted | Demand::Identified => {
                    Some(tls::client(&address.encryption)?)
                }
            },
            config: address.config,
            is_direct: Arc::new(AtomicBool::new(!address.is_pooled)),
        })
    }

    /// Returns whether every connection so far leads to the server itself.
    pub(super) fn is_direct(&self) -> bool {
        self.is_direct.load(Ordering::Relaxed)
    }

    /// Takes a sign of a pooler into account.
    pub(super) fn found_indirect(&self) {
        self.is_direct.store(false, Ordering::Relaxed);
    }

    /// Makes a pool, which connects when it is asked for a connection.
    pub(super) fn pool(&self, connections: usize) -> Pool {
        let this = self.clone();
        let check = Hook::async_fn(move |client, _| {
            let this = this.clone();
            Box::pin(async move {
                if this.is_direct() && !direct::is_direct(client, &this.config).await {
                    this.found_indirect();
                }
                Ok(())
            })
        });
        // The pool allocates a place for each.
        let connections = connections.clamp(1, MOST_CONNECTIONS);
        let builder = Pool::builder(self.manager()).max_size(connections);
        let pool = builder.post_create(check).build();
        // Only a pool with timeouts of its own needs a runtime to be built, and this has none.
        pool.expect("a pool without timeouts can be built")
    }

    fn manager(&self) -> Manager {
        // A connection that is closed is known to be, without asking the server.
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            return Manager::from_config(self.config.clone(), tls, manager);
        }
        Manager::from_config(self.config.clone(), NoTls, manager)
    }
}
