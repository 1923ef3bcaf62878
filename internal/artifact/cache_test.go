package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestACacheKeepsValues stores values of no, one and several chunks, and replaces one.
func TestACacheKeepsValues(t *testing.T) {
	nc := serve(t)
	if _, err := BindCache(t.Context(), nc, "cache"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a cache that nobody opened: %v", err)
	}
	if _, err := OpenCache(t.Context(), nc, "cache", Options{}); err != nil {
		t.Fatal(err)
	}
	c, err := BindCache(t.Context(), nc, "cache")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, chunkBytes, chunkBytes + 1, 3*chunkBytes - 1} {
		key, value := fmt.Sprintf("k%d", n), bytes.Repeat([]byte{7}, n)
		if _, err := c.Get(t.Context(), key); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s before it is put: %v", key, err)
		}
		for _, v := range [][]byte{bytes.Repeat([]byte{9}, 5), value} {
			if err := c.Put(t.Context(), key, v); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Get(t.Context(), key); err != nil || !bytes.Equal(got, v) {
				t.Errorf("%s: %d bytes, %v; want %d", key, len(got), err, len(v))
			}
		}
	}
}

// TestACacheIsNotTrusted takes a chunk of a value away, and puts another one in its place.
func TestACacheIsNotTrusted(t *testing.T) {
	nc := serve(t)
	c, err := OpenCache(t.Context(), nc, "cache", Options{})
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("value"), chunkBytes/2)
	if err := c.Put(t.Context(), "k", value); err != nil {
		t.Fatal(err)
	}
	js := c.(*cache).js
	if _, err := js.Publish(t.Context(), "cache.k.1", []byte("other")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "k"); !errors.Is(err, ErrDamaged) {
		t.Errorf("another chunk: %v", err)
	}
	err = c.(*cache).stream.Purge(t.Context(), jetstream.WithPurgeSubject("cache.k.1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a chunk that is gone: %v", err)
	}

	for _, key := range []string{"", "a.b", "*", ">", "a b", strings.Repeat("a", 129)} {
		if err := c.Put(t.Context(), key, nil); err == nil {
			t.Errorf("key %q is taken", key)
		}
		if _, err := c.Get(t.Context(), key); !errors.Is(err, ErrNotFound) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	if err := c.Put(t.Context(), "large", make([]byte, CacheValueMax+1)); err == nil {
		t.Error("a value of more than CacheValueMax bytes is taken")
	}
}

// TestTheOldestMakesRoom puts more values than a cache holds.
func TestTheOldestMakesRoom(t *testing.T) {
	c, err := OpenCache(t.Context(), serve(t), "cache", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range cacheChunks + 1 {
		if err := c.Put(t.Context(), fmt.Sprint(i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Get(t.Context(), "0"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the oldest: %v", err)
	}
	if v, err := c.Get(t.Context(), "1"); err != nil || string(v) != "x" {
		t.Errorf("the next: %q, %v", v, err)
	}
}
