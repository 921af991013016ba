"""Makes the certificates, the key set and the tokens of one run, with openssl.

`make` is called once for each run. Everything it makes is in one folder, which is removed with the run.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path

ISSUER = "https://issuer.conformance.example"
AUDIENCE = "strongroom"

_CONFIG = """
[req]
distinguished_name = subject
prompt = no
[subject]
CN = Strongroom conformance
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, IP:{host}, DNS:localhost
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = URI:spiffe://conformance/client
authorityKeyIdentifier = keyid
[ca]
default_ca = issue
[issue]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
rand_serial = yes
[any]
commonName = supplied
"""


class Certificates:
    """The files of one run: `ca`, `other-ca`, `server`, `expired`, `client` as `.pem` and `.key`, and `jwks.json`."""

    def __init__(self, folder: Path, host: str) -> None:
        """Makes all of them in `folder`, for a server at `host`."""
        self.folder = folder
        (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder, host=host))
        (folder / "index.txt").touch()
        now = int(time.time())
        self._authority("ca")
        self._authority("other-ca")
        self._leaf("server", "server", now - 3600, now + 86400)
        self._leaf("expired", "server", now - 86400, now - 3600)
        self._leaf("client", "client", now - 3600, now + 86400)
        self._openssl("genrsa", "-out", "issuer.key", "2048")
        self._key_set()

    def path(self, name: str) -> str:
        """Returns the path of one of the files."""
        return str(self.folder / name)

    def token(self, subject: str) -> str:
        """Returns a signed token (JWT, RS256) for the subject. It works for an hour."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600}
        signed = f"{_segment({'alg': 'RS256', 'typ': 'JWT', 'kid': 'conformance'})}.{_segment(claims)}"
        signature = self._openssl("dgst", "-sha256", "-sign", "issuer.key", stdin=signed.encode())
        return f"{signed}.{_base64url(signature)}"

    def _key_set(self) -> None:
        modulus = self._openssl("rsa", "-in", "issuer.key", "-noout", "-modulus").decode().strip().partition("=")[2]
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "conformance"}
        key.update(n=_base64url(bytes.fromhex(modulus)), e="AQAB")
        (self.folder / "jwks.json").write_text(json.dumps({"keys": [key]}))

    def _authority(self, name: str) -> None:
        self._request(name, "-x509", "-days", "2", "-extensions", "authority", out=f"{name}.pem")

    def _leaf(self, name: str, kind: str, begin: int, end: int) -> None:
        self._request(name, out=f"{name}.csr")
        # `openssl ca` is the command that sets both times in every release of openssl.
        self._openssl(
            "ca", "-config", "openssl.cnf", "-batch", "-notext", "-cert", "ca.pem", "-keyfile", "ca.key",
            "-startdate", _utc(begin), "-enddate", _utc(end), "-extensions", kind,
            "-in", f"{name}.csr", "-out", f"{name}.pem",
        )  # fmt: skip

    def _request(self, name: str, *arguments: str, out: str) -> None:
        self._openssl(
            "req", "-config", "openssl.cnf", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", out, *arguments,
        )  # fmt: skip

    def _openssl(self, *arguments: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, input=stdin, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout


def _utc(seconds: int) -> str:
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


def _segment(value: object) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
