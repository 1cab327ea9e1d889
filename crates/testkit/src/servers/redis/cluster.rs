use super::super::launch::{Server, demand};
use super::super::{port, probe, program};
use super::resp::{self, Client};
use super::{node, words};
use std::path::Path;

/// A Redis cluster of three masters, each with a replica.
#[derive(Debug)]
pub struct RedisCluster {
    /// The first three are masters at first, each three later is the replica.
    nodes: Vec<Server>,
}

const SHARDS: usize = 3;
const SLOTS: [&str; SHARDS] = ["0 5460", "5461 10922", "10923 16383"];

/// Starts a cluster. It needs Redis 7 or later.
///
/// A replica takes over within a second or two of its master's end.
#[must_use]
pub fn redis_cluster() -> Option<RedisCluster> {
    let [program] = program::find_all("Redis cluster", ["redis-server"])?;
    Some(demand("Redis cluster", start(&program)))
}

/// Starts a cluster of Valkey.
#[must_use]
pub fn valkey_cluster() -> Option<RedisCluster> {
    let [program] = program::find_all("Valkey cluster", ["valkey-server"])?;
    Some(demand("Valkey cluster", start(&program)))
}

impl RedisCluster {
    /// Returns the addresses of all nodes as `redis://127.0.0.1:PORT`, the first masters first.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("redis://127.0.0.1:{}", node.port())).collect()
    }

    /// Returns the numbers of the processes that were not killed.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Server::process).collect()
    }

    /// Ends the node that is the master of the first, second or third part of the slots now.
    ///
    /// # Panics
    ///
    /// Where `part` is not below 3, or its master was killed and no other took over yet.
    pub fn kill_master(&self, part: usize) {
        assert!(part < SHARDS, "there are {SHARDS} masters");
        let mut candidates = self.nodes.iter().skip(part).step_by(SHARDS);
        let master = candidates.find(|node| is_master(node));
        master.unwrap_or_else(|| panic!("part {part} has no master")).kill();
    }

    /// Starts the nodes again that were killed, and waits until each part has a master and a replica.
    pub fn restart(&self) {
        for node in self.nodes.iter().filter(|node| node.process().is_none()) {
            node.restart();
        }
        demand("Redis cluster", self.settle());
    }

    /// Waits until all are agreed that all slots are served, and each replica has its master's data.
    fn settle(&self) -> Result<(), String> {
        for node in &self.nodes {
            probe::until(|| is_settled(node).into())?;
        }
        Ok(())
    }
}

fn start(program: &Path) -> Result<RedisCluster, String> {
    let start = || {
        Server::start(|folder, port| {
            // Named, as the usual one, 10000 higher, may be in use.
            let bus = port::free()?;
            let settings = words(&format!(
                "--cluster-enabled yes --cluster-port {bus} --cluster-node-timeout 1000 \
                 --cluster-replica-validity-factor 0 --repl-diskless-sync-delay 0"
            ));
            Ok(node::launch(program, folder, port, None, &settings))
        })
    };
    let nodes = (0..2 * SHARDS).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    let cluster = RedisCluster { nodes };
    introduce(&cluster.nodes)?;
    distribute(&cluster.nodes)?;
    cluster.settle()?;
    Ok(cluster)
}

/// Makes all know each other.
fn introduce(nodes: &[Server]) -> Result<(), String> {
    let mut first = None;
    for (index, node) in nodes.iter().enumerate() {
        let mut client = Client::connect(node.port())?;
        // Different from the start: nodes that must agree on it first take seconds.
        client.text(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))?;
        let bus = client.call("CONFIG GET cluster-port")?;
        let resp::Reply::List(bus) = bus else { return Err("no cluster port".to_owned()) };
        let Some(resp::Reply::Text(bus)) = bus.get(1) else {
            return Err("Redis 7 or later is needed".to_owned());
        };
        let first = first.get_or_insert(client);
        if index > 0 {
            first.text(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port()))?;
        }
    }
    for node in nodes {
        let known = || {
            let info = Client::connect(node.port())?.text("CLUSTER INFO")?;
            match resp::field(&info, "cluster_known_nodes") {
                Some(count) if count == nodes.len().to_string() => Ok(()),
                other => Err(format!("{other:?} nodes know each other")),
            }
        };
        probe::until(|| known().into())?;
    }
    Ok(())
}

/// Returns each master its slots and each replica its master.
fn distribute(nodes: &[Server]) -> Result<(), String> {
    for (index, slots) in SLOTS.iter().enumerate() {
        let (Some(master), Some(replica)) = (nodes.get(index), nodes.get(index + SHARDS)) else {
            return Err("too few nodes".to_owned());
        };
        let mut client = Client::connect(master.port())?;
        client.text(&format!("CLUSTER ADDSLOTSRANGE {slots}"))?;
        let name = client.text("CLUSTER MYID")?;
        // Unknown until word of the master has reached the replica.
        let replicate =
            || Client::connect(replica.port())?.text(&format!("CLUSTER REPLICATE {name}"));
        probe::until(|| replicate().into())?;
    }
    Ok(())
}

fn is_master(node: &Server) -> bool {
    let role = Client::connect(node.port()).and_then(|mut client| client.text("INFO replication"));
    role.is_ok_and(|info| resp::field(&info, "role") == Some("master"))
}

fn is_settled(node: &Server) -> Result<(), String> {
    let mut client = Client::connect(node.port())?;
    let cluster = client.text("CLUSTER INFO")?;
    let state = ["cluster_state", "cluster_slots_ok", "cluster_size"];
    if state.map(|name| resp::field(&cluster, name)) != [Some("ok"), Some("16384"), Some("3")] {
        return Err(format!("the cluster is not ready: {cluster}"));
    }
    let replication = client.text("INFO replication")?;
    let is_replica = resp::field(&replication, "master_link_status") == Some("up");
    let has_replica =
        resp::field(&replication, "slave0").is_some_and(|it| it.contains("state=online"));
    if is_replica || has_replica { Ok(()) } else { Err(format!("no replication: {replication}")) }
}
