//! `strongroom audit list` lists records of the audit log.

use strongroom_client::v1;

use super::filter::Filter;
use super::{HEADER, json_line, row};
use crate::cli::connect::Connection;
use crate::cli::failure::{Failure, note};
use crate::cli::output::{self, Output};

/// The arguments of `strongroom audit list`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom audit list --name stripe_key                        who read or changed this secret?
  strongroom audit list --principal key:abcdefghijklmnop --since 24h
  strongroom audit list --outcome PERMISSION_DENIED --limit 20
  strongroom audit list --all > records.jsonl                    one JSON object on each line

The records are those of the server that answers. Over etcd, each server has a log of its own.")]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filter: Filter,

    /// Show at most N records
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "all", value_parser = limit)]
    limit: usize,

    /// Show all records that match
    #[arg(long)]
    all: bool,

    /// Show the oldest record first
    #[arg(long)]
    oldest_first: bool,
}

impl List {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let order = if self.oldest_first { v1::AuditOrder::OldestFirst } else { v1::AuditOrder::NewestFirst };
        let mut left = if self.all { usize::MAX } else { self.limit };
        let mut request = v1::ListAuditRecordsRequest {
            filter: Some(self.filter.into_message()?),
            limit: None,
            page_token: String::new(),
            order: order.into(),
        };
        let audit = connection.client().await?.audit();
        let mut rows = Vec::new();
        while left > 0 {
            request.limit = i32::try_from(left.min(1000)).ok();
            let page = audit.list(request.clone()).await?;
            left = left.saturating_sub(page.items.len());
            match output {
                Output::Table => rows.extend(page.items.iter().map(row)),
                Output::Json => output::write(&page.items.iter().flat_map(json_line).collect::<Vec<_>>())?,
            }
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        if left == 0 && !request.page_token.is_empty() {
            let which = if self.oldest_first { "oldest" } else { "newest" };
            let records = if self.limit == 1 { "record is" } else { "records are" };
            note(&format!(
                "the {which} {} {records} shown; --limit N shows more, and --all shows all",
                self.limit
            ));
        }
        match output {
            Output::Table => output.print_all(&HEADER, rows, &serde_json::Value::Null),
            Output::Json => Ok(()),
        }
    }
}

/// Reads how many records to show.
fn limit(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or("expected a number from 1 on; --all shows all records")
}
