//! BatchGetSecrets.

use std::collections::HashSet;

use prost::Message;
use tonic_types::pb;

use super::convert::{consistency, redacted, revealed};
use super::proto as v1;
use super::proto::batch_get_secrets_item::Result as Outcome;
use super::status::status;
use crate::api::request::{Call, Fields};
use crate::app::{App, Error};
use crate::audit::Referenced;
use crate::auth::{Grant, List, NamespaceGrant, Read, RightType};
use crate::domain::{Invalid, Revision, SecretName};

/// How many bytes the secrets of a reply have at most: with the names and the errors of the other items, the reply has at most
/// 3 MiB.
const MAX_REPLY: usize = (3 << 20) - (192 << 10);
/// How many names a batch has at most.
const MAX_NAMES: usize = 100;

pub(super) async fn get(
    app: &App,
    call: &Call,
    message: v1::BatchGetSecretsRequest,
) -> Result<v1::BatchGetSecretsResponse, Error> {
    let mut fields = Fields::default();
    let view =
        fields.check("view", v1::View::try_from(message.view).map_err(|_| super::secret::UNKNOWN_VIEW));
    let names = fields.check("names", names(&message.names));
    let at_least = Revision(message.min_revision);
    consistency(message.consistency, &mut fields);
    let (outcomes, revision, read) = match view {
        Some(v1::View::Metadata) => {
            let grant = call.namespace_grant::<List>(app, &message.namespace, &mut fields)?;
            let (grant, names) = fields.finish((|| Some((grant?, names?)))())?;
            let grants = grants(app, call, &grant, &names);
            call.note(|target| target.subject = Some(super::secret::METADATA.to_owned()));
            let (found, revision) = app.secrets.describe_batch(&grant, grants, at_least).await?;
            let redacted =
                |found: Result<_, _>| found.map(|secret: std::sync::Arc<_>| redacted(app, &secret));
            (found.into_iter().map(redacted).collect::<Vec<_>>(), revision, false)
        }
        // An unknown view must not count as the view that needs the lesser right.
        Some(v1::View::Unspecified | v1::View::Full) | None => {
            let grant = call.namespace_grant::<Read>(app, &message.namespace, &mut fields)?;
            let (grant, names) = fields.finish((|| Some((grant?, names?)))())?;
            let grants = grants(app, call, &grant, &names);
            let room = |bytes| app.admission.check_room(call.principal().name(), bytes);
            let (found, revision) = app.secrets.get_batch(&grant, grants, at_least, room).await?;
            let revealed = |found: Result<crate::app::RevealedSecret, _>| {
                found.map(|found| revealed(app, &found.secret, Some(found.value)))
            };
            (found.into_iter().map(revealed).collect(), revision, true)
        }
    };
    let mut referenced = Referenced::default();
    let mut items = Vec::with_capacity(outcomes.len());
    let mut room = MAX_REPLY;
    for (name, outcome) in message.names.into_iter().zip(outcomes) {
        // Descriptions and metadata take room too.
        let outcome = outcome.and_then(|secret| {
            room = room.checked_sub(secret.encoded_len()).ok_or(Error::BatchTooLarge)?;
            Ok(secret)
        });
        if let Ok(parsed) = SecretName::parse(&name) {
            match &outcome {
                Ok(secret) if read => referenced.read.push((parsed, secret.version)),
                Ok(secret) => referenced.not_read.push((parsed, Some(secret.version))),
                Err(Error::VersionDisabled(_, _, version) | Error::VersionDestroyed(_, _, version)) => {
                    referenced.not_read.push((parsed, Some(*version)));
                }
                Err(_) => referenced.not_read.push((parsed, None)),
            }
        }
        let result = match outcome {
            Ok(secret) => Outcome::Secret(secret),
            Err(error) => Outcome::Error(wire_status(&error, call.request_id())),
        };
        items.push(v1::BatchGetSecretsItem { name, result: Some(result) });
    }
    call.note_referenced(referenced);
    Ok(v1::BatchGetSecretsResponse { items, revision: revision.0 })
}

/// The names of a batch.
fn names(texts: &[String]) -> Result<Vec<SecretName>, Invalid> {
    if texts.is_empty() || texts.len() > MAX_NAMES {
        return Err(Invalid::new("must have 1 to 100 names"));
    }
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        if !seen.insert(text.as_str()) {
            return Err(Invalid::new("must have each name once"));
        }
        names.push(SecretName::parse(text)?);
    }
    Ok(names)
}

/// For each name, proof that the caller has the right on it, or the refusal.
fn grants<R: RightType>(
    app: &App,
    call: &Call,
    namespace: &NamespaceGrant<R>,
    names: &[SecretName],
) -> Vec<Result<Grant<R>, Error>> {
    let grant = |name| {
        let grant = app.access.grant::<R>(call.principal(), namespace.namespace(), name)?;
        call.caller.note(grant.granted());
        Ok(grant)
    };
    names.iter().map(grant).collect()
}

/// An error as a message: the one that the status of a call would have in its details.
fn wire_status(error: &Error, request_id: &str) -> pb::Status {
    let status = status(error, request_id);
    pb::Status::decode(status.details()).unwrap_or_else(|_| pb::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}
