package client

import (
	"context"
	"net/http"

	"github.com/longtake/longtake/internal/api/schema"
)

// Quota returns what this client may have, and has of it. The leader answers.
func (c *Client) Quota(ctx context.Context) (schema.Quota, error) {
	return call[schema.Quota](ctx, c, http.MethodGet, "/v1/quota", nil)
}
