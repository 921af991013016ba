"""The live server of one run: starts it with TLS, stops it, starts it again on the same port, and operates it.

The server's own command line operates it (`cli`): keys, bindings, and changes that somebody else makes.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from driver.certificates import AUDIENCE, ISSUER, Certificates

_READY = re.compile(r"ready on https://(\S+?)/?\s*$")

# Bounds for a server that hangs; a healthy one needs a fraction of them.
_START_SECONDS = 60
_STOP_SECONDS = 60


def free_host() -> str:
    """Returns an address of this machine that nobody else uses, so that nobody takes the port of a server that is down.

    Linux has all addresses of 127.0.0.0/8. Elsewhere it is 127.0.0.1, where another program can take the port.
    """
    if sys.platform != "linux":
        return "127.0.0.1"
    return "127." + ".".join(str(random.randrange(1, 255)) for _ in range(3))


class Server:
    """One server with a data folder of its own."""

    def __init__(self, binary: str, folder: Path, host: str, certificates: Certificates) -> None:
        """Does not start it yet."""
        self._binary = binary
        self._folder = folder
        self.certificates = certificates
        self._process: subprocess.Popen[str] | None = None
        self._certificate = "server"
        self.address = f"{host}:0"
        self._config = folder / "strongroom.toml"
        self._config.write_text(
            f'[[issuers]]\nname = "conformance"\nissuer = "{ISSUER}"\naudiences = ["{AUDIENCE}"]\n'
            f'jwks_file = "{certificates.path("jwks.json")}"\n'
        )

    def start(self) -> None:
        """Starts the server, and returns when it is ready. A further start uses the port of the first."""
        log = (self._folder / "server.log").open("a")
        path = self.certificates.path
        self._process = subprocess.Popen(
            [
                self._binary, "serve", "--config", str(self._config),
                "--listen", self.address, "--data-dir", str(self._folder / "data"),
                "--tls-cert", path(f"{self._certificate}.pem"), "--tls-key", path(f"{self._certificate}.key"),
                "--tls-client-ca", path("ca.pem"),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment(),
        )  # fmt: skip
        log.close()
        overdue = threading.Timer(_START_SECONDS, self._process.kill)
        overdue.start()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            ready = _READY.search(line)
            if ready:
                overdue.cancel()
                self.address = ready[1]
                # What else it prints is read, so that it never blocks on a full pipe.
                threading.Thread(target=self._process.stdout.read, daemon=True).start()
                return
        overdue.cancel()
        raise RuntimeError(f"the server ended before it was ready; its log says:\n{self.log()}")

    def stop(self) -> None:
        """Stops the server, and returns when it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"the server did not end within {_STOP_SECONDS} s of SIGTERM") from None

    def kill(self) -> None:
        """Ends the server at once, as a power loss would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def use_certificate(self, name: str) -> None:
        """Says which certificate the next start uses: `server` or `expired`."""
        self._certificate = name

    def cli(self, *arguments: str, key: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command of the command line, with the root key unless `key` names the file of another."""
        environment = _environment()
        environment.update(
            STRONGROOM_SERVER=f"https://{self.address}",
            STRONGROOM_CA_CERT=self.certificates.path("ca.pem"),
            STRONGROOM_API_KEY_FILE=key or str(self._folder / "data" / "root.key"),
        )
        done = subprocess.run(
            [self._binary, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"strongroom {' '.join(arguments)} failed: {done.stderr}")
        return done

    def root_key(self) -> str:
        """Returns the text of the root key."""
        return (self._folder / "data" / "root.key").read_text().strip()

    def log(self) -> str:
        """Returns the last lines of the server's log."""
        return "\n".join((self._folder / "server.log").read_text().splitlines()[-20:])


def _environment() -> dict[str, str]:
    """The caller's environment without settings for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
