//! Loading and touching in one step comes to the same as one after the other.

use express_session::store::{LoadedAndTouched, Store as _, Touch};

use super::support::{Db, NOW, after, create, fresh, id, load, record, store};
use crate::sql::Database as _;

/// Cookies, and whether the server can tell what becomes of them.
const COOKIES: [(&str, bool); 24] = [
    (r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:13:21.000Z"}"#, true),
    (r#"{"originalMaxAge":60001}"#, true),
    (r#"{"originalMaxAge":59999.7}"#, true),
    (r#"{"originalMaxAge":0}"#, true),
    (r#"{"originalMaxAge":-5000}"#, true),
    (r#"{"originalMaxAge":-999999999999999}"#, true),
    (r#"{"originalMaxAge":999999999999999}"#, true),
    (r#"{"originalMaxAge":60000,"originalMaxAge":120000}"#, true),
    (r#"{ "originalMaxAge" : 60000 }"#, true),
    (r#"{"originalMaxAge":null,"expires":null}"#, true),
    (r#"{}"#, true),
    (r#"{"maxAge":60000}"#, true),
    (r#"{"originalMaxAge":6e4}"#, false),
    (r#"{"originalMaxAge":1e400}"#, false),
    (r#"{"originalMaxAge":99999999999999999999}"#, false),
    (r#"{"originalMaxAge":false}"#, false),
    (r#"{"originalMaxAge":""}"#, false),
    (r#"{"originalMaxAge":true}"#, false),
    (r#"{"originalMaxAge":"60000"}"#, false),
    (r#"{"originalMaxAge":[60000]}"#, false),
    (r#"{"originalMaxAge":{}}"#, false),
    ("[]", false),
    ("null", false),
    ("60000", false),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_gives_what_a_load_and_a_touch_give() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    for now in [NOW, after(1), after(999)] {
        for (cookie, is_told) in COOKIES {
            let text = format!(r#"{{"a":{{"cookie":1}},"cookie":{cookie},"b":2}}"#);
            let (one, other) = (fresh("one"), fresh("other"));
            create(&store, &one, &record(&text, after(5000))).await;
            create(&store, &other, &record(&text, after(5000))).await;

            let renewed = store.load_and_touch(&id(&one), now).await.unwrap().unwrap();
            let LoadedAndTouched { loaded, is_touched } = renewed;
            assert_eq!(is_touched, is_told, "{text}");
            assert_eq!(&*loaded.record.text, text);
            // A record that expires immediately cannot be loaded again.
            let kept = load(&store, &one, now).await;
            assert!(kept.is_none_or(|kept| kept == loaded), "{text}");

            match Touch::renewing(&text, now) {
                Some(touch) if is_told => {
                    store.touch(&id(&other), &touch, now).await.unwrap();
                    assert_eq!(
                        load(&store, &other, now).await.map(|loaded| loaded.record.deadline),
                        load(&store, &one, now).await.map(|loaded| loaded.record.deadline),
                        "{text}",
                    );
                }
                Some(_) | None => {
                    assert!(!is_touched, "{text}");
                    assert_eq!(loaded.record.deadline, Some(after(5000)), "{text}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_that_the_server_cannot_parse_is_loaded_all_the_same() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    for text in [
        r#"{"cookie":{"originalMaxAge":60000},"a":"\u0000"}"#,
        r#"{"cookie":{"originalMaxAge":60000},"a":"\ud800"}"#,
        r#"{"cookie":{"originalMaxAge":60000},"\u0000":1}"#,
        r#"{"a":1}"#,
        "[]",
        "1",
        "null",
        r#""cookie""#,
    ] {
        let name = fresh("id");
        create(&store, &name, &record(text, after(5000))).await;
        let loaded = load(&store, &name, NOW).await.unwrap();
        let renewed = store.load_and_touch(&id(&name), NOW).await.unwrap();
        assert_eq!(renewed, Some(LoadedAndTouched { loaded, is_touched: false }), "{text}");
    }
}
