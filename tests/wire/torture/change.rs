//! A change of one secret: the request, and the state of the secret after it.

use strongroom::api::v1::{
    CreateSecretRequest, DeleteSecretRequest, RotateSecretRequest, Secret, UpdateSecretRequest,
};
use tonic::Status;
use uuid::Uuid;

use super::random::Random;
use crate::caller::Caller;
use crate::requests::{Value, create, delete, describe, rename, rotate, text, update};

/// A secret as the server has it.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    /// The secret with a redacted value, as replies and lists show it.
    pub secret: Secret,
    pub value: Value,
}

/// A change that a caller asks for.
#[derive(Clone)]
pub struct Change {
    pub ask: Ask,
    /// The state of the secret after the change. `None` if it is deleted.
    pub then: Option<Then>,
}

/// The part of a secret's state that is known before the server's reply.
#[derive(Clone, Debug)]
pub struct Then {
    /// The id that it keeps. `None` if the change creates it.
    pub id: Option<String>,
    pub name: String,
    pub version: u32,
    pub value: Value,
    pub description: String,
    /// The revision that its own revision must exceed.
    pub beyond: u64,
}

impl Then {
    /// Asserts that a secret is in this state.
    #[track_caller]
    pub fn assert_is(&self, secret: &Secret) {
        assert!(self.id.as_ref().is_none_or(|id| *id == secret.id), "another id: {secret:?}, {self:?}");
        assert_eq!(
            (&secret.name, secret.version, &secret.description),
            (&self.name, self.version, &self.description)
        );
        assert!(secret.revision > self.beyond, "the revision has not advanced: {secret:?}, {self:?}");
    }
}

#[derive(Clone, Debug)]
pub enum Ask {
    Create(CreateSecretRequest),
    Update(UpdateSecretRequest),
    Rotate(RotateSecretRequest),
    Delete(DeleteSecretRequest),
}

/// The content of a reply to a change.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    /// `None` after a deletion.
    pub secret: Option<Secret>,
    pub id: String,
    pub revision: u64,
}

impl Ask {
    pub async fn send(&self, caller: &Caller) -> Result<Told, Status> {
        let mut secrets = caller.secrets();
        let (secret, revision) = match self.clone() {
            Self::Create(request) => {
                let reply = secrets.create_secret(request).await?.into_inner();
                (reply.secret, reply.revision)
            }
            Self::Update(request) => {
                let reply = secrets.update_secret(request).await?.into_inner();
                (reply.secret, reply.revision)
            }
            Self::Rotate(request) => {
                let reply = secrets.rotate_secret(request).await?.into_inner();
                (reply.secret, reply.revision)
            }
            Self::Delete(request) => {
                let reply = secrets.delete_secret(request).await?.into_inner();
                return Ok(Told { secret: None, id: reply.id, revision: reply.revision });
            }
        };
        let secret = secret.expect("a reply has the secret");
        assert_eq!(Value::of(&secret), Value::Redacted);
        Ok(Told { id: secret.id.clone(), secret: Some(secret), revision })
    }

    /// Whether sending it again returns its outcome.
    pub fn can_be_repeated(&self) -> bool {
        let request_id = match self {
            Self::Create(request) => &request.request_id,
            Self::Update(request) => &request.request_id,
            Self::Rotate(request) => &request.request_id,
            Self::Delete(request) => &request.request_id,
        };
        !request_id.is_empty()
    }
}

/// A change of a secret that does not exist: a create.
pub fn creation(random: &mut Random, name: &str, number: u64) -> Change {
    let value = value(random, number);
    let description = format!("made by change {number}");
    let request = CreateSecretRequest {
        value: value.sent(),
        description: description.clone(),
        request_id: request_id(random),
        ..create(name, "")
    };
    let then = Then { id: None, name: name.into(), version: 1, value, description, beyond: 0 };
    Change { ask: Ask::Create(request), then: Some(then) }
}

/// A change of a secret that exists. `other` is the name that it does not have now.
pub fn alteration(random: &mut Random, kept: &Kept, other: &str, number: u64) -> Change {
    let Kept { secret, value: old } = kept;
    let name = secret.name.as_str();
    let etag = if random.one_in(2) { secret.etag.clone() } else { String::new() };
    let request_id = request_id(random);
    let same = Then {
        id: Some(secret.id.clone()),
        name: secret.name.clone(),
        version: secret.version,
        value: old.clone(),
        description: secret.description.clone(),
        beyond: secret.revision,
    };
    let new = value(random, number);
    let (request, then) = match random.below(10) {
        0..3 => {
            let request = RotateSecretRequest { value: new.sent(), etag, request_id, ..rotate(name, "") };
            let then = Then { version: secret.version + 1, value: new, ..same };
            return Change { ask: Ask::Rotate(request), then: Some(then) };
        }
        3 => {
            let request = DeleteSecretRequest { etag, request_id, ..delete(name) };
            return Change { ask: Ask::Delete(request), then: None };
        }
        4 | 5 => {
            let then = Then { version: secret.version + 1, value: new.clone(), ..same };
            (UpdateSecretRequest { value: new.sent(), ..update(name) }, then)
        }
        6 => {
            let description = format!("described by change {number}");
            (describe(name, &description), Then { description, ..same })
        }
        7 | 8 => (rename(name, other), Then { name: other.into(), ..same }),
        _ => {
            let description = format!("all of it by change {number}");
            let request = UpdateSecretRequest {
                value: new.sent(),
                description: Some(description.clone()),
                ..rename(name, other)
            };
            (
                request,
                Then { name: other.into(), version: secret.version + 1, value: new, description, ..same },
            )
        }
    };
    let request = UpdateSecretRequest { etag, request_id, ..request };
    Change { ask: Ask::Update(request), then: Some(then) }
}

/// A rotation of the secret that all callers share.
pub fn shared_rotation(random: &mut Random, name: &str, number: u64) -> RotateSecretRequest {
    let value = format!("of change {number}");
    RotateSecretRequest { value: text(value), request_id: request_id(random), ..rotate(name, "") }
}

/// A value that no other change has. Now and then it is large and fills pages of the store.
fn value(random: &mut Random, number: u64) -> Value {
    let padding = if random.one_in(8) { random.below(16 * 1024) } else { random.below(200) };
    Value::text(format!("of change {number} {}", "x".repeat(padding as usize)))
}

fn request_id(random: &mut Random) -> String {
    if random.one_in(2) { Uuid::new_v4().to_string() } else { String::new() }
}
