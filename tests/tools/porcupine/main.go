// Checks a history of requests to the replicas of one service: whether it is linearizable, by porcupine.
//
//	porcupine HISTORY.json
//
// It prints Ok, or Illegal and exits with 1. The state is a namespace: the values of its secrets by their names. Each namespace is
// checked by itself.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// A request and its answer. Times are in nanoseconds.
type request struct {
	Client    int    `json:"client"`
	Namespace string `json:"namespace"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	// The value of create and rotate, the new name of rename.
	Value string `json:"value"`
	// `ok`, `missing` or `exists`; of get, `value` and the value; of list, the names in order. `unknown`: a change for which nobody
	// knows whether it was made.
	Answer   string `json:"answer"`
	Called   int64  `json:"called"`
	Answered int64  `json:"answered"`
}

type secrets = map[string]string

func with(before secrets, change func(secrets)) secrets {
	after := maps.Clone(before)
	change(after)
	return after
}

// The answer that a service with this state gives, and its state after that.
func answer(state secrets, in request) (string, secrets) {
	value, there := state[in.Name]
	switch {
	case in.Kind == "list":
		return strings.Join(slices.Sorted(maps.Keys(state)), " "), state
	case in.Kind == "create" && there:
		return "exists", state
	case in.Kind == "create":
		return "ok", with(state, func(after secrets) { after[in.Name] = in.Value })
	case !there:
		return "missing", state
	case in.Kind == "get":
		return "value " + value, state
	case in.Kind == "rotate":
		return "ok", with(state, func(after secrets) { after[in.Name] = in.Value })
	case in.Kind == "delete":
		return "ok", with(state, func(after secrets) { delete(after, in.Name) })
	case in.Kind == "rename":
		if _, taken := state[in.Value]; taken {
			return "exists", state
		}
		return "ok", with(state, func(after secrets) { delete(after, in.Name); after[in.Value] = value })
	}
	panic("an unknown request: " + in.Kind)
}

// A change with this answer may be made at any time after it was sent. One that is never made is as good as one that is made after
// all other requests, so it needs no case of its own.
const unknown = "unknown"

var namespaces = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, one := range history {
			of := one.Input.(request).Namespace
			parts[of] = append(parts[of], one)
		}
		return slices.Collect(maps.Values(parts))
	},
	Init: func() any { return secrets{} },
	Step: func(state, input, output any) (bool, any) {
		expected, after := answer(state.(secrets), input.(request))
		return expected == output.(string) || output.(string) == unknown, after
	},
	Equal: func(one, other any) bool { return maps.Equal(one.(secrets), other.(secrets)) },
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var requests []request
	if err := json.Unmarshal(text, &requests); err != nil {
		panic(err)
	}
	var history []porcupine.Operation
	for _, one := range requests {
		operation := porcupine.Operation{
			ClientId: one.Client, Input: one, Output: one.Answer, Call: one.Called, Return: one.Answered,
		}
		if one.Answer == unknown {
			operation.Return = math.MaxInt64
		}
		history = append(history, operation)
	}
	outcome := porcupine.CheckOperationsTimeout(namespaces, history, 2*time.Minute)
	fmt.Println(outcome)
	if outcome != porcupine.Ok {
		os.Exit(1)
	}
}
