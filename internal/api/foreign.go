package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/job"
)

// idle are fields of other servers that do not change the clip: they are taken and not looked at.
// The first six are OpenAI's, the others SGLang's and vLLM-Omni's: accounting, profiling, and
// settings of steps that only run if a field of unable turns them on.
var idle = []string{"user", "metadata", "store", "safety_identifier", "prompt_cache_key",
	"service_tier", "request_id", "response_format", "save_output", "task",
	"frame_interpolation_exp", "frame_interpolation_scale", "frame_interpolation_model_path",
	"upscaling_scale", "upscaling_model_path", "perf_dump_path", "profile",
	"num_profiled_timesteps", "profile_all_stages", "progressive_levels", "progressive_delta"}

// unable are fields of other servers for what longtake cannot do. A value that turns it off is
// taken, another one is refused. The value is what the error says is not supported. SDKs of other
// servers send many of them by default, as null or false.
var unable = map[string]string{
	"boundary_ratio": "another boundary than the model's", "guidance_rescale": "rescaled guidance",
	"true_cfg_scale":             "true CFG besides guidance",
	"enable_teacache":            "TeaCache",
	"enable_frame_interpolation": "frame interpolation", "enable_upscaling": "upscaling",
	"progressive_mode": "progressive sizes", "generate_sound": "sound", "sound_duration": "sound",
	"audio_reference": "sound",
	"video_path":      "files of the server", "stream": "streamed answers", "webhook_url": "webhooks",
	"callback_url": "webhooks", "latent_path": "files of the server",
}

// unused are fields that change a clip elsewhere: they are taken, and a notice says that they made
// no difference, unless their value is one of these. A nil list has no such value: a path of the
// server is always worth a notice.
var unused = map[string][]string{
	"quality":             {"auto", "standard", "default", "medium"},
	"output_quality":      {"default", "auto"},
	"output_path":         nil,
	"generator_device":    {"cpu"},
	"max_sequence_length": {"512"},
}

// holders are fields whose members are fields; what a lenient one has besides is left out with a
// notice. extra_body is what OpenAI's SDKs unpack by themselves and curl does not; diffusers_kwargs
// is SGLang's, and extra_params vLLM-Omni's, for pipelines of diffusers. Those two are lenient, as
// each pipeline has arguments of its own. nvext is Dynamo's.
var holders = map[string]struct{ lenient bool }{
	"extra_body": {}, "extra_json": {}, "video_params": {}, "nvext": {},
	"extra_params": {true}, "diffusers_kwargs": {true},
}

// counts are fields that ask for a number of clips. diffusers makes several in a batch; here each
// clip is a job, with a seed of its own.
var counts = []string{"n", "num_outputs_per_prompt"}

// foreign returns how a field of another server is taken, nil if there is none of the name. No name
// is in two of the lists, nor a name of job.Fields.
func foreign(name string) setter {
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
	case slices.Contains(counts, name):
		return onlyOne
	}
	return nil
}

// merge sets the fields that a field has. They count as if they stood outside, so one that stands
// there, too, is given twice.
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
func isField(name string) bool { return find(name) != nil }

// noteLeft tells of members that a field has and that mean nothing here. It shows eight of them at
// most.
func (q *request) noteLeft(name string, left ...string) {
	const shown = 8
	slices.Sort(left)
	for i := range left {
		left[i] = fmt.Sprintf("%.64q", left[i])
	}
	q.note("%s has %s, which longtake does not know and left out", name,
		strings.Join(left[:min(len(left), shown)], ", "))
}

// onlyOne takes a count of clips, which is 1.
func onlyOne(_ *request, name string, v value) error {
	if n, err := job.ParseInt(v.text); err != nil || n != 1 || !v.isNumber() {
		return v.wrong(name, "1, so one request for each clip")
	}
	return nil
}

// refuseUnlessOff takes values that turn off what longtake cannot do: clients send them by default.
func refuseUnlessOff(what string) setter {
	return func(_ *request, name string, v value) error {
		if v.off() {
			return nil
		}
		return v.wrong(name, "null, or leave it out: "+what+" is not supported")
	}
}

// leaveOut notes that a field made no difference, unless its value is one of those that make none.
// same is in lower case.
func leaveOut(same []string) setter {
	return func(q *request, name string, v value) error {
		if v.off() || slices.Contains(same, strings.ToLower(v.text)) {
			return nil
		}
		q.note("%s is %.64q, which makes no difference here", name, v.text)
		return nil
	}
}
