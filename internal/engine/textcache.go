package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/tensor"
)

// textCacheBytes bounds the embeddings that a process keeps: 16 texts of UMT5-XXL that are as long
// as can be, or hundreds of usual ones.
const textCacheBytes = 128 << 20

// textCacheTime is how long a rank waits for the cluster's cache. Without it, it encodes the text.
const textCacheTime = 5 * time.Second

// TextCache keeps embeddings of texts in memory, from one job to the next: the negative prompt is
// the same in most. The shards of a process share one, since they serve the same models. The zero
// value is empty; its methods may be called from any goroutine.
type TextCache struct {
	mu      sync.Mutex
	entries []cachedText // the one used last at the end
	bytes   int
}

// cachedText is one text's embeddings [tokens, text_dim].
type cachedText struct {
	key    string
	embeds []float32
}

// get returns the embeddings of a key, which must not be changed, nil if there are none.
func (c *TextCache) get(key string) []float32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.entries, func(e cachedText) bool { return e.key == key })
	if i < 0 {
		return nil
	}
	e := c.entries[i]
	c.entries = append(slices.Delete(c.entries, i, i+1), e)
	return e.embeds
}

// add keeps embeddings; those that were not used for longest make room.
func (c *TextCache) add(key string, embeds []float32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.entries, func(e cachedText) bool { return e.key == key }) {
		return
	}
	c.entries, c.bytes = append(c.entries, cachedText{key, embeds}), c.bytes+4*len(embeds)
	for c.bytes > textCacheBytes {
		c.bytes -= 4 * len(c.entries[0].embeds)
		c.entries = slices.Delete(c.entries, 0, 1)
	}
}

// Texts is where a rank finds embeddings that were made before, by itself or by others. Without a
// Scope nothing is kept.
type Texts struct {
	// Scope tells text encoders apart that give other bits: it is made of the model's fingerprint and
	// the device's arithmetic.
	Scope string
	// Memory is the process's; nil: none.
	Memory *TextCache
	// Cluster returns the coordinators' cache of what belongs to a text, which may be one for all;
	// nil: there is none.
	Cluster func(text string) artifact.Cache
}

// key names the embeddings of some token ids: everything that their bits depend on.
func (r *run) textKey(ids []int32) string {
	h := sha256.New()
	fmt.Fprintf(h, "1 %q %v %v", r.Texts.Scope, r.e.dtype.Rest(), ids)
	return hex.EncodeToString(h.Sum(nil))
}

// cachedEmbeds returns the embeddings of a text's token ids from the caches, [len(ids), text_dim],
// nil where they have none.
func (r *run) cachedEmbeds(ctx context.Context, text string, ids []int32) []float32 {
	if r.Texts.Scope == "" {
		return nil
	}
	key := r.textKey(ids)
	if r.Texts.Memory != nil {
		if embeds := r.Texts.Memory.get(key); embeds != nil {
			return embeds
		}
	}
	if r.Texts.Cluster == nil {
		return nil
	}

	// Values from elsewhere, perhaps from another version, are checked first.
	ctx, cancel := context.WithTimeout(ctx, textCacheTime)
	defer cancel()
	data, err := r.Texts.Cluster(text).Get(ctx, key)
	if err == nil && len(data) != 4*len(ids)*r.e.folder.Transformer.TextDim {
		err = fmt.Errorf("%d bytes for %d tokens", len(data), len(ids))
	}
	if err != nil {
		if !errors.Is(err, artifact.ErrNotFound) && ctx.Err() == nil {
			r.host.Warn("a text is encoded again", err)
		}
		return nil
	}
	embeds := tensor.Floats(data)
	if err := tensor.CheckFinite("the cached text embedding", embeds); err != nil {
		r.host.Warn("a text is encoded again", err)
		return nil
	}
	if r.Texts.Memory != nil {
		r.Texts.Memory.add(key, embeds)
	}
	return embeds
}

// keepEmbeds keeps what was encoded, in memory at once and in the cluster while the rank goes on.
func (r *run) keepEmbeds(text string, ids []int32, embeds []float32) {
	if r.Texts.Scope == "" {
		return
	}
	key := r.textKey(ids)
	if r.Texts.Memory != nil {
		r.Texts.Memory.add(key, embeds)
	}
	if r.Texts.Cluster == nil || r.host.StoreFull(false) {
		return
	}

	// The cluster's copy only saves work: what goes wrong ends nothing.
	r.background.Go(func() {
		err := r.Texts.Cluster(text).Put(r.backgroundCtx, key, tensor.Bytes(embeds))
		if err != nil && !errors.Is(err, artifact.ErrFull) && r.backgroundCtx.Err() == nil {
			r.host.Warn("cannot keep a text's embeddings", err)
		}
	})
}
