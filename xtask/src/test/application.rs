//! The application as a newcomer meets it: `cargo run`, then a visitor who comes three times.

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ureq::Agent;

use crate::process::{self, cargo};
use crate::workspace::Workspace;

/// The pages that the visitor receives, visit by visit.
const VISITS: [&str; 3] = [
    "<p>Welcome! This is your first visit.</p>",
    "<p>Number of views: 2</p>",
    "<p>Number of views: 3</p>",
];

/// The application's output when it is ready; the port follows.
const READY: &str = "Server running on http://localhost:";

/// A slow machine needs a fraction of it; more means that it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds and starts the application, visits it, and ends it.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    process::run(&mut cargo(workspace, ["build"]))?;
    let server = Server::start(workspace)?;
    let mut visitor = Visitor::new();
    for (visit, expected) in (1..).zip(VISITS) {
        let body = visitor.get(&server.url).with_context(|| format!("visit {visit}"))?;
        println!("visit {visit}: {body}");
        ensure!(body == expected, "visit {visit} shows {body:?}, not {expected:?}");
    }
    Ok(())
}

/// The running application; ends with this value, however the check ends.
#[derive(Debug)]
struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts it on a free port and waits until it says that it is there.
    fn start(workspace: &Workspace) -> Result<Self> {
        let mut command = cargo(workspace, ["run", "--quiet"]);
        command.env("PORT", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        println!("$ {}", process::line(&command));
        // From here on the process ends when `server` does.
        let process = command.spawn().context("`cargo run` does not start")?;
        let mut server = Self { process, url: String::new() };
        let output = server.process.stdout.take().context("`cargo run` has no output")?;
        let port = announced_port(&lines(output))?;
        server.url = format!("http://{}:{port}/", Ipv4Addr::LOCALHOST);
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where there are signals, `cargo run` has become the application: this handle is its own.
        // It fails only if the application has ended already, and then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Hands on the output line by line, even after its reader is gone: a full pipe would stop the
/// application.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            println!("{line}");
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Waits for the line that says where the application listens.
fn announced_port(lines: &Receiver<String>) -> Result<u16> {
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                if let Some(port) = port(&line) {
                    return Ok(port);
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                bail!("the application did not print `{READY}…` in {PATIENCE:?}")
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                bail!("the application ended before it printed `{READY}…`")
            }
        }
    }
}

fn port(line: &str) -> Option<u16> {
    line.strip_prefix(READY)?.trim_end_matches('/').parse().ok()
}

/// A browser as far as it matters here: it sends back the last cookie that it received.
#[derive(Debug)]
struct Visitor {
    agent: Agent,
    cookie: Option<String>,
}

impl Visitor {
    fn new() -> Self {
        let config = Agent::config_builder()
            // A proxy of the machine must not come between us and loopback.
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { agent: config.into(), cookie: None }
    }

    fn get(&mut self, url: &str) -> Result<String> {
        let mut request = self.agent.get(url);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let mut response = request.call()?;
        if let Some(line) = response.headers().get("set-cookie") {
            let line = line.to_str().context("a cookie that is not ASCII")?;
            self.cookie = line.split(';').next().map(str::to_owned);
        }
        Ok(response.body_mut().read_to_string()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    #[test]
    fn the_port_is_read_from_the_line_that_announces_it() {
        assert_eq!(port("Server running on http://localhost:3000"), Some(3000));
        assert_eq!(port("Server running on http://localhost:49152/"), Some(49152));
        assert_eq!(port("Server running on http://localhost:"), None);
        assert_eq!(port("Compiling view-counter"), None);
    }

    #[test]
    fn lines_before_the_announcement_are_passed_over() {
        let (sender, receiver) = mpsc::channel();
        for line in ["hello", "Server running on http://localhost:4000"] {
            sender.send(line.to_owned()).unwrap();
        }
        assert_eq!(announced_port(&receiver).unwrap(), 4000);
    }

    #[test]
    fn an_application_that_ends_early_is_reported() {
        let (sender, receiver) = mpsc::channel();
        drop(sender);
        let message = announced_port(&receiver).unwrap_err().to_string();
        assert!(message.starts_with("the application ended before"), "{message}");
    }

    #[test]
    fn a_visitor_gives_back_the_cookie_without_its_attributes() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answers = thread::spawn(move || {
            let answer = |response: &str| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                stream.write_all(response.as_bytes()).unwrap();
                String::from_utf8(request).unwrap().to_ascii_lowercase()
            };
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n";
            [
                answer(&format!("{head}Set-Cookie: sid=s%3Aa.b%3D; Path=/; HttpOnly\r\n\r\nhi")),
                answer(&format!("{head}\r\nho")),
            ]
        });

        let mut visitor = Visitor::new();
        assert_eq!(visitor.get(&url).unwrap(), "hi");
        assert_eq!(visitor.get(&url).unwrap(), "ho");
        let [first, second] = answers.join().unwrap();
        assert!(!first.contains("cookie:"), "{first}");
        assert!(second.contains("cookie: sid=s%3aa.b%3d\r\n"), "{second}");
    }
}
