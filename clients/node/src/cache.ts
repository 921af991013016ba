// A cache of secrets that watches keep fresh.
import type { Caller, CallOptions } from "./caller.js";
import {
  AccessDeniedError,
  ClosedError,
  ConflictError,
  DeadlineExceededError,
  FailedPreconditionError,
  NotFoundError,
  RevisionCompactedError,
  UnauthenticatedError,
  UnavailableError,
} from "./errors.js";
import type { ReadSecret, SecretEvent } from "./models.js";
import { result } from "./replies.js";
import type { Secrets } from "./secrets.js";
import { sleep, within } from "./time.js";
import { SecretValue } from "./value.js";
import { type Step, steps } from "./watch.js";

/** The settings of a cache. */
export interface CacheOptions {
  /** How many secrets it holds at most. The one that was not used for longest leaves first. Undefined: 1,000. */
  readonly maxEntries?: number | undefined;
  /**
   * For how long it returns the last known values after the connection is lost, in milliseconds. 0: not at all. Undefined: 5
   * minutes.
   */
  readonly staleForMs?: number | undefined;
}

/** The options of `SecretCache.get`. */
export interface CachedGetOptions extends CallOptions {
  /** The namespace. Undefined: that of the client. */
  readonly namespace?: string | undefined;
}

/** A secret of a cache. */
export interface CachedSecret extends ReadSecret {
  /** Whether the connection is lost, so that the secret may have changed since. */
  readonly stale: boolean;
  /** For how long the connection has been lost, in milliseconds. 0 where it is not. */
  readonly staleMs: number;
}

/** What the cache holds of one secret. */
interface Entry {
  readonly secret: ReadSecret;
  /** Whether no change is known since it was read. */
  fresh: boolean;
  /** Since when a change is known that could not be read, by `performance.now()`. */
  changedAt: number | undefined;
}

/** A read that is under way. */
interface Flight {
  readonly reply: Promise<ReadSecret>;
  /** The latest change that was told since it began. */
  changed: bigint;
}

/** After how long a watch that was refused is tried again, in milliseconds. */
const REFUSED_MS = 10_000;

/**
 * A cache of secrets: `client.cached` makes it.
 *
 * The first `get` of a secret reads it from the server. One watch for each namespace tells the changes, and a changed secret is
 * read again: so a further `get` waits for nothing. After the connection is lost, the cache returns the last known value for
 * `staleForMs`, with `stale: true`. When the caller may not read any more, because a right or its credential is taken away, the
 * cache of the namespace, or the whole cache, is emptied at once.
 *
 * The watches need the right `list`. Without it, each `get` asks the server. Values that leave the cache are overwritten.
 */
export class SecretCache {
  readonly #caller: Caller;
  readonly #secrets: Secrets;
  readonly #maxEntries: number;
  readonly #staleForMs: number;
  readonly #namespaces = new Map<string, NamespaceCache>();
  /** All entries, those used last at the end. */
  readonly #entries = new Map<string, Entry>();
  readonly #ending = new AbortController();

  /** @internal */
  constructor(caller: Caller, secrets: Secrets, options: CacheOptions) {
    this.#caller = caller;
    this.#secrets = secrets;
    this.#maxEntries = Math.max(1, options.maxEntries ?? 1_000);
    this.#staleForMs = options.staleForMs ?? 5 * 60_000;
    caller.closing.addEventListener("abort", () => this.close(), { once: true, signal: this.#ending.signal });
  }

  /** The number of secrets that it holds. */
  get size(): number {
    return this.#entries.size;
  }

  /** Returns a secret with its value. Throws what `client.secrets.get` throws. The value is a copy, which the caller can wipe. */
  async get(name: string, options: CachedGetOptions = {}): Promise<CachedSecret> {
    this.#caller.check(options.signal);
    if (this.#ending.signal.aborted) {
      throw new ClosedError("The cache is closed: make a new one.");
    }
    const namespace = options.namespace ?? this.#caller.settings.namespace;
    const cache = this.#namespace(namespace);
    const key = keyOf(namespace, name);
    const known = this.#use(key);
    if (known?.fresh && (cache.live || this.#mayBeStale(cache, known))) {
      return copyOf(known.secret, cache.lostAt);
    }
    try {
      return copyOf(await cache.read(name, options), undefined);
    } catch (error) {
      const last = this.#entries.get(key);
      const away = error instanceof UnavailableError || error instanceof DeadlineExceededError;
      if (last !== undefined && away && this.#mayBeStale(cache, last)) {
        return copyOf(last.secret, cache.lostAt ?? last.changedAt ?? performance.now());
      }
      throw error;
    }
  }

  /** Forgets all secrets, and overwrites their values. The watches go on. */
  clear(): void {
    for (const key of [...this.#entries.keys()]) {
      this.#drop(key);
    }
    for (const cache of this.#namespaces.values()) {
      cache.forget();
    }
  }

  /** Ends the watches and forgets all secrets. */
  close(): void {
    this.#ending.abort();
    this.clear();
    this.#namespaces.clear();
  }

  /** The same as `close()`, for a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  #namespace(namespace: string): NamespaceCache {
    let cache = this.#namespaces.get(namespace);
    if (cache === undefined) {
      cache = new NamespaceCache(this.#caller, this.#secrets, namespace, this.#ending.signal, {
        entry: (name) => this.#entries.get(keyOf(namespace, name)),
        store: (name, secret) => this.#store(keyOf(namespace, name), secret),
        drop: (name) => this.#drop(keyOf(namespace, name)),
        dropNamespace: () => {
          for (const key of [...this.#entries.keys()].filter((each) => each.startsWith(`${namespace} `))) {
            this.#drop(key);
          }
        },
        dropAll: () => this.clear(),
      });
      this.#namespaces.set(namespace, cache);
    }
    return cache;
  }

  /** Whether the last known value can be returned though the connection is lost. */
  #mayBeStale(cache: NamespaceCache, entry: Entry): boolean {
    const since = Math.min(cache.lostAt ?? Number.POSITIVE_INFINITY, entry.changedAt ?? Number.POSITIVE_INFINITY);
    return since !== Number.POSITIVE_INFINITY && performance.now() - since < this.#staleForMs;
  }

  /** Returns an entry, and notes that it was used. An expired one is dropped. */
  #use(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      return undefined;
    }
    if (entry.secret.expiresAt !== undefined && entry.secret.expiresAt.getTime() <= Date.now()) {
      this.#drop(key);
      return undefined;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  #store(key: string, secret: ReadSecret): void {
    this.#drop(key);
    // The cache has a copy of its own, so that it can overwrite it while the caller still uses the other one.
    const own: Writable<ReadSecret> = result(secret);
    own.value = SecretValue.from(secret.value);
    this.#entries.set(key, { secret: own, fresh: true, changedAt: undefined });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries) {
        break;
      }
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    entry?.secret.value.wipe();
  }
}

/** What the cache of a namespace does with the entries. */
interface Entries {
  entry(name: string): Entry | undefined;
  store(name: string, secret: ReadSecret): void;
  drop(name: string): void;
  dropNamespace(): void;
  dropAll(): void;
}

/** The part of a cache that one watch keeps fresh. */
class NamespaceCache {
  /** Whether the watch has told all changes up to now. */
  live = false;
  /** Since when the connection has been lost, by `performance.now()`. Undefined: it is not, or nothing was told yet. */
  lostAt: number | undefined;
  readonly #caller: Caller;
  readonly #secrets: Secrets;
  readonly #namespace: string;
  readonly #signal: AbortSignal;
  readonly #entries: Entries;
  readonly #flights = new Map<string, Flight>();
  /** The revision up to which the watch has told the changes. Undefined: it tells none. */
  #revision: bigint | undefined;
  /** Changes when what is under way must not be stored. */
  #epoch = 0;
  /** Ends when the watch has begun, or has failed for the first time. */
  readonly #begun: Promise<void>;
  #begin: () => void = () => undefined;

  constructor(caller: Caller, secrets: Secrets, namespace: string, signal: AbortSignal, entries: Entries) {
    this.#caller = caller;
    this.#secrets = secrets;
    this.#namespace = namespace;
    this.#signal = signal;
    this.#entries = entries;
    this.#begun = new Promise((resolve) => {
      this.#begin = resolve;
    });
    void this.#follow();
  }

  /** Reads a secret from the server. Reads of the same secret at the same time are one. */
  async read(name: string, options: CallOptions): Promise<ReadSecret> {
    const limit = options.timeoutMs ?? this.#caller.settings.timeoutMs;
    const reply = await within(this.#flight(name).reply, limit, options.signal);
    if (reply === undefined) {
      throw new DeadlineExceededError(
        `The server did not answer within ${limit} ms: check that it is not overloaded.`,
        {
          code: "DEADLINE_EXCEEDED",
        },
      );
    }
    return reply;
  }

  /** Forgets what is under way. */
  forget(): void {
    this.#epoch += 1;
    this.#flights.clear();
  }

  #flight(name: string): Flight {
    let flight = this.#flights.get(name);
    if (flight === undefined) {
      const started: Flight = { reply: this.#load(name, () => started), changed: 0n };
      started.reply.catch(() => undefined);
      flight = started;
      this.#flights.set(name, flight);
    }
    return flight;
  }

  async #load(name: string, flight: () => Flight): Promise<ReadSecret> {
    await this.#begun;
    const [epoch, revision] = [this.#epoch, this.#revision];
    try {
      const secret = await this.#secrets.get(name, {
        namespace: this.#namespace,
        minRevision: revision ?? 0n,
        signal: this.#signal,
      });
      // Every change after `revision` is told. Without one since then, the secret stays fresh until the next is told.
      const covered = revision !== undefined && this.#revision !== undefined && epoch === this.#epoch;
      if (covered && flight().changed <= secret.readRevision) {
        this.#entries.store(name, secret);
      } else if (epoch === this.#epoch) {
        this.#entries.drop(name);
      }
      return secret;
    } catch (error) {
      this.#refused(name, error);
      throw error;
    } finally {
      if (this.#flights.get(name) === flight()) {
        this.#flights.delete(name);
      }
    }
  }

  /** Drops what the caller may not read any more, or what is not there any more. */
  #refused(name: string, error: unknown): void {
    if (error instanceof UnauthenticatedError) {
      this.#entries.dropAll();
    } else if (
      error instanceof AccessDeniedError ||
      error instanceof NotFoundError ||
      error instanceof FailedPreconditionError
    ) {
      this.#entries.drop(name);
    }
  }

  /** Follows the changes until the cache is closed. */
  async #follow(): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        for await (const step of steps(this.#caller, { namespace: this.#namespace }, this.#signal)) {
          this.#take(step);
        }
      } catch (error) {
        await this.#ended(error);
      }
    }
    this.#begin();
  }

  #take(step: Step): void {
    switch (step.kind) {
      case "events":
        for (const event of step.events) {
          this.#changed(event);
        }
        break;
      case "synced":
        this.#revision = step.revision;
        this.live = true;
        this.lostAt = undefined;
        this.#begin();
        break;
      case "lost":
        this.#lost();
        if (step.error?.reason === "CONTENDED") {
          // The caller's rights have changed: what it may not read any more must not be returned.
          this.#epoch += 1;
          this.#entries.dropNamespace();
        }
        break;
    }
  }

  #lost(): void {
    this.live = false;
    if (this.#revision !== undefined) {
      this.lostAt ??= performance.now();
    }
    this.#begin();
  }

  #changed(event: SecretEvent): void {
    const gone = ["deleted", "purged", "expired", "removed"].includes(event.type);
    if (event.formerName !== undefined) {
      this.#note(event.formerName, event.revision);
      this.#entries.drop(event.formerName);
    }
    const { name } = event.secret;
    this.#note(name, event.revision);
    if (gone) {
      this.#entries.drop(name);
      return;
    }
    const entry = this.#entries.entry(name);
    if (entry !== undefined && entry.secret.readRevision < event.revision) {
      entry.fresh = false;
      entry.changedAt ??= performance.now();
      // What was under way may have begun before the change.
      this.#flights.delete(name);
      this.#flight(name);
    }
  }

  #note(name: string, revision: bigint): void {
    const flight = this.#flights.get(name);
    if (flight !== undefined && flight.changed < revision) {
      flight.changed = revision;
    }
  }

  /** The watch was refused, or cannot go on behind its last event. */
  async #ended(error: unknown): Promise<void> {
    this.#lost();
    if (error instanceof UnavailableError || error instanceof DeadlineExceededError) {
      // The server was never there. The reads say so to the caller.
      await sleep(this.#caller.settings.retry.longestDelayMs, this.#signal);
      return;
    }
    // A right or the credential was taken away, other names may be listed now, or changes were missed.
    this.#epoch += 1;
    this.#revision = undefined;
    this.lostAt = undefined;
    if (error instanceof UnauthenticatedError) {
      this.#entries.dropAll();
    } else {
      this.#entries.dropNamespace();
    }
    const continues = error instanceof ConflictError || error instanceof RevisionCompactedError;
    await sleep(continues ? this.#caller.settings.retry.firstDelayMs : REFUSED_MS, this.#signal);
  }
}

function keyOf(namespace: string, name: string): string {
  return `${namespace} ${name}`;
}

function copyOf(secret: ReadSecret, lostAt: number | undefined): CachedSecret {
  const copy: Writable<CachedSecret> = result(secret as CachedSecret);
  copy.value = SecretValue.from(secret.value);
  copy.stale = lostAt !== undefined;
  copy.staleMs = lostAt === undefined ? 0 : Math.max(performance.now() - lostAt, 0);
  return copy;
}

/** The same type, for the code that makes an object of it. */
type Writable<T> = { -readonly [K in keyof T]: T[K] };
