// Replaces the references in a document by the values of secrets.
import { Strongroom } from "strongroom-client";

await using client = Strongroom.fromEnv();
await client.secrets.create("api_key", { value: "k-123" });

const resolved = await client.resolve(
  { url: "$ f'https://api.example.com/?key={secrets.api_key}&q={input}'", note: "$5 stays" },
  { input: "search" },
);
console.log(resolved); // shows no value
console.log(Object.keys(resolved.document)); // [ 'url', 'note' ]
