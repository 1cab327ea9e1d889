mod audit;

use proptest::prelude::*;

use std::borrow::Cow;
use std::sync::Arc;

use super::codec::{cookie_of, max_age_of};
use super::*;
use crate::Timestamp;
use crate::cookie::{CookieTemplate, StoredCookie};

const COOKIE_JSON: &str = r#"{"path":"/"}"#;

fn parse(text: &str) -> Document {
    Document::parse(text).unwrap()
}

#[test]
fn unchanged_document_returns_the_same_text_without_a_copy() {
    let document = parse(r#" { "b" : 1.0, "cookie" : {"path":"/"} } "#);
    assert!(Arc::ptr_eq(&document.to_json(COOKIE_JSON), document.base_text()));
}

#[test]
fn new_cookie_keeps_every_other_byte() {
    let document = parse(r#"{ "b" : 1.0, "cookie" : {"path":"/"}, "req" : "\u00e9" }"#);
    assert_eq!(&*document.to_json("{}"), r#"{ "b" : 1.0, "cookie" : {}, "req" : "\u00e9" }"#);
}

/// Makes edits such as `a=1,-b`: sets the member `a`, and removes `b`.
fn make_edits(document: &mut Document, edits: &str) {
    for edit in edits.split(',') {
        let Some((key, value)) = edit.split_once('=') else {
            assert!(document.remove(edit.trim_start_matches('-')), "{edit}");
            continue;
        };
        document.insert(key, &value.parse::<u32>().unwrap()).unwrap();
    }
}

#[test]
fn keys_are_in_javascripts_order() {
    let mut document = Document::new();
    make_edits(&mut document, "b=0,10=0,a=0,9=0,07=0");
    assert_eq!(&*document.to_json("{}"), r#"{"9":0,"10":0,"cookie":{},"b":0,"a":0,"07":0}"#);
    let document = parse(r#"{"a":1,"cookie":{},"\u0037":2}"#);
    assert_eq!(document.keys().collect::<Vec<_>>(), ["7", "a"]);
    // A record, edits, and the record after them: other members keep their bytes, and equal keys become one member.
    let rows = r#"
        {"9":0,"10":0,"cookie":{},"b":0,"a":0,"07":0}  -9      {"10":0,"cookie":{},"b":0,"a":0,"07":0}
        {"z":1,"cookie":{},"7":2,"a":3,"0":4}          new=5   {"0":4,"7":2,"z":1,"cookie":{},"a":3,"new":5}
        {"a":1,"cookie":{},"\u0037":2}                 8=3     {"\u0037":2,"8":3,"a":1,"cookie":{}}
        {"cookie":{},"f":1.0,"s":"\u00e9\ud800"}       n=7     {"cookie":{},"f":1.0,"s":"\u00e9\ud800","n":7}
        {"cookie":{},"big":12345678901234567890}       n=7     {"cookie":{},"big":12345678901234567890,"n":7}
        {"a":1,"cookie":{}}                            -a,a=1  {"cookie":{},"a":1}
        {"a":1,"cookie":{},"a":2}                      b=0     {"a":2,"cookie":{},"b":0}
        {"a":1,"a":2,"cookie":{}}                      b=0     {"a":2,"cookie":{},"b":0}
        {"a":1,"a":2,"a":3,"cookie":{},"c":4}          b=0     {"a":3,"cookie":{},"c":4,"b":0}
        {"a":1,"c":1,"a":2,"c":2,"a":3,"cookie":{},"a":4}  b=0  {"a":4,"c":2,"cookie":{},"b":0}
        {"a":1,"a":2,"a":3,"cookie":{}}                a=4     {"a":4,"cookie":{}}
    "#;
    for row in rows.trim().lines() {
        let [text, edits, edited] = row.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let mut document = parse(text);
        make_edits(&mut document, edits);
        assert_eq!(&*document.to_json("{}"), edited, "{row}");
    }
}

/// As `JSON.parse` has it: at the place of the first, with the value of the last.
#[test]
fn duplicate_keys_are_one_member() {
    for others in [0, 5, 6, 20] {
        let fill: String = (0..others).map(|at| format!("\"k{at}\":{at},")).collect();
        let mut document = parse(&format!(r#"{{{fill}"a":1,"cookie":{{}},"b":2,"a":3,"c":4}}"#));
        assert_eq!(document.len(), others + 3);
        assert_eq!(document.keys().skip(others).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(document.get_raw("a"), Some("3"));
        document.insert("d", &5).unwrap();
        assert_eq!(
            &*document.to_json("{}"),
            format!(r#"{{{fill}"a":3,"cookie":{{}},"b":2,"c":4,"d":5}}"#)
        );
    }
}

#[test]
fn max_age_of_a_text_is_that_of_its_cookie() {
    let now = Timestamp::from_millis(1_700_000_000_123);
    for max_age in
        ["null", "60000", "0", "-60000", "60000.5", "1e3", "999999999999999", "false", "true"]
    {
        let cookie = format!(r#"{{"originalMaxAge":{max_age},"httpOnly":true,"path":"/"}}"#);
        for text in [
            format!(r#"{{"cookie":{cookie}}}"#),
            format!(r#"{{"cookie":{cookie},"a":1}}"#),
            format!(r#"{{"cookie":{{"originalMaxAge":{max_age}}},"a":1}}"#),
            format!(r#"{{"a":1,"cookie":{cookie}}}"#),
            format!(r#" {{"cookie":{cookie},"a":1}}"#),
            format!(r#"{{"cookie": {cookie},"a":1}}"#),
        ] {
            let parsed = StoredCookie::parse(cookie_of(&text).unwrap(), now);
            let expected = parsed.map(|cookie| cookie.original_max_age());
            assert_eq!(max_age_of(&text, now), expected, "{text}");
        }
    }
    for text in ["[]", "{}", r#"{"cookie":null}"#, r#"{"cookie":{"originalMaxAge":"#] {
        assert_eq!(max_age_of(text, now), Err(Corrupt::NoCookie), "{text}");
    }
}

#[test]
fn parsing_with_a_template_equals_parsing_without() {
    let now = Timestamp::from_millis(1_700_000_000_123);
    let usual = |times: &str| format!(r#"{{{times},"httpOnly":true,"path":"/"}}"#);
    let timeless = usual(r#""originalMaxAge":null,"expires":null"#);
    let template = CookieTemplate::new(&StoredCookie::parse(&timeless, now).unwrap());
    let read = |text: &str| -> Result<_, Corrupt> {
        let document = Document::parse(text)?;
        let cookie = StoredCookie::parse(document.cookie_text(), now)?;
        Ok((document, cookie))
    };
    let timed = usual(r#""originalMaxAge":60000,"expires":"2023-11-14T22:13:20.123Z""#);
    let other = r#"{"path":"/admin"}"#;
    let behind = [
        "}",
        " } ",
        r#","a":1}"#,
        " ,\n\"b\" : [1,{}] , \"7\":2,\"a\":null}",
        r#","a":1,"a":2,"b":3}"#,
        r#","\u0061":1,"a":2}"#,
        r#","a":1,"cookie":{"path":"/shop"},"b":2}"#,
        r#","a":1,"\u0063ookie":{"path":"/shop"}}"#,
        r#","cookie":null}"#,
        "",
        ",}",
        "]",
        "}}",
        r#","a":}"#,
        r#" "a":1}"#,
    ];
    for cookie in [&*timeless, &timed, other, "null"] {
        for behind in behind {
            let text = format!(r#"{{"cookie":{cookie}{behind}"#);
            let (found, expected) = (Document::parse_as(&*text, &template, now), read(&text));
            let texts = |found: Result<(Document, StoredCookie), Corrupt>| {
                let (document, cookie) = found?;
                let mut edited = document.clone();
                edited.insert("new", &0).unwrap();
                let written = [document.to_json("{}"), edited.to_json("{}")];
                Ok::<_, Corrupt>((document.cookie_text().to_owned(), cookie, written))
            };
            assert_eq!(texts(found), texts(expected), "{text}");
        }
    }
}

#[test]
fn member_changed_back_counts_as_unchanged() {
    let mut document = parse(r#"{"cookie":{},"a":1.0,"b":"\u00e9"}"#);
    document.insert("a", &2).unwrap();
    assert!(document.is_changed());
    document.insert("a", &1).unwrap();
    document.insert("b", "é").unwrap();
    assert!(!document.is_changed());
    assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"a":1.0,"b":"\u00e9"}"#);
}

#[test]
fn number_that_is_read_and_set_again_counts_as_unchanged() {
    let mut document = parse(r#"{"cookie":{},"n":3.9430133835633675e-10}"#);
    let number: f64 = document.get("n").unwrap().unwrap();
    document.insert("n", &number).unwrap();
    assert!(!document.is_changed());
}

#[test]
fn integers_beyond_javascripts_precision_are_distinct() {
    let mut document = parse(r#"{"cookie":{},"user":9007199254740992,"n":1e15}"#);
    document.insert("user", &9_007_199_254_740_993_u64).unwrap();
    document.insert("n", &1_000_000_000_000_000_u64).unwrap();
    assert!(document.is_member_changed("user") && !document.is_member_changed("n"));
    assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"user":9007199254740993,"n":1e15}"#);
}

#[test]
fn only_integers_are_compared_by_their_digits() {
    let mut document =
        parse(r#"{"cookie":{},"n":0.100000000000000000,"z":-0,"s":"\u00e9t\u00e9, for months"}"#);
    document.insert("n", &0.1).unwrap();
    document.insert("z", &0).unwrap();
    document.insert("s", "été, for months").unwrap();
    assert!(!document.is_changed());
}

#[test]
fn member_moved_to_another_place_counts_as_changed() {
    let mut document = parse(r#"{"cookie":{},"a":1,"z":2}"#);
    make_edits(&mut document, "-a,a=1");
    assert!(document.is_changed());
    assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"z":2,"a":1}"#);
    make_edits(&mut document, "-z,-a,a=1,z=2");
    assert!(!document.is_changed());
    let mut across_the_cookie = parse(r#"{"a":1,"cookie":{}}"#);
    make_edits(&mut across_the_cookie, "-a,a=1");
    assert!(!across_the_cookie.is_changed());
}

#[test]
fn last_of_two_equal_keys_counts() {
    let mut document = parse(r#"{"a":1,"cookie":{},"\u0061":2,"cookie":{"path":"/"}}"#);
    assert_eq!(document.get::<u8>("a").unwrap(), Some(2));
    assert_eq!(document.cookie_text(), COOKIE_JSON);
    assert_eq!((document.len(), document.keys().count()), (1, 1));
    assert!(document.remove("a"));
    assert!(!document.contains("a"));
}

#[test]
fn equal_keys_become_one_member_at_the_place_of_the_first() {
    let text = r#"{"a":1,"b":2,"a":3,"cookie":{},"c":4,"\u0062":5,"a":6,"\ud800":7,"\ud801":8}"#;
    let mut document = parse(text);
    assert_eq!(document.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(&*document.to_json("{}"), text, "untouched, it stays as it is");
    document.insert("d", &9).unwrap();
    assert_eq!(
        &*document.to_json("{}"),
        r#"{"a":6,"b":5,"cookie":{},"c":4,"\ud800":7,"\ud801":8,"d":9}"#
    );
}

#[test]
fn key_is_found_with_or_without_escapes() {
    let document = parse(r#"{"cookie":{},"\u0061":1,"b\\":2}"#);
    assert_eq!((document.get_raw("a"), document.get_raw(r"b\")), (Some("1"), Some("2")));
    assert_eq!((document.get_raw(r"\u0061"), document.get_raw(r"b\\")), (None, None));
}

#[test]
fn same_members_compares_key_value_and_order() {
    let loaded = parse(r#"{"cookie":{},"a":1,"b":[2]}"#);
    for (other, is_same) in [
        (r#"{"a":1.0,"cookie":{"path":"/"},"\u0062":[ 2 ]}"#, true),
        (r#"{"cookie":{},"a":1,"b":[3]}"#, false),
        (r#"{"cookie":{},"a":1,"c":[2]}"#, false),
        (r#"{"cookie":{},"b":[2],"a":1}"#, false),
        (r#"{"cookie":{},"a":1}"#, false),
        (r#"{"cookie":{},"a":1,"b":[2],"c":3}"#, false),
        (r#"{"cookie":{}}"#, false),
    ] {
        assert_eq!(loaded.same_members(&parse(other)), is_same, "{other}");
        assert_eq!(parse(other).same_members(&loaded), is_same, "{other}");
    }
}

#[test]
fn equal_keys_with_lone_surrogates_are_one_member() {
    let document = parse(r#"{"\ud800":1,"cookie":{},"\uD800":2,"\ud801":3}"#);
    assert_eq!(document.len(), 2);
    assert!(document.same_members(&parse(r#"{"\ud800":2,"\ud801":3,"cookie":{}}"#)));
}

#[test]
fn reverted_member_equals_the_loaded_one() {
    let mut document = parse(r#"{"cookie":{},"a":1.0}"#);
    document.insert("a", &2).unwrap();
    document.insert("b", &2).unwrap();
    assert!(document.is_member_changed("a") && document.is_member_changed("b"));
    document.revert_member("a");
    assert_eq!(document.get_raw("a"), Some("1.0"));
    assert!(!document.is_member_changed("a") && document.is_member_changed("b"));
    document.revert_member("b");
    assert!(!document.contains("b") && !document.is_changed());
}

#[test]
fn only_the_cookie_of_a_record_is_read_and_replaced() {
    let text = r#"{ "a" : 1, "cookie" : {"path":"/"}, "b" : "cookie" }"#;
    assert_eq!(cookie_of(text), Some(COOKIE_JSON));
    let replaced = r#"{ "a" : 1, "cookie" : {}, "b" : "cookie" }"#;
    assert_eq!(with_cookie(text, "{}").as_deref(), Some(replaced));
    for text in [r#"{"a":1}"#, "[]", r#"{"cookie":{}"#] {
        assert_eq!((cookie_of(text), with_cookie(text, "{}")), (None, None), "{text}");
    }
}

#[test]
fn only_objects_have_members() {
    let json = Json::of(&std::collections::BTreeMap::from([("a", 1), ("é\n", 2)])).unwrap();
    let members = json.members().unwrap();
    let members: Vec<_> = members.iter().map(|(key, json)| (&**key, json.as_str())).collect();
    assert_eq!(members, [("a", "1"), ("é\n", "2")]);
    assert_eq!(Json::of(&[1]).unwrap().members(), None);
}

#[test]
fn normalised_record_without_its_reserved_names_counts_as_changed() {
    let document =
        Document::parse_normalised(r#"{"id":1,"cookie":{},"b":1.0,"toString":2}"#).unwrap();
    assert!(document.is_changed());
    assert_eq!(&*document.to_json("{}"), r#"{"cookie":{},"b":1}"#);
    assert!(!Document::parse_normalised(r#"{"cookie":{},"b":1.0}"#).unwrap().is_changed());
}

#[test]
fn reserved_names_are_refused() {
    let mut document = Document::new();
    for name in ["cookie", "id", "save", "__proto__"] {
        assert!(matches!(document.insert(name, &1), Err(InsertError::Reserved)));
    }
    assert!(document.is_empty());
}

#[test]
fn text_that_is_not_a_record_is_corrupt() {
    for text in ["", "null", "[]", "5", "{\"a\":1", "{\"cookie\":{}}x"] {
        assert!(matches!(Document::parse(text), Err(Corrupt::NotJson(_))), "{text}");
    }
    assert_eq!(Document::parse("{}").unwrap_err(), Corrupt::NoCookie);
}

#[test]
fn errors_never_contain_data() {
    use std::error::Error as _;

    for (corrupt, text) in [
        (Corrupt::NotJson(2), "not a JSON object, at byte 2"),
        (Corrupt::NoCookie, "no cookie object in the record"),
        (Corrupt::BadCookie("expires"), "unusable cookie.expires in the record"),
    ] {
        assert_eq!(corrupt.to_string(), text);
    }
    let reserved = Document::new().insert("id", &1).unwrap_err();
    assert_eq!(reserved.to_string(), "the name is reserved by express-session");
    assert!(reserved.source().is_none());
    let no_json = std::collections::BTreeMap::from([([1_u8], 1)]);
    let refused = Document::new().insert("a", &no_json).unwrap_err();
    assert_eq!(refused.to_string(), "the value cannot be serialised as JSON");
    assert!(refused.source().is_some_and(|source| source.is::<serde_json::Error>()));
}

#[test]
fn lone_surrogates_are_kept_although_they_cannot_be_read() {
    let document = parse(r#"{"cookie":{},"\ud800":1,"s":"\ud800"}"#);
    assert!(document.get::<String>("s").is_err());
    assert_eq!(document.keys().collect::<Vec<_>>(), ["s"]);
    assert_eq!(document.len(), 2);
}

#[test]
fn document_never_prints_its_data() {
    let document = parse(r#"{"cookie":{},"card":"4711"}"#);
    assert_eq!(format!("{document:?}"), "Document { members: 1, .. }");
    let json = Json::of("4711").unwrap();
    assert_eq!((json.as_str(), format!("{json:?}").as_str()), ("\"4711\"", "Json(redacted)"));
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(String, i8),
    Remove(String),
    Clear,
}

fn key() -> impl Strategy<Value = String> {
    "[ab]|[0-2]|1[0-1]|é".prop_map(String::from)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        8 => (key(), 0..3i8).prop_map(|(key, value)| Edit::Insert(key, value)),
        4 => key().prop_map(Edit::Remove),
        1 => Just(Edit::Clear),
    ]
}

proptest! {
    #[test]
    fn saved_document_equals_the_reloaded_one(
        edits in prop::collection::vec(edit(), 0..12),
        loaded in prop::sample::select(vec![
            r#"{"1":1,"cookie":{},"a":0,"é":2}"#,
            r#" { "z" : 1.0 , "cookie" : { "path" : "/" } , "7" : [ 1 ] , "a\\b" : "c" } "#,
            r#"{"a":1,"cookie":{"path":"/"},"a":2,"cookie":{},"b":3}"#,
        ]),
        cookie in prop::sample::select(vec!["{}", r#"{"path":"/shop","httpOnly":true}"#]),
    ) {
        let mut document = parse(loaded);
        for edit in edits {
            match edit {
                Edit::Insert(key, value) => document.insert(&key, &value).unwrap(),
                Edit::Remove(key) => drop(document.remove(&key)),
                Edit::Clear => document.clear(),
            }
        }
        let written = document.as_saved(cookie);
        prop_assert_eq!(written.base_text(), &document.to_json(cookie));
        let loaded = Document::parse(Arc::clone(written.base_text())).unwrap();
        prop_assert_eq!(written.cookie_text(), cookie);
        prop_assert!(written.base.is_equal(&loaded.base));
        prop_assert!(!written.is_changed() && written.same_members(&document));
    }

    /// The model is a list that the test explicitly sorts into JavaScript's order.
    #[test]
    fn edits_agree_with_a_plain_list(edits in prop::collection::vec(edit(), 0..24)) {
        let loaded = r#"{"1":1,"cookie":{},"a":0,"é":2}"#;
        let mut document = parse(loaded);
        let mut model: Vec<(String, i8)> = vec![("1".into(), 1), ("a".into(), 0), ("é".into(), 2)];
        for edit in edits {
            match edit {
                Edit::Insert(key, value) => {
                    document.insert(&key, &value).unwrap();
                    match model.iter_mut().find(|(known, _)| *known == key) {
                        Some(entry) => entry.1 = value,
                        None => model.push((key, value)),
                    }
                    model.sort_by_key(|(key, _)| json::array_index(key).map_or((true, 0), |index| (false, index)));
                }
                Edit::Remove(key) => {
                    let known = model.iter().any(|(name, _)| *name == key);
                    prop_assert_eq!(document.remove(&key), known);
                    model.retain(|(name, _)| *name != key);
                }
                Edit::Clear => { document.clear(); model.clear(); }
            }
            let keys: Vec<_> = document.keys().map(Cow::into_owned).collect();
            prop_assert_eq!(&keys, &model.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
            let changed = model != [("1".into(), 1), ("a".into(), 0), ("é".into(), 2)];
            prop_assert_eq!(document.is_changed(), changed);
            let again = parse(&document.to_json("{}"));
            prop_assert!(again.same_members(&document));
            prop_assert_eq!(again.to_json("{}"), document.to_json("{}"));
        }
    }
}
