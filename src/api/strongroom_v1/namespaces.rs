//! ListNamespaces of SecretService.

use super::convert::{consistency, limit};
use super::proto as v1;
use crate::api::request::{Call, Fields};
use crate::app::{App, Error, NamespaceQuery};
use crate::auth::List;
use crate::domain::{Namespace, Revision};

/// About how many bytes a namespace takes in a reply, at most.
const NAMESPACE_BYTES: usize = 1024;

pub(super) async fn list(
    app: &App,
    call: &Call,
    message: v1::ListNamespacesRequest,
) -> Result<v1::ListNamespacesResponse, Error> {
    let grant = call.somewhere_grant::<List>(app)?;
    let mut fields = Fields::default();
    consistency(message.consistency, &mut fields);
    let limit = fields.check("limit", limit(message.limit));
    let below = match &*message.below {
        "" => Some(None),
        below => fields.check("below", Namespace::parse(below)).map(Some),
    };
    if let Some(Some(below)) = &below {
        call.note(|target| target.namespace = Some(below.clone()));
    }
    let parsed = (|| Some(NamespaceQuery { below: below?, limit: limit?, page_token: message.page_token }))();
    let query = fields.finish(parsed)?;

    app.admission.check_room(call.principal().name(), query.limit.saturating_mul(NAMESPACE_BYTES))?;
    let page =
        app.secrets.list_namespaces(&call.caller, &grant, query, Revision(message.min_revision)).await?;
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let items = page.items.iter().map(|listed| v1::Namespace {
        name: listed.namespace.to_string(),
        secrets: count(listed.secrets),
        deleted_secrets: count(listed.deleted_secrets),
    });
    Ok(v1::ListNamespacesResponse {
        items: items.collect(),
        next_page_token: page.next.unwrap_or_default(),
        revision: page.revision.0,
        damaged_size: count(page.damaged),
    })
}
