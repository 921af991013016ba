// Follows the changes of a namespace: first the secrets that are there, then each change. It goes on when the server restarts.
import { Strongroom } from "strongroom-client";

await using client = Strongroom.fromEnv();
await client.secrets.create("db_password", { value: "first" });

for await (const event of client.secrets.watch({ namePrefix: "db_", snapshot: true })) {
  console.log(event.type, event.secret.name, event.secret.version);
  if (event.type === "snapshot") {
    await client.secrets.rotate("db_password", { value: "second" });
  }
  if (event.type === "rotated") {
    break; // A program that runs on leaves this out, and passes a signal to end the watch.
  }
}
