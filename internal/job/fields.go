package job

import (
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/sparse"
)

// windowed reports whether a clip was made in windows, whose sizes then mean something to another.
func windowed(m Model, s Spec) bool {
	return (s.Overlap > 0 || s.Causal != nil) && s.Window < m.Latents(s.Frames)
}

// DTypes are the types of products that a request may ask for: those of package compute, which this
// pure package does not import. A test of the engine holds the two lists together.
var DTypes = []string{"fp32", "bf16", "fp8"}

// HasDType reports whether a device with types has the one of a job. Every device has fp32 and
// bf16, and nodes of older versions, which list none, have no more.
func HasDType(types []string, t string) bool {
	return t != "fp8" || slices.Contains(types, t)
}

// Fields is everything that a request may say, in the order in which docs/api.md has it. Values
// that depend on the model or on each other (a size that patches tile, windows that make the clip)
// are checked by Resolve besides what a row says.
var Fields = slices.Concat(clipFields, stepFields, editFields)

// clipFields are those of every clip.
var clipFields = []Field{
	{
		Name: "prompt", Flag: "prompt", Short: "p", Help: "what to show; may be empty",
		Doc:      "a text of up to 32768 bytes, which may be empty",
		Inherits: ByBoth, Unless: []string{"storyboard"},
		value: slot[string]{kind: texts[string](TypePrompt),
			in:  plain(func(r *Request) *string { return &r.Prompt }),
			out: func(s *Spec) *string { return &s.Prompt }},
	},
	// Without guidance the negative prompt is never read; it is kept all the same, as a remix may
	// turn guidance on.
	{
		Name: "negative_prompt", Mistaken: []string{"neg_prompt"}, Flag: "negative-prompt",
		Help: "what to avoid", Doc: "what to avoid", Inherits: ByBoth,
		value: slot[string]{kind: texts[string](TypePrompt),
			in:  plain(func(r *Request) *string { return &r.NegativePrompt }),
			out: func(s *Spec) *string { return &s.NegativePrompt }},
	},
	{
		Name: "storyboard", Flag: "storyboard", Help: "YAML file of seconds and what to show from " +
			`then on, such as "0: a red ball" and "2.5: a blue ball"`,
		Doc: "scenes instead of the prompt, or after it: " +
			"`[{\"start\": 0, \"prompt\": \"a\"}, {\"start\": 2.5, \"prompt\": \"b\"}]`",
		Inherits: ByBoth, Unless: []string{"prompt"},
		value: storyboardSlot{},
	},
	{
		Name: "model", Doc: "a served model's name, or one of `http.model-aliases`; left out, " +
			"`http.default-model` or the cluster's first",
		Inherits: ByBoth,
		value: slot[string]{kind: names[string](),
			in:  plain(func(r *Request) *string { return &r.Model }),
			out: func(s *Spec) *string { return &s.Model },
			def: func(m Model, _ *Request) string { return m.Name }},
	},
	// A size is said in one field or in two. Settle takes size apart; a spec has width and height
	// alone, so those are what a remix inherits.
	{
		Name: "size", Mistaken: []string{"resolution", "aspect_ratio"}, Flag: "size", Plans: true,
		Help: "WIDTHxHEIGHT in pixels, or 480p or 720p",
		Doc: "`832x480` (also `832X480` or `832*480`), in pixels; `480p` is 832x480, and `720p` " +
			"1280x720 (1280x704 with TI2V-5B)",
		value: slot[string]{kind: names[string](),
			in: plain(func(r *Request) *string { return &r.Size })},
	},
	{
		Name: "width", Flag: "size", Part: true,
		Doc:      "the same in two fields; together with `size` if they agree",
		Inherits: ByRemix, Unless: []string{"size", "height"},
		value: slot[int]{kind: integer,
			in:  optional(func(r *Request) **int { return &r.Width }),
			out: func(s *Spec) *int { return &s.Width },
			def: func(m Model, _ *Request) int { return m.Defaults.Width }},
	},
	{
		Name: "height", Flag: "size", Part: true,
		Inherits: ByRemix, Unless: []string{"size", "width"},
		value: slot[int]{kind: integer,
			in:  optional(func(r *Request) **int { return &r.Height }),
			out: func(s *Spec) *int { return &s.Height },
			def: func(m Model, _ *Request) int { return m.Defaults.Height }},
	},
	// Likewise a length: Settle turns seconds into frames, at the request's rate or the model's.
	{
		Name: "seconds", Mistaken: []string{"duration"}, Flag: "seconds", Plans: true,
		Help: "length of the clip, instead of --frames",
		Doc: "a duration: the clip has its first frame and those of that time, to the nearest " +
			"count that the model makes",
		value: secondsSlot{slot[float64]{
			kind: kind[float64]{written: form{TypeSeconds, "a number"}, show: shownFloat,
				parse: parseFloat},
			in: optional(func(r *Request) **float64 { return &r.Seconds })}},
	},
	{
		Name: "num_frames", Mistaken: []string{"frames"}, Flag: "frames", Plans: true,
		Help: "number of frames, to the nearest 4k+1 (what Wan makes); 1 is an image",
		Doc: "frames, to the nearest count that the model makes; together with `seconds` if they " +
			"agree",
		Inherits: ByRemix, Unless: []string{"seconds"},
		value: slot[int]{kind: integer,
			in:  optional(func(r *Request) **int { return &r.Frames }),
			out: func(s *Spec) *int { return &s.Frames },
			def: func(m Model, _ *Request) int { return m.Defaults.Frames }},
	},
	// A rate is taken for the fraction that it stands for before it is kept: 23.976 is 24000/1001.
	{
		Name: "fps", Mistaken: []string{"frame_rate"}, Flag: "fps",
		Help:     "frames per second, such as 16, 23.976 or 24000/1001",
		Doc:      "frames per second, 1 to 120: `16`, `23.976` or `\"24000/1001\"`",
		Inherits: ByBoth,
		value: slot[Rate]{kind: rate,
			in: place[Rate]{put: func(r *Request, v Rate) { r.FPS = &v },
				has: func(r *Request) (Rate, bool) {
					if r.FPS == nil {
						return 0, false
					}
					return r.FPS.near(), true
				}},
			out: func(s *Spec) *Rate { return &s.FPS },
			def: func(m Model, _ *Request) Rate { return m.Defaults.FPS.near() },
			limit: limit[Rate]{
				fmt.Sprintf("1 to %d, such as 16, 23.976 or 24000/1001", FPSLimit),
				func(v Rate) bool { return v >= 1 && v <= FPSLimit }}},
	},
	{
		Name: "num_inference_steps", Mistaken: []string{"steps"}, Flag: "steps",
		Plans: true, Help: "denoising steps", Doc: "denoising steps, 1 to 1000", Inherits: ByBoth,
		Unless: []string{"preset", "sigmas"},
		value: slot[int]{kind: integer,
			in:    optional(func(r *Request) **int { return &r.Steps }),
			out:   func(s *Spec) *int { return &s.Steps },
			def:   Model.steps,
			limit: between(1, StepsLimit)},
	},
	// What the sampler does. Guidance above 1 runs the model twice a step, once without the prompt.
	{
		Name: "guidance_scale", Mistaken: []string{"cfg_scale", "cfg"}, Flag: "guidance-scale",
		Plans:    true,
		Help:     "how closely to follow the prompt; 1 or less: no guidance, for half the work",
		Doc:      "how closely to follow the prompt, 0 to 100; 1 or less: no guidance, for half the work",
		Inherits: ByBoth, Unless: []string{"preset"},
		value: slot[float64]{kind: float,
			in:    optional(func(r *Request) **float64 { return &r.GuidanceScale }),
			out:   func(s *Spec) *float64 { return &s.GuidanceScale },
			def:   Model.guidanceScale,
			limit: guidanceLimit},
	},
	{
		Name: "guidance_scale_2", Flag: "guidance-scale-2",
		Help: "the same for the second transformer's steps, in models with two (default: " +
			"--guidance-scale)",
		Doc: "the same for the steps of the second transformer, in models with two; left out, " +
			"`guidance_scale`, which also decides whether there is guidance",
		Inherits: ByBoth, Unless: []string{"preset"},
		When: func(m Model, _ Spec) bool { return m.Experts.Split() },
		Refuses: func(m Model, s Spec) string {
			if s.GuidanceScale2 != 0 && !m.Experts.Split() {
				return "none; this model has one transformer for all steps"
			}
			return ""
		},
		value: slot[float64]{kind: float,
			in:    optional(func(r *Request) **float64 { return &r.GuidanceScale2 }),
			out:   func(s *Spec) *float64 { return &s.GuidanceScale2 },
			def:   Model.guidanceScale2,
			limit: guidanceLimit},
	},
	{
		Name: "flow_shift", Mistaken: []string{"shift"}, Flag: "flow-shift",
		Help:     "a higher value spends more steps at high noise, which suits larger pictures",
		Doc:      "a higher value spends more steps at high noise; above 0, up to 100",
		Inherits: ByBoth,
		value: slot[float64]{kind: float,
			in:  optional(func(r *Request) **float64 { return &r.FlowShift }),
			out: func(s *Spec) *float64 { return &s.FlowShift },
			def: Model.flowShift,
			limit: limit[float64]{"above 0, up to 100",
				func(v float64) bool { return v > 0 && v <= scaleLimit }}},
	},
	{
		Name: "scheduler", Mistaken: []string{"sampler"}, Flag: "scheduler",
		Help:     "unipc or euler; dmd with a preset",
		Doc:      "`unipc`, `euler`; `dmd` for models that were [distilled](few-steps.md) for it",
		Inherits: ByBoth, Unless: []string{"preset"},
		value: slot[string]{kind: names[string](),
			in:    plain(func(r *Request) *string { return &r.Scheduler }),
			out:   func(s *Spec) *string { return &s.Scheduler },
			def:   Model.scheduler,
			limit: oneOf("unipc", "euler", "dmd")},
	},
	// A seed that is left out is drawn by the coordinator, which alone decides: Resolve is pure.
	{
		Name: "seed", Flag: "seed",
		Help: "seed of the noise, up to 2^64-1 (default, or -1: a random one, which is printed)",
		Doc:  "of the noise; [see below](#seeds)", Inherits: ByBoth,
		value: seedSlot{slot[uint64]{kind: seed,
			in:  optional(func(r *Request) **uint64 { return &r.Seed }),
			out: func(s *Spec) *uint64 { return &s.Seed }}},
	},
	{
		Name: "dtype", Flag: "dtype",
		Help: "type of matrix products: fp32, or bf16: half the memory, and faster on GPUs and the " +
			"newest AMD CPUs; fp8 rounds more, for Hopper's GPUs (default, or auto: bf16 on GPUs, fp32 " +
			"on CPUs)",
		Doc: "`fp32`, `bf16`, [`fp8`](models.md#fp8); left out, or `auto`: bf16 on GPUs, fp32 on " +
			"CPUs. The job says which it took",
		Unset: "auto", Inherits: ByBoth, Plans: true,
		value: slot[string]{kind: names[string](),
			in:    plain(func(r *Request) *string { return &r.DType }),
			out:   func(s *Spec) *string { return &s.DType },
			def:   Model.dtype,
			limit: oneOf(DTypes...)},
	},
	// The file. On the command line the path's extension says the format.
	{
		Name: "format", Aliases: []string{"output_format"}, Flag: "output", Part: true,
		Doc:   "`webm`, `mp4`, `png` (a zip of frames); `auto` counts as left out",
		Unset: "auto", Inherits: ByBoth,
		value: slot[string]{kind: names[string](),
			in:    plain(func(r *Request) *string { return &r.Format }),
			out:   func(s *Spec) *string { return &s.Format },
			def:   func(Model, *Request) string { return "webm" },
			limit: oneOf("webm", "mp4", "png")},
	},
	{
		Name: "video_quality", Aliases: []string{"output_compression"}, Flag: "video-quality",
		Help: "how much is kept of each frame, 1 to 100: less makes a smaller file (default: 99 for" +
			" webm, about 67 for mp4)",
		Doc: "how much is kept of each frame, 1 to 100: less makes a smaller file; left out, 99 for " +
			"`webm` and about 67 for `mp4`. The latents stay the same",
		Inherits: ByBoth, Unless: []string{"format"},
		Refuses: func(_ Model, s Spec) string {
			if s.VideoQuality != 0 && s.Format == "png" {
				return "none: png keeps all of a frame"
			}
			return ""
		},
		value: slot[int]{kind: quality,
			in:    plain(func(r *Request) *int { return &r.VideoQuality }),
			out:   func(s *Spec) *int { return &s.VideoQuality },
			limit: limit[int]{"1 to 100", func(v int) bool { return 0 <= v && v <= 100 }}},
	},
	// Inputs are files, which have no text: each way to take a request receives them in a way of its
	// own, and adds to Inputs.
	{
		Name: StartField, Role: RoleStart, Aliases: []string{"image_reference", "reference_url"},
		Mistaken: []string{"image", "image_url"}, Flag: "image or --extend",
		Doc: "what the clip starts from; [see below](#what-a-clip-starts-from)",
	},
	{
		Name: LastField, Role: RoleLast, Aliases: []string{"end_image"}, Flag: "last-image",
		Doc: "the picture that the clip ends with; [see below](#what-a-clip-starts-from)",
	},
	// The steps begin with it in place of noise, as those of diffusers with `latents`.
	{
		Name: LatentField, Role: RoleLatent, Aliases: []string{"latents"},
		Mistaken: []string{"latent", "fixed_latent", "noise"}, Flag: "latent",
		Doc: "the latent that the steps begin with, in place of the seed's noise; " +
			"[see below](#the-initial-latent)",
	},
	// LoRAs are registered on shards, or come with the request.
	{
		Name: LoRAField, Aliases: []string{"loras"},
		Mistaken: []string{"lora_path", "lora_scale"}, Flag: "lora",
		Help: "LoRA as FILE, FILE:SCALE or FILE:SCALE:TARGET (first or second transformer, or both), " +
			"or with a coordinator a name in place of the file; may be repeated",
		Doc: "[LoRAs](lora.md) by name, with scales of -100 to 100: `\"paint:0.8\"`, or " +
			"`[{\"name\": \"paint\", \"scale\": 0.8, \"target\": \"both\"}]`",
		Inherits: ByBoth,
		value:    loraSlot{},
	},
	{
		Name: LoRAFileField, Role: RoleLoRA, Many: LoRAsLimit, Flag: "lora", Part: true,
		Doc: "[files of LoRAs](lora.md#in-a-cluster), for the entries of `lora` without a name, in order",
	},
	// Where the clip is made. None of it changes the latents.
	{
		Name: "shards", Flag: "shards", Help: "how many shards share the work",
		Doc:      "how many shards, how they are arranged (`cfg=2,ulysses=3`), threads of each",
		Inherits: ByRemix,
		value: slot[int]{kind: integer,
			in:    plain(func(r *Request) *int { return &r.Shards }),
			out:   func(s *Spec) *int { return &s.Shards },
			limit: between(0, ShardsLimit)},
	},
	{
		Name: "mesh", Flag: "mesh", Help: "how shards are arranged, such as cfg=2,ulysses=3" +
			" (default: fewest bytes moved, unless another is much faster)",
		Inherits: ByRemix,
		value: slot[Mesh]{kind: mesh,
			in:  plain(func(r *Request) *Mesh { return &r.Mesh }),
			out: func(s *Spec) *Mesh { return &s.Mesh }},
	},
	{
		Name: "threads", Flag: "threads", Help: "threads of each shard", Inherits: ByRemix,
		value: slot[int]{kind: integer,
			in:    plain(func(r *Request) *int { return &r.Threads }),
			out:   func(s *Spec) *int { return &s.Threads },
			limit: between(0, ThreadsLimit)},
	},
	{
		Name: "priority", Flag: "priority",
		Help: "-100 to 100; a higher one goes first and takes the shards of lower ones",
		Doc:  "-100 to 100; higher ones go first", Inherits: ByRemix,
		value: slot[int]{kind: integer,
			in:    plain(func(r *Request) *int { return &r.Priority }),
			out:   func(s *Spec) *int { return &s.Priority },
			limit: between(-PriorityLimit, PriorityLimit)},
	},
	{
		Name: "force", Flag: "force", Help: "make the clip even if it is far larger than the model is " +
			"made for, or is predicted to take longer than limits.request-time",
		Doc: "`true` accepts a clip that is far larger than the model is made for, or is predicted " +
			"to take longer than `limits.request-time`; [see below](#clips-that-are-too-large)",
		value: slot[bool]{kind: truth, in: plain(func(r *Request) *bool { return &r.Force })},
	},
	// How a long clip is made. Windows that a clip did not need are not inherited: they say nothing
	// about one of another length.
	{
		Name: "window", Flag: "window", Plans: true, Help: "latent frames denoised at once in a " +
			"long clip; 0: all of it (default: the model's)",
		Doc:      "how [long clips](long-video.md) are made",
		Inherits: ByBoth, Unless: []string{"overlap"}, When: windowed,
		value: slot[int]{kind: integer,
			in:  optional(func(r *Request) **int { return &r.Window }),
			out: func(s *Spec) *int { return &s.Window },
			def: Model.window},
	},
	{
		Name: "overlap", Flag: "overlap", Plans: true,
		Help:     "latent frames that two windows share (default: the model's)",
		Inherits: ByBoth, Unless: []string{"window"}, When: windowed,
		value: slot[int]{kind: integer,
			in:  optional(func(r *Request) **int { return &r.Overlap }),
			out: func(s *Spec) *int { return &s.Overlap },
			def: Model.overlap},
	},
	{
		Name: "window_schedule", Flag: "window-schedule", Plans: true,
		Help:     "static, or uniform: windows move from step to step",
		Inherits: ByRemix, Unless: []string{"seconds", "num_frames"},
		value: slot[Schedule]{kind: names[Schedule](),
			in:    plain(func(r *Request) *Schedule { return &r.Schedule }),
			out:   func(s *Spec) *Schedule { return &s.Schedule },
			def:   func(Model, *Request) Schedule { return ScheduleStatic },
			limit: oneOf(ScheduleStatic, ScheduleUniform)},
	},
	{
		Name: "long", Flag: "long", Plans: true,
		Help: "windows: all at once, blended; extend: each goes on from the one before; causal: " +
			"block by block, with a model that was trained so (default: what the model was made for)",
		Inherits: ByRemix, Unless: []string{"seconds", "num_frames"},
		Refuses: Model.refusesLong,
		value: slot[Long]{kind: names[Long](),
			in:    plain(func(r *Request) *Long { return &r.Long }),
			out:   func(s *Spec) *Long { return &s.Long },
			def:   Model.long,
			limit: oneOf(LongWindows, LongExtend, LongCausal)},
	},
	{
		Name: "sparse_attention", Mistaken: []string{"sparse", "attention"}, Flag: "sparse-attention",
		Help: "leave far tokens out of attention, which is faster for long clips: off, " +
			"window:FRAMES or radial",
		Doc: "`off`, `window:FRAMES` or `radial`: leaves far tokens out of attention, which is faster " +
			"for [long clips](long-video.md#sparse-attention), and changes the clip",
		Inherits: ByBoth,
		Refuses: func(_ Model, s Spec) string {
			if p, _ := sparse.Parse(s.SparseAttention); s.Long == LongCausal && !p.Off() {
				return "off; a causal model attends to a window of its own"
			}
			return ""
		},
		value: slot[string]{kind: names[string](),
			in:  plain(func(r *Request) *string { return &r.SparseAttention }),
			out: func(s *Spec) *string { return &s.SparseAttention },
			limit: limit[string]{sparse.Allowed, func(v string) bool {
				_, ok := sparse.Parse(v)
				return ok
			}}},
	},
}
