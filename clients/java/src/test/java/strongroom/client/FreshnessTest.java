package strongroom.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Message;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.Test;
import strongroom.v1.Consistency;
import strongroom.v1.ReferenceServiceGrpc.ReferenceServiceImplBase;
import strongroom.v1.SecretServiceGrpc.SecretServiceImplBase;

/** How new a state a call asks for. */
class FreshnessTest {
    private static final long REVISION = 42;

    /** The last request of each message that came. */
    private final Map<Descriptor, Message> sent = new ConcurrentHashMap<>();

    @Test
    void everyRequestThatHasTheFieldCarriesIt() throws Exception {
        Server server = Fake.start(NettyServerBuilder.forAddress(Fake.FREE_PORT)
                .addService(new SecretServiceImplBase() {})
                .addService(new ReferenceServiceImplBase() {})
                .intercept(noting()));
        ClientBuilder builder = StrongroomClient.builder().apiKey(Fake.KEY);
        builder.environment = Map.of();
        builder.channel = Fake.connect(server);
        try (StrongroomClient client = builder.build()) {
            callEverything(client);
        } finally {
            server.shutdownNow();
        }
        int compared = 0;
        for (FileDescriptor file : List.of(
                strongroom.v1.GetSecretRequest.getDescriptor().getFile(),
                strongroom.v1.ResolveReferencesRequest.getDescriptor().getFile())) {
            for (Descriptor request : file.getMessageTypes()) {
                FieldDescriptor minRevision = request.findFieldByName("min_revision");
                if (minRevision != null) {
                    assertEquals(REVISION, sent.get(request).getField(minRevision), request.getName());
                    compared++;
                }
                FieldDescriptor consistency = request.findFieldByName("consistency");
                if (consistency != null) {
                    assertEquals(
                            Consistency.CONSISTENCY_CACHED.getValueDescriptor(),
                            sent.get(request).getField(consistency),
                            request.getName());
                    compared++;
                }
            }
        }
        assertTrue(compared >= 20, compared + " fields were compared");
    }

    private static void callEverything(StrongroomClient client) {
        SecretValue value = SecretValue.of("value-1");
        for (Runnable call : List.<Runnable>of(
                () -> client.create("a", value, options -> options.minRevision(REVISION)),
                () -> client.get("a", options -> options.minRevision(REVISION).cachedRead()),
                () -> client.batchGet(List.of("a"), options -> options.minRevision(REVISION).cachedRead()),
                () -> client.list(options -> options.minRevision(REVISION).cachedRead()).iterator().next(),
                () -> client.listNamespaces(options -> options.minRevision(REVISION).cachedRead()).iterator().next(),
                () -> client.update("a", options -> options.minRevision(REVISION)),
                () -> client.delete("a", options -> options.minRevision(REVISION)),
                () -> client.undelete("id", options -> options.minRevision(REVISION)),
                () -> client.stage("a", value, options -> options.minRevision(REVISION)),
                () -> client.promote("a", 1, options -> options.minRevision(REVISION)),
                () -> client.versions("a", options -> options.minRevision(REVISION).cachedRead()),
                () -> client.disableVersion("a", 1, options -> options.minRevision(REVISION)),
                () -> client.enableVersion("a", 1, options -> options.minRevision(REVISION)),
                () -> client.destroyVersion("a", 1, options -> options.minRevision(REVISION)),
                () -> client.acknowledge("a", 1, options -> options.minRevision(REVISION)),
                () -> client.claimRotation(options -> options.minRevision(REVISION)),
                () -> client.releaseRotation("claim", options -> options.minRevision(REVISION)),
                () -> client.resolve(Map.of(), options -> options.cachedRead()))) {
            assertThrows(NotServedException.class, call::run);
        }
    }

    private ServerInterceptor noting() {
        return new ServerInterceptor() {
            @Override
            public <Q, R> ServerCall.Listener<Q> interceptCall(
                    ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
                return new SimpleForwardingServerCallListener<>(next.startCall(call, headers)) {
                    @Override
                    public void onMessage(Q message) {
                        Message request = (Message) message;
                        sent.put(request.getDescriptorForType(), request);
                        super.onMessage(message);
                    }
                };
            }
        };
    }
}
