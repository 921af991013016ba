// The client.
import { inspect } from "node:util";
import type { JsonObject } from "@bufbuild/protobuf";
import { Access, type ExplainOptions } from "./access.js";
import { type CacheOptions, SecretCache } from "./cache.js";
import { Caller, type CallOptions } from "./caller.js";
import type { Explanation, Identity, ResolvedDocument, Right } from "./models.js";
import { type ResolveOptions, resolve } from "./references.js";
import { Secrets } from "./secrets.js";
import { type ClientOptions, optionsFromEnv, settingsFrom } from "./settings.js";

/**
 * A client of Strongroom. It connects at the first call, and all calls share one connection.
 *
 * ```ts
 * await using client = Strongroom.fromEnv();
 * const secret = await client.secrets.get("db_password");
 * connect(secret.value.text());
 * ```
 */
export class Strongroom {
  readonly #caller: Caller;
  /** The secrets and their versions. */
  readonly secrets: Secrets;
  /** API keys, roles and bindings. */
  readonly access: Access;

  /** Throws a `ConfigurationError` where a setting cannot be used. It sends nothing yet. */
  constructor(options: ClientOptions) {
    this.#caller = new Caller(settingsFrom(options));
    this.secrets = new Secrets(this.#caller);
    this.access = new Access(this.#caller);
  }

  /**
   * Makes a client from the environment variables of the command line: STRONGROOM_SERVER, STRONGROOM_API_KEY or
   * STRONGROOM_API_KEY_FILE, STRONGROOM_NAMESPACE, STRONGROOM_CA_CERT, STRONGROOM_CLIENT_CERT and STRONGROOM_CLIENT_KEY. An
   * empty variable counts as absent. The `overrides` take precedence.
   */
  static fromEnv(overrides: ClientOptions = {}): Strongroom {
    return new Strongroom(optionsFromEnv(process.env, overrides));
  }

  /** Returns the identity of the caller and its rights. The same as `access.whoami`. */
  whoami(options: CallOptions = {}): Promise<Identity> {
    return this.access.whoami(options);
  }

  /** Says whether a principal has a right, and why. The same as `access.explain`. */
  explain(right: Right, options: ExplainOptions = {}): Promise<Explanation> {
    return this.access.explain(right, options);
  }

  /**
   * Returns a document with its references to secrets replaced by their values. Needs the right `read` on these secrets.
   *
   * A string that begins with `$ ` is an expression, for example `$ secrets.db_password`. Also throws `SecretNotFoundError`,
   * `InvalidReferenceError` or `ReferenceTooCostlyError`, whose `violations` give the places.
   */
  resolve(document: JsonObject, options: ResolveOptions = {}): Promise<ResolvedDocument> {
    return resolve(this.#caller, document, options);
  }

  /** Returns a cache of secrets, which watches keep fresh. It ends with the client. */
  cached(options: CacheOptions = {}): SecretCache {
    this.#caller.check(undefined);
    return new SecretCache(this.#caller, this.secrets, options);
  }

  /** Closes the connection, the caches and the watches. What is under way fails. A second call does nothing. */
  async close(): Promise<void> {
    this.#caller.close();
  }

  /** The same as `close()`, for an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Returns the servers and the namespace, without the credential. */
  [inspect.custom](): string {
    const { addresses, namespace } = this.#caller.settings;
    return `Strongroom { server: '${addresses.map(({ url }) => url).join(",")}', namespace: '${namespace}' }`;
  }

  /** Returns the servers and the namespace, without the credential. */
  toJSON(): unknown {
    const { addresses, namespace } = this.#caller.settings;
    return { server: addresses.map(({ url }) => url), namespace };
  }
}
