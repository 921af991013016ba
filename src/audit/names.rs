//! How records show the names of namespaces and secrets: as they are, or as keyed fingerprints.
//!
//! A fingerprint is the same for the same name for the life of a store, so records can be counted and found by it. Only the service
//! has the key: who reads the log alone cannot try names out.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::domain::{Namespace, SecretName};

/// Makes the HMAC of a name. Namespaces and secrets of the same name have different ones.
pub trait NameMac: Send + Sync {
    /// The HMAC of a namespace's name.
    fn of_namespace(&self, namespace: &Namespace) -> [u8; 32];
    /// The HMAC of a secret's name, the same in each namespace.
    fn of_secret(&self, name: &SecretName) -> [u8; 32];
}

/// How records show names.
#[derive(Clone, Default)]
pub enum Names {
    /// As they are.
    #[default]
    Plain,
    /// As fingerprints, made with this key.
    Fingerprints(Arc<dyn NameMac>),
}

impl Names {
    /// A namespace in a record.
    pub fn namespace<'a>(&self, namespace: &'a Namespace) -> Cow<'a, str> {
        match self {
            Self::Plain => namespace.as_str().into(),
            Self::Fingerprints(mac) => fingerprint(&mac.of_namespace(namespace)).into(),
        }
    }

    /// The name of a secret in a record.
    pub fn secret<'a>(&self, name: &'a SecretName) -> Cow<'a, str> {
        match self {
            Self::Plain => name.as_str().into(),
            Self::Fingerprints(mac) => fingerprint(&mac.of_secret(name)).into(),
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Fingerprints(_) => "Fingerprints",
        })
    }
}

/// The fingerprint with this HMAC: `fp:` and its first 8 bytes in hexadecimal. No namespace and no name looks like it.
pub fn fingerprint(mac: &[u8; 32]) -> String {
    let [a, b, c, d, e, f, g, h, ..] = *mac;
    format!("fp:{}", HEXLOWER.encode(&[a, b, c, d, e, f, g, h]))
}

/// Whether a text is the form of a fingerprint.
pub fn is_fingerprint(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("fp:").is_some_and(|digits| digits.len() == 16 && digits.bytes().all(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl NameMac for Fixed {
        fn of_namespace(&self, _: &Namespace) -> [u8; 32] {
            [0xab; 32]
        }

        fn of_secret(&self, _: &SecretName) -> [u8; 32] {
            [0x01; 32]
        }
    }

    #[test]
    fn a_name_is_shown_as_the_setting_says() {
        let (namespace, name) = (Namespace::parse("team/a").unwrap(), SecretName::parse("db").unwrap());
        assert_eq!((&*Names::Plain.namespace(&namespace), &*Names::Plain.secret(&name)), ("team/a", "db"));
        let names = Names::Fingerprints(Arc::new(Fixed));
        assert_eq!(names.namespace(&namespace), "fp:abababababababab");
        assert_eq!(names.secret(&name), "fp:0101010101010101");
        assert!(is_fingerprint(&names.secret(&name)));
        for other in ["fp:", "fp:01010101010101", "fp:0101010101010101@1", "fp:010101010101010G", "db"] {
            assert!(!is_fingerprint(other), "{other}");
        }
        assert!(SecretName::parse("fp:0101010101010101").is_err());
        assert!(Namespace::parse("fp:0101010101010101").is_err());
    }
}
