// The errors that a call can throw.

/** The name of a gRPC status code. */
export type StatusCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** One problem of a request. */
export interface Violation {
  /** The field of the request, for example `name`; in a document a JSON Pointer, for example `document/steps/0/expression`. */
  readonly field: string;
  /** The problem, and how to correct it. */
  readonly description: string;
}

/** What is known about a failure. */
export interface ErrorDetails {
  /** See `StrongroomError`. */
  readonly reason?: string | undefined;
  /** See `StrongroomError`. */
  readonly code?: StatusCode | undefined;
  /** See `StrongroomError`. */
  readonly violations?: readonly Violation[] | undefined;
  /** See `StrongroomError`. */
  readonly resource?: string | undefined;
  /** See `StrongroomError`. */
  readonly retryAfterMs?: number | undefined;
  /** See `StrongroomError`. */
  readonly requestId?: string | undefined;
  /** See `StrongroomError`. */
  readonly sentRequestId?: string | undefined;
}

/**
 * The base of all errors of this package.
 *
 * The reason of the server's error decides its class; its text never does. For an error without a reason, such as a network
 * error, the gRPC status code decides. No error holds the value of a secret or a credential.
 */
export class StrongroomError extends Error {
  /** The name of the class. */
  override readonly name: string = "StrongroomError";
  /** The reason of the server, for example `SECRET_NOT_FOUND`. Undefined: the error has no reason. */
  readonly reason: string | undefined;
  /** The gRPC status code. Undefined: nothing was sent. */
  readonly code: StatusCode | undefined;
  /** All problems of the request. Empty: none was named. */
  readonly violations: readonly Violation[];
  /** What the error is about: a secret as `namespace/name`, or the id of an API key. Undefined: it was not named. */
  readonly resource: string | undefined;
  /** After how many milliseconds to try again. Undefined: the server did not say. */
  readonly retryAfterMs: number | undefined;
  /** The id of the failed request in the server's log. Undefined: the server did not say. */
  readonly requestId: string | undefined;
  /**
   * The `requestId` that the change was sent with. After an `UnavailableError` or a `DeadlineExceededError`, repeat the call
   * with it to learn the outcome. Undefined: the call has none.
   */
  readonly sentRequestId: string | undefined;

  /** Calls of the client make errors; a test can make its own. */
  constructor(message: string, details: ErrorDetails = {}) {
    super(withViolations(message, details.violations ?? []));
    this.reason = details.reason;
    this.code = details.code;
    this.violations = details.violations ?? [];
    this.resource = details.resource;
    this.retryAfterMs = details.retryAfterMs;
    this.requestId = details.requestId;
    this.sentRequestId = details.sentRequestId;
  }

  /** Returns the fields for a log. They hold no value. */
  toJSON(): Record<string, unknown> {
    const { name, message, reason, code, violations, resource, retryAfterMs, requestId, sentRequestId } = this;
    return { name, message, reason, code, violations, resource, retryAfterMs, requestId, sentRequestId };
  }
}

/** A setting of the client cannot be used. Nothing was sent. `violations` names the setting. */
export class ConfigurationError extends StrongroomError {
  override readonly name: string = "ConfigurationError";
}

/** The client, or the cache, was closed before. Nothing was sent. */
export class ClosedError extends StrongroomError {
  override readonly name: string = "ClosedError";
}

/**
 * One or more arguments are not valid: `violations` lists them. Nothing was changed.
 *
 * The server refused the arguments, or this package did because they cannot be sent.
 */
export class ValidationError extends StrongroomError {
  override readonly name: string = "ValidationError";
}

/** The `requestId` was used within 24 hours for another request. Use a new one. */
export class RequestIdReusedError extends ValidationError {
  override readonly name: string = "RequestIdReusedError";
}

/**
 * An expression in a document cannot be resolved. `violations` gives the place and the problem, without a value.
 */
export class InvalidReferenceError extends ValidationError {
  override readonly name: string = "InvalidReferenceError";
}

/** The document needs more than the server allows. `violations` gives the place and the limit. */
export class ReferenceTooCostlyError extends ValidationError {
  override readonly name: string = "ReferenceTooCostlyError";
}

/** The server does not keep the changes after this revision any more. Watch again with `snapshot`. */
export class RevisionCompactedError extends ValidationError {
  override readonly name: string = "RevisionCompactedError";
}

/** The secret, version, API key, role, binding or namespace does not exist. */
export class NotFoundError extends StrongroomError {
  override readonly name: string = "NotFoundError";
}

/** The namespace has no secret of this name. From `resolve`, `violations` gives the places that name it. */
export class SecretNotFoundError extends NotFoundError {
  override readonly name: string = "SecretNotFoundError";
}

/** The secret exists, but the version does not: it never existed, or the server does not keep it any more. */
export class VersionNotFoundError extends NotFoundError {
  override readonly name: string = "VersionNotFoundError";
}

/** There is no API key of this id, or the caller does not manage it. */
export class ApiKeyNotFoundError extends NotFoundError {
  override readonly name: string = "ApiKeyNotFoundError";
}

/** There is no role of this name. */
export class RoleNotFoundError extends NotFoundError {
  override readonly name: string = "RoleNotFoundError";
}

/** There is no binding of this id, or the caller does not manage it. */
export class BindingNotFoundError extends NotFoundError {
  override readonly name: string = "BindingNotFoundError";
}

/** No rotation is due among the secrets that match. Ask again later, or wait for the event `rotation_due`. */
export class NoRotationDueError extends NotFoundError {
  override readonly name: string = "NoRotationDueError";
}

/** The resource to create exists already. Nothing was changed. */
export class AlreadyExistsError extends StrongroomError {
  override readonly name: string = "AlreadyExistsError";
}

/** The name of the new or renamed secret is taken. Nothing was changed. */
export class SecretAlreadyExistsError extends AlreadyExistsError {
  override readonly name: string = "SecretAlreadyExistsError";
}

/** The name of the new role is taken. Nothing was changed. */
export class RoleAlreadyExistsError extends AlreadyExistsError {
  override readonly name: string = "RoleAlreadyExistsError";
}

/** The credential is missing, malformed, unknown, revoked or expired: `reason` says which. */
export class UnauthenticatedError extends StrongroomError {
  override readonly name: string = "UnauthenticatedError";
}

/**
 * The caller does not have the right that the call needs. This does not tell whether the secret exists.
 *
 * `client.explain` says which binding decides, or what is missing.
 */
export class AccessDeniedError extends StrongroomError {
  override readonly name: string = "AccessDeniedError";
}

/**
 * Somebody else changed the secret. This call changed nothing.
 *
 * The reason is `ETAG_MISMATCH` (read the secret again, then decide again) or `CONTENDED` (try again).
 */
export class ConflictError extends StrongroomError {
  override readonly name: string = "ConflictError";
}

/** The present state of the service does not allow the call: `reason` says why. */
export class FailedPreconditionError extends StrongroomError {
  override readonly name: string = "FailedPreconditionError";
}

/** The version is disabled. Enable it, or rotate the secret. */
export class VersionDisabledError extends FailedPreconditionError {
  override readonly name: string = "VersionDisabledError";
}

/** The version was destroyed, and its value cannot be recovered. Rotate the secret. */
export class VersionDestroyedError extends FailedPreconditionError {
  override readonly name: string = "VersionDestroyedError";
}

/** The version is the new value of a staged rotation. It can be read once `promote` has made it current. */
export class VersionPendingError extends FailedPreconditionError {
  override readonly name: string = "VersionPendingError";
}

/**
 * The secret has expired. `update` with a later `expiresAt` makes it readable again, until the server removes it.
 */
export class SecretExpiredError extends FailedPreconditionError {
  override readonly name: string = "SecretExpiredError";
}

/** The secret has a pending version already. Promote it or destroy it, then stage another one. */
export class RotationPendingError extends FailedPreconditionError {
  override readonly name: string = "RotationPendingError";
}

/** The claim on the rotation does not hold any more. Claim the rotation again. */
export class ClaimLostError extends FailedPreconditionError {
  override readonly name: string = "ClaimLostError";
}

/** Bindings have the role. Delete them first. */
export class RoleInUseError extends FailedPreconditionError {
  override readonly name: string = "RoleInUseError";
}

/** The change would leave nobody with every right on everything. Nothing was changed. */
export class LastAdministratorError extends FailedPreconditionError {
  override readonly name: string = "LastAdministratorError";
}

/** The stored record was altered, moved or damaged. Other records are still served. */
export class IntegrityError extends StrongroomError {
  override readonly name: string = "IntegrityError";
}

/** A limit is reached: `reason` says which, and `retryAfterMs` after which time to try again. */
export class LimitExceededError extends StrongroomError {
  override readonly name: string = "LimitExceededError";
}

/**
 * The server cannot be reached, or cannot serve now. A change may or may not have been made: see `sentRequestId`.
 */
export class UnavailableError extends StrongroomError {
  override readonly name: string = "UnavailableError";
}

/**
 * The time for the call was over before the answer came. A change may or may not have been made: see `sentRequestId`.
 */
export class DeadlineExceededError extends StrongroomError {
  override readonly name: string = "DeadlineExceededError";
}

/** The server does not serve the call, or a field of it: it may be of an older release than this package. */
export class NotServedError extends StrongroomError {
  override readonly name: string = "NotServedError";
}

/** A defect of the server, or an answer that is not one of a Strongroom server. */
export class InternalError extends StrongroomError {
  override readonly name: string = "InternalError";
}

/** The class of an error. */
export type ErrorClass = new (message: string, details?: ErrorDetails) => StrongroomError;

/** The class of each reason. */
export const BY_REASON: Readonly<Record<string, ErrorClass | undefined>> = {
  VALIDATION_FAILED: ValidationError,
  BACKUP_INVALID: ValidationError,
  REQUEST_ID_REUSED: RequestIdReusedError,
  REFERENCE_INVALID: InvalidReferenceError,
  REFERENCE_TOO_COSTLY: ReferenceTooCostlyError,
  REVISION_COMPACTED: RevisionCompactedError,
  NAMESPACE_NOT_FOUND: NotFoundError,
  SECRET_NOT_FOUND: SecretNotFoundError,
  VERSION_NOT_FOUND: VersionNotFoundError,
  API_KEY_NOT_FOUND: ApiKeyNotFoundError,
  ROLE_NOT_FOUND: RoleNotFoundError,
  BINDING_NOT_FOUND: BindingNotFoundError,
  NO_ROTATION_DUE: NoRotationDueError,
  SECRET_ALREADY_EXISTS: SecretAlreadyExistsError,
  ROLE_ALREADY_EXISTS: RoleAlreadyExistsError,
  CREDENTIAL_MISSING: UnauthenticatedError,
  CREDENTIAL_INVALID: UnauthenticatedError,
  CREDENTIAL_EXPIRED: UnauthenticatedError,
  ACCESS_DENIED: AccessDeniedError,
  ETAG_MISMATCH: ConflictError,
  CONTENDED: ConflictError,
  MASTER_KEY_NOT_RENEWED: FailedPreconditionError,
  VERSION_DISABLED: VersionDisabledError,
  VERSION_DESTROYED: VersionDestroyedError,
  VERSION_PENDING: VersionPendingError,
  SECRET_EXPIRED: SecretExpiredError,
  ROTATION_PENDING: RotationPendingError,
  CLAIM_LOST: ClaimLostError,
  ROLE_IN_USE: RoleInUseError,
  LAST_ADMINISTRATOR: LastAdministratorError,
  INTEGRITY_FAILURE: IntegrityError,
  MESSAGE_TOO_LARGE: LimitExceededError,
  TOO_MANY_REQUESTS: LimitExceededError,
  QUOTA_EXCEEDED: LimitExceededError,
  STORE_UNAVAILABLE: UnavailableError,
  ISSUER_UNAVAILABLE: UnavailableError,
  AUDIT_UNAVAILABLE: UnavailableError,
  WATCH_LAGGED: UnavailableError,
  DEADLINE_EXCEEDED: DeadlineExceededError,
  NOT_SERVED: NotServedError,
  INTERNAL: InternalError,
};

/** The class of each status code, for an error without a reason, or with a reason that this release does not know. */
export const BY_CODE: Readonly<Record<StatusCode, ErrorClass>> = {
  CANCELLED: StrongroomError,
  UNKNOWN: InternalError,
  INVALID_ARGUMENT: ValidationError,
  DEADLINE_EXCEEDED: DeadlineExceededError,
  NOT_FOUND: NotFoundError,
  ALREADY_EXISTS: AlreadyExistsError,
  PERMISSION_DENIED: AccessDeniedError,
  RESOURCE_EXHAUSTED: LimitExceededError,
  FAILED_PRECONDITION: FailedPreconditionError,
  ABORTED: ConflictError,
  OUT_OF_RANGE: ValidationError,
  UNIMPLEMENTED: NotServedError,
  INTERNAL: InternalError,
  UNAVAILABLE: UnavailableError,
  DATA_LOSS: IntegrityError,
  UNAUTHENTICATED: UnauthenticatedError,
};

/** Returns the error for a setting of the client that cannot be used. */
export function misconfigured(field: string, description: string): ConfigurationError {
  return new ConfigurationError(`${field} ${description}`, { violations: [{ field, description }] });
}

/** Returns the error for an argument that cannot be used. */
export function invalid(field: string, description: string): ValidationError {
  return new ValidationError(`${field} ${description}`, { violations: [{ field, description }] });
}

/** Returns the message with the violations that it does not contain already. */
function withViolations(message: string, violations: readonly Violation[]): string {
  const notes = violations
    .filter(({ description }) => !message.includes(description))
    .map(({ field, description }) => (field === "" ? description : `${field}: ${description}`));
  return [message, ...notes].join("\n  ");
}
