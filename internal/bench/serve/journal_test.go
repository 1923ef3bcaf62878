package serve

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

// TestAnInterruptedRunGoesOn: with the same clips as one that was not interrupted, each of them
// made once, in every scenario; a rate that was not finished is measured anew.
func TestAnInterruptedRunGoesOn(t *testing.T) {
	soak := plain(Soak)
	soak.Rates, soak.Count, soak.Duration = []float64{0.2}, 0, 2*time.Minute
	sweep := plain(Server)
	sweep.Rates = []float64{0.1, 0.5}
	search := plain(Server)
	for _, s := range []Setup{plain(SingleStream), plain(Offline), soak, sweep, search} {
		synctest.Test(t, func(t *testing.T) {
			s.InFlight, s.Warmup = 3, 2
			whole := ran(t, s, newStand(1, 4*time.Second))

			dir, on := folder(t), newStand(1, 4*time.Second)
			sessions := 0
			for {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
				if sessions >= 3 { // a point takes longer than that
					ctx, cancel = context.WithCancel(t.Context())
				}
				b := bench(t, s, on, dir)
				err := b.Run(ctx)
				cancel()
				sessions++
				b.Journal.Close()
				if err != nil && sessions < 9 {
					time.Sleep(time.Hour) // which is not to count
					continue
				}
				r := b.Result(result.Tool{}, err)
				if err != nil || r.Check() != nil || sessions < 2 {
					t.Fatalf("%s: %v, %v, %d sessions", s.Scenario, err, r.Check(), sessions)
				}
				same(t, whole, r)
				if got := r.Finished.Sub(r.Started); got > 2*time.Hour {
					t.Errorf("%s: the pauses count: %v", s.Scenario, got)
				}
				if !strings.Contains(strings.Join(r.Notes, " "), "interrupted") {
					t.Errorf("%q", r.Notes)
				}
				return
			}
		})
	}
}

// same compares the clips that two runs asked for.
func same(t *testing.T, a, b result.Result) {
	t.Helper()
	type clip struct {
		index, point, prompt int
		phase                string
		seed                 uint64
	}
	set := map[clip]int{}
	for _, q := range a.Requests {
		set[clip{q.Index, q.Point, q.Prompt, q.Phase, q.Seed}]++
	}
	for _, q := range b.Requests {
		set[clip{q.Index, q.Point, q.Prompt, q.Phase, q.Seed}]--
	}
	for c, n := range set {
		if n != 0 {
			t.Errorf("%s: %+v is there %+d times more", a.Scenario.Name, c, -n)
		}
	}
}

// TestAnotherRunDoesNotGoOn with a journal, and the error says why.
func TestAnotherRunDoesNotGoOn(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "journal.jsonl")
	s := plain(SingleStream)
	bench(t, s, newStand(1, 0), dir).Journal.Close()
	f := func(s Setup, c result.Cohort, want string) {
		t.Helper()
		j, err := OpenJournal(path, Head(s, c, time.Now()))
		if err == nil {
			j.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !contains(err, want)) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	cohort := result.Cohort{Dialect: "longtake", Product: "stand"}
	f(s, cohort, "")
	other := s
	other.Seed = 9
	f(other, cohort, "setup.seed (1 there, 9 now)")
	other = s
	other.Request = target.Request{Steps: 5}
	f(other, cohort, "setup.request.Steps (0 there, 5 now)")
	cohort.Version = "v2"
	f(s, cohort, "cohort.version")
}

// TestACutOffLineIsRemoved, as a machine that fails leaves one; a line that is wrong is refused.
func TestACutOffLineIsRemoved(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "journal.jsonl")
	s := plain(SingleStream)
	b := bench(t, s, newStand(1, 0), dir)
	if err := b.Journal.add(entry{Pass: 1, Request: &result.Request{Index: 3}}); err != nil {
		t.Fatal(err)
	}
	b.Journal.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, b.Journal.head)
		if err != nil {
			t.Fatalf("cut off at %d: %v", cut, err)
		}
		if n := len(j.pass(1).requests); n != 0 {
			t.Errorf("cut off at %d: %d clips", cut, n)
		}
		j.Close()
		text, _ := os.ReadFile(path)
		if n := bytes.LastIndexByte(whole[:cut], '\n') + 1; !bytes.HasPrefix(text, whole[:n]) ||
			text[len(text)-1] != '\n' {
			t.Errorf("cut off at %d: %q", cut, text)
		}
	}
	for _, bad := range []string{"\n", "{}\n", `{"pass":1}` + "\n", string(whole) + "{\"frob\":1}\n",
		strings.Replace(string(whole), `"version":1`, `"version":2`, 1)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if j, err := OpenJournal(path, b.Journal.head); err == nil {
			j.Close()
			t.Errorf("%q was read", bad)
		}
	}
}

// FuzzJournal: whatever is in the file, it is read or refused, and what is read can be gone on
// with.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"head":{"version":1}}` + "\n" + `{"pass":1,"request":{"index":1}}` + "\n"))
	f.Add([]byte(`{"head":{"version":1}}` + "\n" + `{"dropped":true}` + "\n{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		j := Journal{passes: map[int]*passLog{}}
		end, err := j.read(bytes.NewReader(text))
		if end > int64(len(text)) || err == nil && bytes.Count(text, []byte("\n")) > 0 && end == 0 {
			t.Errorf("%d, %v", end, err)
		}
		j.clock()
	})
}
