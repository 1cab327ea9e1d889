//! The findings H3 and L4 of the audit: the work is O(n log n) in the members, whatever their names, and clones share them.

use super::super::order::steps;
use super::*;
use crate::session::merge::merge;

const MANY: usize = 4_000;

/// More than twice n log₂ n, and far less than the n²/2 of a search from one end to the other.
const STEPS: u64 = 30 * MANY as u64;

/// FNV-1a of 32 bits, from a state on.
fn fnv(state: u32, text: &str) -> u32 {
    text.bytes().fold(state, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Keys that all have one hash. Of each block of letters there are two that lead to one state: n blocks make 2ⁿ keys.
static COLLIDING: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
    let block = |number: u32| format!("{:08x}", number.wrapping_mul(0x9e37_79b1));
    let mut keys = vec![String::new()];
    let mut state = fnv(0x811c_9dc5, "\"");
    while keys.len() < MANY {
        let mut states: Vec<_> =
            (0..0x60000).map(|number| (fnv(state, &block(number)), number)).collect();
        states.sort_unstable();
        let pair = states.windows(2).find(|pair| pair[0].0 == pair[1].0).unwrap();
        let ends = [block(pair[0].1), block(pair[1].1)];
        state = pair[0].0;
        keys =
            keys.iter().flat_map(|key| ends.each_ref().map(|end| format!("{key}{end}"))).collect();
    }
    keys.truncate(MANY);
    keys
});

/// The names of a visitor's choice.
fn hostile() -> Vec<(&'static str, Vec<String>)> {
    let all = |key: &dyn Fn(usize) -> String| (0..MANY).map(key).collect::<Vec<_>>();
    vec![
        ("plain", all(&|at| format!("member{at}"))),
        ("all collide", COLLIDING.clone()),
        ("two that collide", {
            let mut keys = all(&|at| format!("member{at}"));
            (keys[0], keys[1]) = ("cd8ae".to_owned(), "c58f38".to_owned());
            keys
        }),
        ("one escape", {
            let mut keys = all(&|at| format!("member{at}"));
            keys[0] = "a\"b".to_owned();
            keys
        }),
        ("all escaped", all(&|at| format!("\n\"{at}"))),
        ("a long prefix", all(&|at| format!("{}{at}", "prefix".repeat(20)))),
        ("each a prefix", all(&|at| "p".repeat(at % 200) + &at.to_string())),
        ("indices backwards", all(&|at| (MANY - at).to_string())),
        (
            "indices and others",
            all(&|at| if at % 2 == 0 { at.to_string() } else { format!("a{at}") }),
        ),
    ]
}

fn text_of(keys: &[String]) -> String {
    let mut document = Document::new();
    keys.iter().for_each(|key| document.insert_raw(key, "1"));
    document.to_json(COOKIE_JSON).to_string()
}

fn bounded(what: &str, work: impl FnOnce()) {
    let steps = steps::of(work);
    assert!(steps < STEPS, "{what}: {steps} comparisons");
}

/// L4: a session keeps what it was before each of its changes, and each copy had its own values.
#[test]
fn audit_l4_clones_share_the_values_that_were_changed() {
    let mut document = parse(r#"{"cookie":{},"a":1}"#);
    let long = "x".repeat(100_000);
    document.insert("a", &long).unwrap();
    document.insert("b", &long).unwrap();
    let mut clone = document.clone();
    clone.insert("c", &1).unwrap();
    for key in ["a", "b"] {
        let [one, other] = [&document, &clone].map(|document| document.get_raw(key).unwrap());
        assert!(std::ptr::eq(one, other), "{key}");
    }
}

#[test]
fn audit_h3_keys_that_collide_are_found() {
    let keys = COLLIDING.clone();
    let hashes: std::collections::HashSet<_> =
        keys.iter().map(|key| fnv(0x811c_9dc5, &format!("\"{key}\""))).collect();
    assert_eq!((hashes.len(), keys.len()), (1, MANY));
    let text = text_of(&keys);
    let document = parse(&text);
    assert_eq!(document.keys().collect::<Vec<_>>(), keys);
    let twice = text.replace("{\"cookie\"", &format!("{{{:?}:0,\"cookie\"", keys[7]));
    let mut document = parse(&twice);
    assert_eq!((document.len(), document.get_raw(&keys[7])), (MANY, Some("1")));
    document.insert("new", &1).unwrap();
    assert_eq!(document.keys().next().as_deref(), Some(&*keys[7]), "at the place of the first");
}

#[test]
fn audit_h3_reading_takes_n_log_n_steps_with_any_names() {
    for (what, keys) in hostile() {
        let text = text_of(&keys);
        bounded(what, || assert_eq!(parse(&text).len(), MANY));
        let escaped = text.replace("\"member", "\"\\u006dember");
        bounded(what, || assert_eq!(parse(&escaped).len(), MANY));
        // Every name twice.
        let twice =
            format!("{},{}", &text[..text.len() - 1], &text[r#"{"cookie":{"path":"/"},"#.len()..]);
        if text.starts_with("{\"cookie\"") {
            bounded(what, || assert_eq!(parse(&twice).len(), MANY));
        }
        let nested = format!(r#"{{"cookie":{{}},"a":{text}}}"#);
        bounded(what, || drop(Document::parse_normalised(&nested).unwrap()));
    }
}

#[test]
fn audit_h3_every_way_of_editing_takes_n_log_n_steps_with_any_names() {
    for (what, keys) in hostile() {
        let mut document = Document::new();
        bounded(what, || keys.iter().for_each(|key| document.insert(key, &1).unwrap()));
        bounded(what, || assert!(keys.iter().all(|key| document.contains(key))));
        let stored = parse(&document.to_json(COOKIE_JSON));
        bounded(what, || assert!(stored.same_members(&document)));
        bounded(what, || assert!(keys.iter().all(|key| stored.contains(key))));
        let mut edited = stored.clone();
        bounded(what, || keys.iter().for_each(|key| edited.insert(key, &2).unwrap()));
        assert!(edited.is_changed());
        bounded(what, || keys.iter().for_each(|key| edited.revert_member(key)));
        assert!(!edited.is_changed(), "{what}");
        bounded(what, || assert!(keys.iter().rev().all(|key| edited.remove(key))));
        assert!(edited.is_empty());
    }
}

#[test]
fn audit_h3_merging_takes_n_log_n_steps_with_any_names() {
    for (what, keys) in hostile() {
        let base = text_of(&keys);
        let (mut ours, mut theirs) = (parse(&base), parse(&base));
        for (at, key) in keys.iter().enumerate() {
            match at % 4 {
                0 => ours.insert(key, &2).unwrap(),
                1 => theirs.insert(key, &3).unwrap(),
                2 => assert!(ours.remove(key)),
                _ => {}
            }
        }
        let theirs = parse(&theirs.to_json("{}"));
        bounded(what, || {
            let merged = merge(&ours, &theirs).document;
            assert_eq!(merged.len(), MANY - MANY / 4);
            assert_eq!(
                (merged.get_raw(&keys[0]), merged.get_raw(&keys[1])),
                (Some("2"), Some("3"))
            );
        });
    }
}

#[test]
fn audit_h3_values_of_any_depth_need_a_small_stack() {
    let work = || {
        for (open, close) in [("[", "]"), (r#"{"b":0,"a":"#, "}"), (r#"{"1":[{"0":"#, "}]}")] {
            let deep = format!("{}1.0{}", open.repeat(50_000), close.repeat(50_000));
            let text = format!(r#"{{"cookie":{{}},"a":{deep}}}"#);
            let mut document = parse(&text);
            document.insert_raw("a", &deep.replace("1.0", "1"));
            assert!(!document.is_changed(), "the same value");
            assert!(parse(&text).same_members(&document));
            assert!(!Document::parse_normalised(&text).unwrap().is_changed());
        }
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(work).unwrap().join().unwrap();
}

#[test]
fn audit_h3_depth_of_a_document_is_that_of_its_members_now() {
    let mut document = parse(r#"{"cookie":{},"a":[1]}"#);
    assert_eq!(document.depth(), 1);
    document.insert("b", &[[[1]]]).unwrap();
    assert_eq!((document.depth(), document.as_saved("{}").depth()), (3, 3));
    document.remove("b");
    document.insert("b", "[[[[").unwrap();
    assert_eq!(document.depth(), 1);
}

/// A document of few members and one of many, which have other forms, agree in everything.
#[test]
fn audit_h3_short_and_long_documents_are_edited_alike() {
    use super::super::edited::FEW;
    // Members that are removed again make a document long.
    let filler: Vec<String> = (0..FEW + 9).map(|at| format!("filler{at}")).collect();
    let loaded = r#"{"1":1,"a":0,"cookie":{},"\u00e9":2,"b\n":3}"#;
    let edits: Vec<Edit> = [
        ("7", 1),
        ("z", 1),
        ("b\n", 4),
        ("é", 2),
        ("0", 1),
        ("a", -1),
        ("a", 0),
        ("07", 1),
        ("1", 5),
        ("b\n", -1),
        ("b\n", 3),
        ("4294967295", 1),
        ("4294967294", 1),
        ("\"", 1),
        ("7", -1),
        ("7", 2),
    ]
    .into_iter()
    .map(|(key, value): (&str, i8)| match value {
        -1 => Edit::Remove(key.into()),
        value => Edit::Insert(key.into(), value),
    })
    .collect();
    let (mut short, mut long) = (parse(loaded), parse(loaded));
    filler.iter().for_each(|key| long.insert(key, &0).unwrap());
    filler.iter().for_each(|key| assert!(long.remove(key)));
    for edit in edits {
        for document in [&mut short, &mut long] {
            match &edit {
                Edit::Insert(key, value) => document.insert(key, value).unwrap(),
                Edit::Remove(key) => drop(document.remove(key)),
                Edit::Clear => document.clear(),
            }
        }
        assert_eq!(short.to_json("{}"), long.to_json("{}"), "{edit:?}");
        assert_eq!(short.as_saved("[]").base_text(), long.as_saved("[]").base_text(), "{edit:?}");
        assert_eq!(short.is_changed(), long.is_changed(), "{edit:?}");
        assert_eq!(short.len(), long.len(), "{edit:?}");
    }
}
