package strongroom

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets round_robin ask each server for its health
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// Several servers get calls in turn. One that says that it is not serving gets none, and one that cannot be reached neither.
const severalServers = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"healthCheckConfig": {"serviceName": "strongroom.v1.SecretService"}
}`

// connect sets up the connections. It does not wait for them.
func connect(s *settings) (*grpc.ClientConn, *connectProblems, error) {
	addresses, useTLS, err := transportOf(s)
	if err != nil {
		return nil, nil, err
	}
	problems := &connectProblems{tls: useTLS}
	transport := &handshakes{TransportCredentials: insecure.NewCredentials(), problems: problems}
	if useTLS {
		config := &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12}
		if files := s.clientCertificate; files != nil {
			if _, err := files.load(); err != nil {
				return nil, nil, err
			}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return files.load() }
		}
		transport.TransportCredentials = credentials.NewTLS(config)
	}

	// A resolver of its own, because each address has its own name for TLS.
	names := manual.NewBuilderWithScheme("strongroom")
	var state resolver.State
	for _, address := range addresses {
		text := address.String()
		problems.addresses = append(problems.addresses, text)
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: text, ServerName: text}},
		})
	}
	names.InitialState(state)

	options := []grpc.DialOption{
		grpc.WithResolvers(names),
		grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(problems.dial),
		grpc.WithUserAgent("strongroom-go/" + Version),
		grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if len(addresses) > 1 {
		options = append(options, grpc.WithDefaultServiceConfig(severalServers))
	}
	connection, err := grpc.NewClient("strongroom:///"+addresses[0].String(), append(options, s.dialOptions...)...)
	if err != nil {
		return nil, nil, misconfigured("The client cannot be set up: %v.", err)
	}
	return connection, problems, nil
}

// transportOf parses the addresses, and decides whether to use TLS: for all of them or for none.
func transportOf(s *settings) ([]address, bool, error) {
	var addresses []address
	var encrypted int
	for _, text := range s.addresses {
		address, err := parseAddress(text)
		if err != nil {
			return nil, false, err
		}
		local := address.isLoopback()
		switch {
		case address.scheme == "https", address.scheme == "" && (!local || s.roots != nil || s.clientCertificate != nil):
			encrypted++
		case s.clientCertificate != nil:
			return nil, false, misconfigured("http:// is plaintext: leave the client certificate out, or use https://%s.", address)
		case !local && !s.insecurePlaintext:
			return nil, false, misconfigured("http://%s is plaintext, and others on the network could read API keys and values: "+
				"use https://%s, or accept the risk with WithInsecurePlaintext.", address, address)
		}
		addresses = append(addresses, address)
	}
	if encrypted > 0 && encrypted < len(addresses) {
		return nil, false, misconfigured("Some addresses are plaintext and some use TLS: give all of them as https://, or all as http://.")
	}
	return addresses, encrypted > 0, nil
}

// handshakes notes how each handshake ends, so that an error can say what is wrong.
type handshakes struct {
	credentials.TransportCredentials
	problems *connectProblems
}

func (h *handshakes) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	connection, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if dialed, ok := raw.(*dialedConn); ok && h.problems.tls {
		h.problems.note(dialed.address, err)
	}
	return connection, info, err
}

func (h *handshakes) Clone() credentials.TransportCredentials {
	return &handshakes{h.TransportCredentials.Clone(), h.problems}
}
