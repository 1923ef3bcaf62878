package api

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
)

// rates bounds the requests a second of principals and teams, by token buckets. Each coordinator
// counts those that come to it: a count that all of them share would be a write to the log for each
// request, which costs more than most requests. With three coordinators a client that asks all of
// them may send three times as many; creates go to the leader in any case.
type rates struct {
	mu sync.Mutex
	of map[string]*rate.Limiter
}

// ratesKept bounds the buckets. Beyond it full ones go, which a new one is as good as.
const ratesKept = 4096

// errRate refuses a request that comes too soon.
type errRate struct {
	whose string
	quota access.Quota
	after time.Duration // that the next one may come
}

// Error implements error.
func (e *errRate) Error() string {
	return fmt.Sprintf("the rate of requests is over %g a second; allowed: that, and %d at once "+
		"(%s); ask again in %v", e.quota.Rate, burst(e.quota), e.whose,
		e.after.Round(time.Millisecond))
}

// burst is how many requests may come at once: what a second brings, unless the quota says it.
func burst(q access.Quota) int { return cmp.Or(q.Burst, max(1, int(math.Ceil(q.Rate)))) }

// take takes a request into account, or returns an *errRate.
func (l *rates) take(name, whose string, q access.Quota, now time.Time) error {
	if q.Rate <= 0 {
		return nil
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.of[name]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(q.Rate), burst(q))
		l.makeRoom(now)
		l.of[name] = b
	}

	if b.Limit() != rate.Limit(q.Rate) || b.Burst() != burst(q) { // the quota was changed
		// What is in the bucket stays, so that a changed quota is no second burst.
		b.SetLimitAt(now, rate.Limit(q.Rate))
		b.SetBurstAt(now, burst(q))
	}

	r := b.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now) // a request that is refused takes nothing
		return &errRate{whose, q, wait}
	}
	return nil
}

// takeRate takes a request of a principal into account, its own and its team's, or returns an
// *errRate.
func (s *server) takeRate(p access.Principal) error {
	now := time.Now()
	if p.ID != "" {
		if err := s.rates.take("owner "+p.ID, "your quota", p.Quota, now); err != nil {
			return err
		}
	}
	if p.Team == "" {
		return nil
	}
	return s.rates.take("team "+p.Team, "the quota of team "+p.Team, s.service.TeamQuota(p.Team), now)
}

// quota answers with what the client may have, and has of it. An administrator may ask for another
// key by its id or name.
func (s *server) quota(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if name := r.URL.Query().Get("key"); name != "" {
		if p, _ := access.From(ctx); !p.Admin() {
			return &schema.Error{Status: http.StatusForbidden, Type: "invalid_request_error",
				Code: "forbidden", Param: "key", Message: "the quota of another key needs scope admin"}
		}
		k, err := s.service.Key(ctx, name)
		if err != nil {
			return err
		}
		ctx = access.With(ctx, k.Principal())
	}

	// What was used is asked of the leader, as with jobs.
	q, err := s.service.Quota(ctx)
	if err == nil {
		reply(w, http.StatusOK, q)
	}
	return err
}

// makeRoom drops full buckets once there are too many, and any if all of them are in use.
func (l *rates) makeRoom(now time.Time) {
	if l.of == nil {
		l.of = map[string]*rate.Limiter{}
	}
	if len(l.of) < ratesKept {
		return
	}

	for name, b := range l.of {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(l.of, name)
		}
	}

	// Who loses a bucket here may send a burst once more.
	for name := range l.of {
		if len(l.of) < ratesKept {
			return
		}
		delete(l.of, name)
	}
}

// explainQuota is the answer to a request that is over a quota, and when to repeat it; nil if err
// is something else.
func explainQuota(err error) (e *schema.Error, after time.Duration) {
	var q *coord.QuotaError
	var r *errRate
	switch {
	case errors.As(err, &r):
		return &schema.Error{Status: http.StatusTooManyRequests, Type: "invalid_request_error",
			Code: "rate_limited", Param: "rate", Message: r.Error()}, r.after
	case !errors.As(err, &q):
		return nil, 0
	}

	e = &schema.Error{Status: http.StatusForbidden, Type: "invalid_request_error",
		Code: "quota_exceeded", Param: q.Field, Message: q.Error()}
	if q.Passes {
		e.Status = http.StatusTooManyRequests
	}
	return e, q.After
}

// retryAfter is when a client is to ask again, in whole seconds: SDKs wait so long before they
// repeat a request. Without it they back off by a schedule of their own.
func retryAfter(err error) string {
	_, after := explainQuota(err)
	return fmt.Sprint(max(1, int(math.Ceil(after.Seconds()))))
}
