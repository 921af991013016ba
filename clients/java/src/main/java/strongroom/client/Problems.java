package strongroom.client;

import io.grpc.ConnectivityState;
import io.grpc.ConnectivityStateInfo;
import io.grpc.Status;
import io.grpc.Status.Code;
import java.io.EOFException;
import java.net.ConnectException;
import java.net.SocketException;
import java.net.UnknownHostException;
import java.nio.channels.ClosedChannelException;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.concurrent.ConcurrentHashMap;

/** Knows why the last attempt to connect to each address failed, so that an error says what to do. */
final class Problems {
    private final List<String> addresses;
    private final boolean tls;
    private final Map<String, Status> last = new ConcurrentHashMap<>();

    Problems(List<String> addresses, boolean tls) {
        this.addresses = addresses;
        this.tls = tls;
    }

    /** Keeps the outcome of an attempt to connect. */
    void note(String address, ConnectivityStateInfo info) {
        if (info.getState() == ConnectivityState.TRANSIENT_FAILURE) {
            last.put(address, info.getStatus());
        } else if (info.getState() == ConnectivityState.READY) {
            last.remove(address);
        }
    }

    /** Keeps that the host of an address is not known. */
    void note(String address, UnknownHostException failure) {
        last.put(address, Status.UNAVAILABLE.withCause(failure));
    }

    @Override
    public String toString() {
        return String.join(", ", addresses);
    }

    /** Gives an error that came from no server a message that says what to do. */
    void explain(StrongroomException.Details failure, String call) {
        if (!failure.reason.isEmpty() || !failure.requestId.isEmpty()) {
            return;
        }
        if (failure.code == Code.INTERNAL && allAreKnown()) {
            // No connection was made: what answers speaks no HTTP/2, which gRPC calls an internal error.
            failure.code = Code.UNAVAILABLE;
        } else if (failure.code == Code.UNKNOWN && find(failure.cause, ClosedChannelException.class) != null) {
            // The connection was closed before gRPC had noticed it, which it calls an unknown error.
            failure.code = Code.UNAVAILABLE;
        }
        failure.message = switch (failure.code) {
            case UNAVAILABLE -> unreachable(failure.message);
            case DEADLINE_EXCEEDED -> allAreKnown()
                    ? known()
                    : "The server at " + this + " did not answer in time: check that it is not overloaded, or raise the timeout "
                            + "of the client or of the call.";
            case UNIMPLEMENTED -> "The server at " + this + " does not serve " + call + ": it is of an older release than this "
                    + "client, or no Strongroom. Update the server, or use a client of its release.";
            case CANCELLED -> "The call was canceled. If it was a change, it may or may not have been made.";
            case UNKNOWN, INTERNAL, PERMISSION_DENIED, UNAUTHENTICATED -> "The answer from " + this + " is not one of "
                    + "Strongroom: check the address, and proxies on the way. It says: " + failure.message;
            default -> failure.message;
        };
        if (failure.code == Code.OK) {
            failure.code = Code.INTERNAL;
        }
    }

    String unreachable(String otherwise) {
        if (allAreKnown()) {
            return known();
        }
        // At least one server was reached, and its connection ended during the call.
        return ("The connection to the server at " + this + " broke: check that the server runs and that the address is right. "
                        + "The cause: " + otherwise.replaceAll("\\.+$", "") + ". " + known())
                .strip();
    }

    private boolean allAreKnown() {
        return last.keySet().containsAll(addresses);
    }

    /** Describes the problems that are known. */
    private String known() {
        StringJoiner texts = new StringJoiner(" ");
        for (String address : addresses) {
            Status problem = last.get(address);
            if (problem != null) {
                texts.add(describe(address, problem));
            }
        }
        return texts.toString();
    }

    private String describe(String address, Status problem) {
        if (find(problem, UnknownHostException.class) != null) {
            return "The host of the address " + address + " is not known: check the address, and the DNS.";
        }
        if (find(problem, ConnectException.class) != null) {
            return "The server at " + address + " cannot be reached: check that it runs and that the address is right. The cause: "
                    + find(problem, ConnectException.class).getMessage() + ".";
        }
        if (!tls) {
            return problem.getCause() == null && String.valueOf(problem.getDescription()).contains("keepalive")
                    ? "The server at " + address + " does not answer: check that it runs and that the address is right."
                    : "The server at " + address + " does not answer in plaintext: if it uses TLS, use the address https://"
                            + address + ".";
        }
        if (named(problem, "NotSslRecordException")) {
            return "The server at " + address + " does not use TLS: turn TLS on there, or use the address http://" + address
                    + " if it is on this machine.";
        }
        String certificate = ofCertificate(address, problem);
        if (certificate != null) {
            return certificate;
        }
        if (find(problem, ClosedChannelException.class) != null
                || find(problem, EOFException.class) != null
                || find(problem, SocketException.class) != null) {
            return "The server at " + address + " ended the connection in place of a TLS handshake: check that it uses TLS, or use "
                    + "the address http://" + address + " if it is on this machine.";
        }
        return "No TLS connection to the server at " + address + ": check that it uses TLS, and accepts the client certificate if "
                + "there is one. The cause: " + rootOf(problem) + ".";
    }

    private static String ofCertificate(String address, Status problem) {
        if (find(problem, CertificateExpiredException.class) != null
                || find(problem, CertificateNotYetValidException.class) != null) {
            return "The certificate of the server at " + address + " has expired or is not yet valid: renew it, and check the "
                    + "clocks of both machines.";
        }
        CertPathValidatorException path = find(problem, CertPathValidatorException.class);
        if (path != null && path.getReason() == CertPathValidatorException.BasicReason.EXPIRED) {
            return "The certificate of the server at " + address + " has expired: renew it, and check the clocks of both "
                    + "machines.";
        }
        if (path != null || named(problem, "ValidatorException") || named(problem, "SunCertPathBuilderException")) {
            return "The certificate of the server at " + address + " is not signed by an authority that this client trusts: give "
                    + "the right CA certificate with caCertificate of the builder or STRONGROOM_CA_CERT.";
        }
        if (find(problem, CertificateException.class) != null || named(problem, "SSLPeerUnverifiedException")) {
            return "The certificate of the server at " + address + " is for other names: use an address that it names, or give "
                    + "the server a certificate with this one.";
        }
        return null;
    }

    private static <T extends Throwable> T find(Status problem, Class<T> type) {
        return find(problem.getCause(), type);
    }

    private static <T extends Throwable> T find(Throwable cause, Class<T> type) {
        // A chain of causes has no loop in practice; the bound holds if it has.
        for (int depth = 0; cause != null && depth < 50; depth++, cause = cause.getCause()) {
            if (type.isInstance(cause)) {
                return type.cast(cause);
            }
        }
        return null;
    }

    private static boolean named(Status problem, String simpleName) {
        Throwable cause = problem.getCause();
        for (int depth = 0; cause != null && depth < 50; depth++, cause = cause.getCause()) {
            if (cause.getClass().getSimpleName().equals(simpleName)) {
                return true;
            }
        }
        return false;
    }

    private static String rootOf(Status problem) {
        Throwable cause = problem.getCause();
        if (cause == null) {
            return String.valueOf(problem.getDescription());
        }
        for (int depth = 0; cause.getCause() != null && depth < 50; depth++) {
            cause = cause.getCause();
        }
        return String.valueOf(cause.getMessage());
    }
}
