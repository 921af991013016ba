import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { HealthCheckResponse_ServingStatus as Status } from "../src/gen/grpc/health/v1/health_pb.js";
import * as api from "../src/index.js";
import { FakeServer, unavailable, until } from "./fake.js";

test("a server that fails until somebody corrects it does not end the call while another may come back", async () => {
  // The first one does not speak TLS, and the second one cannot serve for a while.
  const other = net.createServer((socket) => socket.end("no TLS here\r\n")).listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  const broken = `https://127.0.0.1:${(other.address() as net.AddressInfo).port}`;
  let calls = 0;
  await using server = await FakeServer.start({
    access: {
      whoAmI: () => {
        calls += 1;
        if (calls % 3 !== 0) {
          throw unavailable();
        }
        return { principal: "key:a" };
      },
    },
  });
  for (let first = 0; first < 4; first += 1) {
    await using client = server.client({ server: [broken, `http://${server.address}`] });
    assert.equal((await client.whoami()).principal, "key:a");
  }
  await using alone = server.client({ server: broken, retry: { attempts: 9, firstDelayMs: 600_000 } });
  await assert.rejects(alone.whoami(), api.UnavailableError);
  other.close();
});

test("a connection that breaks under a call is another attempt", async () => {
  let calls = 0;
  let first: FakeServer | undefined;
  const methods = {
    access: {
      whoAmI: async () => {
        calls += 1;
        if (calls === 1) {
          await first?.[Symbol.asyncDispose]();
        }
        return { principal: "key:a" };
      },
    },
  };
  first = await FakeServer.start(methods);
  await using client = first.client({ retry: { attempts: 1_000, firstDelayMs: 5, longestDelayMs: 5 } });
  const call = client.whoami();
  await until(() => calls === 1);
  await using _second = await FakeServer.start(methods, { port: first.port });
  assert.equal((await call).principal, "key:a");
  assert.equal(calls, 2);
});

/** A server whose health a test sets, and which counts its calls and its probes. */
class Probed {
  status = Status.SERVING;
  calls = 0;
  probes = 0;
  readonly methods = {
    access: {
      whoAmI: () => {
        this.calls += 1;
        return { principal: "key:a" };
      },
    },
    health: {
      check: ({ service }: { service: string }) => {
        assert.equal(service, "strongroom.v1.SecretService");
        this.probes += 1;
        return { status: this.status };
      },
    },
  };

  /** Waits until the server has answered a whole probe from now on. */
  async probed(): Promise<void> {
    // The one that is under way may have had its answer before.
    const after = this.probes + 2;
    await until(() => this.probes >= after);
  }
}

test("calls go to the server that says that it serves, and no call fails for that", async () => {
  const [one, two] = [new Probed(), new Probed()];
  await using first = await FakeServer.start(one.methods);
  await using second = await FakeServer.start(two.methods);
  await using client = first.client({
    server: [`http://${first.address}`, `http://${second.address}`],
    healthProbeMs: 5,
    retry: { attempts: 1 },
  });
  await client.whoami();
  for (const [out, serving] of [
    [one, two],
    [two, one],
  ] as const) {
    out.status = Status.NOT_SERVING;
    serving.status = Status.SERVING;
    await Promise.all([out.probed(), serving.probed()]);
    const before = out.calls;
    for (let count = 0; count < 10; count += 1) {
      await client.whoami();
    }
    assert.equal(out.calls, before);
  }
  // When none says that it serves, the calls still show why.
  one.status = Status.NOT_SERVING;
  await Promise.all([one.probed(), two.probed()]);
  assert.equal((await client.whoami()).principal, "key:a");
});

test("a probe finds the server that is back, before a call does", async () => {
  const [one, two] = [new Probed(), new Probed()];
  const first = await FakeServer.start(one.methods);
  await using second = await FakeServer.start(two.methods);
  await using client = first.client({
    server: [`http://${first.address}`, `http://${second.address}`],
    healthProbeMs: 5,
    retry: { attempts: 1 },
  });
  await client.whoami();
  await until(() => one.probes > 0);
  await first[Symbol.asyncDispose]();
  for (let count = 0; count < 10; count += 1) {
    await client.whoami();
  }
  await using _again = await FakeServer.start(one.methods, { port: first.port });
  await one.probed();
  two.status = Status.NOT_SERVING;
  await two.probed();
  const before = one.calls;
  await client.whoami();
  assert.equal(one.calls, before + 1);
});

test("a client with one server does not probe it", async () => {
  const one = new Probed();
  await using server = await FakeServer.start(one.methods);
  await using client = server.client({ healthProbeMs: 1 });
  await client.whoami();
  await client.whoami();
  assert.equal(one.probes, 0);
});
