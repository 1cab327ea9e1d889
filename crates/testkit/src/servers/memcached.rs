use super::launch::{Launch, Server, demand};
use super::{probe, program};
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

/// A Memcached.
#[derive(Debug)]
pub struct Memcached(Server);

/// Starts a Memcached with 64 MB. It forgets everything when it ends.
#[must_use]
pub fn memcached() -> Option<Memcached> {
    let [program] = program::find_all("Memcached", ["memcached"])?;
    Some(Memcached(demand("Memcached", Server::start(|_, port| Ok(launch(&program, port))))))
}

impl Memcached {
    /// Returns its address, `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Returns its address as `memcached://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("memcached://{}", self.address())
    }
}

process_of!(Memcached, 0, "Starts it again at the same port, empty.");

fn launch(program: &Path, port: u16) -> Launch {
    // The user counts only where root starts it, and then it demands one.
    // A gigabyte, of which it takes what it needs: with less, it forgets records of one test for those of another.
    let arguments = format!("-l 127.0.0.1 -p {port} -U 0 -m 1024 -c 1024 -u nobody");
    let mut command = vec![program.into()];
    command.extend(arguments.split(' ').map(OsString::from));
    Launch {
        command,
        stop: "KILL",
        ready: Box::new(move |process| match process_at(port) {
            Ok(Some(number)) if number == process => Ok(()),
            Ok(other) => Err(format!("the process at its port is {other:?}")),
            Err(error) => Err(error.to_string()),
        }),
    }
}

/// The number of the process that answers at a port.
fn process_at(port: u16) -> io::Result<Option<u32>> {
    let mut stream = probe::connect(port)?;
    stream.write_all(b"stats\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if let Some(number) = line.strip_prefix("STAT pid ") {
            return Ok(number.parse().ok());
        }
        if line == "END" {
            break;
        }
    }
    Ok(None)
}
