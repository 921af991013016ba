//! The name of a secret.

use std::fmt;

use super::Invalid;

/// A secret's name: 1 to 128 characters that match `[A-Za-z_][A-Za-z0-9_]*`, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Box<str>);

impl SecretName {
    const MAX: usize = 128;

    /// Parses a name.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        const INVALID: Invalid = Invalid::new(
            "must be 1 to 128 characters long, begin with a letter or an underscore, and hold only \
             letters, digits and underscores (A-Z, a-z, 0-9, _)",
        );
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || name.len() > Self::MAX || !Self::may_continue(name) {
            return Err(INVALID);
        }
        Ok(Self(name.into()))
    }

    /// Parses a prefix of names: empty, or a text that some name may begin with. A digit at the start is accepted, and then
    /// no name matches.
    pub fn parse_prefix(prefix: &str) -> Result<Box<str>, Invalid> {
        if prefix.len() > Self::MAX || !Self::may_continue(prefix) {
            return Err(Invalid::new(
                "must be at most 128 letters, digits and underscores: no name begins with anything else",
            ));
        }
        Ok(prefix.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn may_continue(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_no_identifier() {
        for refused in ["", "invalid name", "1a", "a-b", "é", "a\n", "a.b", "a\0", &"a".repeat(129)] {
            assert!(SecretName::parse(refused).is_err(), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn accepts_every_identifier(name in "[A-Za-z_][A-Za-z0-9_]{0,127}") {
            prop_assert_eq!(SecretName::parse(&name).map(|n| n.to_string()), Ok(name));
        }
    }
}
