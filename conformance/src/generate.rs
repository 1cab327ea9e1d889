//! Generates scenarios: the same seed always generates the same ones.

use fastrand::Rng;

use crate::cookie::{encode, sign, value};
use crate::scenario::{Attribute, Flag, Ids, Op, Request, Scenario, Seed, Server};
use crate::value::Value;

/// An endless series of scenarios. The n-th depends only on the seed and n.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    next: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { seed, next: 0 }
    }
}

impl Iterator for Generator {
    type Item = Scenario;

    fn next(&mut self) -> Option<Scenario> {
        let mixed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(self.next);
        self.next += 1;
        Some(Draw(Rng::with_seed(mixed)).scenario())
    }
}

const START: i64 = 1_700_000_000_123;
const SECRETS: [&str; 4] = ["keyboard cat", "old secret", "sécrét", "k"];
const NAMES: [&str; 3] = ["sid", "__Host-sid", "a!b~c"];
const AGES: [u64; 7] = [0, 1, 999, 1500, 60_000, 3_600_000, 2_592_000_000];
const STEPS: [i64; 9] = [0, 1, 500, 30_000, 59_999, 60_000, 61_000, 3_600_001, 86_400_000];
const PATHS: [&str; 12] = [
    "/",
    "/admin",
    "/admin/",
    "/admin/x",
    "/admin?x=/foo",
    "/administrator",
    "/Admin",
    "/adm%69n",
    "//admin",
    "/foo/admin",
    "http://localhost/admin/x?y",
    "http://localhost",
];
const COOKIE_PATHS: [&str; 5] = ["/", "/admin", "/admin/", "/adm", "/foo/admin"];
const PROTOS: [&str; 9] = [
    "https",
    "http",
    "HTTPS",
    "http,https",
    "https,http",
    "HTTPS , http",
    " https\t",
    "",
    "https;q=1",
];
const FORWARDED: [&str; 3] =
    ["proto=https", "for=1.2.3.4;Proto=\"https\", proto=http", "proto=http"];
/// Few keys, so that a handler meets the members that another one wrote.
const KEYS: [&str; 8] = ["views", "user", "a", "7", "10", "b", "007", "é"];
const ODD_KEYS: [&str; 14] = [
    "4294967294",
    "4294967295",
    "-1",
    "1.5",
    "0",
    "",
    " ",
    "ключ",
    "\u{1f600}",
    "\u{2028}",
    "a\"b\\c/",
    "\u{1}\n\u{7f}",
    "Cookie",
    "expires",
];
const TEXTS: [&str; 9] = [
    "",
    "x",
    "tobi",
    "é✓ \u{1f600}",
    "\u{2028}\u{2029}\u{feff}",
    "\"quoted\" \\ / </script>",
    "\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}\u{80}",
    "2023-11-14T22:14:20.123Z",
    "s:looks.signed",
];
const FLOATS: [f64; 12] = [
    0.1,
    1.0,
    -0.0,
    1e21,
    1e-7,
    1.5e300,
    5e-324,
    -2.5,
    123_456_789.123,
    1e20,
    0.000_001,
    1_700_000_000_123.0,
];
const INTS: [i64; 7] = [0, 1, -1, 42, 4_294_967_296, 9_007_199_254_740_991, -9_007_199_254_740_991];
/// Records that Node reads but would not have written: from programs in other languages, and malformed ones.
const ODD_RECORDS: [&str; 21] = [
    r#"{"cookie":{"originalMaxAge":60000,"expires":"2023-11-14T22:14:20.123Z","httpOnly":true,"domain":"not a domain","path":"/"},"a":1}"#,
    r#"{"cookie":{"originalMaxAge":60000,"expires":"2023-11-14T22:14:20.123Z","httpOnly":true,"path":"/a;b","sameSite":"sometimes"},"a":1}"#,
    r#"{"cookie":{"originalMaxAge":60000,"priority":1,"expires":"2023-11-14T22:14:20.123Z","httpOnly":0,"path":"","secure":"auto"},"a":1}"#,
    r#"{"a":1,"cookie":{"path":"/","httpOnly":true,"expires":null,"originalMaxAge":null},"2":"x","b":1.0}"#,
    r#"{"cookie":{"originalMaxAge":null,"partitioned":null,"priority":null,"expires":null,"secure":null,"httpOnly":true,"domain":null,"path":"/","sameSite":null}}"#,
    r#"{"cookie":{"originalMaxAge":1,"expires":"garbage","foo":"bar"}}"#,
    r#"{"cookie":{"expires":"2023-11-14T22:13:50.123Z"}}"#,
    r#"{"cookie":{"originalMaxAge":60000,"expires":1700000030123}}"#,
    r#"{"cookie":{"originalMaxAge":60000,"maxAge":5,"expires":"2023-11-14T22:13:50.123Z"},"a":2}"#,
    r#"{"cookie":{},"a":1}"#,
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"id":"x","save":1,"a":1}"#,
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"toString":1,"__proto__":{"a":1}}"#,
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":1.0,"b":1e2,"views":-0,"user":1E-7}"#,
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":"\u00e9\/\ud83d\ude00","lone":"\ud800"}"#,
    r#"{ "cookie" : {"originalMaxAge":null, "expires":null, "httpOnly":true, "path":"/"} , "views" : [ 1 , {"b":1, "2":2} ] }"#,
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"b":1,"10":1,"9":1,"a":1}"#,
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":1,"b":2,"a":3}"#,
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":false,"path":"/admin","sameSite":true,"secure":false},"a":1}"#,
    r#"{"cookie":{"originalMaxAge":60000,"priority":"HIGH","expires":"2023-11-14T22:14:20.123Z","secure":true,"httpOnly":true,"domain":"example.com","path":"/","sameSite":"Lax"},"a":1}"#,
    r#"{"cookie":{"originalMaxAge":3600000,"expires":"2023-11-14T23:13:20Z","httpOnly":true,"path":"/"},"a":{"cookie":1}}"#,
    r#"{"a":1}"#,
];

struct Draw(Rng);

impl Draw {
    fn scenario(&mut self) -> Scenario {
        let first = self.server();
        let mut servers = vec![first];
        if self.one_in(4) {
            let second = self.restarted(&servers[0]);
            servers.push(second);
        }
        let ids = self.ids();
        let seeds = self.seeds();
        let odd = seeds.iter().any(|seed| ODD_RECORDS.contains(&&*seed.text));
        let mut shadow = Shadow::new(&seeds);
        let visitors = self.0.usize(1..=2);
        // The id that each visitor's browser would send next.
        let mut current: Vec<Option<String>> = vec![shadow.known.first().cloned(); visitors];
        let mut at = START;
        let mut requests = Vec::new();
        for count in 0..self.0.usize(1..=6) {
            if count > 0 {
                at += self.pick(&STEPS);
            }
            let server = self.0.usize(..servers.len());
            let visitor = self.0.usize(..visitors);
            let mut request = self.request(format!("r{count}"), at, server, &servers[server]);
            let carried = current[visitor].as_deref();
            let sent = self.cookies(&servers, server, carried, &shadow.known);
            request.headers.extend(sent.lines.into_iter().map(|line| ("cookie".into(), line)));
            self.0.shuffle(&mut request.headers);
            tame(&mut request, &ids, odd);
            current[visitor] = shadow.after(sent.id, &request, &servers[server], &ids);
            requests.push(request);
        }
        Scenario { servers, ids, seeds, requests }
    }

    fn server(&mut self) -> Server {
        let cookie = self.cookie();
        let cookie_function = self.one_in(5);
        Server {
            secrets: self.secrets(),
            name: self.one_in(4).then(|| self.pick(&NAMES).into()),
            proxy: self.pick(&[None, None, Some(true), Some(true), Some(false)]),
            resave: self.one_in(3),
            rolling: self.one_in(3),
            save_uninitialized: self.one_in(3),
            unset_destroys: self.one_in(3),
            alt_cookie: if cookie_function { self.cookie() } else { Vec::new() },
            cookie,
            cookie_function,
            no_touch: self.one_in(10),
        }
    }

    /// Changes the options that a new deployment of an application changes.
    fn restarted(&mut self, server: &Server) -> Server {
        let mut server = server.clone();
        match self.0.u8(0..4) {
            0 => server.secrets.insert(0, "new secret".into()),
            1 => server.secrets = vec!["new secret".into()],
            2 => server.cookie = self.cookie(),
            _ => {
                let name = server.name;
                server = self.server();
                server.name = name;
            }
        }
        server
    }

    fn secrets(&mut self) -> Vec<String> {
        let mut secrets = SECRETS.map(String::from).to_vec();
        self.0.shuffle(&mut secrets);
        secrets.truncate(self.0.usize(1..=3));
        secrets
    }

    fn ids(&mut self) -> Ids {
        let mut ids = Ids::default();
        match self.0.u8(0..12) {
            0 => ids.fixed = Some("fixed".into()),
            1 => ids.prefix = "user/42.".into(),
            2 => ids.suffix = "%é✓ \"".into(),
            3 => ids.suffix = ".a+b".into(),
            4 => ids.prefix = "x".repeat(300),
            _ => {}
        }
        ids
    }

    fn cookie(&mut self) -> Vec<Attribute> {
        if self.one_in(3) {
            return Vec::new();
        }
        let mut cookie = Vec::new();
        if self.one_in(3) {
            cookie.push(Attribute::Path(self.pick(&COOKIE_PATHS).into()));
        }
        if self.one_in(2) {
            cookie.push(Attribute::MaxAge(Some(self.pick(&AGES))));
        }
        if self.one_in(6) {
            cookie.push(Attribute::Expires(Some(START + self.pick(&[500, 45_000, 7_200_000]))));
        }
        for _ in 0..self.0.usize(..4) {
            let attribute = self.attribute();
            cookie.push(attribute);
        }
        self.0.shuffle(&mut cookie);
        // An option is given once.
        let mut once: Vec<Attribute> = Vec::new();
        for attribute in cookie {
            let same = std::mem::discriminant(&attribute);
            if once.iter().all(|known| std::mem::discriminant(known) != same) {
                once.push(attribute);
            }
        }
        once
    }

    /// Draws an attribute other than the path and those of time.
    fn attribute(&mut self) -> Attribute {
        match self.0.u8(0..9) {
            0 => Attribute::Domain(self.pick(&["example.com", ".example.com", "LOCALHOST"]).into()),
            1 => Attribute::HttpOnly(self.0.bool()),
            2..=4 => Attribute::Secure(match self.0.u8(0..3) {
                0 => Flag::Is(true),
                1 => Flag::Is(false),
                _ => Flag::Named("auto".into()),
            }),
            5..=6 => {
                let named = ["lax", "strict", "none", "auto"].map(|name| Flag::Named(name.into()));
                let flags = [&[Flag::Is(true), Flag::Is(false)], &named[..]].concat();
                Attribute::SameSite(self.0.choice(flags).unwrap_or(Flag::Is(true)))
            }
            7 => Attribute::Partitioned(self.0.bool()),
            _ => Attribute::Priority(self.pick(&["low", "medium", "high"]).into()),
        }
    }

    fn seeds(&mut self) -> Vec<Seed> {
        let count = self.pick(&[0, 1, 1, 2]);
        (0..count).map(|at| Seed { id: format!("seed{at}"), text: self.record() }).collect()
    }

    fn record(&mut self) -> String {
        if self.one_in(3) {
            return self.pick(&ODD_RECORDS).into();
        }
        let cookie = match self.0.u8(0..4) {
            0 => {
                r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:13:50.123Z","httpOnly":true,"path":"/"}"#
            }
            1 => {
                r#"{"originalMaxAge":3600000,"expires":"2023-11-14T23:13:20.123Z","httpOnly":true,"path":"/"}"#
            }
            _ => r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#,
        };
        let mut members = Vec::new();
        for _ in 0..self.0.usize(..4) {
            members.push((self.key(), self.value(2)));
        }
        // The text is one that Node writes: each member is in it once.
        let members = Value::Object(members).js();
        let Ok(Value::Object(members)) = serde_json::from_str(&members) else { return members };
        let (indices, names): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(key, _)| key.parse::<u32>().is_ok() && key != "007");
        let indices = Value::Object(indices).js();
        let names = Value::Object(names).js();
        let parts = [
            &indices[1..indices.len() - 1],
            &format!("\"cookie\":{cookie}"),
            &names[1..names.len() - 1],
        ];
        format!(
            "{{{}}}",
            parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(",")
        )
    }

    fn request(&mut self, tag: String, at: i64, server: usize, options: &Server) -> Request {
        let at_home = options.cookie.iter().find_map(|attribute| match attribute {
            Attribute::Path(path) => Some(path.clone()),
            _ => None,
        });
        let mut headers = Vec::new();
        if self.one_in(3) {
            headers.push(("x-forwarded-proto".into(), self.pick(&PROTOS).into()));
        }
        if self.one_in(20) {
            headers.push(("x-forwarded-proto".into(), self.pick(&PROTOS).into()));
        }
        if self.one_in(12) {
            headers.push(("forwarded".into(), self.pick(&FORWARDED).into()));
        }
        let path = if self.one_in(4) { Some(self.pick(&PATHS).into()) } else { at_home };
        // The scheme of an absolute target determines the connection.
        let relative = path.as_ref().is_none_or(|path: &String| path.starts_with('/'));
        let method = self.one_in(4).then(|| self.pick(&["HEAD", "POST", "DELETE"]));
        // The client does not wait for the body of a response to HEAD.
        let flushes = method != Some("HEAD") && self.one_in(30);
        let fail = ["get", "set", "touch", "destroy"];
        Request {
            tag,
            at,
            server,
            method: method.map(String::from),
            path,
            headers,
            encrypted: self.one_in(4),
            secure: relative && self.one_in(6),
            alt: self.one_in(4),
            fail: if self.one_in(40) { vec![self.pick(&fail).into()] } else { Vec::new() },
            ops: self.ops(flushes),
            set_cookie: self.preset(),
            content_length: self.one_in(4),
        }
    }

    fn preset(&mut self) -> Vec<String> {
        let lines = ["a=b", "x=\"y\"; Path=/", "connect.sid=mine; HttpOnly"];
        (0..self.pick(&[0, 0, 0, 0, 1, 2])).map(|_| self.pick(&lines).into()).collect()
    }

    fn ops(&mut self, flushes: bool) -> Vec<Op> {
        let count = self.pick(&[0, 0, 1, 1, 2, 2, 3, 4]);
        let mut ops: Vec<_> = (0..count).map(|_| self.op()).collect();
        if flushes {
            ops.insert(self.0.usize(..=count), Op::Flush);
        }
        ops
    }

    fn op(&mut self) -> Op {
        match self.0.u8(0..40) {
            0..=2 => Op::Get { key: self.key() },
            3..=9 => Op::Set { key: self.key(), value: self.value(2) },
            10..=11 => Op::Remove { key: self.key() },
            12 => Op::Contains { key: self.key() },
            13..=14 => Op::Keys,
            15 => Op::Clear,
            16 => Op::Same { key: self.key() },
            17 => Op::Readd { key: self.key() },
            18 => Op::Revert { key: self.key(), value: self.value(1) },
            19..=20 => Op::Increment { key: self.key() },
            21 => Op::Id,
            22 => Op::Cookie,
            23..=24 => Op::SetCookie { to: self.change() },
            25..=26 => Op::Touch,
            27..=29 => Op::Save,
            30 => Op::Reload,
            31..=33 => Op::Regenerate,
            34..=36 => Op::Destroy,
            37..=38 => Op::Unset,
            _ => match self.0.u8(0..4) {
                0..=1 => Op::RivalDestroy,
                _ => Op::RivalSet {
                    text: r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"a":1,"rival":true}"#
                        .into(),
                },
            },
        }
    }

    /// Draws a change of the session's cookie.
    fn change(&mut self) -> Attribute {
        match self.0.u8(0..8) {
            0..=3 => Attribute::MaxAge((!self.one_in(5)).then(|| self.pick(&AGES))),
            4 => {
                let at = START + self.pick(&[-1000, 30_000, 7_200_000]);
                Attribute::Expires((!self.one_in(4)).then_some(at))
            }
            5 => Attribute::Path(self.pick(&["/", "/other"]).into()),
            _ => match self.attribute() {
                // `auto` is a value of the option, but not of a cookie.
                Attribute::Secure(Flag::Named(_)) => Attribute::Secure(Flag::Is(true)),
                Attribute::SameSite(Flag::Named(name)) if name == "auto" => {
                    Attribute::SameSite(Flag::Named("none".into()))
                }
                other => other,
            },
        }
    }

    fn key(&mut self) -> String {
        if self.one_in(6) { self.pick(&ODD_KEYS) } else { self.pick(&KEYS) }.into()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.0.u8(if depth == 0 { 0..10 } else { 0..13 }) {
            0 => Value::Null,
            1 => Value::Bool(self.0.bool()),
            2..=4 => Value::Int(self.pick(&INTS)),
            5..=6 => Value::Float(self.pick(&FLOATS)),
            7 if self.one_in(20) => Value::Text("long ".repeat(2000)),
            7..=9 => Value::Text(self.pick(&TEXTS).into()),
            10 => Value::List((0..self.0.usize(..4)).map(|_| self.value(depth - 1)).collect()),
            _ => {
                let mut members: Vec<(String, Value)> = Vec::new();
                for _ in 0..self.0.usize(..4) {
                    let key = if self.one_in(6) { "cookie".into() } else { self.key() };
                    if members.iter().all(|(known, _)| *known != key) {
                        members.push((key, self.value(depth - 1)));
                    }
                }
                Value::Object(members)
            }
        }
    }

    /// Draws the `Cookie` lines of a request: usually the visitor's own cookie, as sent by a browser.
    fn cookies(
        &mut self,
        servers: &[Server],
        server: usize,
        current: Option<&str>,
        known: &[String],
    ) -> Sent {
        let name = servers[server].name.as_deref().unwrap_or("connect.sid");
        let id = match self.0.u8(0..10) {
            0..=6 => current.map(String::from),
            7 => self.0.choice(known).cloned(),
            8 => Some("unknown".into()),
            _ => None,
        };
        let Some(id) = id else {
            let lines = self.one_in(5).then(|| "a=b; theme=dark".into()).into_iter().collect();
            return Sent { lines, id: None };
        };
        let secrets: Vec<&String> = servers.iter().flat_map(|server| &server.secrets).collect();
        let own = &servers[server].secrets;
        let secret = match self.0.u8(0..10) {
            0..=6 => own[0].as_str(),
            7..=8 => self.0.choice(secrets).map_or("", String::as_str),
            _ => "stranger",
        };
        let accepted = own.iter().any(|known| known == secret);
        let good = value(&id, secret);
        if self.0.u8(0..10) < 6 {
            let id = accepted.then_some(id);
            return Sent { lines: vec![format!("{name}={good}")], id };
        }
        let odd = self.odd(&id, secret);
        let pairs = match self.0.u8(0..9) {
            0..=3 => format!("{name}={odd}"),
            4 => format!("{name}={odd}; {name}={good}"),
            5 => format!("{name}={good}; {name}={odd}"),
            6 => format!("{name}={good}; {name}={}", value(&self.other(known), &own[0])),
            7 => format!("{}={good}", name.to_uppercase()),
            _ => format!(" \t{name} = \t{good} \t"),
        };
        let line = match self.0.u8(0..8) {
            0 => format!("a=b; {pairs}"),
            1 => format!("{pairs}; a=b"),
            2 => format!("flag; {pairs};"),
            3 => format!(";;=v;{pairs};x={name}={good}"),
            4 => format!("\u{e9}=\u{ff}; {pairs}; __proto__=x"),
            _ => pairs,
        };
        let lines = match line.split_once("; ") {
            Some((one, two)) if self.one_in(4) => vec![one.into(), two.into()],
            _ => vec![line],
        };
        // The two sides decide whether this is accepted; the visitor keeps the id.
        Sent { lines, id: Some(id) }
    }

    /// Draws a cookie's value that the application did not set: some are valid, most are not.
    fn odd(&mut self, id: &str, secret: &str) -> String {
        let signed = sign(id, secret);
        let plain = id.bytes().all(|byte| byte.is_ascii_graphic() && !b"\";,\\%".contains(&byte));
        let (_, signature) = signed.rsplit_once('.').unwrap_or_default();
        match self.0.u8(0..18) {
            0 | 1 if plain => format!("s:{signed}"),
            2 if plain => format!("\"s:{signed}\""),
            3 => format!("\"{}\"", value(id, secret)),
            4 => format!("\"{}", value(id, secret)),
            5 => value(id, secret).replacen("%3A", "%3a", 1),
            6 => encode(&format!("s:{id}x.{signature}")),
            7 => encode(&format!("s:{}", &signed[..signed.len() - 1])),
            8 => encode(&format!("s:{signed}=")),
            9 => encode(&format!("s:{id}.{}", signature.replace('+', "-").replace('/', "_"))),
            10 => encode(id),
            11 => encode(&format!("s:{id}")),
            12 => encode(&format!("s:{}", sign("", secret))),
            13 => encode(&signed),
            14 => format!("{}%E0%A4%A", value(id, secret)),
            15 => encode("j:{\"id\":1}"),
            16 => encode(&format!("S:{signed}")),
            17 => String::new(),
            // Every byte escaped.
            _ => format!("s:{signed}").bytes().map(|byte| format!("%{byte:02x}")).collect(),
        }
    }

    fn other(&mut self, known: &[String]) -> String {
        self.0.choice(known).cloned().unwrap_or_else(|| "unknown".into())
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.0.u32(..n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.usize(..from.len())]
    }
}

/// Removes combinations that have no use and that show only quirks of express-session.
fn tame(request: &mut Request, ids: &Ids, odd: bool) {
    let Request { ops, fail, .. } = request;
    if ids.fixed.is_some() {
        // A new session with the id of another is the old one in some respects and not in others.
        let accidental = |op: &Op| {
            matches!(op, Op::Regenerate | Op::Reload | Op::RivalSet { .. } | Op::RivalDestroy)
        };
        ops.retain(|op| !accidental(op));
        fail.clear();
    }
    if odd {
        // express-session reads the expiry before or after a touch, depending on when the headers leave. That
        // matters only if a foreign record contradicts itself.
        ops.retain(|op| *op != Op::Flush);
    }
    // At most one event may come in between.
    let rival = |op: &Op| matches!(op, Op::RivalSet { .. } | Op::RivalDestroy);
    let mut met = false;
    ops.retain(|op| !rival(op) || !std::mem::replace(&mut met, true));
    if met {
        // Ours reads a record to overwrite it. Node has no such read that could fail.
        fail.clear();
        ops.retain(|op| *op != Op::Flush);
    }
    if ops.contains(&Op::Flush) {
        fail.clear();
    }
}

/// The lines of a request, and the id that is likely to be taken from them.
struct Sent {
    lines: Vec<String>,
    id: Option<String>,
}

/// Guesses which sessions are stored, so that most visitors return to a stored one.
///
/// A wrong guess is harmless: its cookie is stale.
struct Shadow {
    known: Vec<String>,
    stored: Vec<String>,
}

impl Shadow {
    fn new(seeds: &[Seed]) -> Self {
        let ids: Vec<_> = seeds.iter().map(|seed| seed.id.clone()).collect();
        Self { known: ids.clone(), stored: ids }
    }

    /// Returns the id that the visitor has after a request with `id`.
    fn after(
        &mut self,
        id: Option<String>,
        request: &Request,
        server: &Server,
        ids: &Ids,
    ) -> Option<String> {
        let renewed = request.ops.iter().filter(|op| **op == Op::Regenerate).count();
        let found = id.filter(|id| self.stored.contains(id));
        let kept = server.save_uninitialized
            || renewed > 0
            || found.is_some()
            || request.ops.iter().any(|op| matches!(op, Op::Set { .. } | Op::Save));
        let next = match found {
            Some(id) if renewed == 0 => id,
            Some(_) => ids.name(&request.tag, renewed - 1),
            None => ids.name(&request.tag, renewed),
        };
        self.known.push(next.clone());
        self.stored.retain(|id| *id != next);
        let ended = request.ops.iter().any(|op| matches!(op, Op::Destroy | Op::Unset));
        if kept && !ended {
            self.stored.push(next.clone());
        }
        (kept || ended).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_the_same_scenarios() {
        let once: Vec<_> = Generator::new(7).take(50).collect();
        assert_eq!(Generator::new(7).take(50).collect::<Vec<_>>(), once);
        assert_ne!(Generator::new(8).take(50).collect::<Vec<_>>(), once);
    }
}
