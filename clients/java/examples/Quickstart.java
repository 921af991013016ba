import strongroom.client.AlreadyExistsException;
import strongroom.client.Generator;
import strongroom.client.NotFoundException;
import strongroom.client.Secret;
import strongroom.client.StrongroomClient;
import java.util.Map;

/**
 * Creates, reads, rotates and lists a secret. The address and the API key come from STRONGROOM_SERVER and STRONGROOM_API_KEY:
 *
 * <pre>mvn compile dependency:build-classpath
 * java -cp "target/classes:$(cat target/classpath)" examples/Quickstart.java</pre>
 */
public final class Quickstart {
    public static void main(String[] arguments) {
        try (StrongroomClient client = StrongroomClient.builder().namespace("quickstart-java").build()) {
            Secret secret;
            try {
                secret = client.create("db_password", Generator.password(32), options -> options
                        .description("the password of the orders database")
                        .metadata(Map.of("team", "orders")));
            } catch (AlreadyExistsException taken) {
                secret = client.rotate("db_password", Generator.password(32));
            }
            System.out.println(secret + " was made; its value prints as " + secret.value());

            secret = client.get("db_password");
            System.out.println("the value has " + secret.value().text().length() + " characters");

            for (Secret listed : client.list(options -> options.metadata(Map.of("team", "orders")))) {
                System.out.println("listed: " + listed.name());
            }

            int version = client.async().get("db_password").thenApply(Secret::version).join();
            System.out.println("the number of the current version: " + version);

            try {
                client.get("missing");
            } catch (NotFoundException failure) {
                System.out.println("a secret that is missing: " + failure.reason());
            }
        }
    }
}
