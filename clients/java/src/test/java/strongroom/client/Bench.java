package strongroom.client;

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import strongroom.v1.GetSecretRequest;
import strongroom.v1.GetSecretResponse;
import strongroom.v1.SecretServiceGrpc;
import strongroom.v1.WatchBookmark;
import strongroom.v1.WatchSecretsRequest;
import strongroom.v1.WatchSecretsResponse;

/** Measures a read of the cache, and 10,000 reads with the client as a ratio to 10,000 with the bare stub. */
final class Bench {
    private static final int READS = 10_000;
    private static final double LARGEST_RATIO = 1.3;

    private Bench() {}

    /** Prints both numbers. With the argument --check it ends with status 1 over a ratio of 1.3. */
    public static void main(String[] arguments) throws IOException {
        double ratio = measure();
        if (List.of(arguments).contains("--check") && ratio > LARGEST_RATIO) {
            System.exit(1);
        }
    }

    private static double measure() throws IOException {
        Server server = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
                .addService(new SecretServiceGrpc.SecretServiceImplBase() {
                    @Override
                    public void getSecret(GetSecretRequest request, StreamObserver<GetSecretResponse> reply) {
                        reply.onNext(Fake.found("a", "value-1", 1));
                        reply.onCompleted();
                    }

                    @Override
                    public void watchSecrets(WatchSecretsRequest request, StreamObserver<WatchSecretsResponse> reply) {
                        reply.onNext(WatchSecretsResponse.newBuilder()
                                .setBookmark(WatchBookmark.newBuilder().setRevision(1).setSynced(true))
                                .build());
                    }
                })
                .build()
                .start();
        double ratio;
        String address = "127.0.0.1:" + server.getPort();
        ManagedChannel channel =
                Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
        var stub = SecretServiceGrpc.newBlockingStub(channel);
        var request = GetSecretRequest.newBuilder().setName("a").build();
        try (StrongroomClient client = StrongroomClient.builder().addresses(address).apiKey(Fake.KEY).build();
                Cache cache = client.cached()) {
            double bare = Double.MAX_VALUE;
            double whole = Double.MAX_VALUE;
            // The first rounds warm the virtual machine up.
            for (int round = 0; round < 6; round++) {
                bare = Math.min(bare, time(READS, () -> stub.getSecret(request).getSecret().getValue().getText()));
                whole = Math.min(whole, time(READS, () -> client.get("a").value().text()));
            }
            ratio = whole / bare;
            System.out.printf("%d reads, client to bare stub: %.2f, at most %.1f%n", READS, ratio, LARGEST_RATIO);
            double cached = Double.MAX_VALUE;
            for (int round = 0; round < 6; round++) {
                cached = Math.min(cached, time(1_000_000, () -> cache.get("a").secret()) / 1_000_000);
            }
            System.out.printf("a read of the cache: %.2f µs%n", cached / 1000);
        }
        channel.shutdownNow();
        server.shutdownNow();
        return ratio;
    }

    private static double time(int count, Runnable work) {
        long begin = System.nanoTime();
        for (int made = 0; made < count; made++) {
            work.run();
        }
        return System.nanoTime() - begin;
    }
}
