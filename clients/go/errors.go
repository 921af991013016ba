package strongroom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The classes of errors, for errors.Is. Every [*Error] is exactly one of those down to [ErrCanceled].
var (
	// ErrInvalid: a field of the request is not valid. [Error.Violations] lists all of them.
	ErrInvalid = errors.New("the request is not valid")
	// ErrNotFound: there is no such secret, version, or rotation that is due.
	ErrNotFound = errors.New("not found")
	// ErrAlreadyExists: the name is taken. Nothing was changed.
	ErrAlreadyExists = errors.New("already exists")
	// ErrUnauthenticated: the credential is missing, malformed, unknown, revoked or expired.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrPermissionDenied: no binding gives the caller the right. [Client.Explain] says why.
	ErrPermissionDenied = errors.New("permission denied")
	// ErrConflict: the secret has changed since the [ETag], or others changed it all the time. Read it and decide again.
	ErrConflict = errors.New("conflict")
	// ErrFailedPrecondition: the state of the secret or of the version does not allow the call. The reason says why.
	ErrFailedPrecondition = errors.New("failed precondition")
	// ErrRevisionCompacted: the server does not keep the changes after this revision any more. Watch again with [Snapshot].
	ErrRevisionCompacted = errors.New("revision compacted")
	// ErrIntegrity: the stored record was altered or damaged. Restore it from a backup.
	ErrIntegrity = errors.New("integrity failure")
	// ErrLimitExceeded: a limit or a quota is reached. The reason and the message say which.
	ErrLimitExceeded = errors.New("limit exceeded")
	// ErrUnavailable: the server cannot be reached or cannot serve now, and the retries did not help.
	ErrUnavailable = errors.New("unavailable")
	// ErrDeadlineExceeded: no answer came in time. A change may or may not have been made: see [Error.SentRequestID]. An
	// error of this class is also a context.DeadlineExceeded.
	ErrDeadlineExceeded = errors.New("deadline exceeded")
	// ErrNotServed: the release of the server does not serve the call, or a field of it.
	ErrNotServed = errors.New("not served")
	// ErrInternal: a defect of the server, or an answer that is not one of Strongroom.
	ErrInternal = errors.New("internal error")
	// ErrCanceled: the context of the call was canceled. An error of this class is also a context.Canceled.
	ErrCanceled = errors.New("canceled")

	// ErrConfiguration: the settings of the client cannot be used. No request was sent. Such an error is no [*Error].
	ErrConfiguration = errors.New("the settings of the client cannot be used")
	// ErrClosed: [Client.Close] was called before. Such an error is no [*Error].
	ErrClosed = errors.New("the client is closed: make a new one")
)

// A Reason is why the server refused a request, as error.proto lists them, without the prefix: SECRET_NOT_FOUND. A later
// release of the server can send reasons that are not listed here.
type Reason string

// The reasons of calls of this package.
const (
	ReasonValidationFailed    Reason = "VALIDATION_FAILED"
	ReasonRequestIDReused     Reason = "REQUEST_ID_REUSED"
	ReasonSecretNotFound      Reason = "SECRET_NOT_FOUND"
	ReasonVersionNotFound     Reason = "VERSION_NOT_FOUND"
	ReasonSecretAlreadyExists Reason = "SECRET_ALREADY_EXISTS"
	ReasonCredentialMissing   Reason = "CREDENTIAL_MISSING"
	ReasonCredentialInvalid   Reason = "CREDENTIAL_INVALID"
	ReasonCredentialExpired   Reason = "CREDENTIAL_EXPIRED"
	ReasonAccessDenied        Reason = "ACCESS_DENIED"
	ReasonETagMismatch        Reason = "ETAG_MISMATCH"
	ReasonContended           Reason = "CONTENDED"
	ReasonIntegrityFailure    Reason = "INTEGRITY_FAILURE"
	ReasonMessageTooLarge     Reason = "MESSAGE_TOO_LARGE"
	ReasonStoreUnavailable    Reason = "STORE_UNAVAILABLE"
	ReasonNotServed           Reason = "NOT_SERVED"
	ReasonInternal            Reason = "INTERNAL"
	ReasonAuditUnavailable    Reason = "AUDIT_UNAVAILABLE"
	ReasonDeadlineExceeded    Reason = "DEADLINE_EXCEEDED"
	ReasonReferenceInvalid    Reason = "REFERENCE_INVALID"
	ReasonReferenceTooCostly  Reason = "REFERENCE_TOO_COSTLY"
	ReasonTooManyRequests     Reason = "TOO_MANY_REQUESTS"
	ReasonVersionDisabled     Reason = "VERSION_DISABLED"
	ReasonVersionDestroyed    Reason = "VERSION_DESTROYED"
	ReasonQuotaExceeded       Reason = "QUOTA_EXCEEDED"
	ReasonIssuerUnavailable   Reason = "ISSUER_UNAVAILABLE"
	ReasonSecretExpired       Reason = "SECRET_EXPIRED"
	ReasonVersionPending      Reason = "VERSION_PENDING"
	ReasonRotationPending     Reason = "ROTATION_PENDING"
	ReasonClaimLost           Reason = "CLAIM_LOST"
	ReasonNoRotationDue       Reason = "NO_ROTATION_DUE"
	ReasonRevisionCompacted   Reason = "REVISION_COMPACTED"
	ReasonWatchLagged         Reason = "WATCH_LAGGED"
)

// Error is the failure of a call. It never holds a value or a credential.
//
// Use errors.As to get at its fields, errors.Is with one of the classes ([ErrNotFound], …) to decide, or [ReasonOf].
type Error struct {
	// Reason is the server's reason. Empty: the server gave none, for example because it was not reached.
	Reason Reason
	// Code is the code of gRPC.
	Code codes.Code
	// Message says in whole sentences what is wrong and what to do. It is for people and can change.
	Message string
	// RequestID is the id that the request has in the log of the server. Empty: the server did not answer.
	RequestID string
	// SentRequestID is the id that every attempt of the change carried. Send the change again with this [RequestID] to learn
	// the outcome. Empty: the call was no change.
	SentRequestID string
	// Resource names what the error is about, for example a secret. It can be empty.
	Resource string
	// Violations lists the fields of the request that are not valid.
	Violations []Violation
	// RetryAfter is how long the server asks to wait. 0: it does not ask.
	RetryAfter time.Duration
}

// Violation is one field that is not valid.
type Violation struct {
	// Field is the name of the field, or a place in a document, such as document/steps/0/expression.
	Field string
	// Description says how to correct it.
	Description string
}

// Error returns the message, with the violations and the id of the request.
func (e *Error) Error() string {
	text := "strongroom: " + e.Message
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Is tells whether the error is of this class: one of [ErrNotFound], [ErrInvalid], ….
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == codes.Canceled
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	default:
		return target == e.class()
	}
}

// ReasonOf returns the reason of the error, however deep it is wrapped. Empty: it has none.
func ReasonOf(err error) Reason {
	var failure *Error
	if errors.As(err, &failure) {
		return failure.Reason
	}
	return ""
}

func (e *Error) class() error {
	switch e.Code {
	case codes.InvalidArgument:
		return ErrInvalid
	case codes.NotFound:
		return ErrNotFound
	case codes.AlreadyExists:
		return ErrAlreadyExists
	case codes.Unauthenticated:
		return ErrUnauthenticated
	case codes.PermissionDenied:
		return ErrPermissionDenied
	case codes.Aborted:
		return ErrConflict
	case codes.FailedPrecondition:
		return ErrFailedPrecondition
	case codes.OutOfRange:
		return ErrRevisionCompacted
	case codes.DataLoss:
		return ErrIntegrity
	case codes.ResourceExhausted:
		return ErrLimitExceeded
	case codes.Unavailable:
		return ErrUnavailable
	case codes.DeadlineExceeded:
		return ErrDeadlineExceeded
	case codes.Unimplemented:
		return ErrNotServed
	case codes.Canceled:
		return ErrCanceled
	default:
		return ErrInternal
	}
}

// passes tells whether the same call can succeed later.
func (e *Error) passes() bool {
	switch e.Code {
	case codes.Unavailable:
		return true
	case codes.ResourceExhausted:
		return e.Reason == ReasonTooManyRequests || e.Reason != ReasonQuotaExceeded && e.RetryAfter > 0
	case codes.Aborted:
		return e.Reason == ReasonContended
	default:
		return false
	}
}

// errorOf reads the status of a failed call, or of one item of a reply.
func errorOf(failed *status.Status) *Error {
	result := &Error{Code: failed.Code(), Message: failed.Message()}
	if result.Message == "" {
		result.Message = fmt.Sprintf("The server answered %s without a message: see the log of the server.", failed.Code())
	}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == "strongroom" {
				result.Reason = Reason(detail.GetReason())
			}
		case *errdetails.RequestInfo:
			result.RequestID = detail.GetRequestId()
		case *errdetails.ResourceInfo:
			result.Resource = detail.GetResourceName()
		case *errdetails.RetryInfo:
			result.RetryAfter = max(0, detail.GetRetryDelay().AsDuration())
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				result.Violations = append(result.Violations, Violation{violation.GetField(), violation.GetDescription()})
			}
		}
	}
	return result
}

// configurationError is a message of the class [ErrConfiguration].
type configurationError struct{ message string }

func (e *configurationError) Error() string        { return "strongroom: " + e.message }
func (e *configurationError) Is(target error) bool { return target == ErrConfiguration }

func misconfigured(format string, arguments ...any) error {
	return &configurationError{fmt.Sprintf(format, arguments...)}
}
