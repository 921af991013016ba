package strongroom

import (
	"encoding/json"
	"fmt"
	"log/slog"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// redactedText is what every print of a value shows.
const redactedText = "[value not shown]"

// Value is the value of a secret: text or bytes, 0 to 65,536 bytes. Make one with [Text] or [Binary], and read one with
// [Value.Text] or [Value.Bytes].
//
// Nothing else shows it: every verb of fmt, slog, and encoding/json print "[value not shown]" in its place. That also
// holds for structs that have a Value in a field.
//
// The zero Value is redacted: it stands for a value that the server did not return.
type Value struct {
	held hidden[heldValue]
}

type heldValue struct {
	data   []byte
	binary bool
}

// Text makes a value that is UTF-8 text. It can contain newlines and NUL.
func Text(text string) Value {
	return Value{hide(heldValue{data: []byte(text)})}
}

// Binary makes a value that is any bytes. It keeps a copy of them.
func Binary(data []byte) Value {
	return Value{hide(heldValue{data: append([]byte{}, data...), binary: true})}
}

// Text returns the plaintext value. Do not log it. It is empty when the value is redacted.
func (v Value) Text() string {
	return string(v.held.reveal().data)
}

// Bytes returns a copy of the plaintext value. Do not log it. It is nil when the value is redacted.
func (v Value) Bytes() []byte {
	if v.IsRedacted() {
		return nil
	}
	return append([]byte{}, v.held.reveal().data...)
}

// IsBinary tells whether the value was stored as bytes, and not as text.
func (v Value) IsBinary() bool {
	return v.held.reveal().binary
}

// IsRedacted tells whether the server did not return the value: in lists, in events, and in replies to changes.
func (v Value) IsRedacted() bool {
	return v.held.isNothing()
}

// String returns "[value not shown]".
func (v Value) String() string { return redactedText }

// GoString returns "[value not shown]".
func (v Value) GoString() string { return redactedText }

// Format prints "[value not shown]", whatever the verb.
func (v Value) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte(redactedText))
}

// MarshalJSON returns "[value not shown]" as JSON.
func (v Value) MarshalJSON() ([]byte, error) {
	return json.Marshal(redactedText)
}

// MarshalText returns "[value not shown]".
func (v Value) MarshalText() ([]byte, error) {
	return []byte(redactedText), nil
}

// LogValue returns "[value not shown]" for log/slog.
func (v Value) LogValue() slog.Value {
	return slog.StringValue(redactedText)
}

// copied returns a value with bytes of its own.
func (v Value) copied() Value {
	if v.IsRedacted() {
		return v
	}
	held := v.held.reveal()
	held.data = append([]byte{}, held.data...)
	return Value{hide(held)}
}

// wipe overwrites the bytes. Nobody else may have this value.
func (v Value) wipe() {
	clear(v.held.reveal().data)
}

func (v Value) proto() *pb.SecretValue {
	if v.IsRedacted() {
		return nil
	}
	held := v.held.reveal()
	if held.binary {
		return &pb.SecretValue{Kind: &pb.SecretValue_Binary{Binary: held.data}}
	}
	return &pb.SecretValue{Kind: &pb.SecretValue_Text{Text: string(held.data)}}
}

func valueOf(value *pb.SecretValue) Value {
	switch kind := value.GetKind().(type) {
	case *pb.SecretValue_Text:
		return Text(kind.Text)
	case *pb.SecretValue_Binary:
		// The message is not used again, so its bytes need no copy.
		return Value{hide(heldValue{data: kind.Binary, binary: true})}
	default:
		return Value{}
	}
}
