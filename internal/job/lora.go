package job

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of LoRAs.
const (
	LoRAsLimit     = 8 // of one clip
	LoRAFilesLimit = 1024
	loraScaleLimit = 100.0
	loraNameLimit  = 128 // bytes
)

// LoRA is a change of the model's weights that a clip is made with: a file that shards have under a
// name, or one of the clip's inputs. Several are added in their order.
type LoRA struct {
	// Name is the registered one's, or of the uploaded file, for people.
	Name  string  `json:"name,omitempty"`
	Scale float64 `json:"scale"`
	// Target says which transformer it changes, of a model with two; empty: both.
	Target LoRATarget `json:"target,omitempty"`
	// SHA256 is of the file, in lower-case hex; empty in a request.
	SHA256 string `json:"sha256,omitempty"`
}

// LoRATarget names the transformers that a LoRA changes.
type LoRATarget string

// The targets: the transformer of high noise, which is the only one of most models, or that of low
// noise.
const (
	LoRABoth   LoRATarget = ""
	LoRAFirst  LoRATarget = "first"
	LoRASecond LoRATarget = "second"
)

// What clients call LoRAs, and files of them.
const (
	LoRAField     = "lora"
	LoRAFileField = "lora_file"
)

// LoRAFile is a file that a shard has under a name.
type LoRAFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// loraAllowed says how LoRAs are written.
const loraAllowed = `names with scales, such as "paint:0.8,ink", or a list such as ` +
	`[{"name": "paint", "scale": 0.8, "target": "both"}]`

// ParseLoRAs reads LoRAs as clients write them: JSON of a list, of one object or of one text, or
// names with scales, separated by commas.
func ParseLoRAs(text string) ([]LoRA, bool) {
	text = strings.TrimSpace(text)

	var list []json.RawMessage
	switch {
	case strings.HasPrefix(text, "["):
		if json.Unmarshal([]byte(text), &list) != nil {
			return nil, false
		}
	case strings.HasPrefix(text, "{") || strings.HasPrefix(text, `"`):
		list = []json.RawMessage{json.RawMessage(text)}
	default:
		var all []LoRA
		for one := range strings.SplitSeq(text, ",") {
			all = append(all, ParseLoRA(one))
		}
		return all, true
	}

	var all []LoRA
	for _, raw := range list {
		l, ok := loraOf(raw)
		if !ok {
			return nil, false
		}
		all = append(all, l)
	}
	return all, true
}

// ParseLoRA reads a name with a scale and a target behind it, such as paint:0.8 or paint:1:first;
// without one the scale is 1.
func ParseLoRA(text string) LoRA {
	l := LoRA{Name: strings.TrimSpace(text), Scale: 1}
	for _, t := range []LoRATarget{LoRAFirst, LoRASecond, "both"} {
		if name, ok := strings.CutSuffix(l.Name, ":"+string(t)); ok {
			l.Name, l.Target = name, t
		}
	}
	if l.Target == "both" {
		l.Target = LoRABoth
	}
	if i := strings.LastIndexByte(l.Name, ':'); i >= 0 {
		if v, ok := parseFloat(l.Name[i+1:]); ok {
			l.Name, l.Scale = l.Name[:i], v
		}
	}
	return l
}

// loraOf reads one LoRA of a list: a text, or an object with the names of longtake, or of servers
// that know LoRAs by a name and a path of their own.
func loraOf(raw json.RawMessage) (LoRA, bool) {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return ParseLoRA(name), true
	}

	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil {
		return LoRA{}, false
	}

	l := LoRA{Scale: 1}
	for key, v := range o {
		var to any
		switch strings.TrimPrefix(key, "lora_") {
		case "name", "nickname":
			to = &l.Name
		case "scale", "strength", "weight":
			to = &l.Scale
		case "target":
			to = &l.Target
		// Where the file is on another server, and its number there, say nothing here.
		case "path", "local_path", "int_id":
			continue
		default:
			return l, false
		}
		if json.Unmarshal(v, to) != nil {
			return l, false
		}
	}

	if l.Target == "both" {
		l.Target = LoRABoth
	}
	return l, true
}

// loraSlot keeps LoRAs, whose files Model.resolveLoRAs finds.
type loraSlot struct{}

func (loraSlot) form() form { return form{TypeLoRA, loraAllowed} }

func (loraSlot) set(r *Request, text string) (said, ok bool) {
	all, ok := ParseLoRAs(text)
	if !ok {
		return false, false
	}
	// Flags are given once for each.
	r.LoRAs = append(slices.Clip(r.LoRAs), all...)
	return len(all) > 0, true
}

func (loraSlot) get(r *Request) (any, bool) { return r.LoRAs, r.LoRAs != nil }

func (loraSlot) fill(_ Model, r *Request, s *Spec) { s.LoRAs = slices.Clone(r.LoRAs) }

func (loraSlot) inherit(r *Request, s *Spec) { r.LoRAs = slices.Clone(s.LoRAs) }

func (loraSlot) text(s *Spec) string { return fmt.Sprintf("%d LoRAs", len(s.LoRAs)) }

func (loraSlot) check(s *Spec) (shown, allowed string, ok bool) {
	if n := len(s.LoRAs); n > LoRAsLimit {
		return fmt.Sprintf("%d LoRAs", n), fmt.Sprintf("up to %d", LoRAsLimit), false
	}

	for _, l := range s.LoRAs {
		switch {
		case len(l.Name) > loraNameLimit || !utf8.ValidString(l.Name):
			return fmt.Sprintf("a name of %d bytes", len(l.Name)),
				fmt.Sprintf("up to %d bytes of UTF-8", loraNameLimit), false
		case !(math.Abs(l.Scale) <= loraScaleLimit):
			return fmt.Sprintf("a scale of %v", l.Scale),
				fmt.Sprintf("%v to %v", -loraScaleLimit, loraScaleLimit), false
		case !slices.Contains([]LoRATarget{LoRABoth, LoRAFirst, LoRASecond}, l.Target):
			return fmt.Sprintf("a target of %.32q", string(l.Target)), "both, first, second", false
		}
	}
	return "", "", true
}

// resolveLoRAs finds the file of each LoRA: of one without a name the next uploaded one, of another
// the one that shards have registered. Uploaded files that no entry stands for are added with scale
// 1. One that has its file already, as those of an earlier clip have, keeps it.
func (m Model) resolveLoRAs(s *Spec) error {
	var files []Object
	for _, in := range s.Inputs {
		if in.Role == RoleLoRA {
			files = append(files, in.Object)
		}
	}

	uploaded := func(sum string) bool {
		return slices.ContainsFunc(files, func(o Object) bool { return o.SHA256 == sum })
	}

	next := 0 // of the files
	for i := range s.LoRAs {
		l := &s.LoRAs[i]
		switch {
		case l.SHA256 != "" && uploaded(l.SHA256):
			next++
		case l.Name == "" && next < len(files):
			l.SHA256 = files[next].SHA256
			next++
		default:
			at := slices.IndexFunc(m.LoRAs, func(f LoRAFile) bool { return f.Name == l.Name })
			if at < 0 {
				return &FieldError{LoRAField, quote(l.Name), m.loraNames()}
			}
			l.SHA256 = m.LoRAs[at].SHA256
		}
	}

	for ; next < len(files); next++ {
		s.LoRAs = append(s.LoRAs, LoRA{Scale: 1, SHA256: files[next].SHA256})
	}
	return nil
}

// loraNames says which LoRAs a request may name.
func (m Model) loraNames() string {
	const shown = 16
	var names []string
	for _, f := range m.LoRAs {
		names = append(names, f.Name)
	}
	switch {
	case len(names) == 0:
		return "none; no shard has LoRAs registered (setting loras), and " + LoRAFileField +
			" brings a file"
	case len(names) > shown:
		names = append(names[:shown], "...")
	}
	return strings.Join(names, ", ")
}

// checkLoRAs wants known files, and targets that the model has.
func (m Model) checkLoRAs(s Spec) error {
	for _, l := range s.LoRAs {
		if !isSHA256(l.SHA256) {
			return &FieldError{LoRAField, quote(l.Name), "one whose file is known"}
		}
		if l.Target == LoRASecond && !m.Experts.Second {
			return &FieldError{LoRAField, `a target of "second"`,
				"both, first; this model has one transformer"}
		}
	}
	return nil
}

// isSHA256 reports whether a text is a SHA-256 in lower-case hex.
func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// Needs lists the SHA-256 of registered files that a clip is made with: a shard without them cannot
// take part in it.
func (s Spec) Needs() (sums []string) {
	for _, l := range s.LoRAs {
		_, given := s.LoRAInput(l.SHA256)
		if !given && l.Scale != 0 {
			sums = append(sums, l.SHA256)
		}
	}
	return sums
}

// LoRAInput returns the uploaded file of a sum, and whether there is one.
func (s Spec) LoRAInput(sum string) (Object, bool) {
	i := slices.IndexFunc(s.Inputs, func(in Input) bool {
		return in.Role == RoleLoRA && in.Object.SHA256 == sum
	})
	if i < 0 {
		return Object{}, false
	}
	return s.Inputs[i].Object, true
}

// Has reports whether a shard with model m has the registered files of all these sums.
func (m Model) Has(sums []string) bool {
	for _, sum := range sums {
		if !slices.ContainsFunc(m.LoRAs, func(f LoRAFile) bool { return f.SHA256 == sum }) {
			return false
		}
	}
	return true
}

// WithLoRAs returns m with the files of other, too, and whether those are more. Of one name the
// first file stays: that with other bytes cannot be asked for.
func (m Model) WithLoRAs(other []LoRAFile) (Model, bool) {
	more := false
	for _, f := range other {
		known := slices.ContainsFunc(m.LoRAs, func(g LoRAFile) bool { return g.Name == f.Name })
		if !known && len(m.LoRAs) < LoRAFilesLimit {
			m.LoRAs, more = append(slices.Clip(m.LoRAs), f), true
		}
	}
	return m, more
}

// checkLoRAFiles bounds what a shard says of its LoRAs.
func (m Model) checkLoRAFiles() error {
	if len(m.LoRAs) > LoRAFilesLimit {
		return fmt.Errorf("model %q has %d LoRAs; allowed: %d", m.Name, len(m.LoRAs), LoRAFilesLimit)
	}
	for i, f := range m.LoRAs {
		twice := slices.ContainsFunc(m.LoRAs[:i], func(g LoRAFile) bool { return g.Name == f.Name })
		if err := CheckLoRAName(f.Name); err != nil || twice || !isSHA256(f.SHA256) || f.Bytes < 0 {
			return fmt.Errorf("model %q has a LoRA %.64q with SHA-256 %.64q; allowed: names once, with a "+
				"sum", m.Name, f.Name, f.SHA256)
		}
	}
	return nil
}

// CheckLoRAName refuses a name under which requests could not ask for a LoRA.
func CheckLoRAName(name string) error {
	if name == "" || len(name) > loraNameLimit || !utf8.ValidString(name) ||
		strings.ContainsAny(name, ":,\"\n\r\t") || strings.TrimSpace(name) != name {
		return fmt.Errorf("%.64q is no name of a LoRA; allowed: 1 to %d bytes without : , and quotes",
			name, loraNameLimit)
	}
	return nil
}
