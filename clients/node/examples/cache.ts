// Reads a secret again and again without a call to the server, and gets the new value when it has changed.
import { setTimeout } from "node:timers/promises";
import { Strongroom } from "strongroom-client";

await using client = Strongroom.fromEnv();
await client.secrets.create("db_password", { value: "first" });

const cache = client.cached({ maxEntries: 100, staleForMs: 10 * 60_000 });
const before = await cache.get("db_password"); // reads it from the server
await client.secrets.rotate("db_password", { value: "second" });

for (let now = before; now.version === before.version; now = await cache.get("db_password")) {
  if (now.stale) {
    console.warn(`the server has been away for ${now.staleMs} ms`);
  }
  await setTimeout(5);
}
console.log("the new version is there");
