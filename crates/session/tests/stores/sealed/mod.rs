//! The sealed store: its laws over other stores, its format at rest, and moves between other calls.

mod format;
mod laws;
mod moves;

use std::collections::BTreeMap;
use std::sync::Mutex;

use express_session::store::sealed::{SealKeys, SealedStore};
use express_session::store::{Admin, Created, Loaded, Record, Revision, Store};
use express_session::{SessionId, Timestamp};
use express_session_testkit::{MapStore, block_on};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A time at which a record of these tests ends.
fn after(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(NOW.millis() + seconds * 1000))
}

/// The newest of these keys is the first one. Kept, because checking a secret takes longer than all else.
fn keys(numbers: &[u8]) -> SealKeys {
    static KEYS: Mutex<BTreeMap<Vec<u8>, SealKeys>> = Mutex::new(BTreeMap::new());
    let new = || SealKeys::new(numbers.iter().map(|number| secret(*number))).unwrap();
    KEYS.lock().unwrap().entry(numbers.to_vec()).or_insert_with(new).clone()
}

/// A secret that looks random, the same in each run.
fn secret(number: u8) -> Vec<u8> {
    let mut state = u32::from(number) + 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(32).collect()
}

fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

fn record(text: &str) -> Record {
    Record { text: text.into(), deadline: after(3600) }
}

fn counted(number: u32) -> Record {
    record(&format!(r#"{{"cookie":{{"path":"/"}},"n":{number}}}"#))
}

fn count_in(loaded: &Loaded) -> u32 {
    let document = express_session::Document::parse(loaded.record.text.clone()).unwrap();
    document.get("n").unwrap().unwrap()
}

async fn create(store: &impl Store, id: &SessionId, record: &Record) -> Revision {
    match store.create(id, record, NOW).await.unwrap() {
        Created::Done(revision) => revision,
        Created::Taken => panic!("taken"),
    }
}

async fn text(store: &impl Store, id: &SessionId) -> Option<String> {
    let loaded = store.load(id, NOW).await.unwrap();
    loaded.map(|loaded| String::from(&*loaded.record.text))
}

/// Returns what a store has.
async fn everything(store: &impl Admin) -> Vec<(SessionId, Record)> {
    store.list(None, 1000, NOW).await.unwrap().sessions
}

/// Returns the name at rest of a session under a key.
fn name(keys: &SealKeys, id: &SessionId) -> SessionId {
    block_on(async {
        let map = MapStore::default();
        create(&SealedStore::new(map.clone(), keys.clone()), id, &counted(0)).await;
        everything(&map).await.remove(0).0
    })
}
