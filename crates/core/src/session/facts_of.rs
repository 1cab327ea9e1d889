//! The end of a response: the facts about the session, the plan that follows from them, and what is noted of it.

use std::sync::Arc;

use super::state::{
    BodyKind, Context, LoadedSession, Phase, Progress, SessionState, Snapshot, StoreView,
};
use crate::cookie::StoredCookie;
use crate::decide::{
    self, Attributes, CookieAction, CookieMatch, Data, Expiry, Facts, Lifecycle, Origin, Plan,
    Reach, RecordStatus, Saved, StoreAction,
};
use crate::{Metadata, Policy, Timestamp, cookie};

/// Why a cookie that should be sent is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It is for HTTPS only, and the connection is plain.
    Insecure,
    /// It has an attribute that no header can carry.
    Unprintable,
    /// Browsers would drop it: its attributes do not fit its name, or one another.
    Dropped,
    /// The headers of a new session's response have left.
    Late,
}

/// The notes of the end of a response from before the store is called.
#[derive(Debug)]
pub struct End {
    /// The session as the store has it when the plan is done, as far as it is known before.
    before: Option<Arc<Snapshot>>,
}

impl SessionState {
    /// Prepares the end of a response. As in express-session, a complete response resets the expiry before anything
    /// is decided, and one that has only begun does not.
    #[inline]
    pub fn begin_end(&mut self, body: BodyKind, now: Timestamp) {
        if body == BodyKind::Complete {
            self.reset_expiry_once(now);
        }
    }

    /// Decides what to do at the end of a response, and whether a cookie is withheld that the application expects.
    /// `None` where there never was a session.
    pub fn plan(
        &mut self,
        context: &Context<'_>,
        now: Timestamp,
    ) -> Option<(Plan, Option<Withheld>)> {
        let quiet;
        let policy = if self.is_left_alone {
            quiet = context.policy.leaving_alone();
            &quiet
        } else {
            context.policy
        };
        let mut facts = self.facts(context, now)?;
        let mut plan = decide::plan(facts, policy);
        let mut is_dropped = false;
        if matches!(plan.cookie, CookieAction::Send | CookieAction::Expire)
            && let Some(session) = &mut self.session
            && {
                is_dropped = context.policy.follows_browser_rules()
                    && cookie::check_browser_rules(context.name, &session.cookie).is_err();
                is_dropped || !is_printable(session, context, now)
            }
        {
            // express-session finds out when it prints, and has reset the expiry by then.
            if plan.cookie == CookieAction::Send && !session.is_expiry_reset {
                session.reset_expiry(now);
            }
            facts.reach = Reach::Unprintable;
            plan = decide::plan(facts, policy);
        }
        Some((plan, withheld(facts, plan, is_dropped)))
    }

    #[inline]
    pub(super) fn facts(&self, context: &Context<'_>, now: Timestamp) -> Option<Facts> {
        let lifecycle = match self.phase {
            Phase::Unloaded | Phase::Degraded | Phase::EndedElsewhere => return None,
            Phase::LoadFailed => Lifecycle::Unread,
            Phase::Live => Lifecycle::Live,
            Phase::Unset => Lifecycle::Unset,
            Phase::Destroyed => Lifecycle::Destroyed,
        };
        let Some(session) = &self.session else {
            // It could not be loaded: only the presented id is known.
            return Some(Facts {
                session: lifecycle,
                id: CookieMatch::Presented,
                origin: Origin::Loaded,
                data: Data::Same,
                attributes: Attributes::Same,
                saved: Saved::Never,
                record: RecordStatus::Touchable,
                expiry: Expiry::None,
                reach: Reach::Open,
            });
        };
        Some(Facts {
            session: lifecycle,
            id: match context.presented {
                None => CookieMatch::Unknown,
                Some(id) if *id == session.id => CookieMatch::Presented,
                // A session is only found under another id than the presented one if its id was renewed.
                Some(_) if session.origin() == Origin::Loaded => match self.is_left_alone {
                    true => CookieMatch::Presented,
                    false => CookieMatch::Renewed,
                },
                Some(_) => CookieMatch::Other,
            },
            origin: session.origin(),
            data: if session.has_changed_data(context.policy) { Data::Changed } else { Data::Same },
            attributes: session.attributes(),
            saved: session.saved(),
            record: match session.view {
                StoreView::Absent => RecordStatus::Absent,
                StoreView::At(_)
                    if self.renews(
                        context,
                        session.metadata(),
                        context.is_secure || !session.cookie.secure(),
                        now,
                    ) =>
                {
                    RecordStatus::Renewable
                }
                StoreView::InDoubt | StoreView::At(_)
                    if !context.can_touch() || self.is_left_alone =>
                {
                    RecordStatus::Untouchable
                }
                StoreView::InDoubt | StoreView::At(_)
                    if session.next_touch.is_some_and(|next| now < next) =>
                {
                    RecordStatus::Touched
                }
                StoreView::InDoubt | StoreView::At(_) => RecordStatus::Touchable,
            },
            expiry: if session.cookie.has_expiry() { Expiry::Some } else { Expiry::None },
            reach: match &self.progress {
                Progress::Handling if session.cookie.secure() && !context.is_secure => {
                    Reach::Insecure
                }
                Progress::Handling => Reach::Open,
                Progress::Streaming { cookie_of: Some(id) } if *id == session.id => Reach::Sent,
                Progress::Streaming { .. } | Progress::Detached | Progress::Sent => Reach::Late,
            },
        })
    }

    /// Checks whether the response renews the id of a stored session with these notes. `is_reachable` says whether the
    /// connection can have its cookie. A request whose handler has not asked for the session sends no cookie, and one that
    /// has the lock keeps the id that is locked.
    #[inline]
    #[must_use]
    pub fn renews(
        &self,
        context: &Context<'_>,
        metadata: Option<&Metadata>,
        is_reachable: bool,
        now: Timestamp,
    ) -> bool {
        context.policy.renewal.is_some()
            && context.may_renew
            && context.policy.is_renewal_due(metadata, now)
            && self.is_requested()
            && !self.is_left_alone
            && self.progress == Progress::Handling
            && self.lock.is_none()
            && is_reachable
    }

    /// Begins to carry a plan out. `is_observed` says whether anything can look at the state afterwards.
    ///
    /// It starts the session's time again, as express-session does once for a response. A touch does so each time if the
    /// policy says so (departure 12), and a write does when its [`SaveMachine`](super::SaveMachine) starts.
    #[inline]
    pub fn begin_plan(
        &mut self,
        plan: Plan,
        policy: &Policy,
        now: Timestamp,
        is_observed: bool,
    ) -> End {
        match plan.store {
            StoreAction::Touch if policy.save_resets_expiry() => {
                self.session.iter_mut().for_each(|session| session.reset_expiry(now));
            }
            StoreAction::Write | StoreAction::Touch | StoreAction::Renew => {
                self.reset_expiry_once(now);
            }
            StoreAction::Keep | StoreAction::Destroy if plan.cookie == CookieAction::Send => {
                self.reset_expiry_once(now);
            }
            StoreAction::Keep | StoreAction::Destroy => {}
        }
        let is_write = matches!(plan.store, StoreAction::Write | StoreAction::Renew);
        let session = self.session.as_deref().filter(|_| is_observed && !is_write);
        End { before: session.map(Snapshot::of) }
    }

    /// Notes that a plan is carried out. A change that a clone of the handle has made meanwhile is not part of it.
    #[inline]
    pub fn finish_plan(&mut self, end: &End) {
        if let Some(session) = &mut self.session {
            session.committed = end.before.clone().or_else(|| session.saved.clone());
        }
    }

    /// Returns the step that failed where the store failed at a plan.
    #[must_use]
    pub fn failed_step(&self, plan: Plan) -> decide::Step {
        match plan.store {
            StoreAction::Keep | StoreAction::Touch => decide::Step::Touch,
            // Without a change, the visitor goes on under the old id.
            StoreAction::Renew => match &self.session {
                Some(session) if session.is_unsaved() => decide::Step::Write,
                Some(_) | None => decide::Step::Touch,
            },
            StoreAction::Write if self.is_requested() => decide::Step::Write,
            StoreAction::Write => decide::Step::WriteUnasked,
            StoreAction::Destroy => decide::Step::Destroy,
        }
    }

    /// Returns the session whose cookie is to be sent or expired, where the plan says so and there still is one.
    #[inline]
    pub fn cookie_to_print(&mut self, plan: Plan, now: Timestamp) -> Option<&LoadedSession> {
        if matches!(self.phase, Phase::EndedElsewhere | Phase::Degraded) {
            return None;
        }
        match plan.cookie {
            CookieAction::Keep | CookieAction::Withhold => return None,
            CookieAction::Send => self.reset_expiry_once(now),
            CookieAction::Expire => {}
        }
        self.session.as_deref()
    }
}

impl LoadedSession {
    /// Returns the cookie for the browser, where the absolute timeout shortens it. The idle timeout does not: a browser would
    /// drop the cookie of a visitor whose responses have none.
    #[must_use]
    pub fn limited_cookie(&self, policy: &Policy) -> Option<StoredCookie> {
        let metadata = self.metadata().filter(|_| policy.keeps_metadata())?;
        let absolute = policy.limits_of(Some(metadata)).absolute?;
        self.cookie.limited(metadata.created().saturating_add(absolute))
    }
}

fn is_printable(session: &LoadedSession, context: &Context<'_>, now: Timestamp) -> bool {
    let mut cookie = session.cookie.clone();
    cookie.reset_expiry(now);
    // The settings of the options were checked when the layer was built.
    context.template.is_some_and(|template| template.is_printable(&cookie))
        || cookie::print(context.name, "", &cookie).is_ok()
}

fn withheld(facts: Facts, plan: Plan, is_dropped: bool) -> Option<Withheld> {
    if plan.cookie != CookieAction::Withhold {
        return None;
    }
    match facts.reach {
        Reach::Insecure => Some(Withheld::Insecure),
        Reach::Unprintable if is_dropped => Some(Withheld::Dropped),
        Reach::Unprintable => Some(Withheld::Unprintable),
        Reach::Open | Reach::Sent | Reach::Late => {
            // A session that the browser knows goes on as it is.
            let is_lost = facts.record == RecordStatus::Absent && plan.store == StoreAction::Keep;
            is_lost.then_some(Withheld::Late)
        }
    }
}
