// Turns what went wrong with a call into an error of this package that says what to do.
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Address } from "./address.js";
import { BY_CODE, BY_REASON, type StatusCode, StrongroomError } from "./errors.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";

/** What a failed attempt was. */
export interface Attempt {
  /** The server that it was for. */
  readonly address: Address;
  /** Whether this server has answered before. */
  readonly answered: boolean;
  /** The name of the method. */
  readonly method: string;
  /** The `requestId` of the request. */
  readonly sentRequestId: string | undefined;
}

/** What an attempt that failed says about the server and the next attempt. */
export interface Failure {
  readonly error: StrongroomError;
  /** Whether another server may do better. */
  readonly ofServer: boolean;
  /** Whether this server fails in the same way until somebody changes the settings. */
  readonly permanent: boolean;
}

/** One detail of a status: the name of its message, and its bytes. */
interface Detail {
  readonly type: string;
  readonly value: Uint8Array;
}

const CODES: Readonly<Record<Code, StatusCode>> = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
};

/** Reasons of UNAVAILABLE that are not about the server that answered, so that another one would say the same. */
const NOT_OF_SERVER = new Set(["ISSUER_UNAVAILABLE", "WATCH_LAGGED"]);

/** Returns what a failed attempt says. */
export function failureOf(thrown: unknown, attempt: Attempt): Failure {
  if (thrown instanceof StrongroomError) {
    return { error: thrown, ofServer: thrown.code === "UNAVAILABLE", permanent: false };
  }
  const error = ConnectError.from(thrown);
  if (error.metadata.has("grpc-status") || error.metadata.has("grpc-status-details-bin")) {
    return failureOfServer(error, attempt);
  }
  if (error.code === Code.DeadlineExceeded && error.cause === undefined) {
    const text = `The server at ${attempt.address.url} did not answer in time: check that it is not overloaded, or raise timeoutMs.`;
    return { error: make(text, "DEADLINE_EXCEEDED", [], attempt), ofServer: false, permanent: false };
  }
  return failureOfConnection(error, attempt);
}

/** Returns the error for the status of one item of a reply. */
export function errorOfItem(status: Status): StrongroomError {
  const details = status.details.map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    value,
  }));
  return make(status.message, CODES[status.code as Code] ?? "UNKNOWN", details);
}

/** The server answered with a status. */
function failureOfServer(error: ConnectError, attempt: Attempt): Failure {
  const code = CODES[error.code] ?? "UNKNOWN";
  const details = error.details.filter((detail): detail is Detail & typeof detail => "value" in detail);
  let text = error.rawMessage || `The server answered ${code} without a message: see the server's log.`;
  if (code === "UNIMPLEMENTED") {
    text = `The server at ${attempt.address.url} does not serve ${attempt.method}. If it is of an older release than this client, update the server: ${text}`;
  }
  const made = make(text, code, details, attempt);
  const ofServer = code === "UNAVAILABLE" && !NOT_OF_SERVER.has(made.reason ?? "");
  return { error: made, ofServer, permanent: false };
}

/** No status came: the connection was not made, or it broke, or the other side does not speak gRPC. */
function failureOfConnection(error: ConnectError, attempt: Attempt): Failure {
  const { url, tls } = attempt.address;
  const cause = nodeCauseOf(error);
  const permanent = (text: string): Failure => ({
    error: make(`The server at ${url} cannot be used: ${text}`, "UNAVAILABLE", [], attempt),
    ofServer: true,
    permanent: true,
  });
  if (/UNABLE_TO|SELF_SIGNED|CERT_UNTRUSTED|CERT_SIGNATURE|CERT_CHAIN|INVALID_CA|ISSUER_CERT/.test(cause)) {
    return permanent(
      `no authority that this client trusts signed its certificate (${cause}). Pass the CA certificate of its authority as caFile.`,
    );
  }
  if (cause === "ERR_TLS_CERT_ALTNAME_INVALID" || cause === "HOSTNAME_MISMATCH") {
    return permanent("its certificate is for another host. Use the name in the certificate as the address.");
  }
  if (/^CERT_/.test(cause)) {
    return permanent(
      `its certificate has expired or is not valid yet (${cause}). Renew it, and check the clocks of both machines.`,
    );
  }
  if (/WRONG_VERSION|PACKET_LENGTH|HTTP_REQUEST|EPROTO/.test(cause) && tls && !/ALERT/.test(cause)) {
    return permanent(`it does not speak TLS (${cause}). If it is meant to be plaintext, use http://.`);
  }
  if (/ALERT/.test(cause)) {
    return permanent(
      `it refused the TLS connection (${cause}). If it asks for a client certificate, pass a valid one as clientCertificate.`,
    );
  }
  if (/PEM|X509|ERR_OSSL|KEY_VALUES_MISMATCH/.test(cause)) {
    return permanent(
      `the certificates or the key of this client cannot be used (${cause}). Check that they are whole and match.`,
    );
  }
  let hint = "check that it runs and that the address is right";
  if (cause === "ENOTFOUND" || cause === "EAI_AGAIN") {
    hint = "its host name is not known. Check the address";
  } else if (cause === "ECONNREFUSED") {
    hint = "nothing listens there. Check that it runs and that the address is right";
  } else if (!attempt.answered) {
    hint = tls
      ? "it closed the connection. Check that it is a Strongroom server, and that it serves TLS: if not, use http://"
      : "it closed the connection. Check that it is a Strongroom server, and whether it serves TLS: if so, use https://";
  }
  const what = cause === "" ? error.rawMessage : cause;
  if (error.code === Code.Internal && /^serialize|^cannot encode/i.test(error.rawMessage)) {
    const text = "The request cannot be encoded: an argument has the wrong type. Check the types of the arguments.";
    return { error: make(text, "INVALID_ARGUMENT", [], attempt), ofServer: false, permanent: false };
  }
  const text = `The server at ${url} cannot be reached: ${hint} (${what}).`;
  return { error: make(text, "UNAVAILABLE", [], attempt), ofServer: true, permanent: false };
}

/** Returns the code of Node or OpenSSL at the root of an error. Empty: there is none. */
function nodeCauseOf(error: unknown): string {
  let code = "";
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    if ("code" in at && typeof at.code === "string") {
      code = at.code;
      if (code === "EPROTO" && /ALERT|alert/.test(at.message)) {
        return "EPROTO ALERT";
      }
    }
  }
  return code;
}

function make(message: string, code: StatusCode, details: readonly Detail[], attempt?: Attempt): StrongroomError {
  const info = find(details, ErrorInfoSchema);
  const reason = info?.domain === "strongroom" && info.reason !== "" ? info.reason : undefined;
  const make = BY_REASON[reason ?? ""] ?? BY_CODE[code];
  return new make(message, {
    reason,
    code,
    violations: find(details, BadRequestSchema)?.fieldViolations.map(({ field, description }) => ({
      field,
      description,
    })),
    resource: find(details, ResourceInfoSchema)?.resourceName || undefined,
    retryAfterMs: millisecondsOf(find(details, RetryInfoSchema)?.retryDelay),
    requestId: find(details, RequestInfoSchema)?.requestId || undefined,
    sentRequestId: attempt?.sentRequestId,
  });
}

/** Returns the first detail of this message. Undefined: there is none that can be read. */
function find<Desc extends DescMessage>(details: readonly Detail[], schema: Desc): MessageShape<Desc> | undefined {
  const detail = details.find(({ type }) => type === schema.typeName);
  try {
    return detail && fromBinary(schema, detail.value);
  } catch {
    return undefined;
  }
}

function millisecondsOf(duration: Duration | undefined): number | undefined {
  return duration && Math.max(Number(duration.seconds) * 1_000 + duration.nanos / 1e6, 0);
}
