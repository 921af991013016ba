use std::path::Path;
use std::sync::Arc;

use strongroom::app::{self, App, NewSecret, Options, SecretRotation, ValueSource};
use strongroom::auth::{Grant, Principal, RightType};
use strongroom::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys};
use strongroom::domain::{Description, Metadata, Namespace, Revision, SecretName, Value};
use strongroom::store::{Store, open_sled};

use super::Writer;
use super::work::{Kind, Sizes, Work};

// A group becomes durable as a whole, and its callers are answered before the next group is. So the newest durable revision
// tells the groups apart.

/// A writer that commits to the store.
pub struct OverStore {
    store: Arc<dyn Store>,
    work: Work,
    /// Its last commit.
    since: Revision,
}

impl OverStore {
    pub async fn writers(folder: &Path, sizes: Sizes, count: usize) -> Vec<Self> {
        let store = open_sled(folder).expect("a store");
        let writer = || Self { store: store.clone(), work: Work::new(sizes), since: Revision::default() };
        (0..count).map(|_| writer()).collect()
    }
}

impl Writer for OverStore {
    async fn change(&mut self, kind: Kind) -> u64 {
        let transaction = self.work.next(kind, self.since);
        self.since = self.store.commit(transaction).await.expect("a commit");
        self.store.durable().0
    }
}

/// A caller of the service.
pub struct OverApp {
    app: Arc<App>,
    store: Arc<dyn Store>,
    root: Principal,
    /// The name of the secret that it rotates. The secrets that it creates have this name and a number.
    name: String,
    created: u64,
}

impl OverApp {
    pub async fn writers(folder: &Path, count: usize) -> Vec<Self> {
        Self::writers_over(open_sled(folder).expect("a store"), folder, count).await
    }

    pub async fn writers_over(store: Arc<dyn Store>, folder: &Path, count: usize) -> Vec<Self> {
        let keys = MasterKeys::generate().expect("a master key");
        let provider = MasterKeyProvider::new(MasterKeySource::DataDir(folder.join("master.key")), keys);
        let options = Options { data_dir: folder.to_owned(), ..Options::default() };
        let mut root_key = String::new();
        let app = app::open(store.clone(), provider, options, |credential| {
            credential.expose().clone_into(&mut root_key);
            Ok(())
        });
        let app = Arc::new(app.await.expect("a service"));
        let root = app.access.authenticate(&root_key).expect("the root key");
        let mut writers = Vec::with_capacity(count);
        for n in 0..count {
            let name = format!("service_{n}_database_password");
            let writer = Self {
                app: app.clone(),
                store: store.clone(),
                root: root.clone(),
                name: name.clone(),
                created: 0,
            };
            writer.create(name).await;
            writers.push(writer);
        }
        writers
    }

    fn grant<R: RightType>(&self, name: &str) -> Grant<R> {
        let (home, name) = (Namespace::default_namespace(), SecretName::parse(name).expect("a name"));
        self.app.access.grant(&self.root, &home, &name).expect("the right of the root key")
    }

    async fn create(&self, name: String) {
        let new = NewSecret {
            source: value(),
            description: Description::default(),
            metadata: Metadata::default(),
            expiry: None,
            rotation_policy: None,
        };
        self.app.secrets.create(&self.grant(&name), new, None).await.expect("a new secret");
    }
}

impl Writer for OverApp {
    async fn change(&mut self, kind: Kind) -> u64 {
        match kind {
            Kind::Create => {
                self.created += 1;
                self.create(format!("{}_{}", self.name, self.created)).await;
            }
            Kind::Rotate => {
                let rotation = SecretRotation::of(value());
                self.app
                    .secrets
                    .rotate(&self.grant(&self.name), rotation, None)
                    .await
                    .expect("a new version");
            }
        }
        self.store.durable().0
    }
}

fn value() -> ValueSource {
    ValueSource::Value(Value::text("v".repeat(256)).expect("a value"))
}
