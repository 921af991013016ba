//! No reply is larger than 3 MiB, apart from streams: gRPC clients accept 4 MiB unless they raise the limit. The clients of
//! these tests do not.

use prost::Message;
use strongroom::api::v1::batch_get_secrets_item::Result as Outcome;
use strongroom::api::v1::{
    BatchGetSecretsRequest, CreateRoleRequest, CreateSecretRequest, ListRolesRequest, ListSecretsRequest,
    ResolveReferencesRequest, Right, View,
};
use tokio::task::JoinSet;
use tonic::Code;

use crate::caller::{Caller, Room};
use crate::harness::Server;
use crate::requests::{create, list, text};

const LARGEST: usize = 3 << 20;

/// The largest description and metadata.
fn described(name: &str, value: &str) -> CreateSecretRequest {
    let metadata = (0..64).map(|n| (format!("{n:0128}"), "m".repeat(512))).collect();
    CreateSecretRequest { value: text(value), description: "d".repeat(1024), metadata, ..create(name, "") }
}

async fn filled(secrets: usize, value: &str) -> (Room, Vec<String>) {
    let room = Room::open().await;
    let names: Vec<String> = (0..secrets).map(|n| format!("n{n:0127}")).collect();
    for name in &names {
        room.create_with(described(name, value)).await;
    }
    (room, names)
}

#[tokio::test]
async fn a_batch_and_a_page_have_at_most_3_mib() {
    let (room, names) = filled(100, &"v".repeat(16 * 1024)).await;
    for view in [View::Full, View::Metadata] {
        let request =
            BatchGetSecretsRequest { names: names.clone(), view: view.into(), ..Default::default() };
        let reply = room.secrets().batch_get_secrets(request).await.unwrap().into_inner();
        let returned =
            reply.items.iter().filter(|item| matches!(item.result, Some(Outcome::Secret(_)))).count();
        assert!((20..100).contains(&returned), "{returned} secrets do not fill a reply");
        assert!(reply.encoded_len() <= LARGEST, "{} bytes", reply.encoded_len());
    }
    let page = room.list(ListSecretsRequest { limit: Some(1000), ..list() }).await;
    assert!(!page.next_page_token.is_empty(), "{} secrets fit into a page", page.items.len());
    assert!(page.encoded_len() <= LARGEST, "{} bytes", page.encoded_len());
}

#[tokio::test]
async fn a_resolved_document_has_at_most_3_mib() {
    let (room, names) = filled(15, &"v".repeat(65_536)).await;
    let text = |text: String| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text)) };
    let mut document = prost_types::Struct::default();
    document.fields.insert("plain".into(), text("p".repeat(900 * 1024)));
    for name in &names {
        document.fields.insert(name.clone(), text(format!("$ secrets.{name}")));
    }
    let request = ResolveReferencesRequest { document: Some(document), ..Default::default() };
    let reply = room.references().resolve_references(request.clone()).await.unwrap().into_inner();
    assert!((LARGEST / 2..=LARGEST).contains(&reply.encoded_len()), "{} bytes", reply.encoded_len());
    // One value more is more than a document can have.
    let mut larger = request;
    let twice = format!("$ secrets.{0} + secrets.{0}", names[0]);
    larger.document.get_or_insert_default().fields.insert("more".into(), text(twice));
    let refused = room.references().resolve_references(larger).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
}

#[tokio::test]
async fn all_roles_fit_into_a_reply() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let mut under_way = JoinSet::new();
    for first in 0..8 {
        let mut access = root.access();
        under_way.spawn(async move {
            for n in (first..1000).step_by(8) {
                access.create_role(role(n)).await.unwrap();
            }
        });
    }
    under_way.join_all().await;
    let reply = listed(&root).await;
    assert!(reply.1 <= LARGEST, "{} bytes", reply.1);
    let refused = root.access().create_role(role(1000)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(listed(&root).await, reply);
}

fn role(n: usize) -> CreateRoleRequest {
    let rights = [Right::List, Right::Read, Right::Write, Right::Rotate, Right::Delete];
    CreateRoleRequest {
        name: format!("r{n:063}"),
        rights: rights.map(Into::into).to_vec(),
        description: "d".repeat(1024),
    }
}

/// How many roles there are, and the bytes of the reply.
async fn listed(caller: &Caller) -> (usize, usize) {
    let reply = caller.access().list_roles(ListRolesRequest {}).await.unwrap().into_inner();
    (reply.items.len(), reply.encoded_len())
}
