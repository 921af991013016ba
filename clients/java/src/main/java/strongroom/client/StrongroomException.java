package strongroom.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * A call that failed. Decide by the class, such as {@link NotFoundException}, or by {@link #reason()}: messages are for people
 * and can change. No message shows a value or a credential.
 */
public abstract sealed class StrongroomException extends RuntimeException
        permits AlreadyExistsException, AuthenticationException, CanceledException, ClientClosedException,
                ConfigurationException, ConflictException, DeadlineExceededException, FailedPreconditionException,
                IntegrityException, InternalException, LimitExceededException, NotFoundException, NotServedException,
                PermissionDeniedException, RevisionCompactedException, UnavailableException, ValidationException {
    private static final long serialVersionUID = 1L;

    private final transient Details details;

    StrongroomException(Details details) {
        super(details.requestId.isEmpty() ? details.message : details.message + " (request " + details.requestId + ")",
                details.cause);
        this.details = details;
    }

    StrongroomException(String message) {
        super(message);
        this.details = new Details();
    }

    /**
     * Returns why the server refused the request; see {@link Reason}.
     *
     * @return the reason; empty: the server gave none
     */
    public String reason() {
        return details == null ? "" : details.reason;
    }

    /**
     * Returns the code of gRPC.
     *
     * @return the code; null: no request was sent
     */
    public Code code() {
        return details == null ? null : details.code;
    }

    /**
     * Returns the id that the request has in the log of the server.
     *
     * @return the id; empty: the server did not answer
     */
    public String requestId() {
        return details == null ? "" : details.requestId;
    }

    /**
     * Returns the id that every attempt of the change carried. Send the change again with this {@code requestId} to learn the
     * outcome.
     *
     * @return the id; empty: the call was no change
     */
    public String sentRequestId() {
        return details == null ? "" : details.sentRequestId;
    }

    /**
     * Returns what the error is about, for example a secret.
     *
     * @return the name; may be empty
     */
    public String resource() {
        return details == null ? "" : details.resource;
    }

    /**
     * Returns the fields of the request that are not valid.
     *
     * @return the fields; cannot be changed
     */
    public List<Violation> violations() {
        return details == null ? List.of() : List.copyOf(details.violations);
    }

    /**
     * Returns how long the server asks to wait.
     *
     * @return the time; 0: it does not ask
     */
    public Duration retryAfter() {
        return details == null ? Duration.ZERO : details.retryAfter;
    }

    /** Whether the same call can succeed later. */
    boolean passes() {
        if (code() == null) {
            return false;
        }
        return switch (code()) {
            case UNAVAILABLE -> true;
            case RESOURCE_EXHAUSTED -> reason().equals(Reason.TOO_MANY_REQUESTS)
                    || !reason().equals(Reason.QUOTA_EXCEEDED) && !retryAfter().isZero();
            case ABORTED -> reason().equals(Reason.CONTENDED);
            default -> false;
        };
    }

    /** Whether a stream that ended so is continued: the server refused nothing. */
    boolean streamPasses() {
        if (passes()) {
            return true;
        }
        return switch (code() == null ? Code.OK : code()) {
            case CANCELLED, UNKNOWN, INTERNAL, DEADLINE_EXCEEDED ->
                    reason().isEmpty() || reason().equals(Reason.DEADLINE_EXCEEDED);
            default -> false;
        };
    }

    /** What is known of a failure. */
    static final class Details {
        Code code;
        String message = "";
        String reason = "";
        String requestId = "";
        String sentRequestId = "";
        String resource = "";
        Duration retryAfter = Duration.ZERO;
        final List<Violation> violations = new ArrayList<>();
        Throwable cause;

        /** Reads the status of a failed call, or of one item of a reply. */
        static Details of(com.google.rpc.Status sent) {
            Details details = new Details();
            details.code = Status.fromCodeValue(sent.getCode()).getCode();
            details.message = sent.getMessage().isEmpty()
                    ? "The server answered " + details.code + " without a message: see the log of the server."
                    : sent.getMessage();
            for (Any detail : sent.getDetailsList()) {
                try {
                    details.read(detail);
                } catch (InvalidProtocolBufferException malformed) {
                    // A detail that cannot be read is left out: the code and the message stay.
                }
            }
            return details;
        }

        private void read(Any detail) throws InvalidProtocolBufferException {
            if (detail.is(ErrorInfo.class)) {
                ErrorInfo info = detail.unpack(ErrorInfo.class);
                if (info.getDomain().equals("strongroom")) {
                    reason = info.getReason();
                }
            } else if (detail.is(RequestInfo.class)) {
                requestId = detail.unpack(RequestInfo.class).getRequestId();
            } else if (detail.is(ResourceInfo.class)) {
                resource = detail.unpack(ResourceInfo.class).getResourceName();
            } else if (detail.is(RetryInfo.class)) {
                Duration asked = Models.durationOf(detail.unpack(RetryInfo.class).getRetryDelay());
                retryAfter = asked.isNegative() ? Duration.ZERO : asked;
            } else if (detail.is(BadRequest.class)) {
                for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
                    violations.add(new Violation(violation.getField(), violation.getDescription()));
                }
            }
        }

        /** Makes the exception of the code. */
        StrongroomException exception() {
            return switch (code) {
                case INVALID_ARGUMENT -> new ValidationException(this);
                case NOT_FOUND -> new NotFoundException(this);
                case ALREADY_EXISTS -> new AlreadyExistsException(this);
                case UNAUTHENTICATED -> new AuthenticationException(this);
                case PERMISSION_DENIED -> new PermissionDeniedException(this);
                case ABORTED -> new ConflictException(this);
                case FAILED_PRECONDITION -> new FailedPreconditionException(this);
                case OUT_OF_RANGE -> new RevisionCompactedException(this);
                case DATA_LOSS -> new IntegrityException(this);
                case RESOURCE_EXHAUSTED -> new LimitExceededException(this);
                case UNAVAILABLE -> new UnavailableException(this);
                case DEADLINE_EXCEEDED -> new DeadlineExceededException(this);
                case UNIMPLEMENTED -> new NotServedException(this);
                case CANCELLED -> new CanceledException(this);
                case INTERNAL, UNKNOWN, OK -> new InternalException(this);
            };
        }
    }
}
