// The calls about secrets and their versions.
import { Caller } from "./caller.js";
import { SecretNotFoundError } from "./errors.js";
import { errorOfItem } from "./failure.js";
import { optional, wireGenerator } from "./generate.js";
import type {
  AcknowledgedVersion,
  BatchItem,
  ChangedSecret,
  ChangedVersion,
  ClaimedRotation,
  DeletedSecret,
  DestroyedVersion,
  Namespace,
  NamespacePage,
  ReadSecret,
  RotatedSecret,
  Secret,
  SecretBatch,
  SecretPage,
  SecretVersions,
} from "./models.js";
import { consistencyOf, viewOf } from "./reading.js";
import {
  changedSecret,
  changedVersion,
  dateOf,
  destroyedVersion,
  readSecret,
  result,
  secretOf,
  versionOf,
  wireDate,
  wireDuration,
  wirePolicy,
} from "./replies.js";
import type {
  AcknowledgeOptions,
  BatchGetOptions,
  ClaimOptions,
  ConditionalOptions,
  CreateOptions,
  GetOptions,
  InNamespace,
  ListNamespacesOptions,
  ListNamespacesPageOptions,
  ListOptions,
  ListPageOptions,
  PromoteOptions,
  ReleaseOptions,
  RotateOptions,
  UndeleteOptions,
  UpdateOptions,
  VersionsOptions,
} from "./secret-options.js";
import { wireValue } from "./value.js";
import { Watch, type WatchOptions } from "./watch.js";

/**
 * The secrets and their versions: `client.secrets`.
 *
 * Every method can throw an `UnauthenticatedError`, `AccessDeniedError`, `ValidationError`, `UnavailableError`,
 * `DeadlineExceededError`, `LimitExceededError`, `NotServedError` or `InternalError`. The comment of a method names the others.
 */
export class Secrets {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Creates a secret with version 1. Needs the right `write`. Also throws `SecretAlreadyExistsError`. */
  async create(name: string, options: CreateOptions): Promise<ChangedSecret> {
    const requestId = Caller.requestId(options);
    const request = {
      ...this.#named(name, options),
      ...optional("value", options.value === undefined ? undefined : wireValue(options.value)),
      ...optional("generate", options.generate && wireGenerator(options.generate)),
      description: options.description ?? "",
      metadata: { ...options.metadata },
      ...optional("expiresAt", wireDate("expiresAt", options.expiresAt)),
      ...optional("ttl", wireDuration("ttlMs", options.ttlMs)),
      ...optional("rotationPolicy", options.rotationPolicy && wirePolicy(options.rotationPolicy)),
      returnValue: options.returnValue ?? false,
      minRevision: options.minRevision ?? 0n,
      requestId,
    };
    const reply = await this.#caller.call(
      { method: "CreateSecret", requestId, send: (stubs, call) => stubs.secrets.createSecret(request, call) },
      options,
    );
    return changedSecret(reply);
  }

  /**
   * Returns a secret with its value: the current one, or that of a version. Needs the right `read`.
   *
   * Also throws `SecretNotFoundError`, `VersionNotFoundError`, `SecretExpiredError`, `VersionPendingError`,
   * `VersionDisabledError`, `VersionDestroyedError` or `IntegrityError`.
   */
  async get(name: string, options: GetOptions & { readonly view: "metadata" }): Promise<Secret>;
  /** Returns a secret with its value. */
  async get(name: string, options?: GetOptions & { readonly view?: "full" | undefined }): Promise<ReadSecret>;
  async get(name: string, options: GetOptions = {}): Promise<Secret> {
    const request = {
      ...this.#named(name, options),
      ...optional("version", options.version),
      view: viewOf(options.view),
      minRevision: options.minRevision ?? 0n,
      consistency: consistencyOf(options.consistency),
    };
    const reply = await this.#caller.call(
      { method: "GetSecret", send: (stubs, call) => stubs.secrets.getSecret(request, call) },
      options,
    );
    return options.view === "metadata" ? secretOf(reply.secret) : readSecret(reply);
  }

  /**
   * Returns up to 100 secrets of one namespace with their values, all as they were at one revision. Needs the right `read`.
   *
   * `batch.get(name)` returns a secret, or throws the error that `get` would throw.
   */
  async batchGet(names: readonly string[], options: BatchGetOptions = {}): Promise<SecretBatch> {
    const request = {
      namespace: this.#namespace(options),
      names: [...names],
      view: viewOf(options.view),
      minRevision: options.minRevision ?? 0n,
      consistency: consistencyOf(options.consistency),
    };
    const reply = await this.#caller.call(
      { method: "BatchGetSecrets", send: (stubs, call) => stubs.secrets.batchGetSecrets(request, call) },
      options,
    );
    const items = reply.items.map(({ name, result }): BatchItem => {
      const secret = result.case === "secret" ? secretOf(result.value) : undefined;
      return { name, secret, error: result.case === "error" ? errorOfItem(result.value) : undefined };
    });
    return new Batch(items, reply.revision);
  }

  /** Returns the secrets of a namespace without their values, from all pages. Needs the right `list`. */
  async *list(options: ListOptions = {}): AsyncGenerator<Secret, void, undefined> {
    let page = await this.listPage(options);
    for (;;) {
      yield* page.items;
      if (page.nextPageToken === "") {
        return;
      }
      page = await this.listPage({ ...options, offset: undefined, pageToken: page.nextPageToken });
    }
  }

  /** Returns one page of the secrets of a namespace, without their values. Needs the right `list`. */
  async listPage(options: ListPageOptions = {}): Promise<SecretPage> {
    const request = {
      namespace: this.#namespace(options),
      ...optional("limit", options.limit),
      ...optional("offset", options.offset),
      pageToken: options.pageToken ?? "",
      metadata: { ...options.metadata },
      namePrefix: options.namePrefix ?? "",
      orderBy: options.orderBy ?? "",
      includeDeleted: options.includeDeleted ?? false,
      minRevision: options.minRevision ?? 0n,
      consistency: consistencyOf(options.consistency),
      ...optional("unusedSince", wireDate("unusedSince", options.unusedSince)),
    };
    const reply = await this.#caller.call(
      { method: "ListSecrets", send: (stubs, call) => stubs.secrets.listSecrets(request, call) },
      options,
    );
    return result({
      items: reply.items.map(secretOf),
      nextPageToken: reply.nextPageToken,
      totalSize: reply.totalSize,
      damagedSize: reply.damagedSize,
      revision: reply.revision,
    });
  }

  /**
   * Returns the namespaces in which the caller may list secrets, from all pages, ordered by the bytes of their names. The
   * namespace of the client does not matter.
   */
  async *listNamespaces(options: ListNamespacesOptions = {}): AsyncGenerator<Namespace, void, undefined> {
    let page = await this.listNamespacesPage(options);
    for (;;) {
      yield* page.items;
      if (page.nextPageToken === "") {
        return;
      }
      page = await this.listNamespacesPage({ ...options, pageToken: page.nextPageToken });
    }
  }

  /** Returns one page of the namespaces in which the caller may list secrets. */
  async listNamespacesPage(options: ListNamespacesPageOptions = {}): Promise<NamespacePage> {
    const request = {
      below: options.below ?? "",
      ...optional("limit", options.limit),
      pageToken: options.pageToken ?? "",
      minRevision: options.minRevision ?? 0n,
      consistency: consistencyOf(options.consistency),
    };
    const reply = await this.#caller.call(
      { method: "ListNamespaces", send: (stubs, call) => stubs.secrets.listNamespaces(request, call) },
      options,
    );
    return result({
      items: reply.items.map(({ name, secrets, deletedSecrets }) => ({ name, secrets, deletedSecrets })),
      nextPageToken: reply.nextPageToken,
      damagedSize: reply.damagedSize,
      revision: reply.revision,
    });
  }

  /**
   * Changes the given fields of a secret and keeps all others, in one step. `null` clears a field. Needs the right `write`.
   *
   * Also throws `SecretNotFoundError`, `SecretAlreadyExistsError`, `SecretExpiredError`, `ConflictError` or `IntegrityError`.
   */
  async update(name: string, options: UpdateOptions): Promise<ChangedSecret> {
    const requestId = Caller.requestId(options);
    const cleared = [
      ["description", options.description === null || options.description === ""],
      ["metadata", options.metadata === null || (options.metadata && Object.keys(options.metadata).length === 0)],
      ["expires_at", options.expiresAt === null],
      ["rotation_policy", options.rotationPolicy === null],
    ] as const;
    const paths = cleared.filter(([, clear]) => clear).map(([path]) => path);
    const request = {
      ...this.#named(name, options),
      ...optional("newName", options.newName),
      ...optional("value", options.value === undefined ? undefined : wireValue(options.value)),
      ...optional("description", options.description ?? undefined),
      metadata: { ...options.metadata },
      ...optional("expiresAt", wireDate("expiresAt", options.expiresAt ?? undefined)),
      ...optional("rotationPolicy", options.rotationPolicy ? wirePolicy(options.rotationPolicy) : undefined),
      ...optional("updateMask", paths.length === 0 ? undefined : { paths: [...paths] }),
      etag: options.etag ?? "",
      minRevision: options.minRevision ?? 0n,
      requestId,
    };
    const reply = await this.#caller.call(
      { method: "UpdateSecret", requestId, send: (stubs, call) => stubs.secrets.updateSecret(request, call) },
      options,
    );
    return changedSecret(reply);
  }

  /** Deletes a secret. `undelete` brings it back until `purgeAt`. Needs the right `delete`. Also throws `SecretNotFoundError`. */
  async delete(name: string, options: ConditionalOptions = {}): Promise<DeletedSecret> {
    const requestId = Caller.requestId(options);
    const request = {
      ...this.#named(name, options),
      etag: options.etag ?? "",
      minRevision: options.minRevision ?? 0n,
      requestId,
    };
    const reply = await this.#caller.call(
      { method: "DeleteSecret", requestId, send: (stubs, call) => stubs.secrets.deleteSecret(request, call) },
      options,
    );
    return result({
      id: reply.id,
      deletedAt: dateOf(reply.deletedAt),
      purgeAt: dateOf(reply.purgeAt),
      revision: reply.revision,
    });
  }

  /** Brings a deleted secret back, by its id. Needs the right `delete`. Also throws `SecretAlreadyExistsError`. */
  async undelete(id: string, options: UndeleteOptions = {}): Promise<ChangedSecret> {
    const requestId = Caller.requestId(options);
    const request = {
      namespace: this.#namespace(options),
      id,
      newName: options.newName ?? "",
      minRevision: options.minRevision ?? 0n,
      requestId,
    };
    const reply = await this.#caller.call(
      { method: "UndeleteSecret", requestId, send: (stubs, call) => stubs.secrets.undeleteSecret(request, call) },
      options,
    );
    return changedSecret(reply);
  }

  /**
   * Gives a secret a new value as its next version, in one step: readers get the old value or the new one. Needs the right
   * `rotate`. Also throws `SecretNotFoundError`, `SecretExpiredError`, `ClaimLostError` or `ConflictError`.
   */
  async rotate(name: string, options: RotateOptions = {}): Promise<RotatedSecret> {
    return this.#rotate(name, options, false);
  }

  /**
   * Stores a new value as a pending version. The current version stays until `promote`. Needs the right `rotate`. Also throws
   * `RotationPendingError`, and what `rotate` throws.
   */
  async stage(name: string, options: Omit<RotateOptions, "gracePeriodMs"> = {}): Promise<RotatedSecret> {
    return this.#rotate(name, options, true);
  }

  async #rotate(name: string, options: RotateOptions, stage: boolean): Promise<RotatedSecret> {
    const requestId = Caller.requestId(options);
    const request = {
      ...this.#named(name, options),
      ...optional("value", options.value === undefined ? undefined : wireValue(options.value)),
      ...optional("generate", options.generate && wireGenerator(options.generate)),
      ...optional("gracePeriod", wireDuration("gracePeriodMs", options.gracePeriodMs)),
      stage,
      returnValue: options.returnValue ?? false,
      claimId: options.claimId ?? "",
      etag: options.etag ?? "",
      minRevision: options.minRevision ?? 0n,
      requestId,
    };
    const reply = await this.#caller.call(
      { method: "RotateSecret", requestId, send: (stubs, call) => stubs.secrets.rotateSecret(request, call) },
      options,
    );
    return Object.assign(changedSecret(reply), { newVersion: reply.version });
  }

  /**
   * Makes a version the current one: the pending one, or an older one to go back to its value. Needs the right `rotate`. Also
   * throws `VersionNotFoundError`, `VersionDisabledError`, `VersionDestroyedError`, `ClaimLostError` or `ConflictError`.
   */
  async promote(name: string, version: number, options: PromoteOptions = {}): Promise<ChangedSecret> {
    const requestId = Caller.requestId(options);
    const request = {
      ...this.#named(name, options),
      version,
      ...optional("gracePeriod", wireDuration("gracePeriodMs", options.gracePeriodMs)),
      claimId: options.claimId ?? "",
      etag: options.etag ?? "",
      minRevision: options.minRevision ?? 0n,
      requestId,
    };
    const reply = await this.#caller.call(
      { method: "PromoteVersion", requestId, send: (stubs, call) => stubs.secrets.promoteVersion(request, call) },
      options,
    );
    return changedSecret(reply);
  }

  /** Returns the versions of a secret without their values, newest first. Needs the right `list`. */
  async versions(name: string, options: VersionsOptions = {}): Promise<SecretVersions> {
    const request = {
      ...this.#named(name, options),
      minRevision: options.minRevision ?? 0n,
      consistency: consistencyOf(options.consistency),
    };
    const reply = await this.#caller.call(
      { method: "ListSecretVersions", send: (stubs, call) => stubs.secrets.listSecretVersions(request, call) },
      options,
    );
    return result({ versions: reply.versions.map(versionOf), revision: reply.revision });
  }

  /** Disables a version, so that its value cannot be read. Needs the right `write`. Also throws `VersionNotFoundError`. */
  async disableVersion(name: string, version: number, options: ConditionalOptions = {}): Promise<ChangedVersion> {
    const request = this.#version(name, version, options);
    const { requestId } = request;
    const reply = await this.#caller.call(
      { method: "DisableVersion", requestId, send: (stubs, call) => stubs.secrets.disableVersion(request, call) },
      options,
    );
    return changedVersion(reply);
  }

  /** Enables a disabled version. Needs the right `write`. Also throws `VersionNotFoundError`. */
  async enableVersion(name: string, version: number, options: ConditionalOptions = {}): Promise<ChangedVersion> {
    const request = this.#version(name, version, options);
    const { requestId } = request;
    const reply = await this.#caller.call(
      { method: "EnableVersion", requestId, send: (stubs, call) => stubs.secrets.enableVersion(request, call) },
      options,
    );
    return changedVersion(reply);
  }

  /** Destroys the value of a version for good, and returns a signed receipt. Needs the right `delete`. */
  async destroyVersion(name: string, version: number, options: ConditionalOptions = {}): Promise<DestroyedVersion> {
    const request = this.#version(name, version, options);
    const { requestId } = request;
    const reply = await this.#caller.call(
      { method: "DestroyVersion", requestId, send: (stubs, call) => stubs.secrets.destroyVersion(request, call) },
      options,
    );
    return destroyedVersion(reply);
  }

  /** Notes that this consumer now uses a version. Needs the right `read`. */
  async acknowledge(name: string, version: number, options: AcknowledgeOptions = {}): Promise<AcknowledgedVersion> {
    const request = {
      ...this.#named(name, options),
      version,
      consumer: options.consumer ?? "",
      minRevision: options.minRevision ?? 0n,
    };
    const reply = await this.#caller.call(
      { method: "AcknowledgeVersion", send: (stubs, call) => stubs.secrets.acknowledgeVersion(request, call) },
      options,
    );
    return result({ version: versionOf(reply.version), revision: reply.revision });
  }

  /**
   * Takes a rotation that is due, so that no other worker takes it at the same time. Needs the right `rotate`. Throws
   * `NoRotationDueError` when there is none. The call has no `requestId`, so it is not sent again.
   */
  async claimRotation(options: ClaimOptions = {}): Promise<ClaimedRotation> {
    const request = {
      namespace: this.#namespace(options),
      namePrefix: options.namePrefix ?? "",
      metadata: { ...options.metadata },
      ...optional("lease", wireDuration("leaseMs", options.leaseMs)),
      minRevision: options.minRevision ?? 0n,
    };
    const reply = await this.#caller.call(
      { method: "ClaimRotation", repeatable: false, send: (stubs, call) => stubs.secrets.claimRotation(request, call) },
      options,
    );
    return result({
      claimId: reply.claimId,
      secret: secretOf(reply.secret),
      leaseExpiresAt: dateOf(reply.leaseExpiresAt),
      pendingVersion: reply.pendingVersion,
      revision: reply.revision,
    });
  }

  /** Gives a claimed rotation back. Needs the right `rotate`. Also throws `ClaimLostError`. It is not sent again. */
  async releaseRotation(claimId: string, options: ReleaseOptions = {}): Promise<ChangedSecret> {
    const request = {
      claimId,
      error: options.error ?? "",
      ...optional("retryAfter", wireDuration("retryAfterMs", options.retryAfterMs)),
      minRevision: options.minRevision ?? 0n,
    };
    const reply = await this.#caller.call(
      {
        method: "ReleaseRotation",
        repeatable: false,
        send: (stubs, call) => stubs.secrets.releaseRotation(request, call),
      },
      options,
    );
    return changedSecret(reply);
  }

  /**
   * Returns an async iterator over the changes of a namespace's secrets, as they are made. Needs the right `list`.
   *
   * It continues by itself where the connection breaks or the server restarts. It throws `RevisionCompactedError` when the
   * server does not keep the changes after `afterRevision` any more: watch again with `snapshot`.
   */
  watch(options: WatchOptions = {}): Watch {
    return new Watch(this.#caller, { ...options, namespace: this.#namespace(options) });
  }

  #namespace(options: InNamespace): string {
    return options.namespace ?? this.#caller.settings.namespace;
  }

  #named(name: string, options: InNamespace): { namespace: string; name: string } {
    return { namespace: this.#namespace(options), name };
  }

  #version(name: string, version: number, options: ConditionalOptions) {
    return {
      ...this.#named(name, options),
      version,
      etag: options.etag ?? "",
      minRevision: options.minRevision ?? 0n,
      requestId: Caller.requestId(options),
    };
  }
}

/** Several secrets as they were at one revision. */
class Batch implements SecretBatch {
  readonly items: readonly BatchItem[];
  readonly revision: bigint;

  constructor(items: readonly BatchItem[], revision: bigint) {
    this.items = items;
    this.revision = revision;
  }

  get(name: string): Secret {
    const item = this.items.find((each) => each.name === name);
    if (item?.secret !== undefined) {
      return item.secret;
    }
    throw item?.error ?? new SecretNotFoundError(`The batch did not ask for ${name}.`);
  }

  toJSON(): unknown {
    return { items: this.items, revision: this.revision.toString() };
  }
}
