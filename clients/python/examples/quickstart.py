"""Creates a secret, reads it, gives it a new value and deletes it.

The address and the API key come from STRONGROOM_SERVER and STRONGROOM_API_KEY.
"""

from strongroom import Strongroom
from strongroom.exceptions import SecretNotFoundError

with Strongroom() as client:
    client.secrets.create(name="quickstart", value="correct horse", metadata={"environment": "test"})
    print(client.secrets.get(name="quickstart").version)  # 1
    client.secrets.rotate(name="quickstart", value="battery staple")
    for secret in client.secrets.iterate(metadata={"environment": "test"}):  # all pages
        print(secret.name, secret.version)  # quickstart 2
    client.secrets.delete(name="quickstart")
    try:
        client.secrets.get(name="quickstart")
    except SecretNotFoundError as error:
        print(error.reason)  # SECRET_NOT_FOUND
