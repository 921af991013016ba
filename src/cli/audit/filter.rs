//! Which records to show: the arguments of `list` and `tail`.

use prost_types::Timestamp;
use strongroom_client::v1;

use crate::cli::moment::moment;

/// The arguments that choose records. A record must match all of them.
#[derive(clap::Args)]
pub(super) struct Filter {
    /// Show only requests of this caller, such as key:abcdefghijklmnop
    #[arg(long, default_value = "", hide_default_value = true)]
    principal: String,

    /// Show only requests of this RPC, such as GetSecret
    #[arg(long, default_value = "", hide_default_value = true)]
    rpc: String,

    /// Show only requests for this namespace
    #[arg(long = "in", value_name = "NAMESPACE", default_value = "", hide_default_value = true)]
    within: String,

    /// Show only requests for the secret of this name, also those of documents that refer to it
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,

    /// Show only requests that ended so: ok, or a code such as PERMISSION_DENIED
    #[arg(long, default_value = "", hide_default_value = true)]
    outcome: String,

    /// Show only requests that were refused for this reason, such as ACCESS_DENIED
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,

    /// Show only the request with this id, which its error and the server's log have too
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,

    /// Show only what came at or after a time: 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,

    /// Show only what came before a time, in the same form
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

impl Filter {
    /// The filter as the service takes it.
    pub(super) fn into_message(self) -> v1::AuditFilter {
        v1::AuditFilter {
            principal: self.principal,
            rpc: self.rpc,
            namespace: self.within,
            name: self.name,
            outcome: self.outcome,
            reason: self.reason,
            request_id: self.request_id,
            after: self.since,
            before: self.until,
        }
    }
}
