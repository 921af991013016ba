# Creates a secret, and reads it, with the stubs alone. The address and the API key come from STRONGROOM_SERVER and
# STRONGROOM_API_KEY. An argument is the name of the secret.
require "grpc"
require "strongroom/v1/secret_services_pb"

# Plaintext is for a server on this machine. Over a network use GRPC::Core::ChannelCredentials.new.
secrets = Strongroom::V1::SecretService::Stub.new(ENV.fetch("STRONGROOM_SERVER"), :this_channel_is_insecure)
metadata = { "authorization" => "Bearer #{ENV.fetch("STRONGROOM_API_KEY")}" }

name = ARGV.fetch(0, "ruby_example")
value = Strongroom::V1::SecretValue.new(text: "correct horse")
secrets.create_secret(Strongroom::V1::CreateSecretRequest.new(name: name, value: value), metadata: metadata)
reply = secrets.get_secret(Strongroom::V1::GetSecretRequest.new(name: name), metadata: metadata)
raise "another value came back" unless reply.secret.value.text == "correct horse"

puts "read version #{reply.version} of #{name}"
