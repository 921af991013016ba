import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { ReferenceService } from "../src/gen/strongroom/v1/reference_pb.js";
import { Consistency, SecretService } from "../src/gen/strongroom/v1/secret_pb.js";
import * as api from "../src/index.js";
import { FakeServer, refusal } from "./fake.js";

interface Sent {
  readonly minRevision?: bigint;
  readonly consistency?: Consistency;
}

test("every request that has the field carries minRevision and consistency", async () => {
  const sent = new Map<string, Sent>();
  const keep = (method: string) => (request: unknown) => {
    sent.set(method, request as Sent);
    throw refusal(Code.InvalidArgument, "VALIDATION_FAILED");
  };
  const methods = [...SecretService.methods, ...ReferenceService.methods].filter(
    ({ methodKind }) => methodKind === "unary",
  );
  const handlers = Object.fromEntries(methods.map(({ localName }) => [localName, keep(localName)]));
  await using server = await FakeServer.start({
    secrets: handlers as Partial<ServiceImpl<typeof SecretService>>,
    references: handlers as Partial<ServiceImpl<typeof ReferenceService>>,
  });
  await using client = server.client();
  const { secrets } = client;
  const read = { minRevision: 42n, consistency: "cached" } as const;
  const change = { minRevision: 42n };
  for (const call of [
    () => secrets.create("a", { ...change, value: "v" }),
    () => secrets.get("a", read),
    () => secrets.batchGet(["a"], read),
    () => secrets.list(read).next(),
    () => secrets.listNamespaces(read).next(),
    () => secrets.update("a", change),
    () => secrets.delete("a", change),
    () => secrets.undelete("id", change),
    () => secrets.stage("a", { ...change, value: "v" }),
    () => secrets.promote("a", 1, change),
    () => secrets.versions("a", read),
    () => secrets.disableVersion("a", 1, change),
    () => secrets.enableVersion("a", 1, change),
    () => secrets.destroyVersion("a", 1, change),
    () => secrets.acknowledge("a", 1, change),
    () => secrets.claimRotation(change),
    () => secrets.releaseRotation("claim", change),
    () => client.resolve({}, read),
  ]) {
    await assert.rejects(call(), api.ValidationError);
  }
  let compared = 0;
  for (const { localName, input } of methods) {
    for (const [field, expected] of [
      ["minRevision", 42n],
      ["consistency", Consistency.CACHED],
    ] as const) {
      if (input.fields.some((each) => each.localName === field)) {
        assert.equal(sent.get(localName)?.[field], expected, `${localName}.${field}`);
        compared += 1;
      }
    }
  }
  assert.ok(compared >= 20, `${compared} fields`);
});

test("a read is linearizable unless it asks for less, and another word is refused", async () => {
  const seen: Consistency[] = [];
  await using server = await FakeServer.start({
    secrets: {
      getSecret: ({ consistency }) => {
        seen.push(consistency);
        throw refusal(Code.NotFound, "SECRET_NOT_FOUND");
      },
    },
  });
  await using client = server.client();
  await assert.rejects(client.secrets.get("a"), api.SecretNotFoundError);
  await assert.rejects(client.secrets.get("a", { consistency: "linearizable" }), api.SecretNotFoundError);
  assert.deepEqual(seen, [Consistency.UNSPECIFIED, Consistency.LINEARIZABLE]);
  await assert.rejects(client.secrets.get("a", { consistency: "eventual" as "cached" }), api.ValidationError);
});
