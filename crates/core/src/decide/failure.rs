//! The consequence of a store error for the request.

use crate::policy::{LateWrite, Outage, Policy, UnreadableRecord};

/// A step of a request in which the store can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Loading the session that the handler uses.
    Load,
    /// Loading a session that the handler did not use, to keep it alive.
    LoadUnasked,
    /// Resetting the expiry of an unchanged session.
    Touch,
    /// Writing the handler's changes.
    Write,
    /// Writing a session that the handler did not use: with `resave`, or because it is new.
    WriteUnasked,
    /// Destroying the session that the handler ended.
    Destroy,
}

impl Step {
    /// Checks whether the handler asked for this step. A request waits only `touch_timeout` for the others, all of them
    /// together.
    #[must_use]
    pub fn is_asked(self) -> bool {
        match self {
            Self::Load | Self::Write | Self::Destroy => true,
            Self::LoadUnasked | Self::Touch | Self::WriteUnasked => false,
        }
    }

    /// Returns how often a touch of the record is attempted, where other requests write it in between.
    ///
    /// At the end of a response once: the request that was faster is a visit itself. A touch that the handler asked for is to
    /// last, since the response goes on.
    ///
    /// ```
    /// use express_session_core::decide::Step;
    ///
    /// assert_eq!(Step::Touch.touch_attempts(), 1);
    /// assert_eq!(Step::Write.touch_attempts(), 4);
    /// ```
    #[must_use]
    pub fn touch_attempts(self) -> u32 {
        if self.is_asked() { 4 } else { 1 }
    }
}

/// The cause of a failed step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store is unavailable: it cannot be reached, did not answer in time, or refuses to work.
    Outage,
    /// Only this session is affected: its record is corrupt or too large, or other requests changed it at every
    /// attempt.
    Session,
    /// The session ended in the meantime.
    Ended,
}

/// How a request continues after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The error is returned to the handler that called, or replaces its response.
    Report,
    /// The request continues as if the step had succeeded.
    Ignore,
    /// The request continues without a session: nothing more is stored, and no cookie is sent.
    ContinueWithoutSession,
}

impl Policy {
    /// Decides what becomes of a record that a step has loaded and cannot read. A request whose handler did not ask for
    /// the session changes nothing.
    ///
    /// ```
    /// use express_session_core::Policy;
    /// use express_session_core::decide::Step;
    /// use express_session_core::policy::UnreadableRecord;
    ///
    /// let policy = Policy { unreadable_record: UnreadableRecord::Destroy, ..Policy::default() };
    /// assert_eq!(policy.on_unreadable(Step::Load), UnreadableRecord::Destroy);
    /// assert_eq!(policy.on_unreadable(Step::LoadUnasked), UnreadableRecord::Fail);
    /// ```
    #[must_use]
    pub fn on_unreadable(&self, step: Step) -> UnreadableRecord {
        if step.is_asked() { self.unreadable_record } else { UnreadableRecord::Fail }
    }

    /// Decides how a request continues when a step fails (departure 18). If the visitor loses no data, the response is
    /// sent.
    ///
    /// ```
    /// use express_session_core::decide::{Fault, OnFailure, Step};
    /// use express_session_core::{Departures, Outage, Policy};
    ///
    /// let policy = Policy::default();
    /// assert_eq!(policy.on_failure(Step::Write, Fault::Outage), OnFailure::Report);
    /// assert_eq!(policy.on_failure(Step::Touch, Fault::Outage), OnFailure::Ignore);
    ///
    /// // express-session logs a failed save and sends the response.
    /// let express = Policy { departures: Departures::none(), ..policy };
    /// assert_eq!(express.on_failure(Step::Write, Fault::Outage), OnFailure::Ignore);
    ///
    /// // A failed logout is reported even if requests continue during an outage.
    /// let lenient = Policy { outage: Outage::Continue, ..policy };
    /// assert_eq!(lenient.on_failure(Step::Load, Fault::Outage), OnFailure::ContinueWithoutSession);
    /// assert_eq!(lenient.on_failure(Step::Destroy, Fault::Outage), OnFailure::Report);
    /// ```
    #[must_use]
    pub fn on_failure(&self, step: Step, fault: Fault) -> OnFailure {
        let report_or_ignore =
            if self.reports_store_errors() { OnFailure::Report } else { OnFailure::Ignore };
        match (step, fault) {
            (Step::LoadUnasked | Step::Touch, _) => OnFailure::Ignore,
            (Step::Destroy, _) => report_or_ignore,
            (Step::Load | Step::Write | Step::WriteUnasked, Fault::Outage)
                if self.outage == Outage::Continue =>
            {
                OnFailure::ContinueWithoutSession
            }
            (Step::WriteUnasked, Fault::Ended) => OnFailure::ContinueWithoutSession,
            (Step::WriteUnasked, Fault::Outage) if self.reports_store_errors() => {
                OnFailure::ContinueWithoutSession
            }
            (Step::WriteUnasked, Fault::Outage) => OnFailure::Ignore,
            (Step::WriteUnasked, Fault::Session) => report_or_ignore,
            (Step::Load, _) => OnFailure::Report,
            (Step::Write, Fault::Outage | Fault::Session) => report_or_ignore,
            (Step::Write, Fault::Ended) => match self.late_write {
                LateWrite::Drop => OnFailure::ContinueWithoutSession,
                LateWrite::Refuse => OnFailure::Report,
            },
        }
    }
}
