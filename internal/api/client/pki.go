package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/longtake/longtake/internal/api/schema"
)

// Authority returns the CAs of the cluster, its certificates, tokens and revoked identities.
func (c *Client) Authority(ctx context.Context) (schema.Authority, error) {
	return call[schema.Authority](ctx, c, http.MethodGet, "/v1/pki", nil)
}

// NewToken makes a token with which one process may join. Its text is in this answer alone.
func (c *Client) NewToken(ctx context.Context, q schema.TokenRequest) (schema.JoinToken, error) {
	b, err := json.Marshal(q)
	if err != nil {
		return schema.JoinToken{}, err
	}
	return call[schema.JoinToken](ctx, c, http.MethodPost, "/v1/pki/tokens", b)
}

// VoidToken takes a token back, by its id. One that is not known is a *schema.Error of status 404.
func (c *Client) VoidToken(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, "/v1/pki/tokens/"+url.PathEscape(id), nil)
	return err
}

// Revoke refuses an identity from now on; undo lets it in again. Both may be repeated, as after an
// answer that was lost.
func (c *Client) Revoke(ctx context.Context, d schema.Denied, undo bool) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if undo {
		_, err = call[schema.Denied](ctx, c, http.MethodDelete,
			"/v1/pki/revoked/"+url.PathEscape(d.Role)+"/"+url.PathEscape(d.Name), nil)
		return err
	}
	_, err = call[schema.Denied](ctx, c, http.MethodPost, "/v1/pki/revoked", b)
	return err
}

// Rotate has a new CA sign; drop forgets the one before it. It returns what Authority does, as it
// is after the change.
func (c *Client) Rotate(ctx context.Context, drop bool) (schema.Authority, error) {
	method := http.MethodPost
	if drop {
		method = http.MethodDelete
	}
	return call[schema.Authority](ctx, c, method, "/v1/pki/rotate", nil)
}
