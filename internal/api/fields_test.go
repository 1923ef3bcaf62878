package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// post sends JSON to the videos' route and returns the status, the error's field and text, or the
// video.
func post(t *testing.T, c *testClient, body string) (int, schema.Error, schema.Video) {
	t.Helper()
	status, text, _ := do(t, c, "POST", "/v1/videos", "application/json", body)
	return answerOf(t, status, text)
}

func answerOf(t *testing.T, status int, text string) (int, schema.Error, schema.Video) {
	t.Helper()
	var v schema.Video
	var e schema.ErrorBody
	if status == http.StatusOK {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return status, schema.Error{}, v
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Error == nil ||
		strings.Count(text, "\n") != 1 {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	return status, *e.Error, v
}

// TestFieldsOfOtherServers sends what their clients do: what changes nothing here is taken, a
// notice says what would have changed the clip, and what cannot be done is refused.
func TestFieldsOfOtherServers(t *testing.T) {
	_, c := serve(t, newFake())
	for fields, notice := range map[string]string{
		`"user": "me", "metadata": {"a": 1}, "store": true, "response_format": "url"`: "",
		`"n": 1`: "", `"n": "1"`: "", `"num_outputs_per_prompt": 1.0`: "", `"n": null`: "",
		`"quality": "standard"`: "", `"quality": "hd"`: `quality is "hd"`, `"quality": null`: "",
		`"lora": null, "loras": [], "guidance_scale_2": null, "boundary_ratio": 0`: "",
		`"enable_frame_interpolation": false, "frame_interpolation_exp": 1`:        "",
		`"enable_teacache": "False", "stream": false, "video_reference": {}`:       "",
		`"generator_device": "cuda"`:                                               "generator_device",
		`"generator_device": "cpu", "max_sequence_length": 512`:                    "",
		`"extra_params": {"cache": 3, "seed": 9}`:                                  `has "cache"`,
		`"extra_params": {"` + strings.Repeat("\U0001f600", 900) + `": 1}`:         "left out",
		`"extra_params": {}`:                         "",
		`"seconds": 2.0625, "num_frames": 33`:        "",
		`"size": "96x64", "width": 96, "height": 64`: "",
		`"output_format": "auto"`:                    "",
		`"negative_prompt": null, "model": null, "seed": null, "input_reference": null`: "",
	} {
		status, e, v := post(t, c, `{"prompt": "a", `+fields+`}`)
		got := strings.Join(v.Details.Notices, "; ")
		if status != 200 || (notice == "") != (got == "") || !strings.Contains(got, notice) {
			t.Errorf("%s: %d %s %q", fields, status, e.Message, got)
		}
	}
	for fields, says := range map[string]string{
		`"n": 2`: "n is 2; allowed: 1", `"n": true`: "n is true", `"n": "many"`: "n is",
		`"guidance_scale_2": 3.0`:                   "none; this model has one transformer",
		`"boundary_ratio": 0.875`:                   "not supported",
		`"lora": {"name": "x"}`:                     `lora is "x"; allowed: none; no shard has`,
		`"loras": [{"path": "x"}]`:                  `lora is ""; allowed: none`,
		`"lora": {"name": "x", "depth": 2}`:         "allowed: names with scales",
		`"lora": "x:1000"`:                          `allowed`,
		`"enable_frame_interpolation": true`:        "frame interpolation is not supported",
		`"stream": true`:                            "streamed answers",
		`"extra_body": {"x": 1}`:                    `unknown field "x"`,
		`"seed": [ ]`:                               "seed is [ ]; allowed: an integer",
		`"extra_body": 3`:                           "extra_body is 3; allowed: an object",
		`"extra_body": [1]`:                         "allowed: an object",
		`"extra_body": {"seed": 1}, "seed": 1`:      "given twice",
		`"extra_body": {"extra_body": {"seed": 1}}`: "extra_body is given twice",
		`"format": "webm", "output_format": "webm"`: "format and output_format are given",
		`"promt": null`:                             `did you mean "prompt"?`,
		`"num_frame": 3`:                            `did you mean "num_frames"?`,
		`"steps": 3`:                                `did you mean "num_inference_steps"?`,
		`"duration": 3`:                             `did you mean "seconds"?`,
		`"width": true`:                             "width is true; allowed: an integer",
		`"width": [96]`:                             "width is [96]; allowed: an integer",
		`"guidance_scale": {}`:                      "guidance_scale is {}; allowed: a number",
		`"negative_prompt": 5`:                      "negative_prompt is 5; allowed: a text",
		`"size": 96`:                                "size is 96; allowed: a text",
		`"fps": "fast"`:                             "fps is",
		`"seconds": 2, "num_frames": 49`:            "both alike",
		`"a[b]": 1`:                                 `unknown field "a[b]"`,
	} {
		status, e, _ := post(t, c, `{"prompt": "a", `+fields+`}`)
		if status != 400 || !strings.Contains(e.Message, says) || e.Param == "" {
			t.Errorf("%s: %d %+v, want %q", fields, status, e, says)
		}
	}
}

// TestBodiesAreRead sends encodings and shapes of JSON that are not what they should be.
func TestBodiesAreRead(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	for body, says := range map[string]string{
		`{"prompt": "a", "seed": 1, "seed": 2}`:                  `"seed" stands twice`,
		`{"prompt": "a", "metadata": {"x": 1, "x": 2}}`:          `"x" stands twice`,
		`{"prompt": "a", "metadata": [{"y": {"x": 1, "x": 2}}]}`: `"x" stands twice`,
		`{"prompt": "a", "s\u0065ed": 1, "seed": 1}`:             `"seed" stands twice`,
		"\ufeff" + `{"prompt": "a"}`:                             "byte order mark",
		"\x1f\x8b\x08\x00":                                       "gzip",
		"{\"prompt\": \"\xff\"}":                                 "not in UTF-8",
		"{\x00\"\x00p\x00\"\x00":                                 "not in UTF-8",
		``:                                                       "it is empty",
		`[]`:                                                     "no object",
		`"a"`:                                                    "no object",
		`{"prompt": "a"} x`:                                      "cannot read",
		`{"prompt": 5}`:                                          "prompt is 5; allowed: a text",
		`{"prompt": true}`:                                       "prompt is true",
		`{"prompt": "a", "fps": 0, "seconds": 2}`:                "fps is 0; allowed: 1 to 120",
		`{"prompt": "a", "fps": 1e300, "seconds": 2}`:            "fps is",
		`{"prompt": "a", "fps": -24, "seconds": 2}`:              "fps is -24",
		`{"prompt": "a", "window": -1, "num_frames": 900}`:       "window is -1",
		`{"prompt": "a", "seed": 18446744073709551616}`:          "seed is",
		`{"prompt": "a", "seed": true}`:                          "seed is true",
		`{"prompt": "a", "seed": [1, 2]}`:                        "seed is",
		`{"prompt": "a", "seed": 1.5}`:                           "seed is 1.5",
		`{"prompt": "a", "seconds": "4s"}`:                       "seconds is",
		`{"prompt": "a", "metadata": ` + strings.Repeat("[", 20000) + `}`:    "cannot read",
		`{"prompt": "a", "x": ` + `"` + strings.Repeat("x", 100) + `"` + `}`: "unknown field",
	} {
		status, e, _ := post(t, c, body)
		if status != 400 || !strings.Contains(e.Message, says) {
			t.Errorf("%.80q: %d %+v, want %q", body, status, e, says)
		}
	}
	for kind, says := range map[string]string{
		"application/json; charset=iso-8859-1": "charset is", "": "Content-Type is",
		"application/x-www-form-urlencoded": "application/json (with curl",
	} {
		status, text, _ := do(t, c, "POST", "/v1/videos", kind, `{"prompt": "a"}`)
		if _, e, _ := answerOf(t, status, text); status != 415 || !strings.Contains(e.Message, says) {
			t.Errorf("%q: %d %s", kind, status, text)
		}
	}
	if n := len(f.jobs); n != 0 {
		t.Errorf("%d jobs were made", n)
	}
	status, text, _ := do(t, c, "POST", "/v1/videos", "application/json; charset=UTF-8",
		`{"prompt": "a"}`)
	if status != 200 {
		t.Errorf("%d %s", status, text)
	}
}

// TestValuesAreEchoed wants numbers in all their spellings, and the client's own words back.
func TestValuesAreEchoed(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	for _, test := range []struct {
		fields, seconds string
		want            func(s job.Spec) bool
	}{
		{`"seconds": "1"`, "1", func(s job.Spec) bool { return s.Frames == 17 }},
		{`"seconds": 1`, "1", func(s job.Spec) bool { return s.Frames == 17 }},
		{`"seconds": 1.0`, "1.0", func(s job.Spec) bool { return s.Frames == 17 }},
		{`"seconds": " 04 "`, "04", func(s job.Spec) bool { return s.Frames == 65 }},
		{`"num_frames": 33.0`, "2.0625", func(s job.Spec) bool { return s.Frames == 33 }},
		{`"num_frames": "33", "fps": 23.976`, "", func(s job.Spec) bool { return s.FPS == 24000./1001 }},
		{`"fps": "24000/1001"`, "", func(s job.Spec) bool { return s.FPS == 24000./1001 }},
		{`"fps": 23.976023976023978, "seconds": 1`, "1", func(s job.Spec) bool {
			return s.FPS == 24000./1001 && s.Frames == 25
		}},
		{`"seed": 42.0`, "", func(s job.Spec) bool { return s.Seed == 42 }},
		{`"seed": "8589934592"`, "", func(s job.Spec) bool { return s.Seed == 1<<33 }},
		{`"seed": 18446744073709551615`, "", func(s job.Spec) bool { return s.Seed == 1<<64-1 }},
		{`"seed": [7]`, "", func(s job.Spec) bool { return s.Seed == 7 }},
		{`"seed": -2`, "", func(s job.Spec) bool { return s.Seed == 1<<64-2 }},
		{`"size": "128*64"`, "", func(s job.Spec) bool { return s.Width == 128 && s.Height == 64 }},
		{`"size": "128X64"`, "", func(s job.Spec) bool { return s.Width == 128 }},
		{`"size": "128 × 64"`, "", func(s job.Spec) bool { return s.Width == 128 }},
		{`"extra_body": {"num_inference_steps": 5, "extra_params": {"seed": 3}}`, "",
			func(s job.Spec) bool { return s.Steps == 5 && s.Seed == 3 }},
		{`"video_params": {"width": 128, "num_frames": 17}`, "",
			func(s job.Spec) bool { return s.Width == 128 && s.Frames == 17 }},
		{`"output_format": "png"`, "", func(s job.Spec) bool { return s.Format == "png" }},
	} {
		status, e, v := post(t, c, `{"prompt": "a", `+test.fields+`}`)
		if status != 200 || !test.want(v.Details.Spec) || test.seconds != "" && v.Seconds != test.seconds ||
			v.Details.ClipSeconds != v.Details.Spec.FPS.Seconds(v.Details.Spec.Frames) {
			t.Errorf("%s: %d %s, seconds %q of %+v", test.fields, status, e.Message, v.Seconds,
				v.Details.Spec)
		}
	}
	post(t, c, `{"prompt": "a", "seed": -1}`)
	if f.last.Seed != nil {
		t.Errorf("-1 is seed %d, not one to be drawn", *f.last.Seed)
	}
}

func TestUnseenCharactersAreTold(t *testing.T) {
	_, c := serve(t, newFake())
	for body, says := range map[string]string{
		`{"prompt": "a \ud83d b"}`:                             `half of a surrogate pair, \ud83d`,
		`{"prompt": "a \uDE00"}`:                               `\uDE00`,
		`{"prompt": "\ud83d\ud83d\ude00"}`:                     `\ud83d`,
		`{"prompt": "\ud83d\ude00, \\ud83d, é, 日本"}`:           "",
		`{"prompt": "a\u0000b"}`:                               "U+0000",
		`{"prompt": "a\tb\nc"}`:                                "",
		`{"prompt": "a", "negative_prompt": "\u0007"}`:         "negative_prompt has control",
		`{"storyboard": [{"start": 0, "prompt": "a\u0001"}]}`:  "storyboard has control",
		`{"storyboard": [{"start": 0, "prompt": "a\udc00!"}]}`: "storyboard has half",
	} {
		status, e, v := post(t, c, body)
		got := strings.Join(v.Details.Notices, "; ")
		if status != 200 || (says == "") != (got == "") || !strings.Contains(got, says) {
			t.Errorf("%s: %d %s %q", body, status, e.Message, got)
		}
	}
}

// TestNamesOfTheModel wants aliases to run and to be echoed, and others refused.
func TestNamesOfTheModel(t *testing.T) {
	f := newFake()
	aliases, err := ParseAliases([]string{"sora-2", "own=demo", "other = elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Service: f, Metrics: prometheus.NewRegistry(), Auth: everybody,
		Clients: Clients{Aliases: aliases, Format: "mp4"}})
	ask := func(fields string) (int, schema.Error, schema.Video) {
		w := record(t, h, `{"prompt": "a", `+fields+`}`)
		return answerOf(t, w.Code, w.Body.String())
	}
	for name, want := range map[string]string{"sora-2": "sora-2", "own": "own", "demo": "demo"} {
		status, e, v := ask(fmt.Sprintf(`"model": %q`, name))
		if status != 200 || v.Model != want || v.Details.Spec.Model != "demo" ||
			v.Details.Spec.Format != "mp4" {
			t.Errorf("%s: %d %s %+v", name, status, e.Message, v)
		}
	}
	for _, name := range []string{"other", "sora-3"} {
		if status, e, _ := ask(fmt.Sprintf(`"model": %q`, name)); status != 400 || e.Param != "model" {
			t.Errorf("%s: %d %+v", name, status, e)
		}
	}
	if _, _, v := ask(`"format": "webm"`); v.Details.Spec.Format != "webm" {
		t.Errorf("%+v", v.Details.Spec)
	}
	for _, bad := range [][]string{{""}, {"=x"}, {"a", "a=b"}, {strings.Repeat("a", 300)}} {
		if _, err := ParseAliases(bad); err == nil {
			t.Errorf("%.20q are aliases", bad)
		}
	}
}

// TestFormsAreBounded wants many fields, or many headers of one, to be refused.
func TestFormsAreBounded(t *testing.T) {
	_, c := serve(t, newFake())
	form := func(parts int, header string) (int, schema.Error) {
		var b bytes.Buffer
		for i := range parts {
			fmt.Fprintf(&b, "--x\r\nContent-Disposition: form-data; name=\"metadata[%d]\"\r\n%s\r\na\r\n",
				i, header)
		}
		b.WriteString("--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na\r\n--x--\r\n")
		status, text, _ := do(t, c, "POST", "/v1/videos", "multipart/form-data; boundary=x", b.String())
		_, e, _ := answerOf(t, status, text)
		return status, e
	}
	var many strings.Builder
	for i := range 900 {
		fmt.Fprintf(&many, "X-%d: 1\r\n", i)
	}
	if status, e := form(1, "X-A: 1\r\n"); status != 200 {
		t.Errorf("%d %+v", status, e)
	}
	if status, e := form(partsMax, ""); status != 400 || !strings.Contains(e.Message, "256 fields") {
		t.Errorf("%d %+v", status, e)
	}
	if status, e := form(1, many.String()); status != 400 ||
		!strings.Contains(e.Message, "16 headers") {
		t.Errorf("%d %+v", status, e)
	}
}

func FuzzRequests(f *testing.F) {
	f.Add([]byte(`{"prompt": "a", "extra_body": {"seed": [1]}, "seconds": 4, "fps": "24000/1001"}`))
	f.Add([]byte(`{"prompt": "a", "seed": [ ]}`)) // a list without an element
	f.Add([]byte(`{"input_reference": [{"image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}`))
	f.Add([]byte(`{"storyboard": [{"start": 0, "prompt": "\ud83d\u0000"}], "size": "96*64"}`))
	fk := newFake()
	f.Fuzz(func(t *testing.T, body []byte) {
		q := &request{}
		s := newServer(Config{Service: fk, Metrics: prometheus.NewRegistry(), Auth: everybody})
		p := &place{s: s}
		defer p.leave()
		if err := q.readJSON(bytes.NewReader(body), p); err != nil {
			explain(err)
			return
		}
		_, _ = q.inputs(p)
		q.dropFiles()
		r, err := q.Settle(fk.model)
		if err != nil {
			return
		}
		_, _ = fk.model.Resolve(r, nil)
	})
}

// TestEveryFieldIsDocumented holds docs/api.md to the fields that are known.
func TestEveryFieldIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range known {
		if !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("docs/api.md lacks `%s`", name)
		}
		if name != "n" && find(name) == nil && find(name) == nil {
			t.Errorf("%s cannot be set", name)
		}
	}
}
