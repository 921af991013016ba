"""Plays the steps of the scenario: makes the faults, sends the calls to the runner, and compares its replies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from driver.compare import differences, leaks, substitute, values_in
from driver.runner import Runner, RunnerFailed
from driver.server import Server
from driver.stand_ins import DeadAddress, OldServer
from driver.stand_ins import Path as WayIn

NAMESPACE = "conformance"

# How long a step with `until` waits for its expectation. It is met much sooner on a healthy server.
_PATIENCE_SECONDS = 120
_PAUSE_SECONDS = 0.05


class Play:
    """One run of the scenario against one server."""

    def __init__(self, server: Server, folder: Path, steps: list[dict[str, Any]]) -> None:
        """Makes the credentials and the stand-ins. The server is running."""
        self._server = server
        self._steps = steps
        self._dead = DeadAddress()
        self._path = WayIn(server.address)
        self._old = OldServer()
        path = server.certificates.path
        self._files = {name: folder / name for name in ("key_file", "token_file")}
        self.variables: dict[str, Any] = {
            "server": f"https://{server.address}", "host": server.address,
            "dead": f"https://{self._dead.address}", "dead_host": self._dead.address,
            "path": f"https://{self._path.address}",
            "old": f"http://{self._old.address}", "old_host": self._old.address,
            "ca": path("ca.pem"), "other_ca": path("other-ca.pem"),
            "client_cert": path("client.pem"), "client_key": path("client.key"),
            "alice_token": server.certificates.token("alice"), "bob_token": server.certificates.token("bob"),
            "root_key": server.root_key(),
        }  # fmt: skip
        self.variables.update({name: str(file) for name, file in self._files.items()})
        self._make_key("team", "editor", NAMESPACE)
        self._make_key("revocable", "reader", NAMESPACE)
        self._make_key("restricted", "reader", f"{NAMESPACE}/db_*")
        self._make_key("expired", "reader", NAMESPACE, "--ttl", "1s")
        for principal in ("cert:spiffe://conformance/client", "jwt:conformance:alice", "jwt:conformance:bob"):
            server.cli("binding", "add", "--principal", principal, "--role", "reader", "--on", NAMESPACE)
        self._await_expiry(folder)
        self._values = {text for name, text in self.variables.items() if name.endswith(("_key", "_token"))}
        self._values -= {self.variables["client_key"]}

    def through(self, runner: Runner) -> dict[str, str]:
        """Plays all steps. Returns the outcome of each that was made: an empty text, or what differs."""
        outcomes: dict[str, str] = {}
        for step in self._steps:
            try:
                outcomes[step["id"]] = self._make(step, runner)
            except KeyError as missing:
                outcomes[step["id"]] = f"needs {missing}, which an earlier step that failed would have saved"
            except RuntimeError as failure:
                outcomes[step["id"]] = f"the fault cannot be made: {failure}"
            except RunnerFailed as failure:
                outcomes[step["id"]] = str(failure)
                break
        return outcomes

    def _make(self, step: dict[str, Any], runner: Runner) -> str:
        if "fault" in step:
            self._fault(substitute(step["fault"], self.variables))
            return ""
        arguments = substitute(step.get("args", {}), self.variables)
        self._values |= values_in(arguments)
        end = time.monotonic() + (_PATIENCE_SECONDS if step.get("until") else 0)
        while True:
            runner.send(step["id"], step["action"], arguments)
            if "meanwhile" in step:
                self._fault(substitute(step["meanwhile"], self.variables))
            reply = runner.reply(step["id"])
            self._values |= values_in(reply.get("ok"))
            shown = leaks(reply, self._values)
            found = differences(substitute(step["expect"], self.variables), reply) + shown
            if not found:
                self.variables.update({variable: reply["ok"][field] for variable, field in step.get("save", {}).items()})
                return ""
            if shown or time.monotonic() >= end:
                return "; ".join(found)
            time.sleep(_PAUSE_SECONDS)

    def _fault(self, fault: dict[str, Any]) -> None:
        kind, argument = next(iter(fault.items()))
        if kind == "server":
            for act in argument:
                {"stop": self._server.stop, "kill": self._server.kill, "start": self._server.start}[act]()
        elif kind == "certificate":
            self._server.use_certificate(argument)
        elif kind == "path":
            {"cut": self._path.cut, "mend": self._path.mend}[argument]()
        elif kind == "write":
            replacement = self._files[argument["file"]].with_suffix(".new")
            replacement.write_text(argument["text"] + "\n")
            replacement.chmod(0o600)
            replacement.replace(self._files[argument["file"]])
        elif kind == "cli":
            self._server.cli(*argument)
        else:
            raise ValueError(f"the scenario uses an unknown fault: {kind}")

    def _make_key(self, name: str, role: str, on: str, *arguments: str) -> None:
        made = self._server.cli("key", "create", name, "--role", role, "--on", on, "--home", NAMESPACE, "--key-only", *arguments)
        key = made.stdout.strip()
        self.variables[f"{name}_key"] = key
        self.variables[f"{name}_id"] = key.split("_")[1]

    def _await_expiry(self, folder: Path) -> None:
        file = folder / "expired.key"
        file.write_text(self.variables["expired_key"] + "\n")
        file.chmod(0o600)
        end = time.monotonic() + _PATIENCE_SECONDS
        while "expired" not in self._server.cli("whoami", key=str(file), check=False).stderr:
            if time.monotonic() >= end:
                raise RuntimeError("a key with a life of one second does not expire")
            time.sleep(_PAUSE_SECONDS)
