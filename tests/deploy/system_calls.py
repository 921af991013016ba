"""Checks that the systemd unit allows each system call that the server makes.

    tests/deploy/system_calls.py BINARY

It traces a server with strace, while the server is used: from its first start to its end. It compares the calls with the
unit's SystemCallFilter, whose sets systemd-analyze lists.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

UNIT = Path(__file__).resolve().parents[2] / "deploy/systemd/strongroom.service"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = calls_of(sys.argv[1], Path(folder))
    allowed = allowed_calls()
    if forbidden := made - allowed:
        sys.exit(f"system calls: the unit forbids {', '.join(sorted(forbidden))}, which the server makes")
    print(f"system calls: the unit allows the {len(made)} that the server makes")


def calls_of(binary: str, folder: Path) -> set[str]:
    trace, data = folder / "trace", folder / "data"
    environment = {"PATH": os.environ["PATH"]}
    serve = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data)]
    with subprocess.Popen(
        ["strace", "-f", "-qq", "-o", str(trace), *serve],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    ) as server:
        try:
            said = next((line for line in server.stdout if "ready on" in line), "")
            address = re.search(r"http://(\S+)", said)
            if not address:
                sys.exit("system calls: the server does not start below strace")
            client = environment | {"STRONGROOM_SERVER": address[1], "STRONGROOM_API_KEY_FILE": str(data / "root.key")}
            backup = str(folder / "backup")
            for command in (
                ["create", "one", "--generate", "uuid"],
                ["get", "one"],
                ["rotate", "one", "--generate", "uuid"],
                ["audit", "list"],
                ["master-key", "rotate"],
                ["backup", backup],
                ["restore", backup, "--yes"],
                ["status"],
            ):
                subprocess.run([binary, *command], env=client, check=True, capture_output=True, timeout=120)
            pid = int((data / "strongroom.lock").read_text())
            os.kill(pid, signal.SIGHUP)
            subprocess.run([binary, "get", "one"], env=client, check=True, capture_output=True, timeout=120)
            os.kill(pid, signal.SIGTERM)
            if server.wait(timeout=120) != 0:
                sys.exit("system calls: the server ended with a failure")
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
    return set(re.findall(r"^\d+ +([a-z0-9_]+)\(", trace.read_text(), re.MULTILINE))


def allowed_calls() -> set[str]:
    listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], check=True, capture_output=True, text=True)
    sets: dict[str, list[str]] = {}
    for line in listed.stdout.splitlines():
        if line.startswith("@"):
            members = sets.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.append(line.strip())

    def expand(name: str) -> set[str]:
        return set().union(*map(expand, sets[name])) if name.startswith("@") else {name}

    allowed: set[str] = set()
    for filter_line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        names = set().union(*map(expand, filter_line.removeprefix("~").split()))
        allowed = allowed - names if filter_line.startswith("~") else allowed | names
    return allowed


main()
