package job

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseLoRAs(t *testing.T) {
	for text, want := range map[string][]LoRA{
		"paint": {{Name: "paint", Scale: 1}},
		"a:0.5:first,b:second,c:2:both": {{Name: "a", Scale: 0.5, Target: LoRAFirst},
			{Name: "b", Scale: 1, Target: LoRASecond}, {Name: "c", Scale: 2}},
		"paint:0.5, ink:-1 ": {{Name: "paint", Scale: 0.5}, {Name: "ink", Scale: -1}},
		"C:\\a.safetensors":  {{Name: "C:\\a.safetensors", Scale: 1}},
		`"paint:0"`:          {{Name: "paint"}},
		`["a", {"name": "b", "scale": 2, "target": "second"}, {"lora_name": "c", "lora_scale": 3, ` +
			`"local_path": "/x", "int_id": 7, "target": "both"}]`: {{Name: "a", Scale: 1},
			{Name: "b", Scale: 2, Target: LoRASecond}, {Name: "c", Scale: 3}},
		`{"scale": 0.25}`:   {{Scale: 0.25}},
		"[]":                nil,
		"paint:nan,ink:inf": {{Name: "paint:nan", Scale: 1}, {Name: "ink:inf", Scale: 1}},
	} {
		if got, ok := ParseLoRAs(text); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"[", "{", `{"x": 1}`, `{"name": 3}`, "[3]", `{"scale": "x"}`} {
		if got, ok := ParseLoRAs(text); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// loraModel is a model whose shards have two LoRAs.
func loraModel() (Model, string, string) {
	m := demo()
	paint, ink := strings.Repeat("a", 64), strings.Repeat("b", 64)
	m.LoRAs = []LoRAFile{{"paint", paint, 1}, {"ink", ink, 2}}
	return m, paint, ink
}

func TestLoRAsResolve(t *testing.T) {
	m, paint, ink := loraModel()
	sum := strings.Repeat("c", 64)
	file := Input{Role: RoleLoRA, Kind: KindLoRA, Object: Object{Name: "sha256-" + sum, Size: 9,
		SHA256: sum}}
	r := Request{Prompt: "x", Inputs: []Input{file},
		LoRAs: []LoRA{{Name: "ink", Scale: 2}, {Scale: -1}, {Name: "paint"}}}
	s, err := m.Resolve(r, nil)
	want := []LoRA{{"ink", 2, "", ink}, {"", -1, "", sum}, {"paint", 0, "", paint}}
	if err != nil || !reflect.DeepEqual(s.LoRAs, want) {
		t.Fatalf("%+v, %v", s.LoRAs, err)
	}
	if err := m.CheckSpec(s); err != nil {
		t.Error(err)
	}

	// What shards must have are the registered ones that change something.
	if got := s.Needs(); !reflect.DeepEqual(got, []string{ink}) {
		t.Errorf("needs %q", got)
	}
	if !m.Has(s.Needs()) || demo().Has(s.Needs()) {
		t.Error("which shards have the files")
	}

	// A remix keeps them, uploaded ones too.
	var again Request
	again.Inherit(m, s, ByRemix)
	again.Prompt, again.Inputs = "y", s.Inputs
	if s2, err := m.Resolve(again, nil); err != nil || !reflect.DeepEqual(s2.LoRAs, want) {
		t.Errorf("%+v, %v", s2.LoRAs, err)
	}

	// A file without an entry has the scale 1.
	if s, err = m.Resolve(Request{Inputs: []Input{file}}, nil); err != nil ||
		!reflect.DeepEqual(s.LoRAs, []LoRA{{"", 1, "", sum}}) {
		t.Errorf("%+v, %v", s.LoRAs, err)
	}
}

func TestLoRAsAreRefused(t *testing.T) {
	m, _, _ := loraModel()
	for want, l := range map[string][]LoRA{
		`lora is "oil"; allowed: paint, ink`: {{Name: "oil", Scale: 1}},
		`lora is ""; allowed: paint, ink`:    {{Scale: 1}},
		"allowed: -100 to 100":               {{Name: "ink", Scale: 101}},
		"allowed: both, first, second":       {{Name: "ink", Target: "third"}},
		"this model has one transformer":     {{Name: "ink", Target: LoRASecond}},
		"9 LoRAs; allowed: up to 8":          make([]LoRA, 9),
	} {
		if l[0] == (LoRA{}) {
			for i := range l {
				l[i].Name = "ink"
			}
		}
		_, err := m.Resolve(Request{LoRAs: l}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	m.LoRAs[1].Name = "paint"
	if err := m.Check(); err == nil || !strings.Contains(err.Error(), "LoRA") {
		t.Errorf("two LoRAs of one name: %v", err)
	}
	more, ok := demo().WithLoRAs(m.LoRAs)
	if again, twice := more.WithLoRAs(m.LoRAs); !ok || twice || len(again.LoRAs) != 1 {
		t.Errorf("%+v", again.LoRAs)
	}
}

func FuzzParseLoRAs(f *testing.F) {
	f.Add(`[{"name": "a", "scale": 1}]`)
	f.Add("a:1,b")
	f.Fuzz(func(t *testing.T, text string) {
		all, ok := ParseLoRAs(text)
		if !ok && all != nil {
			t.Errorf("%q is refused and has %v", text, all)
		}
	})
}
