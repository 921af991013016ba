// What the client presents to the server: an API key or a token, and how it is renewed.
import { misconfigured, UnauthenticatedError } from "./errors.js";
import { WatchedFile } from "./files.js";

/** A token, and when it ends. */
export interface Token {
  /** The token (JWT). */
  readonly token: string;
  /** When the token ends. Undefined: its claim `exp` says it; without one, it is used until the server refuses it. */
  readonly expiresAt?: Date | undefined;
}

/** Returns a token. The client calls it again shortly before the token ends, and when the server refuses the token. */
export type TokenSource = () => string | Token | Promise<string | Token>;

/** The settings that name a credential. Exactly one of them is set, or none where a client certificate is the credential. */
export interface CredentialOptions {
  /** An API key, `srk_…`. */
  readonly apiKey?: string | undefined;
  /** A file that holds an API key. It is read again when it changes. */
  readonly apiKeyFile?: string | undefined;
  /** A token (JWT), or a function that returns one and is called again before the token ends. */
  readonly token?: string | TokenSource | undefined;
  /** A file that holds a token, for example of a Kubernetes service account. It is read again when it changes. */
  readonly tokenFile?: string | undefined;
}

/** A credential for the header `authorization`. Its class has no public field, so that nothing prints it. */
export interface Credential {
  /** Returns the header, at once where no renewal is due. Undefined: a client certificate is the credential. */
  header(): string | undefined | Promise<string | undefined>;
  /** Renews a header that the server has refused. True: there is another one now. */
  renew(refused: string | undefined): Promise<boolean>;
}

/** Returns the credential that the settings name. */
export function credentialFrom(options: CredentialOptions, hasClientCertificate: boolean): Credential {
  const given = (["apiKey", "apiKeyFile", "token", "tokenFile"] as const).filter((key) => options[key] !== undefined);
  if (given.length > 1) {
    throw misconfigured(given[1] ?? "", `cannot be used together with ${given[0]}: pass one of them.`);
  }
  if (options.apiKeyFile !== undefined) {
    return new FileCredential("apiKeyFile", options.apiKeyFile);
  }
  if (options.tokenFile !== undefined) {
    return new FileCredential("tokenFile", options.tokenFile);
  }
  if (typeof options.token === "function") {
    return new RenewedToken(options.token);
  }
  const text = options.apiKey ?? options.token;
  if (text === undefined && !hasClientCertificate) {
    throw misconfigured(
      "apiKey",
      "is missing, and there is no other credential: pass apiKey, apiKeyFile, token, tokenFile or clientCertificate, or set STRONGROOM_API_KEY or STRONGROOM_API_KEY_FILE and use Strongroom.fromEnv().",
    );
  }
  return new FixedCredential(text === undefined ? undefined : bearer(given[0] ?? "", text));
}

/** An API key or a token that stays, or none. */
class FixedCredential implements Credential {
  readonly #header: string | undefined;

  constructor(header: string | undefined) {
    this.#header = header;
  }

  header(): string | undefined {
    return this.#header;
  }

  async renew(): Promise<boolean> {
    return false;
  }
}

/** An API key or a token in a file. */
class FileCredential implements Credential {
  readonly #setting: string;
  readonly #file: WatchedFile;
  #content: Buffer | undefined;
  #header = "";

  constructor(setting: string, path: string) {
    this.#setting = setting;
    this.#file = new WatchedFile(setting, path);
  }

  header(): string | Promise<string> {
    const current = this.#file.current;
    return current === undefined ? this.#file.read().then((content) => this.#of(content)) : this.#of(current);
  }

  async renew(refused: string | undefined): Promise<boolean> {
    return this.#of(await this.#file.read(true)) !== refused;
  }

  #of(content: Buffer): string {
    if (content !== this.#content) {
      // Latin-1 decodes any bytes. `bearer` refuses what is not ASCII.
      this.#header = bearer(this.#setting, content.toString("latin1"));
      this.#content = content;
    }
    return this.#header;
  }
}

/** A token of a function, kept until shortly before it ends. */
class RenewedToken implements Credential {
  readonly #source: TokenSource;
  #header: string | undefined;
  #renewAt = Number.NEGATIVE_INFINITY;
  #renewing: Promise<string> | undefined;

  constructor(source: TokenSource) {
    this.#source = source;
  }

  header(): string | Promise<string> {
    return this.#header !== undefined && Date.now() < this.#renewAt ? this.#header : this.#renewed();
  }

  async renew(refused: string | undefined): Promise<boolean> {
    return (this.#header === refused ? await this.#renewed() : this.#header) !== refused;
  }

  #renewed(): Promise<string> {
    this.#renewing ??= this.#ask().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #ask(): Promise<string> {
    let given: string | Token;
    try {
      given = await this.#source();
    } catch (error) {
      const usable = this.#header;
      if (usable !== undefined && Date.now() < this.#renewAt + renewalMargin) {
        return usable;
      }
      const name = error instanceof Error ? error.name : "an error";
      throw new UnauthenticatedError(`The function \`token\` failed with ${name}: see its own log.`, {
        reason: "CREDENTIAL_MISSING",
      });
    }
    const { token, expiresAt } = typeof given === "string" ? { token: given, expiresAt: undefined } : given;
    const header = bearer("token", token);
    const end = expiresAt?.getTime() ?? endOf(token) ?? Number.POSITIVE_INFINITY;
    // A token that lives for a short time is renewed after half of it.
    this.#renewAt = Math.max(end - renewalMargin, Date.now() + (end - Date.now()) / 2);
    this.#header = header;
    return header;
  }
}

/** How long before its end a token is renewed, in milliseconds. */
const renewalMargin = 30_000;

/** Returns the end of a JWT from its claim `exp`, in milliseconds since 1970. Undefined: it has none that can be read. */
function endOf(token: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    const exp = typeof claims === "object" && claims !== null && "exp" in claims ? claims.exp : undefined;
    return typeof exp === "number" ? exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the header of a credential, without the white space that files and shells add. Errors do not show it. */
function bearer(setting: string, text: string): string {
  if (typeof text !== "string") {
    throw new TypeError(`${setting} must be a string`);
  }
  const trimmed = text.trim();
  if (trimmed === "") {
    throw misconfigured(setting, "is empty: check that it holds an API key or a token.");
  }
  if (!/^[!-~]+$/.test(trimmed)) {
    throw misconfigured(setting, "must be printable ASCII without spaces: check that the credential is complete.");
  }
  return `Bearer ${trimmed}`;
}
