//! Who the caller is, and what it may do.

use crate::calls::awaited;
use crate::client::Client;
use crate::error::Error;
use crate::v1::{self, Right};

impl Client {
    /// The identity and the rights of the caller. It needs no right.
    pub async fn whoami(&self) -> Result<Identity, Error> {
        let reply = self.access().who_am_i().await?;
        Ok(Identity {
            rights: reply.rights().collect(),
            principal: reply.principal,
            home_namespace: reply.home_namespace,
            groups: reply.groups,
            api_key_name: reply.api_key.map(|key| key.name),
        })
    }

    /// Asks whether the caller has a right, and why. Without a namespace, it is about the service as a whole.
    pub fn explain(&self, right: Right) -> Explain {
        let request = v1::ExplainAccessRequest { right: right.into(), ..Default::default() };
        Explain { client: self.clone(), request }
    }
}

/// Who the caller is; see [`Client::whoami`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The caller: `key:ID`, `cert:SAN` or `jwt:ISSUER:SUBJECT`.
    pub principal: String,
    /// What an empty namespace means.
    pub home_namespace: String,
    /// What the caller may do with at least one name of its home namespace, and with the service as a whole.
    pub rights: Vec<Right>,
    /// The groups that the token names.
    pub groups: Vec<String>,
    /// The name of the caller's API key. `None`: it sent another credential.
    pub api_key_name: Option<String>,
}

/// Asks about a right when it is awaited; see [`Client::explain`].
#[must_use = "a call is sent when it is awaited"]
pub struct Explain {
    client: Client,
    request: v1::ExplainAccessRequest,
}

impl Explain {
    /// The namespace in question.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.request.namespace = namespace.into();
        self
    }

    /// The name of a secret, which need not exist. Without it: at least one name of the namespace.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.request.name = name.into();
        self
    }

    /// Who is asked about, in place of the caller.
    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.request.principal = principal.into();
        self
    }
}

/// The decision on a right, and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether the principal has the right.
    pub allowed: bool,
    /// The id of the binding that decides. `None`: no binding gives the right.
    pub binding_id: Option<String>,
    /// The reason in words.
    pub text: String,
    /// The command that would give the right. Empty: the principal has it.
    pub remedy: String,
}

awaited!(Explain => Explanation, async |client: Client, request| {
    let reply = client.access().explain(request).await?;
    Ok(Explanation {
        allowed: reply.allowed,
        binding_id: reply.binding.map(|binding| binding.id),
        text: reply.explanation,
        remedy: reply.remedy,
    })
});
