"""Verifies an audit log by the public formats alone: RFC 6962 for the tree, C2SP signed-note and tlog-checkpoint for the
checkpoints. It shares no code with Strongroom. Hashes come from the standard library; openssl checks the signatures.

    python3 audit_log.py FOLDER PUBLIC_KEY [CHECKPOINT...]
"""

import base64
import hashlib
import pathlib
import subprocess
import sys
import tempfile


def root(leaves):
    """MTH of RFC 6962, section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + root(leaves[:middle]) + root(leaves[middle:])).digest()


def is_signed(public_key, message, signature):
    """Ed25519 (RFC 8032), by openssl."""
    der = bytes.fromhex("302a300506032b6570032100") + public_key
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, name) for name in ("key", "message", "signature")]
        for path, content in zip(paths, (der, message, signature)):
            path.write_bytes(content)
        key, text, sig = map(str, paths)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", key, "-rawin"]
        return subprocess.run([*command, "-in", text, "-sigfile", sig], capture_output=True).returncode == 0


def opened(note, verifier_key):
    """The size and root of a checkpoint, which the key must have signed."""
    name, key_id, encoded = verifier_key.split("+", 2)
    algorithm, public_key = base64.b64decode(encoded)[:1], base64.b64decode(encoded)[1:]
    assert algorithm == b"\x01", "the key is not an Ed25519 key"
    expected_id = hashlib.sha256(name.encode() + b"\n" + algorithm + public_key).digest()[:4]
    assert expected_id.hex() == key_id, "the id of the key is wrong"
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if dash == "\u2014" and signer == name and signature[:4] == expected_id:
            assert is_signed(public_key, text.encode(), signature[4:]), "the signature is not valid"
            origin, size, head = text.splitlines()[:3]
            assert origin == name, "the checkpoint is of another log"
            return int(size), base64.b64decode(head)
    raise AssertionError("the checkpoint is not signed by the key")


folder, verifier_key, *checkpoints = sys.argv[1:]
folder = pathlib.Path(folder)
leaves = []
for file in sorted(folder.glob("*.jsonl")):
    assert int(file.stem) == len(leaves), f"records are missing before {file.name}"
    for record in file.read_bytes().splitlines():
        leaves.append(hashlib.sha256(b"\x00" + record).digest())
notes = [*folder.glob("*.checkpoint"), folder / "checkpoint", *map(pathlib.Path, checkpoints)]
for path in notes:
    size, head = opened(path.read_text(encoding="utf-8"), verifier_key)
    assert size <= len(leaves), f"{path.name} vouches for {size} records, and there are {len(leaves)}"
    assert root(leaves[:size]) == head, f"the records do not give the tree of {path.name}"
print(f"{len(leaves)} records and {len(notes)} checkpoints agree")
