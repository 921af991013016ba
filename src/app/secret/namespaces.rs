//! List namespaces: those in which the caller may list something, each with how many secrets that is.
//!
//! A namespace whose secrets the caller may all list is shown even if it is empty. One in which the caller may list only some names
//! is shown if there is a secret or a deleted secret with such a name: a list tells nothing of what may not be listed.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;

use super::SecretOperations;
use crate::app::Error;
use crate::auth::{Authorization, List, NamespaceGrant, RightType, Scope, SomewhereGrant};
use crate::catalog::NamespaceCatalog;
use crate::crypto::Mac;
use crate::domain::{Invalid, Namespace, Revision, now};

/// Of how many namespaces the catalog is asked at once.
const AT_ONCE: usize = 256;

/// Which page of which namespaces.
pub struct NamespaceQuery {
    /// Only this namespace and those below it; `None`: all.
    pub below: Option<Namespace>,
    /// How many namespaces the page has, at most.
    pub limit: usize,
    /// The token of the page before; empty for the first page.
    pub page_token: String,
}

/// A namespace in a list.
pub struct ListedNamespace {
    /// The namespace.
    pub namespace: Namespace,
    /// How many of its secrets the caller may list.
    pub secrets: usize,
    /// The same of deleted secrets that can still be recovered.
    pub deleted_secrets: usize,
}

/// A page of namespaces.
pub struct NamespacePage {
    /// The namespaces, by name.
    pub items: Vec<ListedNamespace>,
    /// The token of the next page; `None` where this is the last page.
    pub next: Option<String>,
    /// The store's revision that the page was read at, or an earlier one.
    pub revision: Revision,
    /// How many namespaces cannot be opened, and are on no page. None unless the caller may list everything: the names of those
    /// namespaces are not known.
    pub damaged: usize,
}

impl SecretOperations {
    /// A page of the namespaces in which the caller may list something.
    pub async fn list_namespaces(
        &self,
        caller: &Authorization,
        grant: &SomewhereGrant<List>,
        query: NamespaceQuery,
        at_least: Revision,
    ) -> Result<NamespacePage, Error> {
        self.core.at_least(at_least).await?;
        let parts = [
            "namespaces",
            &grant.principal().name().to_string(),
            query.below.as_ref().map_or("", Namespace::as_str),
        ];
        let mac = self.core.keyring().query_mac(&parts.map(str::as_bytes));
        let mut after = self.open_place(&mac, &query.page_token)?;
        // The revision is read first: the namespaces may be newer than it, and never older.
        let revision = self.core.catalog.revision();
        let everything = Scope::everything();
        let all =
            |policy: &crate::auth::Policy| policy.covers(grant.principal(), List::RIGHT, &everything, now());
        let damaged = match self.core.catalog.with_policy(all) {
            Ok(_) => self.core.catalog.damaged_namespaces(),
            Err(_) => 0,
        };
        let mut items: Vec<ListedNamespace> = Vec::new();
        loop {
            let next = self.core.catalog.namespaces_after(after.as_ref(), query.below.as_ref(), AT_ONCE);
            let Some((last, _)) = next.last() else {
                return Ok(NamespacePage { items, next: None, revision, damaged });
            };
            after = Some(last.clone());
            for (namespace, catalog) in next {
                let Some((granted, listed)) = self.listed(grant, namespace, &catalog) else { continue };
                if let Some(last) = items.last().filter(|_| items.len() >= query.limit) {
                    let next = Some(self.seal_place(&mac, &last.namespace)?);
                    return Ok(NamespacePage { items, next, revision, damaged });
                }
                caller.note(granted.granted());
                items.push(listed);
            }
            // Other requests have their turn: there can be many namespaces of others.
            tokio::task::yield_now().await;
        }
    }

    /// A namespace, if the caller may list something in it.
    fn listed(
        &self,
        grant: &SomewhereGrant<List>,
        namespace: Namespace,
        catalog: &Arc<NamespaceCatalog>,
    ) -> Option<(NamespaceGrant<List>, ListedNamespace)> {
        let of_namespace =
            |policy: &crate::auth::Policy| policy.grant_namespace(grant.principal(), &namespace, now());
        let granted: NamespaceGrant<List> = self.core.catalog.with_policy(of_namespace).ok()?;
        let (secrets, deleted_secrets) = catalog.count(granted.names(), &namespace);
        let shown = granted.names().is_every() || secrets + deleted_secrets > 0;
        shown.then_some((granted, ListedNamespace { namespace, secrets, deleted_secrets }))
    }

    fn seal_place(&self, query: &Mac, last: &Namespace) -> Result<String, Error> {
        let sealed = self.core.keyring().seal_token(query, last.as_str().as_bytes())?;
        Ok(BASE64URL_NOPAD.encode(&sealed))
    }

    /// The namespace behind which the page with this token begins; `None` where the token is empty. Refuses the token of another query.
    fn open_place(&self, query: &Mac, token: &str) -> Result<Option<Namespace>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let open = || {
            let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
            let clear = self.core.keyring().open_token(query, &sealed).ok()?;
            Namespace::parse(std::str::from_utf8(&clear).ok()?).ok()
        };
        const REFUSED: Invalid =
            Invalid::new("must be the next_page_token of a reply to this same query: begin again without it");
        open().map(Some).ok_or_else(|| Error::of_field("page_token", REFUSED))
    }
}
