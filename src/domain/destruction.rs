use std::fmt;

use super::{Namespace, SecretId, SecretName, Timestamp};

/// That a version of a secret was destroyed, as the service states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destruction {
    /// Where the secret lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: SecretName,
    /// Which secret it is, whatever its name.
    pub secret_id: SecretId,
    /// The number of the version.
    pub version: u32,
    /// When it was destroyed.
    pub destroyed_at: Timestamp,
    /// The SHA-256 digest of the wrapped data key that was removed; `None` where what stood in its place was not it.
    pub data_key: Option<[u8; 32]>,
}

/// The statement, which is what is signed. The same destruction has the same statement, and no other has it: none of its
/// fields can hold the end of a line.
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
