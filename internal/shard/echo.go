package shard

import (
	"context"
	"time"

	"github.com/longtake/longtake/internal/collective"
)

// How long a message takes is measured before the rate, where both nodes know of it: one sends
// small messages, and the other one answers each. Both take half of their shortest round trip. It
// is the shortest, as a node that is busy answers late, which says nothing of the link.

const (
	echoes   = 8                      // at the most
	echoTime = 300 * time.Millisecond // after which no further one is sent
	echoStep = 1 << 16                // of their tags, beyond all rounds
)

// echo measures the seconds until a message arrives, as rank 0, which sends first, or rank 1.
func echo(ctx context.Context, tr collective.Transport) (seconds float64, err error) {
	if tr.Rank() == 0 {
		return sendEchoes(ctx, tr)
	}
	return answerEchoes(ctx, tr)
}

// sendEchoes sends one message after the other, each when the one before is answered, and then one
// that ends it.
func sendEchoes(ctx context.Context, tr collective.Transport) (float64, error) {
	var least time.Duration
	begin, i := time.Now(), 0
	for ; i < echoes && (i == 0 || time.Since(begin) < echoTime); i++ {
		start := time.Now()
		if err := sendEcho(ctx, tr, 1, i, true); err != nil {
			return 0, err
		}
		if _, err := tr.Recv(ctx, 1, echoTag(i)); err != nil {
			return 0, err
		}
		least = shorter(least, time.Since(start))
	}
	return least.Seconds() / 2, sendEcho(ctx, tr, 1, i, false)
}

// answerEchoes is the other side of sendEchoes. Its round trips are from an answer to what follows.
func answerEchoes(ctx context.Context, tr collective.Transport) (float64, error) {
	var least time.Duration
	var answered time.Time
	for i := range echoes + 1 {
		m, err := tr.Recv(ctx, 0, echoTag(i))
		if err != nil {
			return 0, err
		}
		if i > 0 {
			least = shorter(least, time.Since(answered))
		}

		if len(m) == 0 || m[0] == 0 || i == echoes {
			break
		}
		answered = time.Now()
		if err := sendEcho(ctx, tr, 0, i, true); err != nil {
			return 0, err
		}
	}
	return least.Seconds() / 2, nil
}

// sendEcho sends a small message, which says whether it wants or is an answer, or ends all.
func sendEcho(ctx context.Context, tr collective.Transport, to, i int, more bool) error {
	m := collective.NewBuffer(8)
	if more {
		m[0] = 1
	}
	return tr.Send(ctx, to, echoTag(i), m)
}

// echoTag names a small message.
func echoTag(i int) collective.Tag {
	return collective.Tag{Step: echoStep, Op: uint32(i)} //nolint:gosec // few
}

// shorter returns the shorter one of times; 0: none yet.
func shorter(least, next time.Duration) time.Duration {
	if least == 0 {
		return max(next, 1)
	}
	return min(least, max(next, 1))
}
