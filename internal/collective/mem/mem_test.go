package mem_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/collective/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHub(t *testing.T) {
	transporttest.Run(t, func(_ testing.TB, n int, o transporttest.Options) transporttest.Join {
		h := &mem.Hub{Options: mem.Options{PeerTimeout: o.PeerTimeout}}
		return func(rank int, attempt uint32) (collective.Transport, error) {
			return h.Join("a job", attempt, rank, n)
		}
	})
}

func TestNewWorld(t *testing.T) {
	ts := mem.NewWorld(2, mem.Options{})
	data := []byte("12345678")
	if err := ts[0].Send(t.Context(), 1, collective.Tag{}, data); err != nil {
		t.Fatal(err)
	}
	got, err := ts[1].Recv(t.Context(), 0, collective.Tag{})
	if err != nil || string(got) != "12345678" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := ts[0].Send(t.Context(), 1, collective.Tag{Op: 1}, data); err != nil {
		t.Fatal(err)
	}
	if err := ts[0].Send(t.Context(), 1, collective.Tag{Op: 1}, data); err == nil {
		t.Error("a tag could be used twice")
	}
}

func TestHubRefuses(t *testing.T) {
	var h mem.Hub
	tr, err := h.Join("j", 2, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	f := func(attempt uint32, rank, size int) {
		t.Helper()
		if _, err := h.Join("j", attempt, rank, size); err == nil {
			t.Errorf("attempt %d rank %d of %d could join", attempt, rank, size)
		}
	}
	f(2, 0, 2) // twice
	f(2, 1, 3) // another size
	f(2, 2, 2) // out of range
	f(2, -1, 2)
	f(1, 1, 2) // older
}
