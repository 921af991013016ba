"""The settings that a client takes from its arguments and from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from strongroom import AsyncStrongroom, Strongroom
from strongroom._settings import Settings
from strongroom.exceptions import AuthenticationError, ConfigurationError, ValidationError


def resolve(environ: dict[str, str] | None = None, **arguments: Any) -> Settings:
    given: dict[str, Any] = {"api_key": "srk_k", "server": None, "namespace": None, "ca_cert": None, "timeout": 30.0}
    return Settings.resolve(**{**given, **arguments}, environ=environ or {})


@pytest.mark.parametrize(
    ("server", "address", "tls"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051", False),
        ("localhost:1", "localhost:1", False),
        ("127.8.9.10:1", "127.8.9.10:1", False),
        ("[::1]:50051", "[::1]:50051", False),
        ("10.0.0.1:50051", "10.0.0.1:50051", True),
        ("[2001:db8::1]:50051", "[2001:db8::1]:50051", True),
        ("secrets.example:443", "secrets.example:443", True),
        ("localhost.example:443", "localhost.example:443", True),
        ("HTTP://LOCALHOST:1/", "LOCALHOST:1", False),
        ("LocalHost", "LocalHost:50051", False),
        ("127.0.0.1", "127.0.0.1:50051", False),
        ("[::1]", "[::1]:50051", False),
        ("http://[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]:50051", False),
        ("hTTpS://secrets.example", "secrets.example:50051", True),
        ("https://127.0.0.1:50051", "127.0.0.1:50051", True),
    ],
)
def test_where_plaintext_is_spoken(server: str, address: str, tls: bool) -> None:
    endpoint = resolve(server=server).endpoints[0]
    assert (str(endpoint), endpoint.tls) == (address, tls)


@pytest.mark.parametrize(
    "server",
    [
        "",
        ":50051",
        "localhost:",
        "127.0.0.1:99999",
        "[localhost]:1",
        "http://",
        "://localhost:1",
        "srk_secret_in_the_wrong_place",
        "eyJhbGciOiJFUzI1NiJ9.secret",
        "localhost:port",
        "localhost:0",
        "localhost:65536",
        "::1:50051",
        "ftp://localhost:1",
        "unix:/run/strongroom",
        "http://localhost:1/path",
        "http://localhost:1?x",
        "http://user:secret@localhost:1",
        "host name:1",
        "localhost:1\n",
        "localhost:1/",
    ],
)
def test_addresses_that_are_none(server: str) -> None:
    with pytest.raises(ValidationError) as caught:
        resolve(server=server)
    assert [v.field for v in caught.value.violations] == ["server"]
    assert "secret" not in str(caught.value)


def test_plaintext_to_another_machine_is_asked_for() -> None:
    for server in ("http://10.0.0.1:50051", "HTTP://secrets.example"):
        with pytest.raises(ValidationError, match="insecure_plaintext=True"):
            resolve(server=server)
        endpoint = resolve(server=server, insecure_plaintext=True).endpoints[0]
        assert (endpoint.port, endpoint.tls) == (50051, False)
    # The permission is no wish: without a scheme it is TLS.
    assert resolve(server="10.0.0.1", insecure_plaintext=True).endpoints[0].tls


def test_a_key_where_its_file_is_expected_is_not_shown() -> None:
    key = "srk_abcdefghijklmnop_canary_canary"
    with pytest.raises(ValidationError) as caught:
        resolve({"STRONGROOM_API_KEY_FILE": key}, api_key=None)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("kind", [Strongroom, AsyncStrongroom])
def test_a_client_that_was_not_set_up_has_a_repr(kind: Any) -> None:
    assert repr(kind.__new__(kind)) == f"{kind.__name__}(not set up)"


def test_the_defaults() -> None:
    settings = resolve()
    assert str(settings.endpoints[0]) == "127.0.0.1:50051"
    assert (settings.endpoints[0].tls, settings.namespace, settings.timeout) == (False, "", 30.0)


def test_the_environment_fills_in(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"certificates")
    environ = {
        "STRONGROOM_API_KEY": " srk_env \n",
        "STRONGROOM_SERVER": "localhost:1",
        "STRONGROOM_NAMESPACE": "team",
        "STRONGROOM_CA_CERT": str(ca),
    }
    settings = resolve(environ, api_key=None)
    assert (settings.api_key, str(settings.endpoints[0]), settings.namespace) == ("srk_env", "localhost:1", "team")
    # With a CA the client uses TLS, on this machine too.
    assert (settings.endpoints[0].tls, settings.ca_certificates) == (True, b"certificates")


def test_arguments_win(tmp_path: Path) -> None:
    environ = {
        "STRONGROOM_API_KEY": "srk_env",
        "STRONGROOM_SERVER": "localhost:1",
        "STRONGROOM_NAMESPACE": "team",
        "STRONGROOM_CA_CERT": str(tmp_path / "there is none"),
    }
    settings = resolve(environ, api_key="srk_arg", server="http://localhost:2", namespace="")
    assert (settings.api_key, str(settings.endpoints[0]), settings.namespace) == ("srk_arg", "localhost:2", "")
    assert (settings.endpoints[0].tls, settings.ca_certificates) == (False, None)


def test_an_empty_variable_is_an_absent_one() -> None:
    environ = dict.fromkeys(("STRONGROOM_SERVER", "STRONGROOM_NAMESPACE", "STRONGROOM_CA_CERT"), "")
    assert resolve(environ) == resolve()


def test_the_key_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("srk_file\n")
    environ = {"STRONGROOM_API_KEY_FILE": str(file), "STRONGROOM_API_KEY": ""}
    assert resolve(environ, api_key=None).api_key == "srk_file"
    environ["STRONGROOM_API_KEY"] = "srk_env"
    assert resolve(environ, api_key=None).api_key == "srk_env"
    assert resolve(environ, api_key="srk_arg").api_key == "srk_arg"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"STRONGROOM_API_KEY_FILE: cannot read .*none: No such file") as caught:
        resolve({"STRONGROOM_API_KEY_FILE": str(tmp_path / "none")}, api_key=None)
    assert caught.value.__context__ is None
    with pytest.raises(ValidationError, match="ca_cert: cannot read"):
        resolve(ca_cert=tmp_path / "none")


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_no_key(key: str | None) -> None:
    with pytest.raises(AuthenticationError, match="STRONGROOM_API_KEY_FILE") as caught:
        resolve(api_key=key)
    assert caught.value.reason == "CREDENTIAL_MISSING"


@pytest.mark.parametrize("key", ["srk_canary canary", "srk_canary\ncanary", "srk_canaré", "srk_canary\udc80"])
def test_a_key_that_cannot_be_sent_is_not_shown(key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        resolve(api_key=key)
    assert "canar" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_must_end(timeout: float) -> None:
    with pytest.raises(ValidationError, match="timeout"):
        resolve(timeout=timeout)


def test_a_ca_has_no_use_in_plaintext(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="ca_cert"):
        resolve(server="http://localhost:1", ca_cert=tmp_path / "ca.pem")


def test_wrong_types_are_type_errors() -> None:
    for argument in ("api_key", "server", "namespace", "timeout"):
        with pytest.raises(TypeError, match=argument):
            resolve(None, **{argument: b"canary"})


async def test_the_clients_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_API_KEY", "srk_canary")
    monkeypatch.setenv("STRONGROOM_SERVER", "secrets.example:443")
    monkeypatch.setenv("STRONGROOM_NAMESPACE", "team")
    with Strongroom() as client:
        assert repr(client) == "Strongroom(server='https://secrets.example:443', namespace='team')"
        assert "canary" not in repr(vars(client))
    async with AsyncStrongroom() as aio:
        assert repr(aio) == "AsyncStrongroom(server='https://secrets.example:443', namespace='team')"
    assert "canary" not in repr(resolve(api_key="srk_canary"))


def test_the_client_certificate_of_the_environment(tmp_path: Path) -> None:
    own = trustme.CA().issue_cert("client")
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "cert"))
    own.private_key_pem.write_to_path(str(tmp_path / "key"))
    environ = {
        "STRONGROOM_API_KEY": "srk_env",
        "STRONGROOM_CLIENT_CERT": str(tmp_path / "cert"),
        "STRONGROOM_CLIENT_KEY": str(tmp_path / "key"),
    }
    settings = resolve(environ, api_key=None)
    pair = (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())
    assert (settings.client_certificate, settings.api_key) == (pair, "")
    # With a client certificate the client uses TLS, on this machine too.
    assert settings.endpoints[0].tls
    # A credential that is passed wins.
    settings = resolve(environ, api_key="srk_arg")
    assert (settings.client_certificate, settings.api_key, settings.endpoints[0].tls) == (None, "srk_arg", False)
    with pytest.raises(ConfigurationError, match="belong together"):
        resolve({"STRONGROOM_CLIENT_CERT": environ["STRONGROOM_CLIENT_CERT"]}, api_key=None)
    # A key of another certificate, a file that has none, and one that is not there.
    trustme.CA().issue_cert("client").private_key_pem.write_to_path(str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match="belong together"):
        resolve(environ, api_key=None)
    (tmp_path / "key").write_text("canary")
    with pytest.raises(ConfigurationError, match="whole PEM") as caught:
        resolve(environ, api_key=None)
    assert "canary" not in str(caught.value)
    (tmp_path / "key").unlink()
    with pytest.raises(ConfigurationError, match="client_key: cannot read"):
        resolve(environ, api_key=None)


def test_a_setting_that_cannot_be_used_is_an_error_of_its_own() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(server="ftp://localhost")
    # No request was sent, so there is neither a code nor a reason.
    assert (caught.value.code, caught.value.reason) == (None, None)
