//! The statement that a version was destroyed. The app signs its text as the receipt of the destruction, and the command
//! line verifies the signature over the same text.

use std::fmt;

use super::{Namespace, SecretId, SecretName, Timestamp};

/// What the service states about a destroyed version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destruction {
    /// The secret's namespace.
    pub namespace: Namespace,
    /// The secret's name.
    pub name: SecretName,
    /// The secret's id, which stays the same when the secret is renamed.
    pub secret_id: SecretId,
    /// The number of the version.
    pub version: u32,
    /// When the version was destroyed.
    pub destroyed_at: Timestamp,
    /// The SHA-256 digest of the wrapped data key that was removed; `None` where the stored record was damaged, so that its
    /// data key is unknown.
    pub data_key: Option<[u8; 32]>,
}

/// The text that is signed. Two different destructions never have the same text: no field can contain a line break.
impl fmt::Display for Destruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "strongroom v1 destruction of a version")?;
        writeln!(f, "namespace: {}", self.namespace)?;
        writeln!(f, "name: {}", self.name)?;
        writeln!(f, "secret id: {}", self.secret_id)?;
        writeln!(f, "version: {}", self.version)?;
        writeln!(f, "destroyed at: {}", self.destroyed_at)?;
        match &self.data_key {
            None => writeln!(f, "wrapped data key, sha256: unknown"),
            Some(digest) => {
                f.write_str("wrapped data key, sha256: ")?;
                digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                writeln!(f)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_always_the_same_text() {
        let destruction = Destruction {
            namespace: Namespace::parse("team/a").unwrap(),
            name: SecretName::parse("db_password").unwrap(),
            secret_id: SecretId::from_bytes([0x11; 16]),
            version: 3,
            destroyed_at: Timestamp::from_micros(1_764_007_876_000_120),
            data_key: Some([0xab; 32]),
        };
        let expected = format!(
            "strongroom v1 destruction of a version\n\
             namespace: team/a\n\
             name: db_password\n\
             secret id: 11111111-1111-1111-1111-111111111111\n\
             version: 3\n\
             destroyed at: 2025-11-24T18:11:16.000120Z\n\
             wrapped data key, sha256: {}\n",
            "ab".repeat(32)
        );
        assert_eq!(destruction.to_string(), expected);
        let unknown = Destruction { data_key: None, ..destruction };
        assert!(unknown.to_string().ends_with("\nwrapped data key, sha256: unknown\n"));
    }
}
