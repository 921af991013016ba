package strongroom

import (
	"context"
	"strings"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// Right is a permission to do something.
type Right string

// The rights. A later release of the server can have further ones.
const (
	RightList         Right = "list"
	RightRead         Right = "read"
	RightWrite        Right = "write"
	RightRotate       Right = "rotate"
	RightDelete       Right = "delete"
	RightManageAccess Right = "manage_access"
	RightAudit        Right = "audit"
	RightOperate      Right = "operate"
)

// Identity is who the caller is.
type Identity struct {
	// Principal is the caller: key:ID, cert:SAN or jwt:ISSUER:SUBJECT.
	Principal string
	// HomeNamespace is what an empty namespace means.
	HomeNamespace string
	// Rights is what the caller may do with at least one name of its home namespace, and with the service as a whole.
	Rights []Right
	// Groups is the groups that the token names.
	Groups []string
	// APIKeyName is the name of the caller's API key. Empty: it sent another credential.
	APIKeyName string
}

// WhoAmI returns the identity and the rights of the caller. It needs no right.
func (c *Client) WhoAmI(ctx context.Context) (*Identity, error) {
	reply, err := send(ctx, c, "WhoAmI", c.access.WhoAmI, &pb.WhoAmIRequest{})
	if err != nil {
		return nil, err
	}
	identity := &Identity{
		Principal:     reply.GetPrincipal(),
		HomeNamespace: reply.GetHomeNamespace(),
		Groups:        reply.GetGroups(),
		APIKeyName:    reply.GetApiKey().GetName(),
	}
	for _, right := range reply.GetRights() {
		identity.Rights = append(identity.Rights, Right(enumName(right, "RIGHT_")))
	}
	return identity, nil
}

// Question is what [Client.Explain] asks.
type Question struct {
	// Right is the right in question. Required.
	Right Right
	// Namespace is the namespace in question. Empty: the service as a whole.
	Namespace string
	// Name is the name of a secret, which need not exist. Empty: at least one name of the namespace.
	Name string
	// Principal is who is asked about. Empty: the caller.
	Principal string
}

// Explanation is the decision on a right, and its reason.
type Explanation struct {
	// Allowed tells whether the principal has the right.
	Allowed bool
	// BindingID is the id of the binding that decides. Empty: no binding gives the right.
	BindingID string
	// Text is the reason in words.
	Text string
	// Remedy is the command that would give the right. Empty: the principal has it.
	Remedy string
}

// Explain says whether a principal has a right, and why.
func (c *Client) Explain(ctx context.Context, question Question) (*Explanation, error) {
	right, known := pb.Right_value["RIGHT_"+strings.ToUpper(string(question.Right))]
	if !known {
		return nil, misconfigured("There is no right %q: use one of the constants, such as RightRead.", question.Right)
	}
	reply, err := send(ctx, c, "ExplainAccess", c.access.ExplainAccess, &pb.ExplainAccessRequest{
		Right: pb.Right(right), Namespace: question.Namespace, Name: question.Name, Principal: question.Principal,
	})
	if err != nil {
		return nil, err
	}
	return &Explanation{reply.GetAllowed(), reply.GetBinding().GetId(), reply.GetExplanation(), reply.GetRemedy()}, nil
}

// enumName is the name of an enum value without its prefix, in lower case.
func enumName(value interface{ String() string }, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}
