// Shows that the generated stubs work against a live server: it creates, reads and lists a secret, and reads the
// reason of a NOT_FOUND.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "../gen/strongroom/v1/error_pb.js";
import { Redaction, SecretService } from "../gen/strongroom/v1/secret_pb.js";

const authorize: Interceptor = (next) => (request) => {
  request.header.set("authorization", `Bearer ${fromEnvironment("STRONGROOM_API_KEY")}`);
  return next(request);
};
const secrets = createClient(
  SecretService,
  createGrpcTransport({
    baseUrl: `http://${fromEnvironment("STRONGROOM_SERVER")}`,
    interceptors: [authorize],
    defaultTimeoutMs: 10_000,
  }),
);

const namespace = `smoke-node-${randomBytes(8).toString("hex")}`;
const name = "OPENAI_API_KEY";
const value = "sk-ünïcode\n{braces}";

await check("create: version 1, the value redacted", async () => {
  const { secret } = await secrets.createSecret({
    namespace,
    name,
    value: { kind: { case: "text", value } },
    description: "made by the Node smoke program",
    metadata: { team: "smoke" },
  });
  assert.equal(secret?.name, name);
  assert.equal(secret.version, 1);
  assert.deepEqual(secret.value?.kind, { case: "redacted", value: Redaction.ENCRYPTED });
});

await check("get: the exact value", async () => {
  const { secret } = await secrets.getSecret({ namespace, name });
  assert.deepEqual(secret?.value?.kind, { case: "text", value });
  assert.deepEqual(secret.metadata, { team: "smoke" });
});

await check("list: one secret, the value redacted", async () => {
  const { items, totalSize } = await secrets.listSecrets({ namespace, metadata: { team: "smoke" } });
  assert.equal(totalSize, 1);
  assert.deepEqual(items.map((item) => item.name), [name]);
  assert.deepEqual(items[0].value?.kind, { case: "redacted", value: Redaction.ENCRYPTED });
});

await check("not found: the reason is SECRET_NOT_FOUND", async () => {
  const error = await secrets.getSecret({ namespace, name: "MISSING" }).then(
    () => assert.fail("the call succeeded"),
    (thrown: unknown) => ConnectError.from(thrown),
  );
  assert.equal(Code[error.code], "NotFound");
  // ConnectError read the details from the trailer `grpc-status-details-bin`.
  const [info] = error.findDetails(ErrorInfoSchema);
  assert.equal(info?.domain, "strongroom");
  assert.equal(info.reason, ErrorReason[ErrorReason.SECRET_NOT_FOUND]);
});

async function check(what: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
    console.log(`ok   node  ${what}`);
  } catch (error) {
    console.error(`FAIL node  ${what}\n${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}

function fromEnvironment(variable: string): string {
  const value = process.env[variable];
  if (!value) {
    console.error(`${variable} is not set: run this program as clients/README.md says.`);
    process.exit(2);
  }
  return value;
}
