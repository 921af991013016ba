package main

import (
	"context"

	"github.com/strongroom/strongroom/clients/go"
)

func rotationAction(ctx context.Context, client *strongroom.Client, action string, a arguments) (object, any, error) {
	switch action {
	case "rotate":
		var options []strongroom.RotateOption
		if a.Grace > 0 {
			options = append(options, strongroom.GracePeriod(seconds(a.Grace)))
		}
		if a.RequestID != "" {
			options = append(options, strongroom.RequestID(a.RequestID))
		}
		secret, err := client.Rotate(ctx, a.Name, a.source(), options...)
		if err != nil {
			return nil, nil, err
		}
		return secretOf(secret), secret, nil
	case "stage":
		staged, err := client.Stage(ctx, a.Name, a.source())
		if err != nil {
			return nil, nil, err
		}
		return object{"version": staged.Number}, staged, nil
	case "promote":
		secret, err := client.Promote(ctx, a.Name, a.Version)
		if err != nil {
			return nil, nil, err
		}
		return secretOf(secret), secret, nil
	case "claim":
		options := []strongroom.ClaimOption{strongroom.NamePrefix(a.NamePrefix)}
		if a.Lease > 0 {
			options = append(options, strongroom.Lease(seconds(a.Lease)))
		}
		claim, err := client.ClaimRotation(ctx, options...)
		if err != nil {
			return nil, nil, err
		}
		return object{
			"claim_id": claim.ClaimID, "name": claim.Secret.Name, "pending_version": numberOf(claim.PendingVersion),
		}, claim, nil
	case "release":
		var options []strongroom.ReleaseOption
		if a.Error != "" {
			options = append(options, strongroom.FailedBecause(a.Error))
		}
		if a.RetryAfter > 0 {
			options = append(options, strongroom.RetryAfter(seconds(a.RetryAfter)))
		}
		secret, err := client.ReleaseRotation(ctx, a.ClaimID, options...)
		if err != nil {
			return nil, nil, err
		}
		return object{"name": secret.Name}, secret, nil
	default:
		return versionAction(ctx, client, action, a)
	}
}

func versionAction(ctx context.Context, client *strongroom.Client, action string, a arguments) (object, any, error) {
	var version strongroom.SecretVersion
	var err error
	switch action {
	case "versions":
		versions, err := client.Versions(ctx, a.Name)
		if err != nil {
			return nil, nil, err
		}
		results := []object{}
		for _, version := range versions {
			results = append(results, versionOf(version))
		}
		return object{"versions": results}, versions, nil
	case "disable_version":
		version, err = client.DisableVersion(ctx, a.Name, a.Version)
	case "enable_version":
		version, err = client.EnableVersion(ctx, a.Name, a.Version)
	case "destroy_version":
		version, _, err = client.DestroyVersion(ctx, a.Name, a.Version)
	case "acknowledge":
		version, err = client.Acknowledge(ctx, a.Name, a.Version, strongroom.ConsumerName(a.Consumer))
	default:
		return nil, nil, errUnsupported
	}
	if err != nil {
		return nil, nil, err
	}
	return versionOf(version), version, nil
}

func otherAction(ctx context.Context, client *strongroom.Client, action string, a arguments) (object, any, error) {
	switch action {
	case "resolve":
		return resolve(ctx, client, a)
	case "whoami":
		identity, err := client.WhoAmI(ctx)
		if err != nil {
			return nil, nil, err
		}
		return object{
			"principal": identity.Principal, "home_namespace": identity.HomeNamespace, "rights": identity.Rights,
		}, identity, nil
	case "explain":
		question := strongroom.Question{Right: a.Right, Name: a.Name}
		if a.Namespace != nil {
			question.Namespace = *a.Namespace
		}
		explanation, err := client.Explain(ctx, question)
		if err != nil {
			return nil, nil, err
		}
		return object{
			"allowed": explanation.Allowed, "explanation": explanation.Text, "remedy": explanation.Remedy,
		}, explanation, nil
	case "close":
		return object{}, client, client.Close()
	default:
		return nil, nil, errUnsupported
	}
}

func resolve(ctx context.Context, client *strongroom.Client, a arguments) (object, any, error) {
	options := []strongroom.ResolveOption{strongroom.Inputs(a.Inputs)}
	if a.Validate {
		options = append(options, strongroom.ValidateOnly{})
	}
	resolved, err := client.Resolve(ctx, a.Document, options...)
	if err != nil {
		return nil, nil, err
	}
	credentials, references := []object{}, []object{}
	for _, credential := range resolved.Credentials {
		credentials = append(credentials, object{
			"path": credential.Path, "secret_name": credential.SecretName, "value": valueOf(credential.Value),
		})
	}
	for _, reference := range resolved.References {
		references = append(references, object{
			"name": reference.Name, "exists": reference.Exists, "readable": reference.Readable,
		})
	}
	return object{"document": resolved.Document(), "credentials": credentials, "references": references}, resolved, nil
}

func (r *runner) watchAction(_ context.Context, client *strongroom.Client, action string, a arguments) (object, any, error) {
	switch action {
	case "watch_open":
		options := []strongroom.WatchOption{strongroom.NamePrefix(a.NamePrefix)}
		if a.Snapshot {
			options = append(options, strongroom.Snapshot{})
		}
		r.watches[a.Watch] = watchOf(client, options)
		return object{}, nil, nil
	case "watch_next":
		for {
			event, err, _ := r.watches[a.Watch].next()
			if err != nil {
				return nil, nil, err
			}
			if event.Type != strongroom.EventSynced {
				return object{
					"type": event.Type, "name": event.Secret.Name, "former_name": event.FormerName,
					"version": event.Secret.Version, "value": valueOf(event.Secret.Value),
				}, event, nil
			}
		}
	case "watch_close":
		r.watches[a.Watch].stop()
		r.watches[a.Watch].end()
		return object{}, nil, nil
	default:
		return nil, nil, errUnsupported
	}
}

func (r *runner) cacheAction(ctx context.Context, client *strongroom.Client, action string, a arguments) (object, any, error) {
	switch action {
	case "cached_open":
		r.caches[a.Cache] = client.Cached(strongroom.WithServeStale(seconds(a.ServeStale)))
		return object{}, r.caches[a.Cache], nil
	case "cached_get":
		cached, err := r.caches[a.Cache].Get(ctx, a.Name)
		if err != nil {
			return nil, nil, err
		}
		result := secretOf(&cached.Secret)
		result["stale"] = cached.Stale
		return result, cached, nil
	case "cached_close":
		return object{}, r.caches[a.Cache], r.caches[a.Cache].Close()
	default:
		return nil, nil, errUnsupported
	}
}
