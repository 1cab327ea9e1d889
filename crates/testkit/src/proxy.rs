//! A proxy for TCP between a store and its server, which counts what is said and breaks it off.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Passes on what a store and its server say to each other, for tests of the network between.
///
/// It listens on 127.0.0.1, at a port of its own, until it is dropped.
///
/// ```
/// use std::io::{Read as _, Write as _};
/// use std::net::{TcpListener, TcpStream};
/// use express_session_testkit::Proxy;
///
/// // A server that answers each byte with another.
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let address = server.local_addr()?.to_string();
/// std::thread::spawn(move || {
///     let (mut client, _) = server.accept().unwrap();
///     let mut byte = [0];
///     while client.read_exact(&mut byte).is_ok() {
///         client.write_all(b"!").unwrap();
///     }
/// });
///
/// let proxy = Proxy::start(&address);
/// let mut client = TcpStream::connect(proxy.address())?;
/// for _ in 0..3 {
///     client.write_all(b"?")?;
///     client.read_exact(&mut [0])?;
/// }
/// assert_eq!((proxy.connections(), proxy.round_trips()), (1, 3));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    connections: AtomicU64,
    round_trips: AtomicU64,
    is_over: AtomicBool,
    way: Mutex<Way>,
    changed: Condvar,
}

/// The proxy's treatment of the answers.
#[derive(Debug, Default)]
struct Way {
    /// The connections before this one are not answered.
    stalled: u64,
    /// How many bytes of answers pass yet before all connections are cut.
    left: Option<usize>,
    open: Vec<TcpStream>,
}

impl Proxy {
    /// Starts to pass on connections to `target`, as in `127.0.0.1:6379`.
    ///
    /// # Panics
    ///
    /// Where there is no port to listen on.
    #[must_use]
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.unwrap_or_else(|error| panic!("no port: {error}"));
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            connections: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            way: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is not there is a connection that ends immediately.
                let _ = client.and_then(|client| accepting.connect(client));
            }
        });
        Self { address, shared }
    }

    /// Returns the address for the store, as in `127.0.0.1:40123`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Returns the port of the address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns how many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of round trips on all connections together, the greeting included. Commands
    /// that are sent together count once.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(Ordering::SeqCst)
    }

    /// Lets so many more bytes of answers pass, and cuts all connections in place of the next. New ones
    /// pass on.
    pub fn cut_after(&self, bytes: usize) {
        self.shared.way().left = Some(bytes);
    }

    /// Cuts all connections now. New ones pass on.
    pub fn cut(&self) {
        self.shared.way().cut();
        self.shared.changed.notify_all();
    }

    /// Holds all answers back, also on new connections, until [`resume`](Self::resume). The server does
    /// what it is asked.
    pub fn stall(&self) {
        self.shared.way().stalled = u64::MAX;
    }

    /// Holds answers back on the connections that are open now, as on a network that lost them; new
    /// ones pass on.
    pub fn stall_open(&self) {
        self.shared.way().stalled = self.connections();
    }

    /// Lets the answers pass again that were held back, and those that follow.
    pub fn resume(&self) {
        self.shared.way().stalled = 0;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.cut();
        self.resume();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let server = TcpStream::connect(&self.target)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ends = [client.try_clone()?, server.try_clone()?];
        self.way().open.extend(ends);

        let is_answered = Arc::new(AtomicBool::new(true));
        let (from, to) = (client.try_clone()?, server.try_clone()?);
        let (shared, answered) = (Arc::clone(self), Arc::clone(&is_answered));
        thread::spawn(move || {
            pass(from, to, |count| {
                if answered.swap(false, Ordering::SeqCst) {
                    shared.round_trips.fetch_add(1, Ordering::SeqCst);
                }
                count
            })
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let is_whole = pass(server, client, |count| {
                // Before the client has it, and speaks again.
                is_answered.store(true, Ordering::SeqCst);
                shared.admit(number, count)
            });
            if !is_whole {
                // All of them before the store can connect again.
                shared.way().cut();
            }
        });
        Ok(())
    }

    /// Waits until answers may pass, and says how many of these bytes may.
    fn admit(&self, number: u64, count: usize) -> usize {
        let way = self.changed.wait_while(self.way(), |way| number < way.stalled);
        let mut way = way.unwrap_or_else(PoisonError::into_inner);
        let Some(left) = way.left else { return count };
        way.left = left.checked_sub(count);
        count.min(left)
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn cut(&mut self) {
        for end in self.open.drain(..) {
            // One that has ended already is as good.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Passes bytes on until one side ends, which ends the other, or until not all are admitted: then it
/// gives false, and both are left open.
fn pass(mut from: TcpStream, mut to: TcpStream, admit: impl Fn(usize) -> usize) -> bool {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let admitted = admit(count);
        let is_sent = to.write_all(&buffer[..admitted]).is_ok();
        if admitted < count {
            return false;
        }
        if !is_sent {
            break;
        }
    }
    for end in [from, to] {
        // One that has ended already is as good.
        let _ = end.shutdown(Shutdown::Both);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each line with `hello`.
    fn server() -> String {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for client in server.incoming() {
                let mut client = client.unwrap();
                thread::spawn(move || {
                    let mut byte = [0];
                    while client.read_exact(&mut byte).is_ok() {
                        let _ = client.write_all(b"hello");
                    }
                });
            }
        });
        address
    }

    #[test]
    fn connection_is_cut_in_the_middle_of_an_answer() {
        let proxy = Proxy::start(&server());
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        proxy.cut_after(7);
        let mut answers = Vec::new();
        client.write_all(b"..").unwrap();
        let _ = client.read_to_end(&mut answers);
        assert_eq!(answers, b"hellohe");

        let mut again = TcpStream::connect(proxy.address()).unwrap();
        again.write_all(b".").unwrap();
        again.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(proxy.connections(), 2);
    }

    #[test]
    fn answer_is_held_back_until_it_is_let_go() {
        let proxy = Proxy::start(&server());
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        proxy.stall();
        client.write_all(b".").unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        assert!(client.read_exact(&mut [0]).is_err());
        proxy.resume();
        client.set_read_timeout(None).unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(proxy.round_trips(), 1);

        proxy.stall_open();
        let mut other = TcpStream::connect(proxy.address()).unwrap();
        other.write_all(b".").unwrap();
        other.read_exact(&mut [0; 5]).unwrap();
    }
}
