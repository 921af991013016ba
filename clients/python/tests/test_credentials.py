"""Credentials from files, which are read again, and client certificates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from both import done
from fake import ROOT_KEY, Fake, serving
from servers import Server

from strongroom import RetryPolicy
from strongroom.exceptions import AuthenticationError, ValidationError

OTHER = "x" * len(ROOT_KEY)


def replace(file: Path, text: str) -> None:
    """Replaces a file in one step."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


@pytest.mark.parametrize("argument", ["api_key_file", "token_file"])
async def test_a_file_is_read_again_when_it_changes(
    kind: Any, fake_server: Server, tmp_path: Path, argument: str
) -> None:
    file = tmp_path / "credential"
    file.write_text(f"{ROOT_KEY}\n")
    client = kind(server=fake_server.address, **{argument: file})
    assert (await done(client.whoami())).api_key.root
    replace(file, OTHER)
    with pytest.raises(AuthenticationError):
        await done(client.whoami())
    replace(file, ROOT_KEY)
    assert (await done(client.whoami())).api_key.root
    assert ROOT_KEY not in repr(vars(client))
    await done(client.close())


async def test_a_file_that_is_not_there_for_a_while(kind: Any, fake_server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(ROOT_KEY)
    client = kind(server=fake_server.address, api_key_file=file)
    file.unlink()
    assert (await done(client.whoami())).api_key.root
    file.write_text("")
    assert (await done(client.whoami())).api_key.root
    await done(client.close())


async def test_a_refused_key_is_read_again_once(kind: Any, fake_server: Server, fake: Fake, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(OTHER)
    client = kind(server=fake_server.address, api_key_file=file, retry=RetryPolicy(attempts=1))
    with pytest.raises(AuthenticationError):
        await done(client.whoami())
    # The same file with the same size and time: only the refusal tells that it has another key.
    before = file.stat()
    file.write_text(ROOT_KEY)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (await done(client.whoami())).api_key.root
    await done(client.close())


async def test_a_client_certificate_alone(
    kind: Any, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_API_KEY", ROOT_KEY)
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    server, own = authority.issue_cert("localhost"), authority.issue_cert("client")
    own.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    credentials = grpc.ssl_server_credentials(
        [(server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())], ca.read_bytes(), True
    )
    pair = {"client_cert": tmp_path / "cert.pem", "client_key": tmp_path / "key.pem"}
    with serving(fake, credentials) as port:
        address = f"https://localhost:{port}"
        client = kind(server=address, ca_cert=ca, **pair)
        # The connection stands, and the fake, which knows no certificates, says that no key came with the call.
        with pytest.raises(AuthenticationError):
            await done(client.whoami())
        await done(client.close())
        both = kind(ROOT_KEY, server=address, ca_cert=ca, **pair)
        assert (await done(both.whoami())).api_key.root
        await done(both.close())


async def test_credentials_that_do_not_go_together(kind: Any, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("srk_canary canary")
    for given, message in (
        ({"api_key": "srk_k", "api_key_file": file}, "only credential"),
        ({"api_key_file": file}, "api_key_file: must be printable"),
        ({"token_file": tmp_path / "none"}, "token_file: cannot read"),
        ({"client_cert": file}, "belong together"),
        ({"client_cert": file, "client_key": file, "server": "http://localhost:1"}, "plaintext"),
    ):
        with pytest.raises(ValidationError, match=message) as caught:
            kind(**given)
        assert "canary" not in str(caught.value)


class Witness(Fake):
    """A fake that notes the certificate of each caller."""

    def __init__(self) -> None:
        super().__init__()
        self.callers: list[str] = []

    def WhoAmI(self, request: Any, context: Any) -> Any:
        self.callers += [name.decode() for name in context.auth_context()["x509_common_name"]]
        return super().WhoAmI(request, context)


async def test_a_client_certificate_is_renewed(kind: Any, tmp_path: Path) -> None:
    authority, fake = trustme.CA(), Witness()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())], (tmp_path / "ca.pem").read_bytes(), True
    )
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    owns = {name: authority.issue_cert("client", common_name=name) for name in ("first", "second", "third")}

    async def called_by(name: str) -> None:
        assert (await done(client.whoami())).api_key.root
        assert fake.callers[-1] == name

    replace(certificate, owns["first"].cert_chain_pems[0].bytes().decode())
    replace(key, owns["first"].private_key_pem.bytes().decode())
    with serving(fake, credentials) as port:
        pair = {"client_cert": certificate, "client_key": key}
        client = kind(ROOT_KEY, server=f"https://localhost:{port}", ca_cert=tmp_path / "ca.pem", **pair)
        await called_by("first")
        for name in ("second", "third"):
            before = fake.callers[-1]
            replace(certificate, owns[name].cert_chain_pems[0].bytes().decode())
            # The two files are not replaced in one step.
            await called_by(before)
            replace(key, owns[name].private_key_pem.bytes().decode())
            await called_by(name)
        await done(client.close())
