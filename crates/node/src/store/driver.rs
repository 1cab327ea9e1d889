//! The steps of core's machines that take several calls of a store.

use express_session::store::{Error, ErrorKind, Loaded};
use express_session_core::metadata::Epoch;
use express_session_core::session::{self, Arrival, DestroyMachine, EpochStep, Follow, Settled};
use express_session_core::{SessionId, Timestamp};

use super::backend::Backend;
use crate::engine::rules::Settings;
use crate::session::{ReadOutcome, Reader, RecordEnd};

/// Loads a session's record, which the reader keeps, and returns its text. One that a limit has ended is destroyed.
pub(super) async fn load(
    backend: &dyn Backend,
    reader: &Reader,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let found = load_following(backend, &reader.settings, id, now).await?;
    let (found, epoch) = settle(backend, reader, found, now).await?;
    match reader.keep(found, epoch, backend.lifetime(), now) {
        ReadOutcome::Text(text) => return Ok(Some(text)),
        ReadOutcome::Ended(ending) => {
            // Where the store fails, the next request that loads the record ends it.
            let _ = drive_end(backend, &reader.settings, *ending, now).await;
        }
        ReadOutcome::Nothing => {}
    }
    Ok(None)
}

/// Reads the epoch of the user of a session that was loaded, where that may end it. Returns the session as it is then.
async fn settle(
    backend: &dyn Backend,
    reader: &Reader,
    found: Option<(SessionId, Loaded)>,
    now: Timestamp,
) -> Result<(Option<(SessionId, Loaded)>, Option<Epoch>), Error> {
    let check = found.as_ref().and_then(|(id, loaded)| reader.check(id, loaded, now));
    let Some(mut check) = check else { return Ok((found, None)) };
    let context = reader.settings.context(&reader.settings.policy);
    let mut call = check.start();
    loop {
        let answer = backend.answer(call, now).await;
        match check.resume(&context, answer).map_err(into_store_error)? {
            EpochStep::Call(due) => call = due,
            EpochStep::Done(Settled { id, loaded, epoch }) => {
                return Ok((loaded.map(|loaded| (id, loaded)), Some(epoch)));
            }
        }
    }
}

/// The session fails to load as if its own record could not be read.
fn into_store_error(error: session::Error) -> Error {
    if let session::Error::Store(error) = error {
        return error;
    }
    Error::new(ErrorKind::Unavailable, "the session got another user or id at every attempt")
}

/// Loads the session of an id, or the one to which its record forwards, with its id.
async fn load_following(
    backend: &dyn Backend,
    settings: &Settings,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<(SessionId, Loaded)>, Error> {
    let Some(loaded) = backend.load(&id, now).await? else { return Ok(None) };
    let context = settings.context(&settings.policy);
    let Some(mut follow) = Follow::of(&context, &loaded, now) else {
        return Ok(Some((id, loaded)));
    };
    while let Some(id) = follow.target().cloned() {
        let found = backend.load(&id, now).await?;
        match follow.arrive(&context, found, now) {
            Some(Arrival::Session(id, loaded)) => return Ok(Some((id, loaded))),
            Some(Arrival::Further(further)) => follow = further,
            None => break,
        }
    }
    Ok(None)
}

/// Ends the record of a session, also where another request renews its id meanwhile.
pub(super) async fn end(
    backend: &dyn Backend,
    RecordEnd { settings, id, known }: RecordEnd,
    now: Timestamp,
) -> Result<(), session::Error> {
    drive_end(backend, &settings, DestroyMachine::new(id, known, now), now).await
}

async fn drive_end(
    backend: &dyn Backend,
    settings: &Settings,
    mut machine: DestroyMachine,
    now: Timestamp,
) -> Result<(), session::Error> {
    let context = settings.context(&settings.policy);
    let mut call = Some(machine.start(&context));
    while let Some(due) = call {
        let answer = backend.answer(due, now).await;
        call = machine.resume(&context, answer)?;
    }
    Ok(())
}
