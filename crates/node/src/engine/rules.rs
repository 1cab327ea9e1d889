//! The decisions about a session, as a table that is transferred once for each middleware.
//!
//! JavaScript determines the facts, adds their numbers, and reads the plan at that index. A request so
//! decides without a call into Rust, and the decisions stay in `express_session_core::decide`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::decide::{
    self, Attributes, CookieAction, CookieMatch, Data, Expiry, Facts, Fault, Lifecycle, OnFailure,
    Origin, Plan, Reach, RecordStatus, Saved, Step, StoreAction,
};
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::policy::{
    AtLimit, ClientDetail, ClientNotes, Limits, MaxSessions, OnConflict, OnMismatch, Renewal,
    SaveTime, TouchAfter,
};
use express_session_core::record::Json;
use express_session_core::session::Context;
use express_session_core::store::Lifetime;
use express_session_core::{Departures, Policy, SessionId, Unset};
use napi::bindgen_prelude::Uint8Array;
use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::store::time;

const SESSIONS: [(&str, Lifecycle); 4] = [
    ("live", Lifecycle::Live),
    ("unset", Lifecycle::Unset),
    ("destroyed", Lifecycle::Destroyed),
    ("unread", Lifecycle::Unread),
];
const IDS: [(&str, CookieMatch); 4] = [
    ("unknown", CookieMatch::Unknown),
    ("other", CookieMatch::Other),
    ("presented", CookieMatch::Presented),
    ("renewed", CookieMatch::Renewed),
];
const ORIGINS: [(&str, Origin); 3] =
    [("new", Origin::New), ("loaded", Origin::Loaded), ("regenerated", Origin::Regenerated)];
const DATA: [(&str, Data); 2] = [("same", Data::Same), ("changed", Data::Changed)];
const ATTRIBUTES: [(&str, Attributes); 3] =
    [("same", Attributes::Same), ("changed", Attributes::Changed), ("saved", Attributes::Saved)];
const SAVED: [(&str, Saved); 4] = [
    ("never", Saved::Never),
    ("stale", Saved::Stale),
    ("current", Saved::Current),
    ("committed", Saved::Committed),
];
const RECORDS: [(&str, RecordStatus); 5] = [
    ("absent", RecordStatus::Absent),
    ("touchable", RecordStatus::Touchable),
    ("touched", RecordStatus::Touched),
    ("untouchable", RecordStatus::Untouchable),
    ("renewable", RecordStatus::Renewable),
];
const EXPIRIES: [(&str, Expiry); 2] = [("none", Expiry::None), ("some", Expiry::Some)];
const REACHES: [(&str, Reach); 5] = [
    ("open", Reach::Open),
    ("insecure", Reach::Insecure),
    ("unprintable", Reach::Unprintable),
    ("sent", Reach::Sent),
    ("late", Reach::Late),
];
const STORES: [(&str, StoreAction); 5] = [
    ("keep", StoreAction::Keep),
    ("write", StoreAction::Write),
    ("touch", StoreAction::Touch),
    ("destroy", StoreAction::Destroy),
    ("renew", StoreAction::Renew),
];
/// The number of the second action on the cookie: a power of two, so that JavaScript masks each part of a plan.
const COOKIE_STEP: usize = STORES.len().next_power_of_two();
const COOKIES: [(&str, CookieAction); 4] = [
    ("keep", CookieAction::Keep),
    ("send", CookieAction::Send),
    ("expire", CookieAction::Expire),
    ("withhold", CookieAction::Withhold),
];

/// The departures that are not available for Node, each with the reason.
const ELSEWHERE: [(&str, &str); 6] = [
    ("lazyLoad", "req.session is loaded before the handler runs"),
    ("forwarded", "of the proxy headers, only X-Forwarded-Proto is read"),
    ("layersByName", "a request has only one req.session"),
    ("verbatim", "req.session is made of the parsed record"),
    ("browserRules", "the cookie may change until the response ends"),
    ("cacheHeaders", "the headers belong to the application"),
];

/// The departures that need a store of the addon: others have no conditional writes.
const NATIVE: [&str; 3] = ["destroyIsFinal", "uniqueIds", "mergeChanges"];

/// The departures that the option `integrity` turns on.
const INTEGRITY: [&str; 5] =
    ["saveBeforeResponse", "destroyIsFinal", "uniqueIds", "reportStoreErrors", "mergeChanges"];

/// Numbers by name, which lib/request-session.js looks up.
type Names = HashMap<&'static str, HashMap<&'static str, u32>>;

/// Returns the number of every fact. The sum of the facts' numbers is the index of their plan.
#[napi(catch_unwind)]
#[must_use]
pub fn facts() -> Names {
    let mut weight = 1;
    let mut numbered = |names: Vec<&'static str>| {
        let step = weight;
        weight *= names.len() as u32;
        names.into_iter().zip(0..).map(|(name, place): (_, u32)| (name, place * step)).collect()
    };
    // The order of `facts_of`.
    HashMap::from([
        ("reach", numbered(names(&REACHES))),
        ("expiry", numbered(names(&EXPIRIES))),
        ("record", numbered(names(&RECORDS))),
        ("saved", numbered(names(&SAVED))),
        ("attributes", numbered(names(&ATTRIBUTES))),
        ("data", numbered(names(&DATA))),
        ("origin", numbered(names(&ORIGINS))),
        ("id", numbered(names(&IDS))),
        ("session", numbered(names(&SESSIONS))),
    ])
}

/// Returns the number of every action: a plan is the sum of one for the store and one for the cookie.
#[napi(catch_unwind)]
#[must_use]
pub fn steps() -> Names {
    let numbered = |names: Vec<&'static str>, step: u32| {
        names.into_iter().zip(0..).map(|(name, place): (_, u32)| (name, place * step)).collect()
    };
    let cookies = numbered(names(&COOKIES), COOKIE_STEP as u32);
    HashMap::from([("store", numbered(names(&STORES), 1)), ("cookie", cookies)])
}

/// The options that the decisions depend on.
#[napi(object, object_to_js = false)]
#[derive(Debug)]
pub struct Options {
    /// As express-session's.
    pub resave: bool,
    /// As express-session's.
    pub rolling: bool,
    /// As express-session's.
    pub save_uninitialized: bool,
    /// Whether `unset` is `destroy`.
    pub unset_destroys: bool,
    /// The names of the departures that are on.
    pub departures: Vec<String>,
    /// Whether those of integrity are on too.
    pub integrity: bool,
    /// `touchAfter` in milliseconds, which turns the throttle on.
    pub touch_after: Option<f64>,
    /// Whether the store is one of the addon.
    pub is_native: bool,
    /// Whether each record has the library's own member.
    pub metadata: bool,
    /// The name of that member, if it is not the usual one.
    pub metadata_member: Option<String>,
    /// The longest time between two visits, in milliseconds.
    pub idle_timeout: Option<f64>,
    /// The longest life of a session, in milliseconds.
    pub absolute_timeout: Option<f64>,
    /// How much of a client's address is noted, if it is: `shortened` or `full`.
    pub client_address: Option<String>,
    /// The same of the user agent.
    pub user_agent: Option<String>,
    /// Whether a logout makes the browser clear the site's data.
    pub clear_site_data: bool,
    /// The age of an id at which a request renews it, in milliseconds.
    pub renew_after: Option<f64>,
    /// How long the old id leads to the session, in milliseconds.
    pub renewal_grace: Option<f64>,
    /// How many sessions a user may have.
    pub max_sessions: Option<u32>,
    /// Whether a login beyond that ends the session with the earliest visit, and is not refused.
    pub ends_least_recently_used: Option<bool>,
    /// Whether users have epochs.
    pub user_epoch: bool,
}

/// The options, for the sessions of a middleware whose store is one of the addon.
#[napi]
#[derive(Debug)]
pub struct SessionPolicy(pub(crate) Arc<Settings>);

impl SessionPolicy {
    /// Notes how long the store keeps a record after each reset of its expiry.
    pub(crate) fn describe(&mut self, lifetime: Lifetime) {
        Arc::make_mut(&mut self.0).lifetime = lifetime;
    }
}

/// The common part of a middleware's sessions.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    member: MemberName,
    /// How long the store keeps a record after each reset of its expiry.
    lifetime: Lifetime,
}

impl Settings {
    /// Returns the context of a request, with its policy or another one.
    pub(crate) fn context<'a>(&'a self, policy: &'a Policy) -> Context<'a> {
        self.context_of(policy, None)
    }

    /// Returns the same, of a request whose cookie has this id.
    pub(crate) fn context_of<'a>(
        &'a self,
        policy: &'a Policy,
        presented: Option<&'a SessionId>,
    ) -> Context<'a> {
        let (member, lifetime) = (&self.member, self.lifetime);
        Context { member, lifetime, presented, ..Context::new(policy, NAME) }
    }

    /// Asks for the sessions of a user.
    pub(crate) fn user_query(&self, user: Json) -> UserQuery {
        UserQuery::new(user, self.member.clone())
    }
}

/// The session's name counts for nothing here: JavaScript has the cookie.
const NAME: &str = "connect.sid";

#[napi]
impl SessionPolicy {
    /// Reads the options.
    ///
    /// # Errors
    ///
    /// Those of [`rules`].
    #[napi(constructor, catch_unwind)]
    pub fn new(options: Options) -> Result<Self> {
        let (policy, member) = (policy(&options)?, member(&options)?);
        Ok(Self(Arc::new(Settings { policy, member, lifetime: Lifetime::OfMaxAge })))
    }
}

/// The rules of a middleware.
#[napi(object, object_from_js = false)]
#[allow(missing_debug_implementations, reason = "an array of JavaScript's has none")]
pub struct Rules {
    /// The plan of every sum of facts.
    pub table: Uint8Array,
    /// Whether `destroy` is called for a session that was never stored.
    pub destroys_unstored: bool,
    /// Whether an explicit save resets the expiry.
    pub save_renews: bool,
    /// Whether the store is called before the response is sent.
    pub commits_early: bool,
    /// Whether paths match as in browsers.
    pub path_match: bool,
    /// How many cookies of the name are read.
    pub candidates: u32,
    /// Whether `auto` is also resolved if the cookie option is a function.
    pub cookie_function_auto: bool,
    /// Whether a change of the cookie alone is saved.
    pub cookie_changes_saved: bool,
    /// Whether a session whose cookie cannot be sent is not stored.
    pub skip_unreachable_sessions: bool,
    /// Whether the browser is made to delete the cookie of a destroyed session.
    pub clear_cookie: bool,
    /// Whether a failure of the store leaves the session unchanged.
    pub report_store_errors: bool,
    /// Whether `destroy` and `regenerate` are tracked.
    pub watches_end: bool,
    /// Whether the addon has the sessions, and writes what they have changed.
    pub has_sessions: bool,
    /// Whether a session that is only read is touched only every so often: see [`next_touch`].
    pub throttles_touch: bool,
    /// Whether a session that another request has ended is not written.
    pub end_is_final: bool,
    /// The name of the library's own member, if records have one.
    pub metadata_member: Option<String>,
    /// Whether ids are renewed.
    pub renews: bool,
    /// Whether the sessions of a user are limited.
    pub limits_sessions: bool,
    /// Whether users have epochs.
    pub has_epochs: bool,
    /// How each step handles a failure of each kind: `tell`, `hide` or `without`.
    pub failures: HashMap<&'static str, HashMap<&'static str, &'static str>>,
}

/// Returns the rules for a middleware's options.
///
/// # Errors
///
/// For an unknown departure, or one that is not available for Node; for a limit without integrity, and a member's name that
/// cannot be one.
#[napi(catch_unwind)]
pub fn rules(options: Options) -> Result<Rules> {
    let (policy, member) = (policy(&options)?, member(&options)?);
    let end_is_final = policy.on_missing_record() == OnMismatch::Refuse;
    // Plain writes of the whole session have none of these.
    let has_sessions = end_is_final
        || policy.on_id_collision() == OnMismatch::Refuse
        || policy.on_conflict() == OnConflict::Merge;
    let watches_end = has_sessions
        || policy.saves_cookie_changes()
        || policy.skips_unreachable_sessions()
        || policy.save_resets_expiry()
        || !policy.destroys(false)
        || policy.clears_cookie()
        || policy.reports_store_errors();
    Ok(Rules {
        table: table(&policy).into(),
        destroys_unstored: policy.destroys(false),
        save_renews: policy.save_resets_expiry(),
        commits_early: policy.when_to_save() == SaveTime::Early,
        path_match: policy.matches_path_like_browsers(),
        candidates: if policy.cookie_attempts().is_first_only() { 1 } else { u32::MAX },
        cookie_function_auto: policy.resolves_auto_from_function(),
        cookie_changes_saved: policy.saves_cookie_changes(),
        skip_unreachable_sessions: policy.skips_unreachable_sessions(),
        clear_cookie: policy.clears_cookie(),
        report_store_errors: policy.reports_store_errors(),
        watches_end,
        has_sessions,
        throttles_touch: policy.throttles_touch(),
        end_is_final,
        metadata_member: policy.keeps_metadata().then(|| member.as_str().to_owned()),
        renews: policy.renewal().is_some(),
        limits_sessions: policy.max_sessions.is_some(),
        has_epochs: policy.user_epoch,
        failures: HashMap::from([
            ("write", failures(Step::Write, &policy)),
            ("writeUnasked", failures(Step::WriteUnasked, &policy)),
            ("touch", failures(Step::Touch, &policy)),
            ("destroy", failures(Step::Destroy, &policy)),
        ]),
    })
}

/// Reads the options that decide.
fn policy(options: &Options) -> Result<Policy> {
    let at_limit = match options.ends_least_recently_used.unwrap_or_default() {
        true => AtLimit::EndLeastRecentlyUsed,
        false => AtLimit::Refuse,
    };
    let max_sessions = options.max_sessions.map(|count| count as usize);
    Ok(Policy {
        resave: options.resave,
        rolling: options.rolling,
        save_uninitialized: options.save_uninitialized,
        unset: if options.unset_destroys { Unset::Destroy } else { Unset::Keep },
        touch_after: touch_after(options.touch_after),
        departures: departures(options)?,
        // A renewal notes its time in the metadata.
        metadata: options.metadata || renewal(options).is_some(),
        client: client_notes(options),
        limits: limits(options)?,
        renewal: renewal(options),
        max_sessions: max_sessions.map(|count| MaxSessions { count, at_limit }),
        user_epoch: options.user_epoch,
        ..Policy::default()
    })
}

/// JavaScript has checked the words.
fn client_notes(options: &Options) -> ClientNotes {
    let detail = |given: &Option<String>| {
        given.as_deref().map(|detail| match detail {
            "full" => ClientDetail::Full,
            _ => ClientDetail::Shortened,
        })
    };
    ClientNotes {
        address: detail(&options.client_address),
        user_agent: detail(&options.user_agent),
    }
}

fn renewal(options: &Options) -> Option<Renewal> {
    let (after, grace) = (options.renew_after, options.renewal_grace);
    (after.is_some() || grace.is_some()).then(|| Renewal {
        after: after.map(duration),
        grace: grace.map_or(Renewal::GRACE, duration),
    })
}

/// Reads the limits, and checks that the addon has the sessions that they are for.
fn limits(options: &Options) -> Result<Limits> {
    let given = [
        ("metadata", options.metadata),
        ("idleTimeout", options.idle_timeout.is_some()),
        ("absoluteTimeout", options.absolute_timeout.is_some()),
        ("clientAddress", options.client_address.is_some()),
        ("userAgent", options.user_agent.is_some()),
        ("clearSiteData", options.clear_site_data),
        ("renewAfter", options.renew_after.is_some()),
        ("renewalGrace", options.renewal_grace.is_some()),
        ("maxSessions", options.max_sessions.is_some()),
        ("userEpoch", options.user_epoch),
    ];
    if let Some((name, _)) = given.iter().find(|(_, is_given)| *is_given && !options.integrity) {
        let why = format!(
            "{name} option: it needs integrity: true, and a store of express-session-rs/stores, \
             such as RedisStore"
        );
        return Err(Error::new(Status::InvalidArg, why));
    }
    let (idle, absolute) = (options.idle_timeout, options.absolute_timeout);
    Ok(Limits { idle: idle.map(duration), absolute: absolute.map(duration) })
}

fn member(options: &Options) -> Result<MemberName> {
    let Some(name) = &options.metadata_member else { return Ok(MemberName::DEFAULT) };
    MemberName::new(name.as_str()).ok_or_else(|| {
        let why = "metadataMember option must be a name that express-session does not reserve, and \
                   that does not begin with a digit";
        Error::new(Status::InvalidArg, why)
    })
}

fn touch_after(millis: Option<f64>) -> TouchAfter {
    millis.map_or(TouchAfter::default(), |millis| duration(millis).into())
}

fn duration(millis: f64) -> Duration {
    Duration::from_millis(millis.max(0.0) as u64)
}

/// Returns until when a request that only reads leaves the expiry of a session, because it was reset recently: with
/// this `touchAfter`, lifetime and deadline.
#[napi(catch_unwind)]
#[must_use]
pub fn next_touch(after: Option<f64>, lifetime: f64, deadline: f64, now: f64) -> Option<f64> {
    let departures = Departures::none().throttled_touch(true);
    let policy = Policy { touch_after: touch_after(after), departures, ..Policy::default() };
    let next = policy.next_touch(Some(duration(lifetime)), Some(time(deadline)), time(now))?;
    Some(next.millis() as f64)
}

/// Returns how a step handles a failure of each kind. The errors of JavaScript's stores have no kinds, and count as
/// outages.
fn failures(step: Step, policy: &Policy) -> HashMap<&'static str, &'static str> {
    let faults = [("outage", Fault::Outage), ("session", Fault::Session), ("ended", Fault::Ended)];
    let handled = |fault| match policy.on_failure(step, fault) {
        OnFailure::Report => "tell",
        OnFailure::Ignore => "hide",
        OnFailure::ContinueWithoutSession => "without",
    };
    faults.into_iter().map(|(name, fault)| (name, handled(fault))).collect()
}

/// Turns on the named departures, and those of integrity.
fn departures(options: &Options) -> Result<Departures> {
    let refuse = |why: String| Err(Error::new(Status::InvalidArg, why));
    if options.integrity && !options.is_native {
        return refuse(format!("integrity option: {STORES_THAT_CAN}"));
    }
    let wanted = options.departures.iter().map(String::as_str);
    let integrity = INTEGRITY.iter().copied().filter(|_| options.integrity);
    let mut on = Departures::none();
    for name in wanted.chain(integrity) {
        if let Some((_, why)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
            return refuse(format!("departures option: {name:?} is not available for Node: {why}"));
        }
        if is_native(name) && !options.is_native {
            return refuse(format!("departures option: {name:?}: {STORES_THAT_CAN}"));
        }
        let Some((number, _)) = Departures::all().active().find(|(_, snake)| camel(snake) == name)
        else {
            return refuse(format!("departures option: {name:?} is not one of {}", available()));
        };
        on.set(number, true);
    }
    Ok(on.throttled_touch(on.throttled_touch || options.touch_after.is_some()))
}

/// The advice where the store cannot do what integrity needs.
const STORES_THAT_CAN: &str = "the store has no conditional writes: use one of express-session-rs/stores, such as \
    RedisStore or PostgresStore, without a serializer of your own";

fn is_native(name: &str) -> bool {
    NATIVE.contains(&name)
}

/// Lists the departures that can be turned on.
fn available() -> String {
    let names = Departures::all().active().map(|(_, name)| camel(name));
    let here = names.filter(|name| !ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == name));
    here.collect::<Vec<_>>().join(", ")
}

/// Returns the name in JavaScript's spelling.
fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().map(str::to_owned);
    let others = words.map(|word| word[..1].to_uppercase() + &word[1..]);
    first.into_iter().chain(others).collect()
}

/// Returns the plan of every combination of facts.
fn table(policy: &Policy) -> Vec<u8> {
    let count = REACHES.len()
        * EXPIRIES.len()
        * RECORDS.len()
        * SAVED.len()
        * ATTRIBUTES.len()
        * DATA.len()
        * ORIGINS.len()
        * IDS.len()
        * SESSIONS.len();
    (0..count).map(|sum| number(decide::plan(facts_of(sum), policy))).collect()
}

/// Splits a sum into its facts, in the order of [`facts`].
fn facts_of(mut sum: usize) -> Facts {
    Facts {
        reach: digit(&mut sum, &REACHES),
        expiry: digit(&mut sum, &EXPIRIES),
        record: digit(&mut sum, &RECORDS),
        saved: digit(&mut sum, &SAVED),
        attributes: digit(&mut sum, &ATTRIBUTES),
        data: digit(&mut sum, &DATA),
        origin: digit(&mut sum, &ORIGINS),
        id: digit(&mut sum, &IDS),
        session: digit(&mut sum, &SESSIONS),
    }
}

fn digit<T: Copy>(sum: &mut usize, all: &[(&str, T)]) -> T {
    let place = *sum % all.len();
    *sum /= all.len();
    all[place].1
}

/// Returns the number of a plan: see [`steps`].
fn number(plan: Plan) -> u8 {
    let store = place(&STORES, &plan.store);
    let cookie = place(&COOKIES, &plan.cookie);
    // There are twenty plans.
    (store + cookie * COOKIE_STEP) as u8
}

fn place<T: PartialEq>(all: &[(&str, T)], one: &T) -> usize {
    all.iter().position(|(_, other)| other == one).unwrap_or_default()
}

fn names<T>(all: &[(&'static str, T)]) -> Vec<&'static str> {
    all.iter().map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_is_at_the_sum_of_its_facts() {
        let policy = Policy { rolling: true, ..Policy::default() };
        let numbers = facts();
        let at = [
            ("session", "live"),
            ("id", "presented"),
            ("origin", "loaded"),
            ("data", "changed"),
            ("attributes", "same"),
            ("saved", "never"),
            ("record", "touchable"),
            ("expiry", "some"),
            ("reach", "insecure"),
        ];
        let sum: u32 = at.iter().map(|(fact, value)| numbers[fact][value]).sum();
        let plan = decide::plan(
            Facts {
                session: Lifecycle::Live,
                id: CookieMatch::Presented,
                origin: Origin::Loaded,
                data: Data::Changed,
                attributes: Attributes::Same,
                saved: Saved::Never,
                record: RecordStatus::Touchable,
                expiry: Expiry::Some,
                reach: Reach::Insecure,
            },
            &policy,
        );
        assert_eq!(table(&policy)[sum as usize], number(plan));
        assert_eq!(number(plan), (steps()["store"]["write"] + steps()["cookie"]["withhold"]) as u8);
    }

    #[test]
    fn sums_of_facts_are_all_of_the_table() {
        let most: u32 = facts().values().filter_map(|values| values.values().max()).sum();
        assert_eq!(table(&Policy::default()).len(), most as usize + 1);
    }

    /// The options of these departures, with a store of the addon or another one.
    fn options(names: &[&str], is_native: bool) -> Options {
        Options {
            resave: false,
            rolling: false,
            save_uninitialized: false,
            unset_destroys: false,
            departures: names.iter().map(|name| (*name).to_owned()).collect(),
            integrity: false,
            touch_after: None,
            is_native,
            metadata: false,
            metadata_member: None,
            idle_timeout: None,
            absolute_timeout: None,
            client_address: None,
            user_agent: None,
            clear_site_data: false,
            renew_after: None,
            renewal_grace: None,
            max_sessions: None,
            ends_least_recently_used: None,
            user_epoch: false,
        }
    }

    #[test]
    fn departures_go_by_their_names_in_javascript() {
        let named = |names: &[&str]| departures(&options(names, false));
        assert_eq!(named(&[]).unwrap(), Departures::none());
        let one = named(&["saveBeforeResponse"]).unwrap();
        assert_eq!(one, Departures::none().save_before_response(true));
        let refused = |name| named(&[name]).unwrap_err().reason;
        assert!(refused("save_before_response").contains("is not one of pathMatch"));
        assert!(refused("lazyLoad").contains("is not available for Node"));
        assert!(refused("mergeChanges").contains("no conditional writes"));
    }

    #[test]
    fn integrity_turns_on_what_only_a_store_of_the_addon_can_do() {
        let integrity =
            |is_native| departures(&Options { integrity: true, ..options(&[], is_native) });
        let on = integrity(true).unwrap();
        assert!(on.merge_changes && on.destroy_is_final && on.unique_ids && !on.throttled_touch);
        assert!(on.save_before_response && on.report_store_errors && !on.clear_cookie);
        assert!(
            integrity(false).unwrap_err().reason.starts_with("integrity option: the store has no")
        );
        assert!(departures(&options(&["mergeChanges"], true)).unwrap().merge_changes);
    }

    #[test]
    fn touch_after_turns_the_throttle_on_and_the_departure_alone_has_the_default() {
        let minute = Options { touch_after: Some(60_000.0), ..options(&[], false) };
        let given = policy(&minute).unwrap();
        assert!(given.throttles_touch());
        assert_eq!(given.touch_after, TouchAfter::Time(Duration::from_secs(60)));
        let named = policy(&options(&["throttledTouch"], false)).unwrap();
        assert_eq!(named.touch_after, TouchAfter::Hundredth);
        assert!(!policy(&options(&[], false)).unwrap().throttles_touch());
        for (after, left, wait) in [
            (Some(60_000.0), 3_540_001.0, Some(1.0)),
            (Some(60_000.0), 3_540_000.0, None),
            (None, 3_564_001.0, Some(1.0)),
            (None, 3_564_000.0, None),
            (Some(0.0), 3_600_000.0, None),
        ] {
            let now = 1e12;
            let next = next_touch(after, 3_600_000.0, now + left, now);
            assert_eq!(next.map(|next| next - now), wait, "{after:?} {left}");
        }
    }

    #[test]
    fn limits_need_integrity_and_the_member_a_name_that_is_free() {
        let off = Options { metadata_member: Some("__life".to_owned()), ..options(&[], true) };
        assert_eq!(rules(off).unwrap().metadata_member, None);
        type Change = fn(&mut Options);
        let changes: [(&str, Change); 7] = [
            ("metadata", |options| options.metadata = true),
            ("idleTimeout", |options| options.idle_timeout = Some(1.0)),
            ("absoluteTimeout", |options| options.absolute_timeout = Some(1.0)),
            ("renewAfter", |options| options.renew_after = Some(1.0)),
            ("renewalGrace", |options| options.renewal_grace = Some(1.0)),
            ("maxSessions", |options| options.max_sessions = Some(1)),
            ("userEpoch", |options| options.user_epoch = true),
        ];
        for (name, change) in changes {
            let mut one = options(&["mergeChanges"], true);
            change(&mut one);
            let refused = policy(&one).unwrap_err().reason;
            assert!(
                refused.starts_with(&format!("{name} option: it needs integrity")),
                "{refused}"
            );
            one.integrity = true;
            assert!(policy(&one).unwrap().keeps_metadata(), "{name}");
            assert_eq!(rules(one).unwrap().metadata_member.as_deref(), Some("__sessionMetadata"));
        }
        let named = Options { metadata_member: Some("cookie".to_owned()), ..options(&[], true) };
        assert!(rules(named).err().unwrap().reason.starts_with("metadataMember option"));
    }

    #[test]
    fn ids_are_renewed_by_either_option() {
        let renewal = |renew_after, renewal_grace| {
            renewal(&Options { renew_after, renewal_grace, ..options(&[], true) })
        };
        assert_eq!(renewal(None, None), None);
        let grace = Renewal::GRACE;
        let after = Some(Duration::from_secs(60));
        assert_eq!(renewal(Some(60_000.0), None), Some(Renewal { after, grace }));
        let grace = Duration::from_secs(5);
        assert_eq!(renewal(None, Some(5000.0)), Some(Renewal { after: None, grace }));
    }

    #[test]
    fn plan_of_a_renewal_is_read_with_the_masks_of_javascript() {
        let plan = Plan { store: StoreAction::Renew, cookie: CookieAction::Send };
        let steps = steps();
        let all = |part: &str| steps[part].values().fold(0, |mask, step| mask | step);
        assert_eq!(u32::from(number(plan)) & all("store"), steps["store"]["renew"]);
        assert_eq!(u32::from(number(plan)) & all("cookie"), steps["cookie"]["send"]);
        assert_eq!(all("store") & all("cookie"), 0);
    }

    #[test]
    fn every_departure_that_is_not_for_node_is_one() {
        let elsewhere = ELSEWHERE.iter().map(|(name, _)| *name);
        for name in elsewhere.chain(NATIVE).chain(INTEGRITY) {
            assert!(Departures::all().active().any(|(_, snake)| camel(snake) == name), "{name}");
        }
    }
}
