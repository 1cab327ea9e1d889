// A visitor comes back, and the handler only reads: where the examples of `decide` start from.
express_session_core::decide::Facts {
    session: express_session_core::decide::Lifecycle::Live,
    id: express_session_core::decide::CookieMatch::Presented,
    origin: express_session_core::decide::Origin::Loaded,
    data: express_session_core::decide::Data::Same,
    attributes: express_session_core::decide::Attributes::Same,
    saved: express_session_core::decide::Saved::Never,
    record: express_session_core::decide::RecordStatus::Touchable,
    expiry: express_session_core::decide::Expiry::Some,
    reach: express_session_core::decide::Reach::Open,
}
