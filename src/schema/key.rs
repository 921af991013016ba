//! The typed keys of the store, by kind. They hold kinds, random ids and HMACs: nothing that a person wrote.
//!
//! | first byte | then | value, always sealed |
//! | --- | --- | --- |
//! | `k` | | the keyring, sealed by the master key |
//! | `a` | API key id (10 bytes) | an API key, without the key |
//! | `n` | HMAC of the namespace's name (32) | a namespace and its keys |
//! | `i` | namespace id (16), HMAC of the secret's name (32) | the secret's id: makes names unique |
//! | `s` | namespace id (16), secret id (16) | a secret without its value |
//! | `v` | namespace id (16), secret id (16), version (4, big-endian) | a version: wrapped data key and sealed value |
//! | `r` | HMAC of principal and request id (32) | an idempotency record: the first outcome of a request id |
//! | `o` | HMAC of the role's name (32) | a role that a person made |
//! | `b` | binding id (10) | a binding |
//! | `e` | | the access epoch, which every change of who may do what writes again |
//! | `d` | | the digest: which records there are |
//! | `u` | id of an audit log (8), id of a request (16) | the audit record of a change, until it is in the log |
//! | `l` | id of an audit log (8) | the anchor of an audit log: a tree that it had |
//! | `c` | namespace id (16), secret id (16) | who read the values of a secret, and when |
//! | `t` | API key id (10) | when an API key was last used |
//! | `g` | binding id (10) | when a binding was last used |
//! | `f` | position (8, big-endian), index (2, big-endian) | an event: the change of a secret |
//! | `h` | | the start of the history: the revision up to which events are no longer kept |
//!
//! The first byte 0 belongs to the engines.

use crate::domain::SecretId;
use crate::store::Key;

impl Key {
    /// The keyring.
    pub fn keyring() -> Self {
        Self::from_bytes(b"k")
    }

    /// An API key.
    pub fn api_key(id: &[u8; 10]) -> Self {
        Self::from_parts(&[b"a", id])
    }

    /// A namespace, by the HMAC of its name.
    pub fn namespace(name: &[u8; 32]) -> Self {
        Self::from_parts(&[b"n", name])
    }

    /// A secret's name, by its HMAC.
    pub fn name(namespace: NamespaceId, name: &[u8; 32]) -> Self {
        Self::from_parts(&[b"i", &namespace.0, name])
    }

    /// A secret.
    pub fn secret(namespace: NamespaceId, id: SecretId) -> Self {
        Self::from_parts(&[b"s", &namespace.0, id.as_bytes()])
    }

    /// A version of a secret.
    pub fn version(namespace: NamespaceId, id: SecretId, version: u32) -> Self {
        Self::from_parts(&[b"v", &namespace.0, id.as_bytes(), &version.to_be_bytes()])
    }

    /// The idempotency record of a request.
    pub fn idempotency_record(mac: &[u8; 32]) -> Self {
        Self::from_parts(&[b"r", mac])
    }

    /// A role, by the HMAC of its name.
    pub fn role(name: &[u8; 32]) -> Self {
        Self::from_parts(&[b"o", name])
    }

    /// A binding.
    pub fn binding(id: &[u8; 10]) -> Self {
        Self::from_parts(&[b"b", id])
    }

    /// The access epoch.
    pub fn access_epoch() -> Self {
        Self::from_bytes(b"e")
    }

    /// The prefix of all roles.
    pub fn roles() -> Self {
        Self::from_bytes(b"o")
    }

    /// The prefix of all bindings.
    pub fn bindings() -> Self {
        Self::from_bytes(b"b")
    }

    /// The audit record of a request, on its way to a log.
    pub fn audit_record(log: &[u8; 8], request: &[u8; 16]) -> Self {
        Self::from_parts(&[b"u", log, request])
    }

    /// The anchor of an audit log.
    pub fn audit_anchor(log: &[u8; 8]) -> Self {
        Self::from_parts(&[b"l", log])
    }

    /// The usage of a secret.
    pub fn secret_usage(namespace: NamespaceId, id: SecretId) -> Self {
        Self::from_parts(&[b"c", &namespace.0, id.as_bytes()])
    }

    /// The last use of an API key.
    pub fn key_usage(id: &[u8; 10]) -> Self {
        Self::from_parts(&[b"t", id])
    }

    /// The last use of a binding.
    pub fn binding_usage(id: &[u8; 10]) -> Self {
        Self::from_parts(&[b"g", id])
    }

    /// The prefix of the last uses of all bindings.
    pub fn binding_usages() -> Self {
        Self::from_bytes(b"g")
    }

    /// The prefix of the usage of all secrets.
    pub fn secret_usages() -> Self {
        Self::from_bytes(b"c")
    }

    /// The prefix of the last uses of all API keys.
    pub fn key_usages() -> Self {
        Self::from_bytes(b"t")
    }

    /// The prefix of all audit records on their way to a log.
    pub fn audit_records(log: &[u8; 8]) -> Self {
        Self::from_parts(&[b"u", log])
    }

    /// The prefix of the anchors of all audit logs.
    pub fn audit_anchors() -> Self {
        Self::from_bytes(b"l")
    }

    /// The prefix of all namespaces.
    pub fn namespaces() -> Self {
        Self::from_bytes(b"n")
    }

    /// The prefix of all secrets.
    pub fn secrets() -> Self {
        Self::from_bytes(b"s")
    }

    /// The prefix of all versions.
    pub fn versions() -> Self {
        Self::from_bytes(b"v")
    }

    /// The prefix of all API keys.
    pub fn api_keys() -> Self {
        Self::from_bytes(b"a")
    }

    /// The prefix of all secrets' names.
    pub fn names() -> Self {
        Self::from_bytes(b"i")
    }

    /// The prefix of a namespace's secrets.
    pub fn secrets_of(namespace: NamespaceId) -> Self {
        Self::from_parts(&[b"s", &namespace.0])
    }

    /// The prefix of a namespace's names.
    pub fn names_of(namespace: NamespaceId) -> Self {
        Self::from_parts(&[b"i", &namespace.0])
    }

    /// The prefix of a namespace's versions.
    pub fn versions_of(namespace: NamespaceId) -> Self {
        Self::from_parts(&[b"v", &namespace.0])
    }

    /// The prefix of all idempotency records.
    pub fn idempotency_records() -> Self {
        Self::from_bytes(b"r")
    }

    /// The start of the history of events.
    pub fn history_start() -> Self {
        Self::from_bytes(b"h")
    }

    /// The kind of record at this key.
    pub fn kind(&self) -> Kind {
        self.parse().unwrap_or(Kind::Other)
    }

    fn parse(&self) -> Option<Kind> {
        let (kind, rest) = self.as_bytes().split_first()?;
        Some(match kind {
            b'k' if rest.is_empty() => Kind::Keyring,
            b'd' if rest.is_empty() => Kind::Digest,
            b'e' if rest.is_empty() => Kind::AccessEpoch,
            b'h' if rest.is_empty() => Kind::HistoryStart,
            b'f' => Kind::Event(self.appended_position()?),
            b'o' => Kind::Role(rest.try_into().ok()?),
            b'b' => Kind::Binding(rest.try_into().ok()?),
            b'a' => Kind::ApiKey(rest.try_into().ok()?),
            b'n' => Kind::Namespace(rest.try_into().ok()?),
            b'u' => {
                let (log, request) = rest.split_first_chunk()?;
                Kind::AuditRecord(*log, request.try_into().ok()?)
            }
            b'l' => Kind::AuditAnchor(rest.try_into().ok()?),
            b'c' => {
                let (namespace, id) = rest.split_first_chunk()?;
                Kind::SecretUsage(NamespaceId(*namespace), SecretId::from_bytes(id.try_into().ok()?))
            }
            b't' => Kind::KeyUsage(rest.try_into().ok()?),
            b'g' => Kind::BindingUsage(rest.try_into().ok()?),
            b'r' => Kind::IdempotencyRecord(rest.try_into().ok()?),
            b'i' => {
                let (namespace, name) = rest.split_first_chunk()?;
                Kind::Name(NamespaceId(*namespace), name.try_into().ok()?)
            }
            b's' => {
                let (namespace, id) = rest.split_first_chunk()?;
                Kind::Secret(NamespaceId(*namespace), SecretId::from_bytes(id.try_into().ok()?))
            }
            b'v' => {
                let (namespace, rest) = rest.split_first_chunk()?;
                let (id, version) = rest.split_first_chunk()?;
                let version = u32::from_be_bytes(version.try_into().ok()?);
                Kind::Version(NamespaceId(*namespace), SecretId::from_bytes(*id), version)
            }
            _ => return None,
        })
    }
}

/// The kind of record that a key belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The keyring.
    Keyring,
    /// An API key.
    ApiKey([u8; 10]),
    /// A role, by the HMAC of its name.
    Role([u8; 32]),
    /// A binding.
    Binding([u8; 10]),
    /// The access epoch.
    AccessEpoch,
    /// A namespace, by the HMAC of its name.
    Namespace([u8; 32]),
    /// A secret.
    Secret(NamespaceId, SecretId),
    /// A secret's name, by its HMAC.
    Name(NamespaceId, [u8; 32]),
    /// A version of a secret.
    Version(NamespaceId, SecretId, u32),
    /// The idempotency record of a request.
    IdempotencyRecord([u8; 32]),
    /// The digest of the others.
    Digest,
    /// The audit record of a request, on its way to a log.
    AuditRecord([u8; 8], [u8; 16]),
    /// The anchor of an audit log.
    AuditAnchor([u8; 8]),
    /// The usage of a secret.
    SecretUsage(NamespaceId, SecretId),
    /// The last use of an API key.
    KeyUsage([u8; 10]),
    /// The last use of a binding.
    BindingUsage([u8; 10]),
    /// The event of the change of a secret, by its position.
    Event(u64),
    /// The start of the history of events.
    HistoryStart,
    /// A key that this release does not know.
    Other,
}

/// The identity of a namespace: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamespaceId(pub [u8; 16]);
