//go:build cuda

package cuda

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

// mutation is a mistake that a test must find; kernels/mutations/README.md says how it is written.
type mutation struct {
	name, file, unit, test, says string
	env                          []string
	find, put                    []string // lines
}

// TestMutations makes the mistakes of kernels/mutations, one at a time.
func TestMutations(t *testing.T) {
	onEmulator(t)
	lists, err := filepath.Glob(golden.Root("kernels", "mutations", "*.txt"))
	if err != nil || len(lists) == 0 {
		t.Fatalf("there are no mutations (%v)", err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		all, err := mutations(string(text))
		if err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(list), ".txt"), func(t *testing.T) {
			for _, m := range share(t, all) {
				t.Run(m.name, func(t *testing.T) {
					t.Parallel()
					m.try(t)
				})
			}
		})
	}
}

// share returns the mutations that LONGTAKE_MUTATIONS names: all, or with K/N each Nth from the Kth
// on, counted from 0. Continuous integration takes a sixth, another one with each commit.
func share(t *testing.T, all []*mutation) (some []*mutation) {
	k, n := 0, 1
	if s := os.Getenv("LONGTAKE_MUTATIONS"); s != "" {
		if _, err := fmt.Sscanf(s, "%d/%d", &k, &n); err != nil || k < 0 || k >= n {
			t.Fatalf("LONGTAKE_MUTATIONS is %q; allowed: K/N, K from 0 to N-1", s)
		}
	}
	for i := k; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

// mutations reads a list.
func mutations(text string) ([]*mutation, error) {
	var all []*mutation
	for i, line := range strings.Split(text, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "==" {
			all = append(all, &mutation{name: rest})
			continue
		}
		if line == "" || word[:1] == "#" {
			continue
		}
		if len(all) == 0 || !all[len(all)-1].set(word, rest) {
			return nil, fmt.Errorf("line %d: %q", i+1, line)
		}
	}
	return all, nil
}

// set takes a line of a mutation and reports whether it is one.
func (m *mutation) set(word, rest string) bool {
	switch word {
	case "file":
		m.file = rest
	case "unit":
		m.unit = rest
	case "test":
		m.test = rest
	case "says":
		m.says = rest
	case "env":
		m.env = append(m.env, rest)
	case "-":
		m.find = append(m.find, rest)
	case "+":
		m.put = append(m.put, rest)
	default:
		return false
	}
	return true
}

// try makes the mistake and runs the test.
func (m *mutation) try(t *testing.T) {
	if m.file == "" || m.test == "" || m.says == "" || len(m.find) == 0 ||
		(m.unit == "") != strings.HasSuffix(m.file, ".go") {
		t.Fatalf("it is not complete: %+v", *m)
	}
	dir := t.TempDir()
	text := m.mutated(t)
	var program string
	var err error
	env := append([]string{"EMU_WORKERS=1"}, m.env...)
	if m.unit == "" {
		program = buildGo(t, dir, m.file, text)
	} else {
		program, err = os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, "LD_LIBRARY_PATH="+buildKernel(t, dir, m, text))
	}
	out, err := rerun(program, m.test, env...)
	if err == nil {
		t.Errorf("nobody notices: %s", out)
	} else if !strings.Contains(out, m.says) {
		t.Errorf("it fails, but nobody says %q:\n%s", m.says, out)
	}
}

// mutated returns the file's text with the mistake in it.
func (m *mutation) mutated(t *testing.T) string {
	text, err := os.ReadFile(golden.Root(m.file))
	if err != nil {
		t.Fatal(err)
	}
	find, put := strings.Join(m.find, "\n")+"\n", ""
	if len(m.put) > 0 {
		put = strings.Join(m.put, "\n") + "\n"
	}
	if n := strings.Count(string(text), find); n != 1 {
		t.Fatalf("the text is %d times in %s:\n%s", n, m.file, find)
	}
	return strings.Replace(string(text), find, put, 1)
}

// buildKernel makes an emulated driver with the mistake in one of its kernels, and returns its
// folder.
func buildKernel(t *testing.T, dir string, m *mutation, text string) string {
	tree := filepath.Join(dir, "kernels")
	if err := os.CopyFS(tree, os.DirFS(golden.Root("kernels"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, m.file), text)
	command(t, "make", "-s", "-C", golden.Root("kernels"), "mutant", "UNIT="+m.unit, "FROM="+tree,
		"TO="+dir)
	return dir
}

// buildGo compiles this package's tests with another text for one file, and returns the program. The
// tags are those of GOFLAGS: with-emulator.sh sets them.
func buildGo(t *testing.T, dir, file, text string) string {
	other := filepath.Join(dir, filepath.Base(file))
	write(t, other, text)
	overlay, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "tests")
	write(t, overlay, fmt.Sprintf(`{"Replace": {%q: %q}}`, golden.Root(file), other))
	command(t, cmp.Or(os.Getenv("GO"), "go"), "test", "-c", "-vet=off", "-ldflags=-s -w",
		"-overlay", overlay, "-o", program, "./internal/cuda")
	return program
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command runs a command in the project's root.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = golden.Root()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c, err, out)
	}
}
