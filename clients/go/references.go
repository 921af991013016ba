package strongroom

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// ResolveOption is an option of [Client.Resolve].
type ResolveOption interface {
	onResolve(*pb.ResolveReferencesRequest) error
}

// Inputs is what the expressions of a document see: the key "input" as input and _, every other key below inputs.
type Inputs map[string]any

func (o Inputs) onResolve(r *pb.ResolveReferencesRequest) (err error) {
	r.Inputs, err = structOf("inputs", o)
	return err
}

// ValidateOnly reads no value: the result lists only the references.
type ValidateOnly struct{}

func (ValidateOnly) onResolve(r *pb.ResolveReferencesRequest) error {
	r.ValidateOnly = true
	return nil
}

// ResolvedDocument is a document with the values of its references. No print of it shows the document.
type ResolvedDocument struct {
	document hidden[map[string]any]
	// Credentials is the secrets that secret_name beside tool names, in the order of the document.
	Credentials []Credential
	// References is the secrets that the document names, each once, by name.
	References []Reference
	// Revision is the store's revision that all of them were read at.
	Revision uint64
}

// Document returns the document with its references resolved. It holds values: do not log it. It is nil with [ValidateOnly].
// Numbers are float64.
func (d ResolvedDocument) Document() map[string]any { return d.document.reveal() }

// String tells how many references the document has.
func (d ResolvedDocument) String() string {
	return fmt.Sprintf("ResolvedDocument(%d references)", len(d.References))
}

// Format prints String, whatever the verb.
func (d ResolvedDocument) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte(d.String()))
}

// Credential is a secret that a step of a document uses as its credential.
type Credential struct {
	// Path is the place of the step: a JSON Pointer, for example /steps/0.
	Path string
	// SecretName is the name of the secret.
	SecretName string
	// Value is its value.
	Value Value
}

// Reference is a secret that a document names.
type Reference struct {
	// Name is the name of the secret.
	Name string
	// Paths is the places that name it: JSON Pointers.
	Paths []string
	// Exists tells whether the secret exists. Always false when the caller may not know.
	Exists bool
	// Readable tells whether the caller can read its value.
	Readable bool
}

// Resolve returns a document with the value of each reference in its place. A string that begins with "$ " is an expression, such
// as "$ secrets.db_password". The document can hold what encoding/json makes of JSON. The call resolves all of it, or fails.
func (c *Client) Resolve(ctx context.Context, document map[string]any, options ...ResolveOption) (*ResolvedDocument, error) {
	fields, err := structOf("document", document)
	if err != nil {
		return nil, err
	}
	request := &pb.ResolveReferencesRequest{Namespace: c.namespace, Document: fields}
	for _, option := range options {
		if err := option.onResolve(request); err != nil {
			return nil, err
		}
	}
	reply, err := send(ctx, c, "ResolveReferences", c.references.ResolveReferences, request)
	if err != nil {
		return nil, err
	}
	resolved := &ResolvedDocument{Revision: reply.GetRevision()}
	if reply.GetDocument() != nil {
		resolved.document = hide(reply.GetDocument().AsMap())
	}
	for _, credential := range reply.GetCredentials() {
		resolved.Credentials = append(resolved.Credentials, Credential{
			credential.GetPath(), credential.GetSecretName(), valueOf(credential.GetValue()),
		})
	}
	for _, reference := range reply.GetReferences() {
		resolved.References = append(resolved.References, Reference{
			reference.GetName(), reference.GetPaths(), reference.GetExists(), reference.GetReadable(),
		})
	}
	return resolved, nil
}

func structOf(what string, fields map[string]any) (*structpb.Struct, error) {
	converted, err := structpb.NewStruct(fields)
	if err != nil {
		// The error of structpb can show the text that is not UTF-8, so it is left out.
		return nil, misconfigured("The %s has something that JSON cannot hold: a type that encoding/json does not make, or text that "+
			"is not UTF-8.", what)
	}
	return converted, nil
}
