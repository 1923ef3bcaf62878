package direct_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

const (
	benchVar = "LONGTAKE_NET"      // a Markdown file whose table is filled; or 1: it is printed
	sideVar  = "LONGTAKE_NET_SIDE" // a side of the bench, which this binary then is
)

// TestMain runs a side of the bench where a variable asks for one, else the tests.
func TestMain(m *testing.M) {
	if spec := os.Getenv(sideVar); spec != "" {
		runSide(spec)
	}
	goleak.VerifyTestMain(m)
}

// startSide starts a side of the bench, with a command in front of it.
func startSide(t *testing.T, b benchSide, prefix []string) *benchProcess {
	t.Helper()
	spec, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(prefix, os.Args[0])
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), sideVar+"="+string(spec))
	cmd.Stderr = os.Stderr
	p := &benchProcess{}
	out, err := cmd.StdoutPipe()
	if err == nil {
		p.in, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	t.Cleanup(func() {
		p.in.Close()
		_ = cmd.Wait()
	})
	return p
}

// link is a network that the bench runs over.
type link struct {
	name  string
	shape string // what tc is told of each end; "": the loopback interface
	bytes int    // that a measurement moves each way
}

// TestBench is make bench-net.
func TestBench(t *testing.T) {
	page := os.Getenv(benchVar)
	if page == "" {
		t.Skip(benchVar + " is not set")
	}
	table := "| network | part | raw TCP, both ways | " + strings.Join(benchKinds[1:], " | ") +
		" |\n" + strings.Repeat("|---", 2+len(benchKinds)) + "|\n"
	for _, l := range []link{
		{name: "loopback", bytes: 64 << 20},
		{"1 Gbit/s", "tbf rate 1gbit burst 128kb latency 10ms", 16 << 20},
		{"10 Gbit/s", "tbf rate 10gbit burst 1mb latency 10ms", 64 << 20},
		{"1 Gbit/s, 1 % loss", "netem rate 1gbit loss 1% limit 2000", 16 << 20},
		{"10 Gbit/s, 1 % loss", "netem rate 10gbit loss 1% limit 20000", 64 << 20},
	} {
		t.Run(l.name, func(t *testing.T) {
			for _, r := range l.bench(t) {
				line := fmt.Sprintf("| %s | %s | %.2f GB/s |", l.name, bytesText(r.size), r.raw/1e9)
				for _, x := range r.ratios[1:] {
					line += fmt.Sprintf(" %.2f |", x)
				}
				line += "\n"
				t.Log(line)
				table += line
			}
		})
	}
	if page != "1" {
		fillPage(t, page, table)
	}
}

func (l link) bench(t *testing.T) []benchResult {
	b := benchSide{Connections: 4, Bytes: l.bytes, Rounds: 9,
		Sizes: []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}}
	if l.shape == "" {
		return runBench(t, b, [2]string{"127.0.0.1", "127.0.0.1"}, [2][]string{})
	}
	b.Rounds, b.Sizes = 5, []int{64 << 10, 1 << 20, 16 << 20}
	hosts, prefix := namespaces(t, l.shape)
	return runBench(t, b, hosts, prefix)
}

// namespaces makes two network namespaces with a shaped link between them, which go with t. Without
// root, ip, tc or what the kernel needs for it the test is skipped.
func namespaces(t *testing.T, shape string) (hosts [2]string, prefix [2][]string) {
	t.Helper()
	script := func(lines string) error {
		for line := range strings.Lines(lines) {
			f := strings.Fields(line)
			if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", strings.TrimSpace(line), err, out)
			}
		}
		return nil
	}

	id := fmt.Sprint(os.Getpid())
	a, b := "lt"+id+"a", "lt"+id+"b"
	t.Cleanup(func() { _ = script("ip netns del " + a + "\nip netns del " + b) })
	err := script(strings.NewReplacer("A", a, "B", b).Replace(`ip netns add A
ip netns add B
ip link add A type veth peer name B
ip link set A netns A
ip link set B netns B
ip -n A addr add 10.97.0.1/24 dev A
ip -n B addr add 10.97.0.2/24 dev B
ip -n A link set A up
ip -n B link set B up
ip -n A link set lo up
ip -n B link set lo up
`) + "tc -n " + a + " qdisc add dev " + a + " root " + shape + "\n" +
		"tc -n " + b + " qdisc add dev " + b + " root " + shape)
	if err != nil {
		t.Skip("no network namespaces with shaped links: ", err)
	}
	return [2]string{"10.97.0.1", "10.97.0.2"},
		[2][]string{{"ip", "netns", "exec", a}, {"ip", "netns", "exec", b}}
}

func bytesText(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

const (
	pageMark = "<!-- made by make bench-net -->\n\n"
	pageEnd  = "\n<!-- end of what make bench-net made -->"
)

// fillPage puts the table between its marks.
func fillPage(t *testing.T, path, table string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), pageMark)
	_, after, ok2 := strings.Cut(rest, pageEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	page := []byte(before + pageMark + table + pageEnd + after)
	if err := os.WriteFile(path, page, 0o644); err != nil { //nolint:gosec // a page
		t.Fatal(err)
	}
}
