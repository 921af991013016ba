// One server: its connection, and what is known about its health.
import type { ClientHttp2Stream, OutgoingHttpHeaders, SecureClientSessionOptions } from "node:http2";
import { createSecureContext } from "node:tls";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, type GrpcTransportOptions, Http2SessionManager } from "@connectrpc/connect-node";
import type { Address } from "./address.js";
import { misconfigured, UnavailableError } from "./errors.js";
import { Health } from "./gen/grpc/health/v1/health_pb.js";
import { AccessService } from "./gen/strongroom/v1/access_pb.js";
import { ReferenceService } from "./gen/strongroom/v1/reference_pb.js";
import { SecretService } from "./gen/strongroom/v1/secret_pb.js";
import type { Settings } from "./settings.js";
import { within } from "./time.js";
import type { Pem } from "./tls.js";

/** How long a connection can take to answer a probe, in milliseconds. */
const PROBE_MS = 5_000;

/** The largest reply. A page of 1,000 secrets, each with as much metadata as a secret can have, is about 43 MB. */
const LARGEST_REPLY = 64 * 1024 * 1024;

/** How long a server that failed is left alone: after the first failure and at most, in milliseconds. */
const [FIRST_DOWN_MS, LONGEST_DOWN_MS] = [1_000, 30_000];

/** The stubs of the services over one connection. */
export interface Stubs {
  readonly secrets: Client<typeof SecretService>;
  readonly access: Client<typeof AccessService>;
  readonly references: Client<typeof ReferenceService>;
  readonly health: Client<typeof Health>;
}

/** One server. It connects when it is first used, and again when the connection is lost. */
export class Server {
  readonly address: Address;
  readonly stubs: Stubs;
  /** Whether it has answered at least once. */
  answered = false;
  readonly #connection: Connection;
  #failures = 0;
  #downUntil = 0;
  #serving = true;

  constructor(address: Address, settings: Settings) {
    this.address = address;
    this.#connection = new Connection(address, settings);
    const transport = createGrpcTransport({
      baseUrl: address.url,
      sessionManager: this.#connection,
      readMaxBytes: LARGEST_REPLY,
      acceptCompression: [],
    });
    this.stubs = {
      secrets: createClient(SecretService, transport),
      access: createClient(AccessService, transport),
      references: createClient(ReferenceService, transport),
      health: createClient(Health, transport),
    };
  }

  /** Until when the server is left alone, by `performance.now()`. In the past: it is healthy. */
  get downUntil(): number {
    return this.#serving ? this.#downUntil : Number.POSITIVE_INFINITY;
  }

  /** Notes what the server says of its health. One that does not serve is left alone until it says that it does. */
  says(serving: boolean): void {
    this.#serving = serving;
    this.succeeded();
  }

  /** Waits until there is a connection. Throws where there is none within the time. */
  connect(leftMs: number, signal: AbortSignal | undefined): Promise<void> | undefined {
    return this.#connection.connect(leftMs, signal);
  }

  /** Notes that the server has answered. */
  succeeded(): void {
    this.answered = true;
    this.#failures = 0;
    this.#downUntil = 0;
  }

  /** Notes that the server failed. It is left alone for a while, longer after each failure. */
  failed(): void {
    const downMs = Math.min(FIRST_DOWN_MS * 2 ** Math.min(this.#failures, 10), LONGEST_DOWN_MS);
    this.#failures += 1;
    this.#downUntil = performance.now() + downMs * (0.5 + Math.random() / 2);
  }

  /** Closes the connection and ends what is under way on it. */
  close(): void {
    this.#connection.close();
  }
}

/** What a transport asks of its connection. */
type SessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

/** The HTTP/2 connection of one server. A new one is made where the client certificate has changed. */
class Connection implements SessionManager {
  readonly authority: string;
  readonly #settings: Settings;
  readonly #tls: boolean;
  #session: Http2SessionManager;
  #client: readonly [Pem, Pem] | undefined;
  /** Connections with a former client certificate, for what is still under way on them. */
  #former: Http2SessionManager[] = [];

  constructor(address: Address, settings: Settings) {
    this.authority = address.url;
    this.#settings = settings;
    this.#tls = address.tls;
    this.#session = this.#open();
  }

  connect(leftMs: number, signal: AbortSignal | undefined): Promise<void> | undefined {
    const state = this.#session.state();
    const connected = state === "open" || state === "idle" || state === "verifying";
    if (connected && this.#settings.certificates.client === undefined) {
      return undefined;
    }
    return this.#connect(leftMs, signal);
  }

  async #connect(leftMs: number, signal: AbortSignal | undefined): Promise<void> {
    await this.#takeClientCertificate();
    const session = this.#session;
    const limit = Math.min(leftMs, this.#settings.connectTimeoutMs);
    const connected = await within(session.connect(), limit, signal);
    if (connected === undefined) {
      if (leftMs >= this.#settings.connectTimeoutMs) {
        session.abort(new ConnectError("the connection was not made in time", Code.Unavailable));
      }
      throw new UnavailableError(
        `The server at ${this.authority} cannot be reached: there was no connection within ${Math.ceil(limit)} ms. ` +
          "Check that it runs and that the address is right.",
        { code: "UNAVAILABLE" },
      );
    }
    if (connected === "error") {
      throw session.error() ?? new ConnectError("the connection failed", Code.Unavailable);
    }
  }

  /** Reads the client certificate, and opens another connection where it has changed. */
  async #takeClientCertificate(): Promise<void> {
    const { client } = this.#settings.certificates;
    if (client === undefined || !this.#tls) {
      return;
    }
    const [cert, key] = await Promise.all([client.cert.read(), client.key.read()]);
    if (this.#client?.[0] === cert && this.#client[1] === key) {
      return;
    }
    try {
      createSecureContext({ cert: buffer(cert), key: buffer(key) });
    } catch (error) {
      if (this.#client !== undefined) {
        // The two files are not replaced in one step. The former pair is used until they fit together.
        return;
      }
      const code = error instanceof Error && "code" in error ? String(error.code) : "an error";
      throw misconfigured(
        "clientCertificate",
        `cannot be used (${code}): check that both files are whole and fit together.`,
      );
    }
    this.#client = [cert, key];
    this.#former = this.#former.filter((session) => session.state() === "open");
    this.#former.push(this.#session);
    this.#session = this.#open();
  }

  #open(): Http2SessionManager {
    const { ca } = this.#settings.certificates;
    const [cert, key] = this.#client ?? [];
    const options: SecureClientSessionOptions = { settings: { enablePush: false } };
    if (this.#tls) {
      options.minVersion = "TLSv1.2";
      if (ca !== undefined) {
        options.ca = ca;
      }
      if (cert !== undefined && key !== undefined) {
        options.cert = buffer(cert);
        options.key = buffer(key);
      }
    }
    return new Http2SessionManager(
      this.authority,
      { pingIntervalMs: this.#settings.keepaliveMs, pingTimeoutMs: PROBE_MS },
      options,
    );
  }

  request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: Parameters<Http2SessionManager["request"]>[3],
  ): Promise<ClientHttp2Stream> {
    return this.#session.request(method, path, headers, options);
  }

  notifyResponseByteRead(stream: ClientHttp2Stream): void {
    this.#session.notifyResponseByteRead(stream);
    for (const session of this.#former) {
      session.notifyResponseByteRead(stream);
    }
  }

  close(): void {
    for (const session of [this.#session, ...this.#former]) {
      session.abort();
    }
    this.#former = [];
  }
}

function buffer(pem: Pem): string | Buffer {
  return typeof pem === "string" ? pem : Buffer.from(pem);
}
