/**
 * The client of Strongroom, a self-hosted secrets service. Begin with `Strongroom`.
 *
 * @packageDocumentation
 */
export type { JsonObject, JsonValue } from "@bufbuild/protobuf";
export type * from "./access.js";
export type { CachedGetOptions, CachedSecret, CacheOptions, SecretCache } from "./cache.js";
export type { CallOptions, ChangeOptions } from "./caller.js";
export { Strongroom } from "./client.js";
export type { CredentialOptions, Token, TokenSource } from "./credentials.js";
export {
  AccessDeniedError,
  AlreadyExistsError,
  ApiKeyNotFoundError,
  BindingNotFoundError,
  ClaimLostError,
  ClosedError,
  ConfigurationError,
  ConflictError,
  DeadlineExceededError,
  type ErrorDetails,
  FailedPreconditionError,
  IntegrityError,
  InternalError,
  InvalidReferenceError,
  LastAdministratorError,
  LimitExceededError,
  NoRotationDueError,
  NotFoundError,
  NotServedError,
  ReferenceTooCostlyError,
  RequestIdReusedError,
  RevisionCompactedError,
  RoleAlreadyExistsError,
  RoleInUseError,
  RoleNotFoundError,
  RotationPendingError,
  SecretAlreadyExistsError,
  SecretExpiredError,
  SecretNotFoundError,
  type StatusCode,
  StrongroomError,
  UnauthenticatedError,
  UnavailableError,
  ValidationError,
  VersionDestroyedError,
  VersionDisabledError,
  VersionNotFoundError,
  VersionPendingError,
  type Violation,
} from "./errors.js";
export type {
  BytesGenerator,
  Generator,
  KeyPairGenerator,
  PassphraseGenerator,
  PasswordGenerator,
  UuidGenerator,
} from "./generate.js";
export type * from "./models.js";
export type { ResolveOptions } from "./references.js";
export type { RetryPolicy } from "./retry.js";
export type * from "./secret-options.js";
export type { Secrets } from "./secrets.js";
export type { ClientOptions } from "./settings.js";
export type { ClientCertificate, Pem, TlsOptions } from "./tls.js";
export { type SecretInput, SecretValue } from "./value.js";
export { VERSION } from "./version.js";
export type { Watch, WatchOptions } from "./watch.js";
