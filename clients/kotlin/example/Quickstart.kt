// Creates a secret, and reads it, with the stubs alone. The address and the API key come from STRONGROOM_SERVER and
// STRONGROOM_API_KEY.
import io.grpc.ManagedChannelBuilder
import io.grpc.Metadata
import kotlinx.coroutines.runBlocking
import strongroom.v1.SecretServiceGrpcKt.SecretServiceCoroutineStub
import strongroom.v1.createSecretRequest
import strongroom.v1.getSecretRequest
import strongroom.v1.secretValue

fun main() = runBlocking {
    // Plaintext is for a server on this machine. Over a network use `useTransportSecurity()`.
    val channel = ManagedChannelBuilder.forTarget(System.getenv("STRONGROOM_SERVER")).usePlaintext().build()
    val headers = Metadata()
    val authorization = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)
    headers.put(authorization, "Bearer " + System.getenv("STRONGROOM_API_KEY"))
    val secrets = SecretServiceCoroutineStub(channel)

    secrets.createSecret(createSecretRequest {
        name = "kotlin_example"
        value = secretValue { text = "correct horse" }
    }, headers)
    val reply = secrets.getSecret(getSecretRequest { name = "kotlin_example" }, headers)
    check(reply.secret.value.text == "correct horse")
    println("read version ${reply.version} of kotlin_example")
    channel.shutdownNow()
    Unit
}
