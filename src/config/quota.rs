//! How much the secrets of a namespace may take: the tables `[[quotas]]` of the configuration file.

use std::ops::RangeInclusive;

use bytesize::ByteSize;
use serde::Deserialize;

use super::ConfigError;

/// A quota, a table `[[quotas]]` of the configuration file: how much the secrets of a namespace and of all namespaces below it
/// may take together.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaSettings {
    /// The namespace; absent: the whole store.
    pub namespace: Option<String>,
    /// The number of secrets, deleted ones too until they are removed for good. Absent: no limit.
    pub secrets: Option<u64>,
    /// The bytes of the values of all their versions. Absent: no limit.
    pub bytes: Option<ByteSize>,
}

const SECRETS: RangeInclusive<u64> = 1..=1_000_000_000;
const BYTES: RangeInclusive<ByteSize> = ByteSize::b(1)..=ByteSize::pib(1);

impl QuotaSettings {
    /// The quotas, unless one of them cannot be used. Whether its namespace can be one is checked later.
    pub(super) fn checked(quotas: Vec<Self>) -> Result<Vec<Self>, ConfigError> {
        for (at, quota) in quotas.iter().enumerate() {
            let is_second = quotas.iter().take(at).any(|other| other.namespace == quota.namespace);
            let problem = match quota.problem() {
                None if is_second => "there is another one: put the limits of both into one table",
                None => continue,
                Some(problem) => problem,
            };
            return Err(ConfigError::Quota { quota: quota.described(at), problem });
        }
        Ok(quotas)
    }

    /// Which quota it is, for messages: by its namespace, or by its place in the list, from 0, where that is no namespace.
    pub fn described(&self, at: usize) -> String {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-/".contains(&byte);
        match &self.namespace {
            Some(namespace) if !namespace.is_empty() && namespace.bytes().all(known) => {
                format!("the quota of the namespace '{namespace}'")
            }
            Some(_) => format!("quota number {}", at + 1),
            None => "the quota of the whole store".to_owned(),
        }
    }

    /// What is wrong with it, and what to do.
    fn problem(&self) -> Option<&'static str> {
        if self.secrets.is_none() && self.bytes.is_none() {
            return Some("it limits nothing: give it 'secrets', 'bytes', or both");
        }
        if self.secrets.is_some_and(|secrets| !SECRETS.contains(&secrets)) {
            return Some("'secrets' must be between 1 and 1000000000, or be left out");
        }
        if self.bytes.is_some_and(|bytes| !BYTES.contains(&bytes)) {
            return Some("'bytes' must be between 1 B and 1 PiB, or be left out");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn quotas(toml: &str) -> Result<Vec<QuotaSettings>, String> {
        let settings = toml::from_str::<Settings>(toml).map_err(|error| error.to_string())?;
        Config::try_from(settings).map(|config| config.quotas).map_err(|error| error.to_string())
    }

    #[test]
    fn quotas_are_of_namespaces_or_of_the_whole_store() {
        assert_eq!(quotas("").unwrap(), []);
        let given = quotas(
            "[[quotas]]\nnamespace = 'team-a/web'\nsecrets = 1000\nbytes = '10 MiB'\n[[quotas]]\nsecrets = 5\n\
             [[quotas]]\nnamespace = 'team-a'\nbytes = 7",
        );
        let of = |namespace: &str, secrets, bytes| QuotaSettings {
            namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
            secrets,
            bytes,
        };
        let expected = [
            of("team-a/web", Some(1000), Some(ByteSize::mib(10))),
            of("", Some(5), None),
            of("team-a", None, Some(ByteSize::b(7))),
        ];
        assert_eq!(given.unwrap(), expected);
    }

    #[test]
    fn a_quota_that_cannot_be_used_is_named_with_what_to_do() {
        const ONE: &str = "[[quotas]]\nnamespace = 'team'\nsecrets = 1\n";
        const ALL: &str = "[[quotas]]\nsecrets = 1\n";
        for (toml, says) in [
            (
                "[[quotas]]\nnamespace = 'team'",
                "the namespace 'team' in [[quotas]] cannot be used: it limits nothing",
            ),
            (
                "[[quotas]]",
                "the whole store in [[quotas]] cannot be used: it limits nothing: give it 'secrets'",
            ),
            (&ONE.replace("= 1", "= 0"), "'secrets' must be between 1 and 1000000000"),
            (&ONE.replace("= 1", "= 1000000001"), "'secrets' must be between"),
            ("[[quotas]]\nbytes = '0 B'", "'bytes' must be between 1 B and 1 PiB"),
            ("[[quotas]]\nbytes = '2 PiB'", "'bytes' must be between"),
            (&format!("{ONE}{ALL}{ONE}"), "'team' in [[quotas]] cannot be used: there is another one"),
            (
                &format!("{ALL}{ONE}{ALL}"),
                "the whole store in [[quotas]] cannot be used: there is another one",
            ),
        ] {
            let refused = quotas(toml).unwrap_err();
            assert!(refused.contains(says), "{toml}: {refused}");
        }
        let told = quotas("[[quotas]]\nsecrets = 1\n[[quotas]]\nnamespace = 'Hidden'").unwrap_err();
        assert!(told.starts_with("quota number 2 in [[quotas]]") && !told.contains("Hidden"), "{told}");
        for line in ["secret = 1", "secrets = -1", "secrets = '1'", "bytes = 'much'", "namespace = 1"] {
            assert!(quotas(&format!("[[quotas]]\n{line}")).is_err(), "{line}");
        }
    }
}
