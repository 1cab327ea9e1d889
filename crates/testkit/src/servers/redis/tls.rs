//! Certificates that only one server's clients trust.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::program;

pub(in super::super) const AUTHORITY: &str = "authority.pem";
pub(in super::super) const CERTIFICATE: &str = "certificate.pem";
pub(in super::super) const KEY: &str = "key.pem";

/// Makes an authority, and a certificate that it signed.
pub(in super::super) fn certify(openssl: &Path, folder: &Path) -> Result<(), String> {
    let openssl = |subcommand: &str, options: &str| {
        let words = options.split(' ');
        let mut command = Command::new(openssl);
        program::run(command.current_dir(folder).arg(subcommand).args(words))
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        "req",
        &format!("-x509 {key} -days 30 -subj /CN=authority -keyout authority.key -out {AUTHORITY}"),
    )?;
    openssl("req", &format!("-new {key} -subj /CN=localhost -keyout {KEY} -out request.pem"))?;
    let names = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n";
    fs::write(folder.join("names"), names).map_err(|error| error.to_string())?;
    openssl(
        "x509",
        &format!(
            "-req -days 30 -in request.pem -CA {AUTHORITY} -CAkey authority.key -CAcreateserial \
             -extfile names -out {CERTIFICATE}"
        ),
    )
}
