//! Credentials that are no API keys: client certificates, and tokens of configured issuers.

pub mod authority;
mod bad_tokens;
mod certificates;
mod issuer;
mod key_sets;
mod reload;
mod signer;
mod tokens;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use strongroom::api::v1::{WhoAmIRequest, WhoAmIResponse};
use tonic::{Response, Status};

use self::signer::{Signer, key_set};
use crate::caller::{Caller, Credential};
use crate::harness::{Launch, Server};

pub const ISSUER: &str = "https://issuer.example.com";

/// A server with an issuer named `ci`, whose keys are in a file.
pub struct Site {
    pub server: Server,
    pub caller: Caller,
    pub signer: Signer,
    pub folder: tempfile::TempDir,
}

impl Site {
    pub async fn open(signer: Signer) -> Self {
        Self::with(signer, "").await
    }

    /// The same, with more settings of the issuer.
    pub async fn with(signer: Signer, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        std::fs::write(&file, key_set(&[&signer])).unwrap();
        let keys = format!("jwks_file = '{}'\n{settings}", file.display());
        let server = launch(folder.path(), &keys).start();
        let caller = Caller::new(&server, Credential::default()).await;
        Self { server, caller, signer, folder }
    }

    /// WhoAmI with this token.
    pub async fn who(&self, token: &str) -> Result<Response<WhoAmIResponse>, Status> {
        who(&self.caller.with(Credential::bearer(token))).await
    }
}

/// A server with an issuer named `ci`.
pub fn launch(folder: &Path, settings: &str) -> Launch {
    let file = folder.join("strongroom.toml");
    let issuer = format!(
        "[[issuers]]\nname = 'ci'\nissuer = '{ISSUER}'\naudiences = ['strongroom', 'vault']\n{settings}\n"
    );
    std::fs::write(&file, issuer).unwrap();
    Launch::in_memory().argument("--config").argument(file.display().to_string())
}

/// The claims of a token that is in force.
pub fn claims() -> Value {
    let now = unix_time();
    json!({"iss": ISSUER, "aud": "strongroom", "sub": "builder", "iat": now, "nbf": now, "exp": now + 600})
}

/// The same, with a claim replaced.
pub fn with(claim: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[claim] = value.into();
    claims
}

/// The same, without a claim.
pub fn without(claim: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub async fn who(caller: &Caller) -> Result<Response<WhoAmIResponse>, Status> {
    caller.access().who_am_i(WhoAmIRequest {}).await
}
