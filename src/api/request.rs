//! A request in the service's own terms, on every wire: the RPC, the caller, and the entry for the audit.
//!
//! The gate makes an [`AuditEntry`] when a request arrives, and a [`Call`] once the caller is known. Handlers parse the message
//! with [`Fields`], and get from the call the grants that the app asks for.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use tokio::sync::Notify;
use uuid::Uuid;

use super::error::{Code, Reason, Refusal};
use crate::app::{App, Error, RequestRecord};
use crate::audit::{Auditor, Line, Record, Referenced, Target, Unwritable};
use crate::auth::Right;
use crate::auth::{
    Authorization, Grant, NamespaceGrant, Principal, RightType, Scope, ScopeGrant, ServiceGrant,
    SomewhereGrant,
};
use crate::domain::{Invalid, Namespace, SecretName, Violations, now};
use crate::telemetry::traces::{self, RequestSpan, Span, Step};

/// The name that the audit gives to an RPC that does not exist. The caller's own text could be anything, a value too.
const UNKNOWN_RPC: &str = "unknown";

/// An RPC.
#[derive(Debug)]
pub(super) struct Rpc {
    /// Its place in the table of RPCs.
    pub(super) number: usize,
    /// Its full name, such as `strongroom.v1.SecretService/GetSecret`.
    pub(super) name: &'static str,
    /// The rights that it may ask for. Empty: it needs none.
    pub(super) rights: &'static [Right],
    /// Whether it changes something.
    pub(super) changes: bool,
    /// How many bytes in memory a byte of its request can take.
    pub(super) weight: usize,
}

/// The audit's entry for a request, filled in as the request is understood. It lives from the arrival of the request to its
/// last record.
pub(super) struct AuditEntry {
    /// The RPC; `None` where there is no such RPC.
    pub(super) rpc: Option<&'static Rpc>,
    pub(super) request_id: Box<str>,
    /// The caller's own id of the request.
    caller_request_id: Option<Box<str>>,
    peer: Option<SocketAddr>,
    auditor: Arc<dyn Auditor>,
    /// The span of the request, where it is traced.
    span: Option<Arc<Span>>,
    /// The id of the trace that the caller names, where the request is not traced here.
    trace_id: Option<String>,
    noted: Mutex<Noted>,
    recorded: Notify,
    /// Whether the caller has hung up before it was answered.
    abandoned: AtomicBool,
    hung_up: Notify,
    /// Whether the work on the request has begun.
    begun: AtomicBool,
}

#[derive(Default)]
struct Noted {
    /// The caller, once known, and what it was granted.
    caller: Option<Arc<Authorization>>,
    /// The object of the request.
    target: Target,
    /// The secrets that the references of its document name.
    referenced: Referenced,
}

impl AuditEntry {
    pub(super) fn new(
        rpc: Option<&'static Rpc>,
        request_id: Box<str>,
        caller_request_id: Option<Box<str>>,
        peer: Option<SocketAddr>,
        auditor: Arc<dyn Auditor>,
    ) -> Self {
        Self {
            rpc,
            request_id,
            caller_request_id,
            peer,
            auditor,
            span: None,
            trace_id: None,
            noted: Mutex::default(),
            recorded: Notify::new(),
            abandoned: AtomicBool::new(false),
            hung_up: Notify::new(),
            begun: AtomicBool::new(false),
        }
    }

    /// The entry of a request with this span, or else of the trace that its caller names.
    pub(super) fn traced(self, span: Option<&RequestSpan>, headers: &HeaderMap) -> Self {
        match span {
            Some(span) => Self { span: Some(span.span()), ..self },
            None => Self { trace_id: traces::trace_id(headers), ..self },
        }
    }

    /// Notes that the caller has hung up before it was answered.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.hung_up.notify_one();
    }

    /// Begins the work, unless the caller has hung up.
    pub(super) fn begin(&self) -> bool {
        let begins = !self.abandoned.load(Ordering::Acquire);
        self.begun.store(begins, Ordering::Release);
        begins
    }

    /// Whether the work has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until the caller hangs up before it is answered. For one task at a time.
    pub(super) async fn abandoned(&self) {
        self.hung_up.notified().await;
    }

    /// Notes the caller.
    pub(super) fn note_caller(&self, caller: &Arc<Authorization>) {
        self.with_noted(|noted| noted.caller = Some(caller.clone()));
    }

    /// The caller, and what it was granted; `None` where it is not known.
    pub(super) fn caller(&self) -> Option<Arc<Authorization>> {
        self.with_noted(|noted| noted.caller.clone())
    }

    /// Notes the object of the request.
    pub(super) fn note(&self, note: impl FnOnce(&mut Target)) {
        self.with_noted(|noted| note(&mut noted.target));
    }

    /// Writes the record of the request, and returns it. The refusal of a stranger, or of a caller at a limit, does not wait for
    /// that: then there is no record to return.
    pub(super) async fn write(
        &self,
        failure: Option<(Code, Option<Reason>)>,
    ) -> Result<Option<Record>, Unwritable> {
        let noted = self.with_noted(|noted| Noted {
            caller: noted.caller.clone(),
            target: std::mem::take(&mut noted.target),
            referenced: std::mem::take(&mut noted.referenced),
        });
        let record = self.record(noted, failure);
        let at_limit = matches!(failure, Some((_, Some(Reason::TooManyRequests))));
        let written = if record.principal.is_none() || at_limit {
            self.auditor.refused(record, 1);
            None
        } else {
            self.auditor.write(&record).await?;
            Some(record)
        };
        self.recorded.notify_one();
        Ok(written)
    }

    /// Notes the refusal of so many requests before their callers are known.
    pub(super) fn refused(&self, refusal: &Refusal, many: u64) {
        let failure = Some((refusal.code, Some(refusal.reason)));
        self.auditor.refused(self.record(Noted::default(), failure), many);
    }

    /// Writes a second record of a request that was carried out, for an answer that is withheld after the first one was written.
    pub(super) async fn write_withheld(
        &self,
        mut record: Record,
        failure: Option<(Code, Option<Reason>)>,
    ) -> Result<(), Unwritable> {
        (record.outcome, record.reason) = outcome(failure);
        self.auditor.write(&record).await
    }

    fn record(&self, noted: Noted, failure: Option<(Code, Option<Reason>)>) -> Record {
        let Noted { caller, target, referenced } = noted;
        let (outcome, reason) = outcome(failure);
        Record {
            principal: caller.map(|caller| caller.principal().to_string()),
            peer: self.peer,
            rpc: self.rpc.map_or(UNKNOWN_RPC, |rpc| rpc.name),
            target,
            referenced,
            outcome,
            reason,
            request_id: self.request_id.to_string(),
            caller_request_id: self.caller_request_id.as_deref().map(str::to_owned),
            trace_id: self.span.as_ref().map(|span| span.trace_id()).or_else(|| self.trace_id.clone()),
        }
    }

    fn with_noted<T>(&self, work: impl FnOnce(&mut Noted) -> T) -> T {
        work(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RequestRecord for AuditEntry {
    fn id(&self) -> [u8; 16] {
        // The gate makes the id; a test may make another one.
        Uuid::try_parse(&self.request_id).unwrap_or_default().into_bytes()
    }

    fn step(&self, name: &'static str) -> Option<Step> {
        self.span.as_ref().map(|span| span.step(name))
    }

    fn line(&self) -> Vec<u8> {
        let noted = self.with_noted(|noted| Noted {
            caller: noted.caller.clone(),
            target: noted.target.clone(),
            referenced: noted.referenced.clone(),
        });
        Line::of(&self.record(noted, None), self.auditor.names(), now()).to_text()
    }
}

/// The outcome and the reason as records have them.
fn outcome(failure: Option<(Code, Option<Reason>)>) -> (&'static str, Option<&'static str>) {
    match failure {
        None => ("ok", None),
        Some((code, reason)) => (code.name(), reason.map(Reason::name)),
    }
}

/// A request whose caller is known. Cheap to clone; all clones are the same call.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) rpc: &'static Rpc,
    /// The caller, and what it was granted so far.
    pub(super) caller: Arc<Authorization>,
    pub(super) entry: Arc<AuditEntry>,
}

impl Call {
    /// The id of the request, which its errors and its audit records have.
    pub(super) fn request_id(&self) -> &str {
        &self.entry.request_id
    }

    /// The namespace that a field names, the caller's home where it is empty.
    pub(super) fn namespace(
        &self,
        field: &'static str,
        text: &str,
        fields: &mut Fields,
    ) -> Option<Namespace> {
        let namespace = if text.is_empty() {
            self.principal().home().clone()
        } else {
            fields.check(field, Namespace::parse(text))?
        };
        self.note(|target| target.namespace = Some(namespace.clone()));
        Some(namespace)
    }

    /// The caller.
    pub(super) fn principal(&self) -> &Principal {
        self.caller.principal()
    }

    /// Proof that the caller has a right on a secret of the namespace that the field `namespace` names. `None`: the field names none,
    /// or there is no name. Without a name, the caller must have the right on some secret of the namespace.
    pub(super) fn grant<R: RightType>(
        &self,
        app: &App,
        namespace: &str,
        name: Option<&SecretName>,
        fields: &mut Fields,
    ) -> Result<Option<Grant<R>>, Error> {
        self.declared::<R>()?;
        let Some(namespace) = self.namespace("namespace", namespace, fields) else { return Ok(None) };
        let Some(name) = name else {
            app.access.grant_namespace::<R>(self.principal(), &namespace)?;
            return Ok(None);
        };
        let grant = app.access.grant(self.principal(), &namespace, name)?;
        self.caller.note(grant.granted());
        Ok(Some(grant))
    }

    /// Proof that the caller has a right on secrets of the namespace that the field `namespace` names. `None`: it names none.
    pub(super) fn namespace_grant<R: RightType>(
        &self,
        app: &App,
        namespace: &str,
        fields: &mut Fields,
    ) -> Result<Option<NamespaceGrant<R>>, Error> {
        self.declared::<R>()?;
        let Some(namespace) = self.namespace("namespace", namespace, fields) else { return Ok(None) };
        let grant = app.access.grant_namespace(self.principal(), &namespace)?;
        self.caller.note(grant.granted());
        Ok(Some(grant))
    }

    /// Proof that the caller has a right on the whole of a scope.
    pub(super) fn scope_grant<R: RightType>(&self, app: &App, scope: Scope) -> Result<ScopeGrant<R>, Error> {
        self.declared::<R>()?;
        let grant = app.access.grant_scope(self.principal(), scope)?;
        self.caller.note(grant.granted());
        Ok(grant)
    }

    /// Proof that the caller has a right on something.
    pub(super) fn somewhere_grant<R: RightType>(&self, app: &App) -> Result<SomewhereGrant<R>, Error> {
        self.declared::<R>()?;
        let grant = app.access.grant_somewhere(self.principal())?;
        self.caller.note(grant.granted());
        Ok(grant)
    }

    /// Proof that the caller has a right on the service as a whole.
    pub(super) fn service_grant<R: RightType>(&self, app: &App) -> Result<ServiceGrant<R>, Error> {
        self.declared::<R>()?;
        let grant = app.access.grant_service(self.principal())?;
        self.caller.note(grant.granted());
        Ok(grant)
    }

    /// The name of a secret, from the field `name`. Called before `grant`, so that the record of a denial has the name too.
    pub(super) fn name(&self, text: &str, fields: &mut Fields) -> Option<SecretName> {
        let name = fields.check("name", SecretName::parse(text))?;
        self.note(|target| target.name = Some(name.clone()));
        Some(name)
    }

    /// Notes the object of the request, for the audit.
    pub(super) fn note(&self, note: impl FnOnce(&mut Target)) {
        self.entry.note(note);
    }

    /// Notes the secrets that the references of the request's document name, for the audit.
    pub(super) fn note_referenced(&self, referenced: Referenced) {
        self.entry.with_noted(|noted| noted.referenced = referenced);
    }

    /// Waits until the beginning of a call that answers with a stream is recorded: nothing of the stream comes before.
    pub(super) async fn begun(&self) {
        self.entry.recorded.notified().await;
    }

    /// Writes the record of the end of a call that answers with a stream, with its result in words.
    ///
    /// # Errors
    ///
    /// The error that the call ended with, or else that the record could not be written.
    pub(super) async fn conclude(&self, outcome: Result<String, Error>) -> Result<(), Refusal> {
        let (subject, refusal) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(Refusal::from(&error))),
        };
        let failure = refusal.as_ref().map(|refusal| (refusal.code, Some(refusal.reason)));
        let target = Target { subject, ..Target::default() };
        let noted = Noted { caller: Some(self.caller.clone()), target, ..Noted::default() };
        let record = self.entry.record(noted, failure);
        match (self.entry.auditor.write(&record).await, refusal) {
            (_, Some(refusal)) => Err(refusal),
            (Ok(()), None) => Ok(()),
            (Err(unwritable), None) => Err(Refusal::from(&unwritable.into())),
        }
    }

    /// Fails unless the table of RPCs has this right for this RPC.
    fn declared<R: RightType>(&self) -> Result<(), Error> {
        if self.rpc.rights.contains(&R::RIGHT) {
            Ok(())
        } else {
            Err(Error::Internal("an RPC asks for a right that it does not declare"))
        }
    }
}

/// All problems with the fields of a message.
#[derive(Default)]
pub(super) struct Fields {
    violations: Violations,
}

impl Fields {
    /// The parsed field, or its violation added.
    pub(super) fn check<T>(&mut self, field: &'static str, parsed: Result<T, Invalid>) -> Option<T> {
        self.violations.check(field, parsed)
    }

    /// Adds a violation unless `ok`.
    pub(super) fn require(&mut self, ok: bool, field: &'static str, reason: &'static str) {
        self.violations.require(ok, field, reason);
    }

    /// The parsed message, where no field has a problem.
    pub(super) fn finish<T>(self, parsed: Option<T>) -> Result<T, Error> {
        if !self.violations.is_empty() {
            return Err(self.violations.into());
        }
        parsed.ok_or(Error::Internal("a field is missing, and no violation says so"))
    }
}
