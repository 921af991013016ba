package strongroom

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// Version is the version of this package, as it stands in the user agent.
const Version = "0.1.0"

// Client makes calls to a Strongroom service. Many goroutines can use it at the same time, over one connection to each
// server. Make it once, and close it at the end.
type Client struct {
	*link
	namespace string
}

// link is what a client and the views that In returns share.
type link struct {
	connection *grpc.ClientConn
	problems   *connectProblems
	credential credentialSource
	timeout    time.Duration
	retry      RetryPolicy
	closed     atomic.Bool

	secrets    pb.SecretServiceClient
	access     pb.AccessServiceClient
	references pb.ReferenceServiceClient
}

// New sets up a client. What no option says comes from the environment: STRONGROOM_SERVER, STRONGROOM_API_KEY or
// STRONGROOM_API_KEY_FILE, STRONGROOM_NAMESPACE, STRONGROOM_CA_CERT, STRONGROOM_CLIENT_CERT and STRONGROOM_CLIENT_KEY. An
// empty variable counts as unset.
//
// New does not connect, so it does not notice a server that cannot be reached: the first call does. The error is of the
// class [ErrConfiguration].
func New(options ...Option) (*Client, error) {
	settings, err := settingsOf(options)
	if err != nil {
		return nil, err
	}
	connection, problems, err := connect(settings)
	if err != nil {
		return nil, err
	}
	return &Client{
		link: &link{
			connection: connection,
			problems:   problems,
			credential: settings.credential,
			timeout:    settings.timeout,
			retry:      settings.retry,
			secrets:    pb.NewSecretServiceClient(connection),
			access:     pb.NewAccessServiceClient(connection),
			references: pb.NewReferenceServiceClient(connection),
		},
		namespace: *settings.namespace,
	}, nil
}

// In returns a view of the client for another namespace. It shares the connections. An empty namespace is the home namespace
// of the credential.
func (c *Client) In(namespace string) *Client {
	return &Client{link: c.link, namespace: namespace}
}

// Close ends the connections, and with them the calls and watches that are under way, also those of views. Further calls fail
// with [ErrClosed].
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.connection.Close()
}

// String names the client without its credential.
func (c Client) String() string {
	return fmt.Sprintf("strongroom.Client(%v, namespace %q)", c.problems.addresses, c.namespace)
}

// GoString is String.
func (c Client) GoString() string { return c.String() }

// Format prints String, whatever the verb, so that no credential is shown.
func (c Client) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte(c.String()))
}

// change is a request that the server makes once for each request id.
type change interface{ GetRequestId() string }

// rpc is a method of a generated stub.
type rpc[Request, Reply any] func(context.Context, Request, ...grpc.CallOption) (Reply, error)

// send makes a call, and makes it again as the policy says.
func send[Request, Reply any](ctx context.Context, c *Client, name string, method rpc[Request, Reply], request Request) (Reply, error) {
	return attempts(ctx, c, name, c.retry.Attempts, method, request)
}

// sendOnce makes a call that must not be made twice.
func sendOnce[Request, Reply any](ctx context.Context, c *Client, name string, method rpc[Request, Reply], request Request) (Reply, error) {
	return attempts(ctx, c, name, 1, method, request)
}

func attempts[Request, Reply any](
	ctx context.Context, c *Client, name string, most int, method rpc[Request, Reply], request Request,
) (Reply, error) {
	var none Reply
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	renewed := false
	for made := 1; ; made++ {
		outgoing, credential, err := c.authenticated(ctx)
		if err != nil {
			return none, c.failure(err, name, request)
		}
		reply, err := method(outgoing, request)
		if err == nil {
			return reply, nil
		}
		failure := c.failure(err, name, request)
		var refused *Error
		if !errors.As(failure, &refused) {
			return none, failure
		}
		if refused.Code == codes.Unauthenticated && !renewed && c.renew(ctx, credential) {
			// The server has looked at nothing but the credential, so this attempt does not count.
			renewed = true
			made--
			continue
		}
		if made >= most || !refused.passes() || !pause(ctx, c.retry.pauseAfter(made, refused.RetryAfter)) {
			return none, failure
		}
	}
}

// authenticated returns the context of an attempt, and the credential that it sends.
func (l *link) authenticated(ctx context.Context) (context.Context, string, error) {
	if l.closed.Load() {
		return nil, "", ErrClosed
	}
	credential, err := l.credential.current(ctx)
	if err != nil || credential == "" {
		return ctx, "", err
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+credential), credential, nil
}

// renew tells whether there is another credential than the one that was refused.
func (l *link) renew(ctx context.Context, refused string) bool {
	l.credential.refused(refused)
	now, err := l.credential.current(ctx)
	return err == nil && now != refused
}

// failure makes an error of this package from an error of gRPC, or of a credential.
func (l *link) failure(err error, call string, request any) error {
	if errors.Is(err, ErrConfiguration) || errors.Is(err, ErrClosed) {
		return err
	}
	if l.closed.Load() {
		return ErrClosed
	}
	failed, ok := status.FromError(err)
	if !ok {
		failed = status.FromContextError(err)
	}
	result := errorOf(failed)
	if change, ok := request.(change); ok {
		result.SentRequestID = change.GetRequestId()
	}
	l.problems.explain(result, call)
	return result
}

// pauseAfter is how long to wait after so many attempts.
func (p RetryPolicy) pauseAfter(made int, asked time.Duration) time.Duration {
	longest := float64(p.FirstDelay) * math.Pow(2, float64(min(made, 32)-1))
	longest = min(longest, float64(p.LongestDelay))
	return asked + time.Duration(longest*(0.5+mathrand.Float64()/2))
}

// pause waits, and tells whether the wait ended before the context. It does not begin when the deadline comes first.
func pause(ctx context.Context, length time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= length {
		return false
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// newRequestID returns a random UUID (version 4, RFC 9562).
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: the program ends when there is no randomness
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
