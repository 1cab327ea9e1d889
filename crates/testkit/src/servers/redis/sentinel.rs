use super::super::launch::{Launch, Server, demand};
use super::super::{probe, program};
use super::resp::{self, Client, Reply};
use super::{node, start_node};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// A Redis master with a replica, watched by three sentinels of which two decide.
#[derive(Debug)]
pub struct RedisSentinel {
    // First, as fields are dropped in order: sentinels that outlive the servers would act.
    sentinels: Vec<Server>,
    servers: Vec<Server>,
}

const NAME: &str = "mymaster";

/// Starts a master, a replica and three sentinels.
///
/// The replica takes over within a few seconds of the master's end.
#[must_use]
pub fn redis_sentinel() -> Option<RedisSentinel> {
    let [program] = program::find_all("Redis with sentinels", ["redis-server"])?;
    Some(demand("Redis with sentinels", start(&program)))
}

impl RedisSentinel {
    /// Returns the addresses of the sentinels as `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(|node| format!("redis://127.0.0.1:{}", node.port())).collect()
    }

    /// Returns the name by which the sentinels know the master.
    #[must_use]
    pub fn master_name(&self) -> &str {
        NAME
    }

    /// Returns the numbers of the processes that were not killed.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.sentinels.iter().chain(&self.servers).filter_map(Server::process).collect()
    }

    /// Returns the port of the master on which all sentinels agree. While they choose another, some know it before
    /// the others do.
    #[must_use]
    pub fn master_port(&self) -> Option<u16> {
        let mut seen = self.sentinels.iter().map(|node| master_seen_by(node).ok());
        let first = seen.next()??;
        seen.all(|port| port == Some(first)).then_some(first)
    }

    /// Ends the current master.
    ///
    /// # Panics
    ///
    /// Where the sentinels do not agree on one.
    pub fn kill_master(&self) {
        let port = self.master_port();
        let master = self.servers.iter().find(|node| Some(node.port()) == port);
        master.unwrap_or_else(|| panic!("the sentinels agree on no master")).kill();
    }

    /// Starts the server again that was killed, and waits until it follows the other.
    pub fn restart(&self) {
        for node in self.servers.iter().filter(|node| node.process().is_none()) {
            node.restart();
        }
        demand("Redis with sentinels", self.settle());
    }

    /// Waits until the sentinels know each other, and agree on a master with a replica.
    fn settle(&self) -> Result<(), String> {
        for node in &self.sentinels {
            probe::until(|| is_settled(node).into())?;
        }
        let agreed =
            || self.master_port().map(drop).ok_or("the sentinels do not agree on a master");
        probe::until(|| agreed().map_err(str::to_owned).into())
    }
}

fn start(program: &Path) -> Result<RedisSentinel, String> {
    let settings = "--repl-diskless-sync-delay 0";
    let master = start_node(program, settings)?;
    let port = master.port();
    let replica = start_node(program, &format!("{settings} --replicaof 127.0.0.1 {port}"))?;
    let sentinels = (0..3).map(|_| start_sentinel(program, port)).collect::<Result<Vec<_>, _>>()?;
    let group = RedisSentinel { sentinels, servers: vec![master, replica] };
    group.settle()?;
    Ok(group)
}

fn start_sentinel(program: &Path, master: u16) -> Result<Server, String> {
    Server::start(|folder, port| {
        // It writes what it learns into its own configuration.
        let file = folder.join("sentinel.conf");
        let configuration = format!(
            "port {port}\n\
             bind 127.0.0.1\n\
             dir \"{}\"\n\
             sentinel monitor {NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {NAME} 3000\n\
             sentinel failover-timeout {NAME} 5000\n",
            folder.display()
        );
        fs::write(&file, configuration).map_err(|error| error.to_string())?;
        Ok(Launch {
            command: vec![program.into(), file.into(), OsString::from("--sentinel")],
            stop: "KILL",
            ready: node::is_ready(port, None),
        })
    })
}

fn master_seen_by(sentinel: &Server) -> Result<u16, String> {
    let command = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}");
    let Reply::List(address) = Client::connect(sentinel.port())?.call(&command)? else {
        return Err("it knows no master".to_owned());
    };
    match address.get(1) {
        Some(Reply::Text(port)) => port.parse().map_err(|_| "no port".to_owned()),
        _ => Err("no port".to_owned()),
    }
}

fn is_settled(sentinel: &Server) -> Result<(), String> {
    let mut client = Client::connect(sentinel.port())?;
    client.text(&format!("SENTINEL CKQUORUM {NAME}"))?;
    let info = client.text("INFO sentinel")?;
    // `name=mymaster,status=ok,address=127.0.0.1:1,slaves=1,sentinels=3`
    let state = resp::field(&info, "master0").unwrap_or_default();
    let is_known = ["status=ok", "slaves=1", "sentinels=3"]
        .iter()
        .all(|wanted| state.split(',').any(|it| it == *wanted));
    if !is_known {
        return Err(format!("the sentinels are not ready: {state}"));
    }
    let master = Client::connect(master_seen_by(sentinel)?)?.text("INFO replication")?;
    let has_replica = resp::field(&master, "slave0").is_some_and(|it| it.contains("state=online"));
    if has_replica { Ok(()) } else { Err("the master has no replica".to_owned()) }
}
