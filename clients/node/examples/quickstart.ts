// Stores a secret, reads it, and changes it. STRONGROOM_SERVER and STRONGROOM_API_KEY say where.
import { SecretNotFoundError, Strongroom } from "strongroom-client";

await using client = Strongroom.fromEnv();

await client.secrets.create("stripe_api_key", { value: "sk_test_1", metadata: { environment: "production" } });
const secret = await client.secrets.get("stripe_api_key");
console.log(secret.name, secret.value.text().length, secret.value); // stripe_api_key 9 [secret value]

await client.secrets.update("stripe_api_key", { description: "Card payments", etag: secret.etag });
await client.secrets.rotate("stripe_api_key", { generate: { kind: "password", length: 40 } });
for await (const { name, version } of client.secrets.list({ metadata: { environment: "production" } })) {
  console.log(name, version); // stripe_api_key 2
}

const deleted = await client.secrets.delete("stripe_api_key");
await client.secrets.get("stripe_api_key").catch((error) => {
  if (error instanceof SecretNotFoundError) {
    console.log(error.reason); // SECRET_NOT_FOUND
  }
});
await client.secrets.undelete(deleted.id);
