//! The table of connection strings, as the documentation or the console of each provider has them.

/// A connection string, in which `HOST` stands for the server, `OPEN` for one that demands no login, `SOCKET` for its
/// socket, and `=CA` for the file of its authority.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) provider: &'static str,
    pub(super) url: &'static str,
    pub(super) ours: Ours,
    pub(super) npm: Npm,
}

/// Our reading of a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    Plain,
    /// Encrypted, with any certificate.
    Encrypted,
    /// Encrypted, with a certificate of a trusted authority.
    Verified,
    /// An error with this advice.
    Refused(&'static str),
}

/// The npm client's reading of the same URL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Npm {
    Alike,
    /// It cannot connect with the URL alone.
    Fails,
}

use Ours::{Encrypted, Plain, Refused, Verified};

/// The URLs of one kind of server.
pub(super) struct Family {
    pub(super) name: &'static str,
    /// The npm client, by its name in `node/providers.mjs`.
    pub(super) npm: &'static str,
    /// The parameter that names the file of an authority.
    pub(super) authority: &'static str,
    pub(super) rows: &'static [Row],
}

/// The server lets `encrypted` and `scram` in with TLS only.
pub(super) const POSTGRES: Family = Family {
    name: "PostgreSQL",
    npm: "pg",
    authority: "sslrootcert",
    rows: &[
        row("Heroku", "postgres://encrypted:pw@HOST/postgres?sslmode=no-verify", Encrypted),
        row("Heroku, with ssl", "postgres://encrypted:pw@HOST/postgres?ssl=true", Verified),
        row(
            "Neon",
            "postgresql://scram:pw@HOST/postgres?sslmode=require&channel_binding=require",
            Verified,
        ),
        row(
            "Neon, options",
            "postgres://scram:pw@HOST/postgres?sslmode=require&options=-c%20geqo%3Doff",
            Verified,
        ),
        row("Supabase", "postgresql://postgres:pw@HOST/postgres", Plain),
        row(
            "Supabase, pooler",
            "postgres://encrypted:pw@HOST/postgres?pgbouncer=true&sslmode=require",
            Verified,
        ),
        row(
            "RDS",
            "postgres://encrypted:pw@HOST/postgres?sslmode=verify-full&sslrootcert=CA",
            Verified,
        ),
        row("Azure", "postgres://encrypted:pw@HOST/postgres?sslmode=require", Verified),
        row("DigitalOcean", "postgresql://encrypted:pw@HOST/postgres?sslmode=require", Verified),
        row("Aiven", "postgres://scram:pw@HOST/postgres?sslmode=require", Verified),
        row("Cockroach", "postgresql://encrypted:pw@HOST/postgres?sslmode=verify-full", Verified),
        row("Fly", "postgres://postgres:pw@HOST/postgres?sslmode=disable", Plain),
        row(
            "Prisma",
            "postgresql://postgres:pw@HOST/postgres?schema=public&connection_limit=5",
            Plain,
        ),
        row("libpq's default", "postgres://encrypted:pw@HOST/postgres?sslmode=prefer", Verified),
        row("Prisma, with TLS", "postgres://encrypted:pw@HOST/postgres?sslaccept=strict", Verified)
            .npm(Npm::Fails),
    ],
};

/// The server lets `encrypted` in with TLS only. mysql2 leaves unknown parameters out, and connects without TLS.
pub(super) const MYSQL: Family = Family {
    name: "MySQL",
    npm: "mysql2",
    authority: "ssl-ca",
    rows: &[
        row(
            "PlanetScale",
            r#"mysql://encrypted:pw@HOST/test?ssl={"rejectUnauthorized":true}"#,
            Verified,
        ),
        row("PlanetScale, Prisma", "mysql://encrypted:pw@HOST/test?sslaccept=strict", Verified)
            .npm(Npm::Fails),
        row("TiDB Cloud", r#"mysql://encrypted:pw@HOST/test?ssl={"minVersion":"TLSv1.2"}"#, Verified),
        row(
            "TiDB Cloud, encoded",
            "mysql://encrypted:pw@HOST/test?ssl=%7B%22minVersion%22%3A%22TLSv1.2%22%2C%22rejectUnauthorized%22%3Atrue%7D",
            Verified,
        ),
        row("Heroku, ClearDB", "mysql://plain:pw@HOST/test?reconnect=true", Plain),
        row("Heroku, JawsDB", "mysql://plain:pw@HOST/test", Plain),
        row(
            "RDS",
            "mysql://encrypted:pw@HOST/test?ssl-mode=VERIFY_IDENTITY&ssl-ca=CA",
            Verified,
        )
        .npm(Npm::Fails),
        row(
            "RDS, mysql2's profile",
            "mysql://encrypted:pw@HOST/test?ssl=Amazon%20RDS",
            Refused("name its certificates with ssl-ca"),
        )
        .npm(Npm::Fails),
        row("Aiven", "mysql://encrypted:pw@HOST/test?ssl-mode=REQUIRED", Encrypted).npm(Npm::Fails),
        row("DigitalOcean", "mysql://encrypted:pw@HOST/test?ssl-mode=REQUIRED", Encrypted)
            .npm(Npm::Fails),
        row("Azure", "mysql://encrypted:pw@HOST/test?ssl-mode=require", Encrypted).npm(Npm::Fails),
        row("Azure, JDBC", "mysql://encrypted:pw@HOST/test?useSSL=true&requireSSL=true", Encrypted)
            .npm(Npm::Fails),
        row(
            "Azure, JDBC, verified",
            "mysql://encrypted:pw@HOST/test?verifyServerCertificate=true&useSSL=true&requireSSL=true",
            Verified,
        )
        .npm(Npm::Fails),
        row("Cloud SQL, a socket", "mysql://root@localhost/test?socketPath=SOCKET", Plain),
        row("Railway", "mysql://plain:pw@HOST/test", Plain),
        row("SQLAlchemy", "mysql://encrypted:pw@HOST/test?ssl_ca=CA&ssl_verify_cert=true", Verified)
            .npm(Npm::Fails),
    ],
};

/// One server has TLS alone, one plain text. node-redis leaves parameters out, so that it verifies every certificate.
pub(super) const REDIS: Family = Family {
    name: "Redis",
    npm: "redis",
    authority: "ssl_ca_certs",
    rows: &[
        row("Heroku", "rediss://:pw@HOST", Verified),
        row("Heroku, any certificate", "rediss://:pw@HOST?ssl_cert_reqs=none", Encrypted)
            .npm(Npm::Fails),
        row("Heroku, Celery", "rediss://:pw@HOST/0?ssl_cert_reqs=CERT_NONE", Encrypted)
            .npm(Npm::Fails),
        row("Upstash", "rediss://default:pw@HOST", Verified),
        row("ElastiCache", "redis://OPEN", Plain),
        row("ElastiCache, with TLS", "rediss://user:pw@HOST", Verified),
        row("DigitalOcean, Aiven", "rediss://default:pw@HOST", Verified),
        row("Aiven for Valkey", "valkeys://default:pw@HOST", Verified).npm(Npm::Fails),
        row("Redis Cloud", "redis://default:pw@HOST", Plain),
        row("Redis Cloud, with TLS", "rediss://default:pw@HOST", Verified),
        row("Azure", "rediss://:pw@HOST/0", Verified),
        row("Railway", "redis://default:pw@HOST", Plain),
        row("Render, internal", "redis://OPEN", Plain),
        row("Render, external", "rediss://user:pw@HOST", Verified),
        row("Fly", "redis://default:pw@HOST", Plain),
        row("Fly, ioredis", "redis://default:pw@HOST/0?family=6", Plain),
    ],
};

const fn row(provider: &'static str, url: &'static str, ours: Ours) -> Row {
    Row { provider, url, ours, npm: Npm::Alike }
}

impl Row {
    const fn npm(self, npm: Npm) -> Self {
        Self { npm, ..self }
    }
}
