//! The limits that keep one client from taking the service from the others: the table `[limits]` of the configuration file.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, de};

use super::{ConfigError, parse_duration};

/// The limits. Each has a default, which suits the production of a small team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The number of connections.
    pub connections: usize,
    /// The number of connections from one address. For IPv6: from one network of 64 bits.
    #[serde(alias = "connections-per-peer")]
    pub connections_per_peer: usize,
    /// The number of connections that have not presented a credential in force yet.
    #[serde(alias = "unauthenticated-connections")]
    pub unauthenticated_connections: usize,
    /// The number of those from one address. For IPv6: from one network of 64 bits.
    #[serde(alias = "unauthenticated-connections-per-peer")]
    pub unauthenticated_connections_per_peer: usize,
    /// The time that a connection has to present a credential in force.
    #[serde(deserialize_with = "duration")]
    #[serde(alias = "authentication-time")]
    pub authentication_time: Duration,
    /// The number of requests to health and reflection, which need no credential, at a time on a connection.
    #[serde(alias = "unauthenticated-requests")]
    pub unauthenticated_requests: usize,
    /// The number of requests at a time on a connection.
    #[serde(alias = "requests-per-connection")]
    pub requests_per_connection: usize,
    /// The time in which a peer must take the next piece of a reply.
    #[serde(deserialize_with = "duration")]
    #[serde(alias = "reply-time")]
    pub reply_time: Duration,
    /// The number of requests that are worked on at a time.
    pub requests: usize,
    /// The number of requests of one principal that are worked on at a time.
    #[serde(alias = "requests-per-principal")]
    pub requests_per_principal: usize,
    /// The bytes of all requests and replies in memory.
    pub memory: ByteSize,
    /// The bytes of the requests and replies of one principal in memory.
    #[serde(alias = "memory-per-principal")]
    pub memory_per_principal: ByteSize,
    /// The number of documents of one principal that wait for their turn or are resolved.
    #[serde(alias = "documents-per-principal")]
    pub documents_per_principal: usize,
    /// The number of requests of one principal in a second. Absent: no limit.
    #[serde(alias = "requests-per-second")]
    pub requests_per_second: Option<NonZeroU32>,
    /// The number of idempotency records of one principal.
    #[serde(alias = "idempotency-records-per-principal")]
    pub idempotency_records_per_principal: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_peer: 2048,
            unauthenticated_connections: 1024,
            unauthenticated_connections_per_peer: 256,
            authentication_time: Duration::from_secs(60),
            unauthenticated_requests: 16,
            requests_per_connection: 100,
            reply_time: Duration::from_secs(30),
            requests: 2048,
            requests_per_principal: 1024,
            memory: ByteSize::mib(256),
            memory_per_principal: ByteSize::mib(64),
            documents_per_principal: 64,
            requests_per_second: None,
            idempotency_records_per_principal: 100_000,
        }
    }
}

impl Limits {
    /// The limits, unless one of them is out of its range.
    pub(super) fn checked(self) -> Result<Self, ConfigError> {
        const COUNT: RangeInclusive<usize> = 1..=1_000_000;
        let counts = [
            ("connections", self.connections, 16..=1_000_000),
            ("connections_per_peer", self.connections_per_peer, COUNT),
            ("unauthenticated_connections", self.unauthenticated_connections, COUNT),
            ("unauthenticated_connections_per_peer", self.unauthenticated_connections_per_peer, COUNT),
            ("unauthenticated_requests", self.unauthenticated_requests, COUNT),
            ("requests_per_connection", self.requests_per_connection, COUNT),
            ("requests", self.requests, COUNT),
            ("requests_per_principal", self.requests_per_principal, COUNT),
            ("documents_per_principal", self.documents_per_principal, COUNT),
            ("idempotency_records_per_principal", self.idempotency_records_per_principal, 0..=10_000_000),
        ];
        for (name, given, range) in counts {
            if !range.contains(&given) {
                let (least, most) = (range.start().to_string(), range.end().to_string());
                return Err(ConfigError::Limit { name, least, most, given: given.to_string() });
            }
        }
        let times = [("authentication_time", self.authentication_time), ("reply_time", self.reply_time)];
        for (name, given) in times {
            if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&given) {
                let given = humantime::format_duration(given).to_string();
                return Err(ConfigError::Limit { name, least: "1s".into(), most: "1h".into(), given });
            }
        }
        let sizes = [("memory", self.memory), ("memory_per_principal", self.memory_per_principal)];
        for (name, given) in sizes {
            if !(ByteSize::mib(8)..=ByteSize::tib(1)).contains(&given) {
                let given = given.to_string();
                return Err(ConfigError::Limit { name, least: "8 MiB".into(), most: "1 TiB".into(), given });
            }
        }
        Ok(self)
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn limits(toml: &str) -> Result<Limits, ConfigError> {
        let settings = toml::from_str::<Settings>(&format!("[limits]\n{toml}")).unwrap();
        Config::try_from(settings).map(|config| config.limits)
    }

    #[test]
    fn a_limit_that_is_not_given_has_its_default() {
        let given = limits("requests = 7\nmemory = '1 GiB'\nreply_time = '5s'").unwrap();
        let expected = Limits {
            requests: 7,
            memory: ByteSize::gib(1),
            reply_time: Duration::from_secs(5),
            ..Limits::default()
        };
        assert_eq!(given, expected);
        assert_eq!(limits("").unwrap(), Limits::default());
    }

    #[test]
    fn a_limit_out_of_its_range_is_refused_by_name() {
        for line in ["connections = 0", "requests = 0", "reply_time = '0s'", "memory = '1 KiB'"] {
            let name = line.split(' ').next().unwrap();
            let refused = limits(line).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("limits.{name} must be")), "{refused}");
        }
        for line in ["memory = 'much'", "reply_time = 5", "request = 1", "requests_per_second = 0"] {
            let name = line.split(' ').next().unwrap();
            let refused = toml::from_str::<Settings>(&format!("[limits]\n{line}")).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }
}
