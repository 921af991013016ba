//! The rekey of the master key and of namespaces' keys, and their state. A rekey that has begun goes on when the
//! caller hangs up, or when the caller's key is revoked or expires; its beginning and its end are recorded.

use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::Status;

use super::count;
use super::replies::{AHEAD, ConfirmedReplies, begun, spawn_of_call, to_its_end};
use crate::api::request::{Call, Fields};
use crate::api::strongroom_v1::proto::{self as v1, RotationPhase};
use crate::app::{App, Error, RekeyPermit, RekeyProgress, Rekeyed};
use crate::auth::Operate;
use crate::crypto::KeyId;
use crate::domain::Namespace;

/// How many namespaces a reply names at most.
const MAX_NAMESPACES: usize = 1000;

/// Begins a rekey of the master key.
pub(super) fn rotate_master_key(
    app: &Arc<App>,
    call: &Call,
) -> Result<ConfirmedReplies<v1::RotateMasterKeyResponse>, Error> {
    let grant = call.service_grant::<Operate>(app)?;
    let rekey = app.keys.begin(&grant)?;
    call.note(|target| target.subject = Some("begun".to_owned()));
    let (replies, stream) = mpsc::channel(AHEAD);
    let (app, call) = (app.clone(), call.clone());
    let confirmed = ConfirmedReplies::new(app.clone(), call.clone(), stream);
    spawn_of_call(async move {
        if !begun(&app, &call, &replies).await {
            return;
        }
        let told = replies.clone();
        let tell = move |RekeyProgress { seen, total }| {
            let (phase, seen_records, total_records) = (RotationPhase::Rewrapping.into(), seen, total);
            let reply =
                v1::RotateMasterKeyResponse { phase, seen_records, total_records, ..Default::default() };
            // A caller who is slow to read misses some.
            let _ = told.try_send(Ok(reply));
        };
        let rekeyed = to_its_end(&app, &call, rekey.rekey_master_key(tell)).await;
        let rekeyed = rekeyed.and_then(|rekeyed| Ok((rekeyed, app.keys.status(&grant)?)));
        // A caller who reads that it is done can begin another one.
        drop(rekey);
        let (outcome, reply) = match rekeyed {
            Ok((rekeyed, keys)) => {
                let outcome = format!("{}, master key {}", result(&rekeyed), keys.master);
                let Rekeyed { generation, seen, damaged } = rekeyed;
                let reply = v1::RotateMasterKeyResponse {
                    phase: RotationPhase::Done.into(),
                    seen_records: seen,
                    total_records: seen,
                    generation,
                    damaged_records: damaged,
                    master_key_id: keys.master.to_string(),
                    source: keys.source,
                };
                (Ok(outcome), reply)
            }
            Err(error) => (Err(error), v1::RotateMasterKeyResponse::default()),
        };
        let recorded = call.close_stream(outcome).await;
        let _ = replies.send(recorded.map(|()| reply)).await;
    });
    Ok(confirmed)
}

/// Begins a rekey of the keys of one namespace, or of all.
pub(super) fn rotate_namespace_keys(
    app: &Arc<App>,
    call: &Call,
    message: &v1::RotateNamespaceKeysRequest,
) -> Result<ConfirmedReplies<v1::RotateNamespaceKeysResponse>, Error> {
    let grant = call.service_grant::<Operate>(app)?;
    let named = named(call, message)?;
    let rekey = app.keys.begin(&grant)?;
    let namespaces = named.map_or_else(|| rekey.namespaces(), |namespace| vec![namespace]);
    call.note(|target| target.subject = Some("begun".to_owned()));
    // There is room for the last reply of each namespace: a caller who is slow to read does not hold up the rekey.
    let (replies, stream) = mpsc::channel(AHEAD + namespaces.len());
    let (app, call) = (app.clone(), call.clone());
    let confirmed = ConfirmedReplies::new(app.clone(), call.clone(), stream);
    spawn_of_call(async move {
        if !begun(&app, &call, &replies).await {
            return;
        }
        let rekeyed = to_its_end(&app, &call, rotate_each(&rekey, &namespaces, &replies)).await;
        // A caller who reads that it is done can begin another one.
        drop(rekey);
        let (outcome, last) = match rekeyed {
            Ok((result, last)) => (Ok(result), last),
            Err(error) => (Err(error), None),
        };
        let recorded = call.close_stream(outcome).await;
        if let Some(reply) = recorded.map(|()| last).transpose() {
            let _ = replies.send(reply).await;
        }
    });
    Ok(confirmed)
}

/// Rotates the keys of each of these namespaces. Gives the result in words, and the last reply of the last namespace, to be
/// sent once the result is recorded.
async fn rotate_each(
    rekey: &RekeyPermit,
    namespaces: &[Namespace],
    replies: &mpsc::Sender<Result<v1::RotateNamespaceKeysResponse, Status>>,
) -> Result<(String, Option<v1::RotateNamespaceKeysResponse>), Error> {
    let (mut outcome, mut last) = (format!("all of {} namespaces", namespaces.len()), None);
    for namespace in namespaces {
        if let Some(done) = last.take() {
            let _ = replies.try_send(Ok(done));
        }
        let (told, name, reserved) = (replies.clone(), namespace.to_string(), namespaces.len());
        let tell = move |RekeyProgress { seen, total }| {
            if told.capacity() > reserved {
                let _ = told.try_send(Ok(v1::RotateNamespaceKeysResponse {
                    phase: RotationPhase::Rewrapping.into(),
                    namespace: name.clone(),
                    seen_records: seen,
                    total_records: total,
                    ..Default::default()
                }));
            }
        };
        let rekeyed = rekey.rekey_namespace(namespace, tell).await?;
        if namespaces.len() == 1 {
            outcome = result(&rekeyed);
        }
        last = Some(done(namespace, &rekeyed));
    }
    Ok((outcome, last))
}

/// The namespace that the request names; `None` for all namespaces.
fn named(call: &Call, message: &v1::RotateNamespaceKeysRequest) -> Result<Option<Namespace>, Error> {
    const NEITHER: &str =
        "must be set, unless all_namespaces is: an empty one does not mean the home namespace here";
    const BOTH: &str = "must not be set together with namespace: give one of the two";
    let mut fields = Fields::default();
    let (namespace, all) = (&message.namespace, message.all_namespaces);
    fields.require(all || !namespace.is_empty(), "namespace", NEITHER);
    fields.require(!all || namespace.is_empty(), "all_namespaces", BOTH);
    if namespace.is_empty() {
        return fields.finish(Some(None));
    }
    let namespace = call.namespace("namespace", namespace, &mut fields);
    fields.finish(Some(namespace))
}

/// The last reply of a namespace.
fn done(namespace: &Namespace, rekeyed: &Rekeyed) -> v1::RotateNamespaceKeysResponse {
    let &Rekeyed { generation, seen, damaged } = rekeyed;
    v1::RotateNamespaceKeysResponse {
        phase: RotationPhase::Done.into(),
        namespace: namespace.to_string(),
        seen_records: seen,
        total_records: seen,
        generation,
        damaged_records: damaged,
    }
}

/// The result in words, for the audit.
fn result(Rekeyed { generation, damaged, .. }: &Rekeyed) -> String {
    match damaged {
        0 => format!("whole, generation {generation}"),
        damaged => format!("but for {damaged} damaged records, generation {generation}"),
    }
}

/// The state of the keys.
pub(super) fn key_status(app: &App, call: &Call) -> Result<v1::GetMasterKeyStatusResponse, Error> {
    let keys = app.keys.status(&call.service_grant(app)?)?;
    Ok(v1::GetMasterKeyStatusResponse {
        source: keys.source,
        master_key_id: keys.master.to_string(),
        opened_by: keys.opened_by.iter().map(KeyId::to_string).collect(),
        generations: keys.generations,
        seals: keys.seals,
        seals_limit: keys.limit,
        namespaces: count(keys.namespaces),
        rotating_namespaces: keys.rekeying.iter().take(MAX_NAMESPACES).map(Namespace::to_string).collect(),
    })
}
