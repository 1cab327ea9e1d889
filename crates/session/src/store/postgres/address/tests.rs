use tokio_postgres::config::Host;

use super::*;
use Demand::{Encrypted, Identified, Plain, Trusted};

fn of(url: &str, environment: &[(&str, &str)]) -> Result<Address, String> {
    let find = |name: &str| {
        let found = environment.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    parse(url, &find).map_err(|error| error.to_string())
}

fn demand(parameters: &str, environment: &[(&str, &str)]) -> Result<Demand, String> {
    let url = format!("postgres://user:pw@host/db?{parameters}");
    of(&url, environment).map(|address| address.encryption.demand)
}

/// A file that can be read, with any content.
const FILE: &str = concat!("sslrootcert=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

#[test]
fn url_that_asks_for_encryption_is_never_plain() {
    for (parameters, expected) in [
        ("", Plain),
        ("sslmode=disable", Plain),
        ("ssl=false", Plain),
        ("ssl=0", Plain),
        ("sslmode=allow", Identified),
        ("sslmode=prefer", Identified),
        ("sslmode=require", Identified),
        ("sslmode=no-verify", Encrypted),
        ("sslmode=verify-ca", Identified),
        ("sslmode=verify-full", Identified),
        ("sslmode=prefer&uselibpqcompat=true", Encrypted),
        ("sslmode=require&uselibpqcompat=true", Encrypted),
        ("sslmode=require&uselibpqcompat=true&sslrootcert=system", Identified),
        ("sslmode=verify-full&sslrootcert=system", Identified),
        ("sslrootcert=system", Identified),
        ("sslnegotiation=direct", Identified),
        ("channel_binding=require", Identified),
        ("channel_binding=prefer", Plain),
        ("ssl=true", Identified),
        ("ssl=1", Identified),
        ("ssl=no-verify", Encrypted),
        ("ssl=require", Identified),
        ("ssl=true&sslmode=no-verify", Identified),
        ("requiressl=1", Identified),
        ("sslaccept=strict", Identified),
        ("sslaccept=accept_invalid_certs", Encrypted),
    ] {
        assert_eq!(demand(parameters, &[]), Ok(expected), "{parameters}");
    }
    for (parameters, expected) in [
        ("sslmode=verify-ca", Trusted),
        ("sslmode=require", Identified),
        ("sslmode=require&uselibpqcompat=1", Trusted),
        ("", Identified),
    ] {
        assert_eq!(demand(&format!("{parameters}&{FILE}"), &[]), Ok(expected), "{parameters}");
    }
    for contradiction in [
        "sslmode=disable&ssl=true",
        "sslmode=require&ssl=false",
        "sslmode=disable&channel_binding=require",
        "sslmode=disable&sslnegotiation=direct",
    ] {
        let told = demand(contradiction, &[]).unwrap_err();
        assert!(told.contains("asks for encryption, and another for none"), "{told}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn public_authorities_are_trusted_where_a_certificate_is_verified_and_none_is_named() {
    let root: &[_] = &[("PGSSLROOTCERT", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))];
    for (parameters, environment, expected) in [
        ("", &[] as &[_], false),
        ("", &[("PGSSLMODE", "verify-full")], true),
        ("sslmode=disable", &[], false),
        ("sslmode=no-verify", &[], false),
        ("sslmode=require", &[], true),
        ("sslmode=require&uselibpqcompat=true", &[], false),
        ("sslaccept=strict", &[], true),
        ("channel_binding=require", &[], true),
        ("sslmode=verify-full&sslrootcert=system", &[], false),
        (&format!("sslmode=verify-ca&{FILE}"), &[], false),
        ("sslmode=require", root, false),
    ] {
        let address = of(&format!("postgres://host/db?{parameters}"), environment).unwrap();
        let is_public = address.encryption.trusts_public_authorities();
        assert_eq!(is_public, expected, "{parameters} {environment:?}");
    }
}

#[test]
fn environment_decides_about_encryption_only_where_the_url_does_not() {
    for (parameters, variable, value, expected) in [
        ("", "PGSSLMODE", "no-verify", Encrypted),
        ("", "PGSSLMODE", "prefer", Identified),
        ("", "PGSSLMODE", "disable", Plain),
        ("", "PGSSLROOTCERT", "system", Identified),
        ("sslmode=require", "PGSSLMODE", "disable", Identified),
        ("ssl=true", "PGSSLMODE", "no-verify", Identified),
        ("channel_binding=require", "PGSSLMODE", "disable", Identified),
        ("sslmode=disable", "PGSSLMODE", "require", Plain),
        ("sslmode=disable", "PGCHANNELBINDING", "require", Plain),
        ("sslmode=disable", "PGSSLROOTCERT", "system", Plain),
    ] {
        let demand = demand(parameters, &[(variable, value)]);
        assert_eq!(demand, Ok(expected), "{parameters} {variable}={value}");
    }
}

#[test]
fn environment_fills_in_what_the_url_leaves_out() {
    let environment = [
        ("PGHOST", "db"),
        ("PGPORT", "5433"),
        ("PGUSER", "web"),
        ("PGPASSWORD", "hunter2"),
        ("PGDATABASE", "shop"),
        ("PGAPPNAME", "app"),
        ("PGOPTIONS", "-c search_path=web"),
        ("PGCONNECT_TIMEOUT", "7"),
        ("PGTARGETSESSIONATTRS", "primary"),
    ];
    let config = of("postgres://", &environment).unwrap().config;
    assert_eq!(config.get_hosts(), [Host::Tcp("db".to_owned())]);
    assert_eq!(config.get_ports(), [5433]);
    assert_eq!(config.get_user(), Some("web"));
    assert_eq!(config.get_password(), Some(&b"hunter2"[..]));
    assert_eq!(config.get_dbname(), Some("shop"));
    assert_eq!(config.get_application_name(), Some("app"));
    assert_eq!(config.get_options(), Some("-c search_path=web"));
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(7)));
    assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);

    let environment = [environment.as_slice(), &[("PGHOSTADDR", "192.0.2.1")]].concat();
    let url = "postgres://me:it@here:1/mine?application_name=other&options=-c%20a%3Db";
    let config = of(url, &environment).unwrap().config;
    assert_eq!(config.get_hosts(), [Host::Tcp("here".to_owned())]);
    assert!(config.get_hostaddrs().is_empty());
    assert_eq!(config.get_ports(), [1]);
    assert_eq!(config.get_user(), Some("me"));
    assert_eq!(config.get_password(), Some(&b"it"[..]));
    assert_eq!(config.get_dbname(), Some("mine"));
    assert_eq!(config.get_application_name(), Some("other"));
    assert_eq!(config.get_options(), Some("-c a=b"));
}

#[test]
fn connection_strings_of_hosts_are_read() {
    for (url, user, hosts, port, demand) in [
        // Heroku.
        (
            "postgres://u1:p1@ec2-1.compute.amazonaws.com:5432/d1?sslmode=no-verify",
            "u1",
            1,
            5432,
            Encrypted,
        ),
        // Neon.
        (
            "postgresql://alex:p@ep-cool-1-pooler.us-east-2.aws.neon.tech/db?sslmode=require&channel_binding=require",
            "alex",
            1,
            0,
            Identified,
        ),
        (
            "postgresql://alex:p@ep.neon.tech/db?options=endpoint%3Dep-cool-1&sslmode=require",
            "alex",
            1,
            0,
            Identified,
        ),
        // Supabase.
        (
            "postgresql://postgres.abc:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true",
            "postgres.abc",
            1,
            6543,
            Plain,
        ),
        (
            "postgres://postgres.abc:p@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x",
            "postgres.abc",
            1,
            6543,
            Identified,
        ),
        // Amazon RDS.
        (
            "postgres://u:p@db.abc.eu-west-1.rds.amazonaws.com:5432/d?sslmode=verify-full&sslrootcert=system",
            "u",
            1,
            5432,
            Identified,
        ),
        // Azure.
        (
            "postgres://web@shop:p@shop.postgres.database.azure.com:5432/d?sslmode=require",
            "web@shop",
            1,
            5432,
            Identified,
        ),
        (
            "host=shop.postgres.database.azure.com port=5432 dbname='a b' user=web@shop password=p sslmode=require",
            "web@shop",
            1,
            5432,
            Identified,
        ),
        // DigitalOcean and Aiven.
        (
            "postgresql://doadmin:p@db-1.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
            "doadmin",
            1,
            25060,
            Identified,
        ),
        (
            "postgres://avnadmin:p@pg-1.aivencloud.com:12345/defaultdb?sslmode=require",
            "avnadmin",
            1,
            12345,
            Identified,
        ),
        // Prisma.
        (
            "postgresql://u:p@localhost:5432/d?schema=public&connection_limit=5&connect_timeout=10",
            "u",
            1,
            5432,
            Plain,
        ),
        // Several hosts, a socket and an IPv6 address.
        ("postgres://u@a:1,b:2/d", "u", 2, 1, Plain),
        ("postgres://u@/d?host=/run/postgresql&sslmode=require", "u", 1, 0, Plain),
        ("postgres://u@%2Frun%2Fpostgresql/d", "u", 1, 0, Plain),
        ("postgres://u@[::1]:5433/d", "u", 1, 5433, Plain),
    ] {
        let Address { config, encryption, .. } = of(url, &[]).unwrap();
        assert_eq!(config.get_user(), Some(user), "{url}");
        assert_eq!(config.get_hosts().len(), hosts, "{url}");
        assert_eq!(config.get_ports().first().copied().unwrap_or_default(), port, "{url}");
        assert_eq!(encryption.demand, demand, "{url}");
        let mode = if demand == Plain { SslMode::Disable } else { SslMode::Require };
        assert_eq!(config.get_ssl_mode(), mode, "{url}");
    }
    let prisma = of("postgres://localhost/d?schema=web&connection_limit=5", &[]).unwrap();
    assert_eq!((prisma.schema.as_deref(), prisma.connections), (Some("web"), Some(5)));
}

#[test]
fn writes_go_to_the_server_of_several_that_takes_them() {
    let attributes = |url| of(url, &[]).unwrap().config.get_target_session_attrs();
    assert_eq!(attributes("postgres://a,b/d"), TargetSessionAttrs::ReadWrite);
    assert_eq!(attributes("postgres://a,b/d?target_session_attrs=any"), TargetSessionAttrs::Any);
    assert_eq!(attributes("postgres://a/d"), TargetSessionAttrs::Any);
}

#[test]
fn parameter_that_cannot_be_honoured_is_named_and_its_value_is_not() {
    for (parameters, expected) in [
        ("sslmode=hunter2", "sslmode of the URL is not disable, allow"),
        ("ssl=hunter2", "ssl of the URL is not true, false or no-verify"),
        ("sslpassword=hunter2", "sslpassword: use sslcert and sslkey"),
        ("sslcert=hunter2", "sslcert of the URL is not a file"),
        ("sslrootcert=hunter2&sslmode=verify-full", "sslrootcert of the URL is not a file"),
        ("service=hunter2", "service: write the parameters"),
        ("passfile=hunter2", "passfile is not a file"),
        ("currentSchema=hunter2", "currentSchema: use schema_name"),
        ("statement_timeout=5", "statement_timeout: a setting of the server goes into options"),
        ("target_session_attrs=standby", "target_session_attrs of the URL is not any"),
        ("gssencmode=require", "gssencmode of the URL is not disable"),
        ("client_encoding=LATIN1", "client_encoding of the URL is not UTF8"),
        ("connect_timeout=hunter2", "connect_timeout of the URL is not a whole number"),
        ("something=hunter2", "no parameter something"),
        ("hunter2", "a parameter that the store does not know"),
    ] {
        let url = format!("postgres://user@host/db?{parameters}");
        let Err(told) = of(&url, &[]) else { panic!("{parameters} is taken") };
        assert!(told.contains(expected), "{parameters}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    for url in [
        "redis://localhost",
        "hunter2",
        "postgres://h:hunter2/d",
        "postgres://[::1/d",
        "password='hunter2",
    ] {
        let Err(told) = of(url, &[]) else { panic!("{url} is taken") };
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn times_have_libpqs_units() {
    let url = "postgres://h/d?tcp_user_timeout=1500&keepalives_idle=30&keepalives_count=3&connect_timeout=0";
    let config = of(url, &[]).unwrap().config;
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(30));
    assert_eq!(config.get_keepalives_retries(), Some(3));
    assert_eq!(config.get_connect_timeout(), None);
}
