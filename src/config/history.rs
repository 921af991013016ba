//! How long the changes of secrets are kept for watchers: the table `[history]` of the configuration file.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{ConfigError, connection_age};

/// The settings of the history. A change is removed once it is older than one of them, or further back than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistorySettings {
    /// How long a change is kept.
    #[serde(deserialize_with = "duration")]
    #[serde(alias = "max-age")]
    pub max_age: Duration,
    /// How many changes are kept: the newest ones.
    #[serde(alias = "max-events")]
    pub max_events: u64,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(24 * 60 * 60), max_events: 1_000_000 }
    }
}

impl HistorySettings {
    /// The settings, unless one of them is out of its range.
    pub(super) fn checked(self) -> Result<Self, ConfigError> {
        let refused = |name, least, most, given| Err(ConfigError::History { name, least, most, given });
        if !(Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 60 * 60)).contains(&self.max_age) {
            let given = humantime::format_duration(self.max_age).to_string();
            return refused("max_age", "1s", "366d", given);
        }
        if !(1..=100_000_000).contains(&self.max_events) {
            return refused("max_events", "1", "100,000,000", self.max_events.to_string());
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

    fn history(toml: &str) -> Result<HistorySettings, String> {
        let settings =
            toml::from_str::<Settings>(&format!("[history]\n{toml}")).map_err(|error| error.to_string())?;
        Config::try_from(settings).map(|config| config.history).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_given_has_its_default_and_what_is_out_of_range_is_refused_by_name() {
        assert_eq!(history("").unwrap(), HistorySettings::default());
        let given = history("max_age = '7d'\nmax_events = 10").unwrap();
        assert_eq!(given, HistorySettings { max_age: Duration::from_secs(7 * 86_400), max_events: 10 });
        for line in ["max_age = '0s'", "max_age = '367d'", "max_events = 0", "max_events = 100000001"] {
            let name = line.split(' ').next().unwrap();
            let refused = history(line).unwrap_err();
            assert!(refused.starts_with(&format!("history.{name} must be")), "{refused}");
        }
        for line in ["max_age = 5", "max_events = -1", "events = 1"] {
            assert!(history(line).is_err(), "{line}");
        }
    }
}
