// The settings of a client, checked.
import { type Address, parseAddresses } from "./address.js";
import { type Credential, type CredentialOptions, credentialFrom } from "./credentials.js";
import { misconfigured } from "./errors.js";
import { type RetryPolicy, retryPolicy } from "./retry.js";
import { type Certificates, certificatesFrom, type TlsOptions } from "./tls.js";

/** The address where a server on this machine listens. */
const DEFAULT_SERVER = "127.0.0.1:50051";

/** The longest time for a call that gRPC can express in milliseconds. */
const LONGEST_MS = 99_999_999;

/** The settings of a client. */
export interface ClientOptions extends CredentialOptions, TlsOptions {
  /**
   * The address of the server, or of several replicas of it: `https://host:port` (TLS), `http://host:port` (plaintext) or
   * `host:port`, which is plaintext on this machine, if there are no settings of TLS, and TLS otherwise. The default port is
   * 50051. Undefined: 127.0.0.1:50051.
   */
  readonly server?: string | readonly string[] | undefined;
  /** The namespace of calls that name none. Undefined: the home namespace of the credential. */
  readonly namespace?: string | undefined;
  /** The time for a call with all its repeats, in milliseconds. Undefined: 30 seconds. */
  readonly timeoutMs?: number | undefined;
  /** The time for a connection to be made, in milliseconds. Then another address is tried. Undefined: 5 seconds. */
  readonly connectTimeoutMs?: number | undefined;
  /** After how long without data a connection is probed, in milliseconds. Undefined: 20 seconds. */
  readonly keepaliveMs?: number | undefined;
  /**
   * How often each of several servers is asked for its health, in milliseconds; one that does not serve gets no calls while
   * another does. Undefined: 5 seconds.
   */
  readonly healthProbeMs?: number | undefined;
  /** How often a failed call is sent again. What it leaves out has its default. */
  readonly retry?: Partial<RetryPolicy> | undefined;
  /**
   * Send credentials and values in plaintext to another machine, where everyone on the way can read them. Undefined: such an
   * address is refused.
   */
  readonly insecurePlaintext?: boolean | undefined;
}

/** The checked settings of one client. */
export interface Settings {
  readonly addresses: readonly Address[];
  readonly namespace: string;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly keepaliveMs: number;
  readonly healthProbeMs: number;
  readonly retry: RetryPolicy;
  readonly credential: Credential;
  readonly certificates: Certificates;
}

/** Checks the settings. Throws a `ConfigurationError` that says what to do. */
export function settingsFrom(options: ClientOptions): Settings {
  const hasTls = options.ca !== undefined || options.caFile !== undefined || options.clientCertificate !== undefined;
  const addresses = parseAddresses(options.server ?? DEFAULT_SERVER, hasTls);
  const open = addresses.find(({ tls, loopback }) => !tls && !loopback);
  if (open !== undefined && options.insecurePlaintext !== true) {
    throw misconfigured(
      "server",
      `${open.url} is plaintext, and others on the network could read credentials and values: use https://, or accept the ` +
        "risk with insecurePlaintext: true.",
    );
  }
  if (typeof (options.namespace ?? "") !== "string") {
    throw new TypeError("namespace must be a string");
  }
  return {
    addresses,
    namespace: options.namespace ?? "",
    timeoutMs: milliseconds("timeoutMs", options.timeoutMs ?? 30_000),
    connectTimeoutMs: milliseconds("connectTimeoutMs", options.connectTimeoutMs ?? 5_000),
    keepaliveMs: milliseconds("keepaliveMs", options.keepaliveMs ?? 20_000),
    healthProbeMs: milliseconds("healthProbeMs", options.healthProbeMs ?? 5_000),
    retry: retryPolicy(options.retry),
    credential: credentialFrom(options, options.clientCertificate !== undefined),
    certificates: certificatesFrom(
      options,
      addresses.every(({ tls }) => !tls),
    ),
  };
}

/** Checks a time in milliseconds, and cuts it to what gRPC can express. */
export function milliseconds(field: string, value: number): number {
  if (typeof value !== "number" || !(value > 0)) {
    throw misconfigured(field, "must be a number of milliseconds, more than 0.");
  }
  return Math.min(Math.ceil(value), LONGEST_MS);
}

/**
 * Returns the settings that the environment variables of the command line give. An empty variable counts as absent, and the
 * `overrides` take precedence.
 */
export function optionsFromEnv(
  environment: Readonly<Record<string, string | undefined>>,
  overrides: ClientOptions,
): ClientOptions {
  const variable = (name: string) => environment[`STRONGROOM_${name}`] || undefined;
  const options: Record<string, unknown> = { server: variable("SERVER"), namespace: variable("NAMESPACE") };
  const givenCredential =
    overrides.apiKey ?? overrides.apiKeyFile ?? overrides.token ?? overrides.tokenFile ?? overrides.clientCertificate;
  if (givenCredential === undefined) {
    options.apiKey = variable("API_KEY");
    options.apiKeyFile = options.apiKey === undefined ? variable("API_KEY_FILE") : undefined;
  }
  if (overrides.ca === undefined && overrides.caFile === undefined) {
    options.caFile = variable("CA_CERT");
  }
  const [certFile, keyFile] = [variable("CLIENT_CERT"), variable("CLIENT_KEY")];
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw misconfigured("STRONGROOM_CLIENT_CERT", "and STRONGROOM_CLIENT_KEY go together: set both, or neither.");
  }
  if (givenCredential === undefined && certFile !== undefined) {
    options.clientCertificate = { certFile, keyFile };
  }
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
  return { ...options, ...Object.fromEntries(given) };
}
