package coord

import (
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/testlog"
)

// TestReadsAreServedWhileAnEventWaits reads in the midst of an event, as Raft does to apply the
// entry that the event commits.
func TestReadsAreServedWhileAnEventWaits(t *testing.T) {
	l := newLoop()
	l.core = core.New(core.Config{}, nil, core.Unobserved{})
	go func() {
		defer close(l.done)
		l.run(t.Context())
	}()
	committed, order := make(chan int, 1), make(chan string, 3)
	l.post(func() { order <- "began"; await(l, committed); order <- "ended" })
	next(t, order, "the event")
	if !l.read(func() { order <- "read" }) {
		t.Fatal("the loop has ended")
	}
	if got := next(t, order, "the read"); got != "read" {
		t.Fatalf("it %s before it was read", got)
	}
	committed <- 1
	next(t, order, "the end of the event")
}

// TestAnEndedLoopAnswers with an error.
func TestAnEndedLoopAnswers(t *testing.T) {
	l := newLoop()
	close(l.done)
	_, err := call(t.Context(), l, func(func(int, error)) { t.Error("it is called") })
	if err == nil || l.read(func() { t.Error("it is read") }) {
		t.Errorf("an ended loop answers: %v", err)
	}
	for range eventsMax + 1 { // there is room, and then there is not
		l.post(func() {})
	}
}

// TestNoNodeIsLostWhileTheLoopIsBusy has an event take an hour, in which a node sends heartbeats.
func TestNoNodeIsLostWhileTheLoopIsBusy(t *testing.T) {
	var late atomic.Int64
	var log testlog.Buffer
	cfg := testConfig(t.TempDir())
	cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	c := start(t, cfg)
	fake(t, c, "a")
	entered, release := make(chan bool, 1), make(chan bool)
	c.loop.post(func() { entered <- true; <-release })
	next(t, entered, "the event")
	late.Store(int64(time.Hour))
	eventually(t, "heartbeats wait for the loop", func() bool { return len(c.loop.events) > 1 })
	close(release)
	for range 2 {
		c.event(func() { c.tick(c.cfg.Clock()) })
	}
	if n := log.Count("node gone"); n > 0 {
		t.Errorf("%d nodes are lost, since the leader was busy", n)
	}
}

// TestNothingWaitsForARaftThatHasStopped lets a coordinator fail: what is asked of Raft after that
// is refused, and a write of Raft's that waits for room on the disk waits no more.
func TestNothingWaitsForARaftThatHasStopped(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	c.fail(errors.New("a page is gone"))
	next(t, c.cons.log.done, "the end of what waits for room")
	next(t, c.cons.down, "the end of Raft")
	for range 32 { // Raft may take a question, and then not answer
		answered := make(chan error, 1)
		go func() { answered <- c.cons.verify() }()
		if err := next(t, answered, "an answer"); err == nil {
			t.Fatal("it leads")
		}
	}
	closed(t, c)
}

// TestAnotherTermIsNotConfirmed reads where Raft has elected this coordinator again, and it is in
// leading still by the term before: it may lack what another leader has committed between.
func TestAnotherTermIsNotConfirmed(t *testing.T) {
	c := start(t, testConfig(t.TempDir()))
	if _, err := c.List(t.Context(), ListOptions{}); err != nil {
		t.Fatal(err)
	}
	c.loop.read(func() { c.term.number-- })
	if _, err := c.List(t.Context(), ListOptions{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("jobs are read: %v", err)
	}
	if err := c.SaveSnapshot(t.Context(), io.Discard); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a snapshot is read: %v", err)
	}
	confirmed := make(chan bool, 1)
	c.loop.post(func() { world{c}.Confirm(func(leads bool) { confirmed <- leads }) })
	if next(t, confirmed, "an answer") {
		t.Error("ranks are stopped")
	}
}
