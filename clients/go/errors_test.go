package strongroom

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

func TestAnErrorHasWhatTheServerSays(t *testing.T) {
	sent := refusal(codes.InvalidArgument, ReasonValidationFailed, retryIn(2*time.Second),
		&errdetails.ResourceInfo{ResourceName: "team/a"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "name", Description: "Begin with a letter."}}})
	server := (&fake{create: func(*pb.CreateSecretRequest) (*pb.CreateSecretResponse, error) { return nil, sent }}).start(t)
	client := clientOf(t, []*fake{server}, WithAPIKey(testKey))

	_, err := client.Create(t.Context(), "1a", Text(hiddenText), RequestID("11111111-1111-4111-8111-111111111111"))
	var failure *Error
	if !errors.As(fmt.Errorf("wrapped: %w", err), &failure) {
		t.Fatalf("no *Error: %v", err)
	}
	expected := &Error{
		Reason: ReasonValidationFailed, Code: codes.InvalidArgument, Message: "A sentence that says what to do.",
		RequestID: "request-1", SentRequestID: "11111111-1111-4111-8111-111111111111", Resource: "team/a",
		Violations: []Violation{{"name", "Begin with a letter."}}, RetryAfter: 2 * time.Second,
	}
	if !reflect.DeepEqual(failure, expected) {
		t.Errorf("got %+v", failure)
	}
	if !errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) || ReasonOf(err) != ReasonValidationFailed {
		t.Error("class or reason")
	}
	if err.Error() != "strongroom: A sentence that says what to do. (request request-1)" {
		t.Error(err)
	}
	checkHidden(t, "the error", err)
}

func TestEachCodeHasOneClass(t *testing.T) {
	classes := map[codes.Code]error{
		codes.InvalidArgument: ErrInvalid, codes.NotFound: ErrNotFound, codes.AlreadyExists: ErrAlreadyExists,
		codes.Unauthenticated: ErrUnauthenticated, codes.PermissionDenied: ErrPermissionDenied, codes.Aborted: ErrConflict,
		codes.FailedPrecondition: ErrFailedPrecondition, codes.OutOfRange: ErrRevisionCompacted, codes.DataLoss: ErrIntegrity,
		codes.ResourceExhausted: ErrLimitExceeded, codes.Unavailable: ErrUnavailable, codes.DeadlineExceeded: ErrDeadlineExceeded,
		codes.Unimplemented: ErrNotServed, codes.Canceled: ErrCanceled, codes.Internal: ErrInternal, codes.Unknown: ErrInternal,
	}
	for code, class := range classes {
		failure := errorOf(status.New(code, "text"))
		for _, other := range classes {
			if errors.Is(failure, other) != (other == class) {
				t.Errorf("%v and %q", code, other)
			}
		}
	}
	if ReasonOf(context.Canceled) != "" {
		t.Error("an error of another package has a reason")
	}
}

func TestAReasonOfAnotherDomainIsNone(t *testing.T) {
	foreign, err := status.New(codes.NotFound, "text").WithDetails(&errdetails.ErrorInfo{Domain: "googleapis.com", Reason: "X"})
	if err != nil {
		t.Fatal(err)
	}
	if failure := errorOf(foreign); failure.Reason != "" {
		t.Error(failure.Reason)
	}
	if failure := errorOf(status.New(codes.NotFound, "")); !strings.Contains(failure.Message, "without a message") {
		t.Error(failure.Message)
	}
}

func TestDocumentsThatCannotBeSentAreNotShown(t *testing.T) {
	client := clientOf(t, []*fake{(&fake{}).start(t)}, WithAPIKey(testKey))
	_, err := client.Resolve(t.Context(), map[string]any{"a": hiddenText + "\xff"})
	if !errors.Is(err, ErrConfiguration) {
		t.Errorf("got %v", err)
	}
	checkHidden(t, "the error", err)
}
