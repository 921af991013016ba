// The runner of the conformance scenario: it reads a step a line, makes the call, and writes the outcome. See
// clients/conformance/README.md.
import { createInterface } from "node:readline";
import { inspect } from "node:util";
import * as strongroom from "../src/index.js";
import { type JsonObject, type Secret, SecretValue, Strongroom, StrongroomError } from "../src/index.js";

/** The arguments of a step. Which of them are there, the scenario says. */
interface Args {
  readonly client?: string;
  readonly servers: string[];
  readonly ca_cert?: string;
  readonly api_key?: string;
  readonly api_key_file?: string;
  readonly token_file?: string;
  readonly client_cert?: string;
  readonly client_key: string;
  readonly attempts?: number;
  readonly namespace?: string;
  readonly timeout_seconds?: number;
  readonly name: string;
  readonly names: string[];
  readonly id: string;
  readonly version: number;
  readonly value?: Wire;
  readonly generate?: { readonly password_length: number };
  readonly return_value?: boolean;
  readonly description?: string;
  readonly metadata?: Record<string, string>;
  readonly metadata_only?: boolean;
  readonly cached?: boolean;
  readonly min_revision?: number;
  readonly new_name?: string;
  readonly name_prefix?: string;
  readonly page_size?: number;
  readonly below?: string;
  readonly etag?: string;
  readonly request_id?: string;
  readonly rotation_interval_seconds?: number;
  readonly grace_period_seconds?: number;
  readonly consumer?: string;
  readonly claim_id: string;
  readonly lease_seconds?: number;
  readonly error?: string;
  readonly retry_after_seconds?: number;
  readonly document: JsonObject;
  readonly inputs?: JsonObject;
  readonly validate_only?: boolean;
  readonly right: strongroom.Right;
  readonly watch: string;
  readonly snapshot?: boolean;
  readonly cache: string;
  readonly serve_stale_seconds: number;
}

type Wire = { readonly text: string } | { readonly binary: string };

/** The class of each error, the most specific first. */
const CLASSES = [
  ["configuration", strongroom.ConfigurationError],
  ["closed", strongroom.ClosedError],
  ["revision_compacted", strongroom.RevisionCompactedError],
  ["validation", strongroom.ValidationError],
  ["not_found", strongroom.NotFoundError],
  ["already_exists", strongroom.AlreadyExistsError],
  ["permission_denied", strongroom.AccessDeniedError],
  ["failed_precondition", strongroom.FailedPreconditionError],
  ["deadline_exceeded", strongroom.DeadlineExceededError],
  ["internal", strongroom.InternalError],
  ["authentication", strongroom.UnauthenticatedError],
  ["conflict", strongroom.ConflictError],
  ["integrity", strongroom.IntegrityError],
  ["limit_exceeded", strongroom.LimitExceededError],
  ["unavailable", strongroom.UnavailableError],
  ["not_served", strongroom.NotServedError],
] as const;

/** The outcome of an action: what to write, and what to dump. */
interface Outcome {
  readonly ok: unknown;
  readonly dumped: unknown;
}

const clients = new Map<string, Strongroom>();
const watches = new Map<string, strongroom.Watch>();
const caches = new Map<string, strongroom.SecretCache>();

/** Makes the call of a step. */
async function act(action: string, args: Args): Promise<Outcome> {
  if (action === "connect") {
    return connect(args);
  }
  const client = find(clients, args.client ?? "main", "client");
  const { secrets } = client;
  const named = { namespace: args.namespace, timeoutMs: milliseconds(args.timeout_seconds) };
  const options = {
    ...named,
    requestId: args.request_id,
    etag: args.etag,
    metadata: args.metadata,
    value: args.value && givenValue(args.value),
    generate: args.generate && ({ kind: "password", length: args.generate.password_length } as const),
    returnValue: args.return_value,
    description: args.description,
    namePrefix: args.name_prefix,
    newName: args.new_name,
    consumer: args.consumer,
    gracePeriodMs: milliseconds(args.grace_period_seconds),
    leaseMs: milliseconds(args.lease_seconds),
    error: args.error,
    retryAfterMs: milliseconds(args.retry_after_seconds),
    limit: args.page_size,
    minRevision: args.min_revision === undefined ? undefined : BigInt(args.min_revision),
    rotationPolicy:
      args.rotation_interval_seconds === undefined
        ? undefined
        : { intervalMs: milliseconds(args.rotation_interval_seconds) },
  };
  switch (action) {
    case "close":
      await client.close();
      return done();
    case "create":
      return ofSecret(await secrets.create(args.name, options));
    case "get":
      return args.metadata_only === true
        ? ofSecret(await secrets.get(args.name, { ...named, view: "metadata" }))
        : ofSecret(
            await secrets.get(args.name, {
              ...named,
              version: args.version,
              consistency: args.cached === true ? "cached" : undefined,
            }),
          );
    case "batch_get": {
      const batch = await secrets.batchGet(args.names, named);
      const items = batch.items.map(({ name, secret, error }) => ({
        name,
        ...(secret === undefined ? { error: errorOf(error) } : { secret: shown(secret) }),
      }));
      return { ok: { items }, dumped: batch };
    }
    case "list": {
      const found: Secret[] = [];
      for await (const secret of secrets.list(options)) {
        found.push(secret);
      }
      return { ok: { names: found.map(({ name }) => name) }, dumped: found };
    }
    case "list_namespaces": {
      const found: strongroom.Namespace[] = [];
      for await (const namespace of secrets.listNamespaces({ ...options, below: args.below })) {
        found.push(namespace);
      }
      const namespaces = found.map(({ name, secrets, deletedSecrets: deleted_secrets }) => {
        return { name, secrets, deleted_secrets };
      });
      return { ok: { namespaces }, dumped: found };
    }
    case "update":
      return ofSecret(await secrets.update(args.name, options));
    case "delete": {
      const deleted = await secrets.delete(args.name, options);
      return { ok: { id: deleted.id }, dumped: deleted };
    }
    case "undelete":
      return ofSecret(await secrets.undelete(args.id, options));
    case "rotate":
      return ofSecret(await secrets.rotate(args.name, options));
    case "stage": {
      const staged = await secrets.stage(args.name, options);
      return { ok: { version: staged.newVersion }, dumped: staged };
    }
    case "promote":
      return ofSecret(await secrets.promote(args.name, args.version, options));
    case "versions": {
      const versions = await secrets.versions(args.name, named);
      const listed = versions.versions.map(({ number, state, current }) => ({ number, state, current }));
      return { ok: { versions: listed }, dumped: versions };
    }
    case "disable_version":
      return ofVersion(await secrets.disableVersion(args.name, args.version, options));
    case "enable_version":
      return ofVersion(await secrets.enableVersion(args.name, args.version, options));
    case "destroy_version":
      return ofVersion(await secrets.destroyVersion(args.name, args.version, options));
    case "acknowledge":
      return ofVersion(await secrets.acknowledge(args.name, args.version, options));
    case "claim": {
      const claim = await secrets.claimRotation(options);
      const ok = { claim_id: claim.claimId, name: claim.secret.name, pending_version: claim.pendingVersion ?? null };
      return { ok, dumped: claim };
    }
    case "release": {
      const released = await secrets.releaseRotation(args.claim_id, options);
      return { ok: { name: released.name }, dumped: released };
    }
    case "resolve":
      return resolve(client, args, named);
    case "whoami": {
      const { principal, homeNamespace, rights, ...rest } = await client.whoami(named);
      return { ok: { principal, home_namespace: homeNamespace, rights }, dumped: { principal, rights, ...rest } };
    }
    case "explain": {
      const explained = await client.explain(args.right, { ...named, name: args.name });
      const { allowed, explanation, remedy } = explained;
      return { ok: { allowed, explanation, remedy }, dumped: explained };
    }
    case "watch_open":
      watches.set(args.watch, secrets.watch({ ...named, namePrefix: args.name_prefix, snapshot: args.snapshot }));
      return done();
    case "watch_next": {
      const { value: event } = await find(watches, args.watch, "watch").next();
      if (event === undefined) {
        throw new Error("the watch has ended");
      }
      const { type, secret, formerName } = event;
      const { name, version, value } = shown(secret);
      return { ok: { type, name, former_name: formerName ?? null, version, value }, dumped: event };
    }
    case "watch_close":
      await find(watches, args.watch, "watch").close();
      return done();
    case "cached_open":
      caches.set(args.cache, client.cached({ staleForMs: args.serve_stale_seconds * 1_000 }));
      return done();
    case "cached_get": {
      const cached = await find(caches, args.cache, "cache").get(args.name, named);
      return { ok: { ...shown(cached), stale: cached.stale }, dumped: cached };
    }
    case "cached_close":
      find(caches, args.cache, "cache").close();
      return done();
    default:
      throw new Unsupported(`the action ${action}`);
  }
}

function connect(args: Args): Outcome {
  const client = new Strongroom({
    server: args.servers,
    caFile: args.ca_cert,
    apiKey: args.api_key,
    apiKeyFile: args.api_key_file,
    tokenFile: args.token_file,
    namespace: args.namespace,
    clientCertificate:
      args.client_cert === undefined ? undefined : { certFile: args.client_cert, keyFile: args.client_key },
    retry: args.attempts === undefined ? undefined : { attempts: args.attempts },
  });
  clients.set(args.client ?? "main", client);
  return { ok: {}, dumped: client };
}

async function resolve(client: Strongroom, args: Args, named: object): Promise<Outcome> {
  const resolved = await client.resolve(args.document, {
    ...named,
    inputs: args.inputs,
    validateOnly: args.validate_only,
  });
  const ok = {
    document: args.validate_only === true ? null : resolved.document,
    credentials: resolved.credentials.map(({ path, secretName, value }) => ({
      path,
      secret_name: secretName,
      value: wire(value),
    })),
    references: resolved.references.map(({ name, exists, readable }) => ({ name, exists, readable })),
  };
  return { ok, dumped: resolved };
}

function ofSecret(secret: Secret): Outcome {
  return { ok: shown(secret), dumped: secret };
}

function ofVersion(changed: { readonly version: strongroom.SecretVersion }): Outcome {
  const { number, state } = changed.version;
  return { ok: { number, state }, dumped: changed };
}

function done(): Outcome {
  return { ok: {}, dumped: "" };
}

/** A secret as the driver compares it. */
function shown(secret: Secret & { readonly valueVersion?: number }) {
  const { namespace, name, id, description, metadata, version, etag } = secret;
  return {
    namespace,
    name,
    id,
    description,
    metadata,
    version,
    etag,
    value: wire(secret.value),
    pending_version: secret.pendingVersion ?? null,
    value_version: secret.valueVersion ?? null,
    revision: Number(secret.revision),
  };
}

function wire(value: SecretValue | undefined): Wire | null {
  if (value === undefined) {
    return null;
  }
  return value.kind === "text" ? { text: value.text() } : { binary: Buffer.from(value.bytes()).toString("base64") };
}

function givenValue(value: Wire): SecretValue {
  return SecretValue.from("text" in value ? value.text : Buffer.from(value.binary, "base64"));
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1_000;
}

function errorOf(error: unknown) {
  const found = CLASSES.find(([, kind]) => error instanceof kind)?.[0];
  const known = error instanceof StrongroomError ? error : undefined;
  return {
    class: error instanceof Unsupported ? "unsupported" : (found ?? `other: ${(error as Error)?.name}`),
    reason: known?.reason ?? null,
    code: known?.code ?? null,
    message: error instanceof Error ? error.message : String(error),
    request_id: known?.requestId ?? null,
  };
}

/** What somebody sees who logs the object in the most talkative way. */
function dump(value: unknown): string {
  const json = JSON.stringify(value, (_, item) => (typeof item === "bigint" ? item.toString() : item));
  return [
    inspect(value, { depth: 12, showHidden: true }),
    json,
    String(value),
    value instanceof Error ? value.stack : "",
  ].join("\n");
}

function find<T>(known: Map<string, T>, name: string, kind: string): T {
  const found = known.get(name);
  if (found === undefined) {
    throw new Unsupported(`the ${kind} ${name}`);
  }
  return found;
}

/** The step asks for what this runner does not know. */
class Unsupported extends Error {}

for await (const line of createInterface({ input: process.stdin })) {
  const { step, action, args } = JSON.parse(line) as { step: string; action: string; args: Args };
  let answer: object;
  try {
    const { ok, dumped } = await act(action, args);
    answer = { step, ok, dump: dump(dumped) };
  } catch (error) {
    answer = { step, error: errorOf(error), dump: dump(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await Promise.all([...clients.values()].map((client) => client.close()));
process.exit(0);
