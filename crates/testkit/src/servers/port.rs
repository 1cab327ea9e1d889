//! Ports that are free.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that systems give to outgoing connections. A port among those may be taken by a
/// client while its server is down, even by the client that tries to reach it: a socket that connects
/// to the port it was given is connected to itself.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// Finds a port that nothing listens on.
///
/// Another process may still take it before the server does: who starts a server must be ready to
/// find it ended, and try another port.
pub(super) fn free() -> Result<u16, String> {
    (0..COUNT)
        .filter_map(|_| u16::try_from(next()).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "no port is free".to_owned())
}

/// Each number once before any comes again; processes that start at the same time begin far apart.
fn next() -> u32 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(7_919);
    let offset = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
    FIRST + offset % COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_or_while_it_is_in_use() {
        let first = free().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free().unwrap())).unwrap();
        let more: Vec<_> = (0..50).map(|_| free().unwrap()).collect();
        assert!(!more.contains(&first));
        assert!(!more.contains(&listener.local_addr().unwrap().port()));
    }
}
