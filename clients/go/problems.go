package strongroom

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"

	"google.golang.org/grpc/codes"
)

// connectProblems knows why the last attempt to connect to each address failed, so that an error says what to do.
type connectProblems struct {
	addresses []string
	tls       bool

	mutex sync.Mutex
	last  map[string]error
}

// errNoPlaintext: the server ended a plaintext connection, or answered with TLS.
var errNoPlaintext = errors.New("the server does not answer in plaintext")

// note keeps the outcome of an attempt. nil: it succeeded.
func (p *connectProblems) note(address string, err error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err == nil || errors.Is(err, context.Canceled) {
		delete(p.last, address)
		return
	}
	if p.last == nil {
		p.last = make(map[string]error)
	}
	p.last[address] = err
}

func (p *connectProblems) dial(ctx context.Context, address string) (net.Conn, error) {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		p.note(address, err)
		return nil, err
	}
	return &dialedConn{Conn: connection, address: address, problems: p}, nil
}

// dialedConn is a connection that knows the address that was dialed. In plaintext, it looks at the first answer.
type dialedConn struct {
	net.Conn
	address  string
	problems *connectProblems
	answered bool
}

// Read is never called twice at the same time.
func (c *dialedConn) Read(buffer []byte) (int, error) {
	length, err := c.Conn.Read(buffer)
	if !c.answered && !c.problems.tls && (length > 0 || err != nil) {
		c.answered = true
		// 21 is an alert of TLS (RFC 8446, 5.1). No frame of HTTP/2 begins like that here: the first one is short.
		if length == 0 || buffer[0] == 21 {
			c.problems.note(c.address, errNoPlaintext)
		} else {
			c.problems.note(c.address, nil)
		}
	}
	return length, err
}

// explain gives an error that came from no server a message that says what to do.
func (p *connectProblems) explain(failure *Error, call string) {
	if failure.Reason != "" || failure.RequestID != "" {
		return
	}
	switch failure.Code {
	case codes.Unavailable:
		failure.Message = p.unreachable(failure.Message)
	case codes.DeadlineExceeded:
		if text, all := p.known(); all {
			failure.Message = text
		} else {
			failure.Message = fmt.Sprintf("The server at %s did not answer in time: check that it is not overloaded, or raise the "+
				"timeout with WithTimeout or the context.", strings.Join(p.addresses, ", "))
		}
	case codes.Unimplemented:
		failure.Message = fmt.Sprintf("The server at %s does not serve %s: it is of an older release than this client, or no "+
			"Strongroom. Update the server, or use a client of its release.", strings.Join(p.addresses, ", "), call)
	case codes.Canceled:
		failure.Message = "The context of the call was canceled. If the call was a change, it may or may not have been made."
	case codes.Unknown, codes.Internal, codes.PermissionDenied, codes.Unauthenticated:
		failure.Message = fmt.Sprintf("The answer from %s is not one of Strongroom: check the address, and proxies on the way. "+
			"It says: %s", strings.Join(p.addresses, ", "), failure.Message)
	}
}

func (p *connectProblems) unreachable(otherwise string) string {
	known, all := p.known()
	if all {
		return known
	}
	// At least one server was reached, and its connection ended during the call.
	return strings.TrimSpace(fmt.Sprintf("The connection to the server at %s broke: check that the server runs and that the address "+
		"is right. The cause: %s. %s", strings.Join(p.addresses, ", "), strings.TrimSuffix(otherwise, "."), known))
}

// known describes the problems that are known, and tells whether every address has one.
func (p *connectProblems) known() (text string, all bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var texts []string
	for _, address := range p.addresses {
		if err, found := p.last[address]; found {
			texts = append(texts, p.describe(address, err))
		}
	}
	return strings.Join(texts, " "), len(texts) == len(p.addresses)
}

func (p *connectProblems) describe(address string, err error) string {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		name      x509.HostnameError
		record    tls.RecordHeaderError
		unknown   *net.DNSError
		dialing   *net.OpError
	)
	switch {
	case errors.Is(err, errNoPlaintext):
		return fmt.Sprintf("The server at %s does not answer in plaintext: if it uses TLS, use the address https://%s.", address, address)
	case errors.As(err, &record):
		return fmt.Sprintf("The server at %s does not use TLS: turn TLS on there, or use the address http://%s if it is on this machine.", address, address)
	case errors.As(err, &authority):
		return fmt.Sprintf("The certificate of the server at %s is not signed by an authority that this client trusts: give the "+
			"right CA certificate with WithCACertFile or STRONGROOM_CA_CERT.", address)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("The certificate of the server at %s has expired or is not yet valid: renew it, and check the clocks of "+
			"both machines.", address)
	case errors.As(err, &name):
		return fmt.Sprintf("The certificate of the server at %s is for other names: use an address that it names, or give the "+
			"server a certificate with this one.", address)
	case errors.As(err, &unknown):
		return fmt.Sprintf("The host of the address %s is not known: check the address, and the DNS. The cause: %v.", address, err)
	case errors.As(err, &dialing) && dialing.Op == "dial":
		return fmt.Sprintf("The server at %s cannot be reached: check that it runs and that the address is right. The cause: %v.", address, err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Sprintf("The server at %s ended the connection in place of a TLS handshake: check that it uses TLS, or use the "+
			"address http://%s if it is on this machine.", address, address)
	case p.tls:
		return fmt.Sprintf("No TLS connection to the server at %s: check that it uses TLS, and accepts the client certificate if there "+
			"is one. The cause: %v.", address, err)
	default:
		return fmt.Sprintf("The server at %s cannot be reached: check that it runs and that the address is right. The cause: %v.", address, err)
	}
}
