//! The promises that visitors got, and the truth that must follow.
//!
//! A change is *sent* when a handler makes it, and *acknowledged* when a visitor learns that it is
//! kept: a `save` that succeeded, or a response that left. An acknowledged change must be there, unless its
//! session was ended; what was never sent must not.

use std::collections::{BTreeMap, BTreeSet};

use express_session::Timestamp;
use serde_json::Value;

/// A change to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Insert(u64),
    Share(u64),
    Count,
    Push(u64),
    Remove(u64),
    /// A step of a sum that is read and written under a lock.
    Till,
}

/// Whether a session was ended: by `destroy`, `unset` or `regenerate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    #[default]
    No,
    /// A request tried, and got no success.
    Perhaps,
    Yes,
}

/// The knowledge about each session, by the id that it began with.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: BTreeMap<String, Account>,
    /// From each id that a renewal gave to the one before.
    pub(crate) renewed: BTreeMap<String, String>,
}

/// The knowledge about one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) visitor: usize,
    pub(crate) ended: Ended,
    /// Since when a browser has its cookie.
    pub(crate) known: Option<Timestamp>,
    pub(crate) acknowledged: Changes,
    sent: Changes,
    /// The number of writes in doubt that were made again.
    pub(crate) retried: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    inserted: BTreeSet<u64>,
    shared: BTreeSet<u64>,
    counted: u64,
    pushed: BTreeSet<u64>,
    removed: BTreeSet<u64>,
    till: u64,
}

impl Changes {
    pub(crate) fn count(&self) -> u64 {
        let sets = [&self.inserted, &self.shared, &self.pushed, &self.removed];
        let tokens: usize = sets.iter().map(|set| set.len()).sum();
        tokens as u64 + self.counted + self.till
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Insert(token) => drop(self.inserted.insert(token)),
            Change::Share(token) => drop(self.shared.insert(token)),
            Change::Count => self.counted += 1,
            Change::Push(token) => drop(self.pushed.insert(token)),
            Change::Remove(token) => drop(self.removed.insert(token)),
            Change::Till => self.till += 1,
        }
    }
}

impl Ledger {
    pub(crate) fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(self.first(id))
    }

    /// Returns the id that the session of this one began with.
    pub(crate) fn first<'a>(&'a self, mut id: &'a str) -> &'a str {
        while let Some(before) = self.renewed.get(id) {
            id = before;
        }
        id
    }

    pub(crate) fn open(&mut self, id: &str, visitor: usize) -> &mut Account {
        let first = self.first(id).to_owned();
        self.accounts.entry(first).or_insert_with(|| Account { visitor, ..Account::default() })
    }

    pub(crate) fn sent(&mut self, id: &str, visitor: usize, change: Change) {
        self.open(id, visitor).sent.note(change);
    }

    pub(crate) fn acknowledged(&mut self, id: &str, visitor: usize, changes: &[Change]) {
        let account = self.open(id, visitor);
        changes.iter().for_each(|change| account.acknowledged.note(*change));
    }

    pub(crate) fn ended(&mut self, id: &str, visitor: usize, ended: Ended) {
        let account = self.open(id, visitor);
        account.ended = account.ended.max(ended);
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.accounts.iter().map(|(id, account)| (id.as_str(), account))
    }
}

impl Account {
    /// Compares what is there with what must be: `told` is what had been acknowledged before it was
    /// looked at.
    pub(crate) fn check(&self, members: &BTreeMap<String, Value>, told: &Changes) -> Vec<String> {
        let mut wrong = Vec::new();
        let number = |key: &str| members.get(key).map_or(0, |value| value.as_u64().unwrap());
        if let Some(owner) = members.get("owner")
            && owner.as_u64() != Some(self.visitor as u64)
        {
            wrong.push(format!("visitor {} sees the data of visitor {owner}", self.visitor));
        }
        for token in &told.inserted {
            let is_there = members.contains_key(&format!("m{token}"));
            if !is_there && !self.sent.removed.contains(token) {
                wrong.push(format!("member m{token} is lost"));
            }
        }
        for token in &told.removed {
            if members.contains_key(&format!("m{token}")) {
                wrong.push(format!("member m{token} is there again after it was removed"));
            }
        }
        for key in members.keys() {
            if let Some(token) = key.strip_prefix('m')
                && !self.sent.inserted.contains(&token.parse().unwrap())
            {
                wrong.push(format!("member {key} was never put into this session"));
            }
        }
        if let Some(shared) = members.get("shared")
            && !self.sent.shared.contains(&shared.as_u64().unwrap())
        {
            wrong.push(format!("member shared has a value that no visitor sent: {shared}"));
        }
        if !told.shared.is_empty() && !members.contains_key("shared") {
            wrong.push("member shared is lost".to_owned());
        }
        let mut list: Vec<u64> = Vec::new();
        if let Some(Value::Array(pushed)) = members.get("list") {
            list.extend(pushed.iter().map(|token| token.as_u64().unwrap()));
        }
        for token in &told.pushed {
            if !list.contains(token) {
                wrong.push(format!("list element {token} is lost"));
            }
        }
        for (at, token) in list.iter().enumerate() {
            if !self.sent.pushed.contains(token) {
                wrong.push(format!("list element {token} was never pushed"));
            }
            if list[..at].contains(token) {
                wrong.push(format!("list element {token} is there twice"));
            }
        }
        for (key, told, sent) in
            [("n", told.counted, self.sent.counted), ("till", told.till, self.sent.till)]
        {
            let there = number(key);
            if there < told {
                wrong.push(format!("{key} is {there}, and {told} updates were acknowledged"));
            }
            if there > sent {
                wrong.push(format!("{key} is {there}, and only {sent} updates were sent"));
            }
        }
        wrong
    }
}

/// Reads the members of a record.
pub(crate) fn members(text: &str) -> BTreeMap<String, Value> {
    let mut members: BTreeMap<String, Value> = serde_json::from_str(text).unwrap();
    members.remove("cookie");
    members
}
