//! Requests of every RPC, with a canary in each field that can hold one. A new RPC needs a row here.

use prost::Message;
use prost_types::value::Kind;
use prost_types::{Duration, Struct, Timestamp, Value as Json};
use strongroom::api::v1::*;
use uuid::Uuid;

use crate::requests::{MAX_VALUE, binary, mask, text};

/// The canaries, each unlike any other text.
pub struct Canaries {
    pub value: String,
    pub description: String,
    pub metadata_key: String,
    pub metadata_value: String,
    pub name: String,
    /// The name of a secret that is deleted in the end.
    pub other_name: String,
    pub key_name: String,
    /// No valid name, namespace, id, etag or token: a text that a caller put in the wrong place.
    pub unfit: String,
}

impl Canaries {
    pub fn new() -> Self {
        let canary = |what: &str| format!("cAnArY_{what}_{}", Uuid::new_v4().simple());
        Self {
            value: canary("value"),
            description: canary("description"),
            metadata_key: canary("k"),
            metadata_value: canary("v"),
            name: canary("name"),
            other_name: canary("other"),
            key_name: canary("key"),
            unfit: format!("cAnArY-unfit!{}", Uuid::new_v4()),
        }
    }
}

/// Requests of one RPC, each with the reason of its refusal, which is empty if it is served.
pub struct Row {
    pub rpc: &'static str,
    pub requests: Vec<(&'static str, Vec<u8>)>,
}

fn row(rpc: &'static str, requests: Vec<(&'static str, Vec<u8>)>) -> Row {
    Row { rpc, requests }
}

const SERVED: &str = "";
const INVALID: &str = "VALIDATION_FAILED";
pub const NAMESPACE: &str = "canaries";

/// All rows, in an order in which the requests can be served.
pub fn rows(c: &Canaries) -> Vec<Row> {
    let namespace = || NAMESPACE.to_owned();
    let value = || text(c.value.as_str());
    let metadata = || [(c.metadata_key.clone(), c.metadata_value.clone())].into();
    let long = |canary: &str| format!("{canary} ").repeat(MAX_VALUE / canary.len() + 1);
    let request_id = Uuid::new_v4().to_string();

    let create = CreateSecretRequest {
        namespace: namespace(),
        name: c.name.clone(),
        value: value(),
        description: c.description.clone(),
        metadata: metadata(),
        request_id: request_id.clone(),
        ..Default::default()
    };
    let other = CreateSecretRequest {
        name: c.other_name.clone(),
        request_id: String::new(),
        value: binary(c.value.as_str()),
        ..create.clone()
    };
    let filter = AuditFilter {
        principal: c.unfit.clone(),
        rpc: c.value.clone(),
        namespace: c.unfit.clone(),
        name: c.unfit.clone(),
        outcome: c.unfit.clone(),
        reason: c.unfit.clone(),
        request_id: c.unfit.clone(),
        ..Default::default()
    };
    let audit_list = ListAuditRecordsRequest { filter: Some(filter.clone()), ..Default::default() };
    let audit_lists = vec![
        (SERVED, audit_list.encode_to_vec()),
        (INVALID, ListAuditRecordsRequest { page_token: c.unfit.clone(), ..audit_list }.encode_to_vec()),
    ];
    let audit_watch = WatchAuditRecordsRequest { filter: Some(filter), from_index: Some(u64::MAX) };
    let audit_watches = vec![(INVALID, audit_watch.encode_to_vec())];
    let second = Some(Duration { seconds: 1, nanos: 0 });
    let creates = vec![
        (SERVED, create.encode_to_vec()),
        (SERVED, create.encode_to_vec()),
        (SERVED, other.encode_to_vec()),
        (
            "REQUEST_ID_REUSED",
            CreateSecretRequest { description: String::new(), ..create.clone() }.encode_to_vec(),
        ),
        ("SECRET_ALREADY_EXISTS", other.encode_to_vec()),
        (
            INVALID,
            CreateSecretRequest { ttl: second, expires_at: Some(Timestamp::default()), ..other.clone() }
                .encode_to_vec(),
        ),
        (INVALID, CreateSecretRequest { name: c.unfit.clone(), ..other.clone() }.encode_to_vec()),
        (INVALID, CreateSecretRequest { namespace: c.unfit.clone(), ..other.clone() }.encode_to_vec()),
        (INVALID, CreateSecretRequest { request_id: c.unfit.clone(), ..other.clone() }.encode_to_vec()),
        (INVALID, CreateSecretRequest { description: long(&c.description), ..other.clone() }.encode_to_vec()),
        (
            INVALID,
            CreateSecretRequest {
                metadata: [(c.unfit.clone(), long(&c.metadata_value))].into(),
                ..other.clone()
            }
            .encode_to_vec(),
        ),
        (INVALID, CreateSecretRequest { value: text(long(&c.value)), ..other.clone() }.encode_to_vec()),
        (INVALID, CreateSecretRequest { return_value: true, ..other.clone() }.encode_to_vec()),
    ];

    let get = GetSecretRequest { namespace: namespace(), name: c.name.clone(), ..Default::default() };
    let gets = vec![
        (SERVED, get.encode_to_vec()),
        ("VERSION_NOT_FOUND", GetSecretRequest { version: Some(9), ..get.clone() }.encode_to_vec()),
        ("SECRET_NOT_FOUND", GetSecretRequest { name: c.key_name.clone(), ..get.clone() }.encode_to_vec()),
        (INVALID, GetSecretRequest { name: c.unfit.clone(), ..get.clone() }.encode_to_vec()),
    ];

    let list = ListSecretsRequest {
        namespace: namespace(),
        metadata: metadata(),
        name_prefix: c.name.clone(),
        ..Default::default()
    };
    let lists = vec![
        (SERVED, list.encode_to_vec()),
        (INVALID, ListSecretsRequest { name_prefix: c.unfit.clone(), ..list.clone() }.encode_to_vec()),
        (INVALID, ListSecretsRequest { order_by: c.unfit.clone(), ..list.clone() }.encode_to_vec()),
        (INVALID, ListSecretsRequest { page_token: c.unfit.clone(), ..list.clone() }.encode_to_vec()),
    ];

    let below = ListNamespacesRequest { below: namespace(), ..Default::default() };
    let namespace_lists = vec![
        (SERVED, below.encode_to_vec()),
        (INVALID, ListNamespacesRequest { below: c.unfit.clone(), ..below.clone() }.encode_to_vec()),
        (INVALID, ListNamespacesRequest { page_token: c.unfit.clone(), ..below }.encode_to_vec()),
    ];

    // A watch that is served has no end: this one begins in the future.
    let watch = WatchSecretsRequest {
        namespace: namespace(),
        name_prefix: c.name.clone(),
        metadata: metadata(),
        after_revision: u64::MAX,
        ..Default::default()
    };
    let watches = vec![
        (INVALID, watch.encode_to_vec()),
        (INVALID, WatchSecretsRequest { snapshot: true, ..watch.clone() }.encode_to_vec()),
        (INVALID, WatchSecretsRequest { name_prefix: c.unfit.clone(), ..watch.clone() }.encode_to_vec()),
        (INVALID, WatchSecretsRequest { namespace: c.unfit.clone(), ..watch }.encode_to_vec()),
    ];

    let update = UpdateSecretRequest {
        namespace: namespace(),
        name: c.name.clone(),
        value: value(),
        description: Some(c.description.clone()),
        metadata: metadata(),
        ..Default::default()
    };
    let updates = vec![
        (SERVED, update.encode_to_vec()),
        ("ETAG_MISMATCH", UpdateSecretRequest { etag: c.unfit.clone(), ..update.clone() }.encode_to_vec()),
        (
            "SECRET_ALREADY_EXISTS",
            UpdateSecretRequest { new_name: Some(c.other_name.clone()), ..update.clone() }.encode_to_vec(),
        ),
        (
            "SECRET_NOT_FOUND",
            UpdateSecretRequest { name: c.key_name.clone(), ..update.clone() }.encode_to_vec(),
        ),
        (INVALID, UpdateSecretRequest { new_name: Some(c.unfit.clone()), ..update.clone() }.encode_to_vec()),
        (INVALID, UpdateSecretRequest { update_mask: mask(&[&c.unfit]), ..update.clone() }.encode_to_vec()),
    ];

    let rotate = RotateSecretRequest {
        namespace: namespace(),
        name: c.name.clone(),
        value: value(),
        ..Default::default()
    };
    let rotates = vec![
        (SERVED, rotate.encode_to_vec()),
        ("ETAG_MISMATCH", RotateSecretRequest { etag: c.unfit.clone(), ..rotate.clone() }.encode_to_vec()),
        (
            "SECRET_NOT_FOUND",
            RotateSecretRequest { name: c.key_name.clone(), ..rotate.clone() }.encode_to_vec(),
        ),
        (SERVED, RotateSecretRequest { stage: true, ..rotate.clone() }.encode_to_vec()),
        ("ROTATION_PENDING", RotateSecretRequest { stage: true, ..rotate.clone() }.encode_to_vec()),
        (INVALID, RotateSecretRequest { claim_id: c.unfit.clone(), ..rotate.clone() }.encode_to_vec()),
        (
            INVALID,
            RotateSecretRequest { value: None, name: c.unfit.clone(), ..rotate.clone() }.encode_to_vec(),
        ),
    ];

    // The version that was staged.
    let promote = PromoteVersionRequest {
        namespace: namespace(),
        name: c.name.clone(),
        version: 4,
        ..Default::default()
    };
    let promotions = vec![
        ("ETAG_MISMATCH", PromoteVersionRequest { etag: c.unfit.clone(), ..promote.clone() }.encode_to_vec()),
        (SERVED, promote.encode_to_vec()),
        ("VERSION_NOT_FOUND", PromoteVersionRequest { version: 9, ..promote.clone() }.encode_to_vec()),
        (
            "SECRET_NOT_FOUND",
            PromoteVersionRequest { name: c.key_name.clone(), ..promote.clone() }.encode_to_vec(),
        ),
        (INVALID, PromoteVersionRequest { claim_id: c.unfit.clone(), ..promote.clone() }.encode_to_vec()),
        (INVALID, PromoteVersionRequest { name: c.unfit.clone(), ..promote }.encode_to_vec()),
    ];
    let acknowledge = AcknowledgeVersionRequest {
        namespace: namespace(),
        name: c.name.clone(),
        version: 4,
        consumer: c.key_name.clone(),
        ..Default::default()
    };
    let acknowledgements = vec![
        (SERVED, acknowledge.encode_to_vec()),
        (
            "VERSION_NOT_FOUND",
            AcknowledgeVersionRequest { version: 9, ..acknowledge.clone() }.encode_to_vec(),
        ),
        (
            INVALID,
            AcknowledgeVersionRequest { consumer: long(&c.unfit), ..acknowledge.clone() }.encode_to_vec(),
        ),
        (INVALID, AcknowledgeVersionRequest { name: c.unfit.clone(), ..acknowledge }.encode_to_vec()),
    ];
    let claim = ClaimRotationRequest {
        namespace: namespace(),
        name_prefix: c.name.clone(),
        metadata: metadata(),
        lease: None,
        ..Default::default()
    };
    let claims = vec![
        ("NO_ROTATION_DUE", claim.encode_to_vec()),
        (INVALID, ClaimRotationRequest { name_prefix: c.unfit.clone(), ..claim }.encode_to_vec()),
    ];
    let lost = data_encoding::BASE64URL_NOPAD.encode(&[7; 48]);
    let release = ReleaseRotationRequest {
        claim_id: lost,
        error: c.description.clone(),
        retry_after: None,
        ..Default::default()
    };
    let releases = vec![
        ("CLAIM_LOST", release.encode_to_vec()),
        (INVALID, ReleaseRotationRequest { claim_id: c.unfit.clone(), ..release.clone() }.encode_to_vec()),
        (INVALID, ReleaseRotationRequest { error: long(&c.description), ..release }.encode_to_vec()),
    ];
    let batch = BatchGetSecretsRequest {
        namespace: namespace(),
        names: vec![c.name.clone(), c.key_name.clone()],
        ..Default::default()
    };
    let batches = vec![
        (SERVED, batch.encode_to_vec()),
        (INVALID, BatchGetSecretsRequest { names: vec![c.unfit.clone()], ..batch.clone() }.encode_to_vec()),
        (INVALID, BatchGetSecretsRequest { namespace: c.unfit.clone(), ..batch }.encode_to_vec()),
    ];
    let names = vec![
        (SERVED, FindAuditNamesRequest { fingerprint: "fp:0123456789abcdef".into() }.encode_to_vec()),
        (INVALID, FindAuditNamesRequest { fingerprint: c.unfit.clone() }.encode_to_vec()),
    ];

    let versions =
        ListSecretVersionsRequest { namespace: namespace(), name: c.name.clone(), ..Default::default() };
    let version_lists = vec![
        (SERVED, versions.encode_to_vec()),
        (
            "SECRET_NOT_FOUND",
            ListSecretVersionsRequest { name: c.key_name.clone(), ..versions.clone() }.encode_to_vec(),
        ),
        (INVALID, ListSecretVersionsRequest { name: c.unfit.clone(), ..versions.clone() }.encode_to_vec()),
    ];
    // The three RPCs that change a version have the same fields.
    let version = |name: &str, version, etag: &str| {
        DisableVersionRequest {
            namespace: namespace(),
            name: name.into(),
            version,
            etag: etag.into(),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let change_of_version = || {
        vec![
            (SERVED, version(&c.name, 1, "")),
            ("ETAG_MISMATCH", version(&c.name, 1, &c.unfit)),
            ("VERSION_NOT_FOUND", version(&c.name, 9, "")),
            ("SECRET_NOT_FOUND", version(&c.key_name, 1, "")),
            (INVALID, version(&c.unfit, 1, "")),
        ]
    };
    let first = GetSecretRequest { version: Some(1), ..get.clone() }.encode_to_vec();

    let delete =
        DeleteSecretRequest { namespace: namespace(), name: c.other_name.clone(), ..Default::default() };
    let deletes = vec![
        ("ETAG_MISMATCH", DeleteSecretRequest { etag: c.unfit.clone(), ..delete.clone() }.encode_to_vec()),
        (SERVED, delete.encode_to_vec()),
        ("SECRET_NOT_FOUND", delete.encode_to_vec()),
        (INVALID, DeleteSecretRequest { name: c.unfit.clone(), ..delete.clone() }.encode_to_vec()),
    ];
    let undelete = UndeleteSecretRequest {
        namespace: namespace(),
        id: Uuid::now_v7().to_string(),
        new_name: c.other_name.clone(),
        ..Default::default()
    };
    let undeletes = vec![
        ("SECRET_NOT_FOUND", undelete.encode_to_vec()),
        (INVALID, UndeleteSecretRequest { id: c.unfit.clone(), ..undelete.clone() }.encode_to_vec()),
        (INVALID, UndeleteSecretRequest { new_name: c.unfit.clone(), ..undelete }.encode_to_vec()),
    ];

    let string = |text: String| Json { kind: Some(Kind::StringValue(text)) };
    let resolve = |expression: String| {
        let document = Struct { fields: [("field".to_owned(), string(expression))].into() };
        let inputs = Struct { fields: [("input".to_owned(), string(c.value.clone()))].into() };
        ResolveReferencesRequest {
            namespace: namespace(),
            document: Some(document),
            inputs: Some(inputs),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let resolves = vec![
        (SERVED, resolve(format!("$ secrets.{} + _ + '{}'", c.name, c.value))),
        ("REFERENCE_INVALID", resolve(format!("$ secrets.{} + 1", c.name))),
        ("REFERENCE_INVALID", resolve(format!("$ '{}' + (", c.value))),
        ("REFERENCE_INVALID", resolve(format!("$ int('{}')", c.value))),
        ("REFERENCE_INVALID", resolve(format!("$ {}", c.unfit))),
    ];

    let key =
        CreateApiKeyRequest { name: c.key_name.clone(), home_namespace: namespace(), ..Default::default() };
    let keys = vec![
        (SERVED, key.encode_to_vec()),
        (INVALID, CreateApiKeyRequest { name: c.unfit.repeat(20), ..key.clone() }.encode_to_vec()),
        (INVALID, CreateApiKeyRequest { home_namespace: c.unfit.clone(), ..key.clone() }.encode_to_vec()),
    ];
    let revocations = vec![
        ("API_KEY_NOT_FOUND", RevokeApiKeyRequest { id: "abcdefghabcdefgh".into() }.encode_to_vec()),
        (INVALID, RevokeApiKeyRequest { id: c.unfit.clone() }.encode_to_vec()),
    ];
    let binding = CreateBindingRequest {
        principal: format!("cert:{}", c.key_name),
        role: "reader".into(),
        namespace_pattern: NAMESPACE.into(),
        name_pattern: c.name.clone(),
        description: c.description.clone(),
        ..Default::default()
    };
    let unfit = || c.unfit.clone();
    let bindings = vec![
        (SERVED, binding.encode_to_vec()),
        (INVALID, CreateBindingRequest { principal: unfit(), ..binding.clone() }.encode_to_vec()),
        (INVALID, CreateBindingRequest { role: unfit(), ..binding.clone() }.encode_to_vec()),
        (INVALID, CreateBindingRequest { namespace_pattern: unfit(), ..binding.clone() }.encode_to_vec()),
        (INVALID, CreateBindingRequest { name_pattern: unfit(), ..binding.clone() }.encode_to_vec()),
        (INVALID, CreateBindingRequest { request_id: unfit(), ..binding.clone() }.encode_to_vec()),
    ];
    let role = CreateRoleRequest {
        name: "canary".into(),
        rights: vec![Right::List.into()],
        description: c.description.clone(),
    };
    let roles = vec![
        (SERVED, role.encode_to_vec()),
        (INVALID, CreateRoleRequest { name: unfit(), ..role.clone() }.encode_to_vec()),
        ("ROLE_ALREADY_EXISTS", role.encode_to_vec()),
    ];
    let deleted_roles = vec![
        (SERVED, DeleteRoleRequest { name: "canary".into() }.encode_to_vec()),
        ("ROLE_NOT_FOUND", DeleteRoleRequest { name: "canary".into() }.encode_to_vec()),
        (INVALID, DeleteRoleRequest { name: unfit() }.encode_to_vec()),
    ];
    let listed = ListBindingsRequest { principal: binding.principal.clone(), ..Default::default() };
    let listings = vec![
        (SERVED, listed.encode_to_vec()),
        (INVALID, ListBindingsRequest { page_token: unfit(), ..listed.clone() }.encode_to_vec()),
        (INVALID, ListBindingsRequest { principal: unfit(), ..listed.clone() }.encode_to_vec()),
        (INVALID, ListBindingsRequest { namespace: unfit(), ..listed }.encode_to_vec()),
    ];
    let deleted_bindings = vec![
        ("BINDING_NOT_FOUND", DeleteBindingRequest { id: "abcdefghabcdefgh".into() }.encode_to_vec()),
        (INVALID, DeleteBindingRequest { id: unfit() }.encode_to_vec()),
    ];
    let rotated = |id: String| RotateApiKeyRequest { id, overlap: None }.encode_to_vec();
    let rotated_keys =
        vec![("API_KEY_NOT_FOUND", rotated("abcdefghabcdefgh".into())), (INVALID, rotated(unfit()))];
    let question = ExplainAccessRequest {
        principal: binding.principal.clone(),
        right: Right::Read.into(),
        namespace: namespace(),
        name: c.name.clone(),
    };
    let questions = vec![
        (SERVED, question.encode_to_vec()),
        (INVALID, ExplainAccessRequest { principal: unfit(), ..question.clone() }.encode_to_vec()),
        (INVALID, ExplainAccessRequest { name: unfit(), ..question }.encode_to_vec()),
    ];
    let no_backup = RestoreBackupRequest { chunk: c.value.clone().into(), ..Default::default() };
    let rotation = |namespace: &str| {
        RotateNamespaceKeysRequest { namespace: namespace.into(), all_namespaces: false }.encode_to_vec()
    };
    let rotations = vec![
        (SERVED, rotation(NAMESPACE)),
        ("NAMESPACE_NOT_FOUND", rotation("nowhere")),
        (INVALID, rotation(&c.unfit)),
        (INVALID, Vec::new()),
    ];
    let nothing = || vec![(SERVED, Vec::new())];
    vec![
        row("SecretService/CreateSecret", creates),
        row("SecretService/GetSecret", gets),
        row("SecretService/ListSecrets", lists),
        row("SecretService/ListNamespaces", namespace_lists),
        row("SecretService/WatchSecrets", watches),
        row("SecretService/UpdateSecret", updates),
        row("SecretService/BatchGetSecrets", batches),
        row("SecretService/RotateSecret", rotates),
        row("SecretService/PromoteVersion", promotions),
        row("SecretService/AcknowledgeVersion", acknowledgements),
        row("SecretService/ClaimRotation", claims),
        row("SecretService/ReleaseRotation", releases),
        row("SecretService/ListSecretVersions", version_lists),
        row("SecretService/DisableVersion", change_of_version()),
        row("SecretService/GetSecret", vec![("VERSION_DISABLED", first.clone())]),
        row("SecretService/EnableVersion", change_of_version()),
        row("SecretService/GetSecret", vec![(SERVED, first.clone())]),
        row("SecretService/DestroyVersion", change_of_version()),
        row("SecretService/GetSecret", vec![("VERSION_DESTROYED", first)]),
        row("SecretService/DeleteSecret", deletes),
        row("SecretService/UndeleteSecret", undeletes),
        row("ReferenceService/ResolveReferences", resolves),
        row("AccessService/CreateApiKey", keys),
        row("AccessService/ListApiKeys", nothing()),
        row("AccessService/RevokeApiKey", revocations),
        row("AccessService/RotateApiKey", rotated_keys),
        row("AccessService/CreateRole", roles),
        row("AccessService/ListRoles", nothing()),
        row("AccessService/DeleteRole", deleted_roles),
        row("AccessService/CreateBinding", bindings),
        row("AccessService/ListBindings", listings),
        row("AccessService/DeleteBinding", deleted_bindings),
        row("AccessService/ExplainAccess", questions),
        row("AccessService/WhoAmI", nothing()),
        row("AuditService/ListAuditRecords", audit_lists),
        // A watch that is served has no end.
        row("AuditService/WatchAuditRecords", audit_watches),
        row("AuditService/GetCheckpoint", nothing()),
        row(
            "AuditService/GetInclusionProof",
            vec![(SERVED, GetInclusionProofRequest::default().encode_to_vec())],
        ),
        row(
            "AuditService/GetConsistencyProof",
            vec![(SERVED, GetConsistencyProofRequest::default().encode_to_vec())],
        ),
        row("AuditService/FindAuditNames", names),
        row("OperatorService/GetStatus", nothing()),
        row("OperatorService/CreateBackup", nothing()),
        row("OperatorService/RestoreBackup", vec![("BACKUP_INVALID", no_backup.encode_to_vec())]),
        row("OperatorService/RotateMasterKey", nothing()),
        row("OperatorService/GetMasterKeyStatus", nothing()),
        row("OperatorService/RotateNamespaceKeys", rotations),
    ]
}
