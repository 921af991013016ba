package strongroom.smoke;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import strongroom.v1.CreateSecretRequest;
import strongroom.v1.GetSecretRequest;
import strongroom.v1.ListSecretsRequest;
import strongroom.v1.Redaction;
import strongroom.v1.Secret;
import strongroom.v1.SecretValue;
import strongroom.v1.SecretServiceGrpc;
import strongroom.v1.SecretServiceGrpc.SecretServiceBlockingStub;

/**
 * Shows that the generated stubs work against a live server: it creates, reads and lists a secret, and reads the
 * reason of a NOT_FOUND.
 */
public final class Smoke {
    private static final String NAME = "OPENAI_API_KEY";
    private static final String VALUE = "sk-ünïcode\n{braces}";

    private final SecretServiceBlockingStub secrets;
    private final String namespace = "smoke-java-" + UUID.randomUUID();

    private Smoke(SecretServiceBlockingStub secrets) {
        this.secrets = secrets;
    }

    /** Runs all checks. Exits with 1 when a check fails, and with 2 when an environment variable is missing. */
    public static void main(String[] arguments) {
        String server = fromEnvironment("STRONGROOM_SERVER");
        Metadata credential = new Metadata();
        credential.put(
                Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
                "Bearer " + fromEnvironment("STRONGROOM_API_KEY"));

        ManagedChannel channel = Grpc.newChannelBuilder(server, InsecureChannelCredentials.create()).build();
        Smoke smoke = new Smoke(SecretServiceGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(credential))
                .withDeadlineAfter(30, TimeUnit.SECONDS));
        check("create: version 1, the value redacted", smoke::create);
        check("get: the exact value", smoke::get);
        check("list: one secret, the value redacted", smoke::list);
        check("not found: the reason is SECRET_NOT_FOUND", smoke::notFound);
        channel.shutdownNow();
    }

    private void create() {
        Secret secret = secrets.createSecret(CreateSecretRequest.newBuilder()
                        .setNamespace(namespace)
                        .setName(NAME)
                        .setValue(SecretValue.newBuilder().setText(VALUE))
                        .setDescription("made by the Java smoke program")
                        .putMetadata("team", "smoke")
                        .build())
                .getSecret();
        expect(NAME, secret.getName());
        expect(1, secret.getVersion());
        expect(Redaction.REDACTION_ENCRYPTED, secret.getValue().getRedacted());
    }

    private void get() {
        Secret secret = secrets.getSecret(get(NAME)).getSecret();
        expect(VALUE, secret.getValue().getText());
        expect("smoke", secret.getMetadataMap().get("team"));
    }

    private void list() {
        var page = secrets.listSecrets(ListSecretsRequest.newBuilder()
                .setNamespace(namespace)
                .putMetadata("team", "smoke")
                .build());
        expect(1, page.getTotalSize());
        expect(List.of(NAME), page.getItemsList().stream().map(Secret::getName).toList());
        expect(Redaction.REDACTION_ENCRYPTED, page.getItems(0).getValue().getRedacted());
    }

    private void notFound() throws InvalidProtocolBufferException {
        try {
            secrets.getSecret(get("MISSING"));
        } catch (StatusRuntimeException error) {
            expect(Code.NOT_FOUND, error.getStatus().getCode());
            ErrorInfo info = errorInfo(error);
            expect("strongroom", info.getDomain());
            expect("SECRET_NOT_FOUND", info.getReason());
            return;
        }
        throw new AssertionError("the call succeeded");
    }

    private GetSecretRequest get(String name) {
        return GetSecretRequest.newBuilder().setNamespace(namespace).setName(name).build();
    }

    private static ErrorInfo errorInfo(StatusRuntimeException error) throws InvalidProtocolBufferException {
        // Reads the trailer `grpc-status-details-bin`.
        for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
            if (detail.is(ErrorInfo.class)) {
                return detail.unpack(ErrorInfo.class);
            }
        }
        throw new AssertionError("the error carries no google.rpc.ErrorInfo: " + error);
    }

    private static void expect(Object want, Object got) {
        if (!Objects.equals(want, got)) {
            throw new AssertionError("got " + got + ", want " + want);
        }
    }

    private interface Run {
        void run() throws Exception;
    }

    private static void check(String what, Run run) {
        try {
            run.run();
        } catch (Exception | AssertionError error) {
            System.err.println("FAIL java  " + what + "\n" + error);
            System.exit(1);
        }
        System.out.println("ok   java  " + what);
    }

    private static String fromEnvironment(String variable) {
        String value = System.getenv(variable);
        if (value == null || value.isEmpty()) {
            System.err.println(variable + " is not set: run this program as clients/README.md says.");
            System.exit(2);
        }
        return value;
    }
}
