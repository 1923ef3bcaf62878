package job

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a request.
const (
	PromptLimit  = 32768 // bytes
	SizeLimit    = 4096  // pixels of width or height
	FramesLimit  = 1 << 20
	StepsLimit   = 1000
	FPSLimit     = 120
	ShardsLimit  = NodesLimit
	ThreadsLimit = 1024
	KeyLimit     = 256 // bytes
	// ClipTokensLimit bounds what a latent takes on disk: 10 minutes of 1080p have 20 million.
	ClipTokensLimit = 1 << 25

	PriorityLimit = 100  // of its absolute value
	NotesLimit    = 16   // notices on what was left out of a request
	NoteLimit     = 1024 // bytes of one

	scaleLimit = 100.0 // of guidance_scale and flow_shift
)

// FieldError says which field of a request is wrong; its text is one line for the client.
type FieldError struct {
	Field   string // as in JSON, such as "num_frames"
	Value   string
	Allowed string // what would do, such as "1 to 81"
}

// Error implements error.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s is %s; allowed: %s", e.Field, e.Value, e.Allowed)
}

// BadInput reports that what was asked for is wrong, not what was tried.
func (e *FieldError) BadInput() bool { return true }

// Resolve fills r's gaps with m's defaults (a nil Seed becomes 0), takes the nearest count of
// frames that the model makes, and checks every field. The first one that is wrong comes back as a
// *FieldError. meshes judges a mesh that r asks for (the planner's Check); nil skips it.
func (m Model) Resolve(r Request, meshes func(Spec, Mesh) error) (Spec, error) {
	s := m.fill(r)
	if r.Window != nil {
		m.Defaults.Window = *r.Window
	}
	if n := m.snap(s.Frames); n != s.Frames {
		if s.SecondsAsked == "" {
			s.FramesAsked = s.Frames
		}
		s.Frames = n
	}
	if err := s.stage(r.Scenes); err != nil {
		return Spec{}, err
	}
	for _, check := range m.checks() {
		if err := check(s); err != nil {
			return Spec{}, err
		}
	}
	s = m.whole(s)
	if notice := m.strangeWords(s); notice != "" && len(s.Notes) < NotesLimit {
		s.Notes = append(slices.Clip(s.Notes), notice)
	}
	if len(r.Key) > KeyLimit {
		return Spec{}, &FieldError{"key", number(len(r.Key)) + " bytes", "up to 256 bytes"}
	}
	if s.Mesh != (Mesh{}) && meshes != nil {
		if err := meshes(s, s.Mesh); err != nil {
			return Spec{}, &FieldError{"mesh", s.Mesh.String(), err.Error()}
		}
	}
	return s, nil
}

// checks are what a spec has to pass, in the order in which clients hear of them.
func (m Model) checks() []func(Spec) error {
	return []func(Spec) error{
		m.checkTexts, m.checkSize, checkNumbers, m.checkWindow, m.checkFrames, m.checkStart,
		m.checkWindows, checkNames, checkShards, Spec.checkScenes,
	}
}

func (m Model) fill(r Request) Spec {
	d := m.Defaults
	return Spec{
		Model: or(r.Model, m.Name), Prompt: r.Prompt, NegativePrompt: r.NegativePrompt,
		Width: at(r.Width, d.Width), Height: at(r.Height, d.Height),
		Frames: at(r.Frames, d.Frames), FPS: at(r.FPS, d.FPS).near(), Steps: at(r.Steps, d.Steps),
		GuidanceScale: at(r.GuidanceScale, d.GuidanceScale),
		FlowShift:     at(r.FlowShift, d.FlowShift),
		Scheduler:     or(r.Scheduler, or(d.Scheduler, "unipc")),
		Seed:          at(r.Seed, 0), DType: or(r.DType, "fp32"), Format: or(r.Format, "webm"),
		Shards: r.Shards, Mesh: r.Mesh, Threads: r.Threads,
		Priority: r.Priority,
		Window:   at(r.Window, d.Window), Overlap: at(r.Overlap, m.overlap(r)),
		Schedule: Schedule(or(string(r.Schedule), string(ScheduleStatic))),
		Long:     m.long(r), Start: r.Start, RemixOf: r.RemixOf,
		ModelAsked: r.ModelAsked, SecondsAsked: r.SecondsAsked, Notes: r.Notes,
	}
}

// long is how a request has long clips made: what goes on from a start has one way.
func (m Model) long(r Request) Long {
	if r.Long == "" && r.Start != (Start{}) && m.Extends {
		return LongExtend
	}
	return Long(or(string(r.Long), string(LongWindows)))
}

// overlap is that of the model's windows, or where a request has windows of its own the same share
// of them.
func (m Model) overlap(r Request) int {
	d := m.Defaults
	if r.Window == nil || d.Window == 0 {
		return d.Overlap
	}
	n := min(max(*r.Window, 0), d.Window) * d.Overlap / d.Window
	return n - n%m.Patch[0]
}

// whole takes out what is of no use to a clip that is denoised as a whole. After a start, one
// window has all that is given.
func (m Model) whole(s Spec) Spec {
	if t := m.Latents(s.Frames); s.Window == 0 || s.Window >= t {
		s.Window, s.Overlap, s.Schedule = 0, 0, ""
		if s.Start == (Start{}) {
			s.Long = ""
		} else {
			s.Window, s.Overlap = t, s.Start.Latents
		}
	}
	if s.Long == LongExtend {
		s.Schedule, s.Blocks = "", m.blocks(s)
	}
	return s
}

func (m Model) checkTexts(s Spec) error {
	if s.Model != m.Name {
		return &FieldError{"model", quote(s.Model), quote(m.Name)}
	}
	return checkPrompts(s)
}

func checkPrompts(s Spec) error {
	for _, p := range [][2]string{{"prompt", s.Prompt}, {"negative_prompt", s.NegativePrompt}} {
		if len(p[1]) > PromptLimit {
			return &FieldError{p[0], number(len(p[1])) + " bytes", "up to 32768 bytes"}
		}
		if !utf8.ValidString(p[1]) {
			return &FieldError{p[0], "not UTF-8", "valid UTF-8"}
		}
	}
	return checkAsked(s)
}

// checkAsked bounds what is kept of a client's words; the API has read them.
func checkAsked(s Spec) error {
	const most = 256 // bytes
	if len(s.ModelAsked) > most || !utf8.ValidString(s.ModelAsked) {
		return &FieldError{"model", quote(s.ModelAsked), "up to 256 bytes of UTF-8"}
	}
	if len(s.RemixOf) > most || !utf8.ValidString(string(s.RemixOf)) {
		return &FieldError{"remixed_from", quote(string(s.RemixOf)), "up to 256 bytes of UTF-8"}
	}
	if len(s.SecondsAsked) > most || !utf8.ValidString(s.SecondsAsked) {
		return &FieldError{"seconds", quote(s.SecondsAsked), "up to 256 bytes of UTF-8"}
	}
	if len(s.Notes) > NotesLimit {
		return &FieldError{"notes", number(len(s.Notes)), fmt.Sprintf("up to %d", NotesLimit)}
	}
	for _, n := range s.Notes {
		if len(n) > NoteLimit || !utf8.ValidString(n) {
			return &FieldError{"notes", quote(n), fmt.Sprintf("up to %d bytes of UTF-8", NoteLimit)}
		}
	}
	return nil
}

func (m Model) checkSize(s Spec) error {
	w := m.checkSide("width", s.Width, m.SpatialScale*m.Patch[2])
	if w != nil {
		return w
	}
	return m.checkSide("height", s.Height, m.SpatialScale*m.Patch[1])
}

func (m Model) checkSide(field string, v, unit int) error {
	top := SizeLimit - SizeLimit%unit
	if m.MaxPositions > 0 {
		top = min(top, m.MaxPositions*unit)
	}
	if v >= unit && v <= top && v%unit == 0 {
		return nil
	}
	allowed := fmt.Sprintf("a multiple of %d from %d to %d", unit, unit, top)
	if v > unit && v < top {
		allowed += fmt.Sprintf(", nearest %d and %d", v-v%unit, v-v%unit+unit)
	}
	return &FieldError{field, number(v), allowed}
}

// framesAtOnce is how many frames can be denoised as a whole, as far as MaxTokens allows.
func (m Model) framesAtOnce() int {
	top := FramesLimit
	if m.Defaults.MaxFrames > 0 {
		top = min(top, m.Defaults.MaxFrames)
	}
	if m.MaxPositions > 0 {
		top = min(top, (m.MaxPositions*m.Patch[0]-1)*m.TemporalScale+1)
	}
	return top
}

// framesTop is the most frames of a clip.
func (m Model) framesTop() int {
	if m.Defaults.Window > 0 {
		return FramesLimit
	}
	return m.framesAtOnce()
}

// snap returns the count nearest to n that the model makes, the larger one of two: as many latent
// frames as patches tile, each of TemporalScale frames but the first. One out of the limits stays.
func (m Model) snap(n int) int {
	unit, top := m.TemporalScale*m.Patch[0], m.framesTop()
	least := unit - m.TemporalScale + 1
	if n < 1 || n > top || least > top {
		return n
	}
	near := least + max(0, (2*(n-least)+unit)/(2*unit))*unit
	if near > top {
		near -= unit
	}
	return near
}

// checkFrames wants a count that the model can make, within the limits.
func (m Model) checkFrames(s Spec) error {
	top := m.framesTop()
	if s.Frames < 1 || s.Frames > top || (s.Frames-1)%m.TemporalScale != 0 {
		return &FieldError{"num_frames", number(s.Frames), fmt.Sprintf("1 to %d", top)}
	}
	if n := m.Tokens(s.Frames, s.Height, s.Width); n > ClipTokensLimit {
		return &FieldError{"num_frames x size", fmt.Sprintf("%d tokens", n),
			fmt.Sprintf("up to %d tokens, so fewer frames or a smaller size", ClipTokensLimit)}
	}
	return nil
}

// checkWindow wants a window that the model can denoise.
func (m Model) checkWindow(s Spec) error {
	pt, top := m.Patch[0], m.Latents(m.framesAtOnce())
	if s.Window < 0 || s.Window > top || s.Window%pt != 0 {
		return &FieldError{"window", number(s.Window),
			fmt.Sprintf("0 (the clip as a whole) to %d latent frames", top) + divisible(pt)}
	}
	if s.Overlap < 0 { // also of a clip that needs no windows
		return &FieldError{"overlap", number(s.Overlap), "0 or more latent frames"}
	}
	return nil
}

// checkWindows wants windows that make the clip, or a clip that can be denoised as a whole.
func (m Model) checkWindows(s Spec) error {
	t, pt := m.Latents(s.Frames), m.Patch[0]
	least, atOnce := 0, t
	if s.Long == LongExtend {
		least = pt
	}
	if s.Window > 0 && s.Window < t {
		atOnce = s.Window
		if s.Overlap < least || s.Overlap >= s.Window || s.Overlap%pt != 0 {
			return &FieldError{"overlap", number(s.Overlap), fmt.Sprintf("%d to %d latent frames "+
				"for windows of %d", least, s.Window-pt, s.Window) + divisible(pt)}
		}
	}
	if n := m.tokens(atOnce, s.Height, s.Width); m.MaxTokens > 0 && n > m.MaxTokens {
		return &FieldError{"num_frames x size", fmt.Sprintf("%d tokens at once", n),
			fmt.Sprintf("up to %d tokens, so fewer frames, smaller windows or a smaller size",
				m.MaxTokens)}
	}
	if s.Long == LongExtend && !m.Extends {
		return &FieldError{"long", quote(string(s.Long)),
			"windows; this model was not trained to go on from given latents"}
	}
	return nil
}

func checkNumbers(s Spec) error {
	ints := []struct {
		field   string
		v, a, b int
	}{
		{"num_inference_steps", s.Steps, 1, StepsLimit},
		{"threads", s.Threads, 0, ThreadsLimit},
		{"shards", s.Shards, 0, ShardsLimit},
		{"priority", s.Priority, -PriorityLimit, PriorityLimit},
	}
	for _, c := range ints {
		if c.v < c.a || c.v > c.b {
			return &FieldError{c.field, number(c.v), fmt.Sprintf("%d to %d", c.a, c.b)}
		}
	}
	if f := s.FPS; !(f >= 1 && f <= FPSLimit) {
		return &FieldError{"fps", f.String(), fmt.Sprintf("1 to %d, such as 16, 23.976 or 24000/1001",
			FPSLimit)}
	}
	if g := s.GuidanceScale; !(g >= 0 && g <= scaleLimit) {
		return &FieldError{"guidance_scale", fmt.Sprint(g), "0 to 100"}
	}
	if f := s.FlowShift; !(f > 0 && f <= scaleLimit) {
		return &FieldError{"flow_shift", fmt.Sprint(f), "above 0, up to 100"}
	}
	return nil
}

func checkNames(s Spec) error {
	sets := []struct {
		field, v string
		allowed  []string
	}{
		{"scheduler", s.Scheduler, []string{"unipc", "euler"}},
		{"dtype", s.DType, []string{"fp32", "bf16"}},
		{"format", s.Format, []string{"webm", "mp4", "png"}},
		{"long", string(s.Long), []string{string(LongWindows), string(LongExtend)}},
		{"window_schedule", string(s.Schedule),
			[]string{string(ScheduleStatic), string(ScheduleUniform)}},
	}
	for _, c := range sets {
		if !slices.Contains(c.allowed, c.v) {
			return &FieldError{c.field, quote(c.v), strings.Join(c.allowed, ", ")}
		}
	}
	return nil
}

// checkShards wants a mesh of positive counts that agrees with the number of shards.
func checkShards(s Spec) error {
	m := s.Mesh
	if m == (Mesh{}) {
		return nil
	}
	w := max(1, m.Window)
	if m.Window < 0 || w > ShardsLimit || m.CFG < 1 || m.CFG > 2 || m.Ulysses < 1 ||
		m.Ulysses > ShardsLimit/m.CFG/w {
		return &FieldError{"mesh", m.String(),
			"window from 1, cfg 1 or 2, ulysses from 1, 1024 ranks at most"}
	}
	if s.Shards != 0 && s.Shards != m.Size() {
		return &FieldError{"shards", number(s.Shards),
			fmt.Sprintf("%d, the size of mesh %s, or leave it out", m.Size(), m.String())}
	}
	if m.CFG == 2 && !s.Guided() {
		return &FieldError{"mesh", m.String(), "cfg=1 unless guidance_scale is above 1"}
	}
	return nil
}

// divisible says what counts of latent frames patches of pt of them can tile.
func divisible(pt int) string {
	if pt == 1 {
		return ""
	}
	return fmt.Sprintf(", divisible by %d", pt)
}

func number(v int) string { return fmt.Sprint(v) }

// quote shows at most 64 bytes of what a client sent.
func quote(s string) string { return fmt.Sprintf("%q", s[:min(len(s), 64)]) }

func or(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

func at[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
