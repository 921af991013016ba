// The address of a server: HOST:PORT, http://HOST:PORT or https://HOST:PORT.
import { isIPv6 } from "node:net";
import { misconfigured } from "./errors.js";

/** The port of an address that names none. */
const DEFAULT_PORT = 50051;

/** The address of one server. */
export interface Address {
  /** A name or an IP address, an IPv6 one in brackets. */
  readonly host: string;
  /** The port. */
  readonly port: number;
  /** Whether the connection uses TLS. */
  readonly tls: boolean;
  /** Whether the host is this machine itself. */
  readonly loopback: boolean;
  /** The address with its scheme. */
  readonly url: string;
}

/**
 * Parses the addresses of one or more servers. Commas separate several of them in one text.
 *
 * An address without a scheme is plaintext only on this machine, and only when there are no settings of TLS: so that a
 * credential never crosses a network in plaintext by accident.
 */
export function parseAddresses(server: string | readonly string[], hasTlsSettings: boolean): readonly Address[] {
  const texts = (typeof server === "string" ? [server] : [...server]).flatMap((text) => {
    if (typeof text !== "string") {
      throw new TypeError("server must be a string or an array of strings");
    }
    return text.split(",").map((part) => part.trim());
  });
  if (texts.length === 0) {
    throw misconfigured("server", "needs at least one address.");
  }
  return texts.map((text) => parseAddress(text, hasTlsSettings));
}

function parseAddress(text: string, hasTlsSettings: boolean): Address {
  const [, scheme, rest = ""] = /^(?:([A-Za-z][A-Za-z0-9+.-]*):\/\/)?(.*)$/s.exec(text) ?? [];
  const known = scheme?.toLowerCase();
  if (known !== undefined && known !== "http" && known !== "https") {
    throw malformed("the scheme must be http or https");
  }
  const place = known !== undefined && rest.endsWith("/") ? rest.slice(0, -1) : rest;
  const match = /^(\[[^\]]*\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/.exec(place);
  const host = match?.[1];
  const port = match?.[2] === undefined ? DEFAULT_PORT : Number(match[2]);
  if (host === undefined || (host.startsWith("[") && !isIPv6(host.slice(1, -1)))) {
    throw malformed("it needs a host, then a colon and the port; an IPv6 address stands in brackets");
  }
  if (port < 1 || port > 65_535) {
    throw malformed("the port must be a number from 1 to 65535");
  }
  const loopback = isLoopback(host);
  const tls = known === undefined ? hasTlsSettings || !loopback : known === "https";
  return { host, port, tls, loopback, url: `${tls ? "https" : "http"}://${host}:${port}` };
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.[0-9]{1,3}){3}|\[(::1|0:0:0:0:0:0:0:1|::ffff:127(\.[0-9]{1,3}){3})\])$/i.test(host);
}

function malformed(problem: string): Error {
  return misconfigured(
    "server",
    `must be HOST:PORT, http://HOST:PORT (plaintext) or https://HOST:PORT (TLS), and commas between several: ${problem}.`,
  );
}
