package strongroom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const hiddenText = "the-hidden-value"

// shown is everything that the usual ways to print show of x.
func shown(x any) string {
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T"} {
		fmt.Fprintf(&text, verb+"\n", x)
	}
	fmt.Fprintln(&text, x)
	asJSON, err := json.Marshal(x)
	fmt.Fprintf(&text, "%s %v\n", asJSON, err)
	slog.New(slog.NewTextHandler(&text, nil)).Info("text", "x", x)
	slog.New(slog.NewJSONHandler(&text, nil)).Info("json", "x", x)
	return text.String()
}

func checkHidden(t *testing.T, what string, x any) {
	t.Helper()
	text := shown(x)
	numbers := strings.Trim(fmt.Sprint([]byte(hiddenText)), "[]")
	for _, form := range []string{hiddenText, numbers, fmt.Sprintf("%x", hiddenText), fmt.Sprintf("%X", hiddenText), "dGhlLWhpZGRlbi12YWx1ZQ"} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the value as %q", what, form)
		}
	}
}

func TestNoPrintShowsAValue(t *testing.T) {
	text, binary := Text(hiddenText), Binary([]byte(hiddenText))
	secret := Secret{Name: "a", Value: text}
	document := map[string]any{"a": hiddenText}
	for what, x := range map[string]any{
		"text":                text,
		"binary":              binary,
		"a pointer":           &text,
		"a slice":             []Value{text},
		"a map":               map[string]Value{"a": binary},
		"an unexported field": struct{ value Value }{text},
		"a pointer within":    struct{ value *Value }{&text},
		"deeper":              struct{ inner struct{ value *Value } }{struct{ value *Value }{&binary}},
		"a secret":            secret,
		"a secret's pointer":  &secret,
		"a cached secret":     CachedSecret{Secret: secret},
		"a batch item":        BatchItem{Secret: &secret},
		"a staged version":    &StagedVersion{1, &secret},
		"a credential":        Credential{Value: text},
		"a document":          ResolvedDocument{document: hide(document)},
		"within":              struct{ resolved ResolvedDocument }{ResolvedDocument{document: hide(document)}},
		"a token":             NewToken(hiddenText, time.Time{}),
		"an event":            Event{Secret: &secret},
	} {
		checkHidden(t, what, x)
	}
	if !strings.Contains(shown(secret), redactedText) {
		t.Error("a print of a secret does not say that the value is left out")
	}
}

func TestNoPrintShowsACredential(t *testing.T) {
	client := clientOf(t, []*fake{(&fake{}).start(t)}, WithAPIKey(hiddenText), WithNamespace("team"))
	for what, x := range map[string]any{"a client": client, "a view": client.In("other"), "a client's content": *client, "within": struct{ c *Client }{client}, "a cache": client.Cached()} {
		checkHidden(t, what, x)
	}
	if text := client.String(); text != `strongroom.Client([127.0.0.1:1], namespace "team")` {
		t.Error(text)
	}
}

func TestAValueIsReadAsItWasMade(t *testing.T) {
	data := []byte{0, 255, 10}
	binary := Binary(data)
	data[0] = 1
	if !bytes.Equal(binary.Bytes(), []byte{0, 255, 10}) || !binary.IsBinary() || binary.IsRedacted() {
		t.Error("binary")
	}
	binary.Bytes()[0] = 2
	if binary.Bytes()[0] != 0 {
		t.Error("Bytes is not a copy")
	}
	if text := Text("ü\x00"); text.Text() != "ü\x00" || text.IsBinary() || text.IsRedacted() {
		t.Error("text")
	}
	if empty := Text(""); empty.IsRedacted() || empty.Text() != "" {
		t.Error("an empty value is not a redacted one")
	}
	if redacted := (Value{}); !redacted.IsRedacted() || redacted.Text() != "" || redacted.Bytes() != nil {
		t.Error("redacted")
	}
}
