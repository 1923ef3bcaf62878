package engine

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/underrace"
)

// clusterCache is an artifact.Cache in memory.
type clusterCache struct {
	mu     sync.Mutex
	values map[string][]byte
	wrong  func([]byte) []byte // what Get makes of a value; nil: nothing
}

func (c *clusterCache) Get(_ context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.values[key]
	if !ok {
		return nil, artifact.ErrNotFound
	}
	if c.wrong != nil {
		return c.wrong(bytes.Clone(v)), nil
	}
	return bytes.Clone(v), nil
}

func (c *clusterCache) Put(_ context.Context, key string, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = map[string][]byte{}
	}
	c.values[key] = bytes.Clone(value)
	return nil
}

// forAll is a cache that all texts share.
func forAll(c artifact.Cache) func(string) artifact.Cache {
	return func(string) artifact.Cache { return c }
}

// TestATextIsEncodedOnce makes a clip, and then others of the same texts without a text encoder:
// with what the process remembers, and with what the cluster does.
func TestATextIsEncodedOnce(t *testing.T) {
	for name, texts := range map[string]Texts{
		"memory":  {Scope: "tiny5", Memory: &TextCache{}},
		"cluster": {Scope: "tiny5", Cluster: forAll(&clusterCache{})},
	} {
		t.Run(name, func(t *testing.T) {
			for _, m := range partMeshes {
				if m.Size() == 1 && underrace.On {
					continue // the goroutines of a rank alone are among those of four
				}
				a := newAttempts(t, m)
				a.texts = texts
				a.plan.Job = "video_first"
				first := a.run()
				clear(a.parts)
				a.dropTextEncoder()
				a.plan.Job = "video_second"
				a.plan.Spec.Seed++
				if again := a.run(); again.LatentsSHA256 == first.LatentsSHA256 {
					t.Error("another seed gives the same latents")
				}
			}
		})
	}
}

// TestACachedTextIsNotTrusted spoils what the cluster kept.
func TestACachedTextIsNotTrusted(t *testing.T) {
	a := newAttempts(t, partMeshes[0])
	cache := &clusterCache{}
	a.texts = Texts{Scope: "tiny5", Cluster: forAll(cache)}
	first := a.run()
	for name, wrong := range map[string]func([]byte) []byte{
		"short": func(v []byte) []byte { return v[:len(v)-4] },
		"NaN": func(v []byte) []byte {
			tensor.Floats(v)[3] = float32(math.NaN())
			return v
		},
	} {
		t.Run(name, func(t *testing.T) {
			cache.wrong, a.notes = wrong, nil
			clear(a.parts)
			if again := a.run(); again.LatentsSHA256 != first.LatentsSHA256 {
				t.Errorf("latents %.12s, not %.12s", again.LatentsSHA256, first.LatentsSHA256)
			}
			if !strings.Contains(strings.Join(a.notes, "\n"), "encoded again") {
				t.Errorf("notes %q", a.notes)
			}
		})
	}
}

// TestTheTextUsedLongestAgoGoes fills a cache beyond its limit.
func TestTheTextUsedLongestAgoGoes(t *testing.T) {
	var c TextCache
	third := make([]float32, textCacheBytes/3/4)
	for _, key := range []string{"a", "b", "c"} {
		c.add(key, third)
	}
	c.get("a")
	c.add("d", third)
	var left []string
	for _, key := range []string{"a", "b", "c", "d"} {
		if c.get(key) != nil {
			left = append(left, key)
		}
	}
	if want := []string{"a", "c", "d"}; !slices.Equal(left, want) {
		t.Errorf("%v are left; want %v", left, want)
	}
}
