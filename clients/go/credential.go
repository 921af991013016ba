package strongroom

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// Token is a token (JWT) that a [TokenSource] returns. Make one with [NewToken]. No print shows it.
type Token struct {
	text      hidden[string]
	expiresAt time.Time
}

// NewToken makes a token. The client asks for another one a little before expiresAt. The zero time: only when the server refuses
// this one.
func NewToken(text string, expiresAt time.Time) Token {
	return Token{hide(text), expiresAt}
}

const redactedToken = "[token not shown]"

// String returns "[token not shown]".
func (t Token) String() string { return redactedToken }

// Format prints "[token not shown]", whatever the verb.
func (t Token) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte(redactedToken))
}

// MarshalText returns "[token not shown]", also for encoding/json and log/slog.
func (t Token) MarshalText() ([]byte, error) {
	return []byte(redactedToken), nil
}

// TokenSource returns the token to send, for example one of an identity provider. The client keeps the token, and asks again
// before it expires and when the server refuses it. Calls wait for it, so it must keep to the context. It is never called
// twice at the same time.
type TokenSource func(ctx context.Context) (Token, error)

// credentialSource has the API key or the token to send.
type credentialSource interface {
	// current returns the text to send. Empty: none, since the client certificate is the credential.
	current(ctx context.Context) (string, error)
	// refused is told that the server does not accept this text.
	refused(text string)
}

// fixedCredential always sends the same text. Empty: none.
type fixedCredential struct{ text hidden[string] }

func (c fixedCredential) current(context.Context) (string, error) { return c.text.reveal(), nil }
func (c fixedCredential) refused(string)                          {}

// credentialFile is a file that holds an API key or a token. It is read again when it changes.
type credentialFile struct {
	path string

	mutex sync.Mutex
	// The file as it was when text was read. nil: it was not read.
	info fs.FileInfo
	text hidden[string]
}

func (f *credentialFile) current(context.Context) (string, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	// The look at the file comes first: a change between the two is noticed the next time.
	info, err := os.Stat(f.path)
	if err == nil && f.info != nil && unchanged(f.info, info) {
		return f.text.reveal(), nil
	}
	text, err := readCredential(f.path)
	if err != nil && f.info != nil {
		// The program that replaces the file may be in the middle of that. The last text works for as long as the server accepts it.
		return f.text.reveal(), nil
	}
	if err != nil {
		return "", err
	}
	f.info, f.text = info, hide(text)
	return text, nil
}

// refused reads the file again the next time, also when its size and its time are as they were.
func (f *credentialFile) refused(text string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.info == nil || f.text.reveal() != text {
		return
	}
	if read, err := readCredential(f.path); err == nil {
		f.text = hide(read)
	}
}

func unchanged(before, now fs.FileInfo) bool {
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}

func readCredential(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", misconfigured("The file of the API key or token cannot be read: %v. Check the path and the permissions.", err)
	}
	text, err := checkCredential(string(content))
	if err != nil {
		return "", misconfigured("The file %s does not hold an API key or a token: it must hold nothing else.", path)
	}
	return text, nil
}

// checkCredential removes the space around an API key or a token. No error shows it.
func checkCredential(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", misconfigured("The API key or token is empty. A key begins with srk_.")
	}
	for _, letter := range text {
		if letter <= ' ' || letter > '~' {
			return "", misconfigured("The API key or token has a space or another character that cannot be part of one. Copy it again.")
		}
	}
	return text, nil
}

// tokenCredential asks a TokenSource, and keeps its token while it works.
type tokenCredential struct {
	source TokenSource
	now    func() time.Time

	// One call asks, the others wait. A channel, because waiting must end with the context.
	turn chan struct{}
	kept Token
}

// renewBefore is how long before its end a token is renewed.
const renewBefore = 30 * time.Second

func newTokenCredential(source TokenSource) *tokenCredential {
	return &tokenCredential{source: source, now: time.Now, turn: make(chan struct{}, 1)}
}

func (c *tokenCredential) current(ctx context.Context) (string, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	kept, keptText := c.kept, c.kept.text.reveal()
	if keptText != "" && (kept.expiresAt.IsZero() || c.now().Add(renewBefore).Before(kept.expiresAt)) {
		return keptText, nil
	}
	var text string
	token, err := c.source(ctx)
	if err == nil {
		text, err = checkCredential(token.text.reveal())
	}
	if err != nil {
		if keptText != "" && c.now().Before(kept.expiresAt) {
			// The present token still works for a little while.
			return keptText, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if errors.Is(err, ErrConfiguration) {
			return "", err
		}
		return "", fmt.Errorf("%w: the token source failed: %w", ErrConfiguration, err)
	}
	c.kept = NewToken(text, token.expiresAt)
	return text, nil
}

func (c *tokenCredential) refused(text string) {
	select {
	case c.turn <- struct{}{}:
		if c.kept.text.reveal() == text {
			c.kept = Token{}
		}
		<-c.turn
	default:
		// Another call asks for a token just now.
	}
}
