use super::{App, Error};
use crate::auth::{Operate, ServiceGrant};
use crate::catalog::Counts;
use crate::domain::{Revision, Timestamp};

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
}

impl App {
    /// The state of the service.
    pub fn status(&self, _grant: &ServiceGrant<Operate>) -> Status {
        Status {
            engine: self.store.engine(),
            revision: self.catalog.revision(),
            started_at: self.started_at,
            counts: self.catalog.counts(),
        }
    }

    /// Whether the store can serve.
    pub async fn check(&self) -> Result<(), Error> {
        Ok(self.store.ping().await?)
    }

    /// Ends the service: changes that were accepted are made durable, later ones are refused.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
