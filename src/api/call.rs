use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tonic::{Code, Request, Response, Status};

use super::rpc::Rpc;
use super::status::{code_name, reason_of, status};
use crate::app::{App, CredentialProblem, Error};
use crate::audit::{Auditor, Record, Target};
use crate::auth::{Grant, Principal, RightType, ServiceGrant};
use crate::domain::{Invalid, Namespace, SecretName, Violations};

/// A request that has passed the gate: who calls, which RPC, and what is known so far of what it is about.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) rpc: &'static Rpc,
    pub(super) principal: Principal,
    pub(super) peer: Option<String>,
    pub(super) request_id: Arc<str>,
    pub(super) subject: Subject,
    pub(super) auditor: Arc<dyn Auditor>,
}

/// What a request is about, as far as it is known, for its audit records. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub(super) struct Subject(Arc<Noted>);

#[derive(Default)]
struct Noted {
    targets: Mutex<(Target, Vec<Target>)>,
    recorded: Notify,
}

impl Subject {
    /// Notes what the request is about.
    pub(super) fn note(&self, note: impl FnOnce(&mut Target)) {
        note(&mut self.0.targets.lock().unwrap_or_else(PoisonError::into_inner).0);
    }

    /// Notes what else was used for it, which has a record of its own each.
    pub(super) fn used(&self, targets: impl IntoIterator<Item = Target>) {
        self.0.targets.lock().unwrap_or_else(PoisonError::into_inner).1.extend(targets);
    }

    /// What there is to record: the request itself, and then what else was used.
    pub(super) fn take(&self) -> Vec<Target> {
        let mut targets = self.0.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, used) = std::mem::take(&mut *targets);
        std::iter::once(target).chain(used).collect()
    }

    /// Says that the records are written.
    pub(super) fn recorded(&self) {
        self.0.recorded.notify_one();
    }
}

impl Call {
    /// The call that the gate attached to a request, and the message. The message can have taken its time, in which the
    /// caller's key may have been revoked or have expired: so that is looked at once more.
    pub(super) fn open<M>(app: &App, request: Request<M>) -> Result<(Self, M), Status> {
        let (_, mut extensions, message) = request.into_parts();
        let Some(call) = extensions.remove::<Self>() else {
            // Only a service that is not behind the gate gets here.
            return Err(status(&Error::Unauthenticated(CredentialProblem::Missing), ""));
        };
        match app.access.confirm(&call.principal) {
            Ok(()) => Ok((call, message)),
            Err(error) => Err(status(&error, &call.request_id)),
        }
    }

    /// The reply, or the error as the wire has it.
    pub(super) fn close<R>(&self, outcome: Result<R, Error>) -> Result<Response<R>, Status> {
        outcome.map(Response::new).map_err(|error| status(&error, &self.request_id))
    }

    /// Waits until the beginning of a call that answers with a stream is recorded: nothing of the stream comes before.
    pub(super) async fn begun(&self) {
        self.subject.0.recorded.notified().await;
    }

    /// The end of a call that answers with a stream: its own record of how it went, behind that of its beginning, and the
    /// error as the wire has it.
    pub(super) async fn conclude(&self, outcome: Result<String, Error>) -> Result<(), Status> {
        let (subject, failed) = match outcome {
            Ok(came_to) => (Some(came_to), None),
            Err(error) => (None, Some(status(&error, &self.request_id))),
        };
        let record = Record {
            principal: Some(self.principal.to_string()),
            peer: self.peer.clone(),
            rpc: self.rpc.name,
            target: Target { subject, ..Target::default() },
            outcome: code_name(failed.as_ref().map_or(Code::Ok, Status::code)),
            reason: failed.as_ref().and_then(reason_of),
            request_id: self.request_id.to_string(),
        };
        match (self.auditor.write(&[record]).await, failed) {
            (_, Some(failed)) => Err(failed),
            (Ok(()), None) => Ok(()),
            (Err(unwritable), None) => Err(status(&unwritable.into(), &self.request_id)),
        }
    }

    /// The namespace that a field names, the caller's home where it is empty.
    pub(super) fn namespace(
        &self,
        field: &'static str,
        text: &str,
        fields: &mut Fields,
    ) -> Option<Namespace> {
        let namespace = if text.is_empty() {
            self.principal.home().clone()
        } else {
            fields.check(field, Namespace::parse(text))?
        };
        self.note(|target| target.namespace = Some(namespace.clone()));
        Some(namespace)
    }

    /// Proof that the caller has a right on the namespace that the field `namespace` names. `None`: it names none.
    pub(super) fn grant<R: RightType>(
        &self,
        namespace: &str,
        fields: &mut Fields,
    ) -> Result<Option<Grant<R>>, Error> {
        self.declared::<R>()?;
        let Some(namespace) = self.namespace("namespace", namespace, fields) else { return Ok(None) };
        Ok(Some(self.principal.authorize(&namespace)?))
    }

    /// Proof that the caller has a right on the service as a whole.
    pub(super) fn service_grant<R: RightType>(&self) -> Result<ServiceGrant<R>, Error> {
        self.declared::<R>()?;
        Ok(self.principal.authorize_service()?)
    }

    /// The name of a secret that the field `name` holds. To be asked for before the grant, so that the record of a
    /// denial has it too.
    pub(super) fn name(&self, text: &str, fields: &mut Fields) -> Option<SecretName> {
        let name = fields.check("name", SecretName::parse(text))?;
        self.note(|target| target.name = Some(name.clone()));
        Some(name)
    }

    /// Notes for the audit record what the request is about.
    pub(super) fn note(&self, note: impl FnOnce(&mut Target)) {
        self.subject.note(note);
    }

    /// An RPC asks only for rights that the table has for it.
    fn declared<R: RightType>(&self) -> Result<(), Error> {
        if self.rpc.rights.contains(&R::RIGHT) {
            Ok(())
        } else {
            Err(Error::Internal("an RPC asks for a right that it does not declare"))
        }
    }
}

/// What is wrong with the fields of a message, all of it.
#[derive(Default)]
pub(super) struct Fields {
    violations: Violations,
    not_served: Violations,
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

    /// Refuses a field that this release does not serve, where it is set.
    pub(super) fn not_served(&mut self, set: bool, field: &'static str) {
        if set {
            self.not_served.add(field, Invalid::new("must not be set: this release does not serve it"));
        }
    }

    /// What was parsed, when nothing is wrong with any field.
    pub(super) fn finish<T>(self, parsed: Option<T>) -> Result<T, Error> {
        if !self.violations.is_empty() {
            return Err(self.violations.into());
        }
        if !self.not_served.is_empty() {
            return Err(Error::NotServed(self.not_served.into_vec()));
        }
        parsed.ok_or(Error::Internal("a field is missing, and no violation says so"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rpc;
    use crate::app::{self, Expiry, NewApiKey};
    use crate::audit::LogAuditor;
    use crate::auth::{Credential, KeyName};
    use crate::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys};
    use crate::store;

    /// A request of a caller that has passed the gate.
    fn request(principal: &Principal) -> Request<()> {
        let rpc = rpc::of_path("/strongroom.v1.AccessService/WhoAmI").unwrap();
        let (principal, subject, auditor) = (principal.clone(), Subject::default(), Arc::new(LogAuditor));
        let call = Call { rpc, principal, peer: None, request_id: "id".into(), subject, auditor };
        let mut request = Request::new(());
        request.extensions_mut().insert(call);
        request
    }

    #[tokio::test]
    async fn a_key_revoked_while_its_request_arrives_is_refused() {
        let mut root = String::new();
        let keys = MasterKeys::generate().unwrap();
        let provider = MasterKeyProvider::new(MasterKeySource::DataDir("nowhere".into()), keys);
        let hand_out = |credential: &Credential| {
            root = credential.expose().to_owned();
            Ok(())
        };
        let app = app::open(store::open_memory().unwrap(), provider, app::Options::default(), hand_out)
            .await
            .unwrap();
        let grant = app.access.authenticate(&root).unwrap().authorize_service().unwrap();
        let (name, home) = (KeyName::parse("k").unwrap(), Namespace::default_namespace());
        let new = NewApiKey { name, home, expiry: Expiry::Never };
        let (key, credential, _) = app.access.create_api_key(&grant, new).await.unwrap();
        let caller = app.access.authenticate(credential.expose()).unwrap();
        assert!(Call::open(&app, request(&caller)).is_ok());

        let (arrived_before, arrived_after) = (request(&caller), request(&caller));
        app.access.revoke_api_key(&grant, key.id).await.unwrap();
        for request in [arrived_before, arrived_after] {
            let refused = Call::open(&app, request).err().unwrap();
            assert_eq!(refused.code(), Code::Unauthenticated);
        }
        assert!(Call::open(&app, Request::new(())).is_err(), "a request that has not passed the gate");
    }
}
