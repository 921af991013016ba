// The options of the calls about secrets.
import type { CallOptions, ChangeOptions } from "./caller.js";
import type { Generator } from "./generate.js";
import type { RotationPolicy } from "./models.js";
import type { SecretInput } from "./value.js";

/** The namespace of one call. */
export interface InNamespace {
  /** The namespace of the secret. Undefined: that of the client. */
  readonly namespace?: string | undefined;
}

/** A condition of a change. */
export interface Conditional {
  /** The `etag` that the secret must still have; otherwise the call throws a `ConflictError`. Undefined: any. */
  readonly etag?: string | undefined;
}

/** The state that a call works from. */
export interface Since {
  /**
   * The oldest revision to work from: the revision of an earlier result, so that a read shows its effects. A server that does not
   * reach it within 10 seconds fails with an `UnavailableError`; a change is then not made.
   */
  readonly minRevision?: bigint | undefined;
}

/** How new the answer of a read must be. */
export interface Fresh {
  /**
   * `cached`: a replica may answer from what it has in memory, without asking etcd for newer changes first. The answer can lack
   * the changes of the last seconds: 5 seconds at most, unless the server is configured otherwise (`cached_reads_max_age`).
   * Undefined: `linearizable`, with every change that was acknowledged before. A server that has its store for itself always
   * answers from its newest state.
   */
  readonly consistency?: "linearizable" | "cached" | undefined;
}

/** The options of `create`. Exactly one of `value` and `generate` is set. */
export interface CreateOptions extends ChangeOptions, InNamespace, Since {
  /** The value. */
  readonly value?: SecretInput | undefined;
  /** How the server generates the value, for example `{ kind: "password", length: 40 }`. */
  readonly generate?: Generator | undefined;
  /** Return the generated value. Needs `generate`. */
  readonly returnValue?: boolean | undefined;
  /** A description, at most 1,024 bytes. */
  readonly description?: string | undefined;
  /** Pairs to attach, at most 64. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** When the secret expires. Undefined: never, unless `ttlMs` is set. */
  readonly expiresAt?: Date | undefined;
  /** How long the secret lives, in milliseconds. */
  readonly ttlMs?: number | undefined;
  /** When and how the secret is rotated. Undefined: only on request. */
  readonly rotationPolicy?: RotationPolicy | undefined;
}

/** The options of `get`. */
export interface GetOptions extends CallOptions, InNamespace, Since, Fresh {
  /** The number of the version. Undefined: the current version. */
  readonly version?: number | undefined;
  /** `metadata`: leave the value out. This needs only the right `list`. Undefined: with the value. */
  readonly view?: "full" | "metadata" | undefined;
}

/** The options of `batchGet`. */
export interface BatchGetOptions extends CallOptions, InNamespace, Since, Fresh {
  /** `metadata`: leave the values out. Undefined: with the values. */
  readonly view?: "full" | "metadata" | undefined;
}

/** The options of `list`. */
export interface ListOptions extends CallOptions, InNamespace, Since, Fresh {
  /** The number of secrets that one page has at most, 1 to 1,000. Undefined: 100. */
  readonly limit?: number | undefined;
  /** The number of secrets to skip at the beginning. */
  readonly offset?: number | undefined;
  /** Return only secrets whose metadata holds all these pairs. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Return only secrets whose name begins with this text. */
  readonly namePrefix?: string | undefined;
  /** `name`, `created_at` or `updated_at`; with ` desc` in the reverse order. Undefined: `name`. */
  readonly orderBy?: string | undefined;
  /** Also return deleted secrets that can still be recovered. */
  readonly includeDeleted?: boolean | undefined;
  /** Return only secrets that were created before this time and of which no value was read since. */
  readonly unusedSince?: Date | undefined;
}

/** The options of `listPage`. */
export interface ListPageOptions extends ListOptions {
  /** The `nextPageToken` of the page before. Undefined: the first page. */
  readonly pageToken?: string | undefined;
}

/** The options of `listNamespaces`. */
export interface ListNamespacesOptions extends CallOptions, Since, Fresh {
  /** Return only this namespace and those below it: with `team`, also `team/billing`. Undefined: all. */
  readonly below?: string | undefined;
  /** The number of namespaces that one page has at most, 1 to 1,000. Undefined: 100. */
  readonly limit?: number | undefined;
}

/** The options of `listNamespacesPage`. */
export interface ListNamespacesPageOptions extends ListNamespacesOptions {
  /** The `nextPageToken` of the page before. Undefined: the first page. */
  readonly pageToken?: string | undefined;
}

/** The options of `update`. A field that is not given stays; `null` clears it. */
export interface UpdateOptions extends ChangeOptions, InNamespace, Conditional, Since {
  /** The new name. */
  readonly newName?: string | undefined;
  /** The new value. It becomes a new version. */
  readonly value?: SecretInput | undefined;
  /** The new description. */
  readonly description?: string | null | undefined;
  /** The new metadata. It replaces all pairs. */
  readonly metadata?: Readonly<Record<string, string>> | null | undefined;
  /** When the secret expires. */
  readonly expiresAt?: Date | null | undefined;
  /** The new rotation policy, which replaces the whole policy. */
  readonly rotationPolicy?: RotationPolicy | null | undefined;
}

/** The options of `delete`, `disableVersion`, `enableVersion` and `destroyVersion`. */
export interface ConditionalOptions extends ChangeOptions, InNamespace, Conditional, Since {}

/** The options of `undelete`. */
export interface UndeleteOptions extends ChangeOptions, InNamespace, Since {
  /** The name that the secret gets. Undefined: the one that it had. */
  readonly newName?: string | undefined;
}

/** The options of `rotate`. Without `value` and `generate`, the generator of the secret's rotation policy is used. */
export interface RotateOptions extends ConditionalOptions {
  /** The new value. */
  readonly value?: SecretInput | undefined;
  /** How the server generates the new value. */
  readonly generate?: Generator | undefined;
  /** Return the generated value. Needs `generate`. */
  readonly returnValue?: boolean | undefined;
  /** How long the former version stays readable by its number. Undefined: what the rotation policy says. */
  readonly gracePeriodMs?: number | undefined;
  /** The claim on the rotation, which must still hold. */
  readonly claimId?: string | undefined;
}

/** The options of `promote`. */
export interface PromoteOptions extends ConditionalOptions {
  /** How long the former version stays readable by its number. Undefined: what the rotation policy says. */
  readonly gracePeriodMs?: number | undefined;
  /** The claim on the rotation, which must still hold. The promotion ends it. */
  readonly claimId?: string | undefined;
}

/** The options of `versions`. */
export interface VersionsOptions extends CallOptions, InNamespace, Since, Fresh {}

/** The options of `acknowledge`. */
export interface AcknowledgeOptions extends CallOptions, InNamespace, Since {
  /** A name of the consumer, for callers that share a credential. */
  readonly consumer?: string | undefined;
}

/** The options of `claimRotation`. */
export interface ClaimOptions extends CallOptions, InNamespace, Since {
  /** Take only a secret whose name begins with this text. */
  readonly namePrefix?: string | undefined;
  /** Take only a secret whose metadata holds all these pairs. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** How long the caller holds the rotation, 1 second to 24 hours. Undefined: 5 minutes. */
  readonly leaseMs?: number | undefined;
}

/** The options of `releaseRotation`. */
export interface ReleaseOptions extends CallOptions, Since {
  /** Why the rotation failed, without any value. Undefined: it did not fail. */
  readonly error?: string | undefined;
  /** After how long the rotation is due again. Needs `error`. */
  readonly retryAfterMs?: number | undefined;
}
