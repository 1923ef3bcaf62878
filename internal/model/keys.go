package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Configurations come from many programs, so they have keys that this one does not read. Whether
// such a key changes what is computed is decided in this order: a value that means "off" changes
// nothing; a key of `arithmetic`, or with a word of `arithmeticParts`, does, unless its value is
// known to change nothing; all others are left out with a notice. Keys that bring weights of their
// own need no place here: weights that are missing or unused are refused anyway.

// arithmetic lists keys of related models, or of other programs' files for the same ones, that
// change what is computed from the same weights; and the values, in JSON, with which they do not.
var arithmetic = map[string][]string{
	// Weights with fewer bits than their names and shapes show.
	"quantization_config": nil,
	"load_in_8bit":        nil,
	"load_in_4bit":        nil,
	// Conditions and windows of causal and interactive relatives of Wan, whose weights may have the
	// same names.
	"action_dim":          {"0"},
	"window_size":         {"[-1,-1]", "-1"},
	"local_attn_size":     {"-1"},
	"sink_size":           {"0"},
	"num_frame_per_block": {"1"},
	// The padded length of a prompt, which wan.Text computes with.
	"text_len": {"512"},
	// Models distilled to take the guidance scale as an input, and image-to-video ones.
	"guidance_embed":     nil,
	"guidance_embeds":    nil,
	"add_img_emb":        nil,
	"inject_sample_info": nil,
	// Attention to the past alone.
	"causal":                nil,
	"is_causal":             nil,
	"causal_attention":      nil,
	"flag_causal_attention": nil,
	// Activations and norms, where another program names what this one computes.
	"activation_fn":           gelu,
	"act_fn":                  append([]string{`"silu"`, `"swish"`}, gelu...),
	"non_linearity":           {`"silu"`, `"swish"`},
	"norm_type":               {`"layer_norm"`, `"fp32_layer_norm"`},
	"norm_eps":                {"1e-6", "1e-06", "0.000001"},
	"norm_elementwise_affine": nil,
	"attention_bias":          {"true"},
	"qkv_bias":                {"true"},
	// Positions, and the scale of latents as other VAEs have it.
	"theta":          {"10000", "10000.0"},
	"rope_theta":     {"10000", "10000.0"},
	"scaling_factor": {"1", "1.0"},
	"shift_factor":   {"0", "0.0"},
}

// gelu lists the names under which programs write the tanh approximation of GELU, or a family that
// it belongs to.
var gelu = []string{`"gelu-approximate"`, `"gelu_approximate"`, `"gelu_tanh"`, `"gelu_new"`,
	`"gelu_pytorch_tanh"`, `"gelu"`}

// arithmeticParts are the beginnings of words in the names of keys that change what is computed.
var arithmeticParts = []string{"quant", "rope", "rotary", "sliding", "softcap", "scaling", "lora"}

// changesArithmetic reports whether a key that this program does not read may change what is
// computed, and lists the values, in JSON, with which it does not.
func changesArithmetic(key string) (same []string, changes bool) {
	if same, changes = arithmetic[key]; changes {
		return same, true
	}
	for word := range strings.SplitSeq(strings.ToLower(key), "_") {
		changes = changes || slices.ContainsFunc(arithmeticParts, func(part string) bool {
			return strings.HasPrefix(word, part)
		})
	}
	return nil, changes
}

// off reports whether a value in JSON means that something is absent.
func off(v json.RawMessage) bool {
	return slices.Contains([]string{"null", "false", "[]", "{}", `""`, "[null,null]"}, flat(v))
}

// lenient is finish for files that other programs write. It returns the unknown keys that are left
// out, each with its value; one that would change what is computed is an error.
func (s *settings) lenient() ([]string, error) {
	// Alphabetical, from unknown, so that notices do not change from run to run.
	var ignored []string
	for _, k := range s.unknown() {
		v := s.raw[k]
		if off(v) {
			continue
		}

		same, changes := changesArithmetic(k)
		if !changes {
			ignored = append(ignored, fmt.Sprintf("%.64s %.40s", k, flat(v)))
			continue
		}

		if !slices.Contains(same, flat(v)) {
			s.fail(k, strings.Join(append([]string{"null"}, same...), ", ")+
				"; it would change what is computed")
		}
	}
	return ignored, s.err
}

// alias requires a key that is another name of a value to agree with it, where the key is there.
func (s *settings) alias(key string, value int) {
	if s.raw[key] != nil {
		s.must(key, fmt.Sprint(value), "null")
	}
}

// Bounds of a notice, as it is shown to users and stored with a job.
const (
	ignoredShown = 12   // keys
	noticeBytes  = 1000 // at most
)

// Notices says what of the model was left out or chosen, one line each; usually there is nothing to
// say. schedulerKeys are the keys of scheduler_config.json that package diffusion left out. Lines
// are bounded and printable, as they quote the model's files.
func (f *Folder) Notices(schedulerKeys []string) []string {
	// The keys of all files share one line, of which only so many are shown.
	notices := slices.Clone(f.notices)
	all := f.ignored
	if len(schedulerKeys) > 0 {
		all = append(slices.Clip(all), ignoredKeys{"scheduler/scheduler_config.json", schedulerKeys})
	}

	var texts []string
	shown, more := 0, 0
	for _, i := range all {
		n := min(len(i.keys), ignoredShown-shown)
		shown, more = shown+n, more+len(i.keys)-n
		if n > 0 {
			texts = append(texts, i.file+": "+strings.Join(i.keys[:n], ", "))
		}
	}

	if len(texts) > 0 {
		line := "keys that are unknown and were left out: " + strings.Join(texts, "; ")
		if more > 0 {
			line += fmt.Sprintf(" (and %d more)", more)
		}
		notices = append(notices, line)
	}

	for i, n := range notices {
		notices[i] = strings.ToValidUTF8(strings.Map(printable, n[:min(len(n), noticeBytes)]), "")
	}
	return notices
}

// printable replaces what could steer a terminal.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

// ignoredKeys are the keys of one file that were left out, each with its value, in the order of
// their names.
type ignoredKeys struct {
	file string
	keys []string
}

// ignore finishes reading a file and notes the keys that were left out.
func (f *Folder) ignore(s *settings) error {
	keys, err := s.lenient()
	if len(keys) > 0 {
		f.ignored = append(f.ignored, ignoredKeys{s.file, keys})
	}
	return err
}

// notice adds a line for Notices.
func (f *Folder) notice(format string, args ...any) {
	f.notices = append(f.notices, fmt.Sprintf(format, args...))
}
