//! The heartbeats of the replicas: keys beside the store's content, each under a lease, so that etcd removes the key of a replica
//! that has ended. They are no commits: the head stays as it is.

use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{GetOptions, PutOptions, Txn, TxnOp};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::cluster::{MAX_PAGE, Resend};
use super::{EtcdStore, gets};
use crate::store::{HEARTBEAT_LIFE, Heartbeats, Unavailable};

/// How long one lease is used. It lives for longer by this, so that the key is there for long enough.
const LEASE_USE: Duration = Duration::from_secs(5);

/// The place of this replica among the heartbeats.
pub(super) struct HeartbeatPlace {
    id: Uuid,
    lease: Mutex<Option<(i64, Instant)>>,
}

impl HeartbeatPlace {
    pub(super) fn new() -> Self {
        Self { id: Uuid::new_v4(), lease: Mutex::default() }
    }
}

#[async_trait]
impl Heartbeats for EtcdStore {
    async fn exchange(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, Unavailable> {
        let (client, place) = (&self.client, &self.heartbeat);
        client.pointer()?; // fails once the store is closed
        let mut used = place.lease.lock().await;
        let lease = match *used {
            Some((lease, since)) if since.elapsed() < LEASE_USE => lease,
            _ => {
                let (since, life) = (Instant::now(), HEARTBEAT_LIFE.as_secs().cast_signed());
                let lease = client.cluster.lease(life).await?;
                *used = Some((lease, since));
                lease
            }
        };
        let key = client.layout.heartbeat(place.id.as_bytes());
        let put = TxnOp::put(key.clone(), own, Some(PutOptions::new().with_lease(lease)));
        let all = GetOptions::new().with_prefix().with_limit(MAX_PAGE as i64);
        let look = TxnOp::get(client.layout.heartbeat(&[]), Some(all));
        let sent = client.cluster.send(Txn::new().and_then([put, look]), Resend::Freely, None).await;
        if sent.is_err() {
            *used = None; // etcd may not know the lease any more
        }
        let found = gets(sent?.op_responses()).next();
        let others = found.iter().flat_map(|found| found.kvs()).filter(|stored| stored.key() != key);
        Ok(others.map(|stored| stored.value().to_vec()).collect())
    }
}
