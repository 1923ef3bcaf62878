package nats_test

import (
	"context"
	"testing"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/nats"
)

// BenchmarkExchange moves messages of 4 MiB both ways between two ranks.
func BenchmarkExchange(b *testing.B) {
	const bytes = 4 << 20
	s := startServer(b, nats.ServerOptions("a"))
	nodes := []string{"x", "y"}
	groups := make([]*collective.Group, 2)
	for r, n := range nodes {
		e := endpoint(b, connect(b, s), n, nats.Options{})
		tr, err := e.Join("j", 1, r, nodes, collective.Key{})
		if err != nil {
			b.Fatal(err)
		}
		defer tr.Close()
		if groups[r], err = collective.NewGroup(tr, []int{0, 1}); err != nil {
			b.Fatal(err)
		}
	}
	data := [2][]byte{collective.NewBuffer(bytes), collective.NewBuffer(bytes)}
	b.SetBytes(2 * bytes)
	done := make(chan error, 2)
	b.ResetTimer()
	for r, g := range groups {
		go func() {
			var err error
			for i := 0; i < b.N && err == nil; i++ {
				out := make([][]byte, 2)
				out[1-r] = data[r]
				_, err = g.AllToAll(context.Background(), collective.Tag{Op: uint32(i)}, out)
			}
			done <- err
		}()
	}
	for range groups {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkEmptyMessages measures a round of empty messages between two ranks.
func BenchmarkEmptyMessages(b *testing.B) {
	s := startServer(b, nats.ServerOptions("a"))
	nodes := []string{"x", "y"}
	done := make(chan error, 2)
	for r, n := range nodes {
		e := endpoint(b, connect(b, s), n, nats.Options{})
		tr, err := e.Join("j", 1, r, nodes, collective.Key{})
		if err != nil {
			b.Fatal(err)
		}
		defer tr.Close()
		g, err := collective.NewGroup(tr, []int{0, 1})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			var err error
			for i := 0; i < b.N && err == nil; i++ {
				_, err = g.AllToAll(context.Background(), collective.Tag{Op: uint32(i)}, make([][]byte, 2))
			}
			done <- err
		}()
	}
	for range nodes {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}
