use std::fmt;
use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use prost::Message;
use zeroize::Zeroizing;

use super::grant::Principal;
use crate::crypto::{Error, Keyring, Mac, Purpose, random};
use crate::domain::{Invalid, Namespace, Revision, Timestamp};
use crate::schema::ApiKeyRecord;

/// What is kept of an API key: everything but the key.
pub struct ApiKey {
    /// The public half of the key.
    pub id: ApiKeyId,
    /// What it is called.
    pub name: KeyName,
    /// The namespace that it opens.
    pub home: Namespace,
    /// Whether it may do everything everywhere.
    pub root: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The store's revision of its last change.
    pub revision: Revision,
    mac: Mac,
}

/// Why a key does not open anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The credential is not this key's, or the key was revoked.
    Invalid,
    /// The key's time has passed.
    Expired,
}

impl ApiKey {
    /// What is to be kept of a new credential.
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
        let (id, revision) = (credential.id(), Revision::default());
        Self { id, name, home, root, created_at, expires_at, revoked_at: None, revision, mac }
    }

    /// Whether the credential is this key's, in a time that tells nothing of either.
    pub fn is_of(&self, keyring: &Keyring, credential: &Credential) -> bool {
        keyring.is_credential(credential.0.as_bytes(), &self.mac)
    }

    /// The caller, when the credential is this key's and the key is in force.
    pub fn authenticate(
        self: &Arc<Self>,
        keyring: &Keyring,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Principal, Refused> {
        if !self.is_of(keyring, credential) {
            return Err(Refused::Invalid);
        }
        self.in_force(now)?;
        Ok(Principal::new(self.clone()))
    }

    /// Whether the key is neither revoked nor expired.
    pub fn in_force(&self, now: Timestamp) -> Result<(), Refused> {
        if self.revoked_at.is_some() {
            return Err(Refused::Invalid);
        }
        match self.expires_at {
            Some(expires_at) if expires_at <= now => Err(Refused::Expired),
            Some(_) | None => Ok(()),
        }
    }

    /// The key as it is once revoked.
    pub fn revoked(&self, now: Timestamp) -> Self {
        Self { id: self.id, name: self.name.clone(), home: self.home.clone(), revoked_at: Some(now), ..*self }
    }

    /// The sealed record of it.
    pub fn seal(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        let record = ApiKeyRecord {
            name: self.name.0.to_string(),
            home: self.home.to_string(),
            root: self.root,
            mac: self.mac.to_vec(),
            created_at: self.created_at.as_micros(),
            expires_at: self.expires_at.map(Timestamp::as_micros),
            revoked_at: self.revoked_at.map(Timestamp::as_micros),
        };
        keyring.seal(Purpose::ApiKey, &self.id.0, &record.encode_to_vec())
    }

    /// The key in a sealed record, which a commit of that revision put at the key's id.
    pub fn open(keyring: &Keyring, id: ApiKeyId, sealed: &[u8], revision: Revision) -> Result<Self, Error> {
        let clear = keyring.open_record(Purpose::ApiKey, &id.0, sealed)?;
        let record = ApiKeyRecord::decode(clear.as_slice()).map_err(|_| Error::Integrity)?;
        Ok(Self {
            id,
            name: KeyName(record.name.into()),
            home: Namespace::parse(&record.home).map_err(|_| Error::Integrity)?,
            root: record.root,
            created_at: Timestamp::from_micros(record.created_at),
            expires_at: record.expires_at.map(Timestamp::from_micros),
            revoked_at: record.revoked_at.map(Timestamp::from_micros),
            revision,
            mac: record.mac.try_into().map_err(|_| Error::Integrity)?,
        })
    }
}

/// The public half of a key: 10 random bytes, as text 16 lower-case letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(pub [u8; 10]);

impl ApiKeyId {
    const TEXT: usize = 16;

    /// The id, when it is one.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const REFUSED: Invalid = Invalid::new("must be the 16 characters of an API key's id");
        if text.len() != Self::TEXT || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(REFUSED);
        }
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| REFUSED)?;
        bytes.try_into().map(Self).map_err(|_| REFUSED)
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

/// What a caller presents: `srk_`, the key's id, `_`, and 43 characters of base64url (256 random bits). Wiped when
/// dropped.
pub struct Credential(Zeroizing<String>);

impl Credential {
    const PREFIX: &str = "srk_";
    const SECRET: usize = 32;

    /// A new one.
    pub fn generate() -> Result<Self, Error> {
        let id = ApiKeyId(random()?);
        let secret = Zeroizing::new(random::<{ Self::SECRET }>()?);
        let secret = Zeroizing::new(BASE64URL_NOPAD.encode(&*secret));
        Ok(Self(Zeroizing::new(format!("{}{id}_{}", Self::PREFIX, *secret))))
    }

    /// The credential in a text, when it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(Self::PREFIX)?.split_at_checked(ApiKeyId::TEXT)?;
        ApiKeyId::parse(id).ok()?;
        let secret = Zeroizing::new(BASE64URL_NOPAD.decode(secret.strip_prefix('_')?.as_bytes()).ok()?);
        (secret.len() == Self::SECRET).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Which key it claims to be.
    pub fn id(&self) -> ApiKeyId {
        let id = self.0.strip_prefix(Self::PREFIX).and_then(|rest| rest.get(..ApiKeyId::TEXT));
        id.and_then(|id| ApiKeyId::parse(id).ok()).unwrap_or(ApiKeyId([0; 10]))
    }

    /// The text, to be handed to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What an API key is called: 1 to 128 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// The name, when it is one.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let length = text.chars().count();
        if !(1..=128).contains(&length) || text.chars().any(char::is_control) {
            return Err(Invalid::new("must be 1 to 128 characters without control characters"));
        }
        Ok(Self(text.into()))
    }

    /// The name of the first key.
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
        assert_eq!(key.authenticate(&keyring, &credential, at(10)).err(), Some(Refused::Expired));
        let other = Credential::generate().unwrap();
        assert_eq!(key.authenticate(&keyring, &other, at(9)).err(), Some(Refused::Invalid));
        let revoked = Arc::new(key.revoked(at(5)));
        assert_eq!(revoked.authenticate(&keyring, &credential, at(9)).err(), Some(Refused::Invalid));
    }
}
