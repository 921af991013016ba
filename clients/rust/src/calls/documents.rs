//! Resolves the references of documents.

use std::fmt;

use prost_types::value::Kind;
use serde_json::{Map, Number, Value as Json};
use zeroize::Zeroize;

use crate::calls::awaited;
use crate::client::Client;
use crate::error::Error;
use crate::plaintext::{Value, wipe};
use crate::v1;

impl Client {
    /// Replaces the references in a document by the values that they refer to: all of them, at one moment, or none.
    ///
    /// The document is a JSON object. A string that begins with `$ ` is an expression, such as `$ secrets.db_password`.
    pub fn resolve(&self, document: Json) -> Resolve {
        Resolve {
            client: self.clone(),
            request: Draft { document, inputs: None, request: Default::default() },
        }
    }
}

/// Resolves a document when it is awaited; see [`Client::resolve`].
#[must_use = "a call is sent when it is awaited"]
pub struct Resolve {
    client: Client,
    request: Draft,
}

struct Draft {
    document: Json,
    inputs: Option<Json>,
    request: v1::ResolveReferencesRequest,
}

impl Resolve {
    /// What the expressions see, a JSON object: its key `input` as `input` and `_`, every other key below `inputs`.
    pub fn inputs(mut self, inputs: Json) -> Self {
        self.request.inputs = Some(inputs);
        self
    }

    /// Read no value: the result only lists the references.
    pub fn validate_only(mut self) -> Self {
        self.request.request.validate_only = true;
        self
    }

    /// How new the answer must be; as [`Get::consistency`](crate::Get::consistency).
    pub fn consistency(mut self, consistency: crate::Consistency) -> Self {
        self.request.request.consistency = consistency.into();
        self
    }
}

/// A document with the values of its references. No print shows it, and its texts are overwritten when it is dropped.
#[non_exhaustive]
pub struct ResolvedDocument {
    document: Option<Json>,
    /// The secrets that `secret_name` beside `tool` names, in the order of the document.
    pub credentials: Vec<Credential>,
    /// The secrets that the document names, each once, by name.
    pub references: Vec<Reference>,
    /// The store's revision that all of them were read at.
    pub revision: u64,
}

impl ResolvedDocument {
    /// The document. It holds values: do not log it. `None` with [`Resolve::validate_only`].
    pub fn document(&self) -> Option<&Json> {
        self.document.as_ref()
    }
}

impl Drop for ResolvedDocument {
    fn drop(&mut self) {
        self.document.as_mut().map(wipe);
    }
}

impl fmt::Debug for ResolvedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedDocument")
            .field("references", &self.references)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// A secret that a step of a document uses as its credential.
#[non_exhaustive]
pub struct Credential {
    /// The place of the step: a JSON Pointer, for example `/steps/0`.
    pub path: String,
    /// The name of the secret.
    pub secret_name: String,
    /// Its value.
    pub value: Option<Value>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("path", &self.path)
            .field("secret_name", &self.secret_name)
            .finish_non_exhaustive()
    }
}

/// A secret that a document names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// The name of the secret.
    pub name: String,
    /// The places that name it: JSON Pointers.
    pub paths: Vec<String>,
    /// Whether the secret exists. Always false when the caller may not know.
    pub exists: bool,
    /// Whether the caller can read its value.
    pub readable: bool,
}

awaited!(Resolve => ResolvedDocument, async |client: Client, draft: Draft| {
    let Draft { document, inputs, mut request } = draft;
    request.document = Some(object(document, "document")?);
    request.inputs = inputs.map(|inputs| object(inputs, "inputs")).transpose()?;
    let reply = client.references().resolve(request).await?;
    let credential = |sent: v1::Credential| Credential {
        path: sent.path,
        secret_name: sent.secret_name,
        value: sent.value.and_then(Value::of),
    };
    let reference = |sent: v1::Reference| Reference {
        name: sent.name,
        paths: sent.paths,
        exists: sent.exists,
        readable: sent.readable,
    };
    Ok(ResolvedDocument {
        document: reply.document.map(|document| Json::Object(json_of(document))),
        credentials: reply.credentials.into_iter().map(credential).collect(),
        references: reply.references.into_iter().map(reference).collect(),
        revision: reply.revision,
    })
});

fn object(json: Json, what: &str) -> Result<prost_types::Struct, Error> {
    match sent(json) {
        Kind::StructValue(fields) => Ok(fields),
        mut other => {
            if let Kind::StringValue(text) = &mut other {
                text.zeroize();
            }
            Err(Error::configuration(format!("the {what} must be a JSON object")))
        }
    }
}

fn sent(json: Json) -> Kind {
    let value = |json| prost_types::Value { kind: Some(sent(json)) };
    match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(bool) => Kind::BoolValue(bool),
        // A number that is no float is sent as the service knows numbers: as the nearest float.
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.into_iter().map(value).collect() })
        }
        Json::Object(fields) => Kind::StructValue(prost_types::Struct {
            fields: fields.into_iter().map(|(key, json)| (key, value(json))).collect(),
        }),
    }
}

fn json_of(fields: prost_types::Struct) -> Map<String, Json> {
    fields.fields.into_iter().map(|(key, value)| (key, received(value))).collect()
}

fn received(value: prost_types::Value) -> Json {
    match value.kind {
        Some(Kind::NullValue(_)) | None => Json::Null,
        Some(Kind::BoolValue(bool)) => Json::Bool(bool),
        Some(Kind::NumberValue(number)) => number_of(number),
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(list)) => Json::Array(list.values.into_iter().map(received).collect()),
        Some(Kind::StructValue(fields)) => Json::Object(json_of(fields)),
    }
}

/// A whole number as an integer, where a float holds it exactly.
#[allow(clippy::cast_possible_truncation, clippy::float_cmp)] // the bounds are checked
fn number_of(number: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.trunc() == number && number.abs() <= EXACT {
        return Json::Number((number as i64).into());
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_comes_back_as_it_was_sent() {
        let document = json!({"a": [1, 2.5, -3, true, null, "text"], "b": {"c": "é"}, "big": 1e300});
        assert_eq!(Json::Object(json_of(object(document.clone(), "document").unwrap())), document);
        for other in [json!([]), json!("hidden"), json!(1)] {
            let error = object(other, "document").unwrap_err();
            assert!(error.to_string().contains("JSON object") && !error.to_string().contains("hidden"));
        }
    }
}
