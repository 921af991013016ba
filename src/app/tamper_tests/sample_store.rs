//! The store that is tampered with: it has records of every kind, is known as it was at earlier times, and everything that is
//! served from it can be observed.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::app::fixture::{Fixture, named, reopen};
use crate::app::{
    App, ChangedSecret, Error, Expiry, Idempotency, ListQuery, NewApiKey, NewSecret, SecretRotation,
    SecretUpdate, SetupError, ValueSource, VersionChange,
};
use crate::auth::{
    ApiKey, BuiltInRole, Delete, Grant, KeyName, List, Read, RightType, RoleName, Rotate, Scope, Write,
};
use crate::domain::{
    Description, Filter, Metadata, Namespace, Order, OrderBy, RequestId, Revision, SecretName, Start, Value,
};
use crate::store::{Entry, Key, Store};

/// All records of a store.
pub(super) type Contents = BTreeMap<Key, Entry>;

/// A store that was in use for a while, with the service over it.
pub(super) struct SampleStore {
    /// Its contents at one time after another, the present ones last. All of them differ.
    pub(super) snapshots: Vec<Contents>,
    pub(super) revision: Revision,
    fixture: Fixture,
    /// Credentials, also of revoked keys.
    credentials: Vec<String>,
    requests: Vec<MadeRequest>,
}

/// A change that was made under a request id: of which namespace, secret and version.
enum MadeRequest {
    Create(&'static str, SecretName),
    Rotate(&'static str, SecretName),
    Describe(&'static str, SecretName),
    Delete(&'static str, SecretName),
    Disable(&'static str, SecretName, u32),
    Destroy(&'static str, SecretName, u32),
}

/// The answer to one question about the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observation {
    /// This was served.
    Served(String),
    /// These were listed.
    Listed(Vec<String>),
    /// It does not exist, or is refused.
    Refused(String),
    /// A record was altered.
    Integrity,
}

/// The question whether the service knows the caller of all requests, which is the root key.
pub(super) const CALLER: &str = "authenticate 0";

/// The answers to all questions, by question.
pub(super) type Observations = BTreeMap<String, Observation>;

const NAMESPACES: [&str; 2] = ["default", "team/eu"];
const NAMES: [&str; 8] =
    ["plain", "versions", "original", "renamed", "deleted", "off", "changed", "never_was"];

impl SampleStore {
    /// A new store, after some use.
    pub(super) async fn prepare() -> Self {
        let mut sample = Self {
            snapshots: Vec::new(),
            revision: Revision::default(),
            fixture: Fixture::open().await,
            credentials: Vec::new(),
            requests: Vec::new(),
        };
        sample.credentials.push(sample.fixture.root_key.clone());
        for home in ["team/eu", "default", "elsewhere"] {
            let (name, home) = (KeyName::parse(home).unwrap(), Namespace::parse(home).unwrap());
            let (access, scope) = (&sample.fixture.app.access, Scope::of_namespace(home.clone()));
            let manage = access.grant_scope(&sample.fixture.root, scope).unwrap();
            let role = Some(RoleName::of(BuiltInRole::Editor));
            let new = NewApiKey { name, home, role, expiry: Expiry::Never };
            let (_, credential, _) = access.create_api_key(&manage, new).await.unwrap();
            sample.credentials.push(credential.expose().to_owned());
        }
        for namespace in NAMESPACES {
            for name in ["plain", "versions", "original", "deleted", "off", "changed"] {
                sample.make(MadeRequest::Create(namespace, named(name))).await;
            }
            sample.make(MadeRequest::Rotate(namespace, named("versions"))).await;
        }
        sample.take_snapshot().await;
        for namespace in NAMESPACES {
            sample.make(MadeRequest::Rotate(namespace, named("versions"))).await;
            sample.make(MadeRequest::Rotate(namespace, named("versions"))).await;
            sample.make(MadeRequest::Disable(namespace, named("off"), 1)).await;
            sample.make(MadeRequest::Delete(namespace, named("deleted"))).await;
            sample.rename(namespace, "original", "renamed").await;
        }
        sample.take_snapshot().await;
        sample.revoke(3).await;
        for namespace in NAMESPACES {
            sample.make(MadeRequest::Destroy(namespace, named("versions"), 2)).await;
            sample.make(MadeRequest::Disable(namespace, named("versions"), 3)).await;
            sample.make(MadeRequest::Describe(namespace, named("changed"))).await;
        }
        sample.take_snapshot().await;
        // The key of one namespace is in its second generation, and the first generation is removed.
        let permit = sample.fixture.rekey();
        let home = Namespace::default_namespace();
        assert_eq!(permit.rekey_namespace(&home, |_| {}).await.unwrap().damaged, 0);
        drop(permit);
        sample.take_snapshot().await;
        sample.make(MadeRequest::Rotate("default", named("changed"))).await;
        sample.make(MadeRequest::Rotate("team/eu", named("changed"))).await;
        sample.revoke(2).await;
        sample.take_snapshot().await;
        sample
    }

    /// The present contents.
    pub(super) fn now(&self) -> &Contents {
        self.snapshots.last().unwrap()
    }

    /// The service over a store that was tampered with.
    pub(super) async fn open(&self, store: Arc<dyn Store>) -> Result<Arc<App>, SetupError> {
        reopen(&store, &self.fixture.master).await.map(Arc::new)
    }

    /// Asks the service for everything, and repeats every request.
    pub(super) async fn observe(&self, app: &App) -> Observations {
        let mut observed = Observations::new();
        for namespace in NAMESPACES {
            for name in NAMES {
                let name = named(name);
                let grant = self.grant::<List>(namespace, &name);
                let found = app.secrets.describe(&grant, None, Revision::default()).await;
                let found = observation(found, |(secret, _)| format!("{secret:?}"));
                observed.insert(format!("describe {namespace} {name}"), found);
                for version in [None, Some(1), Some(2), Some(3), Some(5)] {
                    let grant = self.grant::<Read>(namespace, &name);
                    let found = app.secrets.get(&grant, version, Revision::default()).await;
                    let found = observation(found, |found| {
                        format!("{} {:?} {:?}", found.version, text(&found.value), found.secret)
                    });
                    observed.insert(format!("get {namespace} {name} {version:?}"), found);
                }
            }
            let home = Namespace::parse(namespace).unwrap();
            let access = &self.fixture.app.access;
            let grant = access.grant_namespace::<List>(&self.fixture.root, &home).unwrap();
            let listed = app.secrets.list(&grant, query(namespace), Revision::default(), |_| Ok(())).await;
            let listed = match listed {
                Ok(page) => {
                    Observation::Listed(page.items.iter().map(|secret| format!("{secret:?}")).collect())
                }
                Err(error) => refused(&error),
            };
            observed.insert(format!("list {namespace}"), listed);
        }
        for (at, credential) in self.credentials.iter().enumerate() {
            let authenticated = match app.access.authenticate(credential) {
                Ok(principal) => Observation::Served(format!("{:?}", principal.home())),
                Err(refused) => Observation::Refused(format!("{:?}", refused.problem)),
            };
            observed.insert(format!("authenticate {at}"), authenticated);
        }
        let keys = app.core.catalog.api_keys();
        let told = |key: &ApiKey| (key.id, format!("{:?}", key.name), key.home.to_string(), key.revoked_at);
        let keys = keys.iter().map(|key| format!("{:?}", told(key))).collect();
        observed.insert("keys".to_owned(), Observation::Listed(keys));
        for at in 0..self.requests.len() {
            observed.insert(format!("repeat {at}"), self.request(app, at).await);
        }
        observed
    }

    /// Asks the service to change something that nobody has tampered with.
    pub(super) async fn change(&self, app: &App) -> Result<(), Error> {
        let name = named("change");
        app.secrets.create(&self.grant::<Write>("quiet", &name), new(&name), None).await.map(|_| ())
    }

    /// Whether the service knows the caller of all requests.
    pub(super) fn knows_caller(&self, app: &App) -> bool {
        app.access.authenticate(&self.credentials[0]).is_ok()
    }

    /// Fails unless the change that was acknowledged can be seen.
    pub(super) async fn confirm_change(&self, app: &App) -> Result<(), String> {
        let found =
            app.secrets.get(&self.grant::<Read>("quiet", &named("change")), None, Revision::default()).await;
        found.map(drop).map_err(|error| format!("a change was acknowledged, and cannot be read: {error:?}"))
    }

    async fn make(&mut self, request: MadeRequest) {
        self.requests.push(request);
        let made = self.request(&self.fixture.app, self.requests.len() - 1).await;
        assert!(matches!(made, Observation::Served(_)), "{made:?}");
    }

    /// The answer to a request, which is made now or was made before.
    async fn request(&self, app: &App, at: usize) -> Observation {
        let body = Zeroizing::new(at.to_be_bytes().to_vec());
        let id = RequestId::parse(&format!("0197f3a0-5c1e-7000-8000-{at:012x}")).unwrap().unwrap();
        let id = Idempotency { id, body };
        let tell = |changed: ChangedSecret| format!("{:?}", changed.secret);
        let version = |number| VersionChange { number, etag: None };
        match &self.requests[at] {
            MadeRequest::Create(namespace, name) => {
                let grant = self.grant::<Write>(namespace, name);
                observation(app.secrets.create(&grant, new(name), Some(&id)).await, tell)
            }
            MadeRequest::Rotate(namespace, name) => {
                let source = ValueSource::Value(Value::text(format!("value {at}")).unwrap());
                let rotation = SecretRotation::of(source);
                observation(
                    app.secrets.rotate(&self.grant::<Rotate>(namespace, name), rotation, Some(&id)).await,
                    tell,
                )
            }
            MadeRequest::Describe(namespace, name) => {
                let description = Some(Description::parse(&format!("described {at}")).unwrap());
                let update = SecretUpdate { description, ..SecretUpdate::default() };
                observation(
                    app.secrets.update(&self.grant::<Write>(namespace, name), update, Some(&id)).await,
                    tell,
                )
            }
            MadeRequest::Delete(namespace, name) => {
                let deleted =
                    app.secrets.delete(&self.grant::<Delete>(namespace, name), None, Some(&id)).await;
                observation(deleted, |deleted| {
                    format!("{} {:?} {:?}", deleted.id, deleted.deletion, deleted.revision)
                })
            }
            MadeRequest::Disable(namespace, name, number) => {
                let grant = self.grant::<Write>(namespace, name);
                let disabled = app.secrets.disable_version(&grant, &version(*number), Some(&id)).await;
                observation(disabled, |changed| format!("{:?} {:?}", changed.version, changed.secret))
            }
            MadeRequest::Destroy(namespace, name, number) => {
                let grant = self.grant::<Delete>(namespace, name);
                let destroyed = app.secrets.destroy_version(&grant, &version(*number), Some(&id)).await;
                observation(destroyed, |(_, receipt)| {
                    format!("{} {:?}", receipt.statement, receipt.signature)
                })
            }
        }
    }

    async fn rename(&self, namespace: &str, name: &str, to: &str) {
        let new_name = Some(self.grant(namespace, &named(to)));
        let update = SecretUpdate { new_name, ..SecretUpdate::default() };
        self.fixture
            .app
            .secrets
            .update(&self.grant::<Write>(namespace, &named(name)), update, None)
            .await
            .unwrap();
    }

    async fn revoke(&self, at: usize) {
        let manage = self.fixture.manager_grant();
        let id = self.fixture.app.access.authenticate(&self.credentials[at]).unwrap().api_key_id();
        self.fixture.app.access.revoke_api_key(&manage, id).await.unwrap();
    }

    async fn take_snapshot(&mut self) {
        let all = self.fixture.store.scan(&Key::all(), None, 1000).await.unwrap();
        self.snapshots.push(all.into_iter().collect());
        self.revision = self.fixture.store.durable();
    }

    fn grant<R: RightType>(&self, namespace: &str, name: &SecretName) -> Grant<R> {
        let namespace = Namespace::parse(namespace).unwrap();
        self.fixture.app.access.grant(&self.fixture.root, &namespace, name).unwrap()
    }
}

fn new(name: &SecretName) -> NewSecret {
    NewSecret {
        source: ValueSource::Value(Value::text(format!("first of {name}")).unwrap()),
        description: Description::parse("what for").unwrap(),
        metadata: Metadata::parse([("owner".to_owned(), name.to_string())].into()).unwrap(),
        expiry: None,
        rotation_policy: None,
    }
}

fn query(namespace: &str) -> ListQuery {
    let namespace = Namespace::parse(namespace).unwrap();
    let filter = Filter {
        namespace,
        prefix: "".into(),
        metadata: Metadata::default(),
        unused_since: None,
        include_deleted: false,
    };
    let order = Order { by: OrderBy::Name, descending: false };
    ListQuery { filter, order, start: Start::Offset(0), limit: 100 }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Binary(_) => panic!("expected text"),
    }
}

fn observation<T>(outcome: Result<T, Error>, tell: impl FnOnce(T) -> String) -> Observation {
    match outcome {
        Ok(found) => Observation::Served(tell(found)),
        Err(error) => refused(&error),
    }
}

fn refused(error: &Error) -> Observation {
    match error {
        Error::Integrity => Observation::Integrity,
        other => Observation::Refused(format!("{other:?}")),
    }
}
