use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use super::field::Field;
use super::*;
use crate::Timestamp;
use crate::record::{Corrupt, Document};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

/// Texts near the template. Each is read like any other, and a match is written back unchanged.
#[test]
fn reading_and_writing_with_a_template_equals_that_without() {
    let options = [
        Cookie::new(),
        Cookie::new().path("/a}b").domain("a.b").secure(true).partitioned(true),
        Cookie::new().priority(Priority::High).same_site(SameSite::Lax).http_only(false),
    ];
    let max_ages = r#"null 0 1 60000 -5 01 1e3 1. 1.5 999999999999999 1234567890123456 true "5""#;
    let dates = r#"null "2023-11-14T22:13:50.123Z" "2023-11-14" "garbage" "" "a\"b"
        "+012023-11-14T22:13:50.123Z" false 5 {}"#;
    for options in options {
        let cookie = StoredCookie::new(&options, NOW, false, true);
        let usual = CookieTemplate::new(&cookie);
        assert_eq!(usual.compose(&cookie).as_deref(), Some(&*cookie.text()));
        let text = cookie.text();
        assert_eq!(usual.match_prefix(&text), Some((cookie.clone(), text.len())));
        let both = |max_age| dates.split_whitespace().map(move |date| (max_age, date));
        for (max_age, date) in max_ages.split_whitespace().flat_map(both) {
            let text = cookie.text().replacen("null", max_age, 1);
            let (front, back) = text.split_at(text.find("\"expires\"").unwrap());
            let text = format!("{front}{}", back.replacen("null", date, 1));
            let around = [
                format!("{text} "),
                format!("{text}x"),
                text.replace('}', ",\"maxAge\":7}"),
                text[..text.len() - 1].to_owned(),
                text,
            ];
            for text in around {
                let read = match usual.match_prefix(&text) {
                    Some((cookie, end)) if end == text.len() => Ok(cookie),
                    _ => StoredCookie::parse(&text, NOW),
                };
                assert_eq!(read, StoredCookie::parse(&text, NOW), "{text}");
                let Ok(cookie) = read else { continue };
                assert_eq!(usual.text(&cookie), cookie.text(), "{text}");
            }
        }
    }
}

#[test]
fn template_matches_only_its_own_settings() {
    let cookie = StoredCookie::new(&Cookie::new(), NOW, false, true);
    let usual = CookieTemplate::new(&cookie);
    assert!(usual.is_printable(&cookie));
    let mut other = cookie;
    other.set_path("/other");
    assert_eq!((usual.compose(&other), usual.is_printable(&other)), (None, false));
    assert_eq!(usual.text(&other), other.text());
    let mut endless = usual.cookie(&Cookie::new(), NOW);
    endless.expires = Field::Date(None);
    assert!(!usual.is_printable(&endless));
    // Such a cookie is written without the member.
    let bare = StoredCookie::parse(r#"{"path":"/"}"#, NOW).unwrap();
    assert_eq!(CookieTemplate::new(&bare).compose(&bare), None);
    assert_eq!(CookieTemplate::new(&bare).text(&bare), bare.text());
}

/// Every pair of load-normalisation.txt, and another: the text that is stored, the one that is loaded, and the one after
/// a touch.
#[test]
fn stored_cookies_are_inflated_as_on_node() {
    let lines = include_str!("../../../../conformance/vectors/load-normalisation.txt").lines();
    let mut rows = vec![[
        r#"{"originalMaxAge":false,"expires":false,"sameSite":true,"path":["a", 1.0]}"#.to_owned(),
        r#"{"originalMaxAge":false,"expires":false,"httpOnly":true,"path":["a",1],"sameSite":true}"#.to_owned(),
        r#"{"originalMaxAge":false,"expires":false,"httpOnly":true,"path":["a",1],"sameSite":true}"#.to_owned(),
    ]];
    for lines in lines.collect::<Vec<_>>().windows(3) {
        let records = [(0, "IN "), (1, "LOADED "), (2, "TOUCH ")]
            .map(|(at, mark)| Document::parse(lines[at].strip_prefix(mark)?).ok());
        if let [Some(stored), Some(loaded), Some(touched)] = records {
            rows.push([stored, loaded, touched].map(|record| record.cookie_text().to_owned()));
        }
    }
    assert_eq!(rows.len(), 8);
    for [stored, loaded, touched] in rows {
        let mut cookie = StoredCookie::parse(&stored, NOW).unwrap();
        assert_eq!(cookie.text(), loaded);
        cookie.reset_expiry(NOW);
        assert_eq!(cookie.text(), touched);
    }
}

#[test]
fn cookie_for_which_express_session_throws_is_corrupt() {
    assert_eq!(
        StoredCookie::parse(r#"{"originalMaxAge":"60000"}"#, NOW),
        Err(Corrupt::BadCookie("originalMaxAge"))
    );
    for max_age in ["\"60000\"", "true", "{}"] {
        let stored = format!(r#"{{"maxAge":{max_age}}}"#);
        assert_eq!(StoredCookie::parse(&stored, NOW), Err(Corrupt::BadCookie("maxAge")));
    }
    assert!(StoredCookie::parse(r#"{"maxAge":false}"#, NOW).is_ok());
    for text in ["null", "5", "\"x\"", "[]"] {
        assert_eq!(StoredCookie::parse(text, NOW), Err(Corrupt::NoCookie), "{text}");
    }
}

#[test]
fn max_age_and_original_max_age_change_together() {
    let mut cookie = StoredCookie::new(&Cookie::new(), NOW, false, true);
    assert_eq!((cookie.max_age(NOW), cookie.original_max_age()), (None, None));
    let minute = Duration::from_secs(60);
    cookie.set_max_age(Some(minute), NOW);
    let later = NOW.saturating_add(Duration::from_secs(20));
    assert_eq!(cookie.max_age(later), Some(Duration::from_secs(40)));
    assert_eq!(cookie.original_max_age(), Some(minute));
    cookie.set_expires(Some(later.into()), NOW);
    assert_eq!(cookie.original_max_age(), Some(Duration::from_secs(20)));
    cookie.set_max_age(None, NOW);
    assert!(!cookie.has_expiry());
}

#[test]
fn setting_the_max_age_is_a_change_and_resetting_the_expiry_is_none() {
    let mut cookie =
        StoredCookie::new(&Cookie::new().max_age(Duration::from_secs(9)), NOW, false, true);
    let loaded = cookie.clone();
    cookie.reset_expiry(NOW.saturating_add(Duration::from_secs(5)));
    assert!(cookie != loaded && !cookie.is_changed_from(&loaded));
    cookie.set_same_site(Some(SameSite::Lax));
    assert!(cookie.is_changed_from(&loaded));
}

#[test]
fn time_beyond_javascripts_dates_is_an_invalid_date() {
    let mut cookie = StoredCookie::new(&Cookie::new(), NOW, false, true);
    cookie.set_max_age(Some(Duration::MAX), NOW);
    assert!(cookie.text().starts_with(r#"{"originalMaxAge":null,"expires":null,"#));
    assert!(cookie.has_expiry());
    assert_eq!((cookie.max_age(NOW), cookie.original_max_age()), (None, None));
}

#[test]
fn each_setter_sets_its_own_field() {
    let mut cookie = StoredCookie::parse("{}", NOW).unwrap();
    assert_eq!((cookie.http_only(), cookie.secure(), cookie.partitioned()), (true, false, false));
    cookie.set_path("/x");
    cookie.set_domain(Some("a.b".to_owned()));
    cookie.set_http_only(false);
    cookie.set_secure(true);
    cookie.set_same_site(Some(SameSite::None));
    cookie.set_partitioned(true);
    cookie.set_priority(Some(Priority::Medium));
    assert_eq!(
        cookie.text(),
        r#"{"partitioned":true,"priority":"medium","expires":null,"secure":true,"httpOnly":false,"domain":"a.b","path":"/x","sameSite":"none"}"#
    );
    assert_eq!((cookie.http_only(), cookie.secure(), cookie.partitioned()), (false, true, true));
    cookie.set_domain(None);
    cookie.set_same_site(None);
    cookie.set_priority(None);
    assert_eq!(
        cookie.text(),
        r#"{"partitioned":true,"expires":null,"secure":true,"httpOnly":false,"path":"/x"}"#
    );
}

#[test]
fn new_cookie_has_the_settings_of_its_options() {
    let options = Cookie::new()
        .path("/x")
        .domain("a.b")
        .expires(SystemTime::from(NOW.saturating_add(Duration::from_millis(5))))
        .http_only(false)
        .secure(false)
        .same_site(false)
        .partitioned(false)
        .priority(Priority::High);
    assert_eq!(
        StoredCookie::new(&options, NOW, true, true).text(),
        r#"{"originalMaxAge":5,"partitioned":false,"priority":"high","expires":"2023-11-14T22:13:20.128Z","secure":false,"httpOnly":false,"domain":"a.b","path":"/x","sameSite":false}"#
    );
}

#[test]
fn auto_is_resolved_by_the_connection() {
    let auto = Cookie::new().secure(Secure::Auto).same_site(SameSite::Auto);
    for (secure, resolve, written) in [
        (true, true, r#""secure":true,"httpOnly":true,"path":"/","sameSite":"none"}"#),
        (false, true, r#""secure":false,"httpOnly":true,"path":"/","sameSite":"lax"}"#),
        (true, false, r#""secure":"auto","httpOnly":true,"path":"/","sameSite":"auto"}"#),
    ] {
        let text = StoredCookie::new(&auto, NOW, secure, resolve).text();
        assert!(text.ends_with(written), "{text}");
    }
}

#[test]
fn every_field_is_read_and_written_in_the_order_of_node() {
    let text = r#"{"originalMaxAge":5,"partitioned":true,"priority":"low","expires":null,"secure":false,"httpOnly":false,"domain":"a.b","path":"/x","sameSite":"none"}"#;
    let cookie = StoredCookie::parse(text, NOW).unwrap();
    assert_eq!(cookie.text(), text);
    assert_eq!(cookie.original_max_age(), Some(Duration::from_millis(5)));
    assert_eq!((cookie.partitioned(), cookie.secure(), cookie.http_only()), (true, false, false));
    assert_eq!((cookie.domain(), cookie.path()), (Some("a.b"), Some("/x")));
    assert_eq!(cookie.priority(), Some(Priority::Low));
    assert_eq!(cookie.same_site(), Some(SameSite::None));
    assert_eq!((cookie.expires(), cookie.has_expiry()), (None, false));
}

#[test]
fn stored_max_age_counts_from_loading() {
    let cookie = StoredCookie::parse(r#"{"maxAge":5}"#, NOW).unwrap();
    let deadline = Timestamp::from_millis(NOW.millis() + 5);
    assert_eq!(cookie.deadline(), Some(deadline));
    assert_eq!(cookie.expires(), Some(SystemTime::from(deadline)));
}

#[test]
fn values_are_truthy_as_in_javascript() {
    for (value, is_truthy) in [
        ("null", false),
        ("false", false),
        ("0", false),
        ("-0", false),
        (r#""""#, false),
        ("true", true),
        ("1", true),
        ("-0.5", true),
        (r#""false""#, true),
        ("{}", true),
        ("[]", true),
    ] {
        assert_eq!(Field::parse(value).is_truthy(), is_truthy, "{value}");
    }
    assert!(!Field::Number(f64::NAN).is_truthy());
    assert!(!Field::Undefined.is_truthy());
    assert!(Field::Date(None).is_truthy());
}

#[test]
fn record_expires_at_a_date_or_a_number_other_than_zero() {
    for (expires, deadline) in [
        (r#""2023-11-14T22:13:20.123Z""#, Some(NOW)),
        ("1700000000123", Some(NOW)),
        ("0", None),
        ("9e15", None),
        ("true", None),
        ("null", None),
        (r#""garbage""#, None),
    ] {
        let cookie = StoredCookie::parse(&format!(r#"{{"expires":{expires}}}"#), NOW).unwrap();
        assert_eq!(cookie.deadline(), deadline, "{expires}");
    }
}

#[test]
fn same_site_is_a_known_word_or_a_boolean() {
    for (stored, same_site) in [
        ("true", Some(SameSite::On)),
        ("false", Some(SameSite::Off)),
        (r#""LAX""#, Some(SameSite::Lax)),
        (r#""strict""#, Some(SameSite::Strict)),
        (r#""none""#, Some(SameSite::None)),
        (r#""auto""#, Some(SameSite::Auto)),
        (r#""other""#, None),
        ("null", None),
    ] {
        let text = format!(r#"{{"sameSite":{stored}}}"#);
        assert_eq!(StoredCookie::parse(&text, NOW).unwrap().same_site(), same_site, "{stored}");
    }
}

#[test]
fn common_texts_need_no_copy() {
    for text in ["/", "lax", "high", ""] {
        let field = Field::parse(&format!("\"{text}\""));
        assert!(matches!(field, Field::Text(Cow::Borrowed(known)) if known == text), "{text}");
    }
    assert!(matches!(Field::parse("\"/admin\""), Field::Text(Cow::Owned(_))));
}
