"""TLS with the CA of the test, and without that CA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from both import done
from fake import ROOT_KEY, Fake, serving

from strongroom import RetryPolicy
from strongroom._channel import _system_roots
from strongroom.exceptions import UnavailableError


@pytest.fixture
def ca(tmp_path: Path) -> tuple[Path, grpc.ServerCredentials]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return tmp_path / "ca.pem", grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])


@pytest.mark.parametrize("form", ["https://localhost:{}", "127.0.0.1:{}"])
async def test_with_its_ca(kind: Any, fake: Fake, ca: tuple[Path, Any], form: str) -> None:
    with serving(fake, ca[1]) as port:
        client = kind(ROOT_KEY, server=form.format(port), ca_cert=ca[0])
        assert (await done(client.whoami())).api_key.root
        await done(client.close())


async def test_without_its_ca(kind: Any, fake: Fake, ca: tuple[Path, Any]) -> None:
    with serving(fake, ca[1]) as port:
        client = kind(ROOT_KEY, server=f"https://localhost:{port}", retry=RetryPolicy(attempts=1))
        with pytest.raises(UnavailableError):
            await done(client.whoami())
        await done(client.close())
    assert fake.requests == []


def test_the_systems_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca: tuple[Path, Any]) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca[0]))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    roots = _system_roots()
    assert roots is not None
    assert roots.count(b"BEGIN CERTIFICATE") == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    assert _system_roots() is None
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "one.pem").write_bytes(ca[0].read_bytes())
    (folder / "link.0").symlink_to(folder / "one.pem")
    (folder / "dangling.0").symlink_to(folder / "none")
    (folder / "README").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    roots = _system_roots()
    assert roots is not None
    assert roots.count(b"BEGIN CERTIFICATE") == 1
