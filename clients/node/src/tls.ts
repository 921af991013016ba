// The certificates of a connection with TLS.
import { readFileSync } from "node:fs";
import * as nodeTls from "node:tls";
import { misconfigured } from "./errors.js";
import { unreadable, WatchedFile } from "./files.js";

/** Certificates or a key in PEM. */
export type Pem = string | Uint8Array;

/** A client certificate with its private key, in files that are read again when they change, or in PEM. */
export type ClientCertificate =
  | { readonly certFile: string; readonly keyFile: string }
  | { readonly cert: Pem; readonly key: Pem };

/** The settings of TLS. */
export interface TlsOptions {
  /** The certificates to trust, in PEM. Undefined: `caFile` says it; without both, those of the system. */
  readonly ca?: Pem | undefined;
  /** A PEM file with the certificates to trust. */
  readonly caFile?: string | undefined;
  /** The client certificate to present. */
  readonly clientCertificate?: ClientCertificate | undefined;
}

/** The certificates, ready for a connection. */
export interface Certificates {
  /** The trusted certificates. Undefined: those that come with Node. */
  readonly ca: string | string[] | undefined;
  /** The client certificate and its key. Undefined: none. */
  readonly client: { readonly cert: WatchedPem; readonly key: WatchedPem } | undefined;
}

/** PEM that stays, or that a file holds. */
export class WatchedPem {
  readonly #pem: Pem | WatchedFile;

  constructor(pem: Pem | WatchedFile) {
    this.#pem = pem;
  }

  /** Returns the PEM. It is the same object as before, where it has not changed. */
  async read(): Promise<Pem> {
    return this.#pem instanceof WatchedFile ? this.#pem.read() : this.#pem;
  }
}

/** Reads the trusted certificates. `plaintext`: there is no connection with TLS, so the settings of TLS are a mistake. */
export function certificatesFrom(options: TlsOptions, plaintext: boolean): Certificates {
  if (options.ca !== undefined && options.caFile !== undefined) {
    throw misconfigured("caFile", "cannot be used together with ca: pass one of them.");
  }
  for (const setting of ["ca", "caFile", "clientCertificate"] as const) {
    if (plaintext && options[setting] !== undefined) {
      throw misconfigured(
        setting,
        "cannot be used with an http:// server, which is plaintext: use https://, or leave it out.",
      );
    }
  }
  return { ca: plaintext ? undefined : trusted(options), client: client(options.clientCertificate) };
}

function client(certificate: ClientCertificate | undefined): Certificates["client"] {
  if (certificate === undefined) {
    return undefined;
  }
  const [cert, key] =
    "certFile" in certificate
      ? ([
          new WatchedFile("clientCertificate", certificate.certFile),
          new WatchedFile("clientCertificate", certificate.keyFile),
        ] as const)
      : ([certificate.cert, certificate.key] as const);
  if (cert === undefined || key === undefined) {
    throw misconfigured("clientCertificate", "needs the certificate and its private key: pass both.");
  }
  return { cert: new WatchedPem(cert), key: new WatchedPem(key) };
}

function trusted(options: TlsOptions): string | string[] | undefined {
  const given = options.ca ?? (options.caFile === undefined ? undefined : readNow("caFile", options.caFile));
  if (given === undefined) {
    return systemRoots();
  }
  const pem = Buffer.from(given as Uint8Array).toString("latin1");
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) {
    throw misconfigured(
      options.ca === undefined ? "caFile" : "ca",
      "holds no certificate in PEM: check that it is the right file.",
    );
  }
  return pem;
}

/** The files with the trusted certificates of common systems. */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * Returns the trusted certificates of the system. Undefined: they are not found, and those that come with Node count.
 *
 * Node trusts its own list, not that of the system, which may have the authority of an organization.
 */
function systemRoots(): string | string[] | undefined {
  const ofSystem = (nodeTls as { getCACertificates?: (kind: string) => string[] }).getCACertificates?.("system") ?? [];
  if (ofSystem.length > 0) {
    return ofSystem;
  }
  for (const path of [process.env.SSL_CERT_FILE || undefined, ...systemBundles]) {
    try {
      const pem = path === undefined ? "" : readFileSync(path, "latin1");
      if (pem.includes("-----BEGIN CERTIFICATE-----")) {
        return pem;
      }
    } catch {
      // This system keeps them in another place.
    }
  }
  return undefined;
}

function readNow(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw unreadable(setting, path, error);
  }
}
