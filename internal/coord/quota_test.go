package coord

import (
	"errors"
	"testing"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
)

// TestQuotasHoldThroughTheLog has a client make jobs, by requests and by a retry, until its quota
// refuses one where the command is applied. What it has is what it is shown.
func TestQuotasHoldThroughTheLog(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	fake(t, c, "a")
	ctx := access.With(t.Context(), access.Principal{ID: "oidc_1", Team: "film",
		Scopes: access.Scopes{access.VideosWrite}, Quota: access.Quota{Queued: 2, Seconds: 3}})
	first, err := c.Create(ctx, request(8))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cancel(ctx, first.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Retry(ctx, first.ID); err != nil {
			t.Fatal(err)
		}
	}

	var q *QuotaError
	if _, err := c.Retry(ctx, first.ID); !errors.As(err, &q) || q.Field != "queued" {
		t.Errorf("the third: %v", err)
	}
	long := request(8)
	long.Frames = new(161)
	if _, err := c.Create(ctx, long); !errors.As(err, &q) || q.Field != "seconds" || q.Passes {
		t.Errorf("a long clip: %v", err)
	}
	has, err := c.Quota(ctx)
	if err != nil || has.Owner != "oidc_1" || has.Used.Queued != 2 || has.Limits.Seconds != 3 ||
		has.TeamUsed == nil || has.TeamUsed.Queued != 2 {
		t.Errorf("it has %+v: %v", has, err)
	}
	families, err := c.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); f.GetName() == "longtake_team_jobs" && n != 2 {
			t.Errorf("%d series of jobs, want those that wait and that run of one team", n)
		}
	}
	if _, err := c.Create(t.Context(), job.Request{Prompt: "x", Shards: 8}); err != nil {
		t.Errorf("the process itself: %v", err)
	}
}
