package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/perf"
)

// TestMain plays the peer when a test starts this program again: an item takes four
// seconds, in bf16 two.
func TestMain(m *testing.M) {
	if os.Getenv("LONGTAKE_TEST_PEER") == "" {
		os.Exit(m.Run())
	}
	fmt.Println(`{"name": "torch 0.0"}`)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch {
		case strings.Contains(in.Text(), "strange"):
			fmt.Println(`{"error": "strange is unknown"}`)
		case strings.Contains(in.Text(), "bf16"):
			fmt.Println(`{"seconds": 2}`)
		default:
			fmt.Println(`{"seconds": 4}`)
		}
	}
}

func peer(t *testing.T) *Peer {
	t.Helper()
	t.Setenv("LONGTAKE_TEST_PEER", "1")
	p, err := StartPeer(context.Background(), []string{os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// instant is an item that costs nothing.
func instant(name string, best bool, err error) item {
	return item{name: name, best: best, types: both, flops: 1,
		start: func(*env, compute.DType) (func() error, func(), error) {
			return func() error { return err }, func() {}, nil
		}}
}

func TestRatios(t *testing.T) {
	var rows []Row
	c := Config{Threads: 1, Rounds: 2, Peer: peer(t), Report: func(r Row) { rows = append(rows, r) }}
	for _, best := range []bool{false, true} {
		if err := c.item(instant("gemm", best, nil), 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, peer := range []float64{4, 2, 4, 2} {
		r, against := rows[i], peer
		if i >= 2 {
			against = 2 // the better of both types
		}
		if r.Peer != peer || math.Abs(r.Ratio*against/r.Seconds-1) > 1e-9 {
			t.Errorf("row %d: %+v, want a peer of %g s and a ratio to %g s", i, r, peer, against)
		}
	}
}

func TestFailuresAreTold(t *testing.T) {
	c := Config{Threads: 1, Rounds: 1, Report: func(Row) {}}
	if err := c.item(instant("x", false, errors.New("no memory")), 1); err == nil {
		t.Error("a failed run gave no error")
	}
	c.Peer = peer(t)
	err := c.item(instant("strange", false, nil), 1)
	if err == nil || !strings.Contains(err.Error(), "strange is unknown") {
		t.Errorf("the peer's error came back as %v", err)
	}
	if _, err := StartPeer(context.Background(), []string{"/does/not/exist"}); err == nil {
		t.Error("a peer that does not exist was started")
	}
	t.Setenv("LONGTAKE_TEST_PEER", "")
	if p, err := StartPeer(context.Background(), []string{os.Args[0], "-test.run", "^$"}); err == nil {
		t.Errorf("a program that is no peer was taken for %q", p.Name)
	}
}

// TestItemsRun runs every item that is quick, once.
func TestItemsRun(t *testing.T) {
	seen := map[string]bool{}
	for _, it := range items(wan13.config(1)) {
		if seen[it.name] {
			t.Errorf("%s is there twice", it.name)
		}
		seen[it.name] = true
	}
	var rows []Row
	c := Config{Threads: 2, Rounds: 1, Report: func(r Row) { rows = append(rows, r) }}
	if err := c.item(gemm(5, 7, 9), 2); err != nil {
		t.Fatal(err)
	}
	if err := c.item(attention(20, 2, 8), 1); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 || !(rows[3].Seconds > 0 && rows[3].GFLOPS > 0) || rows[3].Ratio != 0 {
		t.Errorf("%+v", rows)
	}
}

// TestDeviceFiles writes what was measured of a device, and reads it.
func TestDeviceFiles(t *testing.T) {
	kind, err := perf.Find("H100")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "h100.yaml")
	rows := []Row{{Name: "gemm 8x8x8 bias", DType: "bf16", GFLOPS: 700e3},
		{Name: "attention 8x1x64", DType: "bf16", GFLOPS: 500e3},
		{Name: "conv 96to96", DType: "fp32", GFLOPS: 200e3}}
	if err := DeviceFile(path, kind, "a test", rows); err != nil {
		t.Fatal(err)
	}

	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	d, err := perf.Read(file)
	if err != nil || d.Name != "H100" || d.Efficiency["bf16"].From != "a test" {
		t.Errorf("%+v, %v", d, err)
	}
	if err := DeviceFile(path, kind, "a test", rows[:2]); err == nil {
		t.Error("a device without convolutions")
	}
}
