package model

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/tensor"
)

// tinyOnDisk copies a small model to a folder of its own. Its files are as old as they say.
func tinyOnDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden.Root("testdata", "golden", "tiny5"))); err != nil {
		t.Fatal(err)
	}
	age(t, dir)
	return dir
}

// age makes all files of a folder an hour old.
func age(t *testing.T, dir string) {
	t.Helper()
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chtimes(p, then, then)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func survey(t *testing.T, dir, cache string) Survey {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := f.Survey(cache)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// weightFiles lists the files with weights.
func weightFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.safetensors"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	return files
}

// flip changes a bit of a byte, counted from the end of the file.
func flip(t *testing.T, file string, fromEnd int) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-fromEnd] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTheFingerprintCoversEveryFile changes one byte in the middle of each file of weights, whose
// size and time stay as they are, and the text of each configuration.
func TestTheFingerprintCoversEveryFile(t *testing.T) {
	dir, cache := tinyOnDisk(t), t.TempDir()
	seen := map[string]string{survey(t, dir, cache).Fingerprint: "nothing"}
	check := func(file string) {
		age(t, dir)
		print := survey(t, dir, cache).Fingerprint
		if what, twice := seen[print]; twice {
			t.Errorf("the fingerprint after a change to %s is that after a change to %s", file, what)
		}
		seen[print] = file
	}
	for _, file := range weightFiles(t, dir) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		flip(t, file, int(info.Size())/3)
		check(file)
	}
	for _, file := range (&Folder{Pipeline: Pipeline{Experts: []string{FirstExpert}}}).configFiles() {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), append(data, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		check(file)
	}
}

// TestAReadingIsRemembered looks at what is taken from the cache, by changing what is there.
func TestAReadingIsRemembered(t *testing.T) {
	dir, cache := tinyOnDisk(t), filepath.Join(t.TempDir(), "new")
	recall := func() string {
		t.Helper()
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		marks := f.marks()
		if marks == nil {
			return f.read().Weights
		}
		return f.readThrough(cache, marks).Weights
	}
	first := recall()
	entries, err := filepath.Glob(filepath.Join(cache, "*.json"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	text, err := os.ReadFile(entries[0])
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(text string) {
		if err := os.WriteFile(entries[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := strings.Repeat("5", len(first))
	rewrite(strings.Replace(string(text), first, other, 1))
	if got := recall(); got != other {
		t.Errorf("the files were read again: %s", got)
	}
	for _, broken := range []string{"", "{}", string(text[:len(text)/2]), "null"} {
		rewrite(broken)
		if got := recall(); got != first {
			t.Errorf("a cache of %.20q: %s, want %s", broken, got, first)
		}
	}
	file := weightFiles(t, dir)[0]
	flip(t, file, 40)
	if got := recall(); got == first {
		t.Error("a file that has just changed is taken for the old one")
	}
	age(t, dir) // the old size and time, but for the one that cannot be set
	if got := recall(); got == first && inode(stat(t, file)) != "" {
		t.Error("a changed file of the old size and time is taken for the old one")
	}
}

func stat(t *testing.T, file string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestLinkedFiles keeps weights apart from their folder, as the cache of Hugging Face does, and
// lets a link point to other weights of the same size and time.
func TestLinkedFiles(t *testing.T) {
	dir, blobs, cache := tinyOnDisk(t), t.TempDir(), t.TempDir()
	file := weightFiles(t, dir)[0]
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var prints []string
	for i, name := range []string{"a", "b"} {
		data[len(data)-9] ^= byte(i)
		blob := filepath.Join(blobs, name)
		if err := os.WriteFile(blob, data, 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(file)
		if err := os.Symlink(blob, file); err != nil {
			t.Skip(err)
		}
		age(t, blobs)
		prints = append(prints, survey(t, dir, cache).Fingerprint)
	}
	if prints[0] == prints[1] {
		t.Error("two blobs have one fingerprint")
	}
}

// TestDamageIsNamed puts values that are not finite into weights of all three components, also into
// those that a clip from text never meets.
func TestDamageIsNamed(t *testing.T) {
	dir := tinyOnDisk(t)
	for _, c := range []struct {
		weight string
		value  float64
		says   string
	}{
		{"text_encoder/encoder.block.1.layer.0.SelfAttention.k.weight", math.NaN(), "NaN"},
		{"transformer/proj_out.bias", math.Inf(1), "+Inf"},
		{"vae/encoder.conv_in.weight", math.Inf(-1), "-Inf"},
	} {
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		component, name, _ := strings.Cut(c.weight, "/")
		x := f.components[component].tensors[name]
		x.Data = append([]byte{}, x.Data...)
		at := x.Shape.Elements() - 1
		bits := math.Float32bits(float32(c.value)) // bfloat16 is the upper half
		x.Data[2*at], x.Data[2*at+1] = byte(bits>>16), byte(bits>>24)
		f.components[component].tensors[name] = x
		d := f.read().Damage
		if d == nil || d.Weight != c.weight || d.At != at || d.Value != c.says {
			t.Errorf("%s: %+v", c.weight, d)
		}
		f.Close()
	}
	if d := survey(t, dir, "").Damage; d != nil {
		t.Error(d)
	}
}

// TestEveryWeightIsLookedAt spoils each weight of the demo in turn, at a place of its own.
func TestEveryWeightIsLookedAt(t *testing.T) {
	f, err := Open(golden.Root("models", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	f.eachWeight(func(name string, x tensor.Tensor) {
		x.Data = append([]byte{}, x.Data...)
		at := n * 7919 % x.Shape.Elements()
		size := x.DType.Size()
		for i := range size {
			x.Data[(at+1)*size-1-i] = 0xff // NaN in every type
		}
		w := &weight{name: name, t: x, bad: -1}
		if w.read(); w.bad != at {
			t.Errorf("NaN in %s at %d is found at %d", name, at, w.bad)
		}
		n++
	})
	if n < 300 {
		t.Errorf("the demo has %d weights", n)
	}
}
