//! How long deleted and expired secrets are kept, so that they can be brought back.

use std::time::Duration;

use super::ConfigError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long they are kept unless the settings say otherwise: 7 days.
const DEFAULT: Duration = DAY.saturating_mul(7);
/// The longest time that they may be kept: 3,650 days.
const LONGEST: Duration = DAY.saturating_mul(3650);

/// The time that the settings give, or the default.
pub(super) fn retention(given: Option<Duration>) -> Result<Duration, ConfigError> {
    match given.unwrap_or(DEFAULT) {
        time if time <= LONGEST => Ok(time),
        given => Err(ConfigError::DeletionRetention(given)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn retention(toml: &str) -> Result<Duration, ConfigError> {
        Config::try_from(toml::from_str::<Settings>(toml).unwrap()).map(|config| config.deletion_retention)
    }

    #[test]
    fn deleted_secrets_are_kept_for_a_week_unless_the_settings_say_otherwise() {
        assert_eq!(retention("").unwrap(), 7 * DAY);
        for (text, time) in [("0s", Duration::ZERO), ("30days", 30 * DAY), ("3650days", LONGEST)] {
            assert_eq!(retention(&format!("deletion_retention = '{text}'")).unwrap(), time);
        }
        let refused = retention("deletion_retention = '3651days'").unwrap_err().to_string();
        assert!(refused.starts_with("deletion_retention must be"), "{refused}");
        let negative = toml::from_str::<Settings>("deletion_retention = '-1s'").unwrap_err().to_string();
        assert!(negative.contains("deletion_retention"), "{negative}");
    }
}
