//! How old the state may be that a cached read is answered from, over a store that several replicas share.

use std::time::Duration;

use super::ConfigError;

/// How old it may be unless the settings say otherwise: 5 seconds.
const DEFAULT: Duration = Duration::from_secs(5);
/// The shortest time that the settings may give: a replica looks for newer changes each second.
const SHORTEST: Duration = Duration::from_secs(2);
/// The longest time that the settings may give: 10 minutes.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// How old the state may be that a cached read is answered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedReads {
    /// The time since this replica last had every acknowledged change. A replica that is further behind answers nothing.
    pub max_age: Duration,
}

impl Default for CachedReads {
    fn default() -> Self {
        Self { max_age: DEFAULT }
    }
}

impl CachedReads {
    /// The time that the settings give, or the default.
    pub(super) fn from_settings(max_age: Option<Duration>) -> Result<Self, ConfigError> {
        match max_age.unwrap_or(DEFAULT) {
            max_age if (SHORTEST..=LONGEST).contains(&max_age) => Ok(Self { max_age }),
            given => Err(ConfigError::CachedReads(given)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn max_age(toml: &str) -> Result<Duration, ConfigError> {
        Config::try_from(toml::from_str::<Settings>(toml).unwrap()).map(|config| config.cached_reads.max_age)
    }

    #[test]
    fn cached_reads_are_at_most_five_seconds_old_unless_the_settings_say_otherwise() {
        assert_eq!(max_age("").unwrap(), DEFAULT);
        for (text, time) in [("2s", SHORTEST), ("1m", Duration::from_secs(60)), ("10m", LONGEST)] {
            assert_eq!(max_age(&format!("cached_reads_max_age = '{text}'")).unwrap(), time);
        }
        for text in ["0s", "1999ms", "601s"] {
            let refused = max_age(&format!("cached_reads_max_age = '{text}'")).unwrap_err().to_string();
            assert!(refused.starts_with("cached_reads_max_age must be"), "{refused}");
        }
    }
}
