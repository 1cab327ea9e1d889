use std::fmt;

use ::redis::aio::{ConnectionLike as _, ConnectionManager, MultiplexedConnection};
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use ::redis::{Pipeline, RedisResult, Value};

/// A connection of the `redis` crate, which an application shares with its sessions.
///
/// ```no_run
/// use express_session::store::redis::RedisStore;
/// use express_session::store::redis::redis::Client;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Client::open("redis://127.0.0.1")?.get_connection_manager().await?;
/// let store = RedisStore::with_connection(manager.clone());
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connection(Kind);

#[derive(Clone)]
enum Kind {
    One(MultiplexedConnection),
    Managed(ConnectionManager),
    Cluster(ClusterConnection),
}

impl From<MultiplexedConnection> for Connection {
    /// Takes a connection that does not come back when it is lost.
    fn from(connection: MultiplexedConnection) -> Self {
        Self(Kind::One(connection))
    }
}

impl From<ConnectionManager> for Connection {
    /// Takes a connection that comes back by itself.
    fn from(connection: ConnectionManager) -> Self {
        Self(Kind::Managed(connection))
    }
}

impl From<ClusterConnection> for Connection {
    /// Takes the connections to a cluster.
    fn from(connection: ClusterConnection) -> Self {
        Self(Kind::Cluster(connection))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::One(_) => "Connection(multiplexed)",
            Kind::Managed(_) => "Connection(managed)",
            Kind::Cluster(_) => "Connection(cluster)",
        })
    }
}

impl Connection {
    pub(super) fn is_cluster(&self) -> bool {
        match self.0 {
            Kind::One(_) | Kind::Managed(_) => false,
            Kind::Cluster(_) => true,
        }
    }

    /// Sends commands together and returns one answer for each, which may be an error of the server. On a cluster they go to the master of `slot`, or else of their key.
    pub(super) async fn ask(
        &mut self,
        commands: &Pipeline,
        slot: Option<u16>,
    ) -> RedisResult<Vec<Value>> {
        let count = commands.len();
        match (&mut self.0, slot) {
            // Without the box of `ConnectionLike`.
            (Kind::One(connection), _) => connection.send_packed_commands(commands, 0, count).await,
            (Kind::Managed(connection), _) => {
                connection.req_packed_commands(commands, 0, count).await
            }
            (Kind::Cluster(connection), None) => {
                connection.req_packed_commands(commands, 0, count).await
            }
            (Kind::Cluster(connection), Some(slot)) => {
                let route = Route::new(slot, SlotAddr::Master);
                let master = SingleNodeRoutingInfo::SpecificNode(route);
                Box::pin(connection.route_pipeline(commands.clone(), 0, count, master)).await
            }
        }
    }
}
