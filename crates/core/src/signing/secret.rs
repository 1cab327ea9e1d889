//! The strength of a secret: published, short, or easy to guess.
//!
//! 1. Weak are secrets that documentation has published, and those of fewer than 16 bytes.
//! 2. So are those of less than 80 bits by an estimate. It reads a secret from left to right. A part that repeats an
//!    earlier part, or is a frequent word, a row of keys or a sequence, counts 10 bits; letters count in any case and as
//!    digits that look like them. Any other character counts by its group: 2.5 bits in a word, 3.3 among digits, 4 among
//!    hexadecimal digits, up to 6 in a mixture.
//! 3. A random secret is strong from 16 characters of base64, 20 hexadecimal digits or 25 decimal ones on.

use std::fmt;

/// The reason why a secret is weak. Shows nothing of the secret.
///
/// ```
/// use express_session_core::signing::{WeakSecret, check_secret};
///
/// assert_eq!(check_secret(b"keyboard cat"), Err(WeakSecret::Published));
/// assert_eq!(check_secret(b"hunter2"), Err(WeakSecret::Short));
/// assert_eq!(check_secret(b"passwordpassword"), Err(WeakSecret::Guessable));
/// assert_eq!(WeakSecret::Short.to_string(), "shorter than 16 bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeakSecret {
    /// It is printed in documentation: of this library, of express-session, or in well-known tutorials.
    Published,
    /// It has fewer than 16 bytes.
    Short,
    /// It has words, repetitions, sequences or too few characters: less than 80 bits by the estimate.
    Guessable,
}

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Published => "published in documentation",
            Self::Short => "shorter than 16 bytes",
            Self::Guessable => "easy to guess",
        })
    }
}

impl std::error::Error for WeakSecret {}

/// Checks the strength of a secret. The estimate reads at most its first 256 bytes.
///
/// # Errors
///
/// [`WeakSecret`] if an attacker may guess it, and sign any session id.
pub fn check_secret(secret: &[u8]) -> Result<(), WeakSecret> {
    let letters = |text: &[u8]| -> Vec<u8> {
        text.iter().filter(|byte| byte.is_ascii_alphanumeric()).copied().map(fold).collect()
    };
    let own = letters(secret);
    let is_published = |text: &&str| !own.is_empty() && letters(text.as_bytes()) == own;
    if PUBLISHED.iter().any(is_published) {
        Err(WeakSecret::Published)
    } else if secret.len() < SHORTEST {
        Err(WeakSecret::Short)
    } else if bits(&secret[..secret.len().min(256)]) < FEWEST_BITS {
        Err(WeakSecret::Guessable)
    } else {
        Ok(())
    }
}

const SHORTEST: usize = 16;
const FEWEST_BITS: f64 = 80.0;

/// The bits of a repetition or of a known word, about the logarithm of the number of known places.
const KNOWN_BITS: f64 = 10.0;
const SHORTEST_KNOWN: usize = 4;

fn bits(secret: &[u8]) -> f64 {
    let literal = literal_bits(secret);
    let known: Vec<u8> = KNOWN.bytes().map(fold).collect();
    let own: Vec<u8> = secret.iter().copied().map(fold).collect();
    let (mut bits, mut at) = (0.0, 0);
    while at < own.len() {
        let earlier = (0..at).map(|from| common(&own[from..], &own[at..]));
        let word = (0..known.len()).map(|from| common(&known[from..], &own[at..]));
        let length = earlier.chain(word).max().unwrap_or(0);
        if length >= SHORTEST_KNOWN {
            let sum: f64 = literal[at..at + length].iter().sum();
            bits += sum.min(KNOWN_BITS);
            at += length;
        } else {
            bits += literal[at];
            at += 1;
        }
    }
    bits
}

/// Returns the length of the common beginning.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Maps letters to one case, and the digits and signs that stand for a letter to it.
fn fold(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        b'0' => b'o',
        b'1' | b'!' => b'i',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'7' => b't',
        other => other,
    }
}

/// Returns the bits of each byte, by the group of letters and digits that it is in.
fn literal_bits(secret: &[u8]) -> Vec<f64> {
    let mut bits = Vec::with_capacity(secret.len());
    for group in
        secret.chunk_by(|one, other| one.is_ascii_alphanumeric() && other.is_ascii_alphanumeric())
    {
        bits.resize(bits.len() + group.len(), group_bits(group));
    }
    bits
}

fn group_bits(group: &[u8]) -> f64 {
    let all = |is: fn(&u8) -> bool| group.iter().all(is);
    let any = |is: fn(&u8) -> bool| group.iter().any(is);
    let is_word = all(u8::is_ascii_alphabetic)
        && group.len() <= 20
        && (group[1..].iter().all(u8::is_ascii_lowercase) || all(u8::is_ascii_uppercase));
    match group[0] {
        128.. => 7.0,
        b' ' | b'-' | b'_' | b'.' | b',' | b'/' => 2.5,
        first if !first.is_ascii_alphanumeric() => 5.0,
        _ if is_word => 2.5,
        _ if all(u8::is_ascii_digit) => 3.3,
        _ if all(u8::is_ascii_hexdigit)
            && !(any(u8::is_ascii_lowercase) && any(u8::is_ascii_uppercase)) =>
        {
            4.0
        }
        _ => {
            let sizes = [
                (any(u8::is_ascii_lowercase), 26.0),
                (any(u8::is_ascii_uppercase), 26.0),
                (any(u8::is_ascii_digit), 10.0),
            ];
            sizes.iter().map(|(any, size)| if *any { *size } else { 0.0 }).sum::<f64>().log2()
        }
    }
}

/// Frequent parts of passwords: sequences, rows of keys, and words of at least four letters.
const KNOWN: &str = "abcdefghijklmnopqrstuvwxyz zyxwvutsrqponmlkjihgfedcba 012345678901234567890 \
    98765432109876543210 0123456789abcdef fedcba9876543210 qwertyuiop poiuytrewq asdfghjkl lkjhgfdsa zxcvbnm \
    mnbvcxz qwertzuiop azertyuiop 1q2w3e4r5t6y7u8i 1qaz2wsx3edc4rfv deadbeef cafebabe baadf00d feedface \
    password passphrase passwort secret session cookie token keyboard admin administrator root user login \
    letmein welcome hello world dragon monkey master shadow sunshine princess football baseball iloveyou \
    superman batman trustno1 whatever change changeme changethis replace default example sample test testing \
    developer development production staging local localhost server machine private public random string \
    value super very long this that your mine only just some with from here goes insert please \
    express node rust axum redis hash salt signing secure security strong weak unsafe insecure \
    january february march april june july august september october november december \
    monday tuesday wednesday thursday friday saturday sunday spring summer autumn winter company";

/// Secrets that documentation has published. Case, digits that stand for letters, and separators do not matter.
const PUBLISHED: [&str; 53] = [
    // Of this repository.
    "f81d4fae7dec11d0a76500a0c91e6bf6",
    "0e4d1c2ab9e84b6d8a9cf0a5c1f7de31",
    "for this machine only",
    "new secret",
    "old secret",
    "old secret of 32 characters !!!!!",
    "another one that is the new one",
    // Of express-session, cookie-parser, and tutorials.
    "keyboard cat",
    "secret",
    "my secret",
    "your secret",
    "some secret",
    "top secret",
    "super secret",
    "very secret",
    "session secret",
    "cookie secret",
    "secret key",
    "my secret key",
    "your secret key",
    "your secret key here",
    "super secret key",
    "session secret key",
    "secret squirrel",
    "change me",
    "change this",
    "change it",
    "change this secret",
    "change me in production",
    "replace me",
    "replace this",
    "replace this secret",
    "insert secret here",
    "put your secret here",
    "your session secret",
    "your session secret goes here",
    "this is a secret",
    "this is my secret",
    "this is a secret key",
    "a very long secret",
    "not a secret",
    "no secret",
    "shhhh, very secret",
    "ssshhhhh",
    "any string of text",
    "ilovescotchscotchyscotchscotch",
    "ThisIsHowYouUseRedisSessionStorage",
    "2C44-4D44-WppQ38S",
    "XCR3rsasa%RDHHH",
    "s3Cur3",
    "work hard",
    "hello world",
    "correct horse battery staple",
];

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn audit_l1_weak_secrets_are_found_for_their_reason() {
        use WeakSecret::{Guessable, Published, Short};
        let repeated = "ab".repeat(500);
        for (secret, reason) in [
            ("", Short),
            ("hunter2", Short),
            ("f81d4fae7dec11d", Short),
            ("keyboard cat", Published),
            ("Keyboard-Cat", Published),
            ("k3yb0ard_c4t", Published),
            ("SECRET", Published),
            ("change_me!", Published),
            ("for this machine only", Published),
            ("f81d4fae7dec11d0a76500a0c91e6bf6", Published),
            ("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", Published),
            ("c0rrect horse battery staple", Published),
            ("keyboard cat keyboard cat", Guessable),
            ("passwordpassword", Guessable),
            ("P@ssw0rdP@ssw0rd123456", Guessable),
            ("secretsecretsecretsecretsecretsecret", Guessable),
            ("0123456789012345", Guessable),
            ("8675309867530986", Guessable),
            ("4711081542230815", Guessable),
            ("0123456789abcdef0123456789abcdef", Guessable),
            ("qwertyuiopasdfghjklzxcvbnm", Guessable),
            ("abcdefghijklmnopqrstuvwxyz0123456789", Guessable),
            ("zyxwvutsrqponmlkjihgfedcba", Guessable),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Guessable),
            ("abababababababababababababababab", Guessable),
            ("x7Kx7Kx7Kx7Kx7Kx7Kx7Kx7Kx7Kx7Kx7", Guessable),
            ("my super secret key 2024!", Guessable),
            ("we sell shoes in ghent", Guessable),
            ("changeme-changeme-changeme-changeme", Guessable),
            ("00000000-0000-0000-0000-000000000000", Guessable),
            ("                                ", Guessable),
            (&repeated, Guessable),
        ] {
            assert_eq!(check_secret(secret.as_bytes()), Err(reason), "{secret}");
        }
        assert_eq!(check_secret(&[7; 32]), Err(Guessable));
        assert_eq!(check_secret(&[0; 64]), Err(Guessable));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn random_secret_is_strong_in_any_form(bytes: [u8; 32]) {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-");
            let digits: String = bytes.iter().map(|byte| char::from(b'0' + byte % 10)).collect();
            let lower: String = bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
            let printable: String = bytes.iter().map(|byte| char::from(b'!' + byte % 94)).collect();
            for strong in [
                hex.to_uppercase(),
                hex[..32].to_owned(),
                uuid,
                digits,
                lower,
                printable,
                STANDARD.encode(bytes),
                URL_SAFE_NO_PAD.encode(&bytes[..18]),
                hex,
            ] {
                prop_assert_eq!(check_secret(strong.as_bytes()), Ok(()), "{}", strong);
            }
            prop_assert_eq!(check_secret(&bytes), Ok(()));
        }
    }
}
