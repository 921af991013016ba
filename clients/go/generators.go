package strongroom

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// Source is where a new value comes from: a [Value] of the caller, or a [Generator] of the server.
type Source interface {
	// source returns the two fields of a request, of which at most one is set.
	source() (*pb.SecretValue, *pb.Generator)
}

func (v Value) source() (*pb.SecretValue, *pb.Generator) { return v.proto(), nil }

// ByPolicy is the source of a rotation whose value the generator of the secret's [RotationPolicy] makes.
var ByPolicy Source = byPolicy{}

type byPolicy struct{}

func (byPolicy) source() (*pb.SecretValue, *pb.Generator) { return nil, nil }

// Generator says how the server generates a value. Make one with [GeneratePassword] and the like.
type Generator struct{ settings *pb.Generator }

func (g Generator) source() (*pb.SecretValue, *pb.Generator) { return nil, g.settings }

// CharacterClass is a class of characters that a password must have.
type CharacterClass = pb.CharacterClass

// The classes of characters.
const (
	Lower  = pb.CharacterClass_CHARACTER_CLASS_LOWER
	Upper  = pb.CharacterClass_CHARACTER_CLASS_UPPER
	Digit  = pb.CharacterClass_CHARACTER_CLASS_DIGIT
	Symbol = pb.CharacterClass_CHARACTER_CLASS_SYMBOL
)

// GeneratePassword generates letters and digits, 8 to 4,096 of them; 0 means 32. It has at least one character of each of the
// required classes.
func GeneratePassword(length uint32, required ...CharacterClass) Generator {
	return Generator{&pb.Generator{Kind: &pb.Generator_Password{Password: &pb.PasswordGenerator{Length: optional(length), Required: required}}}}
}

// GeneratePasswordOf generates characters of this alphabet: 2 or more different printable ASCII characters, no space.
func GeneratePasswordOf(alphabet string, length uint32) Generator {
	return Generator{&pb.Generator{Kind: &pb.Generator_Password{Password: &pb.PasswordGenerator{Length: optional(length), Alphabet: alphabet}}}}
}

// BytesEncoding is how random bytes become a value.
type BytesEncoding = pb.BytesEncoding

// The encodings of random bytes.
const (
	// Base64URL: text, without padding.
	Base64URL = pb.BytesEncoding_BYTES_ENCODING_BASE64URL
	// Hex: text, in lower case.
	Hex = pb.BytesEncoding_BYTES_ENCODING_HEX
	// Raw: the bytes themselves.
	Raw = pb.BytesEncoding_BYTES_ENCODING_RAW
)

// GenerateBytes generates random bytes, 16 to 4,096 of them; 0 means 32.
func GenerateBytes(length uint32, encoding BytesEncoding) Generator {
	return Generator{&pb.Generator{Kind: &pb.Generator_Bytes{Bytes: &pb.BytesGenerator{Length: optional(length), Encoding: encoding}}}}
}

// GenerateUUID generates a random UUID.
func GenerateUUID() Generator {
	return Generator{&pb.Generator{Kind: &pb.Generator_Uuid{Uuid: &pb.UuidGenerator{}}}}
}

// GeneratePassphrase generates words of a public list with hyphens between them, 4 to 64; 0 means 8.
func GeneratePassphrase(words uint32) Generator {
	return Generator{&pb.Generator{Kind: &pb.Generator_Passphrase{Passphrase: &pb.PassphraseGenerator{Words: optional(words)}}}}
}

// KeyPairAlgorithm is a kind of key pairs.
type KeyPairAlgorithm = pb.KeyPairAlgorithm

// The kinds of key pairs.
const (
	Ed25519   = pb.KeyPairAlgorithm_KEY_PAIR_ALGORITHM_ED25519
	ECDSAP256 = pb.KeyPairAlgorithm_KEY_PAIR_ALGORITHM_ECDSA_P256
)

// GenerateKeyPair generates a private key, in PEM. The public key goes into the metadata public_key.
func GenerateKeyPair(algorithm KeyPairAlgorithm) Generator {
	return Generator{&pb.Generator{Kind: &pb.Generator_KeyPair{KeyPair: &pb.KeyPairGenerator{Algorithm: algorithm}}}}
}

// RotationPolicy says when and how the server rotates a secret.
type RotationPolicy struct {
	// Interval is the time between two rotations, 1 second to 10 years. 0: only on request.
	Interval time.Duration
	// Generator makes the new values, so the server rotates by itself. nil: a worker does, with [Client.ClaimRotation].
	Generator *Generator
	// GracePeriod is how long the former version stays readable by its number. nil: as long as the server keeps it.
	GracePeriod *time.Duration
	// Window is the time of day (UTC) within which rotations are made, such as 02:00-04:00. Empty: at any time.
	Window string
	// Paused: no rotations are made until the policy is changed.
	Paused bool
	// RetireWhenUnread disables the former version as soon as each of its consumers uses a newer one. It needs GracePeriod.
	RetireWhenUnread bool
}

func (p RotationPolicy) proto() *pb.RotationPolicy {
	policy := &pb.RotationPolicy{Window: p.Window, Paused: p.Paused, RetireWhenUnread: p.RetireWhenUnread}
	if p.Interval != 0 {
		policy.Interval = durationpb.New(p.Interval)
	}
	if p.Generator != nil {
		policy.Generator = p.Generator.settings
	}
	if p.GracePeriod != nil {
		policy.GracePeriod = durationpb.New(*p.GracePeriod)
	}
	return policy
}

func policyOf(policy *pb.RotationPolicy) *RotationPolicy {
	if policy == nil {
		return nil
	}
	result := &RotationPolicy{
		Interval:         policy.GetInterval().AsDuration(),
		Window:           policy.GetWindow(),
		Paused:           policy.GetPaused(),
		RetireWhenUnread: policy.GetRetireWhenUnread(),
	}
	if policy.GetGenerator() != nil {
		result.Generator = &Generator{policy.GetGenerator()}
	}
	if policy.GetGracePeriod() != nil {
		grace := policy.GetGracePeriod().AsDuration()
		result.GracePeriod = &grace
	}
	return result
}

// optional is a number whose 0 means absent.
func optional(number uint32) *uint32 {
	if number == 0 {
		return nil
	}
	return &number
}
