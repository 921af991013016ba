// Package strongroom is the Go client of Strongroom, the self-hosted secrets service.
//
//	client, err := strongroom.New(
//		strongroom.WithAddresses("https://secrets.example.com:50051"),
//		strongroom.WithAPIKeyFile("/run/secrets/strongroom.key"),
//	)
//	…
//	secret, err := client.Get(ctx, "db_password")
//	…
//	connect(secret.Value.Text())
//
// # Calls
//
// Every call takes a context first, then what it needs, then options: values of types such as [Description] and [ETag]. The compiler
// accepts only the options that belong to a call. A call takes 30 seconds at most, unless the context or [WithTimeout] say otherwise.
//
// The client makes a call again when the server is unavailable or busy: see [RetryPolicy]. That is safe, because each change carries
// one request id in all its attempts.
//
// # Errors
//
// A call that failed returns an [*Error]. Decide with errors.Is and a class, such as [ErrNotFound], or by the reason:
//
//	if errors.Is(err, strongroom.ErrNotFound) { … }
//	if strongroom.ReasonOf(err) == strongroom.ReasonVersionPending { … }
//
// An error that names a mistake of the settings is [ErrConfiguration].
//
// # Values
//
// A [Value] shows itself only through [Value.Text] and [Value.Bytes]. Every print of it, of a secret, or of an error shows no value.
//
// # Watch and cache
//
// [Client.Watch] returns the changes of secrets as they are made, and continues by itself. [Client.Cached] keeps secrets in memory,
// keeps them fresh by a watch, and serves them through an outage.
package strongroom
