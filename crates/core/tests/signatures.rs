//! The signatures and cookie values that express-session 1.19.0 made on Node (items 30 to 32).

use express_session_core::cookie::{self, Cookie, StoredCookie, print};
use express_session_core::{Keyring, SessionId, Timestamp, signing};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    secret: String,
    id: String,
    signature: String,
    cookie_value: String,
}

fn vectors() -> Vec<Vector> {
    let vectors = include_str!("../../../conformance/vectors/signatures.json");
    serde_json::from_str(vectors).expect("the vectors are JSON")
}

#[test]
fn ids_are_signed_as_on_node() {
    for Vector { secret, id, signature, .. } in vectors() {
        let keyring = Keyring::new([&secret]).unwrap();
        assert_eq!(keyring.sign(&SessionId::new(id.as_str()).unwrap()), signature, "{secret} {id}");
        assert!(keyring.verify(&id, &signature), "{secret} {id}");
    }
}

#[test]
fn cookie_values_are_written_and_read_as_on_node() {
    let options = StoredCookie::new(&Cookie::new(), Timestamp::from_millis(0), false, true);
    for Vector { secret, id, cookie_value, .. } in vectors() {
        let keyring = Keyring::new([&secret]).unwrap();
        let sealed = signing::sign(&SessionId::new(id.as_str()).unwrap(), &keyring);
        let header = print("connect.sid", &sealed, &options).unwrap();
        assert_eq!(header, format!("connect.sid={cookie_value}; Path=/; HttpOnly"));

        let sent = format!("connect.sid={cookie_value}");
        let read = cookie::values([sent.as_bytes()], "connect.sid").next().unwrap();
        assert_eq!(signing::verify(&read, &keyring).unwrap().into_inner().as_str(), id);
    }
}
