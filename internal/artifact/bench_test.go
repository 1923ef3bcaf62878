package artifact

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/job"
)

// BenchmarkRemote puts and gets objects in turn directly and through a desk, over loopback and with
// the writes that coordinators make (each synced). It reports how many times as long the desk
// takes.
func BenchmarkRemote(b *testing.B) {
	own, theirs := clients(b)
	bucket, err := Open(b.Context(), own, "objects", Options{Once: true})
	if err != nil {
		b.Fatal(err)
	}
	objects := map[string]job.Object{}
	d, err := NewDesk(DeskOptions{Dir: b.TempDir(), Room: func() int64 { return 1 << 40 },
		Grant: func(string) (Grant, error) {
			return Grant{Jobs: one, BytesMax: 1 << 40, Objects: objects}, nil
		},
		Unknown: func([]string) []string { return nil },
		Refused: func(_, _ string, err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	d.Use(bucket, nil)
	for _, op := range []string{OpPut, OpChunk, OpEnd, OpGet} {
		if _, err := own.Subscribe("t."+op, func(m *nats.Msg) { d.Serve("a", op, m) }); err != nil {
			b.Fatal(err)
		}
	}
	direct, err := Bind(b.Context(), theirs, "objects")
	if err != nil {
		b.Fatal(err)
	}
	remote := NewRemote(theirs, func(op string) string { return "t." + op })

	for _, mb := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%dMB", mb), func(b *testing.B) {
			data := make([]byte, mb<<20)
			rand.Read(data) //nolint:errcheck // never fails
			var puts, gets [2]time.Duration
			for i := range b.N {
				for j := range 2 {
					which := (i + j) % 2                               // neither is always the first
					binary.LittleEndian.PutUint64(data, uint64(2*i+j)) //nolint:gosec // from 0
					s := []Store{direct, remote}[which]
					put, get := putAndGet(b, s, data, func(o job.Object) { objects[o.Name] = o })
					puts[which] += put
					gets[which] += get
					if err := bucket.Delete(b.Context(), describe(b, data)); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(puts[1])/float64(puts[0]), "put-ratio")
			b.ReportMetric(float64(gets[1])/float64(gets[0]), "get-ratio")
			b.ReportMetric(puts[0].Seconds()*1e3/float64(b.N), "ms-put-direct")
			b.ReportMetric(gets[0].Seconds()*1e3/float64(b.N), "ms-get-direct")
		})
	}
}

// putAndGet times both of an object; stored is called between.
func putAndGet(b *testing.B, s Store, data []byte, stored func(job.Object)) (put,
	get time.Duration) {
	b.Helper()
	start := time.Now()
	o, err := s.Put(b.Context(), bytes.NewReader(data))
	put = time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	stored(o)

	start = time.Now()
	r, err := s.Get(b.Context(), o)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		err = errors.Join(err, r.Close())
	}
	if err != nil {
		b.Fatal(err)
	}
	return put, time.Since(start)
}

// clients start a server, and connect to it as a coordinator and as a node does.
func clients(b *testing.B) (own, theirs *nats.Conn) {
	b.Helper()
	s, err := natsd.NewServer(&natsd.Options{JetStream: true, StoreDir: b.TempDir(), Host: "127.0.0.1",
		Port: natsd.RANDOM_PORT, NoSigs: true, SyncAlways: true})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	b.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		b.Fatal("NATS does not start")
	}
	if own, err = nats.Connect("", nats.InProcessServer(s)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(own.Close)
	if theirs, err = nats.Connect(s.ClientURL()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(theirs.Close)
	return own, theirs
}
