package collective_test

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
)

// Three ranks, here goroutines of one process, exchange a part with each other, as ranks do before
// attention: each has all heads of its own tokens, and gets its own heads of all tokens.
func Example() {
	world := mem.NewWorld(3, mem.Options{})
	done := make(chan string)
	for _, t := range world {
		go func() {
			g, err := collective.NewGroup(t, []int{0, 1, 2})
			if err != nil {
				done <- err.Error()
				return
			}

			out := make([][]byte, g.Size()) // by the rank that each part is for
			for r := range out {
				out[r] = fmt.Appendf(nil, "tokens %d, heads %d", g.Rank(), r)
			}
			in, err := g.AllToAll(context.Background(), collective.Tag{Step: 1}, out)
			if err != nil {
				done <- err.Error()
				return
			}
			done <- fmt.Sprintf("rank %d has %q", g.Rank(), in)
		}()
	}
	for range world {
		fmt.Println(<-done)
	}

	// Unordered output:
	// rank 0 has ["tokens 0, heads 0" "tokens 1, heads 0" "tokens 2, heads 0"]
	// rank 1 has ["tokens 0, heads 1" "tokens 1, heads 1" "tokens 2, heads 1"]
	// rank 2 has ["tokens 0, heads 2" "tokens 1, heads 2" "tokens 2, heads 2"]
}
