//! The judge's own table of departures, with the only changes that each of them may make.
//!
//! A rule compares one request, played without this departure and with it. It does not depend on the implementation
//! of ours.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::compare::{normal, response_difference};
use crate::cookie;
use crate::log::{deadline, expiry};
use crate::outcome::{Call, Response};
use crate::scenario::{Attribute, Flag, Op, Request, Scenario, Seed, Server};
use crate::value::{Value, js_texts};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Departure {
    /// Its number in DEPARTURES.md.
    pub number: u8,
    /// The field of `Departures` that switches it, or `None` if there is no switch.
    pub field: Option<&'static str>,
    /// Returns why a difference is not due to it.
    pub rule: Rule,
}

/// Checks that a departure changes only what it may.
pub type Rule = fn(&Step<'_>) -> Result<(), String>;

/// One request, and its outcome on both sides.
pub struct Step<'a> {
    /// The request, alone: the seeds are the records before it.
    pub scenario: &'a Scenario,
    /// The outcome of express-session, or of ours with some other departures.
    pub node: &'a Response,
    /// The outcome of ours, with this departure in addition to those.
    pub ours: &'a Response,
    /// Plays another request to ours, without this departure.
    pub plain: &'a dyn Fn(&Scenario) -> Response,
}

/// All departures, by number.
pub const TABLE: [Departure; 22] = [
    // The defaults of two options. Scenarios give every option.
    Departure { number: 1, field: None, rule: nothing },
    Departure { number: 2, field: Some("lazy_load"), rule: lazy_load },
    Departure { number: 3, field: Some("path_match"), rule: path_match },
    Departure { number: 4, field: Some("duplicate_cookies"), rule: duplicate_cookies },
    Departure { number: 5, field: Some("forwarded"), rule: forwarded },
    Departure { number: 6, field: Some("cookie_function_auto"), rule: cookie_function_auto },
    Departure { number: 7, field: Some("layers_by_name"), rule: nothing },
    Departure { number: 8, field: Some("verbatim"), rule: verbatim },
    Departure { number: 9, field: Some("cookie_changes_saved"), rule: cookie_changes_saved },
    Departure {
        number: 10,
        field: Some("skip_unreachable_sessions"),
        rule: skip_unreachable_sessions,
    },
    Departure { number: 11, field: Some("save_sends_cookie"), rule: save_sends_cookie },
    Departure { number: 12, field: Some("single_write"), rule: single_write },
    Departure { number: 13, field: Some("single_destroy"), rule: single_destroy },
    Departure { number: 14, field: Some("clear_cookie"), rule: clear_cookie },
    Departure { number: 15, field: Some("save_before_response"), rule: save_before_response },
    Departure { number: 16, field: Some("destroy_is_final"), rule: destroy_is_final },
    Departure { number: 17, field: Some("unique_ids"), rule: unique_ids },
    Departure { number: 18, field: Some("report_store_errors"), rule: report_store_errors },
    Departure { number: 19, field: Some("merge_changes"), rule: merge_changes },
    Departure { number: 20, field: Some("throttled_touch"), rule: throttled_touch },
    Departure { number: 21, field: Some("browser_rules"), rule: browser_rules },
    // Only `Set-Cookie` is compared.
    Departure { number: 22, field: Some("cache_headers"), rule: nothing },
];

/// The departures that are on, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches(u32);

impl Switches {
    /// No departure, as express-session behaves.
    pub const NONE: Self = Self(0);

    /// All departures, the library's default.
    pub const ALL: Self = Self(u32::MAX);

    pub const fn without(self, number: u8) -> Self {
        Self(self.0 & !(1 << number))
    }

    pub const fn with(self, number: u8) -> Self {
        Self(self.0 | (1 << number))
    }

    pub fn numbers(self) -> Vec<u8> {
        TABLE.iter().map(|row| row.number).filter(|number| self.has(*number)).collect()
    }

    pub const fn has(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }
}

impl<'a> Step<'a> {
    fn request(&self) -> &'a Request {
        &self.scenario.requests[0]
    }

    fn server(&self) -> &'a Server {
        &self.scenario.servers[self.request().server]
    }

    fn name(&self) -> &'a str {
        self.server().name.as_deref().unwrap_or("connect.sid")
    }

    /// Returns the operations on a session, with the result that the handler saw of each.
    fn done(&self) -> impl Iterator<Item = (&'a Op, &'a str)> {
        let seen = self.node.view.iter().map(String::as_str);
        self.request().ops.iter().zip(seen).filter(|(_, seen)| *seen != "no session")
    }

    fn did(&self, op: &Op) -> bool {
        self.done().any(|(done, _)| done == op)
    }

    /// Checks whether another request has written this record in the meantime.
    fn is_rivals(&self, record: &str) -> bool {
        let rivals = |op: &Op| matches!(op, Op::RivalSet { text } if text == record);
        self.request().ops.iter().any(rivals)
    }

    /// Checks whether a new session may have the id of a stored record.
    fn meets_taken_id(&self) -> bool {
        self.scenario.ids.fixed.is_some() || self.done().any(|(op, _)| is_rival_set(op))
    }

    /// Checks whether the record of the session cannot be read or parsed.
    fn could_not_read(&self) -> bool {
        let Some(Call::Get(id)) = self.node.calls.first() else { return false };
        self.request().fail.iter().any(|verb| verb == "get")
            || self
                .scenario
                .seeds
                .iter()
                .any(|seed| seed.id == *id && !seed.text.contains("\"cookie\":"))
    }

    /// Checks whether the session was loaded from the store.
    fn is_loaded(&self, id: &str) -> bool {
        matches!(self.node.calls.first(), Some(Call::Get(read)) if read == id)
            && records(self.scenario).contains_key(id)
    }

    fn changed_cookie(&self) -> bool {
        // A reload may bring another cookie too.
        self.done().any(|(op, _)| matches!(op, Op::SetCookie { .. } | Op::Reload))
    }

    fn is_stored(&self, id: &str) -> bool {
        self.scenario.seeds.iter().any(|seed| seed.id == id)
    }

    /// Checks whether a `Set-Cookie` line is the session's rather than the handler's.
    fn is_ours(&self, line: &str) -> bool {
        !self.request().set_cookie.iter().any(|own| own == line)
            && line.strip_prefix(self.name()).is_some_and(|rest| rest.starts_with('='))
    }

    /// Checks whether a `Set-Cookie` line carries this id.
    fn is_of(&self, line: &str, id: &str) -> bool {
        let value = cookie::value(id, &self.server().secrets[0]);
        line.strip_prefix(self.name())
            .and_then(|rest| rest.strip_prefix('='))
            .and_then(|rest| rest.strip_prefix(&value))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(';'))
    }

    /// Plays the changed request without this departure, and demands the same outcome.
    fn is_as(&self, change: impl FnOnce(&mut Scenario)) -> Result<(), String> {
        let mut scenario = self.scenario.clone();
        change(&mut scenario);
        same(&(self.plain)(&scenario), self.ours)
    }

    /// Demands that only these differ.
    fn differs_only(&self, allow: impl FnOnce(&mut Response, &Response)) -> Result<(), String> {
        let mut expected = self.node.clone();
        allow(&mut expected, self.ours);
        same(&expected, self.ours)
    }
}

impl Response {
    /// Takes over what the handler of ours saw of some operations.
    fn see(&mut self, ops: &[Op], ours: &Self, may_differ: impl Fn(&Op, &str, &str) -> bool) {
        for ((op, seen), ours) in ops.iter().zip(&mut self.view).zip(&ours.view) {
            if may_differ(op, seen, ours) {
                seen.clone_from(ours);
            }
        }
    }
}

fn same(expected: &Response, ours: &Response) -> Result<(), String> {
    response_difference(expected, ours).map_or(Ok(()), Err)
}

fn demand(condition: bool, otherwise: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.into()) }
}

fn nothing(_: &Step<'_>) -> Result<(), String> {
    Err("this departure changes nothing in a scenario".into())
}

/// The calls come in another order. A read fails only when the handler asks for the session.
fn lazy_load(step: &Step<'_>) -> Result<(), String> {
    if step.node.status == 500 {
        demand(step.request().ops.is_empty(), "a failed read must reach the handler that asks")?;
        return step.differs_only(|expected, ours| {
            expected.status = ours.status;
            expected.set_cookie.clone_from(&step.request().set_cookie);
        });
    }
    step.differs_only(|expected, ours| {
        let mut sorted = [&expected.calls, &ours.calls]
            .map(|calls| calls.iter().map(|call| format!("{call:?}")).collect::<Vec<_>>());
        sorted.iter_mut().for_each(|calls| calls.sort());
        if sorted[0] == sorted[1] {
            expected.calls.clone_from(&ours.calls);
        }
    })
}

/// A request whose path shares only a prefix with the cookie's has no session.
fn path_match(step: &Step<'_>) -> Result<(), String> {
    let request = step.request();
    let target = request.path.as_deref().unwrap_or("/");
    let target = target.strip_prefix("http://localhost").unwrap_or(target);
    let path = target.split('?').next().unwrap_or_default();
    let options = chosen(step.server(), request);
    let cookie = options.iter().find_map(|attribute| match attribute {
        Attribute::Path(path) => Some(path.as_str()),
        _ => None,
    });
    let rest = path.strip_prefix(cookie.unwrap_or("/")).ok_or("there is no prefix to match")?;
    let below = rest.is_empty() || rest.starts_with('/') || cookie.unwrap_or("/").ends_with('/');
    demand(!below, "the path matches as browsers match it")?;
    step.differs_only(|expected, _| {
        expected.status = 200;
        expected.set_cookie.clone_from(&request.set_cookie);
        expected.calls.clear();
        expected.view = request
            .ops
            .iter()
            .map(|op| if *op == Op::Flush { "ok" } else { "no session" }.into())
            .collect();
        expected.records = records(step.scenario);
    })
}

/// The outcome is that of a request which has only the first good cookie.
fn duplicate_cookies(step: &Step<'_>) -> Result<(), String> {
    let request = step.request();
    let header = |(name, text): &(String, String)| (name == "cookie").then(|| text.clone());
    let line = request.headers.iter().filter_map(header).collect::<Vec<_>>().join(";");
    let values: Vec<_> = line
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| name.trim_matches([' ', '\t']) == step.name())
        .map(|(_, value)| value)
        .collect();
    demand(values.len() > 1, "there is one cookie")?;
    let is_good = |value: &&str| is_signed(value, &step.server().secrets);
    demand(!values.first().is_some_and(is_good), "the first cookie is good")?;
    let good = values.into_iter().find(is_good).ok_or("no cookie is good")?;
    step.is_as(|scenario| {
        let headers = &mut scenario.requests[0].headers;
        headers.retain(|(name, _)| name != "cookie");
        headers.push(("cookie".into(), format!("{}={good}", step.name())));
    })
}

/// The outcome is that of a request with `X-Forwarded-Proto`.
fn forwarded(step: &Step<'_>) -> Result<(), String> {
    let headers = &step.request().headers;
    demand(step.server().proxy == Some(true), "the proxy is not trusted")?;
    demand(
        headers.iter().all(|(name, _)| name != "x-forwarded-proto"),
        "there is the other header",
    )?;
    let line =
        headers.iter().find(|(name, _)| name == "forwarded").ok_or("there is no Forwarded")?;
    let first = line.1.split(',').next().unwrap_or_default().to_lowercase();
    demand(first.contains("proto=https") || first.contains("proto=\"https\""), "it is not https")?;
    step.is_as(|scenario| {
        let headers = &mut scenario.requests[0].headers;
        headers.retain(|(name, _)| name != "forwarded");
        headers.push(("x-forwarded-proto".into(), "https".into()));
    })
}

/// The outcome is that of a server with the options that the function returned.
fn cookie_function_auto(step: &Step<'_>) -> Result<(), String> {
    demand(step.server().cookie_function, "the options come from no function")?;
    let options = chosen(step.server(), step.request()).to_vec();
    let auto = Flag::Named("auto".into());
    let is_auto = |attribute: &Attribute| match attribute {
        Attribute::Secure(flag) | Attribute::SameSite(flag) => *flag == auto,
        _ => false,
    };
    demand(options.iter().any(is_auto), "there is no auto")?;
    step.is_as(|scenario| {
        let server = &mut scenario.servers[step.request().server];
        server.cookie_function = false;
        server.cookie = options;
    })
}

/// Members stay as they were stored, also those with reserved names, so that these are no modification.
fn verbatim(step: &Step<'_>) -> Result<(), String> {
    let odd = |seed: &&Seed| cleaned(&seed.text) != seed.text;
    demand(step.scenario.seeds.iter().any(|seed| odd(&seed)), "every record is Node's own")?;
    let mut scenario = step.scenario.clone();
    for seed in &mut scenario.seeds {
        seed.text = cleaned(&seed.text);
    }
    let clean = |response: &Response| {
        let mut response = clean(response);
        for (op, seen) in step.request().ops.iter().zip(&mut response.view) {
            if *op == Op::Keys
                && let Ok(mut keys) = serde_json::from_str::<Vec<String>>(seen)
            {
                keys.retain(|key| !RESERVED.contains(&&**key));
                *seen = js_texts(&keys);
            }
        }
        // If all members are cleared, those with reserved names make it a change, which is written and may be sent.
        if step.did(&Op::Clear)
            && matches!(response.calls.last(), Some(Call::Set(..) | Call::Touch(..)))
        {
            response.calls.pop();
            response.set_cookie.retain(|line| !step.is_ours(line));
        }
        response
    };
    same(&clean(&(step.plain)(&scenario)), &clean(step.ours))
}

/// A changed cookie is written where it was only touched or not stored at all, and is sent. A touch keeps the cookie that it
/// finds in the store.
fn cookie_changes_saved(step: &Step<'_>) -> Result<(), String> {
    step.differs_only(|expected, ours| keep_stored_cookie(step, expected, ours))
        .or_else(|_| own_cookie_saved(step))
}

fn own_cookie_saved(step: &Step<'_>) -> Result<(), String> {
    demand(step.changed_cookie(), "the cookie was not changed")?;
    let own = step.ours.set_cookie.iter().filter(|line| step.is_ours(line)).count();
    demand(own <= 1, "the cookie is sent more than once")?;
    step.differs_only(|expected, ours| {
        if let Some(Call::Set(id, text)) = ours.calls.last() {
            let written = ours.calls.last().cloned().into_iter();
            match expected.calls.last() {
                Some(Call::Touch(touched, cookie))
                    if touched == id && cookie_of(text).as_ref() == Some(cookie) =>
                {
                    expected.calls.pop();
                    expected.calls.extend(written);
                    expected.records.insert(id.clone(), text.clone());
                }
                _ if ours.calls.len() == expected.calls.len() + 1
                    && (step.is_stored(id)
                        || was_set(&expected.calls, id)
                        || step.did(&Op::Reload)) =>
                {
                    expected.calls.extend(written);
                    expected.records.insert(id.clone(), text.clone());
                }
                _ => {}
            }
            if step.request().fail.iter().any(|verb| verb == "set" || verb == "touch") {
                expected.records.clone_from(&ours.records);
            }
            // The written record may have expired already.
            if !ours.records.contains_key(id) {
                expected.records.remove(id);
            }
        }
        // An expiry that was reset for the cookie is not reset again after a reload.
        if step.did(&Op::Flush) && step.did(&Op::Reload) {
            let kinds = |response: &Response| {
                response.calls.iter().map(std::mem::discriminant).collect::<Vec<_>>()
            };
            if kinds(expected) == kinds(ours) {
                expected.calls.clone_from(&ours.calls);
                expected.records.clone_from(&ours.records);
            }
        }
        keep_stored_cookie(step, expected, ours);
        let sent = |response: &Response| response.set_cookie.iter().any(|line| step.is_ours(line));
        if !sent(expected) && sent(ours) {
            expected.set_cookie.extend(ours.set_cookie.last().cloned());
        }
    })
}

/// A touch renews the cookie that it finds in the store, where express-session sets it back: that of another request, or
/// the one before a change that the store failed to save.
fn keep_stored_cookie(step: &Step<'_>, expected: &mut Response, ours: &Response) {
    let touched = ours.calls.iter().rev().find_map(|call| match call {
        Call::Touch(id, _) => Some(id),
        _ => None,
    });
    let Some(id) = touched else { return };
    let cookie = |text: &str| cookie_of(text).map(|cookie| timeless_cookie(&cookie));
    let (Some(text), Some(kept)) = (expected.records.get_mut(id), ours.records.get(id)) else {
        return;
    };
    let has_kept = |text: &String| cookie(text) == cookie(kept);
    let is_rivals = step.request().ops.iter().any(|op| match op {
        Op::RivalSet { text } => has_kept(text),
        _ => false,
    });
    let is_unsaved = step.request().fail.iter().any(|verb| verb == "set")
        && records(step.scenario).get(id).is_some_and(has_kept);
    if members(text) == members(kept) && (is_rivals || is_unsaved) {
        text.clone_from(kept);
    }
}

/// A new session whose cookie is not sent is not stored. Once its headers have left, changing it is an error.
fn skip_unreachable_sessions(step: &Step<'_>) -> Result<(), String> {
    if let Some(at) = step.ours.view.iter().position(is_late_refusal) {
        return refuse_late_changes(step, at);
    }
    let last = step.done().filter(|(op, _)| matches!(op, Op::Save | Op::Regenerate)).last();
    demand(last.is_none_or(|(op, _)| *op != Op::Save), "it was saved explicitly")?;
    let Some(Call::Set(id, _)) = step.node.calls.last() else {
        return Err("nothing was stored".into());
    };
    demand(!step.node.set_cookie.iter().any(|line| step.is_of(line, id)), "its cookie was sent")?;
    demand(!step.is_loaded(id), "the session is not new")?;
    step.differs_only(|expected, ours| {
        expected.calls.pop();
        expected.records.remove(id);
        // The record of another session under this id stays.
        if let Some(left) = ours.records.get(id)
            && (step.is_rivals(left) || records(step.scenario).get(id) == Some(left))
        {
            expected.records.insert(id.clone(), left.clone());
        }
    })
}

fn is_late_refusal(seen: &String) -> bool {
    seen == "error: CookieNotSent"
}

fn sees_late_refusal(response: &Response) -> bool {
    response.view.iter().any(is_late_refusal)
}

/// The handler sees errors from the operation at this place on, and nothing of what it does then is stored.
fn refuse_late_changes(step: &Step<'_>, at: usize) -> Result<(), String> {
    let late =
        step.request().ops.iter().position(|op| *op == Op::Flush).is_some_and(|flush| flush < at);
    demand(late, "the headers had not left")?;
    // Of the other calls there may be some afterwards: a reload asks for what was not stored.
    let mut made = step.ours.calls.iter().peekable();
    let left_out: Vec<&Call> =
        step.node.calls.iter().filter(|call| made.next_if_eq(call).is_none()).collect();
    demand(made.peek().is_none(), "it made other calls")?;
    let stored: Vec<&str> = left_out
        .iter()
        .filter_map(|call| match call {
            Call::Set(id, _) => Some(id.as_str()),
            _ => None,
        })
        .collect();
    demand(stored.iter().all(|id| !step.is_loaded(id)), "the session is not new")?;
    let sent = |id: &&str| step.node.set_cookie.iter().any(|line| step.is_of(line, id));
    demand(!stored.iter().any(sent), "its cookie was sent")?;
    step.differs_only(|expected, ours| {
        expected.calls.clone_from(&ours.calls);
        expected.view.truncate(at);
        expected.view.extend(ours.view.iter().skip(at).cloned());
        let before = records(step.scenario);
        for id in &stored {
            expected.records.remove(*id);
            // The record of another session under this id stays.
            if let Some(left) = before.get(*id) {
                expected.records.insert((*id).to_owned(), left.clone());
            }
        }
    })
}

/// The cookie of an explicitly saved session is sent.
fn save_sends_cookie(step: &Step<'_>) -> Result<(), String> {
    demand(step.did(&Op::Save), "it was not saved explicitly")?;
    let sent = step.ours.set_cookie.last().ok_or("the cookie is not sent")?;
    let of_saved = step.ours.calls.iter().any(|call| match call {
        Call::Set(id, _) => step.is_of(sent, id),
        _ => false,
    });
    demand(of_saved, "the cookie is not that of what was saved")?;
    step.differs_only(|expected, _| expected.set_cookie.push(sent.clone()))
}

/// An explicitly saved session is neither written nor touched again, and the save resets its expiry; so does each write and
/// touch after the headers have left.
fn single_write(step: &Step<'_>) -> Result<(), String> {
    let is_late = step.did(&Op::Flush);
    demand(step.did(&Op::Save) || is_late, "it was not saved, explicitly or late")?;
    let saved_first = step.request().ops.iter().position(|op| *op == Op::Save).unwrap_or(0);
    step.differs_only(|expected, ours| {
        let calls = std::mem::take(&mut expected.calls);
        let mut kept = ours.calls.iter().peekable();
        for call in &calls {
            match (call, kept.peek()) {
                (call, Some(next)) if call == *next => {
                    expected.calls.extend(kept.next().cloned());
                }
                (Call::Set(id, text), Some(Call::Set(other, renewed)))
                    if id == other && timeless(text) == timeless(renewed) =>
                {
                    expected.calls.extend(kept.next().cloned());
                }
                (Call::Touch(id, cookie), Some(Call::Touch(other, renewed)))
                    if is_late
                        && id == other
                        && timeless_cookie(cookie) == timeless_cookie(renewed) =>
                {
                    expected.calls.extend(kept.next().cloned());
                }
                // A call may be missing only if the id was written before.
                (Call::Set(id, _) | Call::Touch(id, _), _) if was_set(&expected.calls, id) => {}
                _ => expected.calls.push(call.clone()),
            }
        }
        // Later changes of the record or of the cookie are not overwritten.
        let later = step.changed_cookie()
            || step.request().fail.iter().any(|verb| verb == "set")
            || step.done().any(|(op, _)| is_rival_set(op) || *op == Op::RivalDestroy);
        for id in Ids::of(ours).saved {
            match (expected.records.get(&id), ours.records.get(&id)) {
                (Some(text), Some(renewed)) if later || timeless(text) == timeless(renewed) => {
                    expected.records.insert(id, renewed.clone());
                }
                (None, Some(left)) if later => drop(expected.records.insert(id, left.clone())),
                (Some(_), None) if later => drop(expected.records.remove(&id)),
                _ => {}
            }
        }
        // The handler sees the new expiry.
        for (at, op) in step.request().ops.iter().enumerate() {
            if *op == Op::Cookie && at > saved_first {
                expected.view[at].clone_from(&ours.view[at]);
            }
        }
    })
}

/// A session that is not stored is not destroyed, nor is the record of another session with the same id.
fn single_destroy(step: &Step<'_>) -> Result<(), String> {
    let before = records(step.scenario);
    step.differs_only(|expected, ours| {
        let mut stored: Vec<&str> = Vec::new();
        let mut ended: Vec<&str> = Vec::new();
        let mut skipped = false;
        let mut kept = ours.calls.iter().peekable();
        expected.calls.clear();
        for call in &step.node.calls {
            match call {
                Call::Get(id) if before.contains_key(id) => stored.push(id),
                Call::Set(id, _) => stored.push(id),
                Call::Destroy(id) if !stored.contains(&&**id) && kept.peek() != Some(&call) => {
                    skipped = true;
                    // The record is that of another session, and stays.
                    if let Some(left) = ours.records.get(id)
                        && !ended.contains(&&**id)
                        && (before.get(id) == Some(left) || step.is_rivals(left))
                    {
                        expected.records.insert(id.clone(), left.clone());
                    }
                    continue;
                }
                Call::Destroy(id) => {
                    stored.retain(|known| known != id);
                    ended.push(id);
                }
                Call::Get(_) | Call::Touch(..) => {}
            }
            kept.next();
            expected.calls.push(call.clone());
        }
        // A call that failed is made again.
        if step.request().fail.iter().any(|verb| verb == "destroy")
            && let [Call::Destroy(id)] = &kept.collect::<Vec<_>>()[..]
            && ended.contains(&&**id)
        {
            expected.calls.push(Call::Destroy(id.clone()));
        }
        // A call that is not made cannot fail.
        expected.see(&step.request().ops, ours, |op, seen, _| {
            skipped && matches!(op, Op::Destroy | Op::Regenerate) && seen == "error: store"
        });
    })
}

/// The response of an ended session removes its cookie.
fn clear_cookie(step: &Step<'_>) -> Result<(), String> {
    let ended = step.did(&Op::Destroy) || (step.did(&Op::Unset) && step.server().unset_destroys);
    demand(ended, "the session has not ended")?;
    let presented = matches!(step.node.calls.first(), Some(Call::Get(_)));
    demand(presented, "the browser has no cookie of ours")?;
    let name = step.name();
    let line = step.ours.set_cookie.last().ok_or("the cookie is not cleared")?;
    let cleared = line.starts_with(&format!("{name}=;"))
        && line.contains("; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    demand(cleared, "the last cookie is not one that clears ours")?;
    step.differs_only(|expected, _| expected.set_cookie.push(line.clone()))
}

/// A session is saved before its response leaves, and again if it changes after that.
fn save_before_response(step: &Step<'_>) -> Result<(), String> {
    if step.could_not_read() {
        // A session that could not be read is destroyed after the response has left, and only then.
        return step.differs_only(|expected, _| {
            if let Some(Call::Destroy(_)) = expected.calls.last() {
                expected.calls.pop();
                expected.records = records(step.scenario);
            }
        });
    }
    demand(step.did(&Op::Flush), "the response does not leave early")?;
    let (node, ours) = (Ids::of(step.node), Ids::of(step.ours));
    demand(node.read == ours.read, "the reads are others")?;
    demand(node.saved.iter().all(|id| ours.saved.contains(id)), "something is not saved")?;
    let is_known = |id: &String| node.ended.contains(id) || ours.saved.contains(id);
    demand(ours.ended.iter().all(is_known), "what was not saved is destroyed")?;
    let early = ours.saved;
    step.differs_only(|expected, ours| {
        expected.calls.clone_from(&ours.calls);
        for id in early {
            expected.records.remove(&id);
            if let Some(text) = ours.records.get(&id) {
                expected.records.insert(id, text.clone());
            }
        }
        // The session's expiry has been reset by then; a saved session can be loaded, and has to be destroyed.
        expected.see(&step.request().ops, ours, |op, _, ours| {
            let was_saved = matches!(op, Op::Regenerate | Op::Destroy) && ours == "error: store";
            was_saved || matches!(op, Op::Reload | Op::Cookie)
        });
    })
}

/// Replaces the id of a new session whose first write failed by the one that ours has drawn for the next try.
fn renew_ids(step: &Step<'_>, expected: &mut Response, ours: &Response) {
    let mut ids = Vec::new();
    for (call, ours) in expected.calls.iter_mut().zip(&ours.calls) {
        if let (Call::Set(id, text), Call::Set(new, same)) = (&*call, ours)
            && id != new
            && text == same
        {
            ids.push((id.clone(), new.clone()));
            call.clone_from(ours);
        }
    }
    for (old, new) in ids {
        if let Some(record) = expected.records.remove(&old) {
            expected.records.insert(new.clone(), record);
        }
        for seen in expected.view.iter_mut().filter(|seen| seen.contains(&old)) {
            *seen = seen.replace(&old, &new);
        }
        let mut lines = expected.set_cookie.iter_mut().zip(&ours.set_cookie);
        let attributes = |line: &str| line.split_once(';').map(|(_, rest)| rest.to_owned());
        let is_renewed = |line: &str, ours: &str| {
            step.is_of(line, &old) && step.is_of(ours, &new) && attributes(line) == attributes(ours)
        };
        if let Some((line, ours)) = lines.find(|(line, ours)| is_renewed(line, ours)) {
            line.clone_from(ours);
        }
    }
}

/// A record that is gone, or expired when it is written, is not written back. A save returns an error, and the
/// cookie is not sent again.
fn destroy_is_final(step: &Step<'_>) -> Result<(), String> {
    let first = step.request().ops.iter().position(|op| *op == Op::RivalDestroy);
    let over = step.node.calls.iter().any(|call| match call {
        Call::Set(_, text) => deadline(text).is_some_and(|at| at.millis() <= step.request().at),
        _ => false,
    });
    let renewed = step.request().fail.iter().any(|verb| verb == "set");
    demand(first.is_some() || over || renewed, "no record has gone")?;
    step.differs_only(|expected, ours| {
        if renewed {
            renew_ids(step, expected, ours);
        }
        if first.is_none() && !over {
            return;
        }
        let gone = |id: &String| !ours.records.contains_key(id);
        let writes = |call: &Call| match call {
            Call::Set(id, _) | Call::Touch(id, _) | Call::Destroy(id) => gone(id),
            Call::Get(id) => gone(id),
        };
        let others = |response: &Response| {
            // The first read comes before the record is gone.
            let calls = response.calls.iter().enumerate();
            calls
                .filter(|(at, call)| *at == 0 || !writes(call))
                .map(|(_, call)| call.clone())
                .collect::<Vec<_>>()
        };
        if others(expected) == others(ours) && ours.calls.len() <= expected.calls.len() {
            expected.calls.clone_from(&ours.calls);
        }
        expected.records.retain(|id, _| !gone(id));
        let first = if over { 0 } else { first.unwrap_or(0) };
        for (seen, ours) in expected.view.iter_mut().zip(&ours.view).skip(first) {
            if matches!(&**ours, "error: gone" | "undefined" | "false" | "[]" | NO_TIME) {
                seen.clone_from(ours);
            }
        }
        let own = expected.set_cookie.iter().position(|line| step.is_ours(line));
        if let Some(at) = own
            && expected.set_cookie.len() == ours.set_cookie.len() + 1
        {
            expected.set_cookie.remove(at);
        }
    })
}

/// A new session does not overwrite the record of another.
fn unique_ids(step: &Step<'_>) -> Result<(), String> {
    demand(step.meets_taken_id(), "every id is new")?;
    let before = records(step.scenario);
    step.differs_only(|expected, ours| {
        let reloaded = step.did(&Op::Reload);
        for (id, left) in &ours.records {
            if reloaded || before.get(id) == Some(left) || step.is_rivals(left) {
                expected.records.insert(id.clone(), left.clone());
            }
        }
        // The save returns an error, and the write is not tried again.
        let (mut kept_own, mut was_told) = (false, false);
        for (op, (seen, ours)) in
            step.request().ops.iter().zip(expected.view.iter_mut().zip(&ours.view))
        {
            // The session has no record to destroy or to load again.
            let spared = matches!(op, Op::Destroy | Op::Regenerate) && ours == "ok";
            let told = *op == Op::Save && ours == "error: IdTaken";
            // The record belongs to the other session now.
            let over = seen == "error: gone";
            // After a reload the request has a session of its own, and sees nothing of the other one.
            kept_own |= *op == Op::Reload && seen == "ok" && ours == "error: gone";
            // Without a record it is not changed after the headers have left without its cookie.
            was_told |= told;
            let refused = was_told && is_late_refusal(ours);
            if spared || told || over || kept_own || refused || *op == Op::Reload {
                seen.clone_from(ours);
            }
        }
        // A session that was not stored is not destroyed.
        let ended = |response: &Response| Ids::of(response).ended;
        let fewer = ended(ours).iter().all(|id| ended(expected).contains(id));
        if fewer && Ids::of(expected).read == Ids::of(ours).read {
            expected.calls.clone_from(&ours.calls);
        }
        if reloaded || ours.set_cookie.len() != expected.set_cookie.len() {
            expected.set_cookie.retain(|line| !step.is_ours(line));
            expected
                .set_cookie
                .extend(ours.set_cookie.iter().filter(|line| step.is_ours(line)).cloned());
        }
    })
}

/// A failure is reported, and destroys nothing.
fn report_store_errors(step: &Step<'_>) -> Result<(), String> {
    let failed = !step.request().fail.is_empty() || step.could_not_read() || step.meets_taken_id();
    demand(failed, "nothing has failed")?;
    let told =
        step.ours.status == 500 || step.ours.view.iter().any(|seen| seen.starts_with("error"));
    // A handler that did not ask for the session is answered, without the cookie of an unsaved session.
    let unasked = step.request().ops.is_empty();
    let withheld = unasked && !step.ours.set_cookie.iter().any(|line| step.is_ours(line));
    demand(told || withheld || step.ours.calls != step.node.calls, "no failure is reported")?;
    let before = records(step.scenario);
    let stolen = step.ours.set_cookie.iter().any(|line| {
        before
            .keys()
            .any(|id| step.is_of(line, id) && !step.is_loaded(id) && !was_set_here(step, id))
    });
    demand(!stolen, "the cookie of another session is sent")?;
    let ended = step.node.records.keys().find(|id| !step.ours.records.contains_key(*id));
    demand(ended.is_none() || told, "a record is lost silently")
}

/// The changes of another request are kept beside those of this one.
fn merge_changes(step: &Step<'_>) -> Result<(), String> {
    demand(step.done().any(|(op, _)| is_rival_set(op)), "no other request has written")?;
    step.differs_only(|expected, ours| {
        // A merged record may have more members or live longer; nothing else may change.
        for id in Ids::of(ours).saved {
            if let Some(merged) = ours.records.get(&id) {
                expected.records.insert(id, merged.clone());
            }
        }
        // The cookie may be the other request's.
        let own = |response: &Response| {
            response.set_cookie.last().filter(|line| step.is_ours(line)).cloned()
        };
        match (own(expected), own(ours)) {
            (Some(line), Some(other)) if line.split(';').next() == other.split(';').next() => {
                expected.set_cookie.clone_from(&ours.set_cookie);
            }
            (Some(_), None) => drop(expected.set_cookie.pop()),
            // A merge into a new session is a change of it.
            (None, Some(line)) => expected.set_cookie.push(line),
            _ => {}
        }
        if calls_but_writes(expected) == calls_but_writes(ours) {
            expected.calls.clone_from(&ours.calls);
        }
        expected.see(&step.request().ops, ours, |op, _, _| {
            matches!(
                op,
                Op::Get { .. } | Op::Keys | Op::Contains { .. } | Op::Increment { .. } | Op::Cookie
            )
        });
    })
}

/// A cookie that browsers drop is not sent. Without it, a new session is not stored, and no failure to store it is seen.
fn browser_rules(step: &Step<'_>) -> Result<(), String> {
    let is_dropped = |line: &String| step.is_ours(line) && browsers_drop(line);
    demand(!step.ours.set_cookie.iter().any(is_dropped), "browsers drop the cookie")?;
    let needs_others = |attribute: &Attribute| {
        matches!(attribute, Attribute::SameSite(_) | Attribute::Partitioned(_) | Attribute::Path(_))
    };
    // A handler's own setting has no line to show where the save fails.
    let set_by_handler = |op: &Op| matches!(op, Op::SetCookie { to } if needs_others(to));
    let may_be_dropped = step.node.set_cookie.iter().any(is_dropped)
        || step.name().starts_with("__")
        || chosen(step.server(), step.request()).iter().any(needs_others)
        || step.request().ops.iter().any(set_by_handler)
        || rivals_cookie_replaces_record(step);
    demand(may_be_dropped, "browsers accept the cookie")?;
    step.differs_only(|expected, ours| {
        if ours.set_cookie == step.request().set_cookie {
            expected.set_cookie.clone_from(&ours.set_cookie);
            let reloads_nothing = step
                .done()
                .zip(&ours.view)
                .any(|((op, _), ours)| *op == Op::Reload && ours == "error: gone");
            if expected.status != ours.status || sees_late_refusal(ours) || reloads_nothing {
                // The handler went on, since nothing had to be stored, or could neither change nor reload a session
                // without a cookie.
                expected.view.clone_from(&ours.view);
            }
            expected.status = ours.status;
        }
        let mut kept = ours.calls.iter().peekable();
        let (mut calls, mut left_out) = (Vec::new(), Vec::new());
        for call in std::mem::take(&mut expected.calls) {
            if kept.next_if(|next| **next == call).is_some() {
                calls.push(call);
            } else if let Call::Set(id, _) | Call::Touch(id, _) | Call::Destroy(id) = &call
                && !step.is_loaded(id)
            {
                left_out.push(id.clone());
            } else {
                calls.push(call);
            }
        }
        expected.calls = calls;
        for id in left_out {
            match ours.records.get(&id) {
                Some(left) => expected.records.insert(id, left.clone()),
                None => expected.records.remove(&id),
            };
        }
    })
}

/// Checks whether another request has written a record without an attribute for which browsers may drop the cookie of the
/// loaded one. Whether a cookie is sent is decided before the save, which then adopts the other.
fn rivals_cookie_replaces_record(step: &Step<'_>) -> bool {
    let may_be_dropped = |text: &str| {
        let cookie = cookie_of(text).unwrap_or_default();
        ["\"partitioned\":true", "\"sameSite\":\"none\""].iter().any(|own| cookie.contains(own))
    };
    let loaded = step.scenario.seeds.iter().filter(|seed| step.is_loaded(&seed.id));
    loaded.into_iter().any(|seed| may_be_dropped(&seed.text))
        && step.request().ops.iter().any(|op| match op {
            Op::RivalSet { text } => !may_be_dropped(text),
            _ => false,
        })
}

/// Checks whether browsers drop a `Set-Cookie` line, or ignore its path.
fn browsers_drop(line: &str) -> bool {
    let mut parts = line.split("; ");
    let name = parts.next().unwrap_or_default().to_lowercase();
    let attributes: Vec<_> = parts.map(str::to_lowercase).collect();
    let has = |attribute: &str| attributes.iter().any(|own| own == attribute);
    let begins = |attribute: &str| attributes.iter().any(|own| own.starts_with(attribute));
    let is_host = name.starts_with("__host-");
    let needs_secure = is_host
        || name.starts_with("__secure-")
        || name.starts_with("__http-")
        || has("samesite=none")
        || has("partitioned");
    (needs_secure && !has("secure"))
        || (is_host && (!has("path=/") || begins("domain=")))
        || (begins("path=") && !begins("path=/"))
}

/// The touch of a session that is only read is left out if its expiry was reset less than a hundredth of its time ago.
fn throttled_touch(step: &Step<'_>) -> Result<(), String> {
    let node = &step.node.calls;
    let without = |at: usize| [&node[..at], &node[at + 1..]].concat();
    // A request that reloads its session may touch it twice.
    let left_out = (0..node.len()).rev().find_map(|at| match &node[at] {
        Call::Touch(id, touched) if without(at) == step.ours.calls => {
            Some((at, without(at), id.clone(), touched.clone()))
        }
        _ => None,
    });
    let (at, calls, id, touched) =
        left_out.ok_or("more than one touch is left out, or another call")?;
    demand(step.is_loaded(&id), "what was not loaded is not touched")?;
    // A record that is gone since it was loaded has no expiry to compare.
    let before = records(step.scenario);
    let is_written = |call: &Call| matches!(call, Call::Set(written, _) if *written == id);
    let text = if node[at..].iter().any(is_written) {
        // The handler has saved it since, perhaps with another time.
        before.get(&id)
    } else {
        step.ours.records.get(&id).or(before.get(&id))
    };
    let text = text.ok_or("there is no record")?;
    let times = expiry(&touched).zip(deadline(text));
    let is_recent = times.is_none_or(|(then, now)| {
        let max_age = max_age(text).unwrap_or_default();
        let behind = then.millis() - now.millis();
        // A store's clock does not go on within a request, and no time has passed at all in most.
        (0..(max_age / 100).min(60_000)).contains(&behind)
    });
    demand(is_recent, "the last reset is too long ago")?;
    step.differs_only(|expected, ours| {
        expected.calls = calls;
        if let (Some(text), Some(kept)) = (expected.records.get_mut(&id), ours.records.get(&id))
            && members(text) == members(kept)
        {
            text.clone_from(kept);
        }
        // Ours does not notice then that a record is gone since.
        if step.did(&Op::RivalDestroy)
            && expected.set_cookie.len() < ours.set_cookie.len()
            && let Some(line) = ours.set_cookie.last().filter(|line| step.is_of(line, &id))
        {
            expected.set_cookie.push(line.clone());
        }
    })
}

/// The `originalMaxAge` of a record's cookie, if it is a number.
fn max_age(text: &str) -> Option<i64> {
    let Ok(Value::Object(cookie)) = serde_json::from_str(&cookie_of(text)?) else { return None };
    match cookie.into_iter().find(|(key, _)| key == "originalMaxAge")? {
        (_, Value::Int(max_age)) => Some(max_age),
        (_, Value::Float(max_age)) => Some(max_age as i64),
        _ => None,
    }
}

/// The cookie that a handler sees of an expired session.
const NO_TIME: &str = r#"{"maxAge":null,"originalMaxAge":null,"expires":null}"#;

fn is_rival_set(op: &Op) -> bool {
    matches!(op, Op::RivalSet { .. })
}

/// The ids of a response's calls.
#[derive(Default)]
struct Ids {
    read: Vec<String>,
    saved: Vec<String>,
    ended: Vec<String>,
}

impl Ids {
    fn of(response: &Response) -> Self {
        let mut ids = Self::default();
        for call in &response.calls {
            match call {
                Call::Get(id) => ids.read.push(id.clone()),
                Call::Set(id, _) | Call::Touch(id, _) => ids.saved.push(id.clone()),
                Call::Destroy(id) => ids.ended.push(id.clone()),
            }
        }
        ids
    }
}

/// Checks whether a record differs from the one before.
fn was_set_here(step: &Step<'_>, id: &str) -> bool {
    was_set(&step.ours.calls, id) && step.ours.records.get(id) != records(step.scenario).get(id)
}

fn calls_but_writes(response: &Response) -> Vec<&Call> {
    let written = |call: &&Call| matches!(call, Call::Set(..) | Call::Touch(..));
    response.calls.iter().filter(|call| !written(call)).collect()
}

fn was_set(calls: &[Call], id: &str) -> bool {
    calls.iter().any(|call| matches!(call, Call::Set(set, _) if set == id))
}

fn chosen<'a>(server: &'a Server, request: &Request) -> &'a [Attribute] {
    if server.cookie_function && request.alt { &server.alt_cookie } else { &server.cookie }
}

/// Returns the live records at the beginning of the request.
fn records(scenario: &Scenario) -> BTreeMap<String, String> {
    let now = scenario.requests[0].at;
    let is_live = |seed: &&Seed| deadline(&seed.text).is_none_or(|at| at.millis() > now);
    let live = scenario.seeds.iter().filter(is_live);
    live.map(|seed| (seed.id.clone(), seed.text.clone())).collect()
}

/// Reads a cookie's value as express-session does, and checks whether one of these secrets signed it.
fn is_signed(value: &str, secrets: &[String]) -> bool {
    let value = value.trim_matches([' ', '\t']);
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = decode(quoted.unwrap_or(value));
    let Some(signed) = value.strip_prefix("s:") else { return false };
    let Some((id, _)) = signed.rsplit_once('.') else { return false };
    !id.is_empty() && secrets.iter().any(|secret| cookie::sign(id, secret) == signed)
}

/// Undoes percent-encoding, or returns an invalid text unchanged.
fn decode(text: &str) -> String {
    let is_code =
        |part: &str| part.get(..2).is_some_and(|code| u8::from_str_radix(code, 16).is_ok());
    let decoded = percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(decoded) if text.split('%').skip(1).all(is_code) => decoded.into_owned(),
        _ => text.into(),
    }
}

/// The reserved names of members in the generator's records.
const RESERVED: [&str; 4] = ["id", "save", "toString", "__proto__"];

/// Returns a record in Node's form, with its members changed. Any other text stays as it is.
fn rewritten(text: &str, change: impl FnOnce(&mut Vec<(String, Value)>)) -> String {
    match serde_json::from_str(&normal(text)) {
        Ok(Value::Object(mut members)) => {
            change(&mut members);
            Value::Object(members).js()
        }
        _ => text.into(),
    }
}

/// A record without its members of reserved names.
fn cleaned(text: &str) -> String {
    rewritten(text, |members| members.retain(|(key, _)| !RESERVED.contains(&&**key)))
}

fn clean(response: &Response) -> Response {
    let mut response = response.clone();
    for call in &mut response.calls {
        if let Call::Set(_, text) = call {
            *text = cleaned(text);
        }
    }
    for text in response.records.values_mut() {
        *text = cleaned(text);
    }
    response
}

/// A record's cookie, as `JSON.stringify` prints it.
pub fn cookie_of(text: &str) -> Option<String> {
    let Ok(Value::Object(members)) = serde_json::from_str(&normal(text)) else { return None };
    members.into_iter().find(|(key, _)| key == "cookie").map(|(_, cookie)| cookie.js())
}

/// A record without its cookie.
fn members(text: &str) -> String {
    rewritten(text, |members| members.retain(|(key, _)| key != "cookie"))
}

/// A record without its cookie's expiry.
fn timeless(text: &str) -> String {
    rewritten(text, |members| {
        for (key, value) in members {
            if let ("cookie", Value::Object(cookie)) = (&**key, value) {
                cookie.retain(|(name, _)| name != "expires");
            }
        }
    })
}

fn timeless_cookie(cookie: &str) -> String {
    timeless(&format!(r#"{{"cookie":{cookie}}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_is_recognised_as_signed() {
        let secrets = ["a".to_owned(), "b".to_owned()];
        let good = cookie::value("id é", "b");
        assert!(is_signed(&good, &secrets));
        assert!(is_signed(&format!(" \"{good}\""), &secrets));
        assert!(!is_signed(&cookie::value("id", "c"), &secrets));
        assert!(!is_signed(&cookie::value("", "a"), &secrets));
        assert!(!is_signed("s%3Aid", &secrets));
    }

    #[test]
    fn rows_are_numbered_from_one() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(row.number), at + 1);
        }
    }
}
