package strongroom

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// store is a fake with secrets and a watch over them.
type store struct {
	*fake
	mutex    sync.Mutex
	values   map[string]string
	revision uint64
	reads    int
	refuse   error
	streams  []chan *pb.WatchSecretsResponse
	ended    chan error
}

func newStore(t *testing.T, values map[string]string) *store {
	s := &store{values: values, revision: 1, fake: &fake{}, ended: make(chan error)}
	s.get = func(_ context.Context, r *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.reads++
		value, found := s.values[r.GetName()]
		if s.refuse != nil {
			return nil, s.refuse
		}
		if !found {
			return nil, refusal(codes.NotFound, ReasonSecretNotFound)
		}
		return &pb.GetSecretResponse{Secret: secretNamed(r.GetName(), value, 1), Version: 1, Revision: s.revision}, nil
	}
	s.watch = func(_ *pb.WatchSecretsRequest, stream watchStream) error {
		s.mutex.Lock()
		events := make(chan *pb.WatchSecretsResponse, 100)
		s.streams = append(s.streams, events)
		events <- bookmarkOf(s.revision)
		s.mutex.Unlock()
		for {
			select {
			case event := <-events:
				if err := stream.Send(event); err != nil {
					return err
				}
			case err := <-s.ended:
				return err
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		}
	}
	s.fake.start(t)
	return s
}

// change gives a secret a value, and tells it.
func (s *store) change(kind pb.SecretEventType, name, value string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.revision++
	s.values[name] = value
	if kind == deleted {
		delete(s.values, name)
	}
	for _, stream := range s.streams {
		stream <- eventOf(kind, name, s.revision, s.revision)
	}
}

func (s *store) readsSince() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	reads := s.reads
	s.reads = 0
	return reads
}

// cacheOf runs a test in a bubble, with a cache over a store.
func cacheOf(t *testing.T, values map[string]string, test func(*testing.T, *store, *Cache), options ...CacheOption) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, values)
		client := clientOf(t, []*fake{s.fake}, WithAPIKey(testKey))
		cache := client.Cached(options...)
		test(t, s, cache)
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
		if _, err := cache.Get(t.Context(), "a"); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed cache: %v", err)
		}
		end(client, s.fake)
	})
}

func expect(t *testing.T, cache *Cache, name, value string, stale bool) {
	t.Helper()
	found, err := cache.Get(t.Context(), name)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	} else if found.Value.Text() != value || found.Stale != stale || found.StaleSince.IsZero() == stale {
		t.Errorf("%s is %q, stale %t since %v", name, found.Value.Text(), found.Stale, found.StaleSince)
	}
}

func withEntry(cache *Cache, name string, use func(*cacheEntry)) {
	cache.space.mutex.Lock()
	defer cache.space.mutex.Unlock()
	use(cache.space.entries[name])
}

func TestACacheAsksOnceAndAgainAfterAChange(t *testing.T) {
	cacheOf(t, map[string]string{"a": "one", "b": "other"}, func(t *testing.T, s *store, cache *Cache) {
		for range 3 {
			expect(t, cache, "a", "one", false)
		}
		if reads := s.readsSince(); reads != 1 {
			t.Errorf("%d reads", reads)
		}
		s.change(rotated, "a", "two")
		synctest.Wait()
		// The cache has asked by itself.
		if reads := s.readsSince(); reads != 1 {
			t.Errorf("%d reads after the change", reads)
		}
		expect(t, cache, "a", "two", false)
		s.change(rotated, "b", "not cached")
		synctest.Wait()
		if reads := s.readsSince(); reads != 0 {
			t.Errorf("%d reads after the change of a secret that is not in the cache", reads)
		}
		s.change(deleted, "a", "")
		synctest.Wait()
		if _, err := cache.Get(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
			t.Errorf("after the deletion: %v", err)
		}
	})
}

func TestASecretThatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	cacheOf(t, map[string]string{"a": "one"}, func(t *testing.T, s *store, cache *Cache) {
		read := s.get
		first := true
		s.get = func(ctx context.Context, r *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
			reply, err := read(ctx, r)
			if first {
				first = false
				s.change(rotated, "a", "two")
				// The event reaches the cache before this reply.
				time.Sleep(time.Second)
			}
			return reply, err
		}
		expect(t, cache, "a", "two", false)
		if reads := s.readsSince(); reads != 2 {
			t.Errorf("%d reads", reads)
		}
		expect(t, cache, "a", "two", false)
	})
}

func TestManyWhoAskForOneSecretShareOneRead(t *testing.T) {
	cacheOf(t, map[string]string{"a": "one"}, func(t *testing.T, s *store, cache *Cache) {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { expect(t, cache, "a", "one", false) })
		}
		all.Wait()
		if reads := s.readsSince(); reads != 1 {
			t.Errorf("%d reads", reads)
		}
	})
}

func TestACacheServesTheLastKnownValueForAStatedTime(t *testing.T) {
	cacheOf(t, map[string]string{"a": "one", "b": "other"}, func(t *testing.T, s *store, cache *Cache) {
		expect(t, cache, "a", "one", false)
		s.stop()
		synctest.Wait()
		expect(t, cache, "a", "one", true)
		if _, err := cache.Get(t.Context(), "b"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a secret that was not read before: %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := cache.Get(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after an hour: %v", err)
		}
		// Back again, with a change that was made meanwhile. The store sends only what came since.
		s.mutex.Lock()
		s.streams, s.values["a"] = nil, "two"
		s.revision++
		s.mutex.Unlock()
		s.start(t)
		time.Sleep(time.Minute)
		s.change(rotated, "a", "three")
		synctest.Wait()
		expect(t, cache, "a", "three", false)
	}, WithServeStale(time.Hour))
}

func TestARefusalEmptiesTheCacheAtOnce(t *testing.T) {
	for _, test := range []struct {
		name  string
		ends  error
		then  error
		class error
	}{
		{"revoked", refusal(codes.Unauthenticated, ReasonCredentialInvalid), refusal(codes.Unauthenticated, ReasonCredentialInvalid), ErrUnauthenticated},
		{"expired", refusal(codes.Unauthenticated, ReasonCredentialExpired), refusal(codes.Unauthenticated, ReasonCredentialExpired), ErrUnauthenticated},
		{"denied", refusal(codes.PermissionDenied, ReasonAccessDenied), refusal(codes.PermissionDenied, ReasonAccessDenied), ErrPermissionDenied},
		{"a name denied", refusal(codes.Aborted, ReasonContended), refusal(codes.PermissionDenied, ReasonAccessDenied), ErrPermissionDenied},
		{"then away", refusal(codes.Unauthenticated, ReasonCredentialInvalid), refusal(codes.Unavailable, ReasonStoreUnavailable), ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			cacheOf(t, map[string]string{"a": "one"}, func(t *testing.T, s *store, cache *Cache) {
				expect(t, cache, "a", "one", false)
				var kept Value
				withEntry(cache, "a", func(entry *cacheEntry) { kept = entry.secret.Value })
				s.mutex.Lock()
				s.refuse = test.then
				s.mutex.Unlock()
				s.ended <- test.ends
				synctest.Wait()
				if _, err := cache.Get(t.Context(), "a"); !errors.Is(err, test.class) {
					t.Errorf("after the refusal: %v", err)
				}
				if text := kept.Text(); text != "\x00\x00\x00" {
					t.Errorf("the value was not overwritten: %q", text)
				}
			})
		})
	}
}

func TestACacheIsBounded(t *testing.T) {
	values := make(map[string]string)
	for i := range 50 {
		values[fmt.Sprintf("s%d", i)] = "value"
	}
	cacheOf(t, values, func(t *testing.T, s *store, cache *Cache) {
		for name := range values {
			expect(t, cache, name, "value", false)
			expect(t, cache, "s0", "value", false)
		}
		if count := len(cache.space.entries); count != 10 {
			t.Errorf("%d entries", count)
		}
		// What is read all the time is rarely dropped.
		if reads := s.readsSince(); reads > 65 {
			t.Errorf("%d reads", reads)
		}
	}, WithCacheSize(10))
}

func TestASecretIsNotServedBeyondItsExpiry(t *testing.T) {
	cacheOf(t, map[string]string{"a": "one"}, func(t *testing.T, s *store, cache *Cache) {
		expect(t, cache, "a", "one", false)
		withEntry(cache, "a", func(entry *cacheEntry) { entry.secret.ExpiresAt = time.Now().Add(time.Minute) })
		expect(t, cache, "a", "one", false)
		s.stop()
		time.Sleep(time.Minute)
		if _, err := cache.Get(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestWithoutTheRightToListNothingIsKept(t *testing.T) {
	cacheOf(t, map[string]string{"a": "one"}, func(t *testing.T, s *store, cache *Cache) {
		s.watch = func(*pb.WatchSecretsRequest, watchStream) error {
			return refusal(codes.PermissionDenied, ReasonAccessDenied)
		}
		for range 3 {
			expect(t, cache, "a", "one", false)
		}
		if reads := s.readsSince(); reads != 3 {
			t.Errorf("%d reads", reads)
		}
	})
}

func TestEachNamespaceHasAWatchOfItsOwn(t *testing.T) {
	cacheOf(t, map[string]string{"a": "one"}, func(t *testing.T, s *store, cache *Cache) {
		expect(t, cache, "a", "one", false)
		expect(t, cache.In("other"), "a", "one", false)
		expect(t, cache.In("other"), "a", "one", false)
		if len(s.streams) != 2 || s.readsSince() != 2 {
			t.Errorf("%d streams", len(s.streams))
		}
	})
}
