//! The service over a store of a test.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    App, Error, Expiry, Idempotency, NewApiKey, NewSecret, Options, RekeyPermit, SecretRotation, SetupError,
    ValueSource, open,
};
use crate::auth::{
    ApiKeyId, Authorization, BuiltInRole, Grant, KeyName, ManagerGrant, NameFilter, Operate, Principal, Read,
    RightType, RoleName, Rotate, Scope, ServiceGrant, Write,
};
use crate::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys, write_private};
use crate::domain::{
    Description, Filter, Metadata, Namespace, Order, OrderBy, RequestId, Revision, Secret, SecretName, Start,
    Value,
};
use crate::store::{self, Entry, Key, Store, Transaction};

/// The service over a store, with the root key.
pub(super) struct Fixture {
    pub(super) app: Arc<App>,
    pub(super) store: Arc<dyn Store>,
    pub(super) master: Arc<MasterKeys>,
    pub(super) root: Principal,
    pub(super) root_key: String,
}

impl Fixture {
    /// Over a new store in memory.
    pub(super) async fn open() -> Self {
        Self::over(store::open_memory().unwrap()).await
    }

    /// Over a new store, with a new master key.
    pub(super) async fn over(store: Arc<dyn Store>) -> Self {
        Self::with(store, Arc::new(MasterKeys::generate().unwrap())).await
    }

    /// Over a new store, with these master keys.
    pub(super) async fn with(store: Arc<dyn Store>, master: Arc<MasterKeys>) -> Self {
        Self::with_options(store, master, options()).await
    }

    pub(super) async fn with_options(
        store: Arc<dyn Store>,
        master: Arc<MasterKeys>,
        options: Options,
    ) -> Self {
        let mut root_key = String::new();
        let app = open(store.clone(), provider(&master), options, |credential| {
            root_key = credential.expose().to_owned();
            Ok(())
        });
        let app = Arc::new(app.await.unwrap());
        let root = app.access.authenticate(&root_key).unwrap();
        Self { app, store, master, root, root_key }
    }

    /// A service over another store with the same keys.
    pub(super) async fn beside(&self, store: Arc<dyn Store>) -> Self {
        let app = Arc::new(reopen(&store, &self.master).await.unwrap());
        let root = app.access.authenticate(&self.root_key).unwrap();
        Self { app, store, master: self.master.clone(), root, root_key: self.root_key.clone() }
    }

    /// The service started again over the same store.
    pub(super) async fn restart(&self) -> App {
        reopen(&self.store, &self.master).await.unwrap()
    }

    /// The root key's right on a secret of the default namespace.
    pub(super) fn grant<R: RightType>(&self, name: &str) -> Grant<R> {
        self.grant_to(&self.root, name)
    }

    /// A caller's right on a secret of the default namespace.
    pub(super) fn grant_to<R: RightType>(&self, caller: &Principal, name: &str) -> Grant<R> {
        self.app.access.grant(caller, &Namespace::default_namespace(), &named(name)).unwrap()
    }

    /// The root key's right on the service.
    pub(super) fn service_grant<R: RightType>(&self) -> ServiceGrant<R> {
        self.app.access.grant_service(&self.root).unwrap()
    }

    /// The proof that the root key manages access.
    pub(super) fn manager_grant(&self) -> ManagerGrant {
        self.app.access.grant_somewhere(&self.root).unwrap()
    }

    /// A caller that was granted nothing.
    pub(super) fn authorization(caller: &Principal) -> Authorization {
        Authorization::new(caller.clone())
    }

    /// The permission to replace keys.
    pub(super) fn rekey(&self) -> RekeyPermit {
        self.app.keys.begin(&self.service_grant::<Operate>()).unwrap()
    }

    /// The secret of this name, as the catalog has it.
    pub(super) fn secret(&self, name: &str) -> Arc<Secret> {
        let namespace = self.app.core.catalog.namespace(&Namespace::default_namespace()).unwrap();
        namespace.secret(&named(name)).unwrap()
    }

    pub(super) async fn create(&self, name: &str, value: &str) -> Result<Secret, Error> {
        let new = NewSecret {
            source: ValueSource::Value(Value::text(value.to_owned()).unwrap()),
            description: Description::default(),
            metadata: Metadata::default(),
            expiry: None,
            rotation_policy: None,
        };
        Ok(self.app.secrets.create(&self.grant::<Write>(name), new, None).await?.secret)
    }

    pub(super) async fn rotate(&self, name: &str, value: &str) {
        let source = ValueSource::Value(Value::text(value.to_owned()).unwrap());
        let rotation = SecretRotation::of(source);
        self.app.secrets.rotate(&self.grant::<Rotate>(name), rotation, None).await.unwrap();
    }

    /// The current value of a secret, a text, as this service reads it.
    pub(super) async fn value(&self, app: &App, name: &str) -> Result<String, Error> {
        self.value_of(app, name, None).await
    }

    /// The same, of a version.
    pub(super) async fn value_of(
        &self,
        app: &App,
        name: &str,
        version: Option<u32>,
    ) -> Result<String, Error> {
        let grant = self.grant::<Read>(name);
        let found = app.secrets.get(&grant, version, Revision::default()).await?;
        match found.value {
            Value::Text(text) => Ok(text.to_string()),
            Value::Binary(_) => panic!("expected text"),
        }
    }

    /// An API key that never expires, and its credential.
    pub(super) async fn create_api_key(&self) -> (ApiKeyId, String) {
        self.create_api_key_with(Expiry::Never).await
    }

    /// The caller with a new API key.
    pub(super) async fn caller(&self, expiry: Expiry) -> Principal {
        let (_, credential) = self.create_api_key_with(expiry).await;
        self.app.access.authenticate(&credential).unwrap()
    }

    async fn create_api_key_with(&self, expiry: Expiry) -> (ApiKeyId, String) {
        let (home, role) = (Namespace::default_namespace(), Some(RoleName::of(BuiltInRole::Editor)));
        let scope = Scope::of_namespace(home.clone());
        let grant = self.app.access.grant_scope(&self.root, scope).unwrap();
        let new = NewApiKey { name: KeyName::root(), home, role, expiry };
        let (key, credential, _) = self.app.access.create_api_key(&grant, new).await.unwrap();
        (key.id, credential.expose().to_owned())
    }

    pub(super) async fn revoke_api_key(&self, id: ApiKeyId) {
        self.app.access.revoke_api_key(&self.manager_grant(), id).await.unwrap();
    }

    /// A backup, and the revision that it is of.
    pub(super) async fn back_up(&self) -> (Vec<u8>, Revision) {
        let mut chunks = self.app.backup.create(&self.service_grant::<Operate>());
        let (mut bytes, mut ended_at) = (Vec::new(), None);
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.unwrap();
            assert!(ended_at.is_none(), "nothing comes behind the end");
            assert!(chunk.records <= chunk.expected);
            bytes.extend(chunk.bytes);
            ended_at = chunk.ended_at;
        }
        (bytes, ended_at.expect("a backup says what it is of"))
    }

    /// The stored keys that begin with this byte, which says their kind, and their entries.
    pub(super) async fn stored(&self, kind: u8) -> Vec<(Key, Entry)> {
        self.store.scan(&Key::from_bytes(&[kind]), None, 1000).await.unwrap()
    }

    /// The bytes at a key.
    pub(super) async fn stored_at(&self, key: &Key) -> Vec<u8> {
        self.store.get(key).await.unwrap().unwrap().value
    }

    /// Puts bytes at a key behind the service's back.
    pub(super) async fn overwrite(&self, key: &Key, value: Vec<u8>) {
        self.commit(Transaction { put: vec![(key.clone(), value)], ..Transaction::default() }).await;
    }

    /// Removes a record behind the service's back.
    pub(super) async fn remove(&self, key: &Key) {
        self.commit(Transaction { delete: vec![key.clone()], ..Transaction::default() }).await;
    }

    async fn commit(&self, transaction: Transaction) {
        let revision = self.store.commit(transaction).await.unwrap();
        self.app.core.catalog.at_least(revision).await.unwrap();
    }
}

/// The service over a store that is not new.
pub(super) async fn reopen(store: &Arc<dyn Store>, master: &Arc<MasterKeys>) -> Result<App, SetupError> {
    reopen_with(store, master, options()).await
}

pub(super) async fn reopen_with(
    store: &Arc<dyn Store>,
    master: &Arc<MasterKeys>,
    options: Options,
) -> Result<App, SetupError> {
    open(store.clone(), provider(master), options, |_| panic!("the store is not new")).await
}

thread_local! {
    /// Removed when the test's thread ends.
    static KEYS: tempfile::TempDir = tempfile::tempdir().unwrap();
}

/// These keys, in a file of their own.
pub(super) fn provider(master: &Arc<MasterKeys>) -> MasterKeyProvider {
    let id = master.current_id().unwrap().to_string();
    let file = KEYS.with(|folder| folder.path().join(id));
    if !file.exists() {
        write_private(&file, master.lines().as_bytes(), true).unwrap();
    }
    let source = MasterKeySource::File(file);
    // A rekey may have put other keys into the file. Passphrases are not in it.
    match MasterKeys::read(&source) {
        Ok(keys) => MasterKeyProvider::new(source, keys),
        Err(_) => MasterKeyProvider::new(source, master.clone()),
    }
}

pub(super) fn options() -> Options {
    Options { data_dir: std::env::temp_dir(), ..Options::default() }
}

pub(super) fn named(name: &str) -> SecretName {
    SecretName::parse(name).unwrap()
}

/// A request with a request id: the same in every call.
pub(super) fn request() -> Idempotency {
    Idempotency {
        id: RequestId::parse("0197f3a0-5c1e-7000-8000-4d6f6e657921").unwrap().unwrap(),
        body: Zeroizing::new(b"body".to_vec()),
    }
}

/// All secrets of the default namespace, by name.
pub(super) fn everything(app: &App) -> Vec<Arc<Secret>> {
    let namespace = Namespace::default_namespace();
    let filter = Filter {
        namespace: namespace.clone(),
        prefix: "".into(),
        metadata: Metadata::default(),
        unused_since: None,
        include_deleted: false,
    };
    let order = Order { by: OrderBy::Name, descending: false };
    let namespace = app.core.catalog.namespace(&namespace).unwrap();
    namespace
        .page(&NameFilter::every(), &filter, order, &Start::Offset(0), 10_000, Revision::default())
        .0
        .items
}
