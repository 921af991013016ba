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
const spent = { bare: none(), whole: none() };
for (let round = 0; round < ROUNDS; round += 1) {
  add(spent.bare, await timed(bare, READS / ROUNDS));
  add(spent.whole, await timed(whole, READS / ROUNDS));
}
const ratio = spent.whole.ms / spent.bare.ms;
console.log(`${READS} reads, one after the other: the stub ${each(spent.bare)}, the client ${each(spent.whole)}`);
console.log(
  `ratio ${ratio.toFixed(3)} (processor ${(spent.whole.cpuMs / spent.bare.cpuMs).toFixed(3)}), at most ${LARGEST_RATIO}`,
);

const cache = client.cached();
await timed(() => cache.get("a"), READS);
console.log(`${READS} reads from the cache: ${each(await timed(() => cache.get("a"), READS))}`);
if (process.argv.includes("--check") && ratio > LARGEST_RATIO) {
  process.exitCode = 1;
}

/** What reads took: the time that passed, and the time of the processor in this process. */
interface Spent {
  ms: number;
  cpuMs: number;
}

async function timed(read: () => Promise<unknown>, count: number): Promise<Spent> {
  const [begin, cpu] = [performance.now(), process.cpuUsage()];
  for (let made = 0; made < count; made += 1) {
    await read();
  }
  const { user, system } = process.cpuUsage(cpu);
  return { ms: performance.now() - begin, cpuMs: (user + system) / 1_000 };
}

function none(): Spent {
  return { ms: 0, cpuMs: 0 };
}

function add(total: Spent, more: Spent): void {
  total.ms += more.ms;
  total.cpuMs += more.cpuMs;
}

function each({ ms, cpuMs }: Spent): string {
  const micros = (total: number) => ((total / READS) * 1_000).toFixed(1);
  return `${micros(ms)} µs each (processor ${micros(cpuMs)} µs)`;
}
