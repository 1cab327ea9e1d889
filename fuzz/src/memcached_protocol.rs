//! The responses of a Memcached server.

use percent_encoding::percent_decode;

/// The module's source, which is included so that its items can stay private in its crate.
#[path = "../../crates/session/src/store/memcached/protocol.rs"]
#[allow(dead_code, missing_docs, reason = "only its readers are fuzzed")]
mod protocol;

use protocol::{Fault, Reply, fault, line, listed, reply, statistic};

/// Reads bytes as responses, as lines and as keys. The first byte is the maximum size of an item.
pub fn run(data: &[u8]) {
    let Some((first, input)) = data.split_first() else { return };
    let largest = match first {
        0 => usize::MAX,
        1 => 1 << 20,
        other => usize::from(*other),
    };
    in_pieces(input, |piece| reply(piece, largest).map(|found| found.map(|(_, length)| length)));
    in_pieces(input, |piece| line(piece).map(|found| found.map(|(_, length)| length)));
    if let Ok(Some((reply, length))) = reply(input, largest) {
        check_reply(&reply, input, length, largest);
    }
    if let Ok(Some((line, _))) = line(input) {
        check_line(line);
    }
    one_after_the_other(input, largest);
}

/// Checks that a partial response is read like the complete one, or needs more bytes.
fn in_pieces(input: &[u8], read: impl Fn(&[u8]) -> Result<Option<usize>, Fault>) {
    let whole = read(input);
    let length = match &whole {
        Ok(Some(length)) => *length,
        Ok(None) | Err(_) => input.len(),
    };
    assert!(length <= input.len());
    // All places near the ends, and some in between.
    let step = (input.len() / 64).max(1);
    for cut in (0..input.len()).filter(|cut| cut % step == 0 || cut.abs_diff(length) < 4) {
        let piece = read(&input[..cut]);
        if cut < length {
            assert!(piece == Ok(None) || piece == whole && whole.is_err(), "cut to {cut}");
        } else {
            assert_eq!(piece, whole, "cut to {cut}");
        }
    }
}

fn check_reply(reply: &Reply, input: &[u8], length: usize, largest: usize) {
    let Reply::Found(item) = reply else { return };
    assert!(item.value.len() <= largest && item.value.len() + 2 <= length);
    assert!(input[..length].strip_suffix(b"\r\n").is_some_and(|head| head.ends_with(&item.value)));
}

fn check_line(line: &[u8]) {
    assert!(!line.contains(&b'\n'));
    if let Some((name, value)) = statistic(line) {
        assert_eq!(["STAT ", name, " ", value].concat().as_bytes(), line);
    }
    if let Ok((key, _)) = listed(line) {
        let quoted = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let expected: Vec<u8> = percent_decode(&quoted[b"key=".len()..]).collect();
        assert_eq!(key, expected);
    }
    if let Fault::Refused(words) = fault(line) {
        assert_eq!(words, String::from_utf8_lossy(line));
    }
}

/// Checks that consecutive responses are read one after the other.
fn one_after_the_other(input: &[u8], largest: usize) {
    let mut rest = input;
    while let Ok(Some((_, length))) = reply(rest, largest) {
        assert!(length > 0, "every response has a length");
        rest = &rest[length..];
    }
}
