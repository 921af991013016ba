package strongroom.client;

/**
 * The reasons for which the server refuses a request, as {@link StrongroomException#reason()} has them. They are texts,
 * because a later release of the server can have further ones.
 */
public final class Reason {
    /** INVALID_ARGUMENT. One or more fields are not valid, for example a name with a space. */
    public static final String VALIDATION_FAILED = "VALIDATION_FAILED";

    /** INVALID_ARGUMENT. The same request_id came within 24 hours with a different request. */
    public static final String REQUEST_ID_REUSED = "REQUEST_ID_REUSED";

    /** NOT_FOUND. The namespace has no secret of this name, or the secret was deleted. */
    public static final String SECRET_NOT_FOUND = "SECRET_NOT_FOUND";

    /**
     * NOT_FOUND. The secret exists, but the version does not: it never existed, or it is no longer among the versions
     * that the server keeps.
     */
    public static final String VERSION_NOT_FOUND = "VERSION_NOT_FOUND";

    /** ALREADY_EXISTS. The name of a new or renamed secret is taken. */
    public static final String SECRET_ALREADY_EXISTS = "SECRET_ALREADY_EXISTS";

    /** UNAUTHENTICATED. The request has no credential. */
    public static final String CREDENTIAL_MISSING = "CREDENTIAL_MISSING";

    /** UNAUTHENTICATED. The credential is malformed, unknown or revoked, or the request has more than one. */
    public static final String CREDENTIAL_INVALID = "CREDENTIAL_INVALID";

    /** UNAUTHENTICATED. The credential has expired. */
    public static final String CREDENTIAL_EXPIRED = "CREDENTIAL_EXPIRED";

    /**
     * PERMISSION_DENIED. No binding gives the caller the right that the RPC needs, or a binding denies it:
     * ExplainAccess says which.
     */
    public static final String ACCESS_DENIED = "ACCESS_DENIED";

    /** ABORTED. The secret has changed since the etag in the request. */
    public static final String ETAG_MISMATCH = "ETAG_MISMATCH";

    /**
     * ABORTED. Other writers changed the same record each time that the server tried, or what the caller may list was
     * changed while its request waited.
     */
    public static final String CONTENDED = "CONTENDED";

    /** DATA_LOSS. The stored ciphertext of this record was altered, moved or damaged. */
    public static final String INTEGRITY_FAILURE = "INTEGRITY_FAILURE";

    /** RESOURCE_EXHAUSTED. The message is larger than 1 MiB, or the headers of the request are larger than 16 KiB. */
    public static final String MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE";

    /**
     * UNAVAILABLE. The store cannot serve now: its disk is full or fails, it is shutting down, or it has not yet
     * reached the min_revision of the request.
     */
    public static final String STORE_UNAVAILABLE = "STORE_UNAVAILABLE";

    /** UNIMPLEMENTED. This release does not serve the RPC, its encoding, or a field of the request. */
    public static final String NOT_SERVED = "NOT_SERVED";

    /** NOT_FOUND. There is no API key with this id, or the caller does not manage access in its home namespace. */
    public static final String API_KEY_NOT_FOUND = "API_KEY_NOT_FOUND";

    /**
     * FAILED_PRECONDITION. After this change no principal would have every right on everything, or only one whose
     * rights end by themselves.
     */
    public static final String LAST_ADMINISTRATOR = "LAST_ADMINISTRATOR";

    /** INTERNAL. A defect of the server. */
    public static final String INTERNAL = "INTERNAL";

    /** UNAVAILABLE. The server could not write the request to the audit log, so it does not answer the request. */
    public static final String AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE";

    /** DEADLINE_EXCEEDED. The deadline passed before the answer was ready. */
    public static final String DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED";

    /**
     * INVALID_ARGUMENT. An expression in a document cannot be resolved: its syntax is wrong, it uses something that is
     * not supported, it uses an unknown name, or a type does not fit.
     */
    public static final String REFERENCE_INVALID = "REFERENCE_INVALID";

    /**
     * INVALID_ARGUMENT. The document needs more than the service allows: it is nested too deeply, its result is too
     * large, or it needs too many steps.
     */
    public static final String REFERENCE_TOO_COSTLY = "REFERENCE_TOO_COSTLY";

    /** INVALID_ARGUMENT. The bytes to restore are not a complete backup that this service can open. */
    public static final String BACKUP_INVALID = "BACKUP_INVALID";

    /**
     * RESOURCE_EXHAUSTED. A limit on requests is reached, and google.rpc.QuotaFailure names it, for example
     * limits.requests_per_principal.
     */
    public static final String TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS";

    /** FAILED_PRECONDITION. The requested version, or the current version where the request names none, is disabled. */
    public static final String VERSION_DISABLED = "VERSION_DISABLED";

    /**
     * FAILED_PRECONDITION. The requested version, or the current version where the request names none, was destroyed.
     */
    public static final String VERSION_DESTROYED = "VERSION_DESTROYED";

    /** NOT_FOUND. The namespace does not exist: it never had a secret. */
    public static final String NAMESPACE_NOT_FOUND = "NAMESPACE_NOT_FOUND";

    /** FAILED_PRECONDITION. The service cannot be rekeyed with a new master key. */
    public static final String MASTER_KEY_NOT_RENEWED = "MASTER_KEY_NOT_RENEWED";

    /** RESOURCE_EXHAUSTED. The caller has used up a quota. */
    public static final String QUOTA_EXCEEDED = "QUOTA_EXCEEDED";

    /** NOT_FOUND. There is no binding with this id, or the caller does not manage access where the binding counts. */
    public static final String BINDING_NOT_FOUND = "BINDING_NOT_FOUND";

    /** NOT_FOUND. There is no role with this name. */
    public static final String ROLE_NOT_FOUND = "ROLE_NOT_FOUND";

    /** ALREADY_EXISTS. The name of a new role is taken. */
    public static final String ROLE_ALREADY_EXISTS = "ROLE_ALREADY_EXISTS";

    /** FAILED_PRECONDITION. A binding has the role, so the role cannot be deleted. */
    public static final String ROLE_IN_USE = "ROLE_IN_USE";

    /**
     * UNAVAILABLE. The server cannot fetch the keys of the issuer of the token, so it does not know whether the token
     * is right.
     */
    public static final String ISSUER_UNAVAILABLE = "ISSUER_UNAVAILABLE";

    /** FAILED_PRECONDITION. The secret has expired, so that its values cannot be read and it cannot be rotated. */
    public static final String SECRET_EXPIRED = "SECRET_EXPIRED";

    /**
     * FAILED_PRECONDITION. The version is pending: its value can be read once PromoteVersion has made it the current
     * version.
     */
    public static final String VERSION_PENDING = "VERSION_PENDING";

    /** FAILED_PRECONDITION. The secret has a pending version already. */
    public static final String ROTATION_PENDING = "ROTATION_PENDING";

    /**
     * FAILED_PRECONDITION. The claim on the rotation does not hold: its lease has run out, it was released, or the
     * rotation has ended.
     */
    public static final String CLAIM_LOST = "CLAIM_LOST";

    /** NOT_FOUND. No rotation is due among the secrets that match and that the caller may rotate. */
    public static final String NO_ROTATION_DUE = "NO_ROTATION_DUE";

    /** OUT_OF_RANGE. The server no longer keeps the changes after this revision, or a restore has replaced them. */
    public static final String REVISION_COMPACTED = "REVISION_COMPACTED";

    /** UNAVAILABLE. The caller has not read the events of its watch in time. */
    public static final String WATCH_LAGGED = "WATCH_LAGGED";

    private Reason() {}
}
