import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
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
