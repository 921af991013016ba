//! ReferenceService: resolves the references in a document, or lists the secrets that they name.

use std::mem;
use std::sync::Arc;

use data_encoding::BASE64;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::convert::consistency;
use super::proto as v1;
use super::proto::reference_service_server::ReferenceService;
use super::proto::secret_value;
use crate::api::request::{Call, Fields};
use crate::app::{App, Error, NamedSecret};
use crate::audit::Referenced;
use crate::auth::{List, Read};
use crate::reference::{Credential, Data};

/// ReferenceService over the app.
pub(super) struct References(pub(super) Arc<App>);

#[tonic::async_trait]
impl ReferenceService for References {
    async fn resolve_references(
        &self,
        request: Request<v1::ResolveReferencesRequest>,
    ) -> Result<Response<v1::ResolveReferencesResponse>, Status> {
        let (call, message) = Call::open_read(&self.0, request).await?;
        let outcome = if message.validate_only {
            inspect(&self.0, &call, message).await
        } else {
            resolve(&self.0, &call, message).await
        };
        call.close(outcome)
    }
}

async fn resolve(
    app: &App,
    call: &Call,
    message: v1::ResolveReferencesRequest,
) -> Result<v1::ResolveReferencesResponse, Error> {
    let mut fields = Fields::default();
    let grant = call.namespace_grant::<Read>(app, &message.namespace, &mut fields)?;
    consistency(message.consistency, &mut fields);
    let grant = fields.finish(grant)?;
    let template = app.references.parse_template(&grant, map(message.document.unwrap_or_default())).await?;
    let inputs = map(message.inputs.unwrap_or_default());

    let read = |named: &[NamedSecret]| call.note_referenced(referenced(named));
    let resolution = app.references.resolve(&call.caller, &grant, template, inputs, read).await?;
    Ok(v1::ResolveReferencesResponse {
        document: Some(document(resolution.resolved.document)),
        credentials: resolution.resolved.credentials.into_iter().map(credential).collect(),
        references: resolution.named.iter().map(|named| reference(named, true)).collect(),
        revision: resolution.revision.0,
    })
}

async fn inspect(
    app: &App,
    call: &Call,
    message: v1::ResolveReferencesRequest,
) -> Result<v1::ResolveReferencesResponse, Error> {
    let mut fields = Fields::default();
    let grant = call.namespace_grant::<List>(app, &message.namespace, &mut fields)?;
    consistency(message.consistency, &mut fields);
    let grant = fields.finish(grant)?;
    let template = app.references.parse_template(&grant, map(message.document.unwrap_or_default())).await?;
    let (named, revision) = app.references.inspect(&call.caller, &grant, &template).await?;
    let readable = |named: &NamedSecret| {
        let name = &named.reference.name;
        app.access.grant::<Read>(call.principal(), grant.namespace(), name).is_ok()
    };
    Ok(v1::ResolveReferencesResponse {
        document: None,
        credentials: Vec::new(),
        references: named.iter().map(|named| reference(named, readable(named))).collect(),
        revision: revision.0,
    })
}

/// The secrets that a document names, as the audit has them.
fn referenced(named: &[NamedSecret]) -> Referenced {
    let mut referenced = Referenced::default();
    for NamedSecret { reference, version, has_value } in named {
        match version {
            Some(version) if *has_value => referenced.read.push((reference.name.clone(), *version)),
            other => referenced.not_read.push((reference.name.clone(), *other)),
        }
    }
    referenced
}

fn reference(named: &NamedSecret, readable: bool) -> v1::Reference {
    v1::Reference {
        name: named.reference.name.to_string(),
        paths: named.reference.places.iter().map(ToString::to_string).collect(),
        exists: named.version.is_some(),
        readable: readable && named.has_value,
    }
}

fn credential(credential: Credential) -> v1::Credential {
    let kind = match credential.value {
        Data::Text(mut text) => Some(secret_value::Kind::Text(mem::take(&mut *text))),
        Data::Bytes(mut bytes) => Some(secret_value::Kind::Binary(mem::take(&mut *bytes))),
        // A secret's value is text or bytes.
        Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::List(_) | Data::Map(_) => None,
    };
    v1::Credential {
        path: credential.place.to_string(),
        secret_name: credential.name.to_string(),
        value: Some(v1::SecretValue { kind }),
    }
}

/// The document of a message as expressions see it. The decoder of messages bounds its depth.
fn map(document: Struct) -> Data {
    Data::Map(document.fields.into_iter().map(|(key, value)| (key, data(value))).collect())
}

fn data(value: Value) -> Data {
    match value.kind {
        Some(Kind::NullValue(_)) | None => Data::Null,
        Some(Kind::BoolValue(bool)) => Data::Bool(bool),
        Some(Kind::NumberValue(number)) => Data::number(number),
        Some(Kind::StringValue(text)) => Data::Text(Zeroizing::new(text)),
        Some(Kind::ListValue(list)) => Data::List(list.values.into_iter().map(data).collect()),
        Some(Kind::StructValue(fields)) => map(fields),
    }
}

/// A resolved document in a message. It is a map, since it was made from a map.
fn document(data: Data) -> Struct {
    match value(data).kind {
        Some(Kind::StructValue(fields)) => fields,
        _ => Struct::default(),
    }
}

fn value(data: Data) -> Value {
    let kind = match data {
        Data::Null => Kind::NullValue(0),
        Data::Bool(bool) => Kind::BoolValue(bool),
        // Evaluation refuses integers that a double cannot hold.
        Data::Int(int) => Kind::NumberValue(int as f64),
        Data::Float(float) => Kind::NumberValue(float),
        Data::Text(mut text) => Kind::StringValue(mem::take(&mut *text)),
        // Evaluation refuses bytes in a document.
        Data::Bytes(bytes) => Kind::StringValue(BASE64.encode(&bytes)),
        Data::List(items) => Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() }),
        Data::Map(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(key, field)| (key, value(field))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}
