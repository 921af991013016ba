// Sends calls: picks a server, adds the credential, and sends again what can succeed later.
import { randomUUID } from "node:crypto";
import type { CallOptions as ConnectOptions } from "@connectrpc/connect";
import { Server, type Stubs } from "./connection.js";
import { ClosedError, DeadlineExceededError, type StrongroomError, UnavailableError } from "./errors.js";
import { type Failure, failureOf } from "./failure.js";
import { HealthProbes } from "./health.js";
import { isTransient, pauseAfter } from "./retry.js";
import { milliseconds, type Settings } from "./settings.js";
import { sleep, within } from "./time.js";
import { VERSION } from "./version.js";

/** The options of every call. */
export interface CallOptions {
  /** Ends the call when it is aborted; the call then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The time for the call with all its repeats, in milliseconds. Undefined: that of the client. */
  readonly timeoutMs?: number | undefined;
}

/** The options of a call that changes a secret. */
export interface ChangeOptions extends CallOptions {
  /**
   * A UUID of this change. When the same change comes again with the same id within 24 hours, the server returns the stored
   * outcome and changes nothing. Undefined: the client makes one for each call, which all its repeats carry. Pass your own to
   * repeat a change after a crash.
   */
  readonly requestId?: string | undefined;
}

/** One call of a method. */
export interface Call<Reply> {
  /** The name of the method, for errors. */
  readonly method: string;
  /** Sends the request. */
  readonly send: (stubs: Stubs, options: ConnectOptions) => Promise<Reply>;
  /** The `requestId` in the request. */
  readonly requestId?: string | undefined;
  /** Whether the request can be sent twice with the same effect as once. Undefined: yes. */
  readonly repeatable?: boolean | undefined;
}

/** Sends calls to one of the servers of a client. */
export class Caller {
  readonly settings: Settings;
  readonly #servers: Server[];
  #current = 0;
  readonly #closing = new AbortController();
  readonly #probes: HealthProbes;

  constructor(settings: Settings) {
    this.settings = settings;
    this.#servers = settings.addresses.map((address) => new Server(address, settings));
    // Clients with the same list do not all begin with its first server.
    this.#current = Math.floor(Math.random() * this.#servers.length);
    this.#probes = new HealthProbes(this.#servers, settings.healthProbeMs, this.#closing.signal);
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Is aborted when the client is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Returns the `requestId` of a change. */
  static requestId(options: ChangeOptions): string {
    return options.requestId ?? randomUUID();
  }

  /** Sends a call, again where it can succeed later, and returns the reply. */
  async call<Reply>(call: Call<Reply>, options: CallOptions): Promise<Reply> {
    const { signal } = options;
    const timeoutMs =
      options.timeoutMs === undefined ? this.settings.timeoutMs : milliseconds("timeoutMs", options.timeoutMs);
    const deadline = performance.now() + timeoutMs;
    this.#probes.begin();
    const tried = new Set<Server>();
    let rounds = 1;
    let renewed = false;
    // Whether each server that was tried in this round fails until somebody changes the settings.
    let hopeless = true;
    for (;;) {
      this.check(signal);
      const left = deadline - performance.now();
      const server = this.#pick(tried);
      const attempt: Sent = { header: undefined, sent: false };
      let failure: Failure;
      try {
        if (left <= 0) {
          throw late(server, timeoutMs, call.requestId);
        }
        const reply = await this.#attempt(server, call, left, signal, attempt);
        server.succeeded();
        return reply;
      } catch (thrown) {
        this.check(signal);
        failure = this.#failure(thrown, server, call);
      }
      const { error } = failure;
      if (error.code === "UNAUTHENTICATED" && !renewed && (await this.#renew(attempt, deadline, signal))) {
        renewed = true;
        continue;
      }
      hopeless &&= failure.permanent;
      if (failure.ofServer) {
        server.failed();
        tried.add(server);
      }
      const repeatable = (call.repeatable ?? true) || !attempt.sent;
      if (!repeatable || left <= 0) {
        throw error;
      }
      if (failure.ofServer && tried.size < this.#servers.length) {
        continue;
      }
      const pause = pauseAfter(this.settings.retry, rounds, error);
      if (
        hopeless ||
        !isTransient(error) ||
        rounds >= this.settings.retry.attempts ||
        pause >= deadline - performance.now()
      ) {
        throw error;
      }
      rounds += 1;
      tried.clear();
      hopeless = true;
      await sleep(pause, signal);
    }
  }

  /** Opens a stream on one of the servers. Throws a `StrongroomError`; the caller decides whether to open another. */
  async *stream<Message>(
    method: string,
    open: (stubs: Stubs, options: ConnectOptions) => AsyncIterable<Message>,
    signal: AbortSignal,
  ): AsyncGenerator<Message, void, undefined> {
    this.#probes.begin();
    const server = this.#pick(new Set());
    const attempt: Sent = { header: undefined, sent: false };
    for (let renewed = false; ; renewed = true) {
      try {
        const options = await this.#prepare(server, this.settings.timeoutMs, signal, attempt);
        for await (const message of open(server.stubs, { ...options, signal })) {
          server.succeeded();
          yield message;
        }
        return;
      } catch (thrown) {
        this.check(signal);
        const failure = this.#failure(thrown, server, { method });
        const deadline = performance.now() + this.settings.timeoutMs;
        if (failure.error.code === "UNAUTHENTICATED" && !renewed && (await this.#renew(attempt, deadline, signal))) {
          continue;
        }
        if (failure.ofServer) {
          server.failed();
        }
        throw failure.error;
      }
    }
  }

  /** Throws where the client is closed or the signal is aborted. */
  check(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.closed) {
      throw new ClosedError("The client is closed: make a new one.");
    }
  }

  /** Closes the connections. What is under way ends. */
  close(): void {
    if (!this.closed) {
      this.#closing.abort();
      for (const server of this.#servers) {
        server.close();
      }
    }
  }

  async #attempt<Reply>(
    server: Server,
    call: Call<Reply>,
    leftMs: number,
    signal: AbortSignal | undefined,
    attempt: Sent,
  ): Promise<Reply> {
    const end = performance.now() + leftMs;
    const options = await this.#prepare(server, leftMs, signal, attempt);
    attempt.sent = true;
    const timeoutMs = Math.max(Math.ceil(end - performance.now()), 1);
    return call.send(
      server.stubs,
      signal === undefined ? { ...options, timeoutMs } : { ...options, timeoutMs, signal },
    );
  }

  /** Connects, and returns the headers of the call. */
  async #prepare(
    server: Server,
    leftMs: number,
    signal: AbortSignal | undefined,
    attempt: Sent,
  ): Promise<{ headers: Record<string, string> }> {
    const connecting = server.connect(leftMs, signal);
    if (connecting !== undefined) {
      await connecting;
    }
    let header = this.settings.credential.header();
    if (typeof header !== "string" && header !== undefined) {
      header = await within(header, leftMs, signal).then((text) => {
        if (text === undefined) {
          throw new DeadlineExceededError(
            "The credential was not there in time: check the function or the file that gives it.",
          );
        }
        return text;
      });
    }
    attempt.header = header;
    const headers: Record<string, string> = { "user-agent": `strongroom-node/${VERSION}` };
    if (header !== undefined) {
      headers.authorization = header;
    }
    return { headers };
  }

  async #renew(attempt: Sent, deadline: number, signal: AbortSignal | undefined): Promise<boolean> {
    const renewal = this.settings.credential.renew(attempt.header);
    return (await within(renewal, deadline - performance.now(), signal)) ?? false;
  }

  #failure(thrown: unknown, server: Server, call: Pick<Call<unknown>, "method" | "requestId">): Failure {
    const failure = failureOf(thrown, {
      address: server.address,
      answered: server.answered,
      method: call.method,
      sentRequestId: call.requestId,
    });
    if (!failure.ofServer && failure.error.requestId !== undefined) {
      server.succeeded();
    }
    return failure;
  }

  /** Returns the server to use: the one in use while it is healthy, or else the next healthy one, or else the soonest. */
  #pick(tried: ReadonlySet<Server>): Server {
    const now = performance.now();
    const count = this.#servers.length;
    let soonest: { server: Server; index: number } | undefined;
    for (let step = 0; step < count; step += 1) {
      const index = (this.#current + step) % count;
      const server = this.#servers[index];
      if (server === undefined || (tried.has(server) && tried.size < count)) {
        continue;
      }
      if (server.downUntil <= now) {
        this.#current = index;
        return server;
      }
      if (soonest === undefined || server.downUntil < soonest.server.downUntil) {
        soonest = { server, index };
      }
    }
    if (soonest === undefined) {
      throw new UnavailableError("There is no server to ask.");
    }
    this.#current = soonest.index;
    return soonest.server;
  }
}

/** What is known about one attempt. */
interface Sent {
  /** The header with the credential that it was sent with. */
  header: string | undefined;
  /** Whether the request may have left this machine. */
  sent: boolean;
}

function late(server: Server, timeoutMs: number, sentRequestId: string | undefined): StrongroomError {
  return new DeadlineExceededError(
    `The server at ${server.address.url} did not answer within ${timeoutMs} ms: check that it is not overloaded, or raise timeoutMs.`,
    { code: "DEADLINE_EXCEEDED", sentRequestId },
  );
}
