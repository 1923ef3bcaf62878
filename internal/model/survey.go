package model

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/tensor"
)

// Survey is what reading every byte of a model tells about it.
type Survey struct {
	// Fingerprint is equal for folders with the same configurations and weights: 32 hexadecimal
	// digits. A cluster works with models of one fingerprint only.
	Fingerprint string
	// Damage is the first weight that holds NaN or an infinity, nil where all are finite.
	Damage *DamagedError
}

// DamagedError says that a weight is not finite, so that nothing can be computed with the model.
// Usually a download or a disk has gone wrong.
type DamagedError struct {
	Weight string `json:"weight"` // with its component, such as vae/decoder.conv_in.bias
	At     int    `json:"at"`     // the index of the first such value, in row-major order
	Value  string `json:"value"`  // NaN, +Inf or -Inf
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the weights are not finite: %s is %s at %d; get the model's files again "+
		"(longtake model verify says which differ)", e.Weight, e.Value, e.At)
}

// defaultsFile may be missing.
const defaultsFile = "longtake.json"

// configFiles lists the files that decide about a clip besides the weights. Their order is that of
// fingerprints: what later models have in addition comes last.
func (f *Folder) configFiles() []string {
	files := []string{"model_index.json"}
	if f.has(FirstExpert) {
		files = append(files, "transformer/config.json")
	}
	files = append(files, "text_encoder/config.json", "vae/config.json",
		"scheduler/scheduler_config.json", tokenizerFile, defaultsFile)
	for _, component := range []string{SecondExpert, ImageEncoder} {
		if f.has(component) {
			files = append(files, component+"/config.json")
		}
	}
	return files
}

// Outline returns a hash of the configurations and of the weights' names, types and shapes: equal
// for folders that agree in these. It reads no weight, so it is quick; Survey is what tells two
// sets of weights apart.
func (f *Folder) Outline() (string, error) {
	// Sizes go in as well, so that bytes cannot move from one file to the next.
	h := sha256.New()
	for _, file := range f.configFiles() {
		data, err := readLimited(f.fsys, file, tokenizerLimit)
		if err != nil && !(file == defaultsFile && errors.Is(err, fs.ErrNotExist)) {
			return "", fmt.Errorf("cannot tell the model's fingerprint: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n%s", file, len(data), data)
	}
	f.eachWeight(func(name string, t tensor.Tensor) { // a view of the file
		fmt.Fprintf(h, "%s %v %v\n", name, t.DType, t.Shape)
	})
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// Survey reads the whole model, at the speed of the disk. Its result is kept in the folder cache,
// if that is not "", so that the next process need not read the model again unless its files have
// changed. Within one process it is read once.
func (f *Folder) Survey(cache string) (Survey, error) {
	outline, err := f.Outline()
	if err != nil {
		return Survey{}, err
	}
	r := f.cachedReading(cache)
	sum := sha256.Sum256([]byte(outline + " " + r.Weights))
	return Survey{hex.EncodeToString(sum[:16]), r.Damage}, nil
}

// eachWeight calls g with every weight, in an order that does not depend on how the weights are
// spread over files.
func (f *Folder) eachWeight(g func(name string, t tensor.Tensor)) {
	for _, p := range f.parts() {
		c := f.components[p.name]
		for _, weight := range slices.Sorted(maps.Keys(c.tensors)) {
			g(p.name+"/"+weight, c.tensors[weight])
		}
	}
}

// reading is what reading the weights tells; its JSON is kept on disk.
type reading struct {
	Weights string        `json:"weights"`          // a hash of the hashes of all weights
	Damage  *DamagedError `json:"damage,omitempty"` // the first weight in order that is not finite
}

// read reads the weights, several at a time, the largest first, so that none is left to the end.
func (f *Folder) read() reading {
	var all []*weight
	f.eachWeight(func(name string, t tensor.Tensor) {
		component, of, _ := strings.Cut(name, "/")
		leave := func() { // its pages need not count as this process's memory
			for _, file := range f.components[component].files {
				file.Leave(of)
			}
		}
		all = append(all, &weight{name: name, t: t, bad: -1, leave: leave})
	})

	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b *weight) int { return len(b.t.Data) - len(a.t.Data) })
	var next atomic.Int64
	var wg sync.WaitGroup

	// Each goroutine takes the next weight until there are none left.
	for range min(len(order), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(order) {
					return
				}
				order[i].read()
				order[i].leave()
			}
		})
	}
	wg.Wait()

	h := sha256.New()
	var r reading
	for _, w := range all {
		fmt.Fprintf(h, "%s %x\n", w.name, w.sum)
		if r.Damage == nil {
			r.Damage = w.damage()
		}
	}
	r.Weights = hex.EncodeToString(h.Sum(nil))
	return r
}

// weight is one that is being read; its goroutine alone writes to it.
type weight struct {
	name  string
	t     tensor.Tensor
	sum   [sha256.Size]byte // of its stored bytes
	bad   int               // the place of the first value that is not finite, -1: none
	value float32           // that value
	leave func()            // says that it will not be read for a while
}

// pieceBytes is how much of a weight is hashed and then looked at while it is in cache.
const pieceBytes = 256 << 10

// read hashes a weight and looks for the first value that is not finite.
func (w *weight) read() {
	// The hash and the search each pass over a piece while it is in cache.
	h, size := sha256.New(), max(1, w.t.DType.Size())

	// The hash and the search each pass over a piece while it is in cache.
	for at := 0; at < len(w.t.Data); at += pieceBytes {
		data := w.t.Data[at:min(len(w.t.Data), at+pieceBytes)]
		h.Write(data)
		if w.bad >= 0 {
			continue
		}

		piece := tensor.Tensor{DType: w.t.DType, Shape: tensor.Shape{len(data) / size}, Data: data}
		if i, v := piece.FirstNotFinite(); i >= 0 {
			w.bad, w.value = at/size+i, v
		}
	}
	h.Sum(w.sum[:0])
}

// damage returns the error for a weight that is not finite, nil for others.
func (w *weight) damage() *DamagedError {
	if w.bad < 0 {
		return nil
	}
	return &DamagedError{Weight: w.name, At: w.bad, Value: fmt.Sprint(w.value)}
}
