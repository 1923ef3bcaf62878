package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
)

// Keys returns all API keys, the oldest first, without their texts. All of what follows wants a
// client with a key of scope admin; another one gets a *schema.Error of status 401 or 403.
func (c *Client) Keys(ctx context.Context) ([]schema.Key, error) {
	l, err := call[schema.KeyList](ctx, c, http.MethodGet, "/v1/keys", nil)
	return l.Data, err
}

// Key returns the key of an id or a name.
func (c *Client) Key(ctx context.Context, name string) (schema.Key, error) {
	return call[schema.Key](ctx, c, http.MethodGet, keyPath(name, ""), nil)
}

// CreateKey makes a key; the answer has its text, which nothing shows again. It is not repeated if
// the connection breaks: the text would be lost with the first answer.
func (c *Client) CreateKey(ctx context.Context, q schema.KeyChange) (schema.Key, error) {
	return change[schema.Key](ctx, c, "/v1/keys", q)
}

// ChangeKey changes the key of an id or a name.
func (c *Client) ChangeKey(ctx context.Context, name string, q schema.KeyChange) (schema.Key,
	error) {
	return change[schema.Key](ctx, c, keyPath(name, ""), q)
}

// RotateKey gives a key another text, which the answer has; the one before it works for the time of
// an overlap.
func (c *Client) RotateKey(ctx context.Context, name string, overlap time.Duration) (schema.Key,
	error) {
	return change[schema.Key](ctx, c, keyPath(name, "/rotate"),
		schema.Rotation{Overlap: overlap.Seconds()})
}

// RevokeKey ends a key for good.
func (c *Client) RevokeKey(ctx context.Context, name string) (schema.Key, error) {
	return call[schema.Key](ctx, c, http.MethodDelete, keyPath(name, ""), nil)
}

// Teams returns the teams that have quotas, by name.
func (c *Client) Teams(ctx context.Context) ([]schema.Team, error) {
	l, err := call[schema.TeamList](ctx, c, http.MethodGet, "/v1/teams", nil)
	return l.Data, err
}

// SetTeam gives a team its quota.
func (c *Client) SetTeam(ctx context.Context, name string, q access.Quota) (schema.Team, error) {
	return change[schema.Team](ctx, c, "/v1/teams/"+url.PathEscape(name),
		map[string]access.Quota{"quota": q})
}

// RemoveTeam takes a team's quota away.
func (c *Client) RemoveTeam(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, "/v1/teams/"+url.PathEscape(name), nil)
	return err
}

// change sends a body to a route that changes something.
func change[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	b, err := json.Marshal(body)
	if err != nil {
		var none T
		return none, err
	}
	return call[T](ctx, c, http.MethodPost, path, b)
}

// keyPath is below the routes of one key.
func keyPath(name, rest string) string { return "/v1/keys/" + url.PathEscape(name) + rest }
