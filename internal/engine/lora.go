package engine

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/lora"
)

// LoRA is one that the transformer is to have, as a clip's spec names it.
type LoRA struct {
	job.LoRA
	// Open returns the path of the file, which the node has or fetches, and what gives it back. It is
	// called only where the weights with this LoRA are not there yet.
	Open func(context.Context) (path string, release func(), err error)
}

// title names the LoRA in an error. One without a name came as a file with the request.
func (l LoRA) title() string {
	if l.Name == "" {
		return fmt.Sprintf("the LoRA file of the request with SHA-256 %.12s", l.SHA256)
	}
	return fmt.Sprintf("LoRA %q", l.Name)
}

// LoRAError says that a LoRA cannot be used with the model: another attempt would find the same.
type LoRAError struct {
	Name string // as in an error: LoRA "paint"
	Err  error
}

// Error implements error.
func (e *LoRAError) Error() string { return fmt.Sprintf("%s: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *LoRAError) Unwrap() error { return e.Err }

// targets names, for each transformer, what LoRAs call it.
var targets = map[string]job.LoRATarget{
	model.FirstExpert: job.LoRAFirst, model.SecondExpert: job.LoRASecond}

// lorasOf lists those LoRAs that change a component.
func (e *Engine) lorasOf(component string) (out []LoRA) {
	for _, l := range e.loras {
		t := targets[component]
		if t != "" && l.Scale != 0 && (l.Target == job.LoRABoth || l.Target == t) {
			out = append(out, l)
		}
	}
	return out
}

// bytesOf returns what the weights of a component take once they are packed, with the clip's LoRAs.
func (e *Engine) bytesOf(component string, t compute.DType) int64 {
	if len(e.lorasOf(component)) > 0 {
		return e.folder.ChangedBytes(component, t)
	}
	return e.folder.Bytes(component, t)
}

// loraKey names, in the pool, what LoRAs make of weights; "": nothing.
func loraKey(loras []LoRA) string {
	var sums []string
	var scales []float64
	for _, l := range loras {
		sums, scales = append(sums, l.SHA256), append(scales, l.Scale)
	}
	return lora.Key(sums, scales)
}

// withLoRAs has pack pack the weights of a component with LoRAs, whose files are open meanwhile.
func withLoRAs[T any](ctx context.Context, w *model.Weights, shapes model.Shapes, loras []LoRA,
	pack func(*model.Weights) (T, error)) (packed T, err error) {
	var set lora.Set
	for _, l := range loras {
		path, release, err := l.Open(ctx)
		if err != nil {
			return packed, fmt.Errorf("cannot read %s: %w", l.title(), err)
		}
		defer release()

		// The file has the SHA-256 that the job names, so another attempt would find the same error.
		f, err := lora.Open(path, shapes)
		if err != nil {
			return packed, &LoRAError{l.title(), err}
		}
		defer f.Close()
		set = append(set, lora.Scaled{File: f, Scale: l.Scale})
	}

	if len(set) > 0 {
		w.Overlay(set)
	}
	return pack(w)
}

// CheckLoRA reads the file of a LoRA and reports whether the model can have it, and what of it is
// left out.
func CheckLoRA(f *model.Folder, path string) (notices []string, err error) {
	l, err := lora.Open(path, f.Transformer.Shapes())
	if err != nil {
		return nil, fmt.Errorf("LoRA %s: %w", path, err)
	}
	return l.Notices(), l.Close()
}
