//! As much of Redis's protocol as it takes to set servers up.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::super::probe;

/// A connection to a Redis.
pub(super) struct Client(BufReader<TcpStream>);

/// A reply of Redis.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    List(Vec<Self>),
    Nothing,
}

impl Client {
    pub(super) fn connect(port: u16) -> Result<Self, String> {
        let stream = probe::connect(port).map_err(|error| error.to_string())?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command, its words separated by blanks.
    pub(super) fn call(&mut self, command: &str) -> Result<Reply, String> {
        self.call_words(&command.split(' ').collect::<Vec<_>>())
    }

    pub(super) fn call_words(&mut self, words: &[&str]) -> Result<Reply, String> {
        let mut message = format!("*{}\r\n", words.len());
        for word in words {
            message.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(message.as_bytes()).map_err(|error| error.to_string())?;
        self.reply().map_err(|error| error.to_string())
    }

    /// A command that answers in words.
    pub(super) fn text(&mut self, command: &str) -> Result<String, String> {
        match self.call(command)? {
            Reply::Text(text) => Ok(text),
            Reply::List(_) | Reply::Nothing => Err(format!("{command} has no answer in words")),
        }
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.trim_end();
        let number = |text: &str| text.parse::<i64>().map_err(io::Error::other);
        match line.split_at_checked(1) {
            Some(("+" | ":", text)) => Ok(Reply::Text(text.to_owned())),
            Some(("-", text)) => Err(io::Error::other(text.to_owned())),
            Some(("$", length)) => match usize::try_from(number(length)?) {
                Ok(length) => self.bulk(length),
                Err(_) => Ok(Reply::Nothing),
            },
            Some(("*", count)) => (0..number(count)?)
                .map(|_| self.reply())
                .collect::<io::Result<_>>()
                .map(Reply::List),
            _ => Err(io::Error::other("no reply of Redis's protocol")),
        }
    }

    fn bulk(&mut self, length: usize) -> io::Result<Reply> {
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// A field of what `INFO` and its like answer.
pub(super) fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
}
