//! Memcached's meta commands, as bytes: what to send, and what the answers mean.
//!
//! Nothing here reads or writes a connection. The commands are described in `doc/protocol.txt` of
//! Memcached 1.6.

use std::io::Write as _;
use std::ops::Range;

/// A key that the protocol can carry: everything after a blank would be another argument, and
/// everything after a line break another command.
pub(super) struct Key(Box<str>);

/// The longest key that a server takes, in bytes.
pub(super) const KEY_BYTES: usize = 250;

impl Key {
    pub(super) fn new(key: impl Into<Box<str>>) -> Option<Self> {
        let key = key.into();
        let fits = (1..=KEY_BYTES).contains(&key.len());
        (fits && key.bytes().all(|byte| byte > b' ' && byte != 0x7f)).then_some(Self(key))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The expiry of an item, in seconds from now. It is not 0, which would be never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry(i64);

impl Expiry {
    /// The most seconds that the server counts from now: 30 days. It takes more for a time since 1970, by its own clock.
    pub(super) const MONTH: i64 = 2_592_000;

    /// Immediately.
    pub(super) const PAST: Self = Self(-1);

    /// In this time, at least a second.
    pub(super) fn after(milliseconds: i64) -> Self {
        if milliseconds <= 0 { Self::PAST } else { Self((milliseconds / 1000).max(1)) }
    }

    /// Returns the argument of a command.
    fn flag(self) -> String {
        format!(" T{}", self.0.min(Self::MONTH))
    }
}

/// A command.
pub(super) struct Request {
    /// The command, with an expiry of at most [`Expiry::MONTH`].
    pub(super) bytes: Vec<u8>,
    /// The bytes that the server counts against its largest item: the key and the value.
    pub(super) item: usize,
    long: Option<Long>,
}

/// An expiry of more than [`Expiry::MONTH`].
struct Long {
    expiry: Expiry,
    /// The place of its argument in the command.
    argument: Range<usize>,
}

impl Request {
    pub(super) fn get(key: &Key) -> Self {
        Self::line(&format!("mg {} c t v", key.0))
    }

    /// Lets an item end at another time.
    pub(super) fn touch(key: &Key, expiry: Expiry) -> Self {
        Self::line(&format!("mg {}", key.0)).until(expiry, 3 + key.0.len())
    }

    /// Stores an item where there is none.
    pub(super) fn add(key: &Key, text: &str, expiry: Expiry) -> Self {
        Self::set(key, text, expiry, "ME")
    }

    /// Stores an item where there is the one of this number.
    pub(super) fn replace(key: &Key, text: &str, expiry: Expiry, cas: u64) -> Self {
        Self::set(key, text, expiry, &format!("C{cas}"))
    }

    pub(super) fn delete(key: &Key) -> Self {
        Self::line(&format!("md {}", key.0))
    }

    /// Asks what the server is set to; it answers in lines.
    pub(super) fn settings() -> Self {
        Self::line("stats settings")
    }

    /// Asks for the server's time, among other things; it answers in lines.
    pub(super) fn stats() -> Self {
        Self::line("stats")
    }

    /// Checks whether the expiry is too far for the server to count it from now.
    pub(super) fn needs_server_time(&self) -> bool {
        self.long.is_some()
    }

    /// Puts an expiry that is too far to be counted from now at a point of the server's time, in seconds since 1970.
    pub(super) fn at_server_time(&mut self, now: i64) {
        if let Some(Long { expiry, argument }) = self.long.take() {
            // Servers keep the low 32 bits of it, with a sign.
            let at = now.saturating_add(expiry.0).min(i32::MAX.into());
            self.bytes.splice(argument, format!(" T{at}").into_bytes());
        }
    }

    /// Sets the expiry of the command, as the argument at this place.
    fn until(mut self, expiry: Expiry, place: usize) -> Self {
        let flag = expiry.flag();
        let argument = place..place + flag.len();
        self.bytes.splice(place..place, flag.into_bytes());
        self.long = (expiry.0 > Expiry::MONTH).then_some(Long { expiry, argument });
        self
    }

    /// Asks for the keys of all items, each once; it answers in lines.
    pub(super) fn keys() -> Self {
        // In the order of the hash table. The order of use, `all`, changes while it is read.
        Self::line("lru_crawler metadump hash")
    }

    fn set(key: &Key, text: &str, expiry: Expiry, mode: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + key.0.len() + 64);
        // A vector takes all that is written to it.
        let _ = write!(bytes, "ms {} {} c", key.0, text.len());
        let place = bytes.len();
        let _ = write!(bytes, " F{JSON} {mode}\r\n");
        let mut request =
            Self { bytes, item: key.0.len() + text.len(), long: None }.until(expiry, place);
        request.bytes.extend_from_slice(text.as_bytes());
        request.bytes.extend_from_slice(b"\r\n");
        request
    }

    fn line(line: &str) -> Self {
        Self { bytes: [line.as_bytes(), b"\r\n"].concat(), item: 0, long: None }
    }
}

/// The flags by which npm's memcached knows that a value is JSON, and parses it.
const JSON: u32 = 2;

/// The server's answer to a meta command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Here it is.
    Found(Item),
    /// Done; for a set with the new item's number.
    Done { cas: Option<u64> },
    /// There is no such item.
    Missing,
    /// There is an item, where none was expected.
    Taken,
    /// The item is another than expected.
    Changed,
}

/// An item as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) value: Vec<u8>,
    /// The server's number for this writing of the item. It gives each only once.
    pub(super) cas: u64,
    /// How many seconds it has left, if it is to end at all.
    pub(super) seconds: Option<u32>,
}

/// An answer that is none to the question. The connection must not be used again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Bytes that the protocol does not have here.
    Garbled(&'static str),
    /// The server does not know the command.
    Unknown,
    /// The server has more connections than it may.
    Busy,
    /// The item is larger than the server takes.
    TooLarge,
    /// The server's own words: it can, or will, not do that.
    Refused(String),
}

/// The longest line that an answer may have. The longest that servers send is one with a path.
const LINE_BYTES: usize = 8 * 1024;

/// Reads an answer from the front of what came in so far, and says how long it is; nothing if there is
/// more to come.
pub(super) fn reply(input: &[u8], largest: usize) -> Result<Option<(Reply, usize)>, Fault> {
    let Some((line, begin)) = line(input)? else { return Ok(None) };
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let reply = match words.next().unwrap_or_default() {
        b"HD" => Reply::Done { cas: Tokens::read(words)?.cas },
        b"EN" | b"NF" => Reply::Missing,
        b"NS" => Reply::Taken,
        b"EX" => Reply::Changed,
        b"VA" => return value(words, input, begin, largest),
        _ => return Err(fault(line)),
    };
    Ok(Some((reply, begin)))
}

/// Reads a line from the front of what came in so far, and says where the next begins.
pub(super) fn line(input: &[u8]) -> Result<Option<(&[u8], usize)>, Fault> {
    let window = input.get(..LINE_BYTES).unwrap_or(input);
    match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = input.get(..end).unwrap_or_default();
            // Some lines of the server end without it.
            Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1)))
        }
        None if input.len() < LINE_BYTES => Ok(None),
        None => Err(Fault::Garbled("a line without an end")),
    }
}

/// Reads the line of an answer that says why there is none.
pub(super) fn fault(line: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(line);
    match text.split_once(' ').unwrap_or((&text, "")) {
        ("ERROR", "") => Fault::Unknown,
        ("ERROR", "Too many open connections") => Fault::Busy,
        ("SERVER_ERROR", words) if words.contains("too large") => Fault::TooLarge,
        ("ERROR" | "SERVER_ERROR" | "CLIENT_ERROR", _) => Fault::Refused(text.into_owned()),
        _ => Fault::Garbled("no answer that the command has"),
    }
}

fn value<'l>(
    mut words: impl Iterator<Item = &'l [u8]>,
    input: &[u8],
    begin: usize,
    largest: usize,
) -> Result<Option<(Reply, usize)>, Fault> {
    let length: usize = number(words.next().unwrap_or_default())?;
    if length > largest {
        return Err(Fault::Garbled("a value larger than the server may keep"));
    }
    let tokens = Tokens::read(words)?;
    let cas = tokens.cas.ok_or(Fault::Garbled("a value without its number"))?;
    // A server may say that it takes values of any length.
    let end = begin.saturating_add(length);
    let Some(tail) = input.get(end..).and_then(|rest| rest.get(..2)) else { return Ok(None) };
    if tail != b"\r\n" {
        return Err(Fault::Garbled("a value of another length than announced"));
    }
    let value = input.get(begin..end).unwrap_or_default().to_vec();
    let item = Item { value, cas, seconds: tokens.seconds };
    Ok(Some((Reply::Found(item), end + 2)))
}

/// The tokens of an answer that are asked for here.
#[derive(Default)]
struct Tokens {
    cas: Option<u64>,
    seconds: Option<u32>,
}

impl Tokens {
    fn read<'l>(words: impl Iterator<Item = &'l [u8]>) -> Result<Self, Fault> {
        let mut tokens = Self::default();
        for word in words {
            match word.split_at_checked(1) {
                Some((b"c", cas)) => tokens.cas = Some(number(cas)?),
                Some((b"t", b"-1")) => tokens.seconds = None,
                Some((b"t", seconds)) => tokens.seconds = Some(number(seconds)?),
                // The server may add some, as that another client asked for the item before.
                Some(_) | None => {}
            }
        }
        Ok(tokens)
    }
}

pub(super) fn number<N: std::str::FromStr>(digits: &[u8]) -> Result<N, Fault> {
    // `parse` would take a sign as well.
    let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
    let number = digits.and_then(|text| text.parse().ok());
    number.ok_or(Fault::Garbled("no number where one belongs"))
}

/// Reads a line of `stats`: a name and its value.
pub(super) fn statistic(line: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(line).ok()?.strip_prefix("STAT ")?.split_once(' ')
}

/// Reads a line of a listing: the key, and the second since 1970 at which its item ends, if it does.
pub(super) fn listed(line: &[u8]) -> Result<(Vec<u8>, Option<i64>), Fault> {
    let mut words = line.split(|byte| *byte == b' ');
    let mut field = |name: &[u8]| words.next().and_then(|word| word.strip_prefix(name));
    let (Some(key), Some(end)) = (field(b"key="), field(b"exp=")) else {
        return Err(fault(line));
    };
    let end = if end == b"-1" { None } else { Some(number(end)?) };
    Ok((unquoted(key)?, end))
}

/// Turns `%20` and its like into the bytes that they stand for.
fn unquoted(quoted: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits =
            rest.split_at_checked(2).filter(|(it, _)| it.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|(digits, behind)| {
            rest = behind;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        });
        bytes.push(byte.ok_or(Fault::Garbled("a key that is not quoted as keys are"))?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: usize = 1 << 20;

    fn key() -> Key {
        Key::new("sess:a").unwrap()
    }

    fn sent(request: &Request) -> &str {
        std::str::from_utf8(&request.bytes).unwrap()
    }

    #[test]
    fn each_request_is_what_the_protocol_has() {
        let hour = Expiry::after(3_600_000);
        assert_eq!(sent(&Request::get(&key())), "mg sess:a c t v\r\n");
        assert_eq!(sent(&Request::touch(&key(), hour)), "mg sess:a T3600\r\n");
        assert_eq!(sent(&Request::delete(&key())), "md sess:a\r\n");
        let add = Request::add(&key(), "{é}", hour);
        assert_eq!(sent(&add), "ms sess:a 4 c T3600 F2 ME\r\n{é}\r\n");
        assert_eq!(add.item, 10);
        let replace = Request::replace(&key(), "", hour, u64::MAX);
        assert_eq!(sent(&replace), "ms sess:a 0 c T3600 F2 C18446744073709551615\r\n\r\n");
    }

    #[test]
    fn expiry_beyond_a_month_is_a_point_of_the_servers_time_or_a_month() {
        let requests = |seconds: i64| {
            let expiry = Expiry::after(seconds * 1000);
            [Request::touch(&key(), expiry), Request::add(&key(), "{é}", expiry)]
        };
        for mut request in requests(Expiry::MONTH) {
            assert!(!request.needs_server_time());
            request.at_server_time(1_700_000_000);
            assert!(sent(&request).contains(" T2592000"), "{}", sent(&request));
        }
        for (seconds, at) in
            [(Expiry::MONTH + 1, 1_702_592_001), (i64::MAX / 1000, i64::from(i32::MAX))]
        {
            let [mut touch, mut add] = requests(seconds);
            assert!(touch.needs_server_time() && add.needs_server_time());
            assert_eq!(sent(&touch), "mg sess:a T2592000\r\n", "to a proxy that has no time");
            touch.at_server_time(1_700_000_000);
            add.at_server_time(1_700_000_000);
            assert_eq!(sent(&touch), format!("mg sess:a T{at}\r\n"));
            assert_eq!(sent(&add), format!("ms sess:a 4 c T{at} F2 ME\r\n{{é}}\r\n"));
            assert!(!touch.needs_server_time(), "it is put there once");
        }
    }

    #[test]
    fn a_key_that_would_be_read_as_more_than_a_key_is_none() {
        for key in ["", "a b", " ", "a\r\nflush_all", "a\nb", "a\0", "a\t", "a\u{7f}", "\u{1}"] {
            assert!(Key::new(key).is_none(), "{key:?}");
        }
        for key in ["a", "sess:á", "会话", "'", "\u{a0}", "%20"] {
            assert!(Key::new(key).is_some(), "{key:?}");
        }
        assert!(Key::new("x".repeat(250)).is_some());
        assert!(Key::new("x".repeat(251)).is_none());
        assert!(Key::new("é".repeat(126)).is_none(), "bytes are counted");
    }

    #[test]
    fn expiry_is_never_by_accident_never_or_long_ago() {
        for (milliseconds, expected) in [
            (i64::MIN, -1),
            (-1, -1),
            (0, -1),
            (1, 1),
            (999, 1),
            (1000, 1),
            (1999, 1),
            (3_600_000, 3600),
            (Expiry::MONTH * 1000 + 999, Expiry::MONTH),
            (Expiry::MONTH * 1000 + 1000, Expiry::MONTH + 1),
            (i64::MAX, i64::MAX / 1000),
        ] {
            assert_eq!(Expiry::after(milliseconds), Expiry(expected), "{milliseconds}");
        }
    }

    fn whole(input: &str) -> Reply {
        let (reply, length) = reply(input.as_bytes(), LARGEST).unwrap().unwrap();
        assert_eq!(length, input.len());
        reply
    }

    fn item(value: &str, cas: u64, seconds: Option<u32>) -> Reply {
        Reply::Found(Item { value: value.into(), cas, seconds })
    }

    #[test]
    fn each_answer_is_understood() {
        assert_eq!(whole("VA 2 c7 t60\r\n{}\r\n"), item("{}", 7, Some(60)));
        assert_eq!(whole("VA 2 c7 t-1\r\n{}\r\n"), item("{}", 7, None));
        assert_eq!(whole("VA 0 c7 t0 W Z s3\r\n\r\n"), item("", 7, Some(0)));
        assert_eq!(whole("VA 4 c7 t1\r\n\r\n\r\n\r\n"), item("\r\n\r\n", 7, Some(1)));
        assert_eq!(whole("HD c18446744073709551615\r\n"), Reply::Done { cas: Some(u64::MAX) });
        assert_eq!(whole("HD\r\n"), Reply::Done { cas: None });
        assert_eq!(whole("EN\r\n"), Reply::Missing);
        assert_eq!(whole("NF\r\n"), Reply::Missing);
        assert_eq!(whole("NS c0\r\n"), Reply::Taken);
        assert_eq!(whole("EX c0\r\n"), Reply::Changed);
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_waited_for() {
        for input in ["VA 4 c7 t60\r\n{\r\n}\r\n", "HD c12\r\n", "EN\r\n", "SERVER_ERROR no\r\n"] {
            for length in 0..input.len() {
                let cut = reply(&input.as_bytes()[..length], LARGEST);
                assert_eq!(cut, Ok(None), "{input:?} cut to {length}");
            }
        }
    }

    #[test]
    fn bytes_after_an_answer_stay_in_the_input() {
        let input = b"VA 2 c7 t60\r\n{}\r\nHD\r\n";
        let (first, length) = reply(input, LARGEST).unwrap().unwrap();
        assert_eq!((first, length), (item("{}", 7, Some(60)), 17));
        let second = reply(&input[length..], LARGEST);
        assert_eq!(second, Ok(Some((Reply::Done { cas: None }, 4))));
    }

    #[test]
    fn answers_that_the_protocol_does_not_have_are_faults() {
        for input in [
            "\r\n",
            "va 2 c7 t60\r\n{}\r\n",
            "VALUE a 2 2\r\n{}\r\nEND\r\n",
            "VA\r\n",
            "VA x c7\r\n",
            "VA -1 c7\r\n",
            "VA +2 c7\r\n{}\r\n",
            "VA 2 t60\r\n{}\r\n",
            "VA 2 c t60\r\n{}\r\n",
            "VA 2 c7 t-2\r\n{}\r\n",
            "VA 2 c7 t60\r\n{}}\r\n",
            "VA 2 c7 t60\r\n{}\n\r",
            "VA 1048577 c7 t60\r\n",
            "VA 18446744073709551616 c7 t60\r\n",
            "HD c18446744073709551616\r\n",
            "HD cx\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
            "\u{fffd}\0\r\n",
        ] {
            let result = reply(input.as_bytes(), LARGEST);
            assert!(matches!(result, Err(Fault::Garbled(_))), "{input:?} gave {result:?}");
        }
        let endless = vec![b'x'; LINE_BYTES];
        assert!(matches!(reply(&endless, LARGEST), Err(Fault::Garbled(_))));
        assert_eq!(reply(&endless[1..], LARGEST), Ok(None));
    }

    #[test]
    fn errors_map_to_faults() {
        let fault = |input: &str| reply(input.as_bytes(), LARGEST).unwrap_err();
        assert_eq!(fault("ERROR\r\n"), Fault::Unknown);
        assert_eq!(fault("ERROR Too many open connections\r\n"), Fault::Busy);
        assert_eq!(fault("SERVER_ERROR object too large for cache\r\n"), Fault::TooLarge);
        for words in ["SERVER_ERROR out of memory storing object", "CLIENT_ERROR unauthenticated"] {
            assert_eq!(fault(&format!("{words}\r\n")), Fault::Refused(words.into()));
        }
    }

    #[test]
    fn listed_keys_are_given_as_they_are_stored() {
        let read = |line: &str| listed(line.as_bytes());
        assert_eq!(
            read("key=sess%3Aa%20%C3%A9 exp=1795507068 la=1 cas=12 fetch=no cls=1 size=62"),
            Ok(("sess:a é".into(), Some(1_795_507_068)))
        );
        assert_eq!(read("key=a exp=-1 la=1"), Ok(("a".into(), None)));
        for line in ["", "key=a", "exp=1 key=a", "key=% exp=1", "key=%2 exp=1", "key=%+1 exp=1"] {
            assert!(matches!(read(line), Err(Fault::Garbled(_))), "{line:?}");
        }
        assert_eq!(read("ERROR"), Err(Fault::Unknown));
    }

    #[test]
    fn statistics_are_names_and_values() {
        assert_eq!(statistic(b"STAT item_size_max 1048576"), Some(("item_size_max", "1048576")));
        assert_eq!(statistic(b"STAT x a b"), Some(("x", "a b")));
        assert_eq!(statistic(b"END"), None);
    }
}
