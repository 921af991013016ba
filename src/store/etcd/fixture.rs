//! Stores over a real etcd, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::open_etcd;
use crate::config;
use crate::store::Store;

#[path = "../../../tests/tools/etcd.rs"]
mod server;

pub(crate) use self::server::{Etcd, shared};

/// A new store in the etcd that all tests share; `None` where there is no etcd, which is reported.
pub(in crate::store) async fn open_fresh() -> Option<Arc<dyn Store>> {
    Some(open_etcd(&fresh(shared()?)).await.unwrap())
}

/// The settings of a store of its own.
pub(crate) fn fresh(etcd: &Etcd) -> config::Etcd {
    static STORES: AtomicU32 = AtomicU32::new(0);
    config::Etcd {
        endpoints: vec![etcd.url()],
        prefix: format!("store-{}/", STORES.fetch_add(1, Ordering::Relaxed)),
        ca: None,
        identity: None,
        user: None,
        password_file: None,
    }
}
