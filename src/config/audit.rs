//! The audit log: the table `[audit]` of the configuration file.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};

use super::{ConfigError, connection_age};

/// The settings of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// The size at which a file ends and the next one begins.
    #[serde(alias = "file-size")]
    pub file_size: ByteSize,
    /// The age at which a file ends and the next one begins.
    #[serde(deserialize_with = "duration")]
    #[serde(alias = "file-age")]
    pub file_age: Duration,
    /// How long files are kept. Absent: for ever.
    #[serde(deserialize_with = "connection_age::duration")]
    pub retention: Option<Duration>,
    /// The size of all files of records together, at which the oldest ones are removed. Absent: no limit.
    #[serde(alias = "max-size")]
    pub max_size: Option<ByteSize>,
    /// The form of the records on standard error.
    pub stderr: AuditStderr,
    /// How records show the names of namespaces and secrets.
    pub names: AuditNames,
}

/// How the records of the audit show the names of namespaces and secrets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditNames {
    /// As they are.
    #[default]
    Plain,
    /// As keyed fingerprints, which the server can tell the names of.
    Fingerprint,
}

/// Whether the records of the audit also go to standard error, and in which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditStderr {
    /// In the form of the other lines.
    #[default]
    Auto,
    /// As text for people.
    Text,
    /// As JSON objects.
    Json,
    /// Only to the log in the data folder.
    Off,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            file_size: ByteSize::mib(64),
            file_age: Duration::from_secs(24 * 60 * 60),
            retention: None,
            max_size: None,
            stderr: AuditStderr::default(),
            names: AuditNames::default(),
        }
    }
}

impl AuditSettings {
    /// The settings, unless one of them is out of its range.
    pub(super) fn checked(self) -> Result<Self, ConfigError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let refused = |name, least: &str, most: &str, given: String| {
            Err(ConfigError::Audit { name, least: least.to_owned(), most: most.to_owned(), given })
        };
        if !(ByteSize::kib(4)..=ByteSize::gib(1)).contains(&self.file_size) {
            return refused("file_size", "4 KiB", "1 GiB", self.file_size.to_string());
        }
        if !(Duration::from_secs(60)..=366 * DAY).contains(&self.file_age) {
            let given = humantime::format_duration(self.file_age).to_string();
            return refused("file_age", "1m", "366d", given);
        }
        if let Some(retention) = self.retention.filter(|time| !(DAY..=36_600 * DAY).contains(time)) {
            let given = humantime::format_duration(retention).to_string();
            return refused("retention", "1d", "36600d", given);
        }
        if let Some(size) = self.max_size.filter(|size| *size < self.file_size) {
            return refused("max_size", &self.file_size.to_string(), "any size", size.to_string());
        }
        Ok(self)
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    Ok(connection_age::duration(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn audit(toml: &str) -> Result<AuditSettings, String> {
        let settings =
            toml::from_str::<Settings>(&format!("[audit]\n{toml}")).map_err(|error| error.to_string())?;
        Config::try_from(settings).map(|config| config.audit).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_given_has_its_default_and_what_is_out_of_range_is_refused_by_name() {
        assert_eq!(audit("").unwrap(), AuditSettings::default());
        let given =
            audit("file_size = '1 MiB'\nretention = '400d'\nstderr = 'off'\nnames = 'fingerprint'").unwrap();
        let expected = AuditSettings {
            file_size: ByteSize::mib(1),
            retention: Some(Duration::from_secs(400 * 24 * 60 * 60)),
            stderr: AuditStderr::Off,
            names: AuditNames::Fingerprint,
            ..AuditSettings::default()
        };
        assert_eq!(given, expected);
        for line in ["file_size = '1 KiB'", "file_age = '1s'", "retention = '1h'", "max_size = '1 MiB'"] {
            let name = line.split(' ').next().unwrap();
            let refused = audit(line).unwrap_err();
            assert!(refused.starts_with(&format!("audit.{name} must be")), "{refused}");
        }
        for line in ["stderr = 'maybe'", "names = 'none'", "file_age = 5", "file = 1"] {
            assert!(audit(line).is_err(), "{line}");
        }
    }
}
