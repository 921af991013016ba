"""The runner of one language: a child process that makes the calls, one line for each step and one for its reply."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

# A bound for a runner that hangs; a healthy one needs a fraction of it.
_REPLY_SECONDS = 120


class RunnerFailed(Exception):
    """The runner ended, hangs, or broke the protocol. No further step can be made."""


class Runner:
    """One running runner."""

    def __init__(self, command: list[str], folder: Path) -> None:
        """Starts it in `folder`."""
        self._errors = folder
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, step: str, action: str, arguments: dict[str, Any]) -> None:
        """Sends one step."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"step": step, "action": action, "args": arguments}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise RunnerFailed(f"the runner has ended ({error})") from None

    def reply(self, step: str) -> dict[str, Any]:
        """Waits for the reply to the step that was sent."""
        try:
            line = self._lines.get(timeout=_REPLY_SECONDS)
        except queue.Empty:
            raise RunnerFailed(f"the runner did not answer within {_REPLY_SECONDS} s") from None
        if line is None:
            raise RunnerFailed(f"the runner ended with status {self._process.wait()}")
        try:
            reply = json.loads(line)
        except ValueError:
            raise RunnerFailed(f"the runner wrote a line that is not JSON: {line.rstrip()[:200]}") from None
        if not isinstance(reply, dict) or reply.get("step") != step:
            raise RunnerFailed(f"the runner answered another step: {line.rstrip()[:200]}")
        return reply

    def end(self) -> str | None:
        """Closes the runner's standard input, and waits for its end. Returns what was wrong with that; None: nothing."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:
            pass
        try:
            status = self._process.wait(_REPLY_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "the runner did not end when its standard input ended"
        return None if status == 0 else f"the runner ended with status {status}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)
