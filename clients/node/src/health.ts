// Asks each of several servers for its health, so that calls go to those that serve.
import { Code, ConnectError } from "@connectrpc/connect";
import type { Server } from "./connection.js";
import { HealthCheckResponse_ServingStatus as Status } from "./gen/grpc/health/v1/health_pb.js";

/** The service whose health counts: it reads and changes secrets. */
const SERVICE = "strongroom.v1.SecretService";

/** How long an answer can take, in milliseconds. A server that takes longer counts as one that does not serve. */
const LONGEST_PROBE_MS = 5_000;

/**
 * The probes of the servers of one client. They begin with its first call, and only where there are several servers. No timer
 * keeps the process alive.
 */
export class HealthProbes {
  readonly #servers: readonly Server[];
  readonly #intervalMs: number;
  readonly #signal: AbortSignal;
  readonly #asked = new Set<Server>();
  #timer: NodeJS.Timeout | undefined;

  /** The probes end when the signal is aborted. */
  constructor(servers: readonly Server[], intervalMs: number, signal: AbortSignal) {
    this.#servers = servers;
    this.#intervalMs = intervalMs;
    this.#signal = signal;
  }

  /** Begins to ask. A second call does nothing. */
  begin(): void {
    if (this.#timer !== undefined || this.#servers.length < 2 || this.#signal.aborted) {
      return;
    }
    this.#timer = setInterval(() => this.#askAll(), this.#intervalMs);
    this.#timer.unref();
    this.#signal.addEventListener("abort", () => clearInterval(this.#timer), { once: true });
    this.#askAll();
  }

  #askAll(): void {
    for (const server of this.#servers) {
      // A server that has not answered the last question gets no second one.
      if (!this.#asked.has(server)) {
        this.#asked.add(server);
        void this.#ask(server).finally(() => this.#asked.delete(server));
      }
    }
  }

  async #ask(server: Server): Promise<void> {
    try {
      await server.connect(LONGEST_PROBE_MS, this.#signal);
      const options = { timeoutMs: LONGEST_PROBE_MS, signal: this.#signal };
      const { status } = await server.stubs.health.check({ service: SERVICE }, options);
      server.says(status !== Status.NOT_SERVING);
    } catch (error) {
      if (this.#signal.aborted) {
        return;
      }
      if (ConnectError.from(error).code === Code.Unimplemented) {
        // A server without health checks: its calls show how it is.
        server.says(true);
      } else {
        server.failed();
      }
    }
  }
}
