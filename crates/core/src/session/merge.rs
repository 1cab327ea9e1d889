//! Two requests changed one session: what both did, in one record.

use crate::Document;

/// A merged session, and the members that both sides had changed.
#[derive(Debug)]
pub struct Merged {
    /// Their record with our changes put on it.
    pub document: Document,
    /// Members that they had changed too. Ours stand in the document; a change that can be made again
    /// on top of theirs (`update`) is to be.
    pub contested: Vec<String>,
}

/// Puts what we changed since we loaded onto what the store has now, member by member.
///
/// A member that only one side changed is kept from that side. A member that both changed has our value, as the
/// later one, and is named in [`Merged::contested`]. A member that we removed is removed.
///
/// ```
/// use express_session_core::{Document, session::merge};
///
/// let mut ours = Document::parse(r#"{"cookie":{},"a":1,"b":1}"#)?;
/// ours.insert("a", &2)?;
/// let theirs = Document::parse(r#"{"cookie":{},"a":1,"b":3}"#)?;
///
/// let merged = merge::merge(&ours, &theirs);
/// assert_eq!(&*merged.document.to_json("{}"), r#"{"cookie":{},"a":2,"b":3}"#);
/// assert!(merged.contested.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn merge(ours: &Document, theirs: &Document) -> Merged {
    merge_since(&ours.base(), ours, theirs)
}

/// Does the same with what we changed since `base`, where that is not what `ours` was loaded from: what we
/// saved in the meantime, say.
///
/// ```
/// use express_session_core::{Document, session::merge};
///
/// let mut ours = Document::parse(r#"{"cookie":{},"a":1}"#)?;
/// ours.insert("a", &2)?;
/// let saved = ours.clone();
/// ours.insert("a", &1)?;
/// let theirs = Document::parse(r#"{"cookie":{},"a":2}"#)?;
///
/// assert_eq!(merge::merge(&ours, &theirs).document.get("a")?, Some(2));
/// assert_eq!(merge::merge_since(&saved, &ours, &theirs).document.get("a")?, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn merge_since(base: &Document, ours: &Document, theirs: &Document) -> Merged {
    let mut document = theirs.clone();
    let mut contested = Vec::new();
    let mut contest = |key: &str| {
        if base.get_raw(key) != theirs.get_raw(key) {
            contested.push(key.to_owned());
        }
    };
    for key in base.keys().filter(|key| !ours.contains(key)) {
        contest(&key);
        document.remove(&key);
    }
    for key in ours.keys() {
        let Some(value) = ours.get_raw(&key).filter(|value| base.get_raw(&key) != Some(value))
        else {
            continue;
        };
        contest(&key);
        document.insert_raw(&key, value);
    }
    Merged { document, contested }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = r#"{"cookie":{},"a":1,"b":1,"c":1}"#;

    fn document(text: &str) -> Document {
        Document::parse(text).unwrap()
    }

    /// The merge of one member: base, ours, theirs → merged, contested.
    #[test]
    fn each_member_is_merged_by_the_table() {
        for (base, ours, theirs, merged, contested) in [
            (None, None, None, None, false),
            (None, None, Some(3), Some(3), false),
            (None, Some(2), None, Some(2), false),
            (None, Some(2), Some(3), Some(2), true),
            (Some(1), Some(1), Some(1), Some(1), false),
            (Some(1), Some(1), Some(3), Some(3), false),
            (Some(1), Some(1), None, None, false),
            (Some(1), Some(2), Some(1), Some(2), false),
            (Some(1), Some(2), Some(3), Some(2), true),
            (Some(1), Some(2), None, Some(2), true),
            (Some(1), None, Some(1), None, false),
            (Some(1), None, Some(3), None, true),
            (Some(1), None, None, None, true),
        ] {
            let set = |document: &mut Document, value: Option<i32>| match value {
                Some(value) => document.insert("m", &value).unwrap(),
                None => drop(document.remove("m")),
            };
            let mut loaded = document(r#"{"cookie":{}}"#);
            set(&mut loaded, base);
            let mut mine = document(&loaded.to_json("{}"));
            set(&mut mine, ours);
            let mut current = document(r#"{"cookie":{}}"#);
            set(&mut current, theirs);
            let current = document(&current.to_json("{}"));

            let result = merge(&mine, &current);
            let row = (base, ours, theirs);
            assert_eq!(result.document.get::<i32>("m").unwrap(), merged, "{row:?}");
            assert_eq!(!result.contested.is_empty(), contested, "{row:?}");
        }
    }

    #[test]
    fn our_cookie_is_not_part_of_the_merge() {
        let merged =
            merge(&document(BASE), &document(r#"{"cookie":{"path":"/x"},"a":1,"b":1,"c":1}"#));
        assert_eq!(merged.document.cookie_text(), r#"{"path":"/x"}"#);
    }

    fn edited() -> impl Strategy<Value = Document> {
        prop::collection::vec(("[abcd]", prop::option::of(1..4)), 0..5).prop_map(|edits| {
            let mut edited = document(BASE);
            for (key, value) in edits {
                match value {
                    Some(value) => edited.insert(&key, &value).unwrap(),
                    None => drop(edited.remove(&key)),
                }
            }
            edited
        })
    }

    proptest! {
        #[test]
        fn merging_with_the_base_gives_ours(ours in edited()) {
            let merged = merge(&ours, &document(BASE));
            for key in ["a", "b", "c", "d"] {
                prop_assert_eq!(merged.document.get_raw(key), ours.get_raw(key));
            }
            prop_assert!(merged.contested.is_empty());
        }

        #[test]
        fn change_of_one_side_alone_is_never_lost(ours in edited(), theirs in edited()) {
            let base = document(BASE);
            let stored = document(&theirs.to_json("{}"));
            let merged = merge(&ours, &stored).document;
            for key in ["a", "b", "c", "d"] {
                let (was, mine, other) = (base.get_raw(key), ours.get_raw(key), theirs.get_raw(key));
                let expected = if mine == was { other } else { mine };
                prop_assert_eq!(merged.get_raw(key), expected, "{}", key);
            }
        }
    }
}
