package strongroom

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// Option is a setting of a client, for [New].
type Option func(*settings) error

// settings is what the options say. A field that no option sets comes from the environment, then from the defaults.
type settings struct {
	addresses         []string
	credential        credentialSource
	namespace         *string
	roots             *x509.CertPool
	clientCertificate *certificateFiles
	timeout           time.Duration
	retry             RetryPolicy
	insecurePlaintext bool
	dialOptions       []grpc.DialOption
}

// RetryPolicy says how often a call that failed is made again. The client makes a call again when the server is unavailable,
// when it is busy, and when others changed the same secret at the same time. It waits as long as the server asks for, and a
// random time in addition: between half and the whole of FirstDelay, which doubles each time up to LongestDelay. No attempt
// begins after the deadline.
//
// Attempts are safe: each change carries one request id in all its attempts, so the server makes it once.
// [Client.ClaimRotation] and [Client.ReleaseRotation] have no request id, and are never made again.
type RetryPolicy struct {
	// Attempts is how often a call is made in all. 1: once.
	Attempts int
	// FirstDelay is the longest pause before the second attempt.
	FirstDelay time.Duration
	// LongestDelay is the longest pause before any attempt.
	LongestDelay time.Duration
}

const defaultTimeout = 30 * time.Second

var defaultRetry = RetryPolicy{Attempts: 5, FirstDelay: 100 * time.Millisecond, LongestDelay: 5 * time.Second}

// WithAddresses sets the addresses of the servers: host:port, https://host:port (TLS) or http://host:port (plaintext).
// Without a scheme, an address is plaintext when it is this machine and no CA certificate is given, and TLS otherwise.
//
// With several addresses, which must lead to the same store, the client keeps a connection to each and asks each for its
// health. Calls go in turn to those that are healthy.
//
// Default: STRONGROOM_SERVER, with commas between several addresses, then 127.0.0.1:50051.
func WithAddresses(addresses ...string) Option {
	return func(s *settings) error {
		s.addresses = append([]string{}, addresses...)
		return nil
	}
}

// WithAPIKey sets the API key, srk_…, or a token that is never renewed.
//
// Default: STRONGROOM_API_KEY, then the file that STRONGROOM_API_KEY_FILE names, unless there is a client certificate.
func WithAPIKey(key string) Option {
	return func(s *settings) error {
		text, err := checkCredential(key)
		if err != nil {
			return err
		}
		return s.setCredential(fixedCredential{hide(text)})
	}
}

// WithAPIKeyFile names a file that holds the API key. The client reads it again when it changes, so a key can be rotated
// without a restart.
func WithAPIKeyFile(path string) Option {
	return func(s *settings) error { return s.setCredential(&credentialFile{path: path}) }
}

// WithTokenFile names a file that holds a token (JWT), such as a token of a Kubernetes service account. The client reads it
// again when it changes.
func WithTokenFile(path string) Option {
	return WithAPIKeyFile(path)
}

// WithTokenSource sets a function that returns a token (JWT). The client calls it again before the token expires.
func WithTokenSource(source TokenSource) Option {
	return func(s *settings) error {
		if source == nil {
			return misconfigured("WithTokenSource needs a function.")
		}
		return s.setCredential(newTokenCredential(source))
	}
}

// WithClientCertificate names the files (PEM) of a client certificate and its private key. Without an API key or a token, it
// is the credential. The client reads the files again for each connection, so they can be renewed without a restart.
//
// Default: STRONGROOM_CLIENT_CERT and STRONGROOM_CLIENT_KEY.
func WithClientCertificate(certificateFile, keyFile string) Option {
	return func(s *settings) error {
		s.clientCertificate = &certificateFiles{certificateFile, keyFile}
		return nil
	}
}

// WithCACertFile names the file (PEM) of the certificates of the authorities that sign the servers' certificates.
//
// Default: STRONGROOM_CA_CERT, then the authorities of the system.
func WithCACertFile(path string) Option {
	return func(s *settings) (err error) {
		s.roots, err = readRoots(path)
		return err
	}
}

// WithRootCAs sets the authorities that sign the servers' certificates.
func WithRootCAs(roots *x509.CertPool) Option {
	return func(s *settings) error {
		s.roots = roots
		return nil
	}
}

// WithNamespace sets the namespace of the calls; see also [Client.In].
//
// Default: STRONGROOM_NAMESPACE, then the home namespace of the credential.
func WithNamespace(namespace string) Option {
	return func(s *settings) error {
		s.namespace = &namespace
		return nil
	}
}

// WithTimeout sets how long a call takes at most, with all its attempts, when its context has no earlier deadline. Default:
// 30 seconds.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) error {
		if timeout <= 0 {
			return misconfigured("The timeout must be more than 0.")
		}
		s.timeout = timeout
		return nil
	}
}

// WithRetryPolicy sets how often a call is made again. Default: 5 attempts, with pauses from 0.1 to 5 seconds.
func WithRetryPolicy(policy RetryPolicy) Option {
	return func(s *settings) error {
		if policy.Attempts < 1 || policy.FirstDelay < 0 || policy.LongestDelay < policy.FirstDelay {
			return misconfigured("A retry policy needs at least 1 attempt, and a LongestDelay that is not below FirstDelay.")
		}
		s.retry = policy
		return nil
	}
}

// WithInsecurePlaintext permits http:// to another machine, although others on the network can then read API keys and
// values.
func WithInsecurePlaintext() Option {
	return func(s *settings) error {
		s.insecurePlaintext = true
		return nil
	}
}

// WithDialOptions adds options of grpc-go to those of the client, for example interceptors for traces.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) error {
		s.dialOptions = append(s.dialOptions, options...)
		return nil
	}
}

func (s *settings) setCredential(source credentialSource) error {
	if s.credential != nil {
		return misconfigured("A client sends one credential: give one of WithAPIKey, WithAPIKeyFile, WithTokenFile and WithTokenSource.")
	}
	s.credential = source
	return nil
}

// settingsOf applies the options, then what the environment says of the rest, then the defaults.
func settingsOf(options []Option) (*settings, error) {
	s := &settings{timeout: defaultTimeout, retry: defaultRetry}
	for _, option := range options {
		if err := option(s); err != nil {
			return nil, err
		}
	}
	if len(s.addresses) == 0 {
		s.addresses = []string{defaultAddress}
		if servers := os.Getenv("STRONGROOM_SERVER"); servers != "" {
			s.addresses = strings.Split(servers, ",")
		}
	}
	if path := os.Getenv("STRONGROOM_CA_CERT"); path != "" && s.roots == nil {
		if err := WithCACertFile(path)(s); err != nil {
			return nil, err
		}
	}
	certificate, key := os.Getenv("STRONGROOM_CLIENT_CERT"), os.Getenv("STRONGROOM_CLIENT_KEY")
	if s.clientCertificate == nil && s.credential == nil && (certificate != "" || key != "") {
		s.clientCertificate = &certificateFiles{certificate, key}
	}
	if err := s.credentialOfEnvironment(); err != nil {
		return nil, err
	}
	if s.namespace == nil {
		namespace := os.Getenv("STRONGROOM_NAMESPACE")
		s.namespace = &namespace
	}
	return s, nil
}

func (s *settings) credentialOfEnvironment() error {
	if s.credential != nil {
		return nil
	}
	if s.clientCertificate != nil {
		s.credential = fixedCredential{}
		return nil
	}
	if key := os.Getenv("STRONGROOM_API_KEY"); key != "" {
		return WithAPIKey(key)(s)
	}
	if path := os.Getenv("STRONGROOM_API_KEY_FILE"); path != "" {
		return WithAPIKeyFile(path)(s)
	}
	return misconfigured("There is no credential: use WithAPIKey, WithAPIKeyFile, WithTokenFile, WithTokenSource or " +
		"WithClientCertificate, or set STRONGROOM_API_KEY or STRONGROOM_API_KEY_FILE.")
}

// certificateFiles is a client certificate and its key.
type certificateFiles struct{ certificate, key string }

func (f certificateFiles) load() (*tls.Certificate, error) {
	if f.certificate == "" || f.key == "" {
		return nil, misconfigured("A client certificate and its private key go together: give both, or neither.")
	}
	pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		return nil, misconfigured("The client certificate cannot be used: %v.", err)
	}
	return &pair, nil
}

func readRoots(path string) (*x509.CertPool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, misconfigured("The CA certificate cannot be read: %v. Check the path and the permissions.", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, misconfigured("The file %s has no certificate in PEM: give the certificate of the authority.", path)
	}
	return roots, nil
}
