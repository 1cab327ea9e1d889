//! Changes of a record by one request, or by two at the same time.

use arbitrary::{Arbitrary, Unstructured};
use express_session_core::{Document, InsertError, session::merge};
use serde_json::Value;

use crate::javascript::{self, Integers, Js, in_order, index};
use crate::record_text::RESERVED;

/// A stored record, the changes of one request, and those of another in the meantime.
#[derive(Arbitrary, Debug)]
struct Case {
    stored: Vec<Member>,
    /// The number of members before the cookie.
    cookie_at: u8,
    is_spaced: bool,
    ours: Vec<Edit>,
    theirs: Vec<Edit>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Member {
    key: Key,
    is_escaped: bool,
    value: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Key(u8);

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Edit {
    Insert(Key, u8),
    Remove(Key),
    Restore(Key),
    Clear,
    /// Writes the record, and continues with the document that is read from it.
    Save,
}

const KEYS: [&str; 18] = [
    "a",
    "b",
    "c",
    "views",
    "é",
    "",
    "\"",
    "\\",
    "0",
    "1",
    "9",
    "10",
    "07",
    "4294967294",
    "4294967295",
    "cookie",
    "id",
    "__proto__",
];

/// Values that other software may have stored.
const STORED: [&str; 16] = [
    "1",
    "1.0",
    "10e-1",
    "-0",
    "0",
    "true",
    "null",
    r#""é""#,
    r#""\u00e9""#,
    r#""\ud800""#,
    "[1, 2]",
    r#"{"b":1,"2":2}"#,
    r#"{ "2" : 2, "b" : 1.0 }"#,
    "9007199254740992",
    "9007199254740993",
    "1e999",
];

/// Values that a handler sets.
const SET: [&str; 12] = [
    "1",
    "2",
    "1.0",
    "-0.0",
    "true",
    "null",
    r#""é""#,
    "[1,2]",
    r#"{"b":1,"2":2}"#,
    "9007199254740992",
    "9007199254740993",
    "1e21",
];

impl Key {
    fn name(self) -> &'static str {
        KEYS[usize::from(self.0) % KEYS.len()]
    }
}

impl Member {
    fn text(self) -> String {
        let name = self.key.name();
        // One key of the record may have a lone surrogate.
        let key = if self.value == 0xff {
            r#""\ud800""#.to_owned()
        } else if self.is_escaped {
            let units = name.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
            format!("\"{}\"", units.collect::<String>())
        } else {
            Value::from(name).to_string()
        };
        format!("{key}:{}", STORED[usize::from(self.value) % STORED.len()])
    }
}

fn set(value: u8) -> Value {
    let text = SET[usize::from(value) % SET.len()];
    serde_json::from_str(text).expect("the list has JSON")
}

const COOKIE: &str = r#"{"path":"/"}"#;

impl Case {
    fn text(&self) -> String {
        let is_data = |member: &&Member| member.key.name() != "cookie";
        let mut members: Vec<_> = self.stored.iter().filter(is_data).map(|it| it.text()).collect();
        let at = usize::from(self.cookie_at) % (members.len() + 1);
        members.insert(at, format!("\"cookie\":{COOKIE}"));
        let space = if self.is_spaced { "\n " } else { "" };
        format!("{{{space}{}{space}}}", members.join(&format!(",{space}")))
    }
}

/// Applies the same changes to a document and to a list, and compares them after each.
pub fn run(data: &[u8]) {
    let Ok(mut case) = Case::arbitrary_take_rest(Unstructured::new(data)) else { return };
    case.stored.truncate(12);
    let text = case.text();
    let base = Document::parse(text.clone()).expect("the record is one");
    let [ours, theirs] = [&case.ours, &case.theirs].map(|edits| {
        let mut both = Both { document: base.clone(), model: Model::read(&text) };
        for edit in edits.iter().take(32) {
            both.apply(*edit);
            both.compare();
        }
        both
    });
    merged(&ours, &theirs.saved());
}

/// A document, and the list that it has to equal.
#[derive(Clone)]
struct Both {
    document: Document,
    model: Model,
}

#[derive(Clone)]
struct Model {
    text: String,
    loaded: Vec<(Vec<u8>, Js)>,
    /// The members and the cookie, in their order.
    members: Vec<(Vec<u8>, Js)>,
}

impl Model {
    fn read(text: &str) -> Self {
        let members = in_order(javascript::members(text).expect("a record is an object"));
        let members = members.into_iter().map(|(key, raw)| {
            (key, Js::read(raw.get(), Integers::Exact).expect("no record here is deep"))
        });
        let members: Vec<_> = members.collect();
        Self { text: text.to_owned(), loaded: members.clone(), members }
    }

    fn get(&self, name: &str) -> Option<&Js> {
        find(&self.members, name)
    }

    fn was(&self, name: &str) -> Option<&Js> {
        find(&self.loaded, name)
    }

    fn put(&mut self, name: &str, value: Js) {
        if let Some(member) = self.members.iter_mut().find(|(key, _)| key == name.as_bytes()) {
            member.1 = value;
            return;
        }
        self.members.push((name.into(), value));
        self.members.sort_by_key(|(key, _)| index(key).map_or((true, 0), |it| (false, it)));
    }

    fn remove(&mut self, name: &str) -> bool {
        let there = self.get(name).is_some();
        self.members.retain(|(key, _)| !is_data(key) || key != name.as_bytes());
        there
    }

    /// Returns the members without the cookie.
    fn data(&self) -> impl Iterator<Item = &(Vec<u8>, Js)> {
        self.members.iter().filter(|(key, _)| is_data(key))
    }
}

fn is_data(key: &[u8]) -> bool {
    key != b"cookie"
}

fn find<'m>(members: &'m [(Vec<u8>, Js)], name: &str) -> Option<&'m Js> {
    let found = members.iter().find(|(key, _)| is_data(key) && key == name.as_bytes());
    found.map(|(_, value)| value)
}

impl Both {
    fn apply(&mut self, edit: Edit) {
        match edit {
            Edit::Insert(key, value) => {
                let (name, value) = (key.name(), set(value));
                match self.document.insert(name, &value) {
                    Ok(()) => self.model.put(name, js(&value.to_string())),
                    Err(error) => {
                        let is_reserved = matches!(error, InsertError::Reserved);
                        assert!(is_reserved && RESERVED.contains(&name));
                    }
                }
            }
            Edit::Remove(key) => {
                let removed = self.document.remove(key.name());
                assert_eq!(removed, self.model.remove(key.name()));
            }
            Edit::Restore(key) => {
                self.document.revert_member(key.name());
                match self.model.was(key.name()).cloned() {
                    Some(value) => self.model.put(key.name(), value),
                    None => drop(self.model.remove(key.name())),
                }
            }
            Edit::Clear => {
                self.document.clear();
                self.model.members.retain(|(key, _)| !is_data(key));
            }
            Edit::Save => *self = self.saved(),
        }
    }

    fn saved(&self) -> Self {
        let text = self.document.to_json(COOKIE);
        let document = Document::parse(Box::from(&*text)).expect("what is written is read");
        assert!(document.same_members(&self.document) && !document.is_changed());
        Self { document, model: Model::read(&text) }
    }

    fn compare(&self) {
        let Self { document, model } = self;
        let keys = model.data().filter_map(|(key, _)| str::from_utf8(key).ok());
        assert!(document.keys().eq(keys), "the keys and their order");
        assert_eq!(document.len(), model.data().count());
        assert_eq!(document.is_empty(), model.data().next().is_none());
        let loaded: Vec<_> = model.loaded.iter().filter(|(key, _)| is_data(key)).collect();
        let is_changed = !model.data().eq(loaded);
        assert_eq!(document.is_changed(), is_changed);
        for name in KEYS {
            let value = document.get_raw(name).map(js);
            assert_eq!(value.as_ref(), model.get(name), "{name}");
            assert_eq!(document.contains(name), value.is_some());
            assert_eq!(document.is_member_changed(name), model.get(name) != model.was(name));
        }
        self.as_saved(is_changed);
        assert!(!document.base().is_changed());
        assert_eq!(&*document.base().to_json(COOKIE), model.text);
    }

    fn as_saved(&self, is_changed: bool) {
        let Self { document, model } = self;
        let text = document.to_json(COOKIE);
        let keys = |members: &[(Vec<u8>, Js)]| {
            members.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        if !is_changed && keys(&model.members) == keys(&model.loaded) {
            return assert_eq!(&*text, model.text, "an unchanged record keeps its text");
        }
        let written = javascript::members(&text).expect("what is written is JSON");
        let stored = in_order(javascript::members(&model.text).expect("what was read was JSON"));
        assert!(written.iter().map(|(key, _)| key).eq(model.members.iter().map(|(key, _)| key)));
        for ((key, raw), (_, value)) in written.iter().zip(&model.members) {
            assert_eq!(js(raw.get()), *value);
            let old = stored.iter().find(|(old, _)| old == key).map(|(_, raw)| raw.get());
            if old.map(js).as_ref() == Some(value) {
                assert_eq!(Some(raw.get()), old, "unchanged members keep their bytes");
            }
        }
    }
}

fn js(text: &str) -> Js {
    Js::read(text, Integers::Exact).expect("a member is JSON")
}

/// Checks the laws of merging: a member that one side changed has that side's value; if both changed it, ours.
fn merged(ours: &Both, theirs: &Both) {
    // A request that saved in the meantime has another base.
    let base = ours.model.loaded.clone();
    let merge::Merged { document, contested } = merge::merge(&ours.document, &theirs.document);
    for name in KEYS {
        let (was, mine) = (find(&base, name), ours.model.get(name));
        let other = theirs.model.get(name);
        let expected = if mine == was { other } else { mine };
        assert_eq!(document.get_raw(name).map(js).as_ref(), expected, "{name}");
        // A different text may have the same value, such as `-0`. A change that can be applied again is applied again.
        let is_other = theirs.document.get_raw(name) != ours.document.base().get_raw(name);
        let is_contested = mine != was && is_other;
        assert_eq!(contested.iter().any(|key| key == name), is_contested, "{name}");
    }
    let saved = Document::parse(document.to_json(COOKIE)).expect("what is written is read");
    assert!(saved.same_members(&document));

    let own = merge::merge(&ours.document, &ours.saved().document);
    assert!(!own.document.is_changed(), "merging a document with itself changes nothing");
    let idle = merge::merge(&ours.document.base(), &theirs.document);
    assert!(
        !idle.document.is_changed() && idle.contested.is_empty(),
        "a document without changes needs no merge"
    );
}
