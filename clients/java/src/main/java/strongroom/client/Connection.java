package strongroom.client;

import io.grpc.Attributes;
import io.grpc.ChannelCredentials;
import io.grpc.ConnectivityStateInfo;
import io.grpc.EquivalentAddressGroup;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.LoadBalancer;
import io.grpc.LoadBalancerProvider;
import io.grpc.LoadBalancerRegistry;
import io.grpc.ManagedChannel;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.Status;
import io.grpc.StatusOr;
import io.grpc.TlsChannelCredentials;
import io.grpc.util.ForwardingLoadBalancerHelper;
import io.grpc.util.ForwardingSubchannel;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The connections of a client, one to each address.
 *
 * <p>With several addresses, calls go in turn to the servers that are connected and say that they serve (grpc.health.v1). Why a
 * connection fails is told to {@link Problems}. gRPC finds its parts by name, so a client is known by a number here.
 */
final class Connection {
    private static final String SCHEME = "strongroom";
    private static final Attributes.Key<Place> PLACE = Attributes.Key.create("strongroom.place");
    private static final Map<String, Servers> SERVERS = new ConcurrentHashMap<>();
    private static final AtomicLong NUMBERS = new AtomicLong();

    private record Servers(List<Address> addresses, Problems problems) {}

    private record Place(String address, Problems problems) {}

    static {
        NameResolverRegistry.getDefaultRegistry().register(new Resolvers());
        LoadBalancerRegistry.getDefaultRegistry().register(new Noting("strongroom_one", "pick_first"));
        LoadBalancerRegistry.getDefaultRegistry().register(new Noting("strongroom_several", "round_robin"));
    }

    private Connection() {}

    /** Sets up the connections. It does not wait for them. */
    static ManagedChannel open(Settings settings, Problems problems) {
        String number = Long.toString(NUMBERS.incrementAndGet());
        SERVERS.put(number, new Servers(settings.addresses, problems));
        boolean several = settings.addresses.size() > 1;
        Map<String, ?> balancing = Map.of(several ? "strongroom_several" : "strongroom_one", Map.of());
        Map<String, ?> config = several
                ? Map.of(
                        "loadBalancingConfig", List.of(balancing),
                        "healthCheckConfig", Map.of("serviceName", "strongroom.v1.SecretService"))
                : Map.of("loadBalancingConfig", List.of(balancing));
        return Grpc.newChannelBuilder(SCHEME + ":///" + number, credentialsOf(settings))
                .userAgent("strongroom-java/" + StrongroomClient.VERSION)
                .defaultServiceConfig(config)
                .disableServiceConfigLookUp()
                .disableRetry()
                .keepAliveTime(30, TimeUnit.SECONDS)
                .keepAliveTimeout(10, TimeUnit.SECONDS)
                .build();
    }

    private static ChannelCredentials credentialsOf(Settings settings) {
        if (!settings.tls) {
            return InsecureChannelCredentials.create();
        }
        try {
            TlsChannelCredentials.Builder credentials = TlsChannelCredentials.newBuilder();
            if (settings.roots != null) {
                credentials.trustManager(new ByteArrayInputStream(settings.roots));
            }
            if (settings.certificate != null) {
                credentials.keyManager(settings.certificate);
            }
            return credentials.build();
        } catch (IOException failure) {
            throw new ConfigurationException("TLS cannot be set up: see the cause.", failure);
        }
    }

    /** Finds the addresses of a client. */
    private static final class Resolvers extends NameResolverProvider {
        @Override
        protected boolean isAvailable() {
            return true;
        }

        @Override
        protected int priority() {
            return 5;
        }

        @Override
        public String getDefaultScheme() {
            return SCHEME;
        }

        @Override
        public List<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
            return List.of(InetSocketAddress.class);
        }

        @Override
        public NameResolver newNameResolver(URI target, NameResolver.Args args) {
            String number = SCHEME.equals(target.getScheme()) ? target.getPath().substring(1) : "";
            Servers servers = SERVERS.get(number);
            return servers == null ? null : new Resolver(number, servers, args.getOffloadExecutor());
        }
    }

    /** Looks up the hosts. Each address keeps its own name for TLS. */
    private static final class Resolver extends NameResolver {
        private final String number;
        private final Servers servers;
        private final Executor executor;
        private Listener2 listener;

        Resolver(String number, Servers servers, Executor executor) {
            this.number = number;
            this.servers = servers;
            this.executor = executor;
        }

        @Override
        public String getServiceAuthority() {
            return servers.addresses().get(0).toString();
        }

        @Override
        public void start(Listener2 listener) {
            this.listener = listener;
            refresh();
        }

        @Override
        public void refresh() {
            (executor == null ? (Executor) Runnable::run : executor).execute(this::lookUp);
        }

        @Override
        public void shutdown() {
            // The channel can ask for another resolver after it was idle, so the addresses stay until the client is closed.
        }

        private void lookUp() {
            List<EquivalentAddressGroup> groups = new ArrayList<>();
            UnknownHostException unknown = null;
            for (Address address : servers.addresses()) {
                try {
                    List<SocketAddress> found = new ArrayList<>();
                    for (InetAddress each : InetAddress.getAllByName(address.host())) {
                        found.add(new InetSocketAddress(each, address.port()));
                    }
                    Attributes attributes = Attributes.newBuilder()
                            .set(EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE, address.toString())
                            .set(PLACE, new Place(address.toString(), servers.problems()))
                            .build();
                    groups.add(new EquivalentAddressGroup(found, attributes));
                } catch (UnknownHostException failure) {
                    servers.problems().note(address.toString(), failure);
                    unknown = failure;
                }
            }
            StatusOr<List<EquivalentAddressGroup>> result = groups.isEmpty()
                    ? StatusOr.fromStatus(Status.UNAVAILABLE.withDescription("no host is known").withCause(unknown))
                    : StatusOr.fromValue(groups);
            listener.onResult(ResolutionResult.newBuilder().setAddressesOrError(result).build());
        }
    }

    /** Forgets the addresses of a closed channel. */
    static void forget(Problems problems) {
        SERVERS.values().removeIf(servers -> servers.problems() == problems);
    }

    /** A load balancer of gRPC that also tells how each attempt to connect ends. */
    private static final class Noting extends LoadBalancerProvider {
        private final String name;
        private final String of;

        Noting(String name, String of) {
            this.name = name;
            this.of = of;
        }

        @Override
        public boolean isAvailable() {
            return true;
        }

        @Override
        public int getPriority() {
            return 5;
        }

        @Override
        public String getPolicyName() {
            return name;
        }

        @Override
        public NameResolver.ConfigOrError parseLoadBalancingPolicyConfig(Map<String, ?> config) {
            return provider().parseLoadBalancingPolicyConfig(config);
        }

        @Override
        public LoadBalancer newLoadBalancer(LoadBalancer.Helper helper) {
            return provider().newLoadBalancer(new NotingHelper(helper));
        }

        private LoadBalancerProvider provider() {
            return LoadBalancerRegistry.getDefaultRegistry().getProvider(of);
        }
    }

    private static final class NotingHelper extends ForwardingLoadBalancerHelper {
        private final LoadBalancer.Helper helper;

        NotingHelper(LoadBalancer.Helper helper) {
            this.helper = helper;
        }

        @Override
        protected LoadBalancer.Helper delegate() {
            return helper;
        }

        @Override
        public LoadBalancer.Subchannel createSubchannel(LoadBalancer.CreateSubchannelArgs args) {
            Place place = args.getAddresses().get(0).getAttributes().get(PLACE);
            LoadBalancer.Subchannel made = helper.createSubchannel(args);
            return place == null ? made : new NotingSubchannel(made, place);
        }
    }

    private static final class NotingSubchannel extends ForwardingSubchannel {
        private final LoadBalancer.Subchannel subchannel;
        private final Place place;

        NotingSubchannel(LoadBalancer.Subchannel subchannel, Place place) {
            this.subchannel = subchannel;
            this.place = place;
        }

        @Override
        protected LoadBalancer.Subchannel delegate() {
            return subchannel;
        }

        @Override
        public void start(LoadBalancer.SubchannelStateListener listener) {
            super.start((ConnectivityStateInfo info) -> {
                place.problems().note(place.address(), info);
                listener.onSubchannelState(info);
            });
        }
    }
}
