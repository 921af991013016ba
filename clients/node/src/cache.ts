// A cache of secrets that watches keep fresh.
import type { Caller, CallOptions } from "./caller.js";
import { ClosedError, DeadlineExceededError, UnavailableError } from "./errors.js";
import type { ReadSecret } from "./models.js";
import { type Entry, NamespaceCache } from "./namespace-cache.js";
import { result } from "./replies.js";
import type { Secrets } from "./secrets.js";
import { SecretValue } from "./value.js";

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
