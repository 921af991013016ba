// A server of this process with methods that a test gives, over plaintext or TLS.
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "../src/gen/google/rpc/error_details_pb.js";
import { Health } from "../src/gen/grpc/health/v1/health_pb.js";
import { AccessService } from "../src/gen/strongroom/v1/access_pb.js";
import { ReferenceService } from "../src/gen/strongroom/v1/reference_pb.js";
import { type SecretSchema, SecretService } from "../src/gen/strongroom/v1/secret_pb.js";
import { type ClientOptions, Strongroom } from "../src/index.js";

/** An API key of the right form. */
export const KEY = "srk_abcdefghijklmnop_not-a-real-key";

/** A server that ends with the test. */
export class FakeServer implements AsyncDisposable {
  readonly #server: http2.Http2Server;
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  readonly address: string;
  readonly tls: boolean;
  /** How many connections were made. */
  connections = 0;

  private constructor(server: http2.Http2Server, tls: boolean) {
    this.#server = server;
    this.tls = tls;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("session", (session) => {
      this.#sessions.add(session);
      this.connections += 1;
      session.on("close", () => this.#sessions.delete(session));
      session.on("error", () => undefined);
    });
    server.on("sessionError", () => undefined);
  }

  static async start(methods: Methods = {}, options: { port?: number; tls?: { cert: Buffer; key: Buffer } } = {}) {
    const handler = connectNodeAdapter({
      routes: (router) => {
        router.service(SecretService, methods.secrets ?? {});
        router.service(AccessService, methods.access ?? {});
        router.service(ReferenceService, methods.references ?? {});
        router.service(Health, methods.health ?? {});
      },
    });
    const server =
      options.tls === undefined ? http2.createServer(handler) : http2.createSecureServer(options.tls, handler);
    await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
    return new FakeServer(server as http2.Http2Server, options.tls !== undefined);
  }

  get port(): number {
    return Number(this.address.split(":")[1]);
  }

  /** A client of this server. */
  client(options: Partial<ClientOptions> = {}): Strongroom {
    const server = `${this.tls ? "https" : "http"}://${this.address}`;
    return new Strongroom({ server, apiKey: KEY, retry: { firstDelayMs: 1, longestDelayMs: 10 }, ...options });
  }

  /** Ends all connections at once, as a crash does, and accepts no others. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const session of this.#sessions) {
      session.destroy();
    }
    await closed;
  }
}

/** The methods of a server. */
export interface Methods {
  secrets?: Partial<ServiceImpl<typeof SecretService>>;
  access?: Partial<ServiceImpl<typeof AccessService>>;
  references?: Partial<ServiceImpl<typeof ReferenceService>>;
  health?: Partial<ServiceImpl<typeof Health>>;
}

/** The error of a server. */
export function refusal(
  code: Code,
  reason: string,
  extra: { retryAfterMs?: number; violations?: { field: string; description: string }[]; message?: string } = {},
): ConnectError {
  const details: ConstructorParameters<typeof ConnectError>[3] = [
    { desc: ErrorInfoSchema, value: { reason, domain: "strongroom" } },
    { desc: RequestInfoSchema, value: { requestId: "the-request" } },
  ];
  if (extra.retryAfterMs !== undefined) {
    const seconds = Math.floor(extra.retryAfterMs / 1_000);
    const nanos = (extra.retryAfterMs - seconds * 1_000) * 1e6;
    details.push({ desc: RetryInfoSchema, value: { retryDelay: { seconds: BigInt(seconds), nanos } } });
  }
  if (extra.violations !== undefined) {
    details.push({ desc: BadRequestSchema, value: { fieldViolations: extra.violations } });
  }
  return new ConnectError(extra.message ?? "It does not work.", code, undefined, details);
}

/** The error of a server that cannot serve now. */
export const unavailable = () => refusal(Code.Unavailable, "STORE_UNAVAILABLE");

/** A secret of a reply. */
export function secret(
  name: string,
  fields: MessageInitShape<typeof SecretSchema> = {},
): MessageInitShape<typeof SecretSchema> {
  return { namespace: "default", name, id: `id-of-${name}`, version: 1, revision: 1n, etag: "1", ...fields };
}

/** The value of a reply. */
export function text(value: string): MessageInitShape<typeof SecretSchema>["value"] {
  return { kind: { case: "text", value } };
}

/** A promise that a test resolves. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Waits until the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 60_000; !(await condition()); ) {
    if (Date.now() > end) {
      throw new Error("the condition did not come true");
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
