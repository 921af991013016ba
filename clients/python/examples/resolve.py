"""Replaces the references in a document by the values of secrets.

The address and the API key come from STRONGROOM_SERVER and STRONGROOM_API_KEY.
"""

from strongroom import Strongroom

with Strongroom() as client:
    client.secrets.create(name="resolve_example", value="correct horse")
    document = {"database": {"user": "orders", "password": "$ secrets.resolve_example"}}
    for reference in client.resolve(document, validate_only=True).references:
        print(reference.name, reference.readable)  # resolve_example True
    resolved = client.resolve(document)
    print(resolved.document["database"]["user"], resolved.document["database"]["password"] == "correct horse")
    client.secrets.delete(name="resolve_example")
