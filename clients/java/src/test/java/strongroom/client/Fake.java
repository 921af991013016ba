package strongroom.client;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import io.grpc.BindableService;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.Status.Code;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.BiConsumer;
import java.util.function.Function;
import strongroom.v1.ClaimRotationRequest;
import strongroom.v1.ClaimRotationResponse;
import strongroom.v1.CreateSecretRequest;
import strongroom.v1.CreateSecretResponse;
import strongroom.v1.GetSecretRequest;
import strongroom.v1.GetSecretResponse;
import strongroom.v1.ListNamespacesRequest;
import strongroom.v1.ListNamespacesResponse;
import strongroom.v1.ListSecretsRequest;
import strongroom.v1.ListSecretsResponse;
import strongroom.v1.SecretServiceGrpc.SecretServiceImplBase;
import strongroom.v1.WatchSecretsRequest;
import strongroom.v1.WatchSecretsResponse;

/** A server on a free port of 127.0.0.1. A test sets the functions of the calls that it expects. */
final class Fake extends SecretServiceImplBase implements AutoCloseable {
    static final InetSocketAddress FREE_PORT = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    static final String KEY = "srk_abcdefghijklmnop_the-secret-part";

    volatile Function<CreateSecretRequest, CreateSecretResponse> create;
    volatile Function<GetSecretRequest, GetSecretResponse> get;
    volatile Function<ListSecretsRequest, ListSecretsResponse> list;
    volatile Function<ListNamespacesRequest, ListNamespacesResponse> namespaces;
    volatile Function<ClaimRotationRequest, ClaimRotationResponse> claim;
    volatile BiConsumer<WatchSecretsRequest, StreamObserver<WatchSecretsResponse>> watch;

    /** The credentials that came, and the pauses that the client made. */
    final Queue<String> credentials = new ConcurrentLinkedQueue<>();

    final Queue<Duration> pauses = new ConcurrentLinkedQueue<>();
    private final Server server;

    Fake() {
        server = start(NettyServerBuilder.forAddress(FREE_PORT)
                .addService(ServerInterceptors.intercept((BindableService) this, noting())));
    }

    static Server start(NettyServerBuilder builder) {
        try {
            return builder.build().start();
        } catch (IOException failure) {
            throw new IllegalStateException(failure);
        }
    }

    /** A connection to a server that {@link #start} has started. */
    static ManagedChannel connect(Server server) {
        return NettyChannelBuilder.forAddress(FREE_PORT.getHostString(), server.getPort())
                .usePlaintext()
                .build();
    }

    /** A client of this server. Its pauses take no time. */
    StrongroomClient client() {
        return builder().apiKey(KEY).build();
    }

    ClientBuilder builder() {
        ClientBuilder builder = StrongroomClient.builder();
        builder.environment = Map.of();
        builder.channel = connect(server);
        builder.pauses = (length, next) -> {
            pauses.add(length);
            Thread thread = new Thread(next);
            thread.setDaemon(true);
            thread.start();
        };
        return builder;
    }

    private ServerInterceptor noting() {
        return new ServerInterceptor() {
            @Override
            public <Q, R> ServerCall.Listener<Q> interceptCall(
                    ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
                credentials.add(String.valueOf(
                        headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER))));
                return next.startCall(call, headers);
            }
        };
    }

    @Override
    public void createSecret(CreateSecretRequest request, StreamObserver<CreateSecretResponse> reply) {
        answer(create, request, reply);
    }

    @Override
    public void getSecret(GetSecretRequest request, StreamObserver<GetSecretResponse> reply) {
        answer(get, request, reply);
    }

    @Override
    public void listSecrets(ListSecretsRequest request, StreamObserver<ListSecretsResponse> reply) {
        answer(list, request, reply);
    }

    @Override
    public void listNamespaces(ListNamespacesRequest request, StreamObserver<ListNamespacesResponse> reply) {
        answer(namespaces, request, reply);
    }

    @Override
    public void claimRotation(ClaimRotationRequest request, StreamObserver<ClaimRotationResponse> reply) {
        answer(claim, request, reply);
    }

    @Override
    public void watchSecrets(WatchSecretsRequest request, StreamObserver<WatchSecretsResponse> reply) {
        watch.accept(request, reply);
    }

    private static <Q, R> void answer(Function<Q, R> function, Q request, StreamObserver<R> reply) {
        try {
            reply.onNext(function.apply(request));
            reply.onCompleted();
        } catch (RuntimeException refused) {
            reply.onError(refused);
        }
    }

    /** An error as the server sends it. */
    static RuntimeException refusal(Code code, String reason, Message... further) {
        var status = com.google.rpc.Status.newBuilder()
                .setCode(code.value())
                .setMessage("A sentence that says what to do.")
                .addDetails(Any.pack(ErrorInfo.newBuilder().setDomain("strongroom").setReason(reason).build()))
                .addDetails(Any.pack(RequestInfo.newBuilder().setRequestId("request-1").build()));
        for (Message detail : List.of(further)) {
            status.addDetails(Any.pack(detail));
        }
        return StatusProto.toStatusRuntimeException(status.build());
    }

    static RetryInfo retryIn(Duration delay) {
        return RetryInfo.newBuilder().setRetryDelay(Models.protoOf(delay)).build();
    }

    static strongroom.v1.Secret secret(String name, String value) {
        return strongroom.v1.Secret.newBuilder()
                .setNamespace("team")
                .setName(name)
                .setId("id-of-" + name)
                .setVersion(1)
                .setValue(strongroom.v1.SecretValue.newBuilder().setText(value))
                .build();
    }

    static GetSecretResponse found(String name, String value, long revision) {
        return GetSecretResponse.newBuilder()
                .setSecret(secret(name, value))
                .setVersion(1)
                .setRevision(revision)
                .build();
    }

    @Override
    public void close() {
        server.shutdownNow();
    }
}
