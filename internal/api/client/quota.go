package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/longtake/longtake/internal/api/schema"
)

// Quota returns what a key may have, and has of it: that of the client, or for administrators the
// one of an id or a name. The leader answers.
func (c *Client) Quota(ctx context.Context, key string) (schema.Quota, error) {
	path := "/v1/quota"
	if key != "" {
		path += "?key=" + url.QueryEscape(key)
	}
	return call[schema.Quota](ctx, c, http.MethodGet, path, nil)
}
