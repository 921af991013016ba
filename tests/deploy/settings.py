"""Checks that the server accepts the settings in deploy/, and that deploy/strongroom.toml has every setting.

    tests/deploy/settings.py BINARY

The server checks its settings before it opens its data folder. So a data folder that cannot be made shows that it has
accepted them: nothing is started.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deploy/strongroom.toml"
# No folder can be made here.
NOWHERE = "/dev/null/data"
SETTING = re.compile(r"#?([a-z_]+) = ")


def main() -> None:
    binary = sys.argv[1]
    text = EXAMPLE.read_text()

    accepts(binary, text, "as it is")
    blocks = commented_blocks(text)
    for first, last in blocks:
        lines = text.splitlines()
        for number in range(first, last):
            if SETTING.match(lines[number]) or lines[number].startswith("#[["):
                lines[number] = lines[number].removeprefix("#")
        alone = without_default_of(lines, first, last)
        accepts(binary, "\n".join(alone), f"with lines {first + 1} to {last}")

    for table in ("", "[limits]", "[audit]", "[history]", "[[quotas]]", "[[issuers]]"):
        known = settings_of(binary, table)
        shown = shown_in(text, table)
        if missing := known - shown:
            fail(f"{EXAMPLE.name} does not show these settings of {table or 'the top'}: {', '.join(sorted(missing))}")
        print(f"settings: {len(known)} settings of {table or 'the top'} are shown")

    accepts(binary, (ROOT / "deploy/kubernetes/base/strongroom.toml").read_text(), "of Kubernetes")
    print(f"settings: the server accepts the example, and each of its {len(blocks)} commented parts")


def commented_blocks(text: str) -> list[tuple[int, int]]:
    """The commented settings: lines that follow each other, with comments between them only in the tables of issuers and quotas."""
    blocks: list[tuple[int, int]] = []
    first = None
    in_list = False
    for number, line in enumerate([*text.splitlines(), ""]):
        setting = SETTING.match(line) is not None and line.startswith("#")
        if line.startswith("#[["):
            setting, in_list = True, True
        if setting and first is None:
            first = number
        elif first is not None and not setting and not (in_list and line.startswith("#")):
            blocks.append((first, number))
            first, in_list = None, False
    return blocks


def without_default_of(lines: list[str], first: int, last: int) -> list[str]:
    """The lines without the other lines that set the same in the same table."""
    own = {SETTING.match(line)[1] for line in lines[first:last] if SETTING.match(line)}
    if any(line.startswith("[[") for line in lines[first:last]):
        return lines
    return [
        line
        for number, line in enumerate(lines)
        if first <= number < last or line.startswith("#") or not (SETTING.match(line) and SETTING.match(line)[1] in own)
    ]


def accepts(binary: str, settings: str, which: str) -> None:
    """Fails unless the server comes as far as its data folder."""
    said = serve(binary, settings, "--data-dir", NOWHERE)
    if NOWHERE not in said:
        fail(f"the server refuses the settings {which}: {said}")


def settings_of(binary: str, table: str) -> set[str]:
    """The settings that the server knows in a table: it lists them when it refuses one that it does not know."""
    said = serve(binary, f"{table}\nno_such_setting = 1\n")
    expected = said.split("expected", 1)
    if len(expected) != 2:
        fail(f"the server does not list the settings of {table}: {said}")
    return set(re.findall(r"`([a-z_]+)`", expected[1]))


def shown_in(text: str, table: str) -> set[str]:
    """The names in a table of the example, set or commented."""
    shown: set[str] = set()
    current = ""
    for line in text.splitlines():
        bare = line.removeprefix("#")
        if re.fullmatch(r"\[+[a-z]+\]+", bare):
            current = bare
            if table == "":
                shown.add(bare.strip("[]"))
        elif current == table and SETTING.match(line):
            shown.add(SETTING.match(line)[1])
    return shown


def serve(binary: str, settings: str, *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "strongroom.toml"
        file.write_text(settings)
        command = [binary, "serve", "--config", str(file), *arguments]
        # As systemd sets it for a service with credentials.
        environment = {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": folder}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    if done.returncode == 0:
        fail("the server started")
    return done.stdout + done.stderr


def fail(message: str) -> None:
    sys.exit(f"settings: {message}")


main()
