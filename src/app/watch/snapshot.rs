//! Tells the secrets that match now, page by page, while others write.
//!
//! The cursor of the watch stays at the revision of the beginning. A secret that was changed since is left out, since its event
//! comes after the snapshot and has its newest state. So after those events, the watch has told the state of one revision.

use std::sync::Arc;

use super::catch_up::CatchUp;
use super::{Phase, Step, StepEvent, StepType, Watch};
use crate::app::Error;
use crate::auth::NameFilter;
use crate::catalog::NamespaceCatalog;
use crate::domain::{Cursor, Filter, Namespace, Order, OrderBy, Secret, Start};

/// How many secrets are told at a time.
const PAGE: usize = 100;

/// How far a snapshot has come.
#[derive(Default)]
pub(super) struct Snapshot {
    /// The namespaces that are left, the present one last; `None`: they are yet to be looked up.
    namespaces: Option<Vec<Namespace>>,
    /// The place in the present namespace.
    cursor: Option<Cursor>,
}

impl Watch {
    /// Tells the next page of secrets, or goes on to the events since the beginning.
    pub(super) async fn tell_snapshot(&mut self) -> Result<(), Error> {
        tokio::task::yield_now().await; // a page of other namespaces may have had nothing to tell
        let Phase::Snapshot(snapshot) = &mut self.phase else { return Ok(()) };
        let (core, filter) = (self.core.clone(), &self.filter);
        let left = snapshot.namespaces.get_or_insert_with(|| {
            let all = core.catalog.namespaces();
            let names = all.iter().map(|catalog| catalog.keys().namespace().clone());
            names.filter(|namespace| filter.concerns(namespace)).collect()
        });
        let Some(namespace) = left.last().cloned() else {
            self.phase = Phase::CatchUp(CatchUp::default());
            return Ok(());
        };
        let names = core.catalog.with_policy(|policy| filter.names(policy, &namespace));
        let found = match (core.catalog.namespace(&namespace), names) {
            (Some(catalog), Some(names)) => self.page(&catalog, &names, &namespace),
            (None, _) if core.catalog.is_damaged(&namespace) => return Err(Error::Integrity),
            (None, _) | (_, None) => Vec::new(),
        };
        let next =
            found.last().filter(|_| found.len() == PAGE).map(|secret| Cursor::of(secret, OrderBy::Name));
        for secret in found {
            let revision = secret.revision;
            if revision <= self.cursor {
                let kind = StepType::Snapshot(secret);
                self.ready.push_back(Step::Event(Box::new(StepEvent {
                    kind,
                    at: None,
                    revision,
                    resume: None,
                })));
            }
        }
        if let Phase::Snapshot(snapshot) = &mut self.phase {
            if next.is_none() {
                drop(snapshot.namespaces.as_mut().and_then(Vec::pop));
            }
            snapshot.cursor = next;
        }
        Ok(())
    }

    /// The next page of a namespace.
    fn page(
        &self,
        catalog: &NamespaceCatalog,
        names: &NameFilter,
        namespace: &Namespace,
    ) -> Vec<Arc<Secret>> {
        let query = self.filter.query();
        let filter = Filter {
            namespace: namespace.clone(),
            prefix: query.prefix.clone(),
            metadata: query.metadata.clone(),
            unused_since: None,
            include_deleted: false,
        };
        let start = match &self.phase {
            Phase::Snapshot(Snapshot { cursor: Some(cursor), .. }) => Start::After(cursor.clone()),
            Phase::Snapshot(_) | Phase::CatchUp(_) | Phase::Live(_) => Start::Offset(0),
        };
        let order = Order { by: OrderBy::Name, descending: false };
        catalog.page(names, &filter, order, &start, PAGE, self.cursor).0.items
    }
}
