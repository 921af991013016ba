"""Prints the changes of secrets as they are made: the secrets that are there now, then three changes.

The address and the API key come from STRONGROOM_SERVER and STRONGROOM_API_KEY.
"""

from strongroom import Strongroom

with Strongroom() as client:
    client.secrets.create(name="watch_example", value="the first value")
    with client.secrets.watch(name_prefix="watch_", snapshot=True) as changes:
        for event in changes:
            print(event.type, event.secret.name, event.secret.version)
            if event.type == "snapshot":
                client.secrets.rotate(name="watch_example", value="the second value")
            elif event.type == "rotated":
                client.secrets.update(name="watch_example", new_name="watch_renamed")
            elif event.type == "renamed":
                client.secrets.delete(name="watch_renamed")
            else:
                break
