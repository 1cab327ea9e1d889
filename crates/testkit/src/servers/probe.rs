//! Asks a server until it answers.

use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// Together a minute: a database that starts while the other core compiles needs many seconds.
const ATTEMPTS: u32 = 6_000;
const PAUSE: Duration = Duration::from_millis(10);

/// How long a server that accepted a connection may think.
const PATIENCE: Duration = Duration::from_secs(5);

/// The result of an attempt.
pub(super) enum Attempt<T> {
    Done(T),
    /// Why not yet.
    Again(String),
    /// Why never.
    Never(String),
}

impl<T, E: Display> From<Result<T, E>> for Attempt<T> {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(|error| Self::Again(error.to_string()), Self::Done)
    }
}

/// Attempts it again and again, up to a bound.
pub(super) fn until<T>(mut attempt: impl FnMut() -> Attempt<T>) -> Result<T, String> {
    let mut why = String::new();
    for _ in 0..ATTEMPTS {
        match attempt() {
            Attempt::Done(value) => return Ok(value),
            Attempt::Again(reason) => why = reason,
            Attempt::Never(reason) => return Err(reason),
        }
        thread::sleep(PAUSE);
    }
    Err(format!("still not after {ATTEMPTS} attempts: {why}"))
}

/// A connection to a port of this machine.
pub(super) fn connect(port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends bytes, and reads the first `N` of the answer.
pub(super) fn ask<const N: usize>(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<[u8; N]> {
    stream.write_all(bytes)?;
    let mut answer = [0; N];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
