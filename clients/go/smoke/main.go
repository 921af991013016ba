// Shows that the generated stubs work against a live server: it creates, reads and lists a secret, and reads the
// reason of a NOT_FOUND.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	strongroomv1 "strongroom/gen/strongroom/v1"
)

const (
	name  = "OPENAI_API_KEY"
	value = "sk-ünïcode\n{braces}"
)

func main() {
	connection, err := grpc.NewClient(
		fromEnvironment("STRONGROOM_SERVER"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // plaintext: the test server is on this machine
	)
	if err != nil {
		fail("connect", err)
	}
	defer connection.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+fromEnvironment("STRONGROOM_API_KEY"))

	smoke := smoke{
		ctx:       ctx,
		secrets:   strongroomv1.NewSecretServiceClient(connection),
		namespace: "smoke-go-" + strings.ToLower(rand.Text()),
	}
	check("create: version 1, the value redacted", smoke.create)
	check("get: the exact value", smoke.get)
	check("list: one secret, the value redacted", smoke.list)
	check("not found: the reason is SECRET_NOT_FOUND", smoke.notFound)
}

type smoke struct {
	ctx       context.Context
	secrets   strongroomv1.SecretServiceClient
	namespace string
}

func (s smoke) create() error {
	reply, err := s.secrets.CreateSecret(s.ctx, &strongroomv1.CreateSecretRequest{
		Namespace:   s.namespace,
		Name:        name,
		Value:       &strongroomv1.SecretValue{Kind: &strongroomv1.SecretValue_Text{Text: value}},
		Description: "made by the Go smoke program",
		Metadata:    map[string]string{"team": "smoke"},
	})
	if err != nil {
		return err
	}
	secret := reply.GetSecret()
	if secret.GetName() != name || secret.GetVersion() != 1 {
		return fmt.Errorf("got %q version %d, want %q version 1", secret.GetName(), secret.GetVersion(), name)
	}
	return redacted(secret)
}

func (s smoke) get() error {
	reply, err := s.secrets.GetSecret(s.ctx, &strongroomv1.GetSecretRequest{Namespace: s.namespace, Name: name})
	if err != nil {
		return err
	}
	if got := reply.GetSecret().GetValue().GetText(); got != value {
		return fmt.Errorf("got the value %q, want %q", got, value)
	}
	return nil
}

func (s smoke) list() error {
	reply, err := s.secrets.ListSecrets(s.ctx, &strongroomv1.ListSecretsRequest{
		Namespace: s.namespace,
		Metadata:  map[string]string{"team": "smoke"},
	})
	if err != nil {
		return err
	}
	if len(reply.GetItems()) != 1 || reply.GetTotalSize() != 1 || reply.GetItems()[0].GetName() != name {
		return fmt.Errorf("got %d of %d items, want just %q", len(reply.GetItems()), reply.GetTotalSize(), name)
	}
	return redacted(reply.GetItems()[0])
}

func (s smoke) notFound() error {
	_, err := s.secrets.GetSecret(s.ctx, &strongroomv1.GetSecretRequest{Namespace: s.namespace, Name: "MISSING"})
	if code := status.Code(err); code != codes.NotFound {
		return fmt.Errorf("got the code %s, want NotFound: %v", code, err)
	}
	const want = "SECRET_NOT_FOUND"
	for _, detail := range status.Convert(err).Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok {
			continue
		}
		if info.GetDomain() != "strongroom" || info.GetReason() != want {
			return fmt.Errorf("got the reason %q of %q, want %q of \"strongroom\"", info.GetReason(), info.GetDomain(), want)
		}
		return nil
	}
	return fmt.Errorf("the error carries no google.rpc.ErrorInfo: %w", err)
}

func redacted(secret *strongroomv1.Secret) error {
	if got := secret.GetValue().GetRedacted(); got != strongroomv1.Redaction_REDACTION_ENCRYPTED {
		return fmt.Errorf("the value of %q is not redacted", secret.GetName())
	}
	return nil
}

func check(what string, run func() error) {
	if err := run(); err != nil {
		fail(what, err)
	}
	fmt.Println("ok   go    " + what)
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "FAIL go    %s\n%v\n", what, err)
	os.Exit(1)
}

func fromEnvironment(variable string) string {
	value := os.Getenv(variable)
	if value == "" {
		fmt.Fprintf(os.Stderr, "%s is not set: run this program as clients/README.md says.\n", variable)
		os.Exit(2)
	}
	return value
}
