package bench

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
)

// stopwatch is a CPU device that plays a GPU.
type stopwatch struct {
	*cpu.Device
	name string
	fail bool
}

func (s stopwatch) Name() string { return s.name }

func (s stopwatch) Elapsed(f func() error) (time.Duration, error) {
	if s.fail {
		return 0, errors.New("the clock stands still")
	}
	begin := time.Now()
	err := f()
	return max(time.Since(begin), time.Nanosecond), err
}

func watch(t *testing.T, name string) stopwatch {
	t.Helper()
	d, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return stopwatch{Device: d, name: name}
}

func TestGPUItems(t *testing.T) {
	var rows []Row
	g := GPU{Device: watch(t, "cuda: NVIDIA H100 PCIe, sm_90, v1"), Tiny: true, Rounds: 2,
		Peer: peer(t), Report: func(r Row) { rows = append(rows, r) }}
	if err := g.Run(); err != nil {
		t.Fatal(err)
	}
	last := len(rows) - 1
	if r := rows[last]; !(r.Seconds > 0) || !strings.Contains(r.Note, "of the shorter hidden") {
		t.Errorf("%+v", r)
	}
	kinds := map[string]int{}
	for _, r := range rows[:last] {
		kind, _, _ := strings.Cut(r.Name, " ")
		kinds[kind]++
		peak := map[string]float64{"fp32": 51.2e12, "bf16": 756.4e12}[r.DType]
		if !(r.Seconds > 0) || r.Peer == 0 || r.Peak*peak < 0.99*r.GFLOPS*1e9 ||
			r.Peak*peak > 1.01*r.GFLOPS*1e9 {
			t.Errorf("%+v", r)
		}
		if kind == "upload" && (r.Bandwidth == 0 || !strings.Contains(r.Note, "GB/s")) {
			t.Errorf("%+v says nothing of bytes", r)
		}
	}
	want := map[string]int{"gemm": 7, "attention": 2, "conv": 9, "vae": 2, "umt5": 1, "upload": 1,
		"wan": 3}
	if !maps.Equal(kinds, want) {
		t.Errorf("the items are %v, want %v", kinds, want)
	}
	g.Device = stopwatch{Device: g.Device.(stopwatch).Device, fail: true}
	if err := g.Run(); err == nil || !strings.Contains(err.Error(), "gemm 70x40x50 in fp32: the clock") {
		t.Errorf("got %v", err)
	}
}

// TestAPeerThatCannotIsANote: an item too large for the peer has no ratio.
func TestAPeerThatCannotIsANote(t *testing.T) {
	g := GPU{Device: watch(t, "cuda: Emulated H100, sm_90, v1"), Rounds: 1, Peer: peer(t)}
	r, err := g.row(instant("strange", false, nil), compute.BF16)
	if err != nil || r.Peer != 0 || r.Ratio != 0 || r.Peak != 0 ||
		!strings.Contains(r.Note, "strange is unknown") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestFullItemsHaveNamesOfTheirOwn(t *testing.T) {
	seen, pass := map[string]bool{}, false
	for _, it := range (GPU{}).items() {
		key := it.name + it.types[0].String()
		counted := it.flops > 0 || it.bytes > 0 || strings.HasPrefix(it.name, "vae encode")
		if seen[key] || !counted {
			t.Errorf("%s is there twice, or costs nothing", key)
		}
		seen[key], pass = true, pass || it.name == stepItem
	}
	if !pass {
		t.Errorf("no item is called %q, which the page asks for", stepItem)
	}
}

// TestOnlyTheItemsThatAreWanted: of items and copies, those whose names match.
func TestOnlyTheItemsThatAreWanted(t *testing.T) {
	for only, want := range map[string][]string{
		"^attention": {"attention 70x2x64", "attention 70x2x64"}, // fp32 and bf16
		"beside":     {"copies 30x70 beside gemms"}, "^none$": nil,
	} {
		var got []string
		g := GPU{Device: watch(t, "cuda: Emulated H100, sm_90, v1"), Tiny: true, Rounds: 1,
			Only: regexp.MustCompile(only), Report: func(r Row) { got = append(got, r.Name) }}
		if err := g.Run(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", only, got, err, want)
		}
	}
}

func TestPeaks(t *testing.T) {
	for name, want := range map[string]float64{
		"cuda: NVIDIA H100 80GB HBM3, sm_90, v1": 989.4, "cuda: NVIDIA H100 NVL, sm_90, v2": 835.5,
		"cuda: NVIDIA A100-SXM4-80GB, sm_80, v1": 312, "cuda: NVIDIA A10, sm_86, v1": 125,
		"cuda: NVIDIA L40S, sm_89, v1": 362, "cuda: NVIDIA GH200 480GB, sm_90, v1": 989.4,
		"cuda: Tesla T4, sm_75, v1": 0, "cuda: Emulated H100, sm_90, v1": 0,
	} {
		if p, ok := PeakOf(name); p.bf16 != want || ok != (want > 0) {
			t.Errorf("%s: peak %g, %v; want %g", name, p.bf16, ok, want)
		}
	}
}

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rows := []Row{{Name: stepItem, DType: "bf16", Seconds: 3, GFLOPS: 5000, Peak: 0.25, Peer: 1.5,
		Ratio: 2, Note: "a|b"}}
	write("head\n")
	if err := Page(path, "cuda: NVIDIA H100, sm_90, v1", "torch", rows); err == nil {
		t.Error("a page without a place for the tables was taken")
	}
	write("head\n" + pageBegin + "old\n" + pageEnd + "\ntail\n")
	for range 2 { // writing again replaces
		if err := Page(path, "cuda: NVIDIA H100, sm_90, v1", "torch", rows); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "head\n" + pageBegin + "\nOn NVIDIA H100, sm_90, v1; its peak is 989.4 TFLOP/s in bf16, " +
		"66.9 in fp32; compared with torch.\n\n" +
		"| what | type | ms | TFLOP/s | of peak | PyTorch, ms | ours / theirs | note |\n" +
		"|---|---|---|---|---|---|---|---|\n" +
		"| wan 1.3B guided step 32760 tokens | bf16 | 3000 | 5.0 | 25.0 % | 1500 | 2.00 | a/b |\n\n" +
		"A guided step of Wan 2.1 1.3B, 81 frames of 832x480, takes 3 s, MFU 25.0 %.\n\n" +
		pageEnd + "\ntail\n"
	if string(got) != want {
		t.Errorf("the page is\n%s", got)
	}
}
