"""The calls of the guide that this package follows, in the order of the guide.

Only the import, the name of the class and the API key differ from the guide.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import pytest
from servers import Server

import strongroom
from strongroom import Strongroom
from strongroom.exceptions import SecretAlreadyExistsError, SecretNotFoundError, ValidationError


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The guide passes only the API key to the client; all other settings come from the environment."""
    monkeypatch.setenv("STRONGROOM_SERVER", server.address)
    monkeypatch.setenv("STRONGROOM_NAMESPACE", server.namespace)
    if server.ca_cert:
        monkeypatch.setenv("STRONGROOM_CA_CERT", server.ca_cert)
    with Strongroom(api_key=server.root_key) as made:
        yield made


def rotate_secret(client, secret_name, new_value):  # type: ignore[no-untyped-def]
    temp_name = f"{secret_name}_rotation_{uuid.uuid4().hex[:8]}"

    client.secrets.create(
        name=temp_name,
        value=new_value,
        description=f"Temporary rotation for {secret_name}",
        metadata={"rotation_date": datetime.now().isoformat()},
    )

    old_secret = client.secrets.get(name=secret_name)
    old_metadata = old_secret.metadata or {}
    old_metadata.update({"archived": "true", "replaced_by": temp_name, "archived_date": datetime.now().isoformat()})

    client.secrets.update(name=secret_name, metadata=old_metadata)

    client.secrets.delete(name=secret_name)
    client.secrets.update(
        name=temp_name,
        new_name=secret_name,
        description=old_secret.description,
        metadata={"last_rotated": datetime.now().isoformat()},
    )

    return client.secrets.get(name=secret_name)


def test_from_authentication_to_error_handling(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    secret = client.secrets.create(
        name="stripe_api_key",
        value="sk_test_...",
        description="Stripe API key for payment processing",
        metadata={"environment": "production", "owner": "payments-team"},
    )
    print(f"Created secret: {secret.name}")
    assert secret.value == "ENCRYPTED"

    secrets = client.secrets.list()
    for secret in secrets.items:
        print(f"{secret.name}: {secret.description}")
        assert secret.value == "ENCRYPTED"

    secrets_page_1 = client.secrets.list(limit=10, offset=0)
    secrets_page_2 = client.secrets.list(limit=10, offset=10)
    assert [len(page.items) for page in (secrets_page_1, secrets_page_2)] == [1, 0]

    production_secrets = client.secrets.list(metadata={"environment": "production"})
    team_secrets = client.secrets.list(metadata={"environment": "production", "owner": "payments-team"})
    assert production_secrets.items == team_secrets.items == secrets.items

    secret = client.secrets.get(name="stripe_api_key")
    print(f"Secret: {secret.name}, Created: {secret.created_at}")
    print(f"Secret value: {secret.value}")
    created_at = secret.created_at

    updated_secret = client.secrets.update(
        name="stripe_api_key",
        value="sk_test_new_value...",
        description="Updated Stripe API key",
        metadata={"environment": "production", "owner": "payments-team", "rotated": "2025-05-10"},
    )
    print(f"Updated secret: {updated_secret.name}")

    updated_secret = client.secrets.update(name="stripe_api_key", description="New description for Stripe API key")
    assert updated_secret.metadata == {
        "environment": "production",
        "owner": "payments-team",
        "rotated": "2025-05-10",
    }

    updated_secret = client.secrets.update(name="stripe_api_key", metadata={"last_rotated": "2025-05-10"})
    assert updated_secret.metadata == {"last_rotated": "2025-05-10"}
    assert updated_secret.description == "New description for Stripe API key"
    assert client.secrets.get(name="stripe_api_key").value == "sk_test_new_value..."

    client.secrets.delete(name="stripe_api_key")
    print("Secret deleted")

    try:
        secret = client.secrets.get(name="non_existent_secret")
    except SecretNotFoundError:
        print("Secret not found")

    try:
        secret = client.secrets.create(name="invalid name", value="test")
    except ValidationError as e:
        print(f"Validation error: {e}")

    client.secrets.create(name="existing_secret", value="the first")
    try:
        secret = client.secrets.create(name="existing_secret", value="test")
    except SecretAlreadyExistsError:
        print("Secret already exists")

    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "Created secret: stripe_api_key",
        "stripe_api_key: Stripe API key for payment processing",
        f"Secret: stripe_api_key, Created: {created_at}",
        "Secret value: sk_test_...",
        "Updated secret: stripe_api_key",
        "Secret deleted",
    ]
    assert lines[6] == "Secret not found"
    assert lines[7].startswith("Validation error: ")
    assert "name" in "\n".join(lines[7:-1])
    assert lines[-1] == "Secret already exists"


@pytest.mark.parametrize("described", [True, False])
def test_the_rotation_example(client: Any, described: bool, capsys: pytest.CaptureFixture[str]) -> None:
    given: dict[str, Any] = {"description": "For payments", "metadata": {"owner": "payments"}} if described else {}
    client.secrets.create(name="stripe_api_key", value="sk_test_old", **given)

    new_key = "sk_test_new_value_after_rotation"
    rotated_secret = rotate_secret(client, "stripe_api_key", new_key)  # type: ignore[no-untyped-call]
    print(f"Rotated secret: {rotated_secret.name}")

    assert capsys.readouterr().out == "Rotated secret: stripe_api_key\n"
    assert rotated_secret.value == new_key
    assert rotated_secret.description == given.get("description", "")
    assert list(rotated_secret.metadata) == ["last_rotated"]
    assert [secret.name for secret in client.secrets.list().items] == ["stripe_api_key"]


def test_the_same_in_one_step(client: Any) -> None:
    made = client.secrets.create(name="stripe_api_key", value="sk_test_old", description="For payments")
    rotated = client.secrets.rotate(name="stripe_api_key", value="sk_test_new")
    assert (rotated.id, rotated.description, rotated.version) == (made.id, "For payments", 2)
    assert client.secrets.get(name="stripe_api_key").value == "sk_test_new"


def test_the_names_the_guide_imports() -> None:
    assert {"SecretNotFoundError", "SecretAlreadyExistsError", "ValidationError"} <= set(strongroom.exceptions.__all__)
