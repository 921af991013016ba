"""Writes the software bill of materials of the server as CycloneDX 1.6 JSON (ECMA-424): each crate that is built into it,
with its version, licence, checksum and dependencies, for the platform that this runs on.

    deploy/dist/sbom.py FILE

It reads what cargo knows: `cargo metadata` and the checksums of Cargo.lock. The same commit gives the same file.
"""

import json
import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={platform()}"))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    [server] = [id for id in metadata["workspace_members"] if packages[id]["name"] == "strongroom"]
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in lock["package"]}

    built = built_into(server, nodes)
    others = sorted((packages[id] for id in built if id != server), key=lambda package: (package["name"], package["version"]))
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, json.dumps([package['id'] for package in others]))}",
        "version": 1,
        "metadata": {
            "timestamp": made_at(),
            "component": component(packages[server], checksums) | {"type": "application"},
        },
        "components": [component(package, checksums) for package in others],
        "dependencies": [
            {
                "ref": reference(packages[id]),
                "dependsOn": sorted(reference(packages[other]) for other in normal(nodes[id])),
            }
            for id in sorted(built, key=lambda id: reference(packages[id]))
        ],
    }
    Path(sys.argv[1]).write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n")


def built_into(server: str, nodes: dict) -> set[str]:
    """The crates that the server needs when it runs: not those for builds and tests alone."""
    built, waiting = set(), [server]
    while waiting:
        id = waiting.pop()
        if id not in built:
            built.add(id)
            waiting.extend(normal(nodes[id]))
    return built


def normal(node: dict) -> set[str]:
    return {need["pkg"] for need in node["deps"] if any(kind["kind"] is None for kind in need["dep_kinds"])}


def component(package: dict, checksums: dict) -> dict:
    made = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        # Old crates write `/` for OR.
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((package["name"], package["version"])):
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def reference(package: dict) -> str:
    """The package URL (purl) of a crate."""
    return f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"


def made_at() -> str:
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct")
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def platform() -> str:
    [host] = [line for line in run("rustc", "-vV").splitlines() if line.startswith("host: ")]
    return host.removeprefix("host: ")


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


main()
