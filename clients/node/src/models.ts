// The results of the calls.
import type { JsonObject } from "@bufbuild/protobuf";
import type { StrongroomError } from "./errors.js";
import type { Generator } from "./generate.js";
import type { SecretValue } from "./value.js";

/** A name that a later release of the server may add. */
type Other = string & Record<never, never>;

/** When and how a secret is rotated. It is an argument of `create` and `update`, and a part of a `Secret`. */
export interface RotationPolicy {
  /** The time between two rotations, 1 second to 10 years. Undefined: the secret is rotated only on request. */
  readonly intervalMs?: number | undefined;
  /**
   * How the server generates new values, to rotate the secret by itself: see `generate`. Undefined: the server tells that a
   * rotation is due, and a worker makes it (`claimRotation`).
   */
  readonly generator?: Generator | undefined;
  /** How long the former version stays readable by its number, up to 10 years. Undefined: while the server keeps it. */
  readonly gracePeriodMs?: number | undefined;
  /** The time of day (UTC) within which rotations are made, for example `02:00-04:00`. Undefined: at any time. */
  readonly window?: string | undefined;
  /** Make no rotations until the policy is changed. */
  readonly paused?: boolean | undefined;
  /** Disable the former version once each of its consumers uses a newer one. Needs `gracePeriodMs`. */
  readonly retireWhenUnread?: boolean | undefined;
}

/** The claim of a worker on a rotation. */
export interface RotationClaim {
  /** The principal that holds the rotation, for example `key:abcdefghijklmnop`. */
  readonly principal: string;
  /** When the lease runs out. */
  readonly leaseExpiresAt: Date | undefined;
}

/** Attempts to rotate a secret that failed, since the last success. */
export interface RotationFailure {
  /** How many there were. */
  readonly attempts: number;
  /** When the last one failed. */
  readonly failedAt: Date | undefined;
  /** Why it failed, in the words of the worker. */
  readonly error: string;
  /** When the rotation is due again. */
  readonly retryAt: Date | undefined;
}

/** A secret as it was at `revision`. */
export interface Secret {
  /** The namespace. Never empty. */
  readonly namespace: string;
  /** The name, unique in its namespace. */
  readonly name: string;
  /** A UUID that stays the same for the life of the secret. A rename does not change it. */
  readonly id: string;
  /** The value. Undefined: the reply does not return it. */
  readonly value: SecretValue | undefined;
  /** A description. Empty: it has none. */
  readonly description: string;
  /** The pairs that callers attached. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The number of the current version. */
  readonly version: number;
  /** When the secret was created. */
  readonly createdAt: Date | undefined;
  /** When the secret last changed. */
  readonly updatedAt: Date | undefined;
  /** When another version last became the current one. Undefined: none did. */
  readonly rotatedAt: Date | undefined;
  /** When the secret expires. Undefined: never. */
  readonly expiresAt: Date | undefined;
  /** When and how the secret is rotated. Undefined: only on request. */
  readonly rotationPolicy: RotationPolicy | undefined;
  /** When the next rotation is due. Undefined: none is planned. */
  readonly nextRotationAt: Date | undefined;
  /** When the secret was deleted. Undefined: it is not deleted. */
  readonly deletedAt: Date | undefined;
  /** When the server removes a deleted or expired secret for good. */
  readonly purgeAt: Date | undefined;
  /** The tag of this state. Pass it with a change, so that the change is made only if the secret has not changed since. */
  readonly etag: string;
  /** The store's revision of the last change of the secret. */
  readonly revision: bigint;
  /** The number of the version that is the new value of a staged rotation. Undefined: none is pending. */
  readonly pendingVersion: number | undefined;
  /** The claim of a worker on the rotation that is due. */
  readonly rotationClaim: RotationClaim | undefined;
  /** The last attempts to rotate the secret, where they failed. */
  readonly rotationFailure: RotationFailure | undefined;
}

/** A secret with its value. */
export interface ReadSecret extends Secret {
  /** The value of the requested version. */
  readonly value: SecretValue;
  /** The number of the version that `value` is of. */
  readonly valueVersion: number;
  /** The store's revision that the secret was read at. */
  readonly readRevision: bigint;
}

/** A secret that was changed. */
export interface ChangedSecret extends Secret {
  /** The store's revision of the change. Pass it as `minRevision` to a read that must show the change. */
  readonly changeRevision: bigint;
}

/** A rotated secret. */
export interface RotatedSecret extends ChangedSecret {
  /** The number of the new version. */
  readonly newVersion: number;
}

/** One of several requested secrets: the secret, or the error that `get` would throw. */
export interface BatchItem {
  /** The name that was asked for. */
  readonly name: string;
  /** The secret. Undefined: it cannot be returned. */
  readonly secret: Secret | undefined;
  /** Why the secret is not returned. */
  readonly error: StrongroomError | undefined;
}

/** Several secrets as they were at one revision. */
export interface SecretBatch {
  /** One item for each name, in the order of the names. */
  readonly items: readonly BatchItem[];
  /** The store's revision that all items were read at. */
  readonly revision: bigint;
  /** Returns the secret of this name, or throws its error. */
  get(name: string): Secret;
}

/** One page of secrets. */
export interface SecretPage {
  /** The secrets, without their values. */
  readonly items: readonly Secret[];
  /** The `pageToken` of the next page. Empty: this is the last page. */
  readonly nextPageToken: string;
  /** The number of secrets that match, on all pages. */
  readonly totalSize: number;
  /** The number of secrets that no list can show, because their records were altered or damaged. */
  readonly damagedSize: number;
  /** The store's revision that the page was read at. */
  readonly revision: bigint;
}

/** A namespace in which the caller may list secrets. */
export interface Namespace {
  /** The name of the namespace, such as `team/billing`. */
  readonly name: string;
  /** The number of its secrets that the caller may list, without deleted ones. */
  readonly secrets: number;
  /** The number of its deleted secrets that the caller may list and that `undelete` can bring back. */
  readonly deletedSecrets: number;
}

/** One page of namespaces. */
export interface NamespacePage {
  /** The namespaces, ordered by the bytes of their names. */
  readonly items: readonly Namespace[];
  /** The `pageToken` of the next page. Empty: this is the last page. */
  readonly nextPageToken: string;
  /**
   * The number of namespaces that no list can show, because their records were altered or damaged. 0 also when the caller may
   * not list everything.
   */
  readonly damagedSize: number;
  /** The store's revision that the page was read at. */
  readonly revision: bigint;
}

/** A deleted secret. */
export interface DeletedSecret {
  /** The id of the secret, for `undelete`. */
  readonly id: string;
  /** When it was deleted. */
  readonly deletedAt: Date | undefined;
  /** When the server removes it for good. */
  readonly purgeAt: Date | undefined;
  /** The store's revision of the deletion. */
  readonly revision: bigint;
}

/** What happened to a secret. */
export type SecretEventType =
  | "snapshot"
  | "created"
  | "updated"
  | "renamed"
  | "staged"
  | "rotated"
  | "version_changed"
  | "deleted"
  | "undeleted"
  | "purged"
  | "rotation_due"
  | "rotation_failed"
  | "expiring"
  | "expired"
  | "removed"
  | Other;

/** A change of one secret. */
export interface SecretEvent {
  /** What happened. `snapshot`: the secret matches at the beginning. `removed`: it does not match any more. */
  readonly type: SecretEventType;
  /** The secret after the change, without its value. */
  readonly secret: Secret;
  /** The store's revision of the change. */
  readonly revision: bigint;
  /** The name before a rename, where the caller may list that name. */
  readonly formerName: string | undefined;
  /** The `afterRevision` with which a watch continues after this event. */
  readonly resumeRevision: bigint;
  /** When it happened, by the clock of the server. Undefined: a `snapshot`. */
  readonly occurredAt: Date | undefined;
}

/** A consumer of a version: who reads its value, or says that it uses it. */
export interface Consumer {
  /** The principal, for example `key:abcdefghijklmnop`. */
  readonly principal: string;
  /** When it last read the value, to the minute. */
  readonly lastReadAt: Date | undefined;
  /** When it acknowledged the version. */
  readonly acknowledgedAt: Date | undefined;
  /** The name that it gave itself in `acknowledge`. Empty: none. */
  readonly consumer: string;
}

/** The state of a version. */
export type VersionState = "pending" | "enabled" | "disabled" | "destroyed" | Other;

/** A version of a secret, without its value. */
export interface SecretVersion {
  /** The number. The first is 1. */
  readonly number: number;
  /** The state. */
  readonly state: VersionState;
  /** When it was created. */
  readonly createdAt: Date | undefined;
  /** When its state last changed. */
  readonly stateChangedAt: Date | undefined;
  /** Whether it is the current version. */
  readonly current: boolean;
  /** When its value was last read, to the minute. */
  readonly lastReadAt: Date | undefined;
  /** Who read or acknowledged it, the latest first: at most 64. */
  readonly consumers: readonly Consumer[];
  /** When its grace period ends, and it is disabled. */
  readonly retiresAt: Date | undefined;
}

/** The versions of a secret. */
export interface SecretVersions {
  /** The versions that the server keeps, newest first. */
  readonly versions: readonly SecretVersion[];
  /** The store's revision that they were read at. */
  readonly revision: bigint;
}

/** A version that was disabled or enabled. */
export interface ChangedVersion {
  /** The version in its new state. */
  readonly version: SecretVersion;
  /** The secret in its new state. */
  readonly secret: Secret;
  /** The store's revision of the change. */
  readonly revision: bigint;
}

/** The server's signed statement that it destroyed a version. */
export interface DestructionReceipt {
  /** The namespace of the secret. */
  readonly namespace: string;
  /** The name of the secret. */
  readonly name: string;
  /** The id of the secret. */
  readonly secretId: string;
  /** The number of the version. */
  readonly version: number;
  /** When it was destroyed. */
  readonly destroyedAt: Date | undefined;
  /** The SHA-256 digest of the deleted wrapped data key, in hexadecimal. Empty: there was none that could be read. */
  readonly dataKeySha256: string;
  /** The exact bytes that are signed. */
  readonly statement: Uint8Array;
  /** The Ed25519 signature of `statement`. */
  readonly signature: Uint8Array;
  /** The Ed25519 public key that verifies the signature. Compare it with a copy that you trust. */
  readonly publicKey: Uint8Array;
  /** A short id of the public key. */
  readonly keyId: string;
}

/** A destroyed version. */
export interface DestroyedVersion extends ChangedVersion {
  /** The signed statement that it was destroyed. */
  readonly receipt: DestructionReceipt;
}

/** A version that a consumer has acknowledged. */
export interface AcknowledgedVersion {
  /** The version with its consumers. */
  readonly version: SecretVersion;
  /** The store's revision of the change. */
  readonly revision: bigint;
}

/** A rotation that the caller holds. */
export interface ClaimedRotation {
  /** Identifies the claim in `rotate`, `promote` and `releaseRotation`. */
  readonly claimId: string;
  /** The secret to rotate, without its value. */
  readonly secret: Secret;
  /** When the lease runs out. */
  readonly leaseExpiresAt: Date | undefined;
  /** The version that another worker has left pending. */
  readonly pendingVersion: number | undefined;
  /** The store's revision of the change. */
  readonly revision: bigint;
}

/** A permission to do something. */
export type Right = "list" | "read" | "write" | "rotate" | "delete" | "manage_access" | "audit" | "operate" | Other;

/** An API key, without the key itself. */
export interface ApiKey {
  /** The public part of the key. */
  readonly id: string;
  /** The name that the key was given. */
  readonly name: string;
  /** The namespace that a call of this key without a namespace means. */
  readonly homeNamespace: string;
  /** True for the key that was made with the store. */
  readonly root: boolean;
  /** When it was created. */
  readonly createdAt: Date | undefined;
  /** When it expires. Undefined: never. */
  readonly expiresAt: Date | undefined;
  /** When it was revoked. Undefined: it is not revoked. */
  readonly revokedAt: Date | undefined;
  /** When it last got a new secret. */
  readonly rotatedAt: Date | undefined;
  /** When it last authenticated a call, to the minute. */
  readonly lastUsedAt: Date | undefined;
}

/** An API key with its new secret. */
export interface CreatedApiKey {
  /** The key as the server keeps it. */
  readonly apiKey: ApiKey;
  /** The key itself: `credential.text()`. It cannot be shown again. */
  readonly credential: SecretValue;
  /** The store's revision of the change. */
  readonly revision: bigint;
}

/** The identity of the caller. */
export interface Identity {
  /** The caller as the audit log names it. */
  readonly principal: string;
  /** The API key of the caller. Undefined: it presented another kind of credential. */
  readonly apiKey: ApiKey | undefined;
  /** The rights of the caller on some secret of its home namespace at least, and on the service as a whole. */
  readonly rights: readonly Right[];
  /** The groups of the caller. */
  readonly groups: readonly string[];
  /** The namespace that a call without a namespace means. */
  readonly homeNamespace: string;
  /** The store's revision that the answer was read at. */
  readonly revision: bigint;
}

/** A named set of rights. */
export interface Role {
  /** The name. */
  readonly name: string;
  /** The rights. */
  readonly rights: readonly Right[];
  /** What the role is for. */
  readonly description: string;
  /** True for a role that every store has. */
  readonly builtIn: boolean;
  /** When it was created. Undefined: it is built in. */
  readonly createdAt: Date | undefined;
}

/** A binding: it gives a principal the rights of a role, or denies them. */
export interface Binding {
  /** The id. */
  readonly id: string;
  /** Whom it is for, for example `key:abcdefghijklmnop` or `group:corp:ops`. */
  readonly principal: string;
  /** The name of the role. */
  readonly role: string;
  /** The namespaces: one (`team/ci`), one and everything below it (`team/**`), or all (`**`). */
  readonly namespacePattern: string;
  /** The names of secrets. Each `*` stands for any characters. */
  readonly namePattern: string;
  /** True: it denies the rights, whatever other bindings give. */
  readonly denies: boolean;
  /** When it was created. */
  readonly createdAt: Date | undefined;
  /** From when on it does not count any more. Undefined: it never expires. */
  readonly expiresAt: Date | undefined;
  /** What it is for. */
  readonly description: string;
}

/** Whether a principal has a right, and why. */
export interface Explanation {
  /** Whether the principal has the right. */
  readonly allowed: boolean;
  /** The binding that decides. Undefined: no binding gives the right. */
  readonly binding: Binding | undefined;
  /** The reason in words. */
  readonly explanation: string;
  /** The command that would give the right. Empty: the principal has it. */
  readonly remedy: string;
  /** The store's revision that the answer was read at. */
  readonly revision: bigint;
}

/** A secret that a step of a document names with `secret_name`. */
export interface DocumentCredential {
  /** The place of the step: a JSON Pointer, for example `/steps/0`. */
  readonly path: string;
  /** The name of the secret. */
  readonly secretName: string;
  /** The value of the secret. */
  readonly value: SecretValue;
}

/** A secret that a document names. */
export interface Reference {
  /** The name of the secret. */
  readonly name: string;
  /** The places that name it: JSON Pointers. */
  readonly paths: readonly string[];
  /** Whether it exists. Always false when the caller may not know this. */
  readonly exists: boolean;
  /** Whether the caller can read its value. */
  readonly readable: boolean;
}

/** A document with its references resolved. Printing it does not show the document. */
export interface ResolvedDocument {
  /** The resolved document, with the keys in the order of the given one. It holds values of secrets: do not log it. */
  readonly document: JsonObject;
  /** The secrets that `secret_name` beside `tool` names, in the order of the document. */
  readonly credentials: readonly DocumentCredential[];
  /** The secrets that the document names, each once, ordered by name. */
  readonly references: readonly Reference[];
  /** The store's revision that the secrets were read at. */
  readonly revision: bigint;
}
