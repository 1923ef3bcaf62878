package testlog

import (
	"fmt"
	"sync"
	"testing"
)

// TestBuffer writes and reads at once; the race detector sees whether that is safe.
func TestBuffer(t *testing.T) {
	var b Buffer
	var wg sync.WaitGroup
	const writers, lines = 4, 100
	for i := range writers {
		wg.Go(func() {
			for range lines {
				fmt.Fprintf(&b, "writer %d\n", i)
				_ = b.String()
			}
		})
	}
	wg.Wait()
	if n := b.Count("writer 2\n"); n != lines {
		t.Errorf("%d lines of a writer; want %d", n, lines)
	}
	if n := len(b.String()); n != writers*lines*len("writer 0\n") {
		t.Errorf("%d bytes in all", n)
	}
}
