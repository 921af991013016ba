package strongroom.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Server;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.channels.ClosedChannelException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import strongroom.v1.GetSecretRequest;
import strongroom.v1.GetSecretResponse;
import strongroom.v1.SecretServiceGrpc.SecretServiceImplBase;

/** Connections to real servers on this machine, each on a free port. */
@Timeout(120)
class ConnectionTest {
    private final Replica one = new Replica();
    private final Replica two = new Replica();

    /** A server that counts the reads that it has answered. */
    private static final class Replica extends SecretServiceImplBase {
        final AtomicInteger answered = new AtomicInteger();
        final HealthStatusManager health = new HealthStatusManager();
        final Server server;

        Replica() {
            health.setStatus("strongroom.v1.SecretService", ServingStatus.SERVING);
            try {
                server = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
                        .addService(this)
                        .addService(health.getHealthService())
                        .build()
                        .start();
            } catch (IOException failure) {
                throw new IllegalStateException(failure);
            }
        }

        String address() {
            return "http://127.0.0.1:" + server.getPort();
        }

        @Override
        public void getSecret(GetSecretRequest request, StreamObserver<GetSecretResponse> reply) {
            answered.incrementAndGet();
            reply.onNext(Fake.found("a", "value-1", 1));
            reply.onCompleted();
        }
    }

    @AfterEach
    void stop() {
        one.server.shutdownNow();
        two.server.shutdownNow();
    }

    private static StrongroomClient client(String... addresses) {
        ClientBuilder builder = StrongroomClient.builder().apiKey(Fake.KEY).addresses(addresses);
        builder.environment = Map.of();
        return builder.build();
    }

    private static void readUntil(StrongroomClient client, java.util.function.BooleanSupplier condition) {
        while (!condition.getAsBoolean()) {
            client.get("a");
        }
    }

    private static String unused() {
        try (ServerSocket socket = new ServerSocket(0)) {
            return "127.0.0.1:" + socket.getLocalPort();
        } catch (IOException failure) {
            throw new IllegalStateException(failure);
        }
    }

    @Test
    void callsGoToTheServersThatServe() {
        try (StrongroomClient client = client(one.address(), two.address())) {
            readUntil(client, () -> one.answered.get() > 0 && two.answered.get() > 0);
            one.health.setStatus("strongroom.v1.SecretService", ServingStatus.NOT_SERVING);
            // Ten reads in a row that the other one answered: in turn, the first would have had half of them.
            AtomicInteger before = new AtomicInteger(one.answered.get());
            AtomicInteger mark = new AtomicInteger(two.answered.get());
            readUntil(client, () -> {
                if (before.getAndSet(one.answered.get()) != one.answered.get()) {
                    mark.set(two.answered.get());
                }
                return two.answered.get() - mark.get() >= 10;
            });
            one.health.setStatus("strongroom.v1.SecretService", ServingStatus.SERVING);
            two.server.shutdown();
            int count = one.answered.get();
            readUntil(client, () -> one.answered.get() >= count + 10);
        }
    }

    @Test
    void aDeadAddressAmongSeveralCostsNoCall() {
        try (StrongroomClient client = client("http://" + unused(), one.address())) {
            assertEquals("value-1", client.get("a").value().text());
        }
    }

    @Test
    void theMessageNamesEveryAddressThatCannotBeReached() {
        String first = unused();
        try (StrongroomClient client = client("http://" + first, "http://no-such-host.invalid")) {
            // A host that is not known is not on this machine.
            throw new AssertionError("plaintext to another machine: " + client);
        } catch (ConfigurationException refused) {
            assertTrue(refused.getMessage().contains("no-such-host.invalid"));
        }
        try (StrongroomClient client = client("http://" + first)) {
            var failure = assertThrows(UnavailableException.class, () -> client.get("a"));
            assertTrue(failure.getMessage().contains(first + " cannot be reached"), failure.getMessage());
        }
    }

    @Test
    void tlsWhereNoneIsSaysSo() {
        try (StrongroomClient client = client(one.address().replace("http", "https"))) {
            var failure = assertThrows(UnavailableException.class, () -> client.get("a"));
            assertTrue(failure.getMessage().contains("use the address http://127.0.0.1"), failure.getMessage());
        }
    }

    @Test
    void aConnectionThatIsClosedUnderACallIsUnavailable() {
        // What gRPC makes of a channel of Netty that was closed in the moment before the call.
        var closed = Status.UNKNOWN
                .withDescription("channel closed")
                .withCause(new ClosedChannelException())
                .asRuntimeException();
        Problems problems = new Problems(List.of("127.0.0.1:50051"), true);
        var details = StrongroomException.Details.of(
                com.google.rpc.Status.newBuilder().setCode(Status.Code.UNKNOWN.value()).build());
        details.cause = closed;
        problems.explain(details, "GetSecret");
        StrongroomException failure = details.exception();
        assertInstanceOf(UnavailableException.class, failure);
        assertTrue(failure.passes());
        assertTrue(failure.getMessage().contains("127.0.0.1:50051 broke"), failure.getMessage());
    }
}
