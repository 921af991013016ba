use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom::crypto::random;
use strongroom::domain::{MAX_KEPT_VERSIONS, Revision, SecretId};
use strongroom::schema::{Kind as KeyKind, NamespaceId};
use strongroom::store::{Expect, Key, Transaction, open_memory};

use super::Writer;
use super::service::OverApp;

/// The kind of a change.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Create,
    Rotate,
}

/// The sizes of a secret's records in bytes, as the service seals them.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sizes {
    pub name: usize,
    /// A new secret.
    pub secret: usize,
    /// A secret with as many versions as are kept: it holds the times and the seal of each of them.
    pub rotated: usize,
    pub version: usize,
    /// The store's digest, which every change rewrites.
    pub digest: usize,
    /// The event, which every change appends.
    pub event: usize,
}

impl Sizes {
    /// The sizes of a secret that the service has made, and rotated until it has as many versions as are kept.
    pub async fn measured() -> Self {
        let store = open_memory().expect("a store");
        let mut writer = OverApp::writers_over(store.clone(), std::path::Path::new("."), 1).await.remove(0);
        let mut changes = store.watch(store.durable());
        writer.change(Kind::Create).await;
        let created = changes.next().await.expect("the change");
        let mut sizes = Self::default();
        for (key, record) in &created.put {
            let size = match key.kind() {
                KeyKind::Name(..) => &mut sizes.name,
                KeyKind::Secret(..) => &mut sizes.secret,
                KeyKind::Version(..) => &mut sizes.version,
                KeyKind::Digest => &mut sizes.digest,
                KeyKind::Event(_) => &mut sizes.event,
                other => panic!("a create puts no {other:?}"),
            };
            *size = record.len();
        }
        for _ in 0..MAX_KEPT_VERSIONS {
            writer.change(Kind::Rotate).await;
            let rotated = changes.next().await.expect("the change");
            let secret = rotated.put.iter().find(|(key, _)| matches!(key.kind(), KeyKind::Secret(..)));
            sizes.rotated = secret.expect("the secret").1.len();
        }
        sizes
    }
}

/// The transactions of one writer, with records that look sealed.
pub struct Work {
    namespace: NamespaceId,
    sizes: Sizes,
    bytes: Arc<[u8]>,
    /// The secret that it rotates.
    id: SecretId,
    version: u32,
}

impl Work {
    pub fn new(sizes: Sizes) -> Self {
        let bytes: Arc<[u8]> = random::<16384>().expect("random bytes").as_slice().into();
        Self { namespace: NamespaceId([7; 16]), sizes, bytes, id: SecretId::generate(), version: 0 }
    }

    /// The next change. A rotation requires that its secret has not changed since this revision.
    pub fn next(&mut self, kind: Kind, since: Revision) -> Transaction {
        match kind {
            Kind::Create => self.create(SecretId::generate(), random().expect("random bytes")),
            // The writer's secret must exist first.
            Kind::Rotate if self.version == 0 => {
                self.version = 1;
                self.create(self.id, random().expect("random bytes"))
            }
            Kind::Rotate => self.rotate(since),
        }
    }

    fn create(&self, id: SecretId, name: [u8; 32]) -> Transaction {
        let name = Key::name(self.namespace, &name);
        let secret = Key::secret(self.namespace, id);
        let version = Key::version(self.namespace, id, 1);
        let absent = |key: &Key| (key.clone(), Expect::Absent);
        Transaction {
            require: vec![absent(&name), absent(&secret), absent(&version)],
            put: vec![
                (name, self.record(self.sizes.name)),
                (secret, self.record(self.sizes.secret)),
                (version, self.record(self.sizes.version)),
                self.event(),
                self.digest(),
            ],
            ..Transaction::default()
        }
    }

    fn rotate(&mut self, since: Revision) -> Transaction {
        self.version += 1;
        let secret = Key::secret(self.namespace, self.id);
        let version = Key::version(self.namespace, self.id, self.version);
        let oldest = self.version.checked_sub(MAX_KEPT_VERSIONS).filter(|oldest| *oldest > 0);
        Transaction {
            require: vec![(secret.clone(), Expect::At(since)), (version.clone(), Expect::Absent)],
            put: vec![
                (version, self.record(self.sizes.version)),
                (secret, self.record(self.sizes.rotated)),
                self.event(),
                self.digest(),
            ],
            delete: oldest.map(|oldest| Key::version(self.namespace, self.id, oldest)).into_iter().collect(),
            ..Transaction::default()
        }
    }

    /// An event behind all others: of all writers together.
    fn event(&self) -> (Key, Vec<u8>) {
        static POSITION: AtomicU64 = AtomicU64::new(1);
        let position = POSITION.fetch_add(1, Ordering::Relaxed);
        (Key::appended_at(position, 0), self.record(self.sizes.event))
    }

    fn digest(&self) -> (Key, Vec<u8>) {
        (Key::digest(), self.record(self.sizes.digest))
    }

    fn record(&self, size: usize) -> Vec<u8> {
        self.bytes[..size].to_vec()
    }
}
