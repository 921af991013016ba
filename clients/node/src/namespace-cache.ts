// The part of a cache that is about one namespace: its watch, and the reads that are under way.
import type { Caller, CallOptions } from "./caller.js";
import {
  AccessDeniedError,
  ConflictError,
  DeadlineExceededError,
  FailedPreconditionError,
  NotFoundError,
  RevisionCompactedError,
  UnauthenticatedError,
  UnavailableError,
} from "./errors.js";
import type { ReadSecret, SecretEvent } from "./models.js";
import type { Secrets } from "./secrets.js";
import { sleep, within } from "./time.js";
import { type Step, steps } from "./watch.js";

/** What the cache holds of one secret. */
export interface Entry {
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

/** What the cache of a namespace does with the entries. */
export interface Entries {
  entry(name: string): Entry | undefined;
  store(name: string, secret: ReadSecret): void;
  drop(name: string): void;
  dropNamespace(): void;
  dropAll(): void;
}

/** The part of a cache that one watch keeps fresh. */
export class NamespaceCache {
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
