// The runner of the conformance scenario for this package: clients/conformance/README.md describes the protocol.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/strongroom/strongroom/clients/go"
)

func main() {
	runner := &runner{
		clients: make(map[string]*strongroom.Client),
		caches:  make(map[string]*strongroom.Cache),
		watches: make(map[string]*openWatch),
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<22)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var step step
		if err := json.Unmarshal(lines.Bytes(), &step); err != nil {
			fail(err)
		}
		if err := output.Encode(runner.reply(step)); err != nil {
			fail(err)
		}
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

type runner struct {
	clients map[string]*strongroom.Client
	caches  map[string]*strongroom.Cache
	watches map[string]*openWatch
}

type openWatch struct {
	next func() (*strongroom.Event, error, bool)
	stop func()
	end  context.CancelFunc
}

type object map[string]any

func (r *runner) reply(step step) object {
	reply := object{"step": step.Step}
	result, shown, err := r.perform(step.Action, step.Args)
	if err != nil {
		reply["error"] = failureOf(err)
		shown = err
	} else {
		reply["ok"] = result
	}
	asJSON, _ := json.Marshal(shown)
	reply["dump"] = fmt.Sprintf("%v %+v %#v %s %q %x %s", shown, shown, shown, shown, shown, shown, asJSON)
	return reply
}

var classes = map[error]string{
	strongroom.ErrConfiguration:      "configuration",
	strongroom.ErrClosed:             "closed",
	strongroom.ErrInvalid:            "validation",
	strongroom.ErrNotFound:           "not_found",
	strongroom.ErrAlreadyExists:      "already_exists",
	strongroom.ErrUnauthenticated:    "authentication",
	strongroom.ErrPermissionDenied:   "permission_denied",
	strongroom.ErrConflict:           "conflict",
	strongroom.ErrFailedPrecondition: "failed_precondition",
	strongroom.ErrRevisionCompacted:  "revision_compacted",
	strongroom.ErrIntegrity:          "integrity",
	strongroom.ErrLimitExceeded:      "limit_exceeded",
	strongroom.ErrUnavailable:        "unavailable",
	strongroom.ErrDeadlineExceeded:   "deadline_exceeded",
	strongroom.ErrNotServed:          "not_served",
	strongroom.ErrInternal:           "internal",
	errUnsupported:                   "unsupported",
}

var errUnsupported = errors.New("this runner does not know the action")

var codeNames = map[string]string{
	"InvalidArgument": "INVALID_ARGUMENT", "NotFound": "NOT_FOUND", "AlreadyExists": "ALREADY_EXISTS",
	"Unauthenticated": "UNAUTHENTICATED", "PermissionDenied": "PERMISSION_DENIED", "Aborted": "ABORTED",
	"FailedPrecondition": "FAILED_PRECONDITION", "OutOfRange": "OUT_OF_RANGE", "DataLoss": "DATA_LOSS",
	"ResourceExhausted": "RESOURCE_EXHAUSTED", "Unavailable": "UNAVAILABLE", "DeadlineExceeded": "DEADLINE_EXCEEDED",
	"Unimplemented": "UNIMPLEMENTED", "Internal": "INTERNAL", "Unknown": "UNKNOWN", "Canceled": "CANCELLED",
}

func failureOf(err error) object {
	failure := object{"message": err.Error()}
	for class, name := range classes {
		if errors.Is(err, class) {
			failure["class"] = name
		}
	}
	var of *strongroom.Error
	if errors.As(err, &of) {
		failure["reason"], failure["code"], failure["request_id"] = of.Reason, codeNames[of.Code.String()], of.RequestID
	}
	return failure
}

func secretOf(secret *strongroom.Secret) object {
	result := object{
		"namespace": secret.Namespace, "name": secret.Name, "id": secret.ID, "value": valueOf(secret.Value),
		"description": secret.Description, "metadata": secret.Metadata, "version": secret.Version, "etag": secret.ETag,
		"value_version": numberOf(secret.ValueVersion), "pending_version": numberOf(secret.PendingVersion),
		"revision": secret.Revision,
	}
	return result
}

func valueOf(value strongroom.Value) any {
	switch {
	case value.IsRedacted():
		return nil
	case value.IsBinary():
		return object{"binary": base64.StdEncoding.EncodeToString(value.Bytes())}
	default:
		return object{"text": value.Text()}
	}
}

func numberOf(number uint32) any {
	if number == 0 {
		return nil
	}
	return number
}

func versionOf(version strongroom.SecretVersion) object {
	return object{"number": version.Number, "state": version.State, "current": version.Current}
}

// watchOf opens a watch whose events are taken one at a time.
func watchOf(client *strongroom.Client, options []strongroom.WatchOption) *openWatch {
	ctx, end := context.WithCancel(context.Background())
	next, stop := iter.Pull2(client.Watch(ctx, options...))
	return &openWatch{next, stop, end}
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}
