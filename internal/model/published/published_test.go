package published

import (
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/model"
)

// open opens a model that has to be known.
func open(t *testing.T, name string) *model.Folder {
	t.Helper()
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestSizes holds the models to what they are named after: parameters of all transformers, in
// billions.
func TestSizes(t *testing.T) {
	want := map[string]float64{"Wan2.1-T2V-1.3B": 1.42, "Wan2.1-T2V-14B": 14.3,
		"Wan2.1-I2V-14B-480P": 16.4, "Wan2.1-I2V-14B-720P": 16.4, "Wan2.1-FLF2V-14B-720P": 16.4,
		"Wan2.1-VACE-1.3B": 2.15, "Wan2.1-VACE-14B": 17.3, "Wan2.2-T2V-A14B": 28.6,
		"Wan2.2-I2V-A14B": 28.6, "Wan2.2-TI2V-5B": 5.0}
	for _, name := range Names() {
		f, n := open(t, name), 0
		for _, shape := range f.Transformer.Shapes() {
			n += shape.Elements() * len(f.Pipeline.Experts)
		}
		if got := float64(n) / 1e9; math.Abs(got/want[name]-1) > 0.03 {
			t.Errorf("%s has %.2f billion parameters; published: %.2f", name, got, want[name])
		}
		m, err := engine.Describe(f)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Notices) > 0 || m.Cost.FFNDim == 0 || m.Cost.Memory.Weights["bf16"] < int64(2*n) {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestFolders writes some models as folders whose files of weights have headers and holes: what is
// described is the same, but for the fingerprint, which covers how files are written.
func TestFolders(t *testing.T) {
	for _, name := range []string{"Wan2.1-FLF2V-14B-720P", "Wan2.1-VACE-1.3B", "Wan2.2-I2V-A14B",
		"Wan2.2-TI2V-5B"} {
		t.Run(name, func(t *testing.T) {
			from := open(t, name)
			real, err := model.Open(written(t, from, entries[find(name)]))
			if err != nil {
				t.Fatal(err)
			}
			defer real.Close()
			want, err := engine.Describe(real)
			if err != nil {
				t.Fatal(err)
			}
			got, err := engine.Describe(from)
			if err != nil {
				t.Fatal(err)
			}
			if want.Fingerprint = got.Fingerprint; !reflect.DeepEqual(got, want) {
				t.Errorf("without weights:\n%+v\nwith:\n%+v", got, want)
			}
		})
	}
}

// written writes a model's folder, with weights that are holes in files.
func written(t *testing.T, f *model.Folder, e entry) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), e.name+suffix)
	put := func(file string, data []byte, size int64) {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, int64(len(data))+size); err != nil {
			t.Fatal(err)
		}
	}
	parts := map[string]model.Shapes{"text_encoder": f.TextEncoder.Shapes(), "vae": f.VAE.Shapes()}
	for _, expert := range f.Pipeline.Experts {
		parts[expert] = f.Transformer.Shapes()
	}
	if f.Pipeline.ImageEncoder {
		parts["image_encoder"] = f.ImageEncoder.Shapes()
	}
	names := []string{"model_index.json", "scheduler/scheduler_config.json",
		"tokenizer/tokenizer.json"}
	for part, shapes := range parts {
		names = append(names, part+"/config.json")
		file := "/diffusion_pytorch_model.safetensors"
		if strings.HasSuffix(part, "encoder") {
			file = "/model.safetensors"
		}
		head, size := header(t, shapes, part == "text_encoder")
		put(part+file, head, size)
	}
	for _, n := range names {
		data, err := fs.ReadFile(folder(e), n)
		if err != nil {
			t.Fatal(err)
		}
		put(n, data, 0)
	}
	return dir
}

// header is that of a safetensors file, with the bytes of the values behind it.
func header(t *testing.T, shapes model.Shapes, half bool) ([]byte, int64) {
	t.Helper()
	dtype, size := "F32", 4
	if half {
		dtype, size = "BF16", 2
	}
	entries, at := map[string]any{}, 0
	for name, shape := range shapes {
		n := size * shape.Elements()
		entries[name] = map[string]any{"dtype": dtype, "shape": shape,
			"data_offsets": []int{at, at + n}}
		at += n
	}
	text, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), int64(at)
}

func TestNames(t *testing.T) {
	for _, name := range []string{"Wan2.2-T2V-A14B", "wan-ai/wan2.2-t2v-a14b-diffusers",
		"Wan-AI/Wan2.2-T2V-A14B"} {
		f := open(t, name)
		if f.Name() != "Wan2.2-T2V-A14B-Diffusers" || f.Pipeline.Boundary == nil {
			t.Errorf("%s is %s", name, f.Name())
		}
		if _, err := f.Weights("vae"); err == nil || !strings.Contains(err.Error(), "weights") {
			t.Errorf("weights of %s: %v", name, err)
		}
	}
	_, err := Open("Wan2.2-T2V-A14")
	if err == nil || !strings.Contains(err.Error(), `did you mean "Wan2.2-T2V-A14B"?`) {
		t.Error(err)
	}
}

// TestFewFiles: a folder has nothing beyond what diffusers writes.
func TestFewFiles(t *testing.T) {
	f := folder(entries[0])
	for _, name := range []string{"longtake.json", "vae", "vae/other.json", "../vae/config.json"} {
		if file, err := f.Open(name); err == nil {
			t.Errorf("%s is a file: %v", name, file)
		}
	}
}
