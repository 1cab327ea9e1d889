//! The signed value of the cookie.

use arbitrary::{Arbitrary, Unstructured};
use express_session_core::{Keyring, SessionId, signing};
use serde_json::json;

use crate::node::Question;

/// Secrets, an id, and the changes of its value.
#[derive(Arbitrary, Debug)]
struct Case {
    first: String,
    others: Vec<String>,
    id: String,
    /// The bit to flip.
    bit: u16,
    /// A value that others have made.
    foreign: String,
}

fn case(data: &[u8]) -> Option<Case> {
    let mut case = Case::arbitrary_take_rest(Unstructured::new(data)).ok()?;
    case.others.truncate(3);
    Some(case)
}

/// Signs an id, and verifies the value with the right secrets and with slightly different ones.
pub fn run(data: &[u8]) {
    let Some(case) = case(data) else { return };
    let secrets: Vec<&str> =
        [&*case.first].into_iter().chain(case.others.iter().map(|other| &**other)).collect();
    let ring = ring(&secrets);
    refused_or_sealed(&case.foreign, &secrets);
    refused_or_sealed(&format!("s:{}", case.foreign), &secrets);
    let Some(id) = SessionId::new(case.id) else {
        return assert!(opened(&signing::sign(&some_id(), &ring), &ring).is_some());
    };
    let value = signing::sign(&id, &ring);
    assert_eq!(opened(&value, &ring).as_deref(), Some(id.as_str()), "a signed id verifies");
    for secret in &secrets {
        let other = self::ring(&[secret]);
        let same = key(secret) == key(&case.first);
        assert_eq!(opened(&value, &other).is_some(), same, "the first secret signs");
        assert!(opened(&signing::sign(&id, &other), &ring).is_some(), "every secret verifies");
    }
    let mut bytes = value.clone().into_bytes();
    let bit = usize::from(case.bit) % (8 * bytes.len());
    bytes[bit / 8] ^= 1 << (bit % 8);
    if let Ok(turned) = String::from_utf8(bytes) {
        assert_eq!(opened(&turned, &ring), None, "a flipped bit is refused");
    }
    let cut = value.char_indices().nth(usize::from(case.bit) % value.chars().count());
    let cut = cut.map_or("", |(at, _)| &value[..at]);
    assert!(
        opened(cut, &ring).is_none_or(|found| found != id.as_str()),
        "a truncated value is refused"
    );
}

/// Asks npm's cookie-signature to sign the id, and to verify the foreign value.
pub fn question(data: &[u8]) -> Option<Question> {
    let case = case(data)?;
    let id = SessionId::new(case.id)?;
    let ring = ring(&[&case.first]);
    let sealed = signing::sign(&id, &ring);
    let foreign = format!("s:{}", case.foreign);
    Some(Question {
        ask: json!({
            "target": "token", "secret": case.first, "id": id.as_str(), "values": [&sealed, &foreign],
        }),
        ours: json!({
            "sealed": sealed, "opened": [opened(&sealed, &ring), opened(&foreign, &ring)],
        }),
    })
}

fn some_id() -> SessionId {
    SessionId::from_random([7; SessionId::RANDOM_BYTES])
}

fn ring(secrets: &[&str]) -> Keyring {
    Keyring::new(secrets).expect("there is a secret")
}

fn opened(value: &str, ring: &Keyring) -> Option<String> {
    signing::verify(value, ring).ok().map(|id| id.get().as_str().to_owned())
}

/// Checks that a verified value equals the signature of its id by one of the secrets.
fn refused_or_sealed(value: &str, secrets: &[&str]) {
    if let Some(id) = opened(value, &ring(secrets)).and_then(SessionId::new) {
        let sealed = |secret: &&str| signing::sign(&id, &ring(&[secret])) == value;
        assert!(secrets.iter().any(sealed), "a value verifies that no secret has signed");
    }
}

/// Returns HMAC's key of a secret (RFC 2104 §2): a short secret is filled with zeros. A long one is hashed, and differs
/// from all others here.
fn key(secret: &str) -> &str {
    if secret.len() <= 64 { secret.trim_end_matches('\0') } else { secret }
}
