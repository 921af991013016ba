//! Client certificates (RFC 5280) as credentials: the authorities that vouch for them, and the principal of each.
//!
//! TLS checks a certificate during the handshake. It is checked again here, for three reasons: a session can be resumed after
//! its certificate has ended, TLS does not look at the end of an authority, and an authority can be removed while connections
//! that it vouches for are open.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, DnsName, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

use super::principal::{Principal, PrincipalName};
use crate::domain::{Namespace, Timestamp};

/// The authorities whose client certificates are credentials.
pub struct ClientAuthorities {
    authorities: Vec<Authority>,
    /// Tells these authorities from those that were read before.
    generation: u64,
}

/// An authority.
struct Authority {
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    expires_at: Timestamp,
}

/// Why a file of authorities cannot be used. Each message says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientAuthoritiesError {
    /// It has no certificates, or one that cannot be read.
    #[error("it does not hold certificates (PEM) that can be read")]
    Malformed,
    /// A certificate is not that of an authority.
    #[error(
        "one of its certificates is not that of an authority (basicConstraints with cA): give the certificate that signs \
         the clients' certificates, not a client's own"
    )]
    NoAuthority,
    /// All authorities have expired.
    #[error("all of its authorities have expired: give the certificate of one that is valid")]
    Expired,
}

/// What is wrong with a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateProblem {
    /// It has expired, or a certificate that vouches for it has.
    Expired,
    /// No authority of the service vouches for it, or it is not for clients.
    Untrusted,
    /// It names no principal: it has no URI and no DNS name that can be one.
    NoName,
    /// It has more than one URI, so that it is not certain which one is its principal.
    SeveralUris,
}

/// A client certificate that an authority vouches for, and its principal.
pub struct ClientCertificate {
    name: PrincipalName,
    home: Namespace,
    /// The certificate, and behind it those that its client sent along.
    chain: Vec<CertificateDer<'static>>,
    expires_at: Timestamp,
    checked: Mutex<Checked>,
}

/// The outcome of the latest check.
struct Checked {
    /// The authorities that it was checked against.
    generation: u64,
    trusted: Result<(), CertificateProblem>,
}

/// The number of the next authorities that are read.
static GENERATION: AtomicU64 = AtomicU64::new(1);

impl ClientAuthorities {
    /// The authorities of a file (PEM). Those that have expired at `now` are left out.
    pub fn parse(pem: &[u8], now: Timestamp) -> Result<Self, ClientAuthoritiesError> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|_| ClientAuthoritiesError::Malformed)?;
        if certificates.is_empty() {
            return Err(ClientAuthoritiesError::Malformed);
        }
        let mut authorities = certificates.into_iter().map(Authority::read).collect::<Result<Vec<_>, _>>()?;
        authorities.retain(|authority| authority.expires_at > now);
        if authorities.is_empty() {
            return Err(ClientAuthoritiesError::Expired);
        }
        Ok(Self { authorities, generation: GENERATION.fetch_add(1, Ordering::Relaxed) })
    }

    /// Their certificates.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.authorities.iter().map(|authority| &authority.certificate)
    }

    /// The certificate that a client presented, with those that it sent along, if an authority vouches for it.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<ClientCertificate, CertificateProblem> {
        let expires_at = self.path(chain, now)?;
        let leaf = chain.first().ok_or(CertificateProblem::Untrusted)?;
        let leaf = Certificate::from_der(leaf).map_err(|_| CertificateProblem::NoName)?;
        Ok(ClientCertificate {
            name: name(&leaf)?,
            home: Namespace::default_namespace(),
            chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            expires_at,
            checked: Mutex::new(Checked { generation: self.generation, trusted: Ok(()) }),
        })
    }

    /// The earliest end of the certificates on the path from the first of a chain to an authority.
    fn path(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Timestamp, CertificateProblem> {
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateProblem::Untrusted)?;
        let leaf = EndEntityCert::try_from(leaf).map_err(|_| CertificateProblem::Untrusted)?;
        let in_force = self.authorities.iter().filter(|authority| authority.expires_at > now);
        let anchors: Vec<_> = in_force.map(|authority| authority.anchor.clone()).collect();
        let time = Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or(0));
        let path = leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &anchors,
            intermediates,
            UnixTime::since_unix_epoch(time),
            KeyUsage::client_auth(),
            None,
            None,
        );
        let path = path.map_err(|error| match error {
            webpki::Error::CertExpired { .. } => CertificateProblem::Expired,
            _ => CertificateProblem::Untrusted,
        })?;
        let ends = std::iter::once(path.end_entity().der())
            .chain(path.intermediate_certificates().map(|certificate| certificate.der()))
            .map(|certificate| end(&certificate).ok_or(CertificateProblem::Untrusted))
            .collect::<Result<Vec<_>, _>>()?;
        // An authority can have been renewed with the same name and key: then its later certificate vouches too.
        let of_authority = self.authorities.iter().filter(|authority| authority.anchor == *path.anchor());
        let of_authority = of_authority.map(|authority| authority.expires_at).max();
        ends.into_iter().chain(of_authority).min().ok_or(CertificateProblem::Untrusted)
    }
}

/// The authorities of a configuration without any: no client certificate is a credential.
impl Default for ClientAuthorities {
    fn default() -> Self {
        Self { authorities: Vec::new(), generation: 0 }
    }
}

/// Shows how many there are.
impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAuthorities({})", self.authorities.len())
    }
}

impl Authority {
    fn read(certificate: CertificateDer<'static>) -> Result<Self, ClientAuthoritiesError> {
        const MALFORMED: ClientAuthoritiesError = ClientAuthoritiesError::Malformed;
        let parsed = Certificate::from_der(&certificate).map_err(|_| MALFORMED)?;
        let constraints = parsed.tbs_certificate().get_extension::<BasicConstraints>();
        if !constraints.map_err(|_| MALFORMED)?.is_some_and(|(_critical, constraints)| constraints.ca) {
            return Err(ClientAuthoritiesError::NoAuthority);
        }
        let anchor = anchor_from_trusted_cert(&certificate).map_err(|_| MALFORMED)?.to_owned();
        let expires_at = not_after(&parsed);
        Ok(Self { certificate, anchor, expires_at })
    }
}

impl ClientCertificate {
    /// Its principal.
    pub fn name(&self) -> &PrincipalName {
        &self.name
    }

    /// The namespace that an empty namespace in its client's requests means.
    pub(super) fn home(&self) -> &Namespace {
        &self.home
    }

    /// When it expires, or earlier a certificate that vouches for it.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The caller whose connection presented this certificate.
    pub fn principal(self: &Arc<Self>) -> Principal {
        Principal::of_certificate(self.clone())
    }

    /// An error where it has expired at `now`, or where none of these authorities vouches for it.
    pub fn in_force(
        &self,
        authorities: &ClientAuthorities,
        now: Timestamp,
    ) -> Result<(), CertificateProblem> {
        if self.expires_at <= now {
            return Err(CertificateProblem::Expired);
        }
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.generation != authorities.generation {
            let trusted = authorities.path(&self.chain, now).map(drop);
            *checked = Checked { generation: authorities.generation, trusted };
        }
        checked.trusted
    }
}

/// The principal of a certificate: its only URI, or else the first of its DNS names. A name with a wildcard is none.
fn name(certificate: &Certificate) -> Result<PrincipalName, CertificateProblem> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let names = names.map_err(|_| CertificateProblem::NoName)?;
    let (_critical, SubjectAltName(names)) = names.ok_or(CertificateProblem::NoName)?;
    let uris: BTreeSet<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        })
        .collect();
    let dns = names.iter().find_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str()),
        _ => None,
    });
    let name = match (uris.first(), uris.len(), dns) {
        (Some(uri), 1, _) => PrincipalName::certificate(uri),
        (Some(_), _, _) => return Err(CertificateProblem::SeveralUris),
        (None, _, Some(dns)) => {
            let dns = DnsName::try_from(dns).map_err(|_| CertificateProblem::NoName)?;
            PrincipalName::certificate(dns.to_lowercase_owned().as_ref())
        }
        (None, _, None) => return Err(CertificateProblem::NoName),
    };
    name.map_err(|_| CertificateProblem::NoName)
}

/// From when and until when a certificate is valid; `None` if it is none.
pub fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let begin = certificate.tbs_certificate().validity().not_before.to_unix_duration();
    Some((Timestamp::from_micros(0).plus(begin), not_after(&certificate)))
}

/// The end of a certificate.
fn end(certificate: &[u8]) -> Option<Timestamp> {
    Certificate::from_der(certificate).ok().map(|certificate| not_after(&certificate))
}

fn not_after(certificate: &Certificate) -> Timestamp {
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    Timestamp::from_micros(0).plus(end)
}
