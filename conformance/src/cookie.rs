//! The `Cookie` headers that visitors send, good and bad.
//!
//! Signing and encoding are implemented here again: the judge does not use the library's code.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Signs an id as cookie-signature does: `id.signature`.
pub fn sign(id: &str, secret: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return id.into() };
    mac.update(id.as_bytes());
    format!("{id}.{}", STANDARD_NO_PAD.encode(mac.finalize().into_bytes()))
}

pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Makes the value of a good cookie: `s%3Aid.signature`.
pub fn value(id: &str, secret: &str) -> String {
    encode(&format!("s:{}", sign(id, secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_signed_as_express_session_signs_them() {
        for (id, secret, signed) in [
            (
                "apple",
                "keyboard cat",
                "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU",
            ),
            ("%", "keyboard cat", "s%3A%25.kzQ6x52kKVdF35Qh62AWk4ZekS28K5XYCXKa%2FOTZ01g"),
        ] {
            assert_eq!(value(id, secret), signed);
        }
    }
}
