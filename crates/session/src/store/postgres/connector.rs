//! How the store connects where it has only a URL.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use express_session_core::store::Error;
use tokio_postgres::{Config, NoTls};

use super::address::Address;
#[cfg(feature = "tls")]
use super::encryption::Demand;
#[cfg(feature = "tls")]
use super::tls;

/// A parsed URL.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    /// Where the URL asks for it: by itself, the feature changes nothing.
    #[cfg(feature = "tls")]
    tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
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
        })
    }

    /// Makes a pool, which connects when it is asked for a connection.
    pub(super) fn pool(&self, connections: usize) -> Pool {
        let pool = Pool::builder(self.manager()).max_size(connections).build();
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
