package api

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// halves is a safetensors file of one tensor of bfloat16, all of whose values are v.
func halves(t testing.TB, name string, v float32, shape ...int) []byte {
	t.Helper()
	bits := math.Float32bits(v) >> 16
	x := tensor.Tensor{DType: tensor.BF16, Shape: shape, Data: bytes.Repeat(
		[]byte{byte(bits), byte(bits >> 8)}, tensor.Shape(shape).Elements())}
	var b bytes.Buffer
	if err := safetensors.Write(&b, map[string]tensor.Tensor{name: x}, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLatentsAreStored sends one latent in two forms: the job has the same object of both, whose
// file is as results have it.
func TestLatentsAreStored(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := newFake()
	_, c := serve(t, f)
	var stored []job.Input
	for _, data := range [][]byte{latentsOf(t, "latents", 1, 16, 3, 6, 4),
		halves(t, "noise", 0, 16, 3, 6, 4)} {
		v, err := c.CreateFrom(t.Context(), job.Request{Prompt: "a", Size: "32x48", Frames: ptr(9)},
			client.File{Field: job.LatentField, Name: "x", Reader: bytes.NewReader(data)})
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, v.Details.Spec.Inputs...)
	}
	plain := latentsOf(t, "latents", 1, 16, 3, 6, 4)
	want := job.Input{Role: job.RoleLatent, Kind: job.KindLatents, Shape: [4]int{16, 3, 6, 4}}
	want.Object, _ = artifact.Describe(t.Context(), bytes.NewReader(plain))
	if len(stored) != 2 || stored[0] != want || stored[1] != want ||
		f.objects[want.Object.Name] != string(plain) {
		t.Errorf("%+v, want %+v twice", stored, want)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}
}

// TestLatentsAreRefused wants one line for files that are no latent of the clip.
func TestLatentsAreRefused(t *testing.T) {
	f := newFake()
	_, c := serve(t, f)
	for says, data := range map[string][]byte{
		"allowed: [16 3 6 4], [channels, frames, height, width] of 9 frames of 32x48": latentsOf(t,
			"x", 1, 16, 3, 4, 6),
		"a tensor of F32 [2 16 3 6 4]":          latentsOf(t, "x", 2, 16, 3, 6, 4),
		"a tensor of F32 [3 6 4]":               latentsOf(t, "x", 3, 6, 4),
		"a latent with +Inf at 0":               halves(t, "x", float32(math.Inf(1)), 16, 3, 6, 4),
		"cannot be read: it is of another kind": []byte("hello, this is no latent"),
		"it is no zip archive":                  []byte("PK\x03\x04"),
	} {
		_, err := c.CreateFrom(t.Context(), job.Request{Prompt: "a", Size: "32x48", Frames: ptr(9)},
			client.File{Field: job.LatentField, Name: "x", Reader: bytes.NewReader(data)})
		if err == nil || !strings.Contains(err.Error(), says) ||
			!strings.HasPrefix(err.Error(), job.LatentField) {
			t.Errorf("%v; want %q", err, says)
		}
	}
	if len(f.jobs) > 0 {
		t.Errorf("%d jobs were made", len(f.jobs))
	}
}

// latentFolder makes a folder with a latent, links to it, out of the folder and to one above, and a
// folder; and a latent outside.
func latentFolder(t *testing.T, data []byte) (dir, outside string) {
	t.Helper()
	dir, outside = t.TempDir(), filepath.Join(t.TempDir(), "secret")
	for _, path := range []string{filepath.Join(dir, "a.safetensors"), outside} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"out": outside, "in": "a.safetensors", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, outside
}

// TestLatentPaths has the synchronous route read a latent below its folder, by each form of its
// path, and nothing else.
func TestLatentPaths(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	data := latentsOf(t, "latents", 1, 16, 3, 6, 4)
	dir, outside := latentFolder(t, data)
	f, h, end := generator(t, Generations{On: true, Latents: dir})
	post := func(path, more string) (int, string) {
		end(job.Completed)
		resp := ask(h, "POST", generations, `{"prompt": "a", "size": "32x48", "num_frames": 9,
			"response_format": "video_bytes", "latent_path": `+path+more+`}`, asJSON)
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}

	for _, path := range []string{"a.safetensors", "./a.safetensors", "in",
		filepath.Join(dir, "a.safetensors")} {
		clear(f.jobs)
		status, text := post(strconv.Quote(path), "")
		var in []job.Input
		for _, j := range f.jobs {
			in = j.Spec.Inputs
		}
		if status != 200 || len(in) != 1 || in[0].Role != job.RoleLatent ||
			f.objects[in[0].Object.Name] != string(data) {
			t.Errorf("%s: %d %s, %+v", path, status, text, in)
		}
	}
	clear(f.jobs)
	for _, path := range []string{outside, "../secret", "out", "up", "folder", "missing",
		"/etc/passwd", dir, dir + "/../" + filepath.Base(dir) + "/a.safetensors",
		"folder/../a.safetensors"} {
		status, text := post(strconv.Quote(path), "")
		if status != 400 || !strings.Contains(text, `"param":"latent_path"`) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, text := post("5", ""); status != 400 || !strings.Contains(text, "allowed: a path") {
		t.Errorf("a number: %d %s", status, text)
	}
	if status, text := post(`"in"`, `, "initial_latent": "data:a;base64,AAAA"`); status != 400 {
		t.Errorf("two latents: %d %s", status, text)
	}
	small := latentsOf(t, "latents", 1, 16, 1, 6, 4)
	if err := os.WriteFile(filepath.Join(dir, "b"), small, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, text := post(`"b"`, ""); status != 400 ||
		!strings.Contains(text, "latent_path is of shape [16 1 6 4]; allowed: [16 3 6 4]") {
		t.Errorf("another shape: %d %s", status, text)
	}
	if len(f.jobs) > 0 {
		t.Errorf("%d jobs were made", len(f.jobs))
	}
	if status, text := post(`"a\u0000"`, ""); status != 400 {
		t.Errorf("a zero in the path: %d %s", status, text)
	}
	if status, text := post("null", ""); status != 200 {
		t.Errorf("null: %d %s", status, text)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("%v, %v were left behind", left, err)
	}
}

// TestLatentPathsAreOff where no folder is named, and on every other route.
func TestLatentPathsAreOff(t *testing.T) {
	f, h, _ := generator(t, Generations{On: true})
	for path, says := range map[string]string{
		generations:  "http.generations-latents names no folder",
		"/v1/videos": "files of the server is not supported"} {
		resp := ask(h, "POST", path, `{"prompt": "a", "response_format": "video_bytes",
			"latent_path": "/etc/passwd"}`, asJSON)
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 400 || !strings.Contains(string(b), says) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
	}
	if len(f.jobs) > 0 {
		t.Errorf("%d jobs were made", len(f.jobs))
	}
}
