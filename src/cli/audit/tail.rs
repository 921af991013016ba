//! `strongroom audit tail` shows records as they are written.

use std::time::Duration;

use strongroom_client::{Audit, Code, Error, v1};

use super::filter::Filter;
use super::print_line;
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The pause before the records are asked for again, after the stream has ended.
const PAUSE: Duration = Duration::from_secs(1);

/// The arguments of `strongroom audit tail`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom audit tail
  strongroom audit tail --outcome PERMISSION_DENIED -o json | logger -t strongroom

Stop with Ctrl-C. Where the connection breaks, the command asks again from the next record on, so that \
no record is left out or shown twice.")]
pub(in crate::cli) struct Tail {
    #[command(flatten)]
    filter: Filter,

    /// Begin with the latest N records, up to 1,000
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i32).range(0..=1000))]
    last: i32,

    /// Begin with the record of this number, in place of the latest ones
    #[arg(long, value_name = "INDEX", conflicts_with = "last")]
    from: Option<u64>,
}

impl Tail {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let filter = self.filter.into_message()?;
        let audit = connection.client().await?.audit();
        let mut next = match self.from {
            Some(from) => from,
            None => latest(&audit, &filter, self.last, output).await?,
        };
        loop {
            match follow(&audit, &filter, &mut next, output).await {
                Err(Ended::Failed(failure)) => return Err(failure),
                // A deadline can be that of the connection.
                Err(Ended::Refused(error)) if !passes(&error) => return Err(error.into()),
                Err(Ended::Refused(_)) | Ok(()) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// Whether an error passes by itself.
fn passes(error: &Error) -> bool {
    matches!(error.code(), Code::Unavailable | Code::ResourceExhausted | Code::Cancelled | Code::Unknown)
}

/// Shows the latest records; returns the number of the next one.
async fn latest(audit: &Audit, filter: &v1::AuditFilter, last: i32, output: Output) -> Result<u64, Failure> {
    let request = v1::ListAuditRecordsRequest {
        filter: Some(filter.clone()),
        limit: Some(last.max(1)),
        page_token: String::new(),
        order: v1::AuditOrder::NewestFirst.into(),
    };
    let page = audit.list(request).await?;
    let shown = usize::try_from(last).unwrap_or(0);
    for record in page.items.iter().take(shown).rev() {
        print_line(record, output)?;
    }
    let newest = page.items.first().map_or(0, |record| record.index + 1);
    Ok(newest.max(page.log_size))
}

enum Ended {
    Failed(Failure),
    Refused(Error),
}

/// Shows each record from `next` on, until the stream ends.
async fn follow(
    audit: &Audit,
    filter: &v1::AuditFilter,
    next: &mut u64,
    output: Output,
) -> Result<(), Ended> {
    let request = v1::WatchAuditRecordsRequest { filter: Some(filter.clone()), from_index: Some(*next) };
    let mut records = audit.watch(request).await.map_err(Ended::Refused)?;
    while let Some(reply) = records.next().await.map_err(Ended::Refused)? {
        let Some(record) = reply.record else { continue };
        print_line(&record, output).map_err(Ended::Failed)?;
        *next = record.index + 1;
    }
    Ok(())
}
