//! AuditService: the records of the audit log, its checkpoints, and proofs.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use prost::Message;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::convert::time;
use super::operator::{ConfirmedReplies, begun, spawn_of_call};
use super::proto as v1;
use super::proto::audit_service_server::AuditService;
use crate::api::error::Refusal;
use crate::api::request::{Call, Fields};
use crate::api::strongroom_v1::status::refused;
use crate::app::{App, Error};
use crate::audit::is_fingerprint;
use crate::auth::{Audit, ServiceGrant};
use crate::crypto::sha256;
use crate::domain::{Invalid, Namespace, SecretName};
use crate::integrity::audit_log::{Order, Query, Stored};

/// How many records are read for a watcher at once.
const AT_ONCE: usize = 100;
/// How many records wait for a watcher that is slower than the log.
const AHEAD: usize = 256;
/// How long a watcher may take for the next record.
const SILENCE: Duration = Duration::from_secs(20);

/// AuditService over the app.
pub(super) struct AuditLog(pub(super) Arc<App>);

#[tonic::async_trait]
impl AuditService for AuditLog {
    async fn list_audit_records(
        &self,
        request: Request<v1::ListAuditRecordsRequest>,
    ) -> Result<Response<v1::ListAuditRecordsResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(list(&self.0, &call, message).await)
    }

    type WatchAuditRecordsStream = ConfirmedReplies<v1::WatchAuditRecordsResponse>;

    async fn watch_audit_records(
        &self,
        request: Request<v1::WatchAuditRecordsRequest>,
    ) -> Result<Response<Self::WatchAuditRecordsStream>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(watch(&self.0, &call, message).await)
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let (call, v1::GetCheckpointRequest {}) = Call::open(&self.0, request).await?;
        call.close(checkpoint(&self.0, &call))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(inclusion_proof(&self.0, &call, message).await)
    }

    async fn get_consistency_proof(
        &self,
        request: Request<v1::GetConsistencyProofRequest>,
    ) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(consistency_proof(&self.0, &call, message).await)
    }

    async fn find_audit_names(
        &self,
        request: Request<v1::FindAuditNamesRequest>,
    ) -> Result<Response<v1::FindAuditNamesResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(find_names(&self.0, &call, message).await)
    }
}

async fn find_names(
    app: &App,
    call: &Call,
    message: v1::FindAuditNamesRequest,
) -> Result<v1::FindAuditNamesResponse, Error> {
    let grant = call.service_grant::<Audit>(app)?;
    if !is_fingerprint(&message.fingerprint) {
        const FORM: &str = "must be a fingerprint of a record: fp: and 16 hexadecimal digits in lower case";
        return Err(Error::invalid("fingerprint", FORM));
    }
    call.note(|target| target.subject = Some(message.fingerprint.clone()));
    let found = app.audit.find_names(&grant, message.fingerprint).await?;
    let secret = |(namespace, name): (Namespace, SecretName)| v1::AuditName {
        namespace: namespace.to_string(),
        name: name.to_string(),
    };
    Ok(v1::FindAuditNamesResponse {
        namespaces: found.namespaces.iter().map(ToString::to_string).collect(),
        secrets: found.secrets.into_iter().map(secret).collect(),
    })
}

async fn list(
    app: &App,
    call: &Call,
    message: v1::ListAuditRecordsRequest,
) -> Result<v1::ListAuditRecordsResponse, Error> {
    let grant = call.service_grant::<Audit>(app)?;
    let mut fields = Fields::default();
    let filter = message.filter.unwrap_or_default();
    let place = Place { filter: sha256(&[&filter.encode_to_vec()]), order: message.order };
    let query = query(app, filter, &mut fields);
    let limit = fields.check("limit", limit(message.limit));
    let order = fields.check("order", order(message.order));
    let begin = fields.check("page_token", place.begin(&message.page_token));
    let parsed = (|| Some((query?, limit?, order?, begin?)))();
    let (query, limit, order, begin) = fields.finish(parsed)?;

    let order = match order {
        v1::AuditOrder::OldestFirst => Order::OldestFirst(begin.unwrap_or(0)),
        v1::AuditOrder::Unspecified | v1::AuditOrder::NewestFirst => {
            Order::NewestFirst(begin.unwrap_or(u64::MAX))
        }
    };
    let (page, log_size) = app.audit.list(&grant, query, order, limit).await?;
    Ok(v1::ListAuditRecordsResponse {
        items: page.records.into_iter().map(record).collect(),
        next_page_token: page.next.map(|next| place.token(next)).unwrap_or_default(),
        log_size,
    })
}

/// What a page token is bound to.
struct Place {
    filter: [u8; 32],
    order: i32,
}

impl Place {
    /// The token of the page that goes on at a record.
    fn token(&self, next: u64) -> String {
        let bound = self.bound_to();
        BASE64URL_NOPAD.encode(&[next.to_be_bytes().as_slice(), &bound].concat())
    }

    /// Where the page of a token begins; `None` for the first page.
    fn begin(&self, token: &str) -> Result<Option<u64>, Invalid> {
        const REFUSED: Invalid =
            Invalid::new("must be empty, or the next_page_token of a page with the same filter and order");
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| REFUSED)?;
        let (next, bound) = bytes.split_first_chunk().ok_or(REFUSED)?;
        if bound == self.bound_to() { Ok(Some(u64::from_be_bytes(*next))) } else { Err(REFUSED) }
    }

    fn bound_to(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = sha256(&[&self.filter, &self.order.to_be_bytes()]);
        [a, b, c, d, e, f, g, h]
    }
}

fn limit(limit: Option<i32>) -> Result<usize, Invalid> {
    let limit = usize::try_from(limit.unwrap_or(100)).ok();
    limit.filter(|limit| (1..=1000).contains(limit)).ok_or(Invalid::new("must be from 1 to 1,000"))
}

fn order(number: i32) -> Result<v1::AuditOrder, Invalid> {
    v1::AuditOrder::try_from(number).map_err(|_| Invalid::new("must be a known order"))
}

fn query(app: &App, filter: v1::AuditFilter, fields: &mut Fields) -> Option<Query> {
    let given = |text: String| (!text.is_empty()).then_some(text);
    let after = filter.after.map(|after| fields.check("filter.after", time(&after)));
    let before = filter.before.map(|before| fields.check("filter.before", time(&before)));
    if matches!(after, Some(None)) || matches!(before, Some(None)) {
        return None;
    }
    Some(Query {
        principal: given(filter.principal),
        rpc: given(filter.rpc),
        namespace: given(filter.namespace).map(|text| app.audit.forms_of_namespace(text)),
        name: given(filter.name).map(|text| app.audit.forms_of_name(text)),
        outcome: given(filter.outcome),
        reason: given(filter.reason),
        request_id: given(filter.request_id),
        after: after.flatten(),
        before: before.flatten(),
    })
}

fn record(Stored { index, line }: Stored) -> v1::AuditRecord {
    v1::AuditRecord { index, line }
}

async fn watch(
    app: &Arc<App>,
    call: &Call,
    message: v1::WatchAuditRecordsRequest,
) -> Result<ConfirmedReplies<v1::WatchAuditRecordsResponse>, Error> {
    let grant = call.service_grant::<Audit>(app)?;
    let mut fields = Fields::default();
    let query = query(app, message.filter.unwrap_or_default(), &mut fields);
    let query = fields.finish(query)?;
    let size = app.audit.growth(&grant)?.borrow().size;
    let from = message.from_index.unwrap_or(size);
    if from > size {
        return Err(Error::invalid("from_index", "must be at most the size of the log"));
    }
    if from < app.audit.first(&grant).await? {
        return Err(Error::invalid(
            "from_index",
            "must be the number of a record that is still there: the retention has removed this one",
        ));
    }

    call.note(|target| target.subject = Some("begun".to_owned()));
    let (replies, stream) = mpsc::channel(AHEAD);
    // One place is kept for the error that ends the stream.
    let last = replies.clone().try_reserve_owned().map_err(|_| Error::Internal("a new channel is full"))?;
    let confirmed = ConfirmedReplies::new(app.clone(), call.clone(), stream);
    let (app, call) = (app.clone(), call.clone());
    spawn_of_call(async move {
        if !begun(&app, &call, &replies).await {
            return;
        }
        if let Err(ended) = send_records(&app, &grant, &query, from, &replies).await {
            let refusal = match ended {
                Ended::TooSlow => Refusal::too_slow(),
                Ended::Failed(error) => Refusal::from(&error),
                Ended::Left => return,
            };
            last.send(Err(refused(refusal, call.request_id())));
        }
    });
    Ok(confirmed)
}

/// Why a watch ended.
enum Ended {
    /// The caller has not taken the records in time.
    TooSlow,
    /// The log cannot be read.
    Failed(Error),
    /// The caller has gone, or its key has ended.
    Left,
}

/// Sends the records from a number on, as they are written.
async fn send_records(
    app: &App,
    grant: &ServiceGrant<Audit>,
    query: &Query,
    from: u64,
    replies: &mpsc::Sender<Result<v1::WatchAuditRecordsResponse, Status>>,
) -> Result<(), Ended> {
    let mut growth = app.audit.growth(grant).map_err(Ended::Failed)?;
    let mut next = from;
    loop {
        let grown = tokio::select! {
            grown = growth.wait_for(|head| head.size > next) => grown.map(|head| head.size),
            () = replies.closed() => return Err(Ended::Left),
            () = app.watches.ended() => return Err(Ended::Failed(Error::stopping())),
        };
        let size = grown.map_err(|_| Ended::Left)?; // the server ends
        let order = Order::OldestFirst(next);
        let page = app.audit.list(grant, query.clone(), order, AT_ONCE).await;
        let (page, _) = page.map_err(Ended::Failed)?;
        // What was written after the size was read may be in the page, too.
        let read_to = page.records.last().map_or(0, |record| record.index + 1);
        next = page.next.unwrap_or(size.max(read_to));
        for stored in page.records {
            let reply = v1::WatchAuditRecordsResponse { record: Some(record(stored)) };
            match replies.send_timeout(Ok(reply), SILENCE).await {
                Ok(()) => {}
                Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(Ended::TooSlow),
                Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(Ended::Left),
            }
        }
    }
}

fn checkpoint(app: &App, call: &Call) -> Result<v1::GetCheckpointResponse, Error> {
    let grant = call.service_grant::<Audit>(app)?;
    let checkpoint = app.audit.checkpoint(&grant)?;
    Ok(v1::GetCheckpointResponse {
        checkpoint: checkpoint.note,
        verifier_key: checkpoint.verifier_key,
        size: checkpoint.head.size,
        root: checkpoint.head.root.to_vec(),
    })
}

async fn inclusion_proof(
    app: &App,
    call: &Call,
    message: v1::GetInclusionProofRequest,
) -> Result<v1::GetInclusionProofResponse, Error> {
    let grant = call.service_grant::<Audit>(app)?;
    let proof = app.audit.inclusion_proof(&grant, message.index, message.size).await?;
    let hashes = proof.hashes.iter().map(|hash| hash.to_vec()).collect();
    Ok(v1::GetInclusionProofResponse { leaf_hash: proof.leaf.to_vec(), hashes, size: proof.size })
}

async fn consistency_proof(
    app: &App,
    call: &Call,
    message: v1::GetConsistencyProofRequest,
) -> Result<v1::GetConsistencyProofResponse, Error> {
    let grant = call.service_grant::<Audit>(app)?;
    let (hashes, size) = app.audit.consistency_proof(&grant, message.older_size, message.size).await?;
    Ok(v1::GetConsistencyProofResponse { hashes: hashes.iter().map(|hash| hash.to_vec()).collect(), size })
}
