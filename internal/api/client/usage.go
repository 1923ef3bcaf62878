package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/longtake/longtake/internal/api/schema"
)

// UsageQuery selects usage: days from one to another, in UTC as 2006-01-02, "" for either: without
// that end; and the fields by which it is grouped, of schema.UsageFields.
type UsageQuery struct {
	From, To string
	By       []string
}

// path is the route with the query. Fields that are empty are left out, but for By: without any,
// all rows are one.
func (q UsageQuery) path(format string) string {
	v := url.Values{"by": {strings.Join(q.By, ",")}}
	for key, text := range map[string]string{"from": q.From, "to": q.To, "format": format} {
		if text != "" {
			v.Set(key, text)
		}
	}
	return "/v1/usage?" + v.Encode()
}

// Usage returns what the client's jobs have used; to an admin those of all.
func (c *Client) Usage(ctx context.Context, q UsageQuery) (schema.UsageList, error) {
	return call[schema.UsageList](ctx, c, http.MethodGet, q.path(""), nil)
}

// UsageCSV returns the same as a table, as the server writes it. The caller closes it.
func (c *Client) UsageCSV(ctx context.Context, q UsageQuery) (io.ReadCloser, error) {
	resp, err := c.send(ctx, http.MethodGet, q.path("csv"), nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
