package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/job"
)

// setter stores a field's value in a request.
type setter func(q *request, name string, v value) error

// ownFields are those of longtake: see Create.
var ownFields = map[string]setter{
	"model":               text(func(c *Create) *string { return &c.Model }),
	"prompt":              setPrompt,
	"negative_prompt":     prompt(func(c *Create) *string { return &c.NegativePrompt }),
	"storyboard":          setStoryboard,
	"size":                text(func(c *Create) *string { return &c.Size }),
	"width":               integer(func(c *Create) **int { return &c.Width }),
	"height":              integer(func(c *Create) **int { return &c.Height }),
	"seconds":             setSeconds,
	"num_frames":          integer(func(c *Create) **int { return &c.Frames }),
	"fps":                 setFPS,
	"num_inference_steps": integer(func(c *Create) **int { return &c.Steps }),
	"guidance_scale":      number(func(c *Create) **float64 { return &c.GuidanceScale }),
	"flow_shift":          number(func(c *Create) **float64 { return &c.FlowShift }),
	"scheduler":           text(func(c *Create) *string { return &c.Scheduler }),
	"seed":                setSeed,
	"dtype":               text(func(c *Create) *string { return &c.DType }),
	"format":              setFormat,
	"shards":              integer(func(c *Create) **int { return &c.Shards }),
	"mesh":                text(func(c *Create) *string { return &c.Mesh }),
	"threads":             integer(func(c *Create) **int { return &c.Threads }),
	"priority":            integer(func(c *Create) **int { return &c.Priority }),
	"window":              integer(func(c *Create) **int { return &c.Window }),
	"overlap":             integer(func(c *Create) **int { return &c.Overlap }),
	"window_schedule":     text(func(c *Create) *string { return &c.Schedule }),
	"long":                text(func(c *Create) *string { return &c.Long }),
	"force":               setForce,
	inputField:            setReference,
}

// otherNames are what other servers call fields of ours.
var otherNames = map[string]string{"output_format": "format", "image_reference": inputField,
	"reference_url": inputField}

// meant are names that people use for a field, for the hint of an error.
var meant = map[string]string{"duration": "seconds", "steps": "num_inference_steps",
	"frames": "num_frames", "cfg_scale": "guidance_scale", "cfg": "guidance_scale",
	"shift": "flow_shift", "sampler": "scheduler", "frame_rate": "fps", "image": inputField,
	"neg_prompt": "negative_prompt", "resolution": "size", "aspect_ratio": "size",
	"image_url": inputField}

// idle are fields of other servers that do not change the clip: they are taken and not looked at.
var idle = []string{"user", "metadata", "store", "safety_identifier", "prompt_cache_key",
	"service_tier", "request_id", "response_format", "save_output", "task",
	"frame_interpolation_exp", "frame_interpolation_scale", "frame_interpolation_model_path",
	"upscaling_scale", "upscaling_model_path", "perf_dump_path", "profile",
	"num_profiled_timesteps", "profile_all_stages", "progressive_levels", "progressive_delta"}

// unable are fields of other servers for what longtake cannot do. A value that turns it off is
// taken, another one is refused.
var unable = map[string]string{
	"guidance_scale_2": "a second transformer", "boundary_ratio": "a second transformer",
	"true_cfg_scale": "true CFG beside guidance", "guidance_rescale": "rescaled guidance",
	"lora": "LoRA", "loras": "LoRA", "enable_teacache": "TeaCache",
	"enable_frame_interpolation": "frame interpolation", "enable_upscaling": "upscaling",
	"progressive_mode": "progressive sizes", "generate_sound": "sound", "sound_duration": "sound",
	"audio_reference": "sound", "video_reference": "videos as a reference",
	"video_path": "videos as a reference", "video_url": "videos as a reference",
	"last_image": "a last picture", "end_image": "a last picture", "sigmas": "sigmas of one's own",
	"strength": "a strength", "stream": "streamed answers", "webhook_url": "webhooks",
	"callback_url": "webhooks", "latent_path": "files of the server",
}

// unused are fields that change a clip elsewhere: they are taken, and a notice says that they made
// no difference, unless their value is one of these.
var unused = map[string][]string{
	"quality":             {"auto", "standard", "default", "medium"},
	"output_quality":      {"default", "auto"},
	"output_compression":  nil,
	"output_path":         nil,
	"generator_device":    {"cpu"},
	"max_sequence_length": {"512"},
}

// holders are fields whose members are fields; what a lenient one has besides is left out with
// a notice.
var holders = map[string]struct{ lenient bool }{
	"extra_body": {}, "extra_json": {}, "video_params": {}, "nvext": {},
	"extra_params": {true}, "diffusers_kwargs": {true},
}

// fieldNames lists the fields that a request may have and longtake acts on.
var fieldNames = slices.Sorted(maps.Keys(ownFields))

// known is every name that is taken, for hints.
var known = slices.Concat(fieldNames, slices.Collect(maps.Keys(otherNames)), idle,
	slices.Collect(maps.Keys(unable)), slices.Collect(maps.Keys(unused)),
	slices.Collect(maps.Keys(holders)), []string{"n", "num_outputs_per_prompt"})

// find returns how a field is set, nil if there is none of the name.
func find(name string) setter {
	if f := ownFields[name]; f != nil {
		return f
	}
	if what, ok := unable[name]; ok {
		return refuseUnlessOff(what)
	}
	if same, ok := unused[name]; ok {
		return leaveOut(same)
	}
	if h, ok := holders[name]; ok {
		return func(q *request, name string, v value) error { return q.merge(name, v, h.lenient) }
	}
	switch {
	case slices.Contains(idle, name):
		return func(*request, string, value) error { return nil }
	case name == "n" || name == "num_outputs_per_prompt":
		return onlyOne
	}
	return nil
}

// request is a request that is being read.
type request struct {
	Create
	given map[string]string // the fields, and what they were called
	ref   *reference        // what the clip starts from
}

// set stores a field.
func (q *request) set(name string, v value) error {
	name = strings.TrimSuffix(name, "[]") // a form's way to write lists
	own := name
	if base, key, ok := strings.Cut(name, "["); ok { // a form's way to write objects
		return q.setPart(base, "["+key, v)
	}
	if other, ok := otherNames[name]; ok {
		own = other
	}
	f := find(own)
	if f == nil {
		return unknown(name)
	}
	if v.absent() && own != "prompt" || string(v.raw) == "null" {
		return nil
	}
	if before, ok := q.given[own]; ok {
		if before != name {
			return invalid(name, "%s and %s are given; allowed: one of them", before, name)
		}
		return invalid(name, "%s is given twice; allowed: once", name)
	}
	if q.given == nil {
		q.given = map[string]string{}
	}
	q.given[own] = name
	return f(q, name, v)
}

// unknown says that there is no field of a name.
func unknown(name string) error {
	hint := ""
	if m, ok := meant[name]; ok {
		hint = fmt.Sprintf(" did you mean %q?", m)
	} else if len(name) <= 64 {
		hint = config.Hint(known, name)
	}
	return invalid(fmt.Sprintf("%.64s", name), "unknown field %.64q;%s allowed: %s", name, hint,
		strings.Join(fieldNames, ", "))
}

// merge sets the fields that a field has.
func (q *request) merge(name string, v value, lenient bool) error {
	list, err := v.object(name)
	if err != nil {
		return err
	}
	var left []string
	for _, m := range list {
		if lenient && !isField(m.name) {
			left = append(left, m.name)
			continue
		}
		inner, err := jsonValue(m.raw)
		if err != nil {
			return bodyError(name, err)
		}
		if err := q.set(m.name, inner); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		q.noteLeft(name, left...)
	}
	return nil
}

// isField reports whether there is a field of a name.
func isField(name string) bool { return find(name) != nil || otherNames[name] != "" }

// noteLeft tells of members that a field has and that mean nothing here.
func (q *request) noteLeft(name string, left ...string) {
	const shown = 8
	slices.Sort(left)
	for i := range left {
		left[i] = fmt.Sprintf("%.64q", left[i])
	}
	q.note("%s has %s, which longtake does not know and left out", name,
		strings.Join(left[:min(len(left), shown)], ", "))
}

// note adds a notice for the client.
func (q *request) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	text = strings.ToValidUTF8(text[:min(len(text), job.NoteLimit)], "")
	if len(q.notes) < job.NotesLimit && !slices.Contains(q.notes, text) {
		q.notes = append(q.notes, text)
	}
}

func text(at func(*Create) *string) setter {
	return func(q *request, name string, v value) error {
		if !v.isText() {
			return v.wrong(name, "a text")
		}
		*at(&q.Create) = v.text
		return nil
	}
}

func integer(at func(*Create) **int) setter {
	return func(q *request, name string, v value) error {
		n, err := job.ParseInt(v.text)
		if err != nil || !v.isNumber() {
			return v.wrong(name, "an integer")
		}
		*at(&q.Create) = &n
		return nil
	}
}

func number(at func(*Create) **float64) setter {
	return func(q *request, name string, v value) error {
		n, err := float(v.text)
		if err != nil || !v.isNumber() {
			return v.wrong(name, "a number")
		}
		*at(&q.Create) = &n
		return nil
	}
}

func setSeconds(q *request, name string, v value) error {
	n, err := float(v.text)
	if err != nil || !v.isNumber() || len(v.text) > 64 {
		return v.wrong(name, "a number")
	}
	q.Seconds, q.secondsText = &n, strings.TrimSpace(v.text)
	return nil
}

func setFPS(q *request, name string, v value) error {
	r, err := job.ParseRate(strings.TrimSpace(v.text))
	if err != nil || !v.isNumber() {
		return v.wrong(name, "a number such as 16 or 23.976, or 24000/1001")
	}
	q.FPS = &r
	return nil
}

// setForce takes true and false, as JSON or forms have them.
func setForce(q *request, name string, v value) error {
	on, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(v.text)))
	if err != nil {
		return v.wrong(name, "true or false")
	}
	q.Force = &on
	return nil
}

// setSeed also takes a list of one, as some servers do.
func setSeed(q *request, name string, v value) error {
	if inner := strings.TrimSpace(v.text); strings.HasPrefix(inner, "[") &&
		strings.HasSuffix(inner, "]") && !strings.Contains(inner, ",") {
		v = value{raw: json.RawMessage(strings.TrimSpace(inner[1 : len(inner)-1]))}
		v.text = string(v.raw)
	}
	seed, err := job.ParseSeed(v.text)
	if err != nil || len(v.text) == 0 || !v.isNumber() {
		return v.wrong(name, job.SeedAllowed)
	}
	q.Seed = seed
	return nil
}

// setFormat takes "auto" as nothing said.
func setFormat(q *request, name string, v value) error {
	if strings.EqualFold(v.text, "auto") {
		return nil
	}
	return text(func(c *Create) *string { return &c.Format })(q, name, v)
}

// setStoryboard reads a JSON array of scenes.
func setStoryboard(q *request, name string, v value) error {
	text := []byte(v.text)
	if v.raw != nil {
		text = v.raw
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&q.Storyboard); err != nil || len(q.Storyboard) == 0 || d.More() {
		return v.wrong(name,
			`scenes, such as [{"start": 0, "prompt": "a"}, {"start": 2.5, "prompt": "b"}]`)
	}
	q.noteUnseen(name, value{raw: text})
	for _, s := range q.Storyboard {
		q.noteUnseen(name, value{text: s.Prompt})
	}
	return nil
}

// onlyOne takes a count of clips, which is 1.
func onlyOne(_ *request, name string, v value) error {
	if n, err := job.ParseInt(v.text); err != nil || n != 1 || !v.isNumber() {
		return v.wrong(name, "1, so one request for each clip")
	}
	return nil
}

// refuseUnlessOff takes values that turn off what longtake cannot do.
func refuseUnlessOff(what string) setter {
	return func(_ *request, name string, v value) error {
		if v.off() {
			return nil
		}
		return v.wrong(name, "null, or leave it out: "+what+" is not supported")
	}
}

// leaveOut notes that a field made no difference, unless its value is one of those that make none.
func leaveOut(same []string) setter {
	return func(q *request, name string, v value) error {
		if v.off() || slices.Contains(same, strings.ToLower(v.text)) {
			return nil
		}
		q.note("%s is %.64q, which makes no difference here", name, v.text)
		return nil
	}
}
