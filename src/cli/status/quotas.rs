//! The quotas in the state of the service.

use bytesize::ByteSize;
use serde_json::{Value as Json, json};
use strongroom_client::v1;

/// Whether a tenth of a limit of a quota is used.
pub(super) fn is_used(quota: &v1::QuotaUse) -> bool {
    let tenth = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used >= limit.div_ceil(10));
    tenth(quota.secrets_limit, quota.secrets_used)
        || tenth(quota.bytes_limit, quota.bytes_used.unwrap_or_default())
}

pub(super) fn text(quota: &v1::QuotaUse) -> String {
    let of = if quota.namespace.is_empty() { "the whole store" } else { &quota.namespace };
    let secrets = quota.secrets_limit.map(|limit| format!("{} of {limit} secrets", quota.secrets_used));
    let bytes = quota.bytes_limit.map(|limit| {
        let size = |bytes| ByteSize::b(bytes).display().iec();
        format!("{} of {} of values", size(quota.bytes_used.unwrap_or_default()), size(limit))
    });
    let limits: Vec<_> = secrets.into_iter().chain(bytes).collect();
    format!("{of}: {}", limits.join(", "))
}

pub(super) fn json(quota: &v1::QuotaUse) -> Json {
    json!({
        "namespace": quota.namespace,
        "secrets_limit": quota.secrets_limit,
        "secrets_used": quota.secrets_used,
        "bytes_limit": quota.bytes_limit,
        "bytes_used": quota.bytes_used,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_shown_once_a_tenth_of_it_is_used() {
        let quota = |secrets: (u64, u64), bytes: (u64, u64)| v1::QuotaUse {
            namespace: "team".into(),
            secrets_limit: Some(secrets.1).filter(|limit| *limit > 0),
            secrets_used: secrets.0,
            bytes_limit: Some(bytes.1).filter(|limit| *limit > 0),
            bytes_used: Some(bytes.0).filter(|_| bytes.1 > 0),
        };
        for (quota, shown) in [
            (quota((9, 100), (0, 0)), None),
            (quota((10, 100), (0, 0)), Some("team: 10 of 100 secrets")),
            (quota((0, 0), (1, 11)), None),
            (quota((0, 0), (1536, 10 << 10)), Some("team: 1.5 KiB of 10.0 KiB of values")),
            (quota((1, 100), (9, 8)), Some("team: 1 of 100 secrets, 9 B of 8 B of values")),
        ] {
            assert_eq!(is_used(&quota).then(|| text(&quota)).as_deref(), shown);
        }
        let store = v1::QuotaUse { namespace: String::new(), ..quota((1, 1), (0, 0)) };
        assert_eq!(text(&store), "the whole store: 1 of 1 secrets");
    }
}
