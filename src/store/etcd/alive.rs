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
use crate::store::{HEARTBEAT_LIFE, Heartbeats, OwnHeartbeat, Unavailable};

/// How long one lease is used. It lives for longer by this, so that the key is there for long enough.
const LEASE_USE: Duration = Duration::from_secs(5);

/// The place of this replica among the heartbeats.
pub(super) struct HeartbeatPlace {
    id: Uuid,
    lease: Mutex<Option<(i64, Instant)>>,
}

/// How long the end of a server waits until its heartbeat is removed. Where it is not, etcd removes it with its lease.
const GOODBYE: Duration = Duration::from_millis(500);

impl HeartbeatPlace {
    pub(super) fn new() -> Self {
        Self { id: Uuid::new_v4(), lease: Mutex::default() }
    }
}

#[async_trait]
impl Heartbeats for EtcdStore {
    async fn exchange(&self, own: Option<OwnHeartbeat<'_>>) -> Result<Vec<Vec<u8>>, Unavailable> {
        self.client.pointer()?; // fails once the store is closed
        match own {
            Some(own) => self.show(own).await,
            None => self.others_in(Txn::new().and_then([self.look()])).await,
        }
    }
}

impl EtcdStore {
    async fn show(&self, own: OwnHeartbeat<'_>) -> Result<Vec<Vec<u8>>, Unavailable> {
        let (client, place) = (&self.client, &self.heartbeat);
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
        let put = TxnOp::put(self.own_heartbeat(), own()?, Some(PutOptions::new().with_lease(lease)));
        let others = self.others_in(Txn::new().and_then([put, self.look()])).await;
        if others.is_err() {
            *used = None; // etcd may not know the lease any more
        }
        others
    }

    /// Removes the heartbeat of this replica, so that no other one reckons with it.
    pub(super) async fn withdraw_heartbeat(&self) {
        let remove = Txn::new().and_then([TxnOp::delete(self.own_heartbeat(), None)]);
        let _ = self.client.cluster.send(remove, Resend::Freely, Some(Instant::now() + GOODBYE)).await;
    }

    fn own_heartbeat(&self) -> Vec<u8> {
        self.client.layout.heartbeat(self.heartbeat.id.as_bytes())
    }

    fn look(&self) -> TxnOp {
        let all = GetOptions::new().with_prefix().with_limit(MAX_PAGE as i64);
        TxnOp::get(self.client.layout.heartbeat(&[]), Some(all))
    }

    /// The heartbeats of the others that this transaction finds.
    async fn others_in(&self, txn: Txn) -> Result<Vec<Vec<u8>>, Unavailable> {
        let response = self.client.cluster.send(txn, Resend::Freely, None).await?;
        let (found, own) = (gets(response.op_responses()).next(), self.own_heartbeat());
        let others = found.iter().flat_map(|found| found.kvs()).filter(|stored| stored.key() != own);
        Ok(others.map(|stored| stored.value().to_vec()).collect())
    }
}
