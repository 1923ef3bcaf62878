package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/longtake/longtake/internal/api/schema"
)

// Rollouts returns the rules about who may use which models and features.
func (c *Client) Rollouts(ctx context.Context) (schema.RolloutList, error) {
	return call[schema.RolloutList](ctx, c, http.MethodGet, "/v1/rollout", nil)
}

// Rollout returns the rule about a model or a feature, and with an owner, the id or the name of a
// key, whether that may use it.
func (c *Client) Rollout(ctx context.Context, name, owner string) (schema.Rollout, error) {
	query := ""
	if owner != "" {
		query = "?owner=" + url.QueryEscape(owner)
	}
	return call[schema.Rollout](ctx, c, http.MethodGet, rolloutPath(name)+query, nil)
}

// SetRollout puts a rule in place of the one before.
func (c *Client) SetRollout(ctx context.Context, name string, r schema.RolloutChange) (
	schema.Rollout, error) {
	return change[schema.Rollout](ctx, c, rolloutPath(name), r)
}

// DeleteRollout takes a rule away: everybody may use what it was about.
func (c *Client) DeleteRollout(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, rolloutPath(name), nil)
	return err
}

// rolloutPath is the route of one rule.
func rolloutPath(name string) string { return "/v1/rollout/" + url.PathEscape(name) }
