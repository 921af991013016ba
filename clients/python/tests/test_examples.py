"""The programs of the folder `examples`, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import Server

EXAMPLES = Path(__file__).parent.parent / "examples"

PRINTED = {
    "cache": ["1", "1", "2 fresh"],
    "quickstart": ["1", "quickstart 2", "SECRET_NOT_FOUND"],
    "resolve": ["resolve_example True", "orders True"],
    "watch": [
        "snapshot watch_example 1",
        "rotated watch_example 2",
        "renamed watch_renamed 2",
        "deleted watch_renamed 2",
    ],
}


def test_every_example_is_run() -> None:
    assert sorted(PRINTED) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("server", ["live"], indirect=True)
@pytest.mark.parametrize("name", PRINTED)
def test_an_example(name: str, server: Server) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    environment.update(
        STRONGROOM_SERVER=server.address,
        STRONGROOM_API_KEY=server.root_key,
        STRONGROOM_NAMESPACE=server.namespace,
        STRONGROOM_CA_CERT=server.ca_cert or "",
    )
    ran = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.splitlines(), ran.returncode) == (PRINTED[name], 0), ran.stderr
