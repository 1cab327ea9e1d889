//! One connection, on which one request follows the answer to another.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use express_session_core::store::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::super::breaker;
use super::error;
use super::protocol::{self, Fault, Reply, Request};

/// A connection to a server that can do what the store needs.
///
/// After an error or a dropped future, the caller must drop the connection too, since the rest of an answer may
/// still arrive.
pub(super) struct Connection {
    stream: TcpStream,
    /// Received bytes that are not parsed yet.
    input: BytesMut,
    /// The server's largest item, in bytes.
    largest: usize,
    time: ServerTime,
}

/// The time by the server's clock, which goes on as this machine's steady clock does: the server sets its own once, when
/// it starts, and a connection does not outlive it.
#[derive(Clone, Copy)]
enum ServerTime {
    Unasked,
    /// In seconds since 1970, at that moment.
    Known(i64, Instant),
    /// A proxy has no time.
    Unknown,
}

/// The overhead of an item, with a margin: it is 64 bytes in Memcached 1.6.
const ITEM_OVERHEAD: usize = 128;

/// The largest item by default.
const LARGEST: usize = 1 << 20;

impl Connection {
    /// Connects, and asks what the server is set to.
    pub(super) async fn open(host: &str, port: u16) -> Result<Self, Error> {
        let stream = TcpStream::connect((host, port)).await.map_err(error::unreachable)?;
        stream.set_nodelay(true).map_err(error::unreachable)?;
        let mut connection =
            Self { stream, input: BytesMut::new(), largest: LARGEST, time: ServerTime::Unasked };
        connection.read_settings().await?;
        Ok(connection)
    }

    /// Sends a request and reads the answer.
    ///
    /// An item that is too large is not even sent: the server would refuse it, but also remove the one
    /// that it was to replace.
    pub(super) async fn ask(&mut self, mut request: Request) -> Result<Reply, Error> {
        if request.item > 0 && request.item + ITEM_OVERHEAD > self.largest {
            return Err(error::too_large());
        }
        if request.needs_server_time()
            && let Some(now) = self.server_time().await?
        {
            request.at_server_time(now);
        }
        self.send(&request.bytes).await?;
        self.reply().await
    }

    /// Sends requests together, and reads the answers in their order.
    ///
    /// The answers wait in the server until all is sent: together the requests must fit into what the
    /// system keeps for a connection.
    pub(super) async fn ask_all(
        &mut self,
        requests: impl IntoIterator<Item = Request>,
        within: Duration,
    ) -> Result<Vec<Reply>, Error> {
        let all: Vec<_> = requests.into_iter().map(|request| request.bytes).collect();
        let work = async {
            self.send(&all.concat()).await?;
            let mut replies = Vec::with_capacity(all.len());
            for _ in &all {
                replies.push(self.reply().await?);
            }
            Ok(replies)
        };
        timeout(within, work).await.map_err(|_| breaker::no_answer_in_time())?
    }

    /// Sends a request whose answer is [read by lines](Self::line).
    pub(super) async fn ask_for_lines(&mut self, request: &Request) -> Result<(), Error> {
        self.send(&request.bytes).await
    }

    /// Reads the next line with `read`. The timeout applies between two pieces of the answer.
    pub(super) async fn line<T>(
        &mut self,
        within: Duration,
        mut read: impl FnMut(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        loop {
            if let Some((line, end)) = protocol::line(&self.input).map_err(error::of_fault)? {
                let line = read(line).map_err(error::of_fault)?;
                self.input.advance(end);
                return Ok(line);
            }
            timeout(within, self.fill()).await.map_err(|_| breaker::no_answer_in_time())??;
        }
    }

    /// Returns whether the server has sent nothing since the last answer, not even the end of the connection.
    pub(super) fn is_quiet(&self) -> bool {
        let nothing = self.stream.try_read(&mut [0]);
        self.input.is_empty() && nothing.is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock)
    }

    async fn read_settings(&mut self) -> Result<(), Error> {
        let mut largest = self.largest;
        let take = |name: &str, value: &str| {
            match (name, value) {
                ("item_size_max", bytes) => largest = number(bytes)?,
                ("cas_enabled", "no") => return Err(error::no_cas()),
                _ => {}
            }
            Ok(())
        };
        self.statistics(&Request::settings(), take).await?;
        self.largest = largest;
        Ok(())
    }

    /// Returns the time by the server's clock, in seconds since 1970; it is asked for once on a connection.
    pub(super) async fn server_time(&mut self) -> Result<Option<i64>, Error> {
        if matches!(self.time, ServerTime::Unasked) {
            self.time = self.ask_server_time().await?;
        }
        Ok(match self.time {
            ServerTime::Known(seconds, asked) => {
                Some(seconds.saturating_add_unsigned(asked.elapsed().as_secs()))
            }
            ServerTime::Unasked | ServerTime::Unknown => None,
        })
    }

    async fn ask_server_time(&mut self) -> Result<ServerTime, Error> {
        let mut time = ServerTime::Unknown;
        let take = |name: &str, value: &str| {
            if name == "time" {
                time = ServerTime::Known(number(value)?, Instant::now());
            }
            Ok(())
        };
        self.statistics(&Request::stats(), take).await?;
        Ok(time)
    }

    /// Asks for statistics, and hands each name and its value to `take`.
    async fn statistics(
        &mut self,
        request: &Request,
        mut take: impl FnMut(&str, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.ask_for_lines(request).await?;
        loop {
            let read = |line: &[u8]| match protocol::statistic(line) {
                Some((name, value)) => Ok(Some(take(name, value))),
                // A proxy may not know the question.
                None if line == b"END" || line == b"ERROR" => Ok(None),
                None => Err(protocol::fault(line)),
            };
            // The caller has a deadline for all of it.
            match self.line(Duration::MAX, read).await? {
                Some(taken) => taken?,
                None => return Ok(()),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).await.map_err(error::lost)
    }

    async fn reply(&mut self) -> Result<Reply, Error> {
        loop {
            let reply = protocol::reply(&self.input, self.largest).map_err(error::of_fault)?;
            if let Some((reply, length)) = reply {
                self.input.advance(length);
                return Ok(reply);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Error> {
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err(error::lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(error::lost(error)),
        }
    }
}

fn number<N: FromStr>(digits: &str) -> Result<N, Error> {
    protocol::number(digits.as_bytes()).map_err(error::of_fault)
}
