import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { Code, type HandlerContext } from "@connectrpc/connect";
import { BY_CODE, BY_REASON } from "../src/errors.js";
import { ErrorReason } from "../src/gen/strongroom/v1/error_pb.js";
import * as api from "../src/index.js";
import { deferred, FakeServer, KEY, refusal, secret, text, unavailable } from "./fake.js";

/** A method that fails with these errors one after the other, then returns the secret. */
function failing(...errors: Error[]) {
  const seen: { requestId: string }[] = [];
  const rotateSecret = (request: { requestId: string }) => {
    seen.push(request);
    const error = errors.shift();
    if (error !== undefined) {
      throw error;
    }
    return { secret: secret("a"), version: 2, revision: 7n };
  };
  return { seen, rotateSecret };
}

test("every reason of the contract has a class", () => {
  for (const [name, number] of Object.entries(ErrorReason)) {
    if (typeof number === "number" && number !== ErrorReason.UNSPECIFIED) {
      assert.ok(BY_REASON[name], name);
    }
  }
  for (const kind of [...Object.values(BY_REASON), ...Object.values(BY_CODE)]) {
    assert.ok(kind && new kind("") instanceof api.StrongroomError);
    assert.equal(new kind("").name, kind.name);
  }
});

test("an error has the class of its reason, all details, and no value", async () => {
  const violations = [{ field: "name", description: "must be an identifier." }];
  await using server = await FakeServer.start({
    secrets: {
      createSecret: () => {
        throw refusal(Code.InvalidArgument, "VALIDATION_FAILED", { violations });
      },
      getSecret: () => {
        throw refusal(Code.NotFound, "SOMETHING_NEW");
      },
    },
  });
  await using client = server.client();
  const error = await client.secrets.create("a b", { value: "hunter2", description: "d" }).catch((thrown) => thrown);
  assert.ok(error instanceof api.ValidationError);
  assert.equal(error.message, "It does not work.\n  name: must be an identifier.");
  assert.equal(error.code, "INVALID_ARGUMENT");
  assert.equal(error.requestId, "the-request");
  assert.match(error.sentRequestId ?? "", /^[0-9a-f-]{36}$/);
  assert.deepEqual(error.violations, violations);
  const shown = inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error);
  assert.ok(!shown.includes("hunter2") && !shown.includes(KEY), shown);
  // A reason of a later release: the code decides.
  await assert.rejects(client.secrets.get("a"), (thrown: api.StrongroomError) => {
    return thrown instanceof api.NotFoundError && thrown.reason === "SOMETHING_NEW";
  });
});

test("all attempts of a change carry one request id", async () => {
  const { seen, rotateSecret } = failing(
    unavailable(),
    refusal(Code.ResourceExhausted, "TOO_MANY_REQUESTS", { retryAfterMs: 1 }),
    refusal(Code.Aborted, "CONTENDED"),
  );
  await using server = await FakeServer.start({ secrets: { rotateSecret } });
  await using client = server.client();
  const rotated = await client.secrets.rotate("a", { value: "v" });
  assert.equal(rotated.changeRevision, 7n);
  assert.equal(seen.length, 4);
  assert.equal(new Set(seen.map(({ requestId }) => requestId)).size, 1);
  await client.secrets.rotate("a", { value: "v", requestId: "00000000-0000-4000-8000-000000000000" });
  assert.equal(seen[4]?.requestId, "00000000-0000-4000-8000-000000000000");
});

test("a call is not sent again where that cannot help, or not within its time", async () => {
  for (const error of [
    refusal(Code.ResourceExhausted, "MESSAGE_TOO_LARGE"),
    refusal(Code.ResourceExhausted, "QUOTA_EXCEEDED"),
    refusal(Code.Aborted, "ETAG_MISMATCH"),
    refusal(Code.Unavailable, "STORE_UNAVAILABLE", { retryAfterMs: 3_600_000 }),
  ]) {
    const { seen, rotateSecret } = failing(error, unavailable());
    await using server = await FakeServer.start({ secrets: { rotateSecret } });
    await using client = server.client();
    await assert.rejects(client.secrets.rotate("a", { value: "v" }), api.StrongroomError);
    assert.equal(seen.length, 1);
  }
});

test("the attempts are counted, and a call without a request id is sent once", async () => {
  let keys = 0;
  const { seen, rotateSecret } = failing(...Array.from({ length: 9 }, unavailable));
  await using server = await FakeServer.start({
    secrets: { rotateSecret },
    access: {
      createApiKey: () => {
        keys += 1;
        throw unavailable();
      },
    },
  });
  await using client = server.client({ retry: { attempts: 3, firstDelayMs: 1 } });
  await assert.rejects(client.secrets.rotate("a", { value: "v" }), { reason: "STORE_UNAVAILABLE" });
  assert.equal(seen.length, 3);
  await assert.rejects(client.access.createKey("k"), api.UnavailableError);
  assert.equal(keys, 1);
});

test("a call ends at its time, or when its signal is aborted", async () => {
  const arrived = deferred();
  const getSecret = async (_: unknown, context: HandlerContext) => {
    arrived.resolve();
    await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    return {};
  };
  await using server = await FakeServer.start({ secrets: { getSecret } });
  await using client = server.client();
  await assert.rejects(client.secrets.get("a", { timeoutMs: 50 }), (error: api.StrongroomError) => {
    return error instanceof api.DeadlineExceededError && /did not answer|expired|timed out/i.test(error.message);
  });
  const ending = new AbortController();
  const call = client.secrets.get("a", { signal: ending.signal });
  await arrived.promise;
  ending.abort(new Error("enough"));
  await assert.rejects(call, /^Error: enough$/);
  await assert.rejects(client.secrets.get("a", { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("a closed client says so, also to what is under way", async () => {
  const arrived = deferred();
  const getSecret = async (_: unknown, context: HandlerContext) => {
    arrived.resolve();
    await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    return {};
  };
  await using server = await FakeServer.start({ secrets: { getSecret } });
  const client = server.client();
  const call = client.secrets.get("a");
  await arrived.promise;
  await client.close();
  await assert.rejects(call, api.ClosedError);
  await assert.rejects(client.whoami(), api.ClosedError);
  await client.close();
});

test("another server answers where one is gone or cannot serve, and the client stays with it", async () => {
  const answers = (name: string) => ({
    secrets: { getSecret: () => ({ secret: secret(name, { value: text("v") }) }) },
  });
  const gone = await FakeServer.start();
  await gone[Symbol.asyncDispose]();
  let refused = 0;
  await using sick = await FakeServer.start({
    secrets: {
      getSecret: () => {
        refused += 1;
        throw unavailable();
      },
    },
  });
  await using well = await FakeServer.start(answers("well"));
  for (let first = 0; first < 6; first += 1) {
    await using client = well.client({ server: [gone.address, sick.address, well.address] });
    for (let calls = 0; calls < 5; calls += 1) {
      assert.equal((await client.secrets.get("a")).name, "well");
    }
  }
  assert.ok(refused <= 6, `${refused} calls went to the server that cannot serve`);
});

test("a call that was not sent goes to another server, also one that is never sent twice", async () => {
  const gone = await FakeServer.start();
  await gone[Symbol.asyncDispose]();
  let keys = 0;
  await using well = await FakeServer.start({
    access: {
      createApiKey: () => {
        keys += 1;
        return { apiKey: { id: "k" }, credential: KEY };
      },
    },
  });
  for (let first = 0; first < 4; first += 1) {
    await using client = well.client({ server: `${gone.address},${well.address}` });
    const created = await client.access.createKey("k");
    assert.equal(created.credential.text(), KEY);
    assert.ok(!inspect(created).includes(KEY) && !JSON.stringify(created).includes(KEY));
  }
  assert.equal(keys, 4);
});

test("a server that comes back is used again", async () => {
  const methods = { secrets: { getSecret: () => ({ secret: secret("a", { value: text("v") }) }) } };
  const first = await FakeServer.start(methods);
  await using client = first.client({ retry: { attempts: 1_000, firstDelayMs: 5, longestDelayMs: 5 } });
  assert.equal((await client.secrets.get("a")).value.text(), "v");
  await first[Symbol.asyncDispose]();
  const call = client.secrets.get("a");
  await using _second = await FakeServer.start(methods, { port: first.port });
  assert.equal((await call).value.text(), "v");
});

test("a key in a file is read again when it changes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-node-"));
  const keys: string[] = [];
  await using server = await FakeServer.start({
    access: {
      whoAmI: (_, context) => {
        const key = context.requestHeader.get("authorization") ?? "";
        keys.push(key);
        if (key !== "Bearer srk_new") {
          throw refusal(Code.Unauthenticated, "CREDENTIAL_INVALID");
        }
        return { principal: "key:new" };
      },
    },
  });
  try {
    const file = join(folder, "key");
    await writeFile(file, "srk_old\n");
    await using client = server.client({ apiKey: undefined, apiKeyFile: file });
    await assert.rejects(client.whoami(), api.UnauthenticatedError);
    assert.deepEqual(keys, ["Bearer srk_old"]);
    await writeFile(`${file}.next`, "srk_new\n");
    await rename(`${file}.next`, file);
    // The server refuses the old key, so the file is read at once.
    assert.equal((await client.whoami()).principal, "key:new");
    await rm(file);
    assert.equal((await client.whoami()).principal, "key:new");
    await using other = server.client({ apiKey: undefined, apiKeyFile: file });
    await assert.rejects(other.whoami(), /apiKeyFile cannot be read from .* \(ENOENT\)/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a token of a function is kept until it ends, and renewed when it is refused", async () => {
  const seen: string[] = [];
  await using server = await FakeServer.start({
    access: {
      whoAmI: (_, context) => {
        const header = context.requestHeader.get("authorization") ?? "";
        seen.push(header);
        if (header === "Bearer token-2") {
          throw refusal(Code.Unauthenticated, "CREDENTIAL_EXPIRED");
        }
        return { principal: header };
      },
    },
  });
  let made = 0;
  const token = async () => {
    made += 1;
    // The first one has ended already, so it is used once.
    return { token: `token-${made}`, expiresAt: made === 1 ? new Date(0) : undefined };
  };
  await using client = server.client({ apiKey: undefined, token });
  for (const expected of ["Bearer token-1", "Bearer token-3", "Bearer token-3"]) {
    assert.equal((await client.whoami()).principal, expected);
  }
  assert.deepEqual(seen, ["Bearer token-1", "Bearer token-2", "Bearer token-3", "Bearer token-3"]);
  const failingToken = () => Promise.reject(new Error(`cannot renew ${KEY}`));
  await using other = server.client({ apiKey: undefined, token: failingToken });
  await assert.rejects(
    other.whoami(),
    (error: Error) => !error.message.includes(KEY) && /`token` failed/.test(error.message),
  );
});

test("each mistake with the address says what to do", async () => {
  await using server = await FakeServer.start();
  const once = { retry: { attempts: 1 } };
  const gone = await FakeServer.start();
  await gone[Symbol.asyncDispose]();
  await using wrong = server.client({ server: gone.address, ...once });
  await assert.rejects(
    wrong.whoami(),
    /nothing listens there\. Check that it runs and that the address is right \(ECONNREFUSED\)/,
  );
  await using unknown = server.client({ server: "https://does-not-exist.invalid", ...once });
  await assert.rejects(unknown.whoami(), /its host name is not known\. Check the address|cannot be reached/);
  await using tls = server.client({ server: `https://${server.address}`, ...once });
  await assert.rejects(tls.whoami(), /use http:\/\//);
  // A server that speaks something else, and hangs up.
  const other = net.createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")).listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  await using plain = server.client({ server: `127.0.0.1:${(other.address() as net.AddressInfo).port}`, ...once });
  await assert.rejects(plain.whoami(), /whether it serves TLS: if so, use https:\/\//);
  other.close();
  // The fake server has no such method, as a server of an older release.
  await using old = server.client(once);
  await assert.rejects(old.whoami(), (error: Error) => {
    return (
      error instanceof api.NotServedError && /does not serve WhoAmI\. If it is of an older release/.test(error.message)
    );
  });
});

test("a connection that is not made in time is given up", async () => {
  // A listener that never accepts: its queue is full after some connections.
  const silent = net.createServer((socket) => socket.pause()).listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  const address = `https://127.0.0.1:${(silent.address() as net.AddressInfo).port}`;
  await using well = await FakeServer.start({ access: { whoAmI: () => ({ principal: "key:a" }) } });
  for (let first = 0; first < 4; first += 1) {
    await using client = well.client({ server: [address, `http://${well.address}`], connectTimeoutMs: 100 });
    assert.equal((await client.whoami()).principal, "key:a");
  }
  silent.close();
});

test("lists follow their pages, and a batch has an outcome for each name", async () => {
  const tokens: string[] = [];
  await using server = await FakeServer.start({
    secrets: {
      listSecrets: ({ pageToken, namespace }) => {
        tokens.push(`${namespace}:${pageToken}`);
        return pageToken === "" ? { items: [secret("a"), secret("b")], nextPageToken: "2" } : { items: [secret("c")] };
      },
      batchGetSecrets: () => ({
        items: [
          { name: "a", result: { case: "secret", value: secret("a", { value: text("v") }) } },
          { name: "b", result: { case: "error", value: { code: Code.NotFound, message: "There is no b." } } },
        ],
        revision: 4n,
      }),
    },
  });
  await using client = server.client({ namespace: "team" });
  const names: string[] = [];
  for await (const { name, value } of client.secrets.list()) {
    assert.equal(value, undefined);
    names.push(name);
  }
  assert.deepEqual(names, ["a", "b", "c"]);
  assert.deepEqual(tokens, ["team:", "team:2"]);
  const batch = await client.secrets.batchGet(["a", "b"]);
  assert.equal(batch.get("a").value?.text(), "v");
  assert.throws(() => batch.get("b"), api.NotFoundError);
  assert.throws(() => batch.get("c"), /did not ask for c/);
});

test("the list of namespaces follows its pages, whatever the namespace of the client is", async () => {
  const seen: unknown[] = [];
  await using server = await FakeServer.start({
    secrets: {
      listNamespaces: ({ below, limit, pageToken }) => {
        seen.push([below, limit, pageToken]);
        return pageToken === ""
          ? { items: [{ name: "team", secrets: 2, deletedSecrets: 1 }], nextPageToken: "2", revision: 4n }
          : { items: [{ name: "team/a", secrets: 1 }], damagedSize: 1, revision: 4n };
      },
    },
  });
  await using client = server.client({ namespace: "home" });
  const found: api.Namespace[] = [];
  for await (const namespace of client.secrets.listNamespaces({ below: "team", limit: 1 })) {
    found.push(namespace);
  }
  const expected = [
    { name: "team", secrets: 2, deletedSecrets: 1 },
    { name: "team/a", secrets: 1, deletedSecrets: 0 },
  ];
  assert.deepEqual(found, expected);
  const page = await client.secrets.listNamespacesPage({ pageToken: "2" });
  const { items, nextPageToken, damagedSize, revision } = page;
  assert.deepEqual([items, nextPageToken, damagedSize, revision], [expected.slice(1), "", 1, 4n]);
  assert.deepEqual(seen, [
    ["team", 1, ""],
    ["team", 1, "2"],
    ["", undefined, "2"],
  ]);
  assert.deepEqual(JSON.parse(JSON.stringify(page)).revision, "4");
});

test("an update sends what is given, and the mask names what is cleared", async () => {
  const seen: unknown[] = [];
  await using server = await FakeServer.start({
    secrets: {
      updateSecret: ({ description, metadata, updateMask, newName, rotationPolicy }) => {
        seen.push({ description, metadata, paths: updateMask?.paths, newName, window: rotationPolicy?.window });
        return { secret: secret("a") };
      },
    },
  });
  await using client = server.client();
  await client.secrets.update("a", { description: "d", rotationPolicy: { window: "02:00-04:00" } });
  await client.secrets.update("a", { description: null, metadata: {}, expiresAt: null, rotationPolicy: null });
  assert.deepEqual(seen, [
    { description: "d", metadata: {}, paths: undefined, newName: undefined, window: "02:00-04:00" },
    {
      description: undefined,
      metadata: {},
      paths: ["description", "metadata", "expires_at", "rotation_policy"],
      newName: undefined,
      window: undefined,
    },
  ]);
});

test("an argument of the wrong type is refused without showing it", async () => {
  await using server = await FakeServer.start();
  await using client = server.client();
  await assert.rejects(client.secrets.get("a", { version: "hunter2" as unknown as number }), (error: Error) => {
    return (
      error instanceof api.ValidationError &&
      /has the wrong type/.test(error.message) &&
      !inspect(error).includes("hunter2")
    );
  });
  await assert.rejects(client.secrets.create("a", { value: "v", ttlMs: -1 }), /ttlMs must be a number/);
  await assert.rejects(client.resolve({ a: { "b/c": Number.NaN } }), /document\/a\/b~1c is a number/);
  await assert.rejects(client.explain("fly"), /right must be list/);
});
