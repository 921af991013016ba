package strongroom.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;

/** What a client and its views for other namespaces share: it makes the calls, and makes them again as the policy says. */
final class Link {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    final ManagedChannel channel;
    final Problems problems;
    final Credential credential;
    final Duration timeout;
    final RetryPolicy retry;
    final Pauses pauses;
    private final AtomicBoolean closed = new AtomicBoolean();

    /** Does something after a time. A test replaces it. */
    interface Pauses {
        void after(Duration length, Runnable next);

        /** The pauses of real time. */
        static Pauses real() {
            return (length, next) ->
                    CompletableFuture.delayedExecutor(length.toNanos(), TimeUnit.NANOSECONDS).execute(next);
        }
    }

    Link(ManagedChannel channel, Problems problems, Settings settings, Pauses pauses) {
        this.channel = channel;
        this.problems = problems;
        this.credential = settings.credential;
        this.timeout = settings.timeout;
        this.retry = settings.retry;
        this.pauses = pauses;
    }

    boolean isClosed() {
        return closed.get();
    }

    void close() {
        if (!closed.getAndSet(true)) {
            channel.shutdownNow();
            Connection.forget(problems);
        }
    }

    /** Begins a call with a credential; empty: without one. */
    <Q, R> ClientCall<Q, R> newCall(MethodDescriptor<Q, R> method, CallOptions options, String text) {
        Channel through = channel;
        if (!text.isEmpty()) {
            Metadata headers = new Metadata();
            headers.put(AUTHORIZATION, "Bearer " + text);
            through = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
        }
        return through.newCall(method, options);
    }

    /** Whether there is another credential than the one that was refused. */
    CompletableFuture<Boolean> renewed(String refused) {
        credential.refused(refused);
        return credential.current().handle((now, failure) -> failure == null && !now.equals(refused));
    }

    /** Makes an exception of this package from one of gRPC, or of a credential. */
    StrongroomException failure(Throwable failure, String call, String requestId) {
        Throwable cause = failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        if (cause instanceof StrongroomException known) {
            return known;
        }
        if (isClosed()) {
            return new ClientClosedException();
        }
        Throwable status = cause instanceof TimeoutException ? Status.DEADLINE_EXCEEDED.asRuntimeException() : cause;
        com.google.rpc.Status sent = StatusProto.fromThrowable(status);
        if (sent == null) {
            Status other = Status.fromThrowable(status);
            sent = com.google.rpc.Status.newBuilder().setCode(other.getCode().value()).build();
        }
        StrongroomException.Details details = StrongroomException.Details.of(sent);
        details.sentRequestId = requestId;
        if (details.reason.isEmpty() && details.requestId.isEmpty()) {
            details.cause = cause;
        }
        problems.explain(details, call);
        return details.exception();
    }

    /**
     * Makes a call, with as many attempts as the policy allows. Canceling the future cancels the attempt that is under way.
     *
     * @param requestId the request id of a change; empty: the call is none
     * @param once the call must not be made twice
     */
    <Q, R, T> CompletableFuture<T> send(
            MethodDescriptor<Q, R> method, Q request, Duration limit, String requestId, boolean once, Function<R, T> read) {
        Deadline deadline = Deadline.after((limit == null ? timeout : limit).toNanos(), TimeUnit.NANOSECONDS);
        Deadline outer = Context.current().getDeadline();
        Attempts<Q, R, T> attempts = new Attempts<>(
                method, request, outer == null ? deadline : deadline.minimum(outer), requestId, once ? 1 : retry.attempts(), read);
        attempts.begin();
        return attempts.result;
    }

    private final class Attempts<Q, R, T> {
        final CompletableFuture<T> result = new CompletableFuture<>();
        private final MethodDescriptor<Q, R> method;
        private final Q request;
        private final Deadline deadline;
        private final String requestId;
        private final int most;
        private final Function<R, T> read;
        private int made;
        private boolean renewedOnce;
        private volatile ClientCall<Q, R> call;

        Attempts(MethodDescriptor<Q, R> method, Q request, Deadline deadline, String requestId, int most, Function<R, T> read) {
            this.method = method;
            this.request = request;
            this.deadline = deadline;
            this.requestId = requestId;
            this.most = most;
            this.read = read;
            result.whenComplete((reply, failure) -> cancelCall());
        }

        private void cancelCall() {
            ClientCall<Q, R> current = call;
            if (result.isCancelled() && current != null) {
                current.cancel("the future of the call was canceled", null);
            }
        }

        void begin() {
            if (result.isDone()) {
                // The caller has canceled it during a pause.
                return;
            }
            if (isClosed()) {
                result.completeExceptionally(new ClientClosedException());
                return;
            }
            CompletableFuture<String> text = credential.current();
            if (!text.isDone()) {
                text = text.copy().orTimeout(deadline.timeRemaining(TimeUnit.NANOSECONDS), TimeUnit.NANOSECONDS);
            }
            text.whenComplete((current, failure) -> {
                if (failure != null) {
                    result.completeExceptionally(failure(failure, method.getBareMethodName(), requestId));
                } else if (!result.isDone()) {
                    attempt(current);
                }
            });
        }

        private void attempt(String text) {
            made++;
            try {
                ClientCall<Q, R> next = newCall(method, CallOptions.DEFAULT.withDeadline(deadline), text);
                call = next;
                ClientCalls.asyncUnaryCall(next, request, new StreamObserver<R>() {
                    private R reply;

                    @Override
                    public void onNext(R value) {
                        reply = value;
                    }

                    @Override
                    public void onError(Throwable failure) {
                        failed(failure, text);
                    }

                    @Override
                    public void onCompleted() {
                        succeeded(reply);
                    }
                });
                cancelCall();
            } catch (RuntimeException failure) {
                failed(failure, text);
            }
        }

        private void succeeded(R reply) {
            try {
                result.complete(read.apply(reply));
            } catch (RuntimeException failure) {
                result.completeExceptionally(failure(failure, method.getBareMethodName(), requestId));
            }
        }

        private void failed(Throwable cause, String text) {
            if (result.isDone()) {
                return;
            }
            StrongroomException failure = failure(cause, method.getBareMethodName(), requestId);
            if (failure instanceof AuthenticationException && !renewedOnce && !text.isEmpty()) {
                renewedOnce = true;
                // The server has looked at nothing but the credential, so this attempt does not count.
                renewed(text).thenAccept(another -> {
                    if (another) {
                        made--;
                        begin();
                    } else {
                        result.completeExceptionally(failure);
                    }
                });
                return;
            }
            Duration pause = retry.pauseAfter(made, failure.retryAfter(), ThreadLocalRandom.current().nextDouble());
            if (made >= most || !failure.passes() || deadline.timeRemaining(TimeUnit.NANOSECONDS) <= pause.toNanos()) {
                result.completeExceptionally(failure);
                return;
            }
            reconnect(failure);
            pauses.after(pause, this::begin);
        }
    }

    /** Connects again at once: the pauses of the policy bound how often, and those of gRPC grow to two minutes. */
    void reconnect(StrongroomException failure) {
        if (failure instanceof UnavailableException && failure.requestId().isEmpty()) {
            channel.resetConnectBackoff();
        }
    }
}
