// Compares reads through the client with reads through the bare stub: `npm run bench`, with STRONGROOM_SERVER and
// STRONGROOM_API_KEY. It prints the ratio, and how long a read from the cache takes. --check fails over a ratio of 1.3.
import { randomBytes } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { SecretService } from "../src/gen/strongroom/v1/secret_pb.js";
import { Strongroom } from "../src/index.js";

const READS = 10_000;
const ROUNDS = 10;
const LARGEST_RATIO = 1.3;

const namespace = `bench-node-${randomBytes(8).toString("hex")}`;
await using client = Strongroom.fromEnv({ namespace });
await client.secrets.create("a", { value: "v".repeat(32) });

const transport = createGrpcTransport({ baseUrl: `http://${process.env.STRONGROOM_SERVER}` });
const stub = createClient(SecretService, transport);
const headers = { authorization: `Bearer ${process.env.STRONGROOM_API_KEY}` };
const bare = () => stub.getSecret({ namespace, name: "a" }, { headers, timeoutMs: 30_000 });
const whole = () => client.secrets.get("a");

for (let warm = 0; warm < 500; warm += 1) {
  await bare();
  await whole();
}
// The rounds take turns, so that both meet the same load of the machine.
const spent = { bare: 0, whole: 0 };
for (let round = 0; round < ROUNDS; round += 1) {
  spent.bare += await timed(bare, READS / ROUNDS);
  spent.whole += await timed(whole, READS / ROUNDS);
}
const ratio = spent.whole / spent.bare;
console.log(`${READS} reads, one after the other: the stub ${perRead(spent.bare)}, the client ${perRead(spent.whole)}`);
console.log(`ratio ${ratio.toFixed(3)}, at most ${LARGEST_RATIO}`);

const cache = client.cached();
await timed(() => cache.get("a"), READS);
console.log(
  `a read from the cache: ${(((await timed(() => cache.get("a"), READS * 10)) / READS / 10) * 1_000).toFixed(2)} µs`,
);
if (process.argv.includes("--check") && ratio > LARGEST_RATIO) {
  process.exitCode = 1;
}

async function timed(read: () => Promise<unknown>, count: number): Promise<number> {
  const begin = performance.now();
  for (let made = 0; made < count; made += 1) {
    await read();
  }
  return performance.now() - begin;
}

function perRead(ms: number): string {
  return `${((ms / READS) * 1_000).toFixed(0)} µs each`;
}
