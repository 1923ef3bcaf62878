package direct_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/direct"
	"github.com/longtake/longtake/internal/collective/nats"
	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
	"github.com/zeebo/xxh3"
)

// The bench is two processes that exchange parts of one size with each other, again and again: by
// plain TCP connections, as many as direct has, by direct, and by NATS; and by each of them in ways
// that nobody can read. One exchange ends when both have all. They take turns, so that what
// disturbs the machine disturbs all of them, and a result is the median of the ratios of
// neighbours.

// benchSide is one of the processes. It is this test's binary with a variable set.
type benchSide struct {
	Rank        int
	Host        string // that it listens at
	TLSDir      string // of its identity
	Connections int
	Bytes       int   // that a measurement moves each way, at least one part
	Sizes       []int // of parts
	Rounds      int   // measurements of each kind and size
}

// benchAddrs is what the sides tell each other.
type benchAddrs struct{ Route, Locked, Raw, TLS string }

// runSide is the whole of such a process.
func runSide(spec string) {
	var b benchSide
	err := json.Unmarshal([]byte(spec), &b)
	if err == nil {
		err = b.run(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "side", b.Rank, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// exchange moves a part each way, and returns once it is there and the other's is here.
type exchange func(ctx context.Context, part []byte) (got []byte, err error)

// benchKinds are in the order in which they are measured. The first is what the others are compared
// with.
var benchKinds = []string{"raw TCP", "direct", "NATS", "checked", "TLS", "direct, sealed",
	"NATS, sealed", "direct over TLS", "NATS, sealed, routes over TLS"}

func (b benchSide) run(in io.Reader, out io.Writer) error {
	// A shard holds a model: without something as large the garbage collector would never rest.
	ballast := make([]byte, 256<<20)
	defer runtime.KeepAlive(ballast)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	id, err := pki.Load(b.TLSDir)
	if err != nil {
		return err
	}
	s, err := natsd.Start(b.server("bench", nil))
	if err != nil {
		return err
	}
	defer s.Shutdown()
	locked, err := natsd.Start(b.server("locked", id))
	if err != nil {
		return err
	}
	defer locked.Shutdown()
	l, err := net.Listen("tcp", b.Host+":0")
	if err != nil {
		return err
	}
	defer l.Close()
	lt, err := net.Listen("tcp", b.Host+":0")
	if err != nil {
		return err
	}
	defer lt.Close()

	var peer benchAddrs
	own := benchAddrs{s.RouteURL(), locked.RouteURL(), l.Addr().String(), lt.Addr().String()}
	if err := json.NewEncoder(out).Encode(own); err != nil {
		return err
	}
	if err := json.NewDecoder(in).Decode(&peer); err != nil {
		return err
	}
	if err := s.SetRoutes([]string{peer.Route}); err != nil {
		return err
	}
	if err := locked.SetRoutes([]string{peer.Locked}); err != nil {
		return err
	}
	kinds, end, err := b.kinds(ctx, [2]*natsd.Server{s, locked}, l, lt, peer)
	if err != nil {
		return err
	}
	defer end()
	return b.measure(ctx, out, kinds)
}

// goDirectly exchanges until all goes directly. Both sides leave after the same exchange: the first
// that both were ready before.
func goDirectly(ctx context.Context, n *direct.Node, do exchange) error {
	for ready := byte(0); ready != 2; {
		part := []byte{0}
		if s := n.Stats(); s.BytesReceived > 0 && s.BytesSent > 0 {
			part[0] = 1
		}
		got, err := do(ctx, part)
		if err != nil {
			return err
		}
		ready = part[0] + got[0]
	}
	return nil
}

func (b benchSide) server(cluster string, id *pki.Identity) natsd.Options {
	o := nats.ServerOptions("side-" + strconv.Itoa(b.Rank))
	o.RouteAddr, o.Cluster = b.Host+":0", cluster
	o.Lock = natsd.Lock{Identity: id, Routes: pki.RoleShard}
	return o
}

// measure takes turns, and prints the seconds of each kind in a line: size and one for each kind.
func (b benchSide) measure(ctx context.Context, out io.Writer, kinds []exchange) error {
	for _, size := range b.Sizes {
		part := collective.NewBuffer(size)
		for i := range b.Rounds + 1 {
			line := strconv.Itoa(size)
			for _, do := range kinds {
				begin := time.Now()
				for range max(1, b.Bytes/size) {
					got, err := do(ctx, part)
					if err != nil {
						return err
					}
					collective.Release(got)
				}
				line += fmt.Sprintf(" %.6f", time.Since(begin).Seconds())
			}
			if i > 0 { // the first one warms up
				fmt.Fprintln(out, line)
			}
		}
	}

	fmt.Fprintln(out, "end")
	_, err := io.Copy(io.Discard, os.Stdin) // the other side may need this one's bye
	return err
}

// transport opens this side's rank, with direct connections if n is not nil.
func (b benchSide) transport(s *natsd.Server, n *direct.Node, kind int, key collective.Key) (
	exchange, func(), error) {
	name := "kind" + strconv.Itoa(kind)
	names := []string{name + "-0", name + "-1"}
	nc, err := s.Connect()
	if err != nil {
		return nil, nil, err
	}
	e, err := nats.NewEndpoint(nc, names[b.Rank], nats.Options{Direct: n})
	if err != nil {
		return nil, nil, err
	}
	tr, err := e.Join(name, 1, b.Rank, names, key)
	if err != nil {
		return nil, nil, err
	}
	g, err := collective.NewGroup(tr, []int{0, 1})
	if err != nil {
		return nil, nil, err
	}
	op := uint32(0)
	do := func(ctx context.Context, part []byte) ([]byte, error) {
		op++
		out := make([][]byte, 2)
		out[1-b.Rank] = part
		in, err := g.AllToAll(ctx, collective.Tag{Op: op}, out)
		if err != nil {
			return nil, err
		}
		return in[1-b.Rank], nil
	}
	return do, func() { tr.Abort(); e.Close(); nc.Close() }, nil
}

// rawPiece is the least that is worth a connection of its own.
const rawPiece = 256 << 10

// raw connects, wraps its connections if it is told how to, and exchanges without any frame: each
// connection carries a piece of the part, which is read into memory that was given back. A checked
// one does what no transport can do without: it sums what it sends and receives.
func (b benchSide) raw(l net.Listener, peer string, wrap func(net.Conn) net.Conn, checked bool) (
	exchange, error) {
	conns := make([]net.Conn, b.Connections)
	for i := range conns {
		var err error
		if b.Rank == 0 {
			conns[i], err = net.Dial("tcp", peer)
		} else {
			conns[i], err = l.Accept()
		}
		if err != nil {
			return nil, err
		}
		if wrap != nil {
			conns[i] = wrap(conns[i])
		}
	}
	var sums atomic.Uint64 // keeps the sums from being left out
	return func(_ context.Context, part []byte) ([]byte, error) {
		got := collective.Dirty(len(part))
		n := min(len(conns), (len(part)-1)/rawPiece+1)
		errs := make([]error, 2*n)
		var wg sync.WaitGroup
		for i, nc := range conns[:n] {
			lo, hi := i*len(part)/n, (i+1)*len(part)/n
			wg.Go(func() {
				if checked {
					sums.Add(xxh3.Hash(part[lo:hi]))
				}
				_, errs[2*i] = nc.Write(part[lo:hi])
			})
			wg.Go(func() {
				_, errs[2*i+1] = io.ReadFull(nc, got[lo:hi])
				if checked {
					sums.Add(xxh3.Hash(got[lo:hi]))
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return nil, err
			}
		}
		return got, nil
	}, nil
}

// benchResult is what one size gave: bytes per second of raw TCP, both ways together, and the
// medians of the ratio to it, of all kinds.
type benchResult struct {
	size   int
	raw    float64
	ratios []float64
}

// runBench starts both sides, each by a command in front of it, and reads what side 0 measures.
func runBench(t *testing.T, b benchSide, hosts [2]string, prefix [2][]string) []benchResult {
	t.Helper()
	var sides [2]*benchProcess
	var addrs [2]string
	ca := pkitest.NewTestAuthority(t, "bench")
	for r := range sides {
		b.Rank, b.Host = r, hosts[r]
		b.TLSDir = ca.Dir(t, pki.RoleShard, "side", time.Hour)
		sides[r] = startSide(t, b, prefix[r])
		addrs[r] = sides[r].line(t)
	}
	for r, s := range sides {
		fmt.Fprintln(s.in, addrs[1-r])
	}
	times := map[int][][]float64{}
	for {
		f := strings.Fields(sides[0].line(t))
		if len(f) != 1+len(benchKinds) {
			break
		}
		size, _ := strconv.Atoi(f[0])
		row := make([]float64, len(benchKinds))
		for i := range row {
			row[i], _ = strconv.ParseFloat(f[1+i], 64)
		}
		times[size] = append(times[size], row)
	}
	var out []benchResult
	for _, size := range b.Sizes {
		moved := 2 * float64(max(1, b.Bytes/size)*size)
		median := func(f func(row []float64) float64) float64 {
			var all []float64
			for _, row := range times[size] {
				all = append(all, f(row))
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		r := benchResult{size: size,
			raw: median(func(row []float64) float64 { return moved / row[0] })}
		for k := range benchKinds {
			ratio := median(func(row []float64) float64 { return row[0] / row[k] })
			r.ratios = append(r.ratios, ratio)
		}
		out = append(out, r)
	}
	return out
}

// benchProcess is a running side.
type benchProcess struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

func (p *benchProcess) line(t *testing.T) string {
	t.Helper()
	if !p.out.Scan() {
		t.Fatal("a side has ended: ", p.out.Err())
	}
	return p.out.Text()
}
