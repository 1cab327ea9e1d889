//! The time of a session with 20,000 members under names of a visitor's choice, beside one with 20,000 plain names:
//! `cargo run --release -p bench-hot --bin hostile`. Fails where one takes more than twice as long per byte of names.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use express_session_core::Document;
use express_session_core::session::merge::merge;

const MEMBERS: usize = 20_000;
const ROUNDS: usize = 7;

fn main() -> Result<()> {
    let numbered = |text: &dyn Fn(usize) -> String| (0..MEMBERS).map(text).collect::<Vec<_>>();
    let with = |at: usize, key: &str| {
        let mut keys = numbered(&|at| format!("{at:x}_member"));
        keys[at] = key.to_owned();
        keys
    };
    let mut two = with(0, "cd8ae");
    "c58f38".clone_into(&mut two[1]);
    let colliding = colliding();
    let length = colliding[0].len();
    let mut output = io::stdout();
    writeln!(output, "| names | parse | insert | merge | compare |\n|---|---|---|---|---|")?;
    let mut slowest: f64 = 0.0;
    for (what, keys) in [
        ("two collide", two),
        ("one escape", with(0, "a\"b")),
        ("all escaped", numbered(&|at| format!("\n{at:x}_member"))),
        ("all collide", colliding),
        ("one long prefix", numbered(&|at| format!("{}{at:05x}", "p".repeat(length - 5)))),
        ("array indices, backwards", numbered(&|at| (1_000_000_000 - at).to_string())),
    ] {
        // Plain names of the same length.
        let length = keys.last().map_or(0, String::len);
        let plain = numbered(&|at| format!("{at:x}_{}", "m".repeat(length))[..length].to_owned());
        let (hostile, plain) = (times(&keys)?, times(&plain)?);
        write!(output, "| {what}")?;
        for (hostile, plain) in hostile.iter().zip(plain) {
            let ratio = hostile.as_secs_f64() / plain.as_secs_f64();
            slowest = slowest.max(ratio);
            write!(output, " | {:.1} ms, {ratio:.2} ×", hostile.as_secs_f64() * 1e3)?;
        }
        writeln!(output, " |")?;
    }
    ensure!(slowest <= 2.0, "hostile names cost {slowest:.2} times as much as plain ones");
    Ok(())
}

/// Returns the shortest time of each operation.
fn times(keys: &[String]) -> Result<[Duration; 4]> {
    let mut shortest = [Duration::MAX; 4];
    let text = filled(keys, 1)?.to_json("{}");
    let one = Document::parse(&*text)?;
    // The same values in another notation.
    let same = Document::parse(text.replace(":1,", ":1.0,"))?;
    let mut theirs = one.clone();
    for key in keys.iter().step_by(2) {
        theirs.insert(key, &2)?;
    }
    let theirs = Document::parse(theirs.to_json("{}"))?;
    let ours = filled(keys, 3)?;
    for _ in 0..ROUNDS {
        let times = [
            timed(|| drop(black_box(Document::parse(&*text)))),
            timed(|| drop(black_box(filled(keys, 1)))),
            timed(|| drop(black_box(merge(&ours, &theirs)))),
            timed(|| _ = black_box((one.same_members(&same), ours.is_changed()))),
        ];
        for (shortest, time) in shortest.iter_mut().zip(times) {
            *shortest = time.min(*shortest);
        }
    }
    Ok(shortest)
}

fn filled(keys: &[String], value: u8) -> Result<Document> {
    let mut document = Document::new();
    for key in keys {
        document.insert(key, &value)?;
    }
    Ok(document)
}

fn timed(work: impl FnOnce()) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is what is measured")]
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// Keys that all have one FNV-1a hash: of each block of letters there are two that lead to one state, and n blocks make 2ⁿ
/// keys.
fn colliding() -> Vec<String> {
    let fnv = |state: u32, text: &str| {
        text.bytes().fold(state, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    };
    let mut keys = vec![String::new()];
    let mut state = fnv(0x811c_9dc5, "\"");
    while keys.len() < MEMBERS {
        let mut known = HashMap::new();
        for number in 0_u64.. {
            let block = format!("{number:05x}");
            let next = fnv(state, &block);
            if let Some(other) = known.insert(next, block.clone()) {
                state = next;
                keys = keys
                    .iter()
                    .flat_map(|key| [&block, &other].map(|end| format!("{key}{end}")))
                    .collect();
                break;
            }
        }
    }
    keys.truncate(MEMBERS);
    keys
}
