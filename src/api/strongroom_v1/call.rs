//! How the handler of a gRPC request begins and ends.

use tonic::{Request, Response, Status};

use super::proto as v1;
use super::status::{refused, status};
use crate::api::request::Call;
use crate::app::{App, CredentialProblem, Error};
use crate::domain::Revision;

/// A request of a read that can be answered from a state of some seconds ago.
pub(super) trait CacheableRead {
    /// Whether the caller accepts that.
    fn accepts_cached(&self) -> bool;
    /// The oldest revision that the caller accepts.
    fn oldest(&self) -> Revision;
}

impl Call {
    /// The call that the gate attached to a request, and the message. From here on, this replica shows every change that any
    /// replica had acknowledged when the request arrived: what the handler grants, finds and refuses comes from that state.
    ///
    /// The message may have taken its time, in which the caller's key may have been revoked or may have expired: so the key is
    /// looked at once more.
    pub(super) async fn open<M>(app: &App, request: Request<M>) -> Result<(Self, M), Status> {
        let (call, message) = Self::attached(request)?;
        call.begin(app, false).await?;
        Ok((call, message))
    }

    /// The same for a read whose caller may accept a state of some seconds ago. An unknown number in `consistency` accepts none:
    /// the handler refuses it.
    pub(super) async fn open_read<M: CacheableRead>(
        app: &App,
        request: Request<M>,
    ) -> Result<(Self, M), Status> {
        let (call, message) = Self::attached(request)?;
        // A revision that this replica does not show yet is one of the newest.
        let cached = message.accepts_cached() && app.is_recent() && app.revision() >= message.oldest();
        call.begin(app, cached).await?;
        Ok((call, message))
    }

    /// The same for a change whose success says by itself that it was made of the newest state: see [`Self::change`].
    pub(super) async fn open_change<M>(app: &App, request: Request<M>) -> Result<(Self, M), Status> {
        let (call, message) = Self::attached(request)?;
        call.begin(app, true).await?;
        Ok((call, message))
    }

    /// Carries out a change. Its commit requires the state that it was planned from, and what lets the caller make it. So it is
    /// first tried from the state that this replica shows, which saves a round trip to etcd. Only where it is refused, this replica
    /// is brought up to what any replica had acknowledged, and the refusal is that of the second time. Every success must come
    /// from a commit.
    pub(super) async fn change<M: Clone, R>(
        &self,
        app: &App,
        message: M,
        handler: impl AsyncFn(&App, &Self, M) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if app.can_be_behind() {
            match handler(app, self, message.clone()).await {
                Err(refused) if refused.can_come_from_an_older_state() => {}
                outcome => return outcome,
            }
            app.reach_head().await?;
            app.access.confirm(&self.caller)?;
        }
        handler(app, self, message).await
    }

    fn attached<M>(request: Request<M>) -> Result<(Self, M), Status> {
        let (_, mut extensions, message) = request.into_parts();
        match extensions.remove::<Self>() {
            Some(call) => Ok((call, message)),
            // Only the request to a service that is not behind the gate.
            None => Err(status(&Error::Unauthenticated(CredentialProblem::Missing), "")),
        }
    }

    async fn begin(&self, app: &App, cached: bool) -> Result<(), Status> {
        let reached = if cached { Ok(()) } else { app.reach_head().await };
        let confirmed = reached.and_then(|()| app.access.confirm(&self.caller));
        confirmed.map_err(|error| status(&error, self.request_id()))
    }

    /// The reply, or the error's status.
    pub(super) fn close<R>(&self, outcome: Result<R, Error>) -> Result<Response<R>, Status> {
        outcome.map(Response::new).map_err(|error| status(&error, self.request_id()))
    }

    /// Ends a call that answers with a stream: [`conclude`](Self::conclude), with the error's status.
    pub(super) async fn close_stream(&self, outcome: Result<String, Error>) -> Result<(), Status> {
        self.conclude(outcome).await.map_err(|refusal| refused(refusal, self.request_id()))
    }
}

macro_rules! cacheable {
    ($($request:ident $oldest:expr,)*) => {
        $(impl CacheableRead for v1::$request {
            fn accepts_cached(&self) -> bool {
                self.consistency() == v1::Consistency::Cached
            }

            fn oldest(&self) -> Revision {
                let oldest: fn(&Self) -> u64 = $oldest;
                Revision(oldest(self))
            }
        })*
    };
}

cacheable! {
    GetSecretRequest |read| read.min_revision,
    BatchGetSecretsRequest |read| read.min_revision,
    ListSecretsRequest |read| read.min_revision,
    ListNamespacesRequest |read| read.min_revision,
    ListSecretVersionsRequest |read| read.min_revision,
    ResolveReferencesRequest |_| 0,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tonic::Code;

    use super::super::rpcs;
    use super::*;
    use crate::api::request::AuditEntry;
    use crate::app::{self, Expiry, NewApiKey};
    use crate::audit::LogAuditor;
    use crate::auth::{Authorization, BuiltInRole, Credential, KeyName, Principal, RoleName, Scope};
    use crate::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys};
    use crate::domain::Namespace;
    use crate::store;

    /// A request of a caller that has passed the gate.
    fn request(principal: &Principal) -> Request<()> {
        let rpc = rpcs::of_path("/strongroom.v1.AccessService/WhoAmI").unwrap();
        let entry =
            Arc::new(AuditEntry::new(Some(rpc), "id".into(), None, None, Arc::new(LogAuditor::default())));
        let call = Call { rpc, caller: Arc::new(Authorization::new(principal.clone())), entry };
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
        let root = app.access.authenticate(&root).unwrap();
        let (name, home) = (KeyName::parse("k").unwrap(), Namespace::default_namespace());
        let grant = app.access.grant_scope(&root, Scope::of_namespace(home.clone())).unwrap();
        let role = Some(RoleName::of(BuiltInRole::Editor));
        let new = NewApiKey { name, home, role, expiry: Expiry::Never };
        let (key, credential, _) = app.access.create_api_key(&grant, new).await.unwrap();
        let caller = app.access.authenticate(credential.expose()).unwrap();
        assert!(Call::open(&app, request(&caller)).await.is_ok());

        let (arrived_before, arrived_after) = (request(&caller), request(&caller));
        app.access.revoke_api_key(&app.access.grant_somewhere(&root).unwrap(), key.id).await.unwrap();
        for request in [arrived_before, arrived_after] {
            let refused = Call::open(&app, request).await.err().unwrap();
            assert_eq!(refused.code(), Code::Unauthenticated);
        }
        assert!(Call::open(&app, Request::new(())).await.is_err(), "a request that has not passed the gate");
    }
}
