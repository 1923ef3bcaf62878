package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/pool"
	"github.com/longtake/longtake/internal/model/tokenizer"
	"github.com/longtake/longtake/internal/model/umt5"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/model/wan"
)

// Engine is a model loaded on a device. It runs one rank of one plan at a time, and belongs to one
// goroutine. The weights of the text encoder and the transformer are there in one type at a time;
// the VAE computes in float32 always. Engines of a process share packed weights through a pool.
type Engine struct {
	dev     Devices
	folder  *model.Folder
	dtype   compute.DType // of products of the text encoder and the transformer
	sched   diffusion.SchedulerConfig
	tokens  *tokenizer.Tokenizer
	text    *umt5.Encoder    // nil after a Use that failed
	dit     *wan.Transformer // of the steps under way; likewise
	form    *wan.Transformer // any of the model's, without weights: all have the same form
	decoder *vae.Decoder
	loras   []LoRA // that the transformer has

	options Options
	experts experts

	pool     *pool.Pool
	identity string            // of the folder, in the pool's keys
	release  map[string]func() // gives a component's weights back to the pool
}

// Devices are where an engine's parts run; they may be the same one.
type Devices struct {
	// Main runs the text encoder and the transformer.
	Main compute.Device
	// Decode runs the VAE, and may have other threads: ranks that share cores leave them to rank 0.
	Decode compute.Device
}

// New is NewIn with a pool of the engine's own.
func New(folder *model.Folder, dev Devices, t compute.DType) (*Engine, error) {
	return NewIn(context.Background(), new(pool.Pool), folder, dev, t, Options{})
}

// NewIn loads every part of the model, as far as the pool has not got it already; a broken folder
// fails here, with one line that names the part. The folder and the devices stay the caller's and
// must outlive the engine. Products of the text encoder and the transformer are of type t until Use
// says otherwise. Loading ends soon when ctx does. Close gives the weights back to the pool.
func NewIn(ctx context.Context, weights *pool.Pool, folder *model.Folder, dev Devices,
	t compute.DType, o Options) (*Engine, error) {
	e := &Engine{dev: dev, folder: folder, dtype: t, pool: weights, options: o,
		release: map[string]func(){}}
	e.options.Experts = cmp.Or(o.Experts, Auto)
	err := e.load(ctx, e.loadTokenizer, e.prepareExperts, e.loadVAE, e.loadExperts, e.loadText)
	if err != nil {
		e.Close()
	}
	return e, err
}

// Close gives all weights back to the pool. The engine cannot be used afterwards.
func (e *Engine) Close() {
	e.text, e.dit, e.decoder = nil, nil, nil
	e.experts.loaded = nil
	for component := range e.release {
		e.drop(component)
	}
}

// drop gives the weights of a component back to the pool, if the engine has any.
func (e *Engine) drop(component string) {
	if release := e.release[component]; release != nil {
		delete(e.release, component)
		release()
	}
}

// load calls functions that load a part each, and says of an error which model it is about.
func (e *Engine) load(ctx context.Context, parts ...func(context.Context) error) error {
	for _, load := range parts {
		if err := load(ctx); err != nil {
			return fmt.Errorf("cannot load model %s: %w", e.folder.Name(), err)
		}
	}
	return nil
}

// Use makes products of type t from here on, with weights that LoRAs have changed. Where they are
// of the other type, or have other LoRAs, it gives the weights back and acquires those, which may
// take as long as at the start, or ends soon when ctx does. After an error the next Use acquires
// them.
func (e *Engine) Use(ctx context.Context, t compute.DType, loras ...LoRA) error {
	same := slices.EqualFunc(e.loras, loras, func(a, b LoRA) bool { return a.LoRA == b.LoRA })
	if e.dtype == t && e.dit != nil && same {
		return nil
	}

	if e.loras = loras; e.dtype == t && e.text != nil {
		e.swapOut()
		return e.load(ctx, e.loadExperts)
	}
	// Both types at once may not fit, so the old weights go first.
	e.dtype, e.text = t, nil
	e.swapOut()
	return e.load(ctx, e.loadExperts, e.loadText)
}

// loadTokenizer reads the tokenizer, which must not have ids that the text encoder lacks, and the
// scheduler's settings.
func (e *Engine) loadTokenizer(context.Context) (err error) {
	if e.identity, err = e.folder.Identity(); err != nil {
		return err
	}
	data, err := e.folder.TokenizerJSON()
	if err != nil {
		return err
	}
	if e.tokens, err = tokenizer.Load(data); err != nil {
		return err
	}
	if n, limit := e.tokens.VocabSize(), e.folder.TextEncoder.VocabSize; n > limit {
		return fmt.Errorf("the tokenizer has %d pieces, the text encoder %d", n, limit)
	}
	e.sched, err = diffusion.ParseSchedulerConfig(e.folder.Scheduler)
	return err
}

// tokenize gives the ids of a prompt, as WanPipeline cleans it, and reports whether it had more
// than fit.
func (e *Engine) tokenize(prompt string) (ids []int32, cut bool) {
	text := tokenizer.Clean(prompt)
	if e.folder.Defaults.LowerCase {
		text = tokenizer.LowerCase(text)
	}
	return e.tokens.Encode(text, wan.TextTokens)
}

// weights opens those of a component, to be loaded until ctx ends.
func (e *Engine) weights(ctx context.Context, component string) (*model.Weights, error) {
	w, err := e.folder.Weights(component)
	if err == nil {
		w.StopWhen(func() error { return context.Cause(ctx) })
	}
	return w, err
}

// key is what the pool knows a component's weights by, packed for dev and products of type t.
func (e *Engine) key(dev compute.Device, component string, t compute.DType) pool.Key {
	return pool.Key{Folder: e.identity, Component: component, DType: t,
		LoRA: loraKey(e.lorasOf(component)), Packing: compute.PackingOf(dev)}
}

// acquire takes a component's packed weights from the pool, or has pack make them for dev, in type
// t. They stay the engine's until it drops the component, or acquires it again.
func acquire[T any](ctx context.Context, e *Engine, dev compute.Device, component string,
	t compute.DType, pack func(*model.Weights) (T, error)) (weights T, err error) {
	e.drop(component)
	loras := e.lorasOf(component)
	key := e.key(dev, component, t)

	var release func()
	weights, release, err = pool.Acquire(ctx, e.pool, key, e.bytesOf(component, t),
		func(ctx context.Context) (weights T, err error) {
			w, err := e.weights(ctx, component)
			if err != nil {
				return weights, err
			}

			start := time.Now()
			weights, err = withLoRAs(ctx, w, e.folder.Transformer.Shapes(), loras, pack)
			if err == nil && e.options.Log != nil {
				e.options.Log.Info("loaded", "component", component, "type", t.String(),
					"took", time.Since(start).Round(time.Millisecond))
			}
			return weights, err
		})
	if err == nil {
		e.release[component] = release
	}
	return weights, err
}

// loadVAE acquires the decoder of the VAE. The encoder is loaded only for clips that start from a
// picture.
func (e *Engine) loadVAE(ctx context.Context) error {
	decoder, err := acquire(ctx, e, e.dev.Decode, "vae", compute.FP32,
		func(w *model.Weights) (*vae.Decoder, error) {
			return vae.Load(e.dev.Decode, e.folder.VAE, w)
		})
	if err == nil {
		e.decoder = decoder.On(e.dev.Decode)
	}
	return err
}

// FeedForward returns a large product of the transformer, by which a node may measure its device.
// It is good until the next Use.
func (e *Engine) FeedForward() compute.Linear { return e.dit.FeedForward() }
