package model

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"slices"
)

// sampleBytes is how much of a weight's start and of its end goes into a fingerprint. Reading all
// of a large model would take minutes; weights that were trained further differ everywhere.
const sampleBytes = 4096

// Fingerprint is equal for folders with the same configurations and weights. It hashes the
// configurations and the tokenizer whole, and of every weight its name, type, shape, start and end.
func (f *Folder) Fingerprint() (string, error) {
	h := sha256.New()
	for _, file := range []string{"transformer/config.json", "text_encoder/config.json",
		"vae/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json",
		"longtake.json"} {
		data, err := readLimited(f.fsys, file, tokenizerLimit)
		if err != nil && !(file == "longtake.json" && errors.Is(err, fs.ErrNotExist)) {
			return "", fmt.Errorf("cannot tell the model's fingerprint: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n%s", file, len(data), data)
	}
	for _, p := range parts {
		f.components[p.name].sum(p.name, h)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

func (c *component) sum(name string, h hash.Hash) {
	for _, weight := range slices.Sorted(maps.Keys(c.tensors)) {
		t := c.tensors[weight]
		n := min(len(t.Data), sampleBytes)
		fmt.Fprintf(h, "%s/%s %v %v\n", name, weight, t.DType, t.Shape)
		h.Write(t.Data[:n])
		h.Write(t.Data[len(t.Data)-n:])
	}
}
