package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/longtake/longtake/internal/api/schema"
)

// Audit opens entries of the audit log, one JSON object a line, as the coordinator that is asked
// has them. The query may have from, to, actor and action. The caller closes it; a log that breaks
// off in the middle is an error of reading.
func (c *Client) Audit(ctx context.Context, q url.Values) (io.ReadCloser, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/audit?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// AuditStatus returns where the audit log stands on the coordinator that is asked.
func (c *Client) AuditStatus(ctx context.Context) (schema.AuditStatus, error) {
	return call[schema.AuditStatus](ctx, c, http.MethodGet, "/v1/audit/status", nil)
}
