package rollout

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/sparse"
)

// Feature is something that requests use and that can be rolled out.
type Feature struct {
	Name string
	// Field is the field of a request that asks for it, for errors.
	Field string
	// Help says what it is, for people.
	Help string
	// Used reads off a spec whether it uses the feature.
	Used func(job.Spec) bool
}

// ModelPrefix begins the names of models among those of features.
const ModelPrefix = "model:"

// Features are all, by name. Names are kept in rules and in the audit log, so they stay as they
// are. What a spec uses is read after defaults were filled in: a cluster of GPUs whose default is
// bf16 uses dtype:bf16 in requests that say nothing of it.
var Features = []Feature{
	{"control", "reference_images", "masks and reference pictures (VACE models)",
		func(s job.Spec) bool { return has(s, job.RoleMask) || has(s, job.RoleReference) }},
	{"dtype:bf16", "dtype", "matrix products in bfloat16",
		func(s job.Spec) bool { return s.DType == "bf16" }},
	{"dtype:fp8", "dtype", "matrix products in FP8",
		func(s job.Spec) bool { return s.DType == "fp8" }},
	{"edit", job.VideoField, "clips that are made from a video",
		func(s job.Spec) bool { return has(s, job.RoleVideo) }},
	{"extend", "video", "clips that continue a clip, from its latents", func(s job.Spec) bool {
		in, ok := s.Input(job.RoleStart)
		return ok && in.Kind == job.KindLatents
	}},
	{"format:mp4", "format", "clips as MP4", func(s job.Spec) bool { return s.Format == "mp4" }},
	{"format:png", "format", "clips as a zip of pictures",
		func(s job.Spec) bool { return s.Format == "png" }},
	{"image", job.StartField, "clips that begin or end with a picture", func(s job.Spec) bool {
		in, ok := s.Input(job.RoleStart)
		return ok && in.Kind == job.KindImage || has(s, job.RoleLast)
	}},
	{"latent", job.LatentField, "clips that begin with a given latent",
		func(s job.Spec) bool { return has(s, job.RoleLatent) }},
	{"long:causal", "long", "long clips in blocks", isLong(job.LongCausal)},
	{"long:extend", "long", "long clips, window after window", isLong(job.LongExtend)},
	{"long:windows", "long", "long clips, all windows together", isLong(job.LongWindows)},
	{"lora", "lora", "LoRAs", func(s job.Spec) bool { return len(s.LoRAs) > 0 }},
	{"preset", "preset", "presets for few steps", func(s job.Spec) bool { return s.Preset != "" }},
	{"priority", "priority", "a priority above 0", func(s job.Spec) bool { return s.Priority > 0 }},
	{"sparse-attention", "sparse_attention", "sparse attention", func(s job.Spec) bool {
		p, ok := sparse.Parse(s.SparseAttention)
		return ok && !p.Off()
	}},
	{"step-cache", "step_cache", "steps that are skipped",
		func(s job.Spec) bool { return s.StepCache > 0 }},
	{"storyboard", "storyboard", "several scenes", func(s job.Spec) bool { return len(s.Scenes) > 1 }},
}

// has reports whether a clip is made from an input of a role.
func has(s job.Spec, r job.Role) bool {
	_, ok := s.Input(r)
	return ok
}

// isLong returns what tells whether a clip is made in a way for long ones.
func isLong(way job.Long) func(job.Spec) bool {
	return func(s job.Spec) bool { return s.Long == way }
}

// Uses returns the names of all that a spec uses, its model first, with the fields that ask for
// them.
func Uses(s job.Spec) (names, fields []string) {
	names, fields = []string{ModelPrefix + s.Model}, []string{"model"}
	for _, f := range Features {
		if f.Used(s) {
			names, fields = append(names, f.Name), append(fields, f.Field)
		}
	}
	return names, fields
}

// Resolve returns the name that somebody means: a feature's, or that of a model, with or without
// its prefix. models are those that are there; with the prefix one may come later. The error is a
// *job.FieldError.
func Resolve(name string, models []string) (string, error) {
	model, prefixed := strings.CutPrefix(name, ModelPrefix)
	switch {
	case prefixed && model != "" && len(name) <= textMax && utf8.ValidString(name):
		return name, nil
	case slices.ContainsFunc(Features, func(f Feature) bool { return f.Name == name }):
		return name, nil
	case slices.Contains(models, name):
		return ModelPrefix + name, nil
	}
	return "", &job.FieldError{Field: "name", Value: fmt.Sprintf("%.64q", name),
		Allowed: "a model, as model:NAME, or one of " + strings.Join(Names(), ", ")}
}

// Names lists the features.
func Names() []string {
	var out []string
	for _, f := range Features {
		out = append(out, f.Name)
	}
	return out
}
