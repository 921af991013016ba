//! A store with records of every kind, what it held at earlier times, and all that is to be served from it.

use std::collections::BTreeMap;

use super::super::tests::{Site, named, options, provider};
use super::super::*;
use crate::auth::{ApiKey, Grant, KeyName, List, ManageAccess, Operate, Read, RightType, Rotate, Write};
use crate::domain::{
    Description, Filter, Metadata, Order, OrderBy, RequestId, Revision, SecretName, Start, Value,
};
use crate::store::{Entry, Key, Store};

/// What a store holds.
pub(super) type Content = BTreeMap<Key, Entry>;

/// A store that was in use for a while.
pub(super) struct World {
    /// What it held at one time after another, the present one last; none is like another.
    pub(super) snapshots: Vec<Content>,
    pub(super) revision: Revision,
    site: Site,
    /// Credentials, those that are revoked among them.
    credentials: Vec<String>,
    requests: Vec<Request>,
}

/// What was asked for under a request id.
enum Request {
    Create(&'static str, SecretName),
    Rotate(&'static str, SecretName),
    Describe(&'static str, SecretName),
    Delete(&'static str, SecretName),
    Disable(&'static str, SecretName, u32),
    Destroy(&'static str, SecretName, u32),
}

/// What came of asking for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// This.
    Served(String),
    /// A list of these.
    Listed(Vec<String>),
    /// That it is not there, or may not be had.
    Refused(String),
    /// That it is not what it was.
    Integrity,
}

/// Everything that is served, by what was asked for.
pub(super) type Served = BTreeMap<String, Answer>;

const NAMESPACES: [&str; 2] = ["default", "team/eu"];
const NAMES: [&str; 8] =
    ["plain", "versions", "original", "renamed", "deleted", "off", "changed", "never_was"];

impl World {
    pub(super) async fn furnish() -> Self {
        let mut world = Self {
            snapshots: Vec::new(),
            revision: Revision::default(),
            site: Site::open().await,
            credentials: Vec::new(),
            requests: Vec::new(),
        };
        world.credentials.push(world.site.root_key.clone());
        for home in ["team/eu", "default", "elsewhere"] {
            let manage = world.site.root.authorize_service::<ManageAccess>().unwrap();
            let (name, home) = (KeyName::parse(home).unwrap(), Namespace::parse(home).unwrap());
            let new = NewApiKey { name, home, expiry: Expiry::Never };
            let (_, credential, _) = world.site.app.create_api_key(&manage, new).await.unwrap();
            world.credentials.push(credential.expose().to_owned());
        }
        for namespace in NAMESPACES {
            for name in ["plain", "versions", "original", "deleted", "off", "changed"] {
                world.make(Request::Create(namespace, named(name))).await;
            }
            world.make(Request::Rotate(namespace, named("versions"))).await;
        }
        world.keep().await;
        for namespace in NAMESPACES {
            world.make(Request::Rotate(namespace, named("versions"))).await;
            world.make(Request::Rotate(namespace, named("versions"))).await;
            world.make(Request::Disable(namespace, named("off"), 1)).await;
            world.make(Request::Delete(namespace, named("deleted"))).await;
            world.rename(namespace, "original", "renamed").await;
        }
        world.keep().await;
        world.revoke(3).await;
        for namespace in NAMESPACES {
            world.make(Request::Destroy(namespace, named("versions"), 2)).await;
            world.make(Request::Disable(namespace, named("versions"), 3)).await;
            world.make(Request::Describe(namespace, named("changed"))).await;
        }
        world.keep().await;
        // The keys of one namespace are in their second generation, and the first is let go.
        let operate = world.site.root.authorize_service::<Operate>().unwrap();
        let rotation = world.site.app.rotation(&operate).unwrap();
        let home = Namespace::default_namespace();
        assert_eq!(rotation.rotate_namespace_key(&home, |_| {}).await.unwrap().damaged, 0);
        drop(rotation);
        world.keep().await;
        world.make(Request::Rotate("default", named("changed"))).await;
        world.make(Request::Rotate("team/eu", named("changed"))).await;
        world.revoke(2).await;
        world.keep().await;
        world
    }

    pub(super) fn now(&self) -> &Content {
        self.snapshots.last().unwrap()
    }

    /// The service over a store that somebody has had their hands on.
    pub(super) async fn open(&self, store: Arc<dyn Store>) -> Result<Arc<App>, SetupError> {
        let opened = open(store, provider(&self.site.master), options(), |_| panic!("the store is not new"));
        opened.await.map(Arc::new)
    }

    /// All that is served, and what a repeated request is told.
    pub(super) async fn served(&self, app: &App) -> Served {
        let mut served = Served::new();
        for namespace in NAMESPACES {
            for name in NAMES {
                let (grant, name) = (self.grant::<List>(namespace), named(name));
                let found = app.describe(&grant, &name, None, Revision::default()).await;
                let found = answer(found, |(secret, _)| format!("{secret:?}"));
                served.insert(format!("describe {namespace} {name}"), found);
                for version in [None, Some(1), Some(2), Some(3), Some(5)] {
                    let grant = self.grant::<Read>(namespace);
                    let found = app.get(&grant, &name, version, Revision::default()).await;
                    let found = answer(found, |found| {
                        format!("{} {:?} {:?}", found.version, text(&found.value), found.secret)
                    });
                    served.insert(format!("get {namespace} {name} {version:?}"), found);
                }
            }
            let listed =
                app.list(&self.grant::<List>(namespace), query(namespace), Revision::default()).await;
            let listed = match listed {
                Ok(page) => Answer::Listed(page.items.iter().map(|secret| format!("{secret:?}")).collect()),
                Err(error) => refused(&error),
            };
            served.insert(format!("list {namespace}"), listed);
        }
        for (at, credential) in self.credentials.iter().enumerate() {
            let authenticated = match app.authenticate(credential) {
                Ok(principal) => Answer::Served(format!("{:?}", principal.home())),
                Err(refused) => Answer::Refused(format!("{:?}", refused.problem)),
            };
            served.insert(format!("authenticate {at}"), authenticated);
        }
        let manage = self.site.root.authorize_service::<ManageAccess>().unwrap();
        let keys = app.list_api_keys(&manage).0;
        let told = |key: &ApiKey| (key.id, format!("{:?}", key.name), key.home.to_string(), key.revoked_at);
        let keys = keys.iter().map(|key| format!("{:?}", told(key))).collect();
        served.insert("keys".to_owned(), Answer::Listed(keys));
        for at in 0..self.requests.len() {
            served.insert(format!("repeat {at}"), self.request(app, at).await);
        }
        served
    }

    /// Whether the service takes a change of something that nobody had their hands on.
    pub(super) async fn change(&self, app: &App) -> Result<(), Error> {
        let new = new(named("change"));
        app.create(&self.grant::<Write>("quiet"), new, None).await.map(|_| ())
    }

    /// Whether a change that was acknowledged can be seen.
    pub(super) async fn is_changed(&self, app: &App) -> Result<(), String> {
        let found = app.get(&self.grant::<Read>("quiet"), &named("change"), None, Revision::default()).await;
        found.map(drop).map_err(|error| format!("a change was acknowledged, and is not there: {error:?}"))
    }

    async fn make(&mut self, request: Request) {
        self.requests.push(request);
        let made = self.request(&self.site.app, self.requests.len() - 1).await;
        assert!(matches!(made, Answer::Served(_)), "{made:?}");
    }

    /// What a request comes to, or came to when it was made.
    async fn request(&self, app: &App, at: usize) -> Answer {
        let body = zeroize::Zeroizing::new(at.to_be_bytes().to_vec());
        let id = RequestId::parse(&format!("0197f3a0-5c1e-7000-8000-{at:012x}")).unwrap().unwrap();
        let id = Idempotency { id, body };
        let told = |changed: Changed| format!("{:?}", changed.secret);
        let version = |name: &SecretName, number| VersionChange { name: name.clone(), number, etag: None };
        match &self.requests[at] {
            Request::Create(namespace, name) => {
                let grant = self.grant::<Write>(namespace);
                answer(app.create(&grant, new(name.clone()), Some(&id)).await, told)
            }
            Request::Rotate(namespace, name) => {
                let source = Source::Value(Value::text(format!("value {at}")).unwrap());
                let rotation = Rotation { source, etag: None };
                answer(app.rotate(&self.grant::<Rotate>(namespace), name, rotation, Some(&id)).await, told)
            }
            Request::Describe(namespace, name) => {
                let description = Some(Description::parse(&format!("described {at}")).unwrap());
                let update = Update { description, ..Update::default() };
                answer(app.update(&self.grant::<Write>(namespace), name, update, Some(&id)).await, told)
            }
            Request::Delete(namespace, name) => {
                let deleted = app.delete(&self.grant::<Write>(namespace), name, None, Some(&id)).await;
                answer(deleted, |deleted| {
                    format!("{} {:?} {:?}", deleted.id, deleted.deleted_at, deleted.revision)
                })
            }
            Request::Disable(namespace, name, number) => {
                let grant = self.grant::<Write>(namespace);
                let disabled = app.disable_version(&grant, &version(name, *number), Some(&id)).await;
                answer(disabled, |changed| format!("{:?} {:?}", changed.version, changed.secret))
            }
            Request::Destroy(namespace, name, number) => {
                let grant = self.grant::<Write>(namespace);
                let destroyed = app.destroy_version(&grant, &version(name, *number), Some(&id)).await;
                answer(destroyed, |(_, receipt)| format!("{} {:?}", receipt.statement, receipt.signature))
            }
        }
    }

    async fn rename(&self, namespace: &str, name: &str, to: &str) {
        let update = Update { new_name: Some(named(to)), ..Update::default() };
        self.site.app.update(&self.grant::<Write>(namespace), &named(name), update, None).await.unwrap();
    }

    async fn revoke(&self, at: usize) {
        let manage = self.site.root.authorize_service::<ManageAccess>().unwrap();
        let id = self.site.app.authenticate(&self.credentials[at]).unwrap().api_key().id;
        self.site.app.revoke_api_key(&manage, id).await.unwrap();
    }

    async fn keep(&mut self) {
        let all = self.site.store.scan(&Key::all(), None, 1000).await.unwrap();
        self.snapshots.push(all.into_iter().collect());
        self.revision = self.site.store.durable();
    }

    fn grant<R: RightType>(&self, namespace: &str) -> Grant<R> {
        self.site.root.authorize(&Namespace::parse(namespace).unwrap()).unwrap()
    }
}

fn new(name: SecretName) -> NewSecret {
    NewSecret {
        source: Source::Value(Value::text(format!("first of {name}")).unwrap()),
        description: Description::parse("what for").unwrap(),
        metadata: Metadata::parse([("owner".to_owned(), name.to_string())].into()).unwrap(),
        name,
    }
}

fn query(namespace: &str) -> ListQuery {
    let namespace = Namespace::parse(namespace).unwrap();
    let filter = Filter { namespace, prefix: "".into(), metadata: Metadata::default() };
    let order = Order { by: OrderBy::Name, descending: false };
    ListQuery { filter, order, start: Start::Offset(0), limit: 100 }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Binary(_) => panic!("expected text"),
    }
}

fn answer<T>(outcome: Result<T, Error>, told: impl FnOnce(T) -> String) -> Answer {
    match outcome {
        Ok(found) => Answer::Served(told(found)),
        Err(error) => refused(&error),
    }
}

fn refused(error: &Error) -> Answer {
    match error {
        Error::Integrity => Answer::Integrity,
        other => Answer::Refused(format!("{other:?}")),
    }
}
