//! How long a connection lives. A connection's buffers hold recent bytes until it is closed, so its age is always bounded.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::{ConfigError, Settings};

/// How long a connection lives: 1 hour.
const DEFAULT_AGE: Duration = Duration::from_secs(60 * 60);
/// How much longer its requests may take then: 5 minutes.
const DEFAULT_GRACE: Duration = Duration::from_secs(5 * 60);
/// The shortest time that either may be.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time that either may be: 30 days.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionAge {
    /// At this age, the server tells the client that it takes no new requests on this connection.
    pub max: Duration,
    /// So much later, the server closes the connection, whatever is still under way on it.
    pub grace: Duration,
}

impl ConnectionAge {
    /// The age that the settings give, or the default.
    pub(super) fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let within = |flag, given: Option<Duration>, default| match given.unwrap_or(default) {
            time if (SHORTEST..=LONGEST).contains(&time) => Ok(time),
            given => Err(ConfigError::ConnectionAge { flag, given }),
        };
        Ok(Self {
            max: within("--max-connection-age", settings.max_connection_age, DEFAULT_AGE)?,
            grace: within("--max-connection-age-grace", settings.max_connection_age_grace, DEFAULT_GRACE)?,
        })
    }
}

/// Reads a length of time as a person writes it, such as `1h 30m`. `M` for a month is refused: people who write it mean minutes.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a number and a unit, such as 1h, 30m or 90s";
    let mut units = text.split(|c: char| !c.is_ascii_alphabetic());
    if units.any(|unit| unit == "M") {
        return Err("expected a number and a unit: m for minutes, or d for days");
    }
    humantime::parse_duration(text).map_err(|_| EXPECTED)
}

/// The same in a configuration file.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn age(toml: &str) -> Result<ConnectionAge, ConfigError> {
        Config::try_from(toml::from_str::<Settings>(toml).unwrap()).map(|config| config.connection_age)
    }

    #[test]
    fn a_connection_lives_an_hour_unless_the_settings_say_otherwise() {
        let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
        assert_eq!(age("").unwrap(), ConnectionAge { max: hour, grace: 5 * minute });
        let given = age("max_connection_age = '1m'\nmax_connection_age_grace = '1h 1m'").unwrap();
        assert_eq!(given, ConnectionAge { max: minute, grace: hour + minute });
    }

    #[test]
    fn an_age_without_an_end_or_of_no_use_is_refused_by_name() {
        for setting in ["max_connection_age", "max_connection_age_grace"] {
            let flag = format!("--{}", setting.replace('_', "-"));
            for time in ["0s", "999ms", "31days", "1000years"] {
                let refused = age(&format!("{setting} = '{time}'")).unwrap_err().to_string();
                assert!(refused.starts_with(&format!("{flag} must be")), "{refused}");
            }
            assert!(age(&format!("{setting} = '1s'")).is_ok());
            assert!(age(&format!("{setting} = '30days'")).is_ok());
            for text in ["'an hour'", "''", "3600"] {
                let refused = toml::from_str::<Settings>(&format!("{setting} = {text}")).unwrap_err();
                assert!(refused.to_string().contains(setting), "{refused}");
            }
        }
    }
}
