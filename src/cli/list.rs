//! `strongroom list` lists secrets without their values, one page or all.

use std::io::Write;

use prost_types::Timestamp;
use serde_json::json;
use strongroom_client::{Secrets, v1};

use super::connect::Connection;
use super::failure::Failure;
use super::metadata;
use super::moment::moment;
use super::output::{self, Output};
use super::secret::secret_json;
use super::version::consistency;
use crate::domain;

/// The arguments of `strongroom list`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom list --metadata env=production --prefix billing_
  strongroom list --order-by 'updated_at desc' --limit 10
  strongroom list --unused-since 90d
  strongroom list --include-deleted")]
pub(super) struct List {
    /// Show at most N secrets, from 1 to 1,000 [default: all secrets]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<i32>,

    /// Skip the first N secrets
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    offset: Option<i32>,

    /// Begin after an earlier page: give its next_page_token
    #[arg(long, value_name = "TOKEN", conflicts_with = "offset")]
    page_token: Option<String>,

    /// Show only secrets with this pair of metadata; if given several times, secrets with all of the pairs
    #[arg(long, value_name = "KEY=VALUE", value_parser = metadata::pair)]
    metadata: Vec<(String, String)>,

    /// Show only secrets whose names begin with PREFIX
    #[arg(long, default_value = "", value_name = "PREFIX", hide_default_value = true)]
    prefix: String,

    /// Show only secrets that existed then and of which no value was read since: 90d for 90 days ago,
    /// 2026-01-31 (midnight in UTC), or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    unused_since: Option<Timestamp>,

    /// Also show deleted secrets that 'undelete' can bring back, with their ids
    #[arg(long)]
    include_deleted: bool,

    /// Accept a list without the changes of the last seconds, from a service with replicas
    #[arg(long)]
    cached: bool,

    /// The order: name, created_at or updated_at, followed by ' desc' for the reverse order
    #[arg(long, default_value = "name", value_name = "ORDER")]
    order_by: String,
}

impl List {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        // A limit or a token asks for one page. Without them all pages are read, each as large as the service allows.
        let one_page = self.limit.is_some() || self.page_token.is_some();
        let request = v1::ListSecretsRequest {
            limit: self.limit.or((!one_page).then_some(1000)),
            offset: self.offset,
            page_token: self.page_token.unwrap_or_default(),
            metadata: metadata::map(self.metadata)?,
            name_prefix: self.prefix,
            order_by: self.order_by,
            unused_since: self.unused_since,
            include_deleted: self.include_deleted,
            consistency: consistency(self.cached).into(),
            ..v1::ListSecretsRequest::default()
        };
        let secrets = connection.client().await?.secrets();
        let (items, last) = if one_page {
            let mut page = secrets.list(request).await?;
            (std::mem::take(&mut page.items), page)
        } else {
            all_pages(&secrets, request).await?
        };
        print_secrets(output, &items, &last, self.include_deleted)
    }
}

/// The secrets of all pages, and the last page.
async fn all_pages(
    secrets: &Secrets,
    request: v1::ListSecretsRequest,
) -> Result<(Vec<v1::Secret>, v1::ListSecretsResponse), Failure> {
    let (mut pages, mut items) = (secrets.pages(request), Vec::new());
    let mut last = v1::ListSecretsResponse::default();
    while let Some(mut page) = pages.next().await? {
        items.append(&mut page.items);
        last = page;
    }
    Ok((items, last))
}

/// The warning about a list that lacks damaged secrets; `None` if it lacks none.
fn missing(damaged: i32) -> Option<String> {
    let (are, their) = match damaged {
        ..=0 => return None,
        1 => ("1 secret of this namespace is", "its record was"),
        _ => (&*format!("{damaged} secrets of this namespace are"), "their records were"),
    };
    Some(format!("{are} not listed, because {their} altered or damaged: restore a backup"))
}

/// All secrets whose names begin with the prefix, without their values, in the order of their names; and a warning if some
/// may be missing. For `run` and `export`.
pub(super) async fn all(
    secrets: &Secrets,
    prefix: &str,
) -> Result<(Vec<v1::Secret>, Option<String>), Failure> {
    let request = v1::ListSecretsRequest {
        limit: Some(1000),
        name_prefix: prefix.to_owned(),
        ..v1::ListSecretsRequest::default()
    };
    let (items, last) = all_pages(secrets, request).await?;
    Ok((items, missing(last.damaged_size)))
}

/// When a secret expires, or that it has.
fn expiry(secret: &v1::Secret, now: domain::Timestamp) -> String {
    let Some(at) = &secret.expires_at else { return String::new() };
    let micros = at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos / 1000));
    let time = output::time_in_brief(Some(at));
    if micros <= now.as_micros() { format!("expired {time}") } else { time }
}

fn print_secrets(
    output: Output,
    items: &[v1::Secret],
    last: &v1::ListSecretsResponse,
    with_deleted: bool,
) -> Result<(), Failure> {
    let json = json!({
        "items": items.iter().map(secret_json).collect::<Vec<_>>(),
        "next_page_token": last.next_page_token,
        "total_size": last.total_size,
        "revision": last.revision,
        "damaged_size": last.damaged_size,
    });
    let with_expiry = items.iter().any(|secret| secret.expires_at.is_some());
    let now = domain::now();
    let row = |secret: &v1::Secret| {
        let updated = output::time_in_brief(secret.updated_at.as_ref());
        let version = secret.version.to_string();
        let mut row =
            vec![secret.name.clone(), version, updated, secret.description.clone(), metadata::shown(secret)];
        if with_expiry {
            row.push(expiry(secret, now));
        }
        if with_deleted {
            let id = secret.deleted_at.as_ref().map(|_| secret.id.clone());
            row.extend([output::time_in_brief(secret.deleted_at.as_ref()), id.unwrap_or_default()]);
        }
        row
    };
    let rows = items.iter().map(row).collect();
    let mut header = vec!["name", "version", "updated", "description", "metadata"];
    if with_expiry {
        header.push("expires");
    }
    if with_deleted {
        header.extend(["deleted", "id"]);
    }
    output.print_all(&header, rows, &json)?;
    if output == Output::Table && !items.is_empty() {
        let more = if last.next_page_token.is_empty() { "" } else { "; more with --page-token or --offset" };
        output::write(format!("\n{} of {}{more}\n", items.len(), last.total_size).as_bytes())?;
    }
    if let Some(missing) = missing(last.damaged_size) {
        let _ = writeln!(std::io::stderr(), "warning: {missing}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_expired_from_its_time_on() {
        let at = domain::Timestamp::from_micros;
        let expires_at = Some(Timestamp { seconds: 1_000_000_000, nanos: 5_000 });
        let secret = v1::Secret { expires_at, ..v1::Secret::default() };
        assert_eq!(expiry(&secret, at(1_000_000_000_000_004)), "2001-09-09T01:46:40Z");
        assert_eq!(expiry(&secret, at(1_000_000_000_000_005)), "expired 2001-09-09T01:46:40Z");
        assert_eq!(expiry(&v1::Secret::default(), at(0)), "");
    }
}
