package strongroom

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

func TestAnAddressHasAHostAndMayHaveASchemeAndAPort(t *testing.T) {
	for text, expected := range map[string]string{
		"127.0.0.1:1": "127.0.0.1:1", "127.0.0.1": "127.0.0.1:50051", "LocalHost:1": "LocalHost:1", "strongroom_1": "strongroom_1:50051",
		"http://127.1.2.3:65535": "127.1.2.3:65535", "hTTpS://secrets.example.com:443/": "secrets.example.com:443", "[::1]": "[::1]:50051",
		"https://[2001:db8::1]:8": "[2001:db8::1]:8", " a:1 ": "a:1",
	} {
		if parsed, err := parseAddress(text); err != nil || parsed.String() != expected {
			t.Errorf("%s: %v %v", text, parsed, err)
		}
	}
	for text, part := range map[string]string{
		"": "needs a host", ":1": "needs a host", "https:///": "needs a host", "a:0": "1 to 65535", "a:b": "1 to 65535", "a:": "1 to 65535",
		"::1": "in brackets", "[::1": "brackets", "[a]:1": "brackets", "root:hunter2@host:1": "no user", "ftp://a:1": "https://",
		"https://a:1/path": "path", "a?b": "query", "é": "letters", "a b:1": "letters", "a,b": "letters", "host\n:1": "letters",
	} {
		_, err := parseAddress(text)
		if !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPlaintextLeavesTheMachineOnlyIfAsked(t *testing.T) {
	key := WithAPIKey(testKey)
	for _, test := range []struct {
		options []Option
		part    string
	}{
		{[]Option{WithAddresses("http://secrets.example.com")}, "plaintext"},
		{[]Option{WithAddresses("http://localhost.example.com")}, "plaintext"},
		{[]Option{WithAddresses("http://secrets.example.com"), WithInsecurePlaintext()}, ""},
		{[]Option{WithAddresses("http://127.0.0.1:1", "http://[::1]:1", "localhost:1")}, ""},
		{[]Option{WithAddresses("secrets.example.com", "https://127.0.0.1:1")}, ""},
		{[]Option{WithAddresses("secrets.example.com", "127.0.0.1:1")}, "Some addresses"},
	} {
		client, err := New(append(test.options, key)...)
		switch {
		case test.part == "" && err != nil, test.part != "" && (err == nil || !strings.Contains(err.Error(), test.part)):
			t.Errorf("%q: %v", test.part, err)
		case err == nil:
			_ = client.Close()
		}
	}
}

func TestSettingsThatCannotBeUsedAreRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for part, options := range map[string][]Option{
		"no credential":    {},
		"one credential":   {WithAPIKey(testKey), WithAPIKeyFile("x")},
		"is empty":         {WithAPIKey(" \n")},
		"another charact":  {WithAPIKey("srk_a b")},
		"cannot be read":   {WithAPIKey(testKey), WithCACertFile("/nonexistent")},
		"no certificate":   {WithAPIKey(testKey), WithCACertFile(empty)},
		"go together":      {WithClientCertificate("x", "")},
		"cannot be used":   {WithClientCertificate("/nonexistent", "/nonexistent")},
		"at least 1":       {WithAPIKey(testKey), WithRetryPolicy(RetryPolicy{})},
		"more than 0":      {WithAPIKey(testKey), WithTimeout(0)},
		"needs a function": {WithTokenSource(nil)},
	} {
		if _, err := New(options...); !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", part, err)
		}
	}
}

func TestTheEnvironmentSetsWhatNoOptionSets(t *testing.T) {
	t.Setenv("STRONGROOM_SERVER", "127.0.0.1:7,127.0.0.1:8")
	t.Setenv("STRONGROOM_API_KEY", testKey)
	t.Setenv("STRONGROOM_NAMESPACE", "team")
	client, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if text := client.String(); text != `strongroom.Client([127.0.0.1:7 127.0.0.1:8], namespace "team")` {
		t.Error(text)
	}
	view, err := New(WithAddresses("127.0.0.1:9"), WithNamespace(""))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	if text := view.String(); text != `strongroom.Client([127.0.0.1:9], namespace "")` {
		t.Error(text)
	}
}

// credentialServer returns a client, and the credentials that its calls have sent. The server accepts only one of them.
func credentialServer(t *testing.T, accepted *string, option Option) (*Client, *[]string) {
	sent := &[]string{}
	server := (&fake{get: func(ctx context.Context, _ *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
		*sent = append(*sent, strings.TrimPrefix(credentialOf(ctx), "Bearer "))
		if *accepted != "" && (*sent)[len(*sent)-1] != *accepted {
			return nil, refusal(codes.Unauthenticated, ReasonCredentialExpired)
		}
		return &pb.GetSecretResponse{Secret: secretNamed("a", "value-1", 1), Version: 1}, nil
	}}).start(t)
	return clientOf(t, []*fake{server}, option), sent
}

func TestAKeyFileIsReadAgainWhenItChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("srk_one\n")
	accepted := ""
	client, sent := credentialServer(t, &accepted, WithAPIKeyFile(file))
	get := func() {
		t.Helper()
		if _, err := client.Get(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	get()
	write("srk_two\n")
	get()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	get()
	if text := strings.Join(*sent, " "); text != "srk_one srk_two srk_two" {
		t.Error(text)
	}

	missing, _ := credentialServer(t, &accepted, WithAPIKeyFile("/nonexistent/key"))
	if _, err := missing.Get(t.Context(), "a"); !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "cannot be read") {
		t.Error(err)
	}
}

func TestATokenIsRenewedBeforeItsEndAndWhenItIsRefused(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	made := 0
	source := newTokenCredential(func(context.Context) (Token, error) {
		made++
		return NewToken("token-"+string(rune('0'+made)), now.Add(10*time.Minute)), nil
	})
	source.now = func() time.Time { return now }
	accepted := ""
	client, sent := credentialServer(t, &accepted, func(s *settings) error { return s.setCredential(source) })
	get := func() {
		t.Helper()
		if _, err := client.Get(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	get()
	get()
	now = now.Add(9*time.Minute + 31*time.Second)
	get()
	accepted = "token-3"
	get()
	if text := strings.Join(*sent, " "); text != "token-1 token-1 token-2 token-2 token-3" {
		t.Error(text)
	}
	// A further token that is refused as well is not asked for again and again.
	accepted = "none"
	if _, err := client.Get(t.Context(), "a"); ReasonOf(err) != ReasonCredentialExpired || made != 4 {
		t.Errorf("%d tokens: %v", made, err)
	}
}

func TestATokenSourceThatFailsIsNamed(t *testing.T) {
	cause := errors.New("the provider is away")
	accepted := ""
	client, _ := credentialServer(t, &accepted, WithTokenSource(func(context.Context) (Token, error) { return Token{}, cause }))
	if _, err := client.Get(t.Context(), "a"); !errors.Is(err, ErrConfiguration) || !errors.Is(err, cause) {
		t.Error(err)
	}
}
