import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, type HandlerContext } from "@connectrpc/connect";
import {
  SecretEventType,
  type WatchSecretsRequest,
  type WatchSecretsResponseSchema,
} from "../src/gen/strongroom/v1/secret_pb.js";
import * as api from "../src/index.js";
import { deferred, FakeServer, refusal, secret, text, unavailable, until } from "./fake.js";

type Message = MessageInitShape<typeof WatchSecretsResponseSchema>;

/** A change of a secret. */
function event(type: SecretEventType, name: string, revision: bigint, fields: object = {}): Message {
  return {
    step: {
      case: "event",
      value: { type, secret: secret(name, { revision }), revision, resumeRevision: revision, ...fields },
    },
  };
}

/** How far the watch has come. */
function bookmark(revision: bigint, synced = true): Message {
  return { step: { case: "bookmark", value: { revision, synced } } };
}

/** A watch whose streams a test writes. */
class Streams {
  readonly requests: WatchSecretsRequest[] = [];
  readonly #streams: (readonly (Message | Error)[])[];
  readonly #live: { messages: Message[]; wake: () => void; end: Error | undefined }[] = [];

  /** What each stream sends at its beginning. An error ends it; without one it stays open. */
  constructor(...streams: (readonly (Message | Error)[])[]) {
    this.#streams = streams;
    this.watchSecrets = this.watchSecrets.bind(this);
  }

  async *watchSecrets(request: WatchSecretsRequest, context: HandlerContext): AsyncGenerator<Message> {
    this.requests.push(request);
    for (const message of this.#streams.shift() ?? [bookmark(request.afterRevision)]) {
      if (message instanceof Error) {
        throw message;
      }
      yield message;
    }
    const live = { messages: [] as Message[], wake: () => {}, end: undefined as Error | undefined };
    this.#live.push(live);
    context.signal.addEventListener("abort", () => live.wake());
    while (!context.signal.aborted) {
      const message = live.messages.shift();
      if (message !== undefined) {
        yield message;
      } else if (live.end !== undefined) {
        throw live.end;
      } else {
        await new Promise<void>((resolve) => {
          live.wake = resolve;
        });
      }
    }
  }

  /** Sends a message on the stream that is open now. */
  send(...messages: Message[]): void {
    const live = this.#live.at(-1);
    live?.messages.push(...messages);
    live?.wake();
  }

  /** Ends the stream that is open now. */
  fail(error: Error): void {
    const live = this.#live.at(-1);
    if (live !== undefined) {
      live.end = error;
      live.wake();
    }
  }
}

const { SNAPSHOT, CREATED, ROTATED, RENAMED, DELETED } = SecretEventType;

async function take(watch: api.Watch, count: number): Promise<string[]> {
  const told: string[] = [];
  while (told.length < count) {
    const { value } = await watch.next();
    told.push(value === undefined ? "end" : `${value.type} ${value.secret.name} ${value.revision}`);
  }
  return told;
}

test("a watch continues behind its last event, and tells none twice", async () => {
  const streams = new Streams(
    [bookmark(4n), event(CREATED, "a", 5n), event(CREATED, "b", 6n), unavailable()],
    // Two events of one revision: the server repeats the first one of them.
    [event(CREATED, "b", 6n), event(RENAMED, "c", 7n, { formerName: "b", resumeRevision: 6n }), unavailable()],
    [event(RENAMED, "c", 7n, { formerName: "b" }), event(DELETED, "a", 8n)],
  );
  await using server = await FakeServer.start({ secrets: streams });
  await using client = server.client({ namespace: "team" });
  await using watch = client.secrets.watch({ namePrefix: "x" });
  assert.deepEqual(await take(watch, 4), ["created a 5", "created b 6", "renamed c 7", "deleted a 8"]);
  assert.deepEqual(
    streams.requests.map(({ afterRevision, namespace, namePrefix }) => `${afterRevision} ${namespace} ${namePrefix}`),
    ["0 team x", "6 team x", "6 team x"],
  );
  assert.equal(watch.resumeRevision, 8n);
});

test("a snapshot is told when it is complete, and begins again where it breaks", async () => {
  const streams = new Streams(
    [event(SNAPSHOT, "a", 1n), unavailable()],
    [
      event(SNAPSHOT, "a", 1n, { resumeRevision: 0n }),
      event(SNAPSHOT, "b", 2n, { resumeRevision: 0n }),
      bookmark(3n),
      event(ROTATED, "b", 4n),
    ],
  );
  await using server = await FakeServer.start({ secrets: streams });
  await using client = server.client();
  await using watch = client.secrets.watch({ snapshot: true });
  assert.deepEqual(await take(watch, 3), ["snapshot a 1", "snapshot b 2", "rotated b 4"]);
  assert.deepEqual(
    streams.requests.map(({ snapshot }) => snapshot),
    [true, true],
  );
});

test("a watch throws what does not pass by itself", async () => {
  for (const [error, kind] of [
    [refusal(Code.OutOfRange, "REVISION_COMPACTED"), api.RevisionCompactedError],
    [refusal(Code.PermissionDenied, "ACCESS_DENIED"), api.AccessDeniedError],
    [refusal(Code.DataLoss, "INTEGRITY_FAILURE"), api.IntegrityError],
  ] as const) {
    await using server = await FakeServer.start({ secrets: new Streams([bookmark(1n), error]) });
    await using client = server.client();
    await assert.rejects(client.secrets.watch({ afterRevision: 1n }).next(), kind);
  }
  const gone = await FakeServer.start();
  await gone[Symbol.asyncDispose]();
  await using nobody = gone.client({ retry: { attempts: 2, firstDelayMs: 1 } });
  await assert.rejects(nobody.secrets.watch().next(), api.UnavailableError);
});

test("a watch ends at its signal, at close, at break, and with its client", async () => {
  await using server = await FakeServer.start({ secrets: new Streams([bookmark(1n), event(CREATED, "a", 2n)]) });
  const client = server.client();
  for await (const { secret } of client.secrets.watch()) {
    assert.equal(secret.name, "a");
    break;
  }
  const ending = new AbortController();
  const aborted = client.secrets.watch({ signal: ending.signal }).next();
  ending.abort(new Error("enough"));
  await assert.rejects(aborted, /^Error: enough$/);
  const watch = client.secrets.watch();
  const [next] = [watch.next(), await watch.close()];
  assert.deepEqual(await next, { done: true, value: undefined });
  const last = client.secrets.watch();
  const pending = last.next();
  await client.close();
  assert.deepEqual(await pending, { done: true, value: undefined });
  assert.throws(() => client.cached(), api.ClosedError);
  await assert.rejects(client.secrets.watch().next(), api.ClosedError);
});

/** A server with a cache, and the secrets that it has. */
async function withCache(
  options: api.CacheOptions,
  use: (world: {
    cache: api.SecretCache;
    streams: Streams;
    values: Map<string, string | Error>;
    reads: string[];
    server: FakeServer;
    state: { revision: bigint };
  }) => Promise<void>,
): Promise<void> {
  const streams = new Streams([bookmark(10n)]);
  const values = new Map<string, string | Error>([["a", "first"]]);
  const reads: string[] = [];
  const state = { revision: 10n };
  const getSecret = ({ name }: { name: string }) => {
    reads.push(name);
    const value = values.get(name) ?? refusal(Code.NotFound, "SECRET_NOT_FOUND");
    if (value instanceof Error) {
      throw value;
    }
    return { secret: secret(name, { value: text(value) }), version: 1, revision: state.revision };
  };
  await using server = await FakeServer.start({ secrets: { getSecret, watchSecrets: streams.watchSecrets } });
  await using client = server.client();
  await use({ cache: client.cached(options), streams, values, reads, server, state });
}

test("a cache reads a secret once, and again when it has changed", async () => {
  await withCache({}, async ({ cache, streams, values, reads, state }) => {
    const [one, two] = await Promise.all([cache.get("a"), cache.get("a")]);
    assert.equal(one.value.text(), "first");
    one.value.wipe();
    assert.equal(two.value.text(), "first");
    for (let calls = 0; calls < 100; calls += 1) {
      const { value, stale, staleMs } = await cache.get("a");
      assert.deepEqual([value.text(), stale, staleMs], ["first", false, 0]);
    }
    assert.deepEqual(reads, ["a"]);
    values.set("a", "second");
    state.revision = 11n;
    streams.send(event(ROTATED, "a", 11n));
    await until(async () => (await cache.get("a")).value.text() === "second");
    assert.deepEqual(reads, ["a", "a"]);
    // A change of another secret is not about this one.
    streams.send(event(ROTATED, "b", 12n), bookmark(12n));
    await cache.get("a");
    assert.deepEqual(reads, ["a", "a"]);
  });
});

test("a cache forgets a secret that is gone, and does not remember an error", async () => {
  await withCache({}, async ({ cache, streams, values, reads, state }) => {
    await cache.get("a");
    values.delete("a");
    state.revision = 11n;
    streams.send(event(DELETED, "a", 11n));
    await until(() => cache.size === 0);
    await assert.rejects(cache.get("a"), api.SecretNotFoundError);
    values.set("a", "again");
    assert.equal((await cache.get("a")).value.text(), "again");
    assert.equal(reads.length, 3);
  });
});

test("a cache returns the last known value while the connection is lost, and says so", async () => {
  await withCache({ staleForMs: 60 * 60_000 }, async ({ cache, server }) => {
    await cache.get("a");
    await server[Symbol.asyncDispose]();
    await until(async () => (await cache.get("a")).stale);
    const { value, stale, staleMs } = await cache.get("a");
    assert.deepEqual([value.text(), stale], ["first", true]);
    assert.ok(staleMs >= 0);
    await assert.rejects(cache.get("b"), api.UnavailableError);
  });
});

test("a cache returns nothing that is older than it may be", async () => {
  await withCache({ staleForMs: 0 }, async ({ cache, server }) => {
    await cache.get("a");
    await server[Symbol.asyncDispose]();
    await until(() =>
      cache.get("a").then(
        () => false,
        (error) => error instanceof api.UnavailableError,
      ),
    );
  });
});

test("a cache goes on when the server is back", async () => {
  await withCache({}, async ({ cache, streams, values, state }) => {
    await cache.get("a");
    values.set("a", "second");
    state.revision = 11n;
    streams.fail(unavailable());
    // The next stream tells what was missed.
    await until(() => streams.requests.length === 2);
    assert.equal(streams.requests[1]?.afterRevision, 10n);
    streams.send(event(ROTATED, "a", 11n), bookmark(11n));
    await until(async () => (await cache.get("a")).value.text() === "second");
    assert.equal((await cache.get("a")).stale, false);
  });
});

test("a denial or a revocation empties a cache at once", async () => {
  for (const [error, thrown] of [
    [refusal(Code.PermissionDenied, "ACCESS_DENIED"), api.AccessDeniedError],
    [refusal(Code.Unauthenticated, "CREDENTIAL_INVALID"), api.UnauthenticatedError],
    // The rights have changed, and the server asks to watch again.
    [refusal(Code.Aborted, "CONTENDED", { retryAfterMs: 1 }), api.AccessDeniedError],
  ] as const) {
    await withCache({ staleForMs: 60 * 60_000 }, async ({ cache, streams, values }) => {
      await cache.get("a");
      values.set("a", error.code === Code.Aborted ? refusal(Code.PermissionDenied, "ACCESS_DENIED") : error);
      streams.fail(error);
      await until(() => cache.size === 0);
      await assert.rejects(cache.get("a"), thrown);
    });
  }
});

test("a cache is bounded, and what leaves it was not used for longest", async () => {
  await withCache({ maxEntries: 2 }, async ({ cache, values, reads }) => {
    values.set("b", "b").set("c", "c");
    for (const name of ["a", "b", "a", "c", "a"]) {
      await cache.get(name);
    }
    assert.equal(cache.size, 2);
    assert.deepEqual(reads, ["a", "b", "c"]);
    await cache.get("b");
    assert.deepEqual(reads, ["a", "b", "c", "b"]);
    cache.close();
    assert.equal(cache.size, 0);
    await assert.rejects(cache.get("a"), api.ClosedError);
  });
});

test("a read that a change overtakes is not kept", async () => {
  const arrived = deferred();
  const goOn = deferred();
  const streams = new Streams([bookmark(10n)]);
  let reads = 0;
  await using server = await FakeServer.start({
    secrets: {
      watchSecrets: streams.watchSecrets,
      getSecret: async () => {
        reads += 1;
        if (reads === 1) {
          arrived.resolve();
          await goOn.promise;
          return { secret: secret("a", { value: text("old") }), version: 1, revision: 10n };
        }
        return { secret: secret("a", { value: text("new") }), version: 2, revision: 11n };
      },
    },
  });
  await using client = server.client();
  const cache = client.cached();
  const first = cache.get("a");
  await arrived.promise;
  streams.send(event(ROTATED, "a", 11n));
  goOn.resolve();
  await first;
  await until(async () => (await cache.get("a")).value.text() === "new");
});

test("without a watch, each read of a cache asks the server", async () => {
  let reads = 0;
  await using server = await FakeServer.start({
    secrets: {
      watchSecrets: () => {
        throw refusal(Code.PermissionDenied, "ACCESS_DENIED");
      },
      getSecret: () => {
        reads += 1;
        return { secret: secret("a", { value: text("v") }), version: 1, revision: 1n };
      },
    },
  });
  await using client = server.client();
  const cache = client.cached();
  await cache.get("a");
  await cache.get("a");
  assert.deepEqual([reads, cache.size], [2, 0]);
});
