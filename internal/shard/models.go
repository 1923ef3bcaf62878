package shard

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/pool"
	"github.com/longtake/longtake/internal/wire"
)

// ModelDir is a model on a shard's disk.
type ModelDir struct {
	// Name is under which jobs name it; "": what the folder is called.
	Name string
	// Dir is its folder; "": the embedded demo.
	Dir string
}

// ParseModels reads settings of models: a folder, or NAME=FOLDER where a model is to have another
// name than its folder. No entry gives no model.
func ParseModels(list []string) ([]ModelDir, error) {
	if len(list) > job.ModelsLimit {
		return nil, fmt.Errorf("%d models are set; allowed: up to %d", len(list), job.ModelsLimit)
	}

	var out []ModelDir
	for _, text := range list {
		m := ModelDir{Dir: text}
		// What stands before the sign is a name, unless it is the beginning of a path.
		name, dir, named := strings.Cut(text, "=")
		if named && !strings.ContainsAny(name, `/\`) {
			m = ModelDir{strings.TrimSpace(name), dir}
		}

		if named && (m.Name == "" && m.Dir != text || m.Dir == "" || len(m.Name) > 256) {
			return nil, fmt.Errorf("model is %.300q; allowed: FOLDER, or NAME=FOLDER", text)
		}
		out = append(out, m)
	}
	return out, nil
}

// idlePart is the part of a machine's memory up to which weights stay that no rank uses at present,
// in percent: a model that was used a moment ago is ready again at once. They go where a clip needs
// their room.
const idlePart = 50

// NewPool returns a pool for shards that have a number of models. With one model, nothing is worth
// keeping that nobody uses; nor on a GPU, whose memory clips need.
func NewPool(models int, onGPU bool) *pool.Pool {
	if models < 2 || onGPU {
		return new(pool.Pool)
	}
	return pool.New(machineMemory() / 100 * idlePart)
}

// served is a model that a shard has.
type served struct {
	// Set by open, and only read afterwards.
	folder   *model.Folder
	identity string    // of its weights, in the pool
	info     job.Model // what the node registers of it
	damage   error     // weights that are not finite, which make every job fail

	broken error // why it could not be loaded, which takes it from the node; of Shard.mu
}

// shelf is what a shard has loaded of its models. Only the goroutine of the rank at work changes
// the engine; heartbeats read the rest, under mu.
type shelf struct {
	engine *engine.Engine // of current; nil where a load has failed
	mu     sync.Mutex
	// current is the model of the engine; loading is the one that is being loaded, and took how long
	// the latest load took.
	current, loading *served
	took             time.Duration
}

// openModels opens the folders of all models. Two of one name are an error. One that cannot be
// opened is none where there are others: the node then works without it.
func (s *Shard) openModels() error {
	dirs := s.cfg.Models
	if len(dirs) == 0 {
		dirs = []ModelDir{{Dir: s.cfg.Model}}
	}

	var failed []error
	for _, d := range dirs {
		m, err := openServed(d)
		if err != nil {
			failed = append(failed, err)
			continue
		}

		s.models = append(s.models, m)
		name := func(o *served) bool { return o.info.Name == m.info.Name }
		if i := slices.IndexFunc(s.models, name); s.models[i] != m {
			return fmt.Errorf("two models are called %q; NAME=%s names this one anew", m.info.Name,
				filepath.Clean(d.Dir))
		}
	}

	if len(failed) > 0 && (len(s.models) == 0 || s.cfg.AllModels) {
		return failed[0]
	}
	for _, err := range failed {
		s.log.Error("a model cannot be opened; this shard works without it", "reason", err)
		s.unopened = append(s.unopened, err.Error())
	}
	return nil
}

func openServed(d ModelDir) (*served, error) {
	m := new(served)
	var err error
	if m.folder, err = OpenModel(d.Dir); err != nil {
		return nil, err
	}

	if m.info, err = engine.Describe(m.folder); err == nil {
		m.identity, err = m.folder.Identity()
	}
	if err == nil && d.Name != "" {
		m.info.Name = d.Name
		err = m.info.Check()
	}
	if err != nil {
		return nil, closing(m.folder, err)
	}
	return m, nil
}

// closing closes a folder that cannot be used, and returns why.
func closing(f *model.Folder, err error) error {
	f.Close() //nolint:errcheck // read only
	return err
}

// survey reads all weights of a model once, for the fingerprint and for numbers that are not
// finite.
func (s *Shard) survey(m *served) error {
	sum, err := m.folder.Survey(s.cfg.Cache)
	if err != nil {
		return err
	}
	m.info.Fingerprint = job.FingerprintKind + sum.Fingerprint
	if sum.Damage != nil {
		m.damage, m.info.Damage = sum.Damage, sum.Damage.Error()
		s.log.Error("every job of this model will fail", "model", m.info.Name, "reason", m.damage)
	}
	return nil
}

// surveyAll surveys the models, the first one first: its files are being loaded meanwhile.
func (s *Shard) surveyAll() error {
	for _, m := range s.models {
		if err := s.survey(m); err != nil {
			return err
		}
	}
	return nil
}

// find returns the model of a name, nil if the shard has none.
func (s *Shard) find(name string) *served {
	i := slices.IndexFunc(s.models, func(m *served) bool { return m.info.Name == name })
	if i < 0 {
		return nil
	}
	return s.models[i]
}

// usable returns the models that the node registers: all that could be loaded so far. The last one
// stays, since a node has to have one; its jobs say why they fail.
func (s *Shard) usable() (out job.Models) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.models {
		if m.broken == nil {
			out = append(out, m.info)
		}
	}
	if out == nil {
		out = job.Models{s.models[0].info}
	}
	return out
}

// brokenModels says of the models that the node cannot use why, in lines as a registration has
// them.
func (s *Shard) brokenModels() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.unopened)
	for _, m := range s.models {
		if m.broken != nil {
			out = append(out, m.broken.Error())
		}
	}

	for i, why := range out {
		out[i] = wire.Line(why)
	}
	return out
}

// loaded names the models that are ready: that of the engine, and those of which the pool still has
// the weights. loading is the one that is being loaded.
func (s *Shard) loaded() (names []string, loading string, took time.Duration) {
	s.shelf.mu.Lock()
	defer s.shelf.mu.Unlock()
	if m := s.shelf.current; m != nil {
		names = append(names, m.info.Name)
	}

	for _, m := range s.models {
		if m != s.shelf.current && s.cfg.Weights.Has(m.identity, "transformer") {
			names = append(names, m.info.Name)
		}
	}

	if m := s.shelf.loading; m != nil {
		loading = m.info.Name
	}
	return names, loading, s.shelf.took
}

// use makes a model the engine's, with products of type t. It gives back the weights of another one
// before it acquires those of m; the pool keeps them as far as both fit. Loading ends soon when ctx
// does. A model that cannot be loaded is taken from the node.
func (s *Shard) use(ctx context.Context, m *served, t compute.DType) error {
	if m == s.shelf.current {
		return s.shelf.engine.Use(ctx, t)
	}

	start := time.Now()
	s.shelf.set(nil, m, 0)
	if old := s.shelf.engine; old != nil {
		old.Close()
		s.shelf.engine = nil
		if s.cfg.ReleaseMemory != nil {
			s.cfg.ReleaseMemory()
		}
	}

	err := s.loadEngine(ctx, m, t)
	if err != nil {
		s.shelf.set(nil, nil, 0)
		if ctx.Err() == nil {
			s.give(m, err)
		}
		return err
	}

	s.shelf.set(m, nil, time.Since(start))
	s.log.Info("model loaded", "model", m.info.Name, "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// set says what is loaded, and how long that took; 0: as before.
func (f *shelf) set(current, loading *served, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current, f.loading, f.took = current, loading, cmp.Or(took, f.took)
}

// give takes a model that cannot be loaded from the node, which registers again without it.
func (s *Shard) give(m *served, why error) {
	s.mu.Lock()
	m.broken = why
	s.mu.Unlock()
	s.log.Error("a model cannot be loaded; this shard takes no more jobs of it", "model", m.info.Name,
		"reason", why)
	s.registerAgain.Store(true)
	s.beatNow()
}
