package main

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/strongroom/strongroom/clients/go"
)

type step struct {
	Step   string    `json:"step"`
	Action string    `json:"action"`
	Args   arguments `json:"args"`
}

// arguments is the arguments of all actions.
type arguments struct {
	Client    string  `json:"client"`
	Namespace *string `json:"namespace"`
	Timeout   float64 `json:"timeout_seconds"`

	Servers    []string `json:"servers"`
	CACert     string   `json:"ca_cert"`
	APIKey     string   `json:"api_key"`
	APIKeyFile string   `json:"api_key_file"`
	TokenFile  string   `json:"token_file"`
	ClientCert string   `json:"client_cert"`
	ClientKey  string   `json:"client_key"`
	Attempts   int      `json:"attempts"`

	Name        string            `json:"name"`
	Names       []string          `json:"names"`
	NewName     string            `json:"new_name"`
	ID          string            `json:"id"`
	Value       *value            `json:"value"`
	Generate    *generate         `json:"generate"`
	Description *string           `json:"description"`
	Metadata    map[string]string `json:"metadata"`
	ReturnValue bool              `json:"return_value"`
	Interval    float64           `json:"rotation_interval_seconds"`
	RequestID   string            `json:"request_id"`
	ETag        string            `json:"etag"`
	Version     uint32            `json:"version"`
	OnlyMeta    bool              `json:"metadata_only"`
	Cached      bool              `json:"cached"`
	MinRevision uint64            `json:"min_revision"`
	PageSize    int32             `json:"page_size"`
	Below       string            `json:"below"`
	NamePrefix  string            `json:"name_prefix"`
	Grace       float64           `json:"grace_period_seconds"`
	Consumer    string            `json:"consumer"`
	Lease       float64           `json:"lease_seconds"`
	ClaimID     string            `json:"claim_id"`
	Error       string            `json:"error"`
	RetryAfter  float64           `json:"retry_after_seconds"`
	Document    map[string]any    `json:"document"`
	Inputs      map[string]any    `json:"inputs"`
	Validate    bool              `json:"validate_only"`
	Right       strongroom.Right  `json:"right"`
	Watch       string            `json:"watch"`
	Snapshot    bool              `json:"snapshot"`
	Cache       string            `json:"cache"`
	ServeStale  float64           `json:"serve_stale_seconds"`
}

type value struct {
	Text   *string `json:"text"`
	Binary string  `json:"binary"`
}

func (v value) read() strongroom.Value {
	if v.Text != nil {
		return strongroom.Text(*v.Text)
	}
	data, err := base64.StdEncoding.DecodeString(v.Binary)
	if err != nil {
		fail(err)
	}
	return strongroom.Binary(data)
}

type generate struct {
	PasswordLength uint32 `json:"password_length"`
}

func (a arguments) source() strongroom.Source {
	if a.Generate != nil {
		return strongroom.GeneratePassword(a.Generate.PasswordLength)
	}
	return a.Value.read()
}

// perform makes one call. It returns the result for the driver, and the result of the package, to be dumped.
func (r *runner) perform(action string, a arguments) (object, any, error) {
	if a.Client == "" {
		a.Client = "main"
	}
	if action == "connect" {
		return r.connect(a)
	}
	client := r.clients[a.Client]
	if a.Namespace != nil {
		client = client.In(*a.Namespace)
	}
	ctx := context.Background()
	if a.Timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, seconds(a.Timeout))
		defer cancel()
		ctx = limited
	}
	for _, group := range []func(context.Context, *strongroom.Client, string, arguments) (object, any, error){
		secretAction, rotationAction, otherAction, r.watchAction, r.cacheAction,
	} {
		if result, shown, err := group(ctx, client, action, a); err != errUnsupported {
			return result, shown, err
		}
	}
	return nil, nil, errUnsupported
}

func (r *runner) connect(a arguments) (object, any, error) {
	options := []strongroom.Option{strongroom.WithAddresses(a.Servers...)}
	add := func(given bool, option strongroom.Option) {
		if given {
			options = append(options, option)
		}
	}
	add(a.CACert != "", strongroom.WithCACertFile(a.CACert))
	add(a.APIKey != "", strongroom.WithAPIKey(a.APIKey))
	add(a.APIKeyFile != "", strongroom.WithAPIKeyFile(a.APIKeyFile))
	add(a.TokenFile != "", strongroom.WithTokenFile(a.TokenFile))
	add(a.ClientCert != "", strongroom.WithClientCertificate(a.ClientCert, a.ClientKey))
	add(a.Attempts > 0, strongroom.WithRetryPolicy(strongroom.RetryPolicy{
		Attempts: a.Attempts, FirstDelay: 100 * time.Millisecond, LongestDelay: 2 * time.Second,
	}))
	if a.Namespace != nil {
		options = append(options, strongroom.WithNamespace(*a.Namespace))
	}
	client, err := strongroom.New(options...)
	if err != nil {
		return nil, nil, err
	}
	r.clients[a.Client] = client
	return object{}, client, nil
}

func secretAction(ctx context.Context, client *strongroom.Client, action string, a arguments) (object, any, error) {
	var secret *strongroom.Secret
	var err error
	switch action {
	case "create":
		options := []strongroom.CreateOption{strongroom.Metadata(a.Metadata)}
		if a.Description != nil {
			options = append(options, strongroom.Description(*a.Description))
		}
		if a.ReturnValue {
			options = append(options, strongroom.ReturnValue{})
		}
		if a.Interval > 0 {
			options = append(options, strongroom.RotationPolicy{Interval: seconds(a.Interval)})
		}
		if a.RequestID != "" {
			options = append(options, strongroom.RequestID(a.RequestID))
		}
		secret, err = client.Create(ctx, a.Name, a.source(), options...)
	case "get":
		var options []strongroom.GetOption
		if a.Version > 0 {
			options = append(options, strongroom.VersionNumber(a.Version))
		}
		if a.OnlyMeta {
			options = append(options, strongroom.MetadataOnly{})
		}
		if a.Cached {
			options = append(options, strongroom.CachedRead{})
		}
		secret, err = client.Get(ctx, a.Name, options...)
	case "update":
		var options []strongroom.UpdateOption
		if a.NewName != "" {
			options = append(options, strongroom.NewName(a.NewName))
		}
		if a.Value != nil {
			options = append(options, a.Value.read())
		}
		if a.Description != nil {
			options = append(options, strongroom.Description(*a.Description))
		}
		if a.Metadata != nil {
			options = append(options, strongroom.Metadata(a.Metadata))
		}
		secret, err = client.Update(ctx, a.Name, append(options, strongroom.ETag(a.ETag), strongroom.MinRevision(a.MinRevision))...)
	case "undelete":
		secret, err = client.Undelete(ctx, a.ID, strongroom.NewName(a.NewName))
	case "delete":
		deleted, err := client.Delete(ctx, a.Name, strongroom.ETag(a.ETag))
		if err != nil {
			return nil, nil, err
		}
		return object{"id": deleted.ID}, deleted, nil
	case "batch_get":
		return batchGet(ctx, client, a)
	case "list":
		return list(ctx, client, a)
	case "list_namespaces":
		return listNamespaces(ctx, client, a)
	default:
		return nil, nil, errUnsupported
	}
	if err != nil {
		return nil, nil, err
	}
	return secretOf(secret), secret, nil
}

func batchGet(ctx context.Context, client *strongroom.Client, a arguments) (object, any, error) {
	items, err := client.BatchGet(ctx, a.Names)
	if err != nil {
		return nil, nil, err
	}
	results := []object{}
	for _, item := range items {
		result := object{"name": item.Name}
		if item.Err != nil {
			result["error"] = failureOf(item.Err)
		} else {
			result["secret"] = secretOf(item.Secret)
		}
		results = append(results, result)
	}
	return object{"items": results}, items, nil
}

func list(ctx context.Context, client *strongroom.Client, a arguments) (object, any, error) {
	options := []strongroom.ListOption{strongroom.NamePrefix(a.NamePrefix), strongroom.Metadata(a.Metadata)}
	if a.PageSize > 0 {
		options = append(options, strongroom.PageSize(a.PageSize))
	}
	names := []string{}
	var secrets []strongroom.Secret
	for secret, err := range client.List(ctx, options...) {
		if err != nil {
			return nil, nil, err
		}
		names = append(names, secret.Name)
		secrets = append(secrets, *secret)
	}
	return object{"names": names}, secrets, nil
}

func listNamespaces(ctx context.Context, client *strongroom.Client, a arguments) (object, any, error) {
	options := []strongroom.NamespacesOption{strongroom.Below(a.Below)}
	if a.PageSize > 0 {
		options = append(options, strongroom.PageSize(a.PageSize))
	}
	listed := []object{}
	var namespaces []strongroom.Namespace
	for namespace, err := range client.ListNamespaces(ctx, options...) {
		if err != nil {
			return nil, nil, err
		}
		listed = append(listed, object{
			"name": namespace.Name, "secrets": namespace.Secrets, "deleted_secrets": namespace.DeletedSecrets,
		})
		namespaces = append(namespaces, *namespace)
	}
	return object{"namespaces": listed}, namespaces, nil
}
