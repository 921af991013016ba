use std::time::Duration;

use super::{App, Error};
use crate::auth::{Operate, ServiceGrant};
use crate::catalog::Counts;
use crate::crypto::PublicKey;
use crate::domain::{Revision, Timestamp};
use crate::store::Unavailable;

/// The state of the service.
pub struct Status {
    /// The store's engine.
    pub engine: &'static str,
    /// The store's revision.
    pub revision: Revision,
    /// When the service started.
    pub started_at: Timestamp,
    /// How much there is.
    pub counts: Counts,
    /// The key that verifies what the service has signed.
    pub public_key: PublicKey,
}

impl App {
    /// The state of the service.
    pub fn status(&self, _grant: &ServiceGrant<Operate>) -> Status {
        Status {
            engine: self.store.engine(),
            revision: self.catalog.revision(),
            started_at: self.started_at,
            counts: self.catalog.counts(),
            public_key: self.keyring().public_key().clone(),
        }
    }

    /// Whether the store answers within a bound, and the catalog follows it.
    pub async fn check(&self) -> Result<(), Error> {
        const BOUND: Duration = Duration::from_secs(2);
        let answers = async {
            self.store.ping().await?;
            self.catalog.follows()?;
            self.catalog.at_least(self.store.durable()).await
        };
        let hangs = |_| Unavailable("it does not answer".into());
        Ok(tokio::time::timeout(BOUND, answers).await.map_err(hangs)??)
    }

    /// Writes the store's latest state into the anchor file, where there is one.
    pub async fn anchor(&self) {
        let Some(anchor) = self.anchor.clone() else { return };
        let (keyring, digest) = (self.catalog.keyring(), self.catalog.digest());
        let written = tokio::task::spawn_blocking(move || anchor.write(&keyring, &digest)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the anchor could not be written");
        }
    }

    /// Ends the service: changes that were accepted are made durable, later ones are refused.
    pub async fn close(&self) {
        self.store.close().await;
        self.anchor().await;
    }
}
