package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/underrace"
)

// TestQuotasAreAnswered tells what passes with time, with when to ask again, from what never fits.
func TestQuotasAreAnswered(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	for _, q := range []struct {
		err    coord.QuotaError
		status int
		after  string
	}{
		{coord.QuotaError{Field: "queued", Value: "10", Allowed: "up to 10 jobs that wait",
			Passes: true, After: 4500 * time.Millisecond}, http.StatusTooManyRequests, "5"},
		{coord.QuotaError{Field: "size", Value: "1280x720", Allowed: "up to 500000 pixels"},
			http.StatusForbidden, ""},
	} {
		f.err = fmt.Errorf("wrapped: %w", &q.err)
		status, body, header := do(t, c, "POST", "/v1/videos", "application/json", `{"prompt":"x"}`)
		if status != q.status || header.Get("Retry-After") != q.after ||
			!strings.Contains(body, `"code":"quota_exceeded"`) ||
			!strings.Contains(body, `"param":"`+q.err.Field+`"`) || !strings.Contains(body, q.err.Allowed) {
			t.Errorf("%d, after %q: %s", status, header.Get("Retry-After"), body)
		}
	}
}

// TestRatesAreBounded takes what a bucket holds, waits for more, and follows a change of the quota.
func TestRatesAreBounded(t *testing.T) {
	var l rates
	now := time.Unix(1000, 0)
	q := access.Quota{Rate: 2, Burst: 3}
	take := func(n int) (ok int) {
		for range n {
			if l.take("key_1", "your quota", q, now) == nil {
				ok++
			}
		}
		return ok
	}

	if got := take(10); got != 3 {
		t.Errorf("%d at once, want 3", got)
	}
	var e *errRate
	if err := l.take("key_1", "your quota", q, now); !errors.As(err, &e) || retryAfter(err) != "1" ||
		e.after != 500*time.Millisecond || explain(err).Status != 429 {
		t.Errorf("then %v", err)
	}
	if err := l.take("key_2", "your quota", q, now); err != nil {
		t.Errorf("another key: %v", err)
	}
	if now = now.Add(time.Second); take(10) != 2 {
		t.Error("after a second 2 more may come")
	}
	q = access.Quota{Rate: 100}
	take(1)
	if now = now.Add(time.Second); take(200) != 100 {
		t.Error("after the change a second brings 100")
	}
}

// TestManyRatesAreForgotten keeps few buckets, and those that somebody has taken from.
func TestManyRatesAreForgotten(t *testing.T) {
	underrace.Skip(t, "it has one goroutine")
	var l rates
	now := time.Unix(1000, 0)
	take := func(name string) error {
		return l.take(name, "your quota", access.Quota{Rate: 0.001, Burst: 1}, now)
	}
	for i := range ratesKept {
		if err := take(fmt.Sprint("old", i)); err != nil {
			t.Fatal(err)
		}
	}

	now = now.Add(time.Hour) // the buckets are full again
	if take("new") != nil || len(l.of) != 1 {
		t.Errorf("%d are kept", len(l.of))
	}
	for i := range 2 * ratesKept {
		if err := take(fmt.Sprint("more", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.of) > ratesKept {
		t.Errorf("%d are kept", len(l.of))
	}
}

// Quota implements coord.Quotas.
func (f *fake) Quota(ctx context.Context) (schema.Quota, error) {
	p, _ := access.From(ctx)
	return schema.Quota{Object: "quota", Owner: p.ID, Team: p.Team, Limits: p.Quota,
		Used: schema.Used{Queued: 1, DeviceSeconds: 2.5}, Resets: 86400}, f.err
}

// TeamQuota implements coord.Quotas.
func (f *fake) TeamQuota(team string) access.Quota {
	for _, t := range f.teams {
		if t.Name == team {
			return t.Quota
		}
	}
	return access.Quota{}
}

// TestClientsSeeTheirQuotaAndItsRate asks with a key of a team: for its quota, and too often.
func TestClientsSeeTheirQuotaAndItsRate(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	f.teams = []access.Team{{Name: "film", Quota: access.Quota{Rate: 0.001, Burst: 2}}}
	_, text, err := f.CreateKey(t.Context(), access.Key{Name: "render", Team: "film",
		Scopes: access.Scopes{access.VideosRead}, Quota: access.Quota{Queued: 7}})
	if err != nil {
		t.Fatal(err)
	}

	keyed := c.WithKey(text)
	q, err := keyed.Quota(t.Context(), "")
	if err != nil || q.Limits.Queued != 7 || q.Team != "film" || q.Used.DeviceSeconds != 2.5 {
		t.Errorf("%+v: %v", q, err)
	}
	if _, err := keyed.Quota(t.Context(), ""); err != nil {
		t.Errorf("the second of 2 at once: %v", err)
	}
	var e *schema.Error
	if _, err := keyed.Quota(t.Context(), ""); !errors.As(err, &e) || e.Code != "rate_limited" ||
		!strings.Contains(e.Message, "the quota of team film") {
		t.Errorf("the third: %v", err)
	}
	if q, err := c.Quota(t.Context(), "render"); err != nil || q.Limits.Queued != 7 {
		t.Errorf("an administrator is told %+v: %v", q, err)
	}
	if _, err := c.Quota(t.Context(), "nobody"); !errors.As(err, &e) || e.Status != 404 {
		t.Errorf("a key that there is not: %v", err)
	}
	f.teams = nil
	if _, err := keyed.Quota(t.Context(), "render"); !errors.As(err, &e) || e.Code != "forbidden" {
		t.Errorf("another key's, without the scope: %v", err)
	}
}
