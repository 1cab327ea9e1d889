//! How the store connects where it has only a URL.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use express_session_core::store::{Error, ErrorKind};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};

#[cfg(feature = "tls")]
use super::tls::Tls;

/// A parsed URL.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    /// Where the URL asks for it: by itself, the feature changes nothing.
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Connector {
    pub(super) fn new(url: &str) -> Result<Self, Error> {
        // The driver's own error may quote the URL, which has a password in it.
        let config: Config = url
            .parse()
            .map_err(|_| Error::new(ErrorKind::Other, "the URL is no PostgreSQL URL"))?;
        let asks_for_tls = config.get_ssl_mode() == SslMode::Require;
        #[cfg(not(feature = "tls"))]
        if asks_for_tls {
            return Err(Error::new(ErrorKind::Other, "sslmode=require needs the feature `tls`"));
        }
        Ok(Self {
            config,
            #[cfg(feature = "tls")]
            tls: if asks_for_tls { Some(Tls::new()?) } else { None },
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
