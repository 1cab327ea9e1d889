//! The records at rest: their form, what a reader and a writer of the database can do, and keys that were rotated.

use express_session::MemoryStore;
use express_session::store::sealed::{SealKeys, SealedStore};
use express_session::store::{
    Created, Error, ErrorKind, Loaded, LockOutcome, LockToken, Record, Revision, Store, Touch,
    Touched, Updated,
};
use express_session_core::store::Admin;
use express_session_testkit::{Call, MapStore, Spy, Verb, block_on};

use super::{NOW, after, counted, create, everything, id, keys, name, record, text};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

fn sealed(map: &MapStore) -> SealedStore<MapStore> {
    SealedStore::new(map.clone(), keys(&[1]))
}

/// Fails unless it is [`ErrorKind::Corrupt`], and the error shows no id.
fn assert_corrupt<T: std::fmt::Debug>(answer: Result<T, Error>) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!format!("{error} {error:?}").contains("visitor"));
}

/// Replaces the text of a record in the store inside.
async fn rewrite(map: &MapStore, name: &express_session::SessionId, text: &str) {
    let Loaded { record, revision } = map.load(name, NOW).await.unwrap().unwrap();
    let record = Record { text: text.into(), ..record };
    let updated = map.update(name, &record, &revision, NOW).await.unwrap();
    assert!(matches!(updated, Updated::Done(_)));
}

#[test]
fn record_at_rest_is_a_session_record_with_its_cookie_and_nothing_else_to_read() {
    block_on(async {
        let map = MapStore::default();
        let id = id("visitor");
        let text = r#"{"7":"x","cookie":{"path":"/","expires":null},"user":"bob"}"#;
        create(&sealed(&map), &id, &record(text)).await;
        let (name, at_rest) = everything(&map).await.remove(0);
        let front = r#"{"cookie":{"path":"/","expires":null},"sealed":"v1."#;
        assert!(at_rest.text.starts_with(front), "{}", at_rest.text);
        assert_eq!(at_rest.deadline, after(3600));
        for secret in ["visitor", "bob", "user"] {
            assert!(!at_rest.text.contains(secret) && !name.as_str().contains(secret));
        }
        assert_eq!(name.as_str().len(), 43);
        assert_ne!(name, super::name(&keys(&[2]), &id), "another key, another name");
    });
}

#[test]
fn record_at_rest_is_longer_by_a_third_its_cookie_and_150_bytes() {
    block_on(async {
        let cookie = r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;
        for length in [0, 100, 10_000] {
            let map = MapStore::default();
            let text = format!(r#"{{"cookie":{cookie},"data":"{}"}}"#, "x".repeat(length));
            create(
                &sealed(&map),
                &express_session::SessionId::from_random([7; 24]),
                &record(&text),
            )
            .await;
            let (_, at_rest) = everything(&map).await.remove(0);
            let more = at_rest.text.len() - text.len() * 4 / 3 - cookie.len();
            assert!((140..=150).contains(&more), "{length}: {more}");
        }
    });
}

#[test]
fn text_that_is_no_record_is_unsuitable_and_is_not_kept() {
    block_on(async {
        let map = MapStore::default();
        let store = sealed(&map);
        for text in ["", " ", "{}", "[]", "null", "{\"cookie\":{}", "é"] {
            let error = store.create(&id("visitor"), &record(text), NOW).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsuitable, "{text}");
        }
        assert!(everything(&map).await.is_empty());
    });
}

#[test]
fn copied_changed_or_foreign_record_is_corrupt_and_stays() {
    block_on(async {
        let map = MapStore::default();
        let store = sealed(&map);
        let (one, other) = (id("visitor"), id("another visitor"));
        create(&store, &one, &counted(1)).await;
        create(&store, &other, &counted(2)).await;
        let [own, foreign] = [&one, &other].map(|id| name(&keys(&[1]), id));
        let good = map.load(&own, NOW).await.unwrap().unwrap().record.text;
        let copied = map.load(&foreign, NOW).await.unwrap().unwrap().record.text;
        let at = good.find("v1.").unwrap() + 3;
        let flipped = |at: usize| {
            let new = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            [&good[..at], new, &good[at + 1..]].concat()
        };
        for bad in [
            copied.to_string(),
            flipped(at),
            flipped(at + 20),
            flipped(good.len() - 20),
            good.replace("v1.", "v2."),
            good.replace("\"sealed\":", "\"other\":1,\"sealed\":"),
            format!("{}\"}}", &good[..at + 40]),
            r#"{"cookie":{},"n":1}"#.to_owned(),
            r#"{"cookie":{},"sealed":"v1.."}"#.to_owned(),
            r#"{"cookie":{},"sealed":7}"#.to_owned(),
            "garbage".to_owned(),
        ] {
            rewrite(&map, &own, &bad).await;
            for _ in 0..2 {
                assert_corrupt(store.load(&one, NOW).await);
            }
            assert_corrupt(store.update(&one, &counted(3), &Revision::new(0), NOW).await);
            let stays = map.load(&own, NOW).await.unwrap().unwrap().record.text;
            assert_eq!(*stays, bad, "it was changed");
            assert_eq!(store.create(&one, &counted(4), NOW).await.unwrap(), Created::Taken);
            let listed = everything(&store).await;
            assert_eq!(listed.len(), 1, "the listing goes on");
        }
        rewrite(&map, &own, &good).await;
        assert_eq!(text(&store, &one).await.as_deref(), Some(&*counted(1).text));
    });
}

#[test]
fn cookie_that_a_touch_replaced_comes_back_in_its_place() {
    block_on(async {
        let memory = MemoryStore::new();
        let store = SealedStore::new(memory, keys(&[1]));
        let id = id("visitor");
        create(&store, &id, &record(r#"{"7":"x","cookie":{"path":"/"},"b": 1.0 }"#)).await;
        let touch =
            Touch { replaces_cookie: true, ..Touch::new(r#"{"path":"/new"}"#, after(7200)) };
        assert_eq!(store.touch(&id, &touch, NOW).await.unwrap(), Touched::Done);
        let loaded = store.load(&id, NOW).await.unwrap().unwrap();
        assert_eq!(&*loaded.record.text, r#"{"7":"x","cookie":{"path":"/new"},"b": 1.0 }"#);
        assert_eq!(loaded.record.deadline, after(7200));
    });
}

#[test]
fn same_record_is_never_sealed_to_the_same_text() {
    block_on(async {
        let map = MapStore::default();
        let store = sealed(&map);
        let id = id("visitor");
        let revision = create(&store, &id, &counted(1)).await;
        let first = everything(&map).await.remove(0).1.text;
        store.update(&id, &counted(1), &revision, NOW).await.unwrap();
        assert_ne!(everything(&map).await.remove(0).1.text, first);
    });
}

#[test]
fn nothing_plain_is_returned_unless_it_is_accepted() {
    block_on(async {
        let map = MapStore::default();
        let id = id("visitor");
        create(&map, &id, &counted(1)).await;
        let store = sealed(&map);
        assert_eq!(text(&store, &id).await, None);
        assert_eq!(
            store.update(&id, &counted(2), &Revision::new(1), NOW).await.unwrap(),
            Updated::Gone
        );
        assert!(everything(&store).await.is_empty());
        let upgraded = store.upgrade(None, 10, NOW).await.unwrap();
        assert_eq!((upgraded.moved, upgraded.unreadable, upgraded.next), (0, 1, None));
        store.destroy(&id).await.unwrap();
        assert!(map.load(&id, NOW).await.unwrap().is_some(), "it is no record of this store");
        // Nor under the name at rest.
        create(&map, &name(&keys(&[1]), &id), &counted(3)).await;
        assert_corrupt(store.load(&id, NOW).await);
        assert_corrupt(store.clone().accept_plain(true).load(&id, NOW).await);
    });
}

#[test]
fn name_at_rest_is_no_id_even_if_plain_records_are_accepted() {
    block_on(async {
        let map = MapStore::default();
        let store = SealedStore::new(map.clone(), keys(&[1, 2])).accept_plain(true);
        for key in [1, 2] {
            let earlier = SealedStore::new(map.clone(), keys(&[key]));
            let id = id("visitor");
            create(&earlier, &id, &counted(1)).await;
            let stolen = name(&keys(&[key]), &id);
            let before = map.load(&stolen, NOW).await.unwrap();

            assert_eq!(text(&store, &stolen).await, None);
            let update = store.update(&stolen, &counted(2), &Revision::new(1), NOW).await.unwrap();
            assert_eq!(update, Updated::Gone);
            let touch = Touch::new("{}", after(1));
            assert_eq!(store.touch(&stolen, &touch, NOW).await.unwrap(), Touched::Gone);
            store.destroy(&stolen).await.unwrap();
            let holder = LockToken::from_random([1; 16]);
            store.lock(&stolen, holder, HOUR, NOW).await.unwrap();
            assert_eq!(map.load(&stolen, NOW).await.unwrap(), before, "it was changed");
            let other = LockToken::from_random([2; 16]);
            let locked = store.lock(&id, other, HOUR, NOW).await.unwrap();
            assert!(matches!(locked, LockOutcome::Acquired(_)), "it locked another session");

            let fresh = create(&store, &stolen, &counted(5)).await;
            assert_eq!(store.load(&stolen, NOW).await.unwrap().unwrap().revision, fresh);
            assert_eq!(map.load(&stolen, NOW).await.unwrap(), before, "it was changed");
            store.clear().await.unwrap();
            store.unlock(&id, other).await.unwrap();
            store.unlock(&stolen, holder).await.unwrap();
        }
    });
}

#[test]
fn plain_record_whose_id_has_the_form_of_a_name_is_a_session() {
    block_on(async {
        let map = MapStore::default();
        let id = name(&keys(&[7]), &id("any"));
        create(&map, &id, &counted(1)).await;
        let store = SealedStore::new(map.clone(), keys(&[1])).accept_plain(true);
        assert!(text(&store, &id).await.is_some());
        assert_eq!(store.upgrade(None, 10, NOW).await.unwrap().moved, 1);
        assert!(text(&sealed(&map), &id).await.is_some());
        store.destroy(&id).await.unwrap();
        assert!(everything(&map).await.is_empty());
        // A session of today, long after the time of these tests.
        let today = Record { deadline: None, ..counted(1) };
        create(&map, &id, &today).await;
        store.destroy(&id).await.unwrap();
        assert!(everything(&map).await.is_empty());
    });
}

#[test]
fn plain_record_with_a_member_of_its_own_named_sealed_is_loaded() {
    block_on(async {
        let map = MapStore::default();
        let store = SealedStore::new(map.clone(), keys(&[1])).accept_plain(true);
        for (number, text) in [
            r#"{"cookie":{},"sealed":true}"#,
            r#"{"cookie":{},"sealed":"v1.0"}"#,
            r#"{"cookie":{},"sealed":"v1.a.b","n":1}"#,
        ]
        .into_iter()
        .enumerate()
        {
            let id = id(&format!("visitor-{number}"));
            create(&map, &id, &record(text)).await;
            assert_eq!(super::text(&store, &id).await.as_deref(), Some(text));
            store.upgrade(None, 10, NOW).await.unwrap();
            assert_eq!(super::text(&sealed(&map), &id).await.as_deref(), Some(text));
        }
    });
}

#[test]
fn record_of_an_older_key_is_found_updated_and_upgraded() {
    block_on(async {
        let map = MapStore::default();
        let id = id("visitor");
        create(&SealedStore::new(map.clone(), keys(&[2])), &id, &counted(1)).await;
        assert_eq!(text(&sealed(&map), &id).await, None);

        let both = SealedStore::new(map.clone(), keys(&[1, 2]));
        let loaded = both.load(&id, NOW).await.unwrap().unwrap();
        let updated = both.update(&id, &counted(2), &loaded.revision, NOW).await.unwrap();
        let Updated::Done(revision) = updated else { panic!("{updated:?}") };
        // A process that does not know the newest key reads it still.
        let earlier = SealedStore::new(map.clone(), keys(&[2]));
        assert_eq!(text(&earlier, &id).await.as_deref(), Some(&*counted(2).text));

        assert_eq!(both.upgrade(None, 10, NOW).await.unwrap().moved, 1);
        let updated = both.update(&id, &counted(3), &revision, NOW).await.unwrap();
        let Updated::Conflict(current) = updated else { panic!("{updated:?}") };
        assert_eq!(current.record, counted(2));
        let updated = both.update(&id, &counted(4), &current.revision, NOW).await.unwrap();
        assert!(matches!(updated, Updated::Done(_)));
        assert_eq!(text(&sealed(&map), &id).await.as_deref(), Some(&*counted(4).text));
        assert_eq!(text(&earlier, &id).await, None);
        assert_eq!(both.upgrade(None, 10, NOW).await.unwrap().moved, 0);
    });
}

#[test]
fn revision_of_an_older_place_never_stands_for_a_record_of_the_current_one() {
    block_on(async {
        // Two stores inside give the same revision to different records.
        let map = MapStore::default();
        let id = id("visitor");
        create(&map, &id, &counted(1)).await;
        let store = SealedStore::new(map.clone(), keys(&[1])).accept_plain(true);
        let older = store.load(&id, NOW).await.unwrap().unwrap().revision;
        let inside = map.load(&id, NOW).await.unwrap().unwrap().revision;
        assert_ne!(older, inside);
        assert_eq!(older.number(), None);
    });
}

#[test]
fn upgrade_goes_page_by_page_and_counts_what_it_cannot_read() {
    block_on(async {
        let map = MapStore::default();
        let earlier = SealedStore::new(map.clone(), keys(&[2]));
        for number in 0..20 {
            create(&map, &id(&format!("plain-{number}")), &counted(number)).await;
            create(&earlier, &id(&format!("older-{number}")), &counted(number)).await;
            create(&sealed(&map), &id(&format!("new-{number}")), &counted(number)).await;
        }
        create(&SealedStore::new(map.clone(), keys(&[9])), &id("unknown key"), &counted(0)).await;
        create(&map, &id("not a record"), &record("garbage")).await;
        let store = SealedStore::new(map.clone(), keys(&[1, 2])).accept_plain(true);
        let (mut after, mut moved, mut unreadable) = (None, 0, 0);
        loop {
            let page = store.upgrade(after, 7, NOW).await.unwrap();
            moved += page.moved;
            unreadable += page.unreadable;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((moved, unreadable), (40, 2));
        let rest = everything(&sealed(&map)).await;
        assert_eq!((rest.len(), everything(&map).await.len()), (60, 62));
        for number in 0..20 {
            for kind in ["plain", "older", "new"] {
                let id = id(&format!("{kind}-{number}"));
                assert_eq!(text(&sealed(&map), &id).await.as_deref(), Some(&*counted(number).text));
            }
        }
    });
}

#[test]
fn store_with_one_key_makes_the_calls_of_the_store_inside() {
    block_on(async {
        let spy = Spy::new(MapStore::default());
        let store = SealedStore::new(spy.clone(), keys(&[1]));
        let id = id("visitor");
        let revision = create(&store, &id, &counted(1)).await;
        store.load(&id, NOW).await.unwrap();
        store.update(&id, &counted(2), &revision, NOW).await.unwrap();
        store.update(&id, &counted(2), &revision, NOW).await.unwrap();
        let touch = Touch::new("{}", after(60));
        store.touch(&id, &touch, NOW).await.unwrap();
        let holder = LockToken::from_random([1; 16]);
        store.lock(&id, holder, HOUR, NOW).await.unwrap();
        store.update_locked(&id, &counted(2), &revision, holder, NOW).await.unwrap();
        store.unlock(&id, holder).await.unwrap();
        store.destroy(&id).await.unwrap();
        store.load(&id, NOW).await.unwrap();
        store.update(&id, &counted(2), &revision, NOW).await.unwrap();
        let name = name(&keys(&[1]), &id);
        assert!(spy.calls().iter().all(|call: &Call| *call.id() == name));
        assert_eq!(
            spy.verbs(),
            [
                Verb::Create,
                Verb::Load,
                Verb::Update,
                Verb::Update,
                Verb::Touch,
                Verb::Lock,
                Verb::UpdateLocked,
                Verb::Unlock,
                Verb::Destroy,
                Verb::Load,
                Verb::Update,
            ]
        );
    });
}

#[test]
fn session_at_its_current_name_is_loaded_and_updated_in_one_call_each() {
    block_on(async {
        let spy = Spy::new(MapStore::default());
        let store = SealedStore::new(spy.clone(), keys(&[1, 2])).accept_plain(true);
        let id = id("visitor");
        let revision = create(&store, &id, &counted(1)).await;
        let _ = spy.take_calls();
        store.load(&id, NOW).await.unwrap();
        store.update(&id, &counted(2), &revision, NOW).await.unwrap();
        assert_eq!(spy.verbs(), [Verb::Load, Verb::Update]);
    });
}

#[test]
fn failure_of_the_store_inside_is_passed_on() {
    block_on(async {
        let spy = Spy::new(MapStore::default());
        let store = SealedStore::new(spy.clone(), keys(&[1, 2])).accept_plain(true);
        spy.fail(|_| Some(Error::new(ErrorKind::Unavailable, "pulled the plug")));
        let (id, revision) = (id("visitor"), Revision::new(1));
        let touch = Touch::new("{}", after(60));
        let holder = LockToken::from_random([1; 16]);
        for kind in [
            store.load(&id, NOW).await.map(drop).unwrap_err().kind(),
            store.create(&id, &counted(1), NOW).await.map(drop).unwrap_err().kind(),
            store.update(&id, &counted(1), &revision, NOW).await.map(drop).unwrap_err().kind(),
            store.touch(&id, &touch, NOW).await.map(drop).unwrap_err().kind(),
            store.destroy(&id).await.unwrap_err().kind(),
            store.lock(&id, holder, HOUR, NOW).await.map(drop).unwrap_err().kind(),
            store.unlock(&id, holder).await.unwrap_err().kind(),
        ] {
            assert_eq!(kind, ErrorKind::Unavailable);
        }
    });
}

#[test]
fn nothing_secret_prints() {
    let store = sealed(&MapStore::default());
    assert_eq!(
        format!("{store:?}"),
        "SealedStore { keys: SealKeys(redacted, 1), accept_plain: false, .. }"
    );
}

/// A row of `sealed.json`, which was made by another implementation, and which the npm package's tests read too.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    key: String,
    id: String,
    record: String,
    name: String,
    at_rest: String,
}

#[test]
fn record_that_another_implementation_sealed_is_opened() {
    block_on(async {
        let vectors = include_str!("../../../../../conformance/vectors/sealed.json");
        let vectors: Vec<Vector> = serde_json::from_str(vectors).unwrap();
        assert_eq!(vectors.len(), 2);
        for vector in vectors {
            let map = MapStore::default();
            create(&map, &id(&vector.name), &record(&vector.at_rest)).await;
            let keys = SealKeys::new([vector.key]).unwrap();
            let store = SealedStore::new(map.clone(), keys);
            let session = id(&vector.id);
            assert_eq!(text(&store, &session).await, Some(vector.record));
            // And what is sealed here has that name.
            store.destroy(&session).await.unwrap();
            create(&store, &session, &counted(1)).await;
            assert_eq!(everything(&map).await.remove(0).0.as_str(), vector.name);
        }
    });
}
