//! Claims of workers on rotations that are due: take one, give it back, and find out whether it holds.
//!
//! A claim is in the record of its secret. To take one is a commit that requires the record unchanged, so of two workers one wins. Claims
//! change nothing that callers see as a change: the revision of the secret stays, and with it the etag.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::SecretOperations;
use super::change::ChangeRequest;
use crate::app::Error;
use crate::auth::{Grant, NamespaceGrant, Rotate};
use crate::catalog::NamespaceCatalog;
use crate::crypto::random;
use crate::domain::{
    Claim, ClaimId, EventType, Invalid, Namespace, Revision, RotationFilter, Secret, SecretId, SecretName,
    Timestamp,
};
use crate::schema::NamespaceId;

/// How many rotations that are due a claim tries one after the other, before it looks again which ones are due.
const CANDIDATES: usize = 16;
/// How often it looks.
const LOOKS: usize = 64;

/// What a worker shows to prove its claim: the secret, and the random id of the claim. It has no `Debug`, since it must not be logged.
#[derive(Clone)]
pub struct ClaimToken {
    namespace: NamespaceId,
    secret: SecretId,
    id: ClaimId,
}

/// Which rotations a worker wants to claim.
pub struct ClaimQuery {
    /// The secrets that it takes.
    pub filter: RotationFilter,
    /// For how long it holds the rotation.
    pub lease: Duration,
}

/// A rotation that a worker has claimed.
pub struct ClaimedRotation {
    /// What the worker shows to prove its claim.
    pub token: ClaimToken,
    /// The secret.
    pub secret: Secret,
    /// When the lease runs out.
    pub expires_at: Timestamp,
    /// The store's revision of the claim.
    pub revision: Revision,
}

/// How a worker gives a rotation back.
pub struct ClaimRelease {
    /// The claim.
    pub token: ClaimToken,
    /// Why the rotation failed, and after how long it is tried again; `None`: it did not fail.
    pub failure: Option<(Box<str>, Option<Duration>)>,
}

impl ClaimToken {
    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const REFUSED: Invalid = Invalid::new("must be the claim_id of a reply to ClaimRotation");
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| REFUSED)?;
        let (namespace, rest) = bytes.split_first_chunk().ok_or(REFUSED)?;
        let (secret, id) = rest.split_first_chunk().ok_or(REFUSED)?;
        let id = ClaimId::from_bytes(id.try_into().map_err(|_| REFUSED)?);
        Ok(Self { namespace: NamespaceId(*namespace), secret: SecretId::from_bytes(*secret), id })
    }

    /// The text form: base64url of the id of the namespace, the id of the secret, and the id of the claim.
    pub fn to_text(&self) -> String {
        let bytes = [self.namespace.0, *self.secret.as_bytes(), *self.id.as_bytes()].concat();
        BASE64URL_NOPAD.encode(&bytes)
    }
}

impl SecretOperations {
    /// Claims the rotation that could be claimed for longest, among those of the secrets that match and that the caller may rotate.
    /// `chosen` is told the name of the secret before it is changed.
    pub async fn claim_rotation(
        &self,
        grant: &NamespaceGrant<Rotate>,
        query: &ClaimQuery,
        chosen: impl Fn(&SecretName),
    ) -> Result<ClaimedRotation, Error> {
        let mut damaged = false;
        for _ in 0..LOOKS {
            let Some(namespace) = self.core.catalog.namespace(grant.namespace()) else {
                let damaged = self.core.catalog.is_damaged(grant.namespace());
                return Err(if damaged { Error::Integrity } else { Error::NoRotationDue });
            };
            let due = namespace.claimable(grant.names(), &query.filter, self.core.clock.now(), CANDIDATES);
            if due.is_empty() {
                return Err(Error::NoRotationDue);
            }
            for secret in due {
                chosen(&secret.name);
                match self.claim_rotation_of(grant, query, &secret).await {
                    // Another worker was faster, or the secret has changed since.
                    Err(Error::NoRotationDue | Error::SecretNotFound(..)) => {}
                    // The others can still be rotated.
                    Err(Error::Integrity) => damaged = true,
                    claimed => return claimed,
                }
            }
            if damaged {
                return Err(Error::Integrity);
            }
        }
        Err(Error::Contended)
    }

    async fn claim_rotation_of(
        &self,
        grant: &NamespaceGrant<Rotate>,
        query: &ClaimQuery,
        found: &Secret,
    ) -> Result<ClaimedRotation, Error> {
        let id = ClaimId::from_bytes(random()?);
        let request = ChangeRequest::of_namespace(grant, &found.name);
        let answer = self
            .change(&request, |present| {
                let (namespace, current) = present.secret(&request, None)?;
                let at = present.now;
                let can_be_claimed =
                    current.id == found.id && current.is_claimable(at) && query.filter.matches(&current);
                if !can_be_claimed {
                    return Err(Error::NoRotationDue);
                }
                let mut plan = present.plan(namespace);
                let mut next = plan.unchanged_successor(&current);
                if let Some(rotation) = &mut next.rotation {
                    rotation.claimed(Claim {
                        id: id.clone(),
                        principal: grant.principal().name().to_string().into(),
                        expires_at: at.plus(query.lease),
                    });
                }
                plan.put_noted(next, None)
            })
            .await?;
        let revision = answer.revision;
        let secret = answer.into_noted()?;
        let namespace = self.core.catalog.namespace(grant.namespace()).ok_or(Error::Integrity)?.id();
        let claim = secret.rotation.as_ref().and_then(|rotation| rotation.claim.as_ref());
        let expires_at = claim.ok_or(Error::Integrity)?.expires_at;
        let token = ClaimToken { namespace, secret: secret.id, id };
        Ok(ClaimedRotation { token, secret, expires_at, revision })
    }

    /// The secret that a claim is on: its namespace and its name. `None` where the secret does not have the claim any more, or never had
    /// it. It does not say whether the lease has run out.
    pub fn claimed_secret(&self, token: &ClaimToken) -> Option<(Namespace, SecretName)> {
        let secret = self.core.catalog.namespace_of(token.namespace)?.secret_of(token.secret)?;
        let claim = secret.rotation.as_ref()?.claim.as_ref()?;
        let has_it = !secret.is_deleted() && claim.id == token.id;
        has_it.then(|| (secret.namespace.clone(), secret.name.clone()))
    }

    /// Gives a rotation back that the caller has claimed.
    pub async fn release_rotation(
        &self,
        grant: &Grant<Rotate>,
        release: &ClaimRelease,
    ) -> Result<(Secret, Revision), Error> {
        let request = ChangeRequest::new(grant, None);
        let answer = self.change(&request, |present| {
            let (namespace, current) = present.secret(&request, None)?;
            require_claim(namespace, &current, &release.token, present.now)?;
            let mut plan = present.plan(namespace);
            let mut next = plan.unchanged_successor(&current);
            let Some(rotation) = &mut next.rotation else { return Err(Error::ClaimLost) };
            match &release.failure {
                Some((error, retry_after)) => {
                    rotation.failed(present.now, error, *retry_after);
                    plan.put_noted(next, Some(EventType::RotationFailed))
                }
                None => {
                    rotation.released();
                    plan.put_noted(next, None)
                }
            }
        });
        let answer = answer.await.map_err(|error| match error {
            // It was renamed or deleted since the caller was granted the right on its name.
            Error::SecretNotFound(..) => Error::ClaimLost,
            other => other,
        })?;
        let revision = answer.revision;
        Ok((answer.into_noted()?, revision))
    }
}

/// Fails where this is no claim on the rotation of the secret, or does not hold any more.
pub(super) fn require_claim(
    namespace: &NamespaceCatalog,
    secret: &Secret,
    token: &ClaimToken,
    now: Timestamp,
) -> Result<(), Error> {
    let is_here = namespace.id() == token.namespace && secret.id == token.secret;
    let rotation = secret.rotation.as_ref().filter(|_| is_here);
    let holds = rotation.is_some_and(|rotation| rotation.is_held_by(&token.id, now));
    if holds { Ok(()) } else { Err(Error::ClaimLost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is_one() {
        let token = ClaimToken {
            namespace: NamespaceId([1; 16]),
            secret: SecretId::from_bytes([2; 16]),
            id: ClaimId::from_bytes([3; 16]),
        };
        let text = token.to_text();
        let read = ClaimToken::parse(&text).unwrap();
        assert!(read.namespace == token.namespace && read.secret == token.secret && read.id == token.id);
        assert_eq!(text.len(), 64);
        for wrong in ["", "no", &text[..60], &format!("{text}AAAA"), &format!("{}=", &text[..63])] {
            assert!(ClaimToken::parse(wrong).is_err(), "{wrong}");
        }
    }
}
