//! The records of usage in the clear: when the values of a secret and an API key were last used, and who has acknowledged which
//! version. Times of reads are minutes since 1970, those of acknowledgements microseconds.

use prost::Message;

use crate::domain::{Consumer, Minute, SecretUsage, Timestamp, VersionUsage};

/// Encodes the usage of a secret.
pub fn encode_secret_usage(usage: &SecretUsage) -> Vec<u8> {
    let number = |at: Option<Minute>| at.map(Minute::number).unwrap_or_default();
    let consumer = |of: &Consumer| ConsumerRecord {
        principal: of.principal.to_string(),
        last_read: number(of.last_read),
        acknowledged_at: of.acknowledged_at.map(Timestamp::as_micros),
        name: of.name.to_string(),
    };
    let version = |of: &VersionUsage| VersionUsageRecord {
        number: of.number,
        last_read: number(of.last_read),
        consumers: of.consumers.iter().map(consumer).collect(),
        has_more: of.has_more,
    };
    let record = SecretUsageRecord {
        last_read: number(usage.last_read),
        versions: usage.versions.iter().map(version).collect(),
    };
    record.encode_to_vec()
}

/// Decodes the usage of a secret; `None` where the bytes are none.
pub fn decode_secret_usage(clear: &[u8]) -> Option<SecretUsage> {
    let record = SecretUsageRecord::decode(clear).ok()?;
    let consumer = |of: ConsumerRecord| Consumer {
        principal: of.principal.into(),
        name: of.name.into(),
        last_read: Minute::from_number(of.last_read),
        acknowledged_at: of.acknowledged_at.map(Timestamp::from_micros),
    };
    let version = |of: VersionUsageRecord| VersionUsage {
        number: of.number,
        last_read: Minute::from_number(of.last_read),
        consumers: of.consumers.into_iter().map(consumer).collect(),
        has_more: of.has_more,
    };
    Some(SecretUsage {
        last_read: Minute::from_number(record.last_read),
        versions: record.versions.into_iter().map(version).collect(),
    })
}

/// Encodes the last use of an API key or a binding.
pub fn encode_last_use(last_used: Minute) -> Vec<u8> {
    LastUseRecord { last_used: last_used.number() }.encode_to_vec()
}

/// Decodes the last use of an API key or a binding; `None` where the bytes are none.
pub fn decode_last_use(clear: &[u8]) -> Option<Minute> {
    Minute::from_number(LastUseRecord::decode(clear).ok()?.last_used)
}

#[derive(Clone, PartialEq, prost::Message)]
struct SecretUsageRecord {
    /// The last read of any version; 0: none.
    #[prost(uint32, tag = "1")]
    last_read: u32,
    /// The versions that were used.
    #[prost(message, repeated, tag = "2")]
    versions: Vec<VersionUsageRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionUsageRecord {
    #[prost(uint32, tag = "1")]
    number: u32,
    /// The last read; 0: none.
    #[prost(uint32, tag = "2")]
    last_read: u32,
    /// The latest first.
    #[prost(message, repeated, tag = "3")]
    consumers: Vec<ConsumerRecord>,
    /// Whether some consumers were left out.
    #[prost(bool, tag = "4")]
    has_more: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ConsumerRecord {
    /// The name of the principal.
    #[prost(string, tag = "1")]
    principal: String,
    /// Its last read; 0: none.
    #[prost(uint32, tag = "2")]
    last_read: u32,
    /// When it last acknowledged the version; absent: it did not.
    #[prost(int64, optional, tag = "3")]
    acknowledged_at: Option<i64>,
    /// The name that it gave itself then; empty: none.
    #[prost(string, tag = "4")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LastUseRecord {
    #[prost(uint32, tag = "1")]
    last_used: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_decoded_as_it_was_encoded() {
        let minute = |number| Minute::from_number(number).unwrap();
        let mut usage = SecretUsage::default();
        assert_eq!(decode_secret_usage(&encode_secret_usage(&usage)), Some(usage.clone()));
        usage.note(1, "key:a", minute(29_000_000));
        usage.note(3, "jwt:ci:build", minute(29_000_001));
        usage.acknowledge(3, "jwt:ci:build", "web", Timestamp::from_micros(1_740_000_000_000_001));
        usage.versions[0].has_more = true;
        assert_eq!(decode_secret_usage(&encode_secret_usage(&usage)), Some(usage));
        assert_eq!(decode_last_use(&encode_last_use(minute(7))), Some(minute(7)));
        assert_eq!(decode_last_use(b""), None);
        assert_eq!(decode_secret_usage(b"\xff"), None);
    }
}
