package strongroom

import (
	"net"
	"strconv"
	"strings"
)

const (
	defaultAddress = "127.0.0.1:50051"
	defaultPort    = 50051
)

// address is where a server listens, as the caller wrote it.
type address struct {
	host string
	port int
	// scheme is "http", "https", or empty where the text has none.
	scheme string
}

// parseAddress reads host, host:port, http://host:port (plaintext) or https://host:port (TLS). No error shows the text,
// which may hold a password by mistake.
func parseAddress(text string) (address, error) {
	var parsed address
	rest := strings.TrimSpace(text)
	if scheme, after, found := strings.Cut(rest, "://"); found {
		parsed.scheme = strings.ToLower(scheme)
		if parsed.scheme != "http" && parsed.scheme != "https" {
			return parsed, misconfigured("A server address must begin with https:// (TLS) or http:// (plaintext), or have no scheme.")
		}
		rest = strings.TrimSuffix(after, "/")
	}
	if strings.ContainsAny(rest, "@/?#") {
		return parsed, misconfigured("A server address is host:port, https://host:port or http://host:port: it has no user, path or query.")
	}
	host, port := rest, ""
	if colon := strings.LastIndexByte(rest, ':'); colon >= 0 && !strings.HasSuffix(rest, "]") {
		host, port = rest[:colon], rest[colon+1:]
		number, err := strconv.Atoi(port)
		if err != nil || number < 1 || number > 65535 {
			return parsed, misconfigured("The port of a server address must be a number from 1 to 65535.")
		}
		parsed.port = number
	} else {
		parsed.port = defaultPort
	}
	if inner, found := strings.CutPrefix(host, "["); found {
		inner, found = strings.CutSuffix(inner, "]")
		if !found || net.ParseIP(inner) == nil {
			return parsed, misconfigured("Only an IPv6 address can stand in brackets in a server address.")
		}
		host = inner
	} else if strings.Contains(host, ":") {
		return parsed, misconfigured("An IPv6 address must stand in brackets in a server address, such as [::1]:50051.")
	}
	if host == "" {
		return parsed, misconfigured("A server address needs a host, such as https://secrets.example.com:50051.")
	}
	for _, letter := range host {
		if letter > 127 || letter <= ' ' || letter == ',' {
			return parsed, misconfigured("The host of a server address can have only letters, digits, hyphens, dots and underscores.")
		}
	}
	parsed.host = host
	return parsed, nil
}

// String returns host:port.
func (a address) String() string {
	return net.JoinHostPort(a.host, strconv.Itoa(a.port))
}

// isLoopback tells whether the address is on this machine. A name other than localhost is not looked up.
func (a address) isLoopback() bool {
	if strings.EqualFold(a.host, "localhost") {
		return true
	}
	ip := net.ParseIP(a.host)
	return ip != nil && ip.IsLoopback()
}
