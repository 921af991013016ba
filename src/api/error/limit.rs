//! Each limit and each quota as a [`Refusal`]: what is limited, and what helps.

use super::{Code, RETRY, Reason, Refusal};
use crate::limits::{LimitReached, QuotaLimit, QuotaReached};

impl Refusal {
    /// The server has too much to do.
    pub(in crate::api) fn overloaded() -> Self {
        let message = "The server has too much to do. Try again.";
        Self::new(Code::ResourceExhausted, Reason::TooManyRequests, message).that_passes()
    }

    /// The refusal of a change for which a quota has no room. It names the quota's namespace, which is that of the request or one above
    /// it, and tells the limit and not what others use.
    pub(in crate::api) fn quota(reached: &QuotaReached) -> Self {
        let of = match &reached.namespace {
            Some(namespace) => format!("The namespace '{namespace}', with those below it,"),
            None => "The store".to_owned(),
        };
        let (subject, reached, remedy) = match reached.limit {
            QuotaLimit::Secrets(most) => (
                "secrets_per_namespace",
                format!(
                    "{of} may hold {most} secrets, and has no room for another one. A deleted secret counts until it is removed \
                     for good"
                ),
                "delete secrets that are not needed and repeat the request once they are removed, or ask the operator to raise the \
                 quota",
            ),
            QuotaLimit::Bytes(most) => (
                "bytes_per_namespace",
                format!(
                    "{of} may hold {most} bytes of values, and has no room for this one. Former versions count, and so does a \
                     deleted secret until it is removed for good"
                ),
                "destroy versions and delete secrets that are not needed, or ask the operator to raise the quota",
            ),
        };
        let mut refusal =
            Self::new(Code::ResourceExhausted, Reason::QuotaExceeded, format!("{reached}: {remedy}."));
        refusal.details.quota = Some((subject, format!("{reached}.")));
        refusal
    }

    /// The refusal of a request that has reached a limit.
    pub(in crate::api) fn limit(limit: &LimitReached) -> Self {
        const OWN: &str = "wait for answers before you send more";
        const ALL: &str = "try again";
        let (name, reached, remedy) = match limit {
            LimitReached::Requests(most) => {
                ("limits.requests", format!("The server works on {most} requests, as many as it may"), ALL)
            }
            LimitReached::RequestsPerPrincipal(most) => {
                let reached = format!("This caller has {most} requests under way, as many as it may");
                ("limits.requests_per_principal", reached, OWN)
            }
            LimitReached::Share(most) => {
                let reached = format!(
                    "The server has few requests left, and this caller has more than its share of {most} under way"
                );
                ("limits.requests", reached, OWN)
            }
            LimitReached::Memory(most) => {
                let reached =
                    format!("The requests and replies of all callers take {most} bytes, as many as they may");
                ("limits.memory", reached, ALL)
            }
            LimitReached::MemoryPerPrincipal(most) => {
                let reached =
                    format!("The requests and replies of this caller take {most} bytes, as many as they may");
                ("limits.memory_per_principal", reached, OWN)
            }
            LimitReached::RequestsPerSecond(most, _) => {
                let reached = format!("This caller may send {most} requests a second, and has sent more");
                ("limits.requests_per_second", reached, "send fewer")
            }
            LimitReached::DocumentsPerPrincipal(most) => {
                let reached = format!("{most} documents of this caller wait for their turn, as many as may");
                ("limits.documents_per_principal", reached, OWN)
            }
        };
        let mut refusal =
            Self::new(Code::ResourceExhausted, Reason::TooManyRequests, format!("{reached}: {remedy}."));
        refusal.details.quota = Some((name, format!("{reached}.")));
        refusal.details.retry_after = Some(match limit {
            LimitReached::RequestsPerSecond(_, wait) => *wait,
            LimitReached::Requests(_)
            | LimitReached::RequestsPerPrincipal(_)
            | LimitReached::Share(_)
            | LimitReached::Memory(_)
            | LimitReached::MemoryPerPrincipal(_)
            | LimitReached::DocumentsPerPrincipal(_) => RETRY,
        });
        refusal
    }
}
