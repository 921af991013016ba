// Turns the messages of replies into results.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type Duration,
  type DurationSchema,
  durationFromMs,
  durationMs,
  type Timestamp,
  type TimestampSchema,
  timestampFromDate,
} from "@bufbuild/protobuf/wkt";
import { InternalError, invalid } from "./errors.js";
import type * as access from "./gen/strongroom/v1/access_pb.js";
import { Effect, Right as WireRight } from "./gen/strongroom/v1/access_pb.js";
import type * as wire from "./gen/strongroom/v1/secret_pb.js";
import { type RotationPolicySchema, SecretEventType, VersionState } from "./gen/strongroom/v1/secret_pb.js";
import { generatorOf, optional, wireGenerator } from "./generate.js";
import type * as m from "./models.js";
import { valueFrom } from "./value.js";

/** The prototype of results: they can be serialized to JSON, in which a revision is a string. */
class Result {
  toJSON(): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(this).map(([key, value]) => [key, typeof value === "bigint" ? value.toString() : value]),
    );
  }
}

/** Returns a new object with these fields that can be serialized to JSON. */
export function result<T extends object>(fields: T): T {
  // `new` and `assign` make an object that V8 reads and copies fast; `Object.create` and a spread do not.
  return Object.assign(new Result(), fields) as object as T;
}

/** Returns what a reply must have. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new InternalError(
      "The answer of the server lacks a part: check that the address is that of a Strongroom server.",
    );
  }
  return value;
}

/** Returns a secret. */
export function secretOf(given: wire.Secret | undefined): m.Secret {
  const secret = present(given);
  return result<m.Secret>({
    namespace: secret.namespace,
    name: secret.name,
    id: secret.id,
    value: valueFrom(secret.value),
    description: secret.description,
    metadata: secret.metadata,
    version: secret.version,
    createdAt: dateOf(secret.createdAt),
    updatedAt: dateOf(secret.updatedAt),
    rotatedAt: dateOf(secret.rotatedAt),
    expiresAt: dateOf(secret.expiresAt),
    rotationPolicy: policyOf(secret.rotationPolicy),
    nextRotationAt: dateOf(secret.nextRotationAt),
    deletedAt: dateOf(secret.deletedAt),
    purgeAt: dateOf(secret.purgeAt),
    etag: secret.etag,
    revision: secret.revision,
    pendingVersion: secret.pendingVersion,
    rotationClaim: secret.rotationClaim && {
      principal: secret.rotationClaim.principal,
      leaseExpiresAt: dateOf(secret.rotationClaim.leaseExpiresAt),
    },
    rotationFailure: secret.rotationFailure && {
      attempts: secret.rotationFailure.attempts,
      failedAt: dateOf(secret.rotationFailure.failedAt),
      error: secret.rotationFailure.error,
      retryAt: dateOf(secret.rotationFailure.retryAt),
    },
  });
}

/** Returns a secret that was changed. */
export function changedSecret(reply: { secret?: wire.Secret | undefined; revision: bigint }): m.ChangedSecret {
  return Object.assign(secretOf(reply.secret), { changeRevision: reply.revision });
}

/** Returns a secret with its value. */
export function readSecret(reply: wire.GetSecretResponse): m.ReadSecret {
  const secret = secretOf(reply.secret);
  return Object.assign(secret, {
    value: present(secret.value),
    valueVersion: reply.version,
    readRevision: reply.revision,
  });
}

/** Returns a version. */
export function versionOf(given: wire.SecretVersion | undefined): m.SecretVersion {
  const version = present(given);
  return {
    number: version.number,
    state: nameOf(VersionState, version.state, "state"),
    createdAt: dateOf(version.createdAt),
    stateChangedAt: dateOf(version.stateChangedAt),
    current: version.current,
    lastReadAt: dateOf(version.lastReadAt),
    consumers: version.consumers.map((consumer) => ({
      principal: consumer.principal,
      lastReadAt: dateOf(consumer.lastReadAt),
      acknowledgedAt: dateOf(consumer.acknowledgedAt),
      consumer: consumer.consumer,
    })),
    retiresAt: dateOf(version.retiresAt),
  };
}

/** Returns a version that was changed. */
export function changedVersion(reply: wire.DisableVersionResponse | wire.EnableVersionResponse): m.ChangedVersion {
  return result({ version: versionOf(reply.version), secret: secretOf(reply.secret), revision: reply.revision });
}

/** Returns a destroyed version. */
export function destroyedVersion(reply: wire.DestroyVersionResponse): m.DestroyedVersion {
  const { $typeName: _, $unknown: __, destroyedAt, ...receipt } = present(reply.receipt);
  return result({
    version: versionOf(reply.version),
    secret: secretOf(reply.secret),
    revision: reply.revision,
    receipt: { ...receipt, destroyedAt: dateOf(destroyedAt) },
  });
}

/** Returns an event of a watch. */
export function eventOf(event: wire.SecretEvent): m.SecretEvent {
  return result({
    type: nameOf(SecretEventType, event.type, "type"),
    secret: secretOf(event.secret),
    revision: event.revision,
    formerName: event.formerName,
    resumeRevision: event.resumeRevision,
    occurredAt: dateOf(event.occurredAt),
  });
}

/** Returns an API key. */
export function apiKeyOf(given: access.ApiKey | undefined): m.ApiKey {
  const key = present(given);
  return {
    id: key.id,
    name: key.name,
    homeNamespace: key.homeNamespace,
    root: key.root,
    createdAt: dateOf(key.createdAt),
    expiresAt: dateOf(key.expiresAt),
    revokedAt: dateOf(key.revokedAt),
    rotatedAt: dateOf(key.rotatedAt),
    lastUsedAt: dateOf(key.lastUsedAt),
  };
}

/** Returns a role. */
export function roleOf(given: access.Role | undefined): m.Role {
  const role = present(given);
  return {
    name: role.name,
    rights: rightsOf(role.rights),
    description: role.description,
    builtIn: role.builtIn,
    createdAt: dateOf(role.createdAt),
  };
}

/** Returns a binding. */
export function bindingOf(given: access.Binding | undefined): m.Binding {
  const binding = present(given);
  return {
    id: binding.id,
    principal: binding.principal,
    role: binding.role,
    namespacePattern: binding.namespacePattern,
    namePattern: binding.namePattern,
    denies: binding.effect === Effect.DENY,
    createdAt: dateOf(binding.createdAt),
    expiresAt: dateOf(binding.expiresAt),
    description: binding.description,
  };
}

/** Returns the names of rights. */
export function rightsOf(rights: readonly WireRight[]): m.Right[] {
  return rights.map((right) => nameOf(WireRight, right, "right"));
}

/** Returns a right of a request. */
export function wireRight(right: m.Right): WireRight {
  const found = Object.entries(WireRight).find(([name]) => name.toLowerCase() === right && name !== "UNSPECIFIED");
  if (found === undefined || typeof found[1] !== "number") {
    throw invalid("right", "must be list, read, write, rotate, delete, manage_access, audit or operate.");
  }
  return found[1];
}

/** Returns the rotation policy of a request. */
export function wirePolicy(policy: m.RotationPolicy): MessageInitShape<typeof RotationPolicySchema> {
  return {
    ...optional("interval", wireDuration("rotationPolicy.intervalMs", policy.intervalMs)),
    ...optional("generator", policy.generator && wireGenerator(policy.generator)),
    ...optional("gracePeriod", wireDuration("rotationPolicy.gracePeriodMs", policy.gracePeriodMs)),
    window: policy.window ?? "",
    paused: policy.paused ?? false,
    retireWhenUnread: policy.retireWhenUnread ?? false,
  };
}

/** Returns the time of a request. */
export function wireDate(field: string, date: Date | undefined): MessageInitShape<typeof TimestampSchema> | undefined {
  if (date === undefined) {
    return undefined;
  }
  if (!(date instanceof Date) || Number.isNaN(date.getTime())) {
    throw invalid(field, "must be a valid Date.");
  }
  return timestampFromDate(date);
}

/** Returns the duration of a request. */
export function wireDuration(
  field: string,
  ms: number | undefined,
): MessageInitShape<typeof DurationSchema> | undefined {
  if (ms === undefined) {
    return undefined;
  }
  if (typeof ms !== "number" || !Number.isFinite(ms) || ms < 0 || ms > Number.MAX_SAFE_INTEGER) {
    throw invalid(field, "must be a number of milliseconds, 0 or more.");
  }
  return durationFromMs(Math.round(ms));
}

/** Returns the time of a reply. */
export function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && new Date(Number(timestamp.seconds) * 1_000 + Math.floor(timestamp.nanos / 1e6));
}

function policyOf(policy: wire.RotationPolicy | undefined): m.RotationPolicy | undefined {
  const ms = (duration: Duration | undefined) => duration && durationMs(duration);
  return (
    policy && {
      intervalMs: ms(policy.interval),
      generator: generatorOf(policy.generator),
      gracePeriodMs: ms(policy.gracePeriod),
      window: policy.window || undefined,
      paused: policy.paused,
      retireWhenUnread: policy.retireWhenUnread,
    }
  );
}

/** Returns the name of an enum's value. A value that this release does not know is `PREFIX_NUMBER`. */
function nameOf(names: Readonly<Record<number, string>>, value: number, prefix: string): string {
  return names[value]?.toLowerCase() ?? `${prefix}_${value}`;
}
