"""Checks a software bill of materials against the schema of CycloneDX 1.6, and that it has what is built in and no more.

    tests/deploy/sbom.py FILE
"""

import json
import sys
from importlib.resources import files
from pathlib import Path

from jsonschema import Draft7Validator
from referencing import Registry, Resource

SCHEMAS = files("cyclonedx") / "schema/_res"
NAMES = ("bom-1.6.SNAPSHOT.schema.json", "spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")


def main() -> None:
    bill = json.loads(Path(sys.argv[1]).read_text())
    schemas = [json.loads((SCHEMAS / name).read_text()) for name in NAMES]
    registry = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in schemas)
    Draft7Validator(schemas[0], registry=registry).validate(bill)

    crates = {crate["name"] for crate in bill["components"]}
    check({"sled", "ring", "tokio", "tonic", "strongroom-client", "strongroom-allocator"} <= crates, "what is built in is listed")
    check(not {"trycmd", "proptest", "protox", "tonic-prost-build"} & crates, "what only builds and tests need is not listed")
    references = {crate["bom-ref"] for crate in [*bill["components"], bill["metadata"]["component"]]}
    needs = {need for one in bill["dependencies"] for need in [one["ref"], *one["dependsOn"]]}
    check(needs == references, "each crate is listed once, with its dependencies")
    from_registry = [crate for crate in bill["components"] if not crate["name"].startswith("strongroom")]
    check(all(crate.get("hashes") and crate.get("licenses") for crate in from_registry), "crates have checksums and licences")
    print(f"sbom: {len(bill['components'])} crates, valid against the schema of CycloneDX 1.6")


def check(holds: object, what: str) -> None:
    if not holds:
        sys.exit(f"sbom: this does not hold: {what}")


main()
