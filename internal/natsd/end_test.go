package natsd_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	natsio "github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/freeport"
	"github.com/longtake/longtake/internal/natsd"
)

// TestNewStreamsEndWithTheirServer ends servers that still have streams to create. What such a
// stream has opened is closed again.
func TestNewStreamsEndWithTheirServer(t *testing.T) {
	routes := freeport.Addrs(2)
	alone := natsd.Options{Name: "a"}
	a, b := natsd.Options{Name: "a"}, natsd.Options{Name: "b"}
	for i, o := range []*natsd.Options{&a, &b} {
		o.RouteAddr = routes[i]
		o.Routes = []string{"nats-route://" + routes[0], "nats-route://" + routes[1]}
	}

	for _, all := range [][]natsd.Options{{alone}, {a, b}} {
		dir, running := t.TempDir(), []*natsd.Server{}
		for _, o := range all {
			o.StoreDir = filepath.Join(dir, o.Name)
			running = append(running, startServer(t, o))
		}
		nc := client(t, running[0])
		awaitStreams(t, nc)
		answers, err := nc.SubscribeSync("answers")
		if err != nil {
			t.Fatal(err)
		}
		for n := range 20 {
			askForStream(t, nc, fmt.Sprint("s", n), len(all))
		}
		if _, err := answers.NextMsg(time.Minute); err != nil { // of the first one
			t.Fatal(err)
		}
		nc.Close()

		var ending sync.WaitGroup
		for _, s := range running {
			ending.Go(s.Shutdown)
		}
		ending.Wait()
		if err := goleak.Find(); err != nil {
			t.Fatalf("%d servers: %v", len(all), err)
		}
	}
}

// awaitStreams waits until JetStream answers, for which several servers elect one.
func awaitStreams(t *testing.T, nc *natsio.Conn) {
	t.Helper()
	js, err := nc.JetStream(natsio.MaxWait(100 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer of JetStream", func() bool {
		_, err := js.AccountInfo()
		return err == nil
	})
}

// askForStream asks for a new stream, and does not wait for the answer.
func askForStream(t *testing.T, nc *natsio.Conn, name string, replicas int) {
	t.Helper()
	c, err := json.Marshal(natsio.StreamConfig{Name: name, Subjects: []string{name},
		Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("$JS.API.STREAM.CREATE."+name, "answers", c); err != nil {
		t.Fatal(err)
	}
}
