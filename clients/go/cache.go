package strongroom

import (
	"context"
	"sync"
	"time"
)

// CacheOption is a setting of a cache, for [Client.Cached].
type CacheOption func(*Cache)

// WithServeStale sets for how long a cache serves the last known values after the connection is lost. Default: 10 minutes. 0:
// not at all.
func WithServeStale(limit time.Duration) CacheOption {
	return func(c *Cache) { c.serveStale = limit }
}

// WithCacheSize sets how many secrets of one namespace a cache holds at most. Default: 1,000.
func WithCacheSize(secrets int) CacheOption {
	return func(c *Cache) { c.size = max(1, secrets) }
}

// Cache keeps the secrets that were read through it, and keeps them fresh: one watch for each namespace tells it of changes. Make
// one with [Client.Cached]. Many goroutines can use it at the same time.
type Cache struct {
	*cacheOfAll
	client *Client
	space  *cachedNamespace
}

// cacheOfAll is what the views of a cache for several namespaces share.
type cacheOfAll struct {
	serveStale time.Duration
	size       int
	now        func() time.Time

	ctx    context.Context
	cancel context.CancelFunc
	// starting is held while work begins, so that none begins after Close.
	starting sync.Mutex
	work     sync.WaitGroup

	mutex  sync.Mutex
	spaces map[string]*cachedNamespace
}

// CachedSecret is a secret of a cache.
type CachedSecret struct {
	// Secret is the secret. Its value is a copy of its own. Do not change its map and what its pointers point to: all callers share
	// them.
	Secret
	// Stale tells that the connection to the server is lost, so that the secret may have changed since.
	Stale bool
	// StaleSince is when the connection was lost. Zero: it is not.
	StaleSince time.Time
}

// Cached returns a cache of the secrets of the client's namespace. It is filled as secrets are read.
//
//   - A read of a secret that the cache has does no I/O. The server does not see it: its audit log, and the consumers and the last
//     read of a version, show when the cache asked for the secret.
//   - When a secret changes, the cache asks for it again by itself.
//   - When the connection is lost, the cache serves the last known values for the time of [WithServeStale], and says so in
//     [CachedSecret].
//   - When the server refuses the caller's credential or takes away a right, the cache is emptied at once, and the error of the
//     server is returned.
//   - The bytes of a value are overwritten when the cache drops it.
//
// The watch needs the right to list the secrets of the namespace. Without it nothing is kept, and each read asks the server.
// Close the cache at the end.
func (c *Client) Cached(options ...CacheOption) *Cache {
	cache := &Cache{client: c, cacheOfAll: &cacheOfAll{
		serveStale: 10 * time.Minute,
		size:       1000,
		now:        time.Now,
		spaces:     make(map[string]*cachedNamespace),
	}}
	for _, option := range options {
		option(cache)
	}
	cache.ctx, cache.cancel = context.WithCancel(context.Background())
	return cache.In(c.namespace)
}

// In returns a view of the cache for another namespace, with a watch of its own.
func (c *Cache) In(namespace string) *Cache {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	space, found := c.spaces[namespace]
	if !found {
		space = newCachedNamespace(c.cacheOfAll, c.client.In(namespace))
		c.spaces[namespace] = space
	}
	return &Cache{cacheOfAll: c.cacheOfAll, client: space.client, space: space}
}

// Get returns the current version of a secret with its plaintext value.
func (c *Cache) Get(ctx context.Context, name string) (CachedSecret, error) {
	if found, ok := c.space.lookUp(name); ok {
		return found, nil
	}
	if c.ctx.Err() != nil {
		return CachedSecret{}, ErrClosed
	}
	return c.space.fill(ctx, name)
}

// Close empties the cache and ends its watches, also those of its views. It does not close the client.
func (c *Cache) Close() error {
	c.starting.Lock()
	c.cancel()
	c.starting.Unlock()
	c.work.Wait()
	c.empty()
	return nil
}

// begin does a task in the background, unless the cache is closed.
func (c *cacheOfAll) begin(task func()) bool {
	c.starting.Lock()
	defer c.starting.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.work.Go(task)
	return true
}

// empty drops everything, because the credential was refused or the cache is closed.
func (c *cacheOfAll) empty() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, space := range c.spaces {
		space.empty()
	}
}
