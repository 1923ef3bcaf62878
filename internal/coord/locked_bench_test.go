//go:build unix

package coord

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
	"github.com/longtake/longtake/internal/wire"
)

// BenchmarkHeartbeatsOverTCP has a thousand shards beat once each, over a connection of each, with
// certificates and without. cpu-ms is what a round takes of all cores, on both sides; connect-ms
// what connecting all of them took once.
func BenchmarkHeartbeatsOverTCP(b *testing.B) {
	for _, name := range []string{"open", "locked"} {
		b.Run(name, func(b *testing.B) { beatOverTCP(b, 1000, name == "locked") })
	}
}

func beatOverTCP(b *testing.B, shards int, locked bool) {
	ca := pkitest.NewTestAuthority(b, "here")
	cfg := testConfig(b.TempDir())
	cfg.ID, cfg.NATS.Listen, cfg.Limits.Nodes = "c1", "127.0.0.1:0", shards
	cfg.Timing.LostAfter, cfg.Timing.Heartbeat = time.Minute, 500*time.Millisecond
	if locked {
		cfg.Identity = ca.Identity(b, pki.RoleCoordinator, "c1")
	}
	c, err := Start(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })

	// The certificates first: making them is no part of what is measured.
	options := make([][]nats.Option, shards)
	for i := range options {
		if locked {
			name := fmt.Sprint("n", i)
			options[i] = natsd.Locked(ca.Identity(b, pki.RoleShard, name), pki.RoleCoordinator,
				wire.Inbox(name))
		}
	}
	conns := make([]*nats.Conn, shards)
	start := cpu()
	for i := range conns {
		if conns[i], err = nats.Connect(c.ClientURL(), options[i]...); err != nil {
			b.Fatal(err)
		}
		defer conns[i].Close()
	}
	connecting := cpu() - start

	identity := func(i int) string {
		if locked {
			return fmt.Sprint("n", i)
		}
		return ""
	}
	each := func(subject string, m func(i int) any) {
		var wg sync.WaitGroup
		for i, nc := range conns {
			wg.Go(func() {
				_, err := nc.Request(wire.Said(subject, identity(i)), wire.Encode(m(i)), time.Minute)
				if err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	each(wire.SubjectRegister, func(i int) any {
		return wire.Registration{Node: wire.NewNodeID(identity(i), fmt.Sprint(i)), Name: fmt.Sprint(i),
			Model: demo(), Device: "fake", Threads: 1}
	})

	b.ResetTimer()
	start = cpu()
	for b.Loop() {
		each(wire.SubjectHeartbeat, func(i int) any {
			return wire.Heartbeat{Node: wire.NewNodeID(identity(i), fmt.Sprint(i)), State: wire.Idle}
		})
	}
	b.ReportMetric((cpu()-start).Seconds()*1e3/float64(b.N), "cpu-ms/op")
	b.ReportMetric(connecting.Seconds()*1e3, "connect-ms")
}

// cpu is what this process has taken of all cores.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
