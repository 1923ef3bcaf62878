package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/userfile"
)

// LoRAFiles reads the LoRAs that are registered under names, each with the path of its file, and
// describes them in the order of their names. One that does not fit the model is an error. Notices
// say what of them is left out.
func LoRAFiles(ctx context.Context, folder *model.Folder, paths map[string]string) (
	files []job.LoRAFile, notices []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		left, err := engine.CheckLoRA(folder, paths[name])
		if err != nil {
			return nil, nil, err
		}

		for _, n := range left {
			notices = append(notices, fmt.Sprintf("LoRA %s: %s", name, n))
		}

		o, err := describeFile(ctx, paths[name])
		if err != nil {
			return nil, nil, fmt.Errorf("LoRA %s: %w", name, err)
		}
		files = append(files, job.LoRAFile{Name: name, SHA256: o.SHA256, Bytes: o.Size})
	}
	return files, notices, nil
}

// openLoRAs has the shard offer its LoRAs with each model that they fit. One that fits none is an
// error.
func (s *Shard) openLoRAs() error {
	s.loraPaths = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.LoRAs)) {
		path := s.cfg.LoRAs[name]
		var refused error
		fits := false
		for _, m := range s.models {
			files, notices, err := LoRAFiles(s.ctx, m.folder, map[string]string{name: path})
			if err != nil {
				refused = err
				continue
			}

			for _, n := range notices {
				s.log.Warn("a LoRA is used with a notice", "model", m.info.Name, "notice", n)
			}
			m.info, fits = m.info.WithLoRAs(files)
			s.loraPaths[files[0].SHA256] = path
		}

		if !fits {
			return fmt.Errorf("loras has %s: %w", name, refused)
		}
	}
	return nil
}

// describeFile sums a file.
func describeFile(ctx context.Context, path string) (job.Object, error) {
	f, err := userfile.Open(path)
	if err != nil {
		return job.Object{}, err
	}
	defer f.Close()
	return artifact.Describe(ctx, f)
}

// loras are those of a job, as the engine wants them: their files are looked for when they are
// needed, since the weights with them may be there already.
func (s *Shard) loras(spec job.Spec, objects artifact.Store) (out []engine.LoRA) {
	for _, l := range spec.LoRAs {
		out = append(out, engine.LoRA{LoRA: l,
			Open: func(ctx context.Context) (string, func(), error) {
				if o, ok := spec.LoRAInput(l.SHA256); ok {
					return s.fetchLoRA(ctx, objects, o)
				}
				path, err := s.registeredLoRA(ctx, l.SHA256)
				return path, func() {}, err
			}})
	}
	return out
}

// registeredLoRA returns the path of the registered file with a sum, which is computed again: the
// ranks of a job must have the same bytes.
func (s *Shard) registeredLoRA(ctx context.Context, sum string) (string, error) {
	path := s.loraPaths[sum]
	if path == "" {
		return "", fmt.Errorf("shard %s has no registered LoRA with SHA-256 %.12s", s.cfg.Name, sum)
	}
	o, err := describeFile(ctx, path)
	if err == nil && o.SHA256 != sum {
		err = fmt.Errorf("%s has changed since the shard was started; start it again", path)
	}
	return path, err
}

// fetchLoRA copies an uploaded file from the object store, which checks its sum, to a temporary one
// that release removes.
func (s *Shard) fetchLoRA(ctx context.Context, objects artifact.Store, o job.Object) (path string,
	release func(), err error) {
	f, err := os.CreateTemp(s.cfg.TempDir, "longtake-lora-*")
	if err != nil {
		return "", nil, err
	}
	release = func() { os.Remove(f.Name()) }

	err = engine.RetryStore(ctx, func() error {
		src, err := objects.Get(ctx, o)
		if err != nil {
			return err
		}
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			_, err = io.Copy(f, src)
		}
		return errors.Join(err, src.Close())
	})

	if err = errors.Join(err, f.Close()); err != nil {
		release()
		return "", nil, err
	}
	return f.Name(), release, nil
}

// ReadLoRAs reads the setting loras, a list of NAME=PATH. An error is one of its value.
func ReadLoRAs(list []string) (map[string]string, error) {
	files := map[string]string{}
	for _, entry := range list {
		name, path, ok := strings.Cut(entry, "=")
		name, path = strings.TrimSpace(name), strings.TrimSpace(path)
		if err := job.CheckLoRAName(name); !ok || path == "" || err != nil || files[name] != "" {
			return nil, config.Errorf("loras has %.64q; allowed: NAME=PATH, each name once", entry)
		}
		files[name] = path
	}
	return files, nil
}
