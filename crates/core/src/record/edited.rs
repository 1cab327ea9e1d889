//! The members of a document that was edited, in JavaScript's order.
//!
//! Up to [`FEW`] members are a list. More are two trees, so that no name and no order of edits costs more than
//! O(log n) comparisons for each edit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::json;

/// The number of members up to which a search looks at each.
pub(super) const FEW: usize = 32;

#[derive(Clone)]
pub(super) enum Edited {
    Few { members: Vec<Member>, cookie_at: usize },
    Many(Box<Many>),
}

#[derive(Clone)]
pub(super) struct Many {
    /// The members by their places.
    members: BTreeMap<u64, Member>,
    places: BTreeMap<Box<str>, u64>,
    cookie: u64,
    /// The place of the next key that is not an array index.
    next: u64,
}

#[derive(Clone)]
pub(super) struct Member {
    pub(super) key: Piece,
    pub(super) value: Piece,
}

/// A piece of JSON: a span of the base's text, or new text.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Base(u32, u32),
    /// Shared by clones: the changes of a request keep the session as it was before them.
    Own(Arc<str>),
    /// A new member's key: too short to be worth sharing.
    Key(Box<str>),
}

impl Piece {
    pub(super) fn text<'a>(&'a self, base: &'a str) -> &'a str {
        match self {
            Self::Base(start, end) => &base[*start as usize..*end as usize],
            Self::Own(text) => text,
            Self::Key(text) => text,
        }
    }
}

impl Edited {
    /// Takes members that are in JavaScript's order.
    pub(super) fn new(
        members: impl ExactSizeIterator<Item = Member>,
        cookie_at: usize,
        base: &str,
    ) -> Self {
        if members.len() <= FEW {
            Self::Few { members: members.collect(), cookie_at }
        } else {
            Self::Many(Box::new(Many::new(members, cookie_at, base)))
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few { members, .. } => members.len(),
            Self::Many(many) => many.members.len(),
        }
    }

    /// Returns the number of members before the cookie.
    pub(super) fn cookie_at(&self) -> usize {
        match self {
            Self::Few { cookie_at, .. } => *cookie_at,
            Self::Many(many) => many.members.range(..many.cookie).count(),
        }
    }

    /// Returns the members in order: those of the list, or else those of the tree.
    pub(super) fn members(&self) -> (&[Member], Option<&BTreeMap<u64, Member>>) {
        match self {
            Self::Few { members, .. } => (members, None),
            Self::Many(many) => (&[], Some(&many.members)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        let (few, many) = self.members();
        few.iter().chain(many.into_iter().flat_map(BTreeMap::values))
    }

    pub(super) fn get(&self, key: &str, base: &str) -> Option<&Member> {
        match self {
            Self::Few { members, .. } => find(members, key, base).map(|at| &members[at]),
            Self::Many(many) => {
                many.places.get(&*normal_key(key)).map(|place| &many.members[place])
            }
        }
    }

    pub(super) fn get_mut(&mut self, key: &str, base: &str) -> Option<&mut Member> {
        match self {
            Self::Few { members, .. } => find(members, key, base).map(|at| &mut members[at]),
            Self::Many(many) => {
                let place = many.places.get(&*normal_key(key))?;
                many.members.get_mut(place)
            }
        }
    }

    /// Adds a member with a new key: an array index at its number, any other key at the end.
    pub(super) fn insert(&mut self, key: &str, member: Member, base: &str) {
        if let Self::Few { members, cookie_at } = self
            && members.len() == FEW
        {
            let many = Many::new(std::mem::take(members).into_iter(), *cookie_at, base);
            *self = Self::Many(Box::new(many));
        }
        match self {
            Self::Few { members, cookie_at } => {
                let at = match json::array_index(key) {
                    None => members.len(),
                    Some(new) => {
                        *cookie_at += 1;
                        let is_behind = |member: &Member| {
                            index(member.key.text(base)).is_none_or(|other| other > new)
                        };
                        members.iter().position(is_behind).unwrap_or(members.len())
                    }
                };
                members.insert(at, member);
            }
            Self::Many(many) => many.insert(normal_key(key).into(), member),
        }
    }

    /// Removes a member. Returns `false` if there is none.
    pub(super) fn remove(&mut self, key: &str, base: &str) -> bool {
        match self {
            Self::Few { members, cookie_at } => {
                let Some(at) = find(members, key, base) else { return false };
                members.remove(at);
                *cookie_at -= usize::from(at < *cookie_at);
                true
            }
            Self::Many(many) => {
                let place = many.places.remove(&*normal_key(key));
                place.and_then(|place| many.members.remove(&place)).is_some()
            }
        }
    }
}

impl Many {
    fn new(members: impl Iterator<Item = Member>, cookie_at: usize, base: &str) -> Self {
        let mut many = Self {
            members: BTreeMap::new(),
            places: BTreeMap::new(),
            cookie: 0,
            // Above every array index.
            next: 1 << 32,
        };
        for (at, member) in members.enumerate() {
            if at == cookie_at {
                many.cookie = many.end();
            }
            let mut normal = String::new();
            json::push_normal_string(member.key.text(base), &mut normal);
            many.insert(normal[1..normal.len() - 1].into(), member);
        }
        if cookie_at == many.members.len() {
            many.cookie = many.end();
        }
        many
    }

    fn end(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn insert(&mut self, key: Box<str>, member: Member) {
        let place = json::array_index(&key).map_or_else(|| self.end(), u64::from);
        self.places.insert(key, place);
        self.members.insert(place, member);
    }
}

fn find(members: &[Member], key: &str, base: &str) -> Option<usize> {
    members.iter().rposition(|member| is_key(member.key.text(base), key))
}

/// Returns the array index that a quoted key is.
fn index(quoted: &str) -> Option<u32> {
    json::unquote(quoted).and_then(|key| json::array_index(&key))
}

/// Checks whether a quoted key, which may have escapes, equals `key`.
pub(super) fn is_key(quoted: &str, key: &str) -> bool {
    #[cfg(test)]
    super::order::steps::count();
    let inner = &quoted[1..quoted.len() - 1];
    if inner == key {
        return !inner.contains('\\');
    }
    inner.contains('\\') && json::unquote(quoted).is_some_and(|text| text == key)
}

/// Returns a key as `JSON.stringify` writes it, without the quotes.
pub(super) fn normal_key(key: &str) -> Cow<'_, str> {
    if json::is_plain(key) {
        return Cow::Borrowed(key);
    }
    let mut quoted = String::with_capacity(key.len() + 8);
    json::quote(key, &mut quoted);
    Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
}
