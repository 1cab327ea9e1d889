//! The place of the member in the text of a record.

use std::ops::Range;
use std::sync::Arc;

use super::Metadata;
use crate::record::json;

/// Takes the member out of a record, and reads it. Every other byte stays.
///
/// The library writes the member last, where it is found without reading the text. From any other place, and where it is
/// there twice, it is taken in one pass. A text that is no object is returned as it is.
pub(crate) fn split(text: &Arc<str>, name: &str) -> (Arc<str>, Option<Metadata>) {
    match find(text, name) {
        Place::Nowhere => (Arc::clone(text), None),
        Place::Last { comma, value } => {
            let metadata = Metadata::parse(&text[value]);
            ([&text[..comma], "}"].concat().into(), metadata)
        }
        Place::Within { cuts, value } => {
            let metadata = Metadata::parse(&text[value]);
            let mut rest = String::with_capacity(text.len());
            let mut at = 0;
            for cut in cuts {
                rest.push_str(&text[at..cut.start]);
                at = cut.end;
            }
            rest.push_str(&text[at..]);
            (rest.into(), metadata)
        }
    }
}

/// Reads the member of a record.
pub(crate) fn read(text: &str, name: &str) -> Option<Metadata> {
    match find(text, name) {
        Place::Nowhere => None,
        Place::Last { value, .. } | Place::Within { value, .. } => Metadata::parse(&text[value]),
    }
}

/// Puts the member behind all others of a record, which is an object with at least one member.
pub(crate) fn append(text: &str, name: &str, metadata: &Metadata) -> Arc<str> {
    let open = text.trim_end().strip_suffix('}').unwrap_or(text);
    let mut out = String::with_capacity(text.len() + name.len() + 64);
    out.push_str(open);
    out.push(',');
    json::quote(name, &mut out);
    out.push(':');
    metadata.push(&mut out);
    out.push('}');
    out.into()
}

enum Place {
    Nowhere,
    /// Behind a comma, at the end of the object.
    Last {
        comma: usize,
        value: Range<usize>,
    },
    /// Anywhere, as often as there are cuts. The last value counts, as for `JSON.parse`.
    Within {
        cuts: Vec<Range<usize>>,
        value: Range<usize>,
    },
}

fn find(text: &str, name: &str) -> Place {
    let mut quoted = String::with_capacity(name.len() + 2);
    json::quote(name, &mut quoted);
    let Some(key) = text.find(&*quoted) else { return Place::Nowhere };
    // Outside of a string the text continues with a colon; inside of one no such quotation marks are possible.
    let value = key + quoted.len() + 1..text.len().saturating_sub(1);
    let is_last = key > 0
        && text.as_bytes()[key - 1] == b','
        && text.ends_with('}')
        && text.as_bytes().get(value.start - 1) == Some(&b':')
        && text.get(value.clone()).is_some_and(|value| json::members(value, |_| {}).is_ok());
    if is_last {
        return Place::Last { comma: key - 1, value };
    }
    within(text, &quoted)
}

fn within(text: &str, quoted: &str) -> Place {
    let (mut cuts, mut found) = (Vec::<Range<usize>>::new(), None);
    // The end of the member before, if there is one that stays before it.
    let mut before: Option<usize> = None;
    // Where the first members of the object are cut from.
    let mut cut_from = None;
    let read = json::members(text, |json::Member { key, value, .. }| {
        if let Some(from) = cut_from.take() {
            // The first member of all is cut up to the next one, and its comma with it.
            cuts.push(from..key.start);
        }
        if text[key.clone()] == *quoted {
            match &mut before {
                Some(end) => {
                    cuts.push(*end..value.end);
                    *end = value.end;
                }
                None => cut_from = Some(key.start),
            }
            found = Some(value);
        } else {
            before = Some(value.end);
        }
    });
    let (Ok(_), Some(value)) = (read, found) else { return Place::Nowhere };
    if let Some(from) = cut_from {
        // The only member of the object.
        cuts.push(from..value.end);
    }
    Place::Within { cuts, value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Document, Timestamp};

    const NAME: &str = "m";
    const VALUE: &str = r#"{"created":1,"seen":2}"#;

    fn split_text(text: &str) -> (String, bool) {
        let (rest, metadata) = split(&text.into(), NAME);
        assert_eq!(metadata, read(text, NAME), "{text}");
        (rest.to_string(), metadata.is_some())
    }

    #[test]
    fn member_is_taken_from_any_place_and_nothing_else_is() {
        for (text, rest, is_there) in [
            (r#"{"cookie":{}}"#, r#"{"cookie":{}}"#, false),
            (r#"{"cookie":{},"m":V}"#, r#"{"cookie":{}}"#, true),
            (r#"{"cookie":{} , "m" : V }"#, r#"{"cookie":{} }"#, true),
            (r#"{"cookie":{},"m":V,"a":1}"#, r#"{"cookie":{},"a":1}"#, true),
            (r#"{"m":V,"cookie":{}}"#, r#"{"cookie":{}}"#, true),
            (r#"{ "m":V , "cookie":{}}"#, r#"{ "cookie":{}}"#, true),
            (r#"{"m":V}"#, "{}", true),
            // A value of another shape, or nested, or within a string.
            (r#"{"cookie":{},"m":1}"#, r#"{"cookie":{}}"#, false),
            (r#"{"cookie":{},"m":"m"}"#, r#"{"cookie":{}}"#, false),
            (r#"{"cookie":{},"m":[{}],"a":{}}"#, r#"{"cookie":{},"a":{}}"#, false),
            (r#"{"cookie":{"m":V}}"#, r#"{"cookie":{"m":V}}"#, false),
            (r#"{"cookie":{},"a":{"b":1,"m":V}}"#, r#"{"cookie":{},"a":{"b":1,"m":V}}"#, false),
            (r#"{"cookie":{},"a":",\"m\":{}"}"#, r#"{"cookie":{},"a":",\"m\":{}"}"#, false),
            (r#"{"cookie":{},"a":"m"}"#, r#"{"cookie":{},"a":"m"}"#, false),
            (r#"{"cookie":{},"a":["m",{}]}"#, r#"{"cookie":{},"a":["m",{}]}"#, false),
            (r#"{"cookie":{"m":1},"m":V}"#, r#"{"cookie":{"m":1}}"#, true),
            // Twice: the last one counts.
            (r#"{"m":1,"cookie":{},"m":V}"#, r#"{"cookie":{}}"#, true),
            (r#"{"m":1,"m":V,"cookie":{}}"#, r#"{"cookie":{}}"#, true),
            (r#"{"cookie":{},"m":V,"m":1}"#, r#"{"cookie":{}}"#, false),
            (r#"{"cookie":{},"m":V,"a":1,"m":V}"#, r#"{"cookie":{},"a":1}"#, true),
            // No records.
            (r#"{"cookie":{},"m":V"#, r#"{"cookie":{},"m":V"#, false),
            (r#"{"cookie":{},"m":{}}}"#, r#"{"cookie":{},"m":{}}}"#, false),
            (r#"["m"]"#, r#"["m"]"#, false),
            (r#","m""#, r#","m""#, false),
            ("", "", false),
        ] {
            let [text, rest] = [text, rest].map(|text| text.replace('V', VALUE));
            assert_eq!(split_text(&text), (rest, is_there), "{text}");
        }
    }

    #[test]
    fn only_member_of_an_object_is_taken_however_often_it_is_there() {
        for text in [r#"{"m":1,"m":2}"#, r#"{"m":1,"m":2,"m":{}}"#] {
            assert_eq!(split_text(text), ("{}".to_owned(), false), "{text}");
        }
    }

    proptest! {
        #[test]
        fn appended_member_is_split_off_again(
            members in prop::collection::btree_map("[a-z\"é,:{}]{0,4}", "[a-z\"é,:{}]{0,8}", 0..5),
            name in "[a-z_\"\\\\]{1,8}",
        ) {
            let mut document = Document::new();
            for (key, value) in members.iter().filter(|(key, _)| **key != name) {
                // A reserved name is left out.
                let _ = document.insert(key, value);
            }
            let text = document.to_json("{}");
            let metadata = Metadata::new(Timestamp::from_millis(1));
            let written = append(&text, &name, &metadata);
            prop_assert!(Document::parse(Arc::clone(&written)).is_ok());
            let (rest, found) = split(&written, &name);
            prop_assert_eq!(&rest, &text);
            prop_assert_eq!(found.as_ref(), Some(&metadata));
            // A Node application adds a member of another name behind it.
            let behind = format!("{},\"ZZ\":1}}", written.strip_suffix('}').unwrap());
            let (rest, found) = split(&behind.into(), &name);
            prop_assert_eq!(&*rest, format!("{},\"ZZ\":1}}", text.strip_suffix('}').unwrap()));
            prop_assert_eq!(found, Some(metadata));
        }
    }
}
