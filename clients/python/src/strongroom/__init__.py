"""The Python client of Strongroom, the self-hosted secrets service: sync and async.

    from strongroom import Strongroom

    with Strongroom(api_key="srk_…", server="127.0.0.1:50051") as client:
        client.secrets.create(name="stripe_api_key", value="sk_test_…")
        print(client.secrets.get(name="stripe_api_key").value)

`strongroom.models` has the results of the calls, `strongroom.exceptions` has the errors, and `strongroom.generate` has
the ways in which the server can generate a value.
"""

from strongroom import exceptions, generate
from strongroom._arguments import NOT_GIVEN, NotGiven
from strongroom._retry import RetryPolicy
from strongroom._token import AsyncTokenSource, Token, TokenSource
from strongroom._version import __version__
from strongroom.aio import AsyncStrongroom
from strongroom.client import Strongroom
from strongroom.exceptions import StrongroomError
from strongroom.models import (
    ENCRYPTED,
    AcknowledgedVersion,
    ApiKey,
    AuditNames,
    AuditPage,
    AuditRecord,
    BatchItem,
    Binding,
    CachedSecret,
    ChangedVersion,
    Checkpoint,
    ClaimedRotation,
    ConsistencyProof,
    Consumer,
    CreatedApiKey,
    Credential,
    DeletedSecret,
    DestroyedVersion,
    DestructionReceipt,
    Explanation,
    Identity,
    InclusionProof,
    Namespace,
    NamespacePage,
    Reference,
    ResolvedDocument,
    Role,
    RotationClaim,
    RotationFailure,
    RotationPolicy,
    Secret,
    SecretBatch,
    SecretEvent,
    SecretPage,
    SecretVersion,
    SecretVersions,
)

__all__ = [
    "ENCRYPTED",
    "NOT_GIVEN",
    "AcknowledgedVersion",
    "ApiKey",
    "AsyncStrongroom",
    "AsyncTokenSource",
    "AuditNames",
    "AuditPage",
    "AuditRecord",
    "BatchItem",
    "Binding",
    "CachedSecret",
    "ChangedVersion",
    "Checkpoint",
    "ClaimedRotation",
    "ConsistencyProof",
    "Consumer",
    "CreatedApiKey",
    "Credential",
    "DeletedSecret",
    "DestroyedVersion",
    "DestructionReceipt",
    "Explanation",
    "Identity",
    "InclusionProof",
    "Namespace",
    "NamespacePage",
    "NotGiven",
    "Reference",
    "ResolvedDocument",
    "RetryPolicy",
    "Role",
    "RotationClaim",
    "RotationFailure",
    "RotationPolicy",
    "Secret",
    "SecretBatch",
    "SecretEvent",
    "SecretPage",
    "SecretVersion",
    "SecretVersions",
    "Strongroom",
    "StrongroomError",
    "Token",
    "TokenSource",
    "__version__",
    "exceptions",
    "generate",
]
