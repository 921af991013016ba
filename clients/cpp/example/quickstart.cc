// Creates a secret, and reads it, with the stubs alone. The address and the API key come from STRONGROOM_SERVER and
// STRONGROOM_API_KEY.
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <iostream>
#include <memory>

#include "strongroom/v1/secret.grpc.pb.h"

namespace {

std::string setting(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

// Prints the error, and returns whether the call succeeded.
bool succeeded(const char* call, const grpc::Status& status) {
  if (!status.ok()) std::cerr << call << ": " << status.error_message() << "\n";
  return status.ok();
}

}  // namespace

int main() {
  // Plaintext is for a server on this machine. Over a network use grpc::SslCredentials.
  auto channel = grpc::CreateChannel(setting("STRONGROOM_SERVER"), grpc::InsecureChannelCredentials());
  auto secrets = strongroom::v1::SecretService::NewStub(channel);
  const std::string authorization = "Bearer " + setting("STRONGROOM_API_KEY");

  grpc::ClientContext creating;
  creating.AddMetadata("authorization", authorization);
  strongroom::v1::CreateSecretRequest create;
  create.set_name("cpp_example");
  create.mutable_value()->set_text("correct horse");
  strongroom::v1::CreateSecretResponse created;
  if (!succeeded("CreateSecret", secrets->CreateSecret(&creating, create, &created))) return 1;

  grpc::ClientContext reading;
  reading.AddMetadata("authorization", authorization);
  strongroom::v1::GetSecretRequest get;
  get.set_name("cpp_example");
  strongroom::v1::GetSecretResponse reply;
  if (!succeeded("GetSecret", secrets->GetSecret(&reading, get, &reply))) return 1;
  if (reply.secret().value().text() != "correct horse") return 1;
  std::cout << "read version " << reply.version() << " of cpp_example\n";
}
