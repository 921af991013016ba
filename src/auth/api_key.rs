//! API keys: the credential that a caller presents, and the record that the service keeps of it.
//!
//! A credential is shown once, when it is made. The record has only an HMAC of it, so that the store, a backup and this
//! process's memory hold nothing that opens the service. The app creates and revokes keys; the api has callers
//! authenticated with them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use prost::Message;
use zeroize::Zeroizing;

use super::principal::Principal;
use crate::crypto::{Error, Keyring, Mac, Purpose, random};
use crate::domain::{Invalid, Namespace, Revision, Timestamp};
use crate::schema::ApiKeyRecord;

/// An API key, without its credential.
pub struct ApiKey {
    /// The public part of the credential.
    pub id: ApiKeyId,
    /// The name that its creator gave it.
    pub name: KeyName,
    /// The namespace that an empty namespace in a request means.
    pub home: Namespace,
    /// Whether the key was made with its store. This gives it no right: bindings do.
    pub root: bool,
    /// When the key was created.
    pub created_at: Timestamp,
    /// From when on the key is refused; `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// When the key was revoked; `None`: it was not.
    pub revoked_at: Option<Timestamp>,
    /// When the key last got a new credential; `None`: never.
    pub rotated_at: Option<Timestamp>,
    /// The store's revision of the last change to the record.
    pub revision: Revision,
    /// The HMAC of the whole credential.
    mac: Mac,
    /// The HMAC of the credential before that one, and until when it works.
    former: Option<(Mac, Timestamp)>,
}

/// Why an API key does not authenticate a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeyError {
    /// The credential does not belong to this key, or the key was revoked.
    Invalid,
    /// The key has expired.
    Expired,
}

impl ApiKey {
    /// The key of a new credential. It is not in the store yet.
    pub fn new(
        keyring: &Keyring,
        credential: &Credential,
        name: KeyName,
        home: Namespace,
        root: bool,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let mac = keyring.credential_mac(credential.0.as_bytes());
        Self {
            id: credential.id(),
            name,
            home,
            root,
            created_at,
            expires_at,
            revoked_at: None,
            rotated_at: None,
            revision: Revision::default(),
            mac,
            former: None,
        }
    }

    /// Whether the credential belongs to this key, or belonged to it before its last rotation. Takes the same time for every
    /// credential, whether or not it does.
    pub fn is_of(&self, keyring: &Keyring, credential: &Credential) -> bool {
        self.mac_of(keyring, credential).is_some()
    }

    /// The HMAC of this key that belongs to the credential.
    fn mac_of(&self, keyring: &Keyring, credential: &Credential) -> Option<Mac> {
        let belongs = |mac: &Mac| keyring.is_credential(credential.0.as_bytes(), mac);
        let (current, former) =
            (belongs(&self.mac), self.former.map(|(mac, _)| mac).filter(|mac| belongs(mac)));
        if current { Some(self.mac) } else { former }
    }

    /// The caller, if the credential belongs to this key and the key is in force at `now`.
    pub fn authenticate(
        self: &Arc<Self>,
        keyring: &Keyring,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Principal, ApiKeyError> {
        let mac = self.mac_of(keyring, credential).ok_or(ApiKeyError::Invalid)?;
        let expires_at = self.admits(&mac, now)?;
        if mac == self.mac {
            return Ok(Principal::of_api_key(self.clone()));
        }
        // The caller presented the credential before the last rotation, and is confirmed by that one.
        let (name, home) = (self.name.clone(), self.home.clone());
        Ok(Principal::of_api_key(Arc::new(Self { name, home, mac, expires_at, ..**self })))
    }

    /// Whether a caller that was authenticated with this key, as it then was, may still act at `now`, and when its credential
    /// expires.
    pub fn confirm(&self, presented: &Self, now: Timestamp) -> Result<Option<Timestamp>, ApiKeyError> {
        self.admits(&presented.mac, now)
    }

    /// When the credential with this HMAC expires. An error where it is not in force at `now`.
    fn admits(&self, mac: &Mac, now: Timestamp) -> Result<Option<Timestamp>, ApiKeyError> {
        self.in_force(now)?;
        match self.former {
            _ if *mac == self.mac => Ok(self.expires_at),
            Some((former, until)) if *mac == former && now < until => {
                Ok(Some(self.expires_at.map_or(until, |expires_at| expires_at.min(until))))
            }
            Some((former, _)) if *mac == former => Err(ApiKeyError::Expired),
            Some(_) | None => Err(ApiKeyError::Invalid),
        }
    }

    /// An error where the key is revoked, or expired at `now`.
    pub fn in_force(&self, now: Timestamp) -> Result<(), ApiKeyError> {
        if self.revoked_at.is_some() {
            return Err(ApiKeyError::Invalid);
        }
        match self.expires_at {
            Some(expires_at) if expires_at <= now => Err(ApiKeyError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    /// The same key, revoked at `now`.
    pub fn revoked(&self, now: Timestamp) -> Self {
        Self { id: self.id, name: self.name.clone(), home: self.home.clone(), revoked_at: Some(now), ..*self }
    }

    /// The same key with another credential, from `now` on. The present credential works for the overlap.
    pub fn rotated(
        &self,
        keyring: &Keyring,
        credential: &Credential,
        now: Timestamp,
        overlap: Duration,
    ) -> Self {
        let mac = keyring.credential_mac(credential.0.as_bytes());
        let former = (!overlap.is_zero()).then(|| (self.mac, now.plus(overlap)));
        let (name, home) = (self.name.clone(), self.home.clone());
        Self { name, home, rotated_at: Some(now), mac, former, ..*self }
    }

    /// The sealed record of the key, as the store keeps it.
    pub fn seal(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        let record = ApiKeyRecord {
            name: self.name.0.to_string(),
            home: self.home.to_string(),
            root: self.root,
            mac: self.mac.to_vec(),
            created_at: self.created_at.as_micros(),
            expires_at: self.expires_at.map(Timestamp::as_micros),
            revoked_at: self.revoked_at.map(Timestamp::as_micros),
            former_mac: self.former.map(|(mac, _)| mac.to_vec()).unwrap_or_default(),
            former_until: self.former.map(|(_, until)| until.as_micros()),
            rotated_at: self.rotated_at.map(Timestamp::as_micros),
        };
        keyring.seal(Purpose::ApiKey, &self.id.0, &record.encode_to_vec())
    }

    /// Opens the sealed record that the commit with this revision put at the key's id. Fails with
    /// [`Error::Integrity`] where the keyring did not seal the record for this id.
    pub fn open(keyring: &Keyring, id: ApiKeyId, sealed: &[u8], revision: Revision) -> Result<Self, Error> {
        let clear = keyring.open_record(Purpose::ApiKey, &id.0, sealed)?;
        let record = ApiKeyRecord::decode(clear.as_slice()).map_err(|_| Error::Integrity)?;
        let former = match record.former_until {
            Some(until) => {
                let mac = record.former_mac.try_into().map_err(|_| Error::Integrity)?;
                Some((mac, Timestamp::from_micros(until)))
            }
            None => None,
        };
        Ok(Self {
            id,
            name: KeyName(record.name.into()),
            home: Namespace::parse(&record.home).map_err(|_| Error::Integrity)?,
            root: record.root,
            created_at: Timestamp::from_micros(record.created_at),
            expires_at: record.expires_at.map(Timestamp::from_micros),
            revoked_at: record.revoked_at.map(Timestamp::from_micros),
            rotated_at: record.rotated_at.map(Timestamp::from_micros),
            former,
            revision,
            mac: record.mac.try_into().map_err(|_| Error::Integrity)?,
        })
    }
}

/// The public part of a credential: 10 random bytes. As text: 16 lower-case letters and digits (base32, RFC 4648 section
/// 6, without padding).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(pub [u8; 10]);

impl ApiKeyId {
    const TEXT: usize = 16;

    /// Parses the text form. Upper-case letters are refused.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const INVALID: Invalid = Invalid::new("must be the 16 characters of an API key's id");
        if text.len() != Self::TEXT || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(INVALID);
        }
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| INVALID)?;
        bytes.try_into().map(Self).map_err(|_| INVALID)
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

/// The secret text that a caller presents: `srk_`, the key's id, `_`, and 43 characters of base64url (256 random bits).
/// Wiped from memory when dropped.
pub struct Credential(Zeroizing<String>);

impl Credential {
    const PREFIX: &str = "srk_";
    const SECRET: usize = 32;

    /// A new, random credential. Fails where the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        Self::generate_for(ApiKeyId(random()?))
    }

    /// A new, random credential of the key with this id.
    pub fn generate_for(id: ApiKeyId) -> Result<Self, Error> {
        let secret = Zeroizing::new(random::<{ Self::SECRET }>()?);
        let secret = Zeroizing::new(BASE64URL_NOPAD.encode(&*secret));
        Ok(Self(Zeroizing::new(format!("{}{id}_{}", Self::PREFIX, *secret))))
    }

    /// Parses a credential; `None` where the text does not have its form. Says nothing about whether a key exists for it.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(Self::PREFIX)?.split_at_checked(ApiKeyId::TEXT)?;
        ApiKeyId::parse(id).ok()?;
        let secret = Zeroizing::new(BASE64URL_NOPAD.decode(secret.strip_prefix('_')?.as_bytes()).ok()?);
        (secret.len() == Self::SECRET).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The id of the key that the credential says it belongs to.
    pub fn id(&self) -> ApiKeyId {
        let id = self.0.strip_prefix(Self::PREFIX).and_then(|rest| rest.get(..ApiKeyId::TEXT));
        id.and_then(|id| ApiKeyId::parse(id).ok()).unwrap_or(ApiKeyId([0; 10]))
    }

    /// The whole text, for its owner only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The name of an API key: 1 to 128 characters without control characters. Names need not be unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let length = text.chars().count();
        if !(1..=128).contains(&length) || text.chars().any(char::is_control) {
            return Err(Invalid::new("must be 1 to 128 characters without control characters"));
        }
        Ok(Self(text.into()))
    }

    /// The name of the root key that is created with a store.
    pub fn root() -> Self {
        Self("root".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::CredentialKind;
    use crate::crypto::MasterKeys;

    #[test]
    fn a_credential_is_read_back_and_nothing_else_is() {
        let credential = Credential::generate().unwrap();
        let text = credential.expose();
        assert_eq!(text.len(), 64);
        assert_eq!(Credential::parse(text).unwrap().id(), credential.id());
        let upper = text.to_ascii_uppercase();
        for refused in
            ["", "srk_", "srk_é", &text[..63], &format!("{text}a"), &upper, &text.replacen('_', "-", 1)]
        {
            assert!(Credential::parse(refused).is_none(), "{refused}");
        }
    }

    #[test]
    fn a_key_opens_with_its_own_credential_until_it_expires_or_is_revoked() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let credential = Credential::generate().unwrap();
        let at = Timestamp::from_micros;
        let name = KeyName::parse("billing").unwrap();
        let home = Namespace::default_namespace();
        let key = ApiKey::new(&keyring, &credential, name, home, false, at(1), Some(at(10)));
        let key =
            Arc::new(ApiKey::open(&keyring, key.id, &key.seal(&keyring).unwrap(), Revision(3)).unwrap());

        assert!(key.authenticate(&keyring, &credential, at(9)).is_ok());
        assert_eq!(key.authenticate(&keyring, &credential, at(10)).err(), Some(ApiKeyError::Expired));
        let other = Credential::generate().unwrap();
        assert_eq!(key.authenticate(&keyring, &other, at(9)).err(), Some(ApiKeyError::Invalid));
        // A rotation leaves the present credential in force for the overlap.
        let new = Credential::generate_for(key.id).unwrap();
        let rotated = key.rotated(&keyring, &new, at(5), Duration::from_micros(3));
        let rotated =
            Arc::new(ApiKey::open(&keyring, key.id, &rotated.seal(&keyring).unwrap(), Revision(4)).unwrap());
        let presented = rotated.authenticate(&keyring, &credential, at(7)).unwrap();
        assert_eq!(presented.expires_at(), Some(at(8)));
        let CredentialKind::ApiKey(presented) = presented.credential() else { panic!("an API key") };
        assert_eq!(rotated.confirm(presented, at(7)), Ok(Some(at(8))));
        assert_eq!(rotated.confirm(presented, at(8)), Err(ApiKeyError::Expired));
        assert_eq!(rotated.authenticate(&keyring, &credential, at(8)).err(), Some(ApiKeyError::Expired));
        assert!(rotated.authenticate(&keyring, &new, at(9)).is_ok());
        let at_once = Arc::new(key.rotated(&keyring, &new, at(5), Duration::ZERO));
        assert_eq!(at_once.confirm(&key, at(6)), Err(ApiKeyError::Invalid));
        assert_eq!(at_once.authenticate(&keyring, &credential, at(6)).err(), Some(ApiKeyError::Invalid));
        let revoked = Arc::new(key.revoked(at(5)));
        assert_eq!(revoked.authenticate(&keyring, &credential, at(9)).err(), Some(ApiKeyError::Invalid));
    }
}
