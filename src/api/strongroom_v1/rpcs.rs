//! Every RPC of the package, and the rights of which it needs one. An RPC that is not here is not served.

use crate::api::request::Rpc;
use crate::auth::Right;

static ALL: [Rpc; 43] = numbered([
    change("strongroom.v1.SecretService/CreateSecret", &[Right::Write]),
    // Read for the value, list without it.
    rpc("strongroom.v1.SecretService/GetSecret", &[Right::Read, Right::List]),
    // Read for the values, list without them.
    rpc("strongroom.v1.SecretService/BatchGetSecrets", &[Right::Read, Right::List]),
    rpc("strongroom.v1.SecretService/ListSecrets", &[Right::List]),
    rpc("strongroom.v1.SecretService/ListNamespaces", &[Right::List]),
    change("strongroom.v1.SecretService/UpdateSecret", &[Right::Write]),
    change("strongroom.v1.SecretService/DeleteSecret", &[Right::Delete]),
    // Write for another name.
    change("strongroom.v1.SecretService/UndeleteSecret", &[Right::Delete, Right::Write]),
    change("strongroom.v1.SecretService/RotateSecret", &[Right::Rotate]),
    change("strongroom.v1.SecretService/PromoteVersion", &[Right::Rotate]),
    change("strongroom.v1.SecretService/AcknowledgeVersion", &[Right::Read]),
    change("strongroom.v1.SecretService/ClaimRotation", &[Right::Rotate]),
    change("strongroom.v1.SecretService/ReleaseRotation", &[Right::Rotate]),
    rpc("strongroom.v1.SecretService/ListSecretVersions", &[Right::List]),
    change("strongroom.v1.SecretService/DisableVersion", &[Right::Write]),
    change("strongroom.v1.SecretService/EnableVersion", &[Right::Write]),
    change("strongroom.v1.SecretService/DestroyVersion", &[Right::Delete]),
    rpc("strongroom.v1.SecretService/WatchSecrets", &[Right::List]),
    change("strongroom.v1.AccessService/CreateApiKey", &[Right::ManageAccess]),
    rpc("strongroom.v1.AccessService/ListApiKeys", &[Right::ManageAccess]),
    change("strongroom.v1.AccessService/RevokeApiKey", &[Right::ManageAccess]),
    // Every key may rotate itself.
    change("strongroom.v1.AccessService/RotateApiKey", &[Right::ManageAccess]),
    change("strongroom.v1.AccessService/CreateRole", &[Right::ManageAccess]),
    rpc("strongroom.v1.AccessService/ListRoles", &[Right::ManageAccess]),
    change("strongroom.v1.AccessService/DeleteRole", &[Right::ManageAccess]),
    change("strongroom.v1.AccessService/CreateBinding", &[Right::ManageAccess]),
    rpc("strongroom.v1.AccessService/ListBindings", &[Right::ManageAccess]),
    change("strongroom.v1.AccessService/DeleteBinding", &[Right::ManageAccess]),
    rpc("strongroom.v1.AccessService/WhoAmI", &[]),
    // Everybody may ask about itself.
    rpc("strongroom.v1.AccessService/ExplainAccess", &[Right::ManageAccess]),
    rpc("strongroom.v1.OperatorService/GetStatus", &[Right::Operate]),
    rpc("strongroom.v1.OperatorService/CreateBackup", &[Right::Operate]),
    change("strongroom.v1.OperatorService/RestoreBackup", &[Right::Operate]),
    change("strongroom.v1.OperatorService/RotateMasterKey", &[Right::Operate]),
    rpc("strongroom.v1.OperatorService/GetMasterKeyStatus", &[Right::Operate]),
    change("strongroom.v1.OperatorService/RotateNamespaceKeys", &[Right::Operate]),
    rpc("strongroom.v1.AuditService/ListAuditRecords", &[Right::Audit]),
    rpc("strongroom.v1.AuditService/WatchAuditRecords", &[Right::Audit]),
    rpc("strongroom.v1.AuditService/GetCheckpoint", &[Right::Audit]),
    rpc("strongroom.v1.AuditService/GetInclusionProof", &[Right::Audit]),
    rpc("strongroom.v1.AuditService/GetConsistencyProof", &[Right::Audit]),
    rpc("strongroom.v1.AuditService/FindAuditNames", &[Right::Audit]),
    // Read for the values, list without them.
    document("strongroom.v1.ReferenceService/ResolveReferences", &[Right::Read, Right::List]),
]);

const fn rpc(name: &'static str, rights: &'static [Right]) -> Rpc {
    Rpc { number: 0, name, rights, changes: false, weight: 1 }
}

/// An RPC that changes something.
const fn change(name: &'static str, rights: &'static [Right]) -> Rpc {
    Rpc { number: 0, name, rights, changes: true, weight: 1 }
}

/// An RPC whose request is a document. A field of it takes 9 bytes on the wire and up to 180 in memory.
const fn document(name: &'static str, rights: &'static [Right]) -> Rpc {
    Rpc { weight: 20, ..rpc(name, rights) }
}

/// Gives each RPC its number.
#[allow(clippy::indexing_slicing)] // the compiler runs it
const fn numbered<const N: usize>(mut rpcs: [Rpc; N]) -> [Rpc; N] {
    let mut number = 0;
    while number < N {
        rpcs[number].number = number;
        number += 1;
    }
    rpcs
}

/// The names of all RPCs, in the order of their numbers.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|rpc| rpc.name)
}

/// The RPC of an HTTP path, such as `/strongroom.v1.SecretService/GetSecret`.
pub(in crate::api) fn of_path(path: &str) -> Option<&'static Rpc> {
    let name = path.strip_prefix('/')?;
    ALL.iter().find(|rpc| rpc.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;
    use crate::api::strongroom_v1::{SERVICES, proto};

    #[test]
    fn the_table_holds_every_rpc_of_the_proto_files_and_no_other() {
        let files = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
        let mut described = BTreeSet::new();
        let mut services = BTreeSet::new();
        for file in files.file.iter().filter(|file| file.package() == "strongroom.v1") {
            for service in &file.service {
                services.insert(format!("strongroom.v1.{}", service.name()));
                for method in &service.method {
                    described.insert(format!("strongroom.v1.{}/{}", service.name(), method.name()));
                }
            }
        }
        assert_eq!(described, ALL.iter().map(|rpc| rpc.name.to_owned()).collect());
        assert_eq!(services, SERVICES.map(str::to_owned).into());
    }

    #[test]
    fn the_rpcs_that_only_read_are_told_from_those_that_change_something() {
        let reads =
            ["Get", "BatchGet", "Find", "List", "Watch", "WhoAmI", "CreateBackup", "Resolve", "Explain"];
        for rpc in &ALL {
            let method = rpc.name.split('/').next_back().unwrap();
            assert_eq!(rpc.changes, !reads.iter().any(|read| method.starts_with(read)), "{method}");
        }
    }
}
