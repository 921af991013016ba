// The changes of a namespace's secrets, as they are made.
import type { Caller } from "./caller.js";
import { StrongroomError } from "./errors.js";
import type { WatchSecretsResponse } from "./gen/strongroom/v1/secret_pb.js";
import type { SecretEvent } from "./models.js";
import { eventOf } from "./replies.js";
import { pauseAfter } from "./retry.js";
import { sleep } from "./time.js";

/** What to watch. */
export interface WatchOptions {
  /** The namespace. Undefined: that of the client. */
  readonly namespace?: string | undefined;
  /** Also watch the namespaces below it. */
  readonly includeChildren?: boolean | undefined;
  /** Tell only of secrets whose name begins with this text. */
  readonly namePrefix?: string | undefined;
  /** Tell only of secrets whose metadata holds all these pairs. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Tell the changes after this revision: the `resumeRevision` of an earlier watch. Undefined: the changes from now on. */
  readonly afterRevision?: bigint | undefined;
  /** First tell the secrets that match now, then the changes since. Must not be set together with `afterRevision`. */
  readonly snapshot?: boolean | undefined;
  /** Ends the watch when it is aborted; the watch then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** One step of a watch. */
export type Step =
  /** Changes. */
  | { readonly kind: "events"; readonly events: readonly SecretEvent[] }
  /** All changes up to this revision were told. */
  | { readonly kind: "synced"; readonly revision: bigint }
  /** The connection is lost. The watch goes on by itself. */
  | { readonly kind: "lost"; readonly error: StrongroomError | undefined };

/** Returns the steps of a watch, until the signal is aborted. Throws an error that does not pass by itself. */
export async function* steps(
  caller: Caller,
  options: WatchOptions,
  signal: AbortSignal,
): AsyncGenerator<Step, void, undefined> {
  const progress = new Progress(options);
  for (;;) {
    let failure: StrongroomError | undefined;
    try {
      const request = progress.request();
      for await (const reply of caller.stream(
        "WatchSecrets",
        (stubs, call) => stubs.secrets.watchSecrets(request, call),
        signal,
      )) {
        yield* progress.read(reply);
      }
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      if (!(error instanceof StrongroomError)) {
        throw error;
      }
      failure = error;
    }
    const pause = progress.pauseAfter(caller, failure);
    if (pause === undefined) {
      throw failure ?? new StrongroomError("The watch has ended.");
    }
    yield { kind: "lost", error: failure };
    await sleep(pause, signal);
    if (signal.aborted) {
      return;
    }
  }
}

/**
 * The changes of a namespace's secrets: `client.secrets.watch` makes it. It is an async iterator.
 *
 * Where the connection breaks or the server restarts, it continues by itself behind the last event: no event is left out, and
 * none comes twice. It waits while nothing happens. `break`, `close()` or the end of an `await using` block ends it.
 */
export class Watch implements AsyncIterableIterator<SecretEvent> {
  readonly #events: AsyncGenerator<SecretEvent, void, undefined>;
  readonly #ending = new AbortController();
  #resumeRevision: bigint;

  /** @internal */
  constructor(caller: Caller, options: WatchOptions) {
    this.#resumeRevision = options.afterRevision ?? 0n;
    this.#events = this.#read(caller, options);
  }

  /** The `afterRevision` with which another watch continues. 0: nothing was received yet. */
  get resumeRevision(): bigint {
    return this.#resumeRevision;
  }

  /** Waits for the next event. Throws an error that does not pass by itself. */
  next(): Promise<IteratorResult<SecretEvent, void>> {
    return this.#events.next();
  }

  /** Ends the watch. */
  async return(): Promise<IteratorResult<SecretEvent, void>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** Ends the watch. A `next` that waits then ends too. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#events.return(undefined);
  }

  /** Returns the watch itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The same as `close()`, for an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *#read(caller: Caller, options: WatchOptions): AsyncGenerator<SecretEvent, void, undefined> {
    const signals = [this.#ending.signal, caller.closing, ...(options.signal === undefined ? [] : [options.signal])];
    caller.check(options.signal);
    for await (const step of steps(caller, options, AbortSignal.any(signals))) {
      if (step.kind === "events") {
        for (const event of step.events) {
          // 0: an event of a snapshot, which no watch continues. The end of the snapshot says how far it has come.
          if (event.resumeRevision > 0n) {
            this.#resumeRevision = event.resumeRevision;
          }
          yield event;
        }
      } else if (step.kind === "synced") {
        this.#resumeRevision = step.revision;
      }
    }
    if (!this.#ending.signal.aborted) {
      options.signal?.throwIfAborted();
    }
  }
}

/** How far a watch has come: what to ask for next, and which events were told. */
class Progress {
  readonly #options: WatchOptions;
  #resumeRevision: bigint;
  /** The events of a snapshot that is not complete. Undefined: the snapshot is told, or none is asked for. */
  #snapshot: SecretEvent[] | undefined;
  #revision = 0n;
  readonly #told = new Set<string>();
  #received = false;
  #failures = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#resumeRevision = options.afterRevision ?? 0n;
    this.#snapshot = options.snapshot === true ? [] : undefined;
  }

  /** Returns the request for the stream that continues the watch. */
  request() {
    const snapshot = this.#snapshot !== undefined;
    if (snapshot) {
      // A snapshot that broke begins again.
      this.#snapshot = [];
    }
    return {
      namespace: this.#options.namespace ?? "",
      includeChildren: this.#options.includeChildren ?? false,
      namePrefix: this.#options.namePrefix ?? "",
      metadata: { ...this.#options.metadata },
      afterRevision: this.#resumeRevision,
      snapshot,
    };
  }

  /** Returns the steps that a message brings. */
  *read({ step }: WatchSecretsResponse): Generator<Step, void, undefined> {
    this.#received = true;
    this.#failures = 0;
    if (step.case === "bookmark") {
      const { revision, synced } = step.value;
      const complete = this.#snapshot;
      if (complete === undefined || synced) {
        this.#snapshot = undefined;
        this.#resumeRevision = revision;
        if (complete !== undefined && complete.length > 0) {
          yield { kind: "events", events: complete };
        }
        if (synced) {
          yield { kind: "synced", revision };
        }
      }
    } else if (step.case === "event") {
      const event = eventOf(step.value);
      if (event.type === "snapshot") {
        this.#snapshot?.push(event);
      } else if (this.#isNew(event)) {
        if (this.#snapshot !== undefined) {
          this.#snapshot.push(event);
        } else {
          this.#resumeRevision = event.resumeRevision;
          yield { kind: "events", events: [event] };
        }
      }
    }
  }

  #isNew(event: SecretEvent): boolean {
    if (event.revision < this.#revision || (event.revision === this.#revision && this.#told.has(event.secret.id))) {
      return false;
    }
    if (event.revision > this.#revision) {
      this.#revision = event.revision;
      this.#told.clear();
    }
    this.#told.add(event.secret.id);
    return true;
  }

  /** Returns the pause before the next stream, in milliseconds. Undefined: the error does not pass by itself. */
  pauseAfter(caller: Caller, error: StrongroomError | undefined): number | undefined {
    this.#failures += 1;
    if (caller.closed) {
      return undefined;
    }
    if (error !== undefined) {
      if (!passes(error)) {
        return undefined;
      }
      // A server that never answered may not be there at all.
      if (!this.#received && this.#failures >= caller.settings.retry.attempts) {
        return undefined;
      }
    }
    return pauseAfter(caller.settings.retry, this.#failures, error);
  }
}

/** Whether a watch can go on after the error. */
function passes(error: StrongroomError): boolean {
  switch (error.code) {
    case "UNAVAILABLE":
      return true;
    case "CANCELLED":
    case "DEADLINE_EXCEEDED":
    case "INTERNAL":
    case "UNKNOWN":
      return error.reason === undefined || error.reason === "DEADLINE_EXCEEDED";
    default:
      return error.retryAfterMs !== undefined;
  }
}
