package natsd_test

import (
	"net"
	"strings"
	"testing"
	"time"

	natsio "github.com/nats-io/nats.go"

	"go.uber.org/goleak"

	"github.com/longtake/longtake/internal/natsd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startServer(t *testing.T, o natsd.Options) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func client(t *testing.T, s *natsd.Server, o ...natsio.Option) *natsio.Conn {
	t.Helper()
	nc, err := s.Connect(o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	for _, o := range []natsd.Options{
		{Name: "a", ClientAddr: addr}, {Name: "a", RouteAddr: addr},
	} {
		s, err := natsd.Start(o)
		if err == nil {
			s.Shutdown()
			t.Fatalf("%+v: started on a taken port", o)
		}
		if msg := err.Error(); !strings.Contains(msg, port) || strings.Contains(msg, "\n") {
			t.Errorf("%+v: %q does not name the port on one line", o, msg)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []natsd.Options{
		{ClientAddr: "nowhere"}, {ClientAddr: "h:99999"}, {RouteAddr: "h:x"},
		{Routes: []string{"nats-route://h:1"}}, {RouteAddr: "127.0.0.1:0", Routes: []string{"h"}},
	} {
		if s, err := natsd.Start(o); err == nil {
			s.Shutdown()
			t.Errorf("%+v: started", o)
		}
	}
}

func TestDial(t *testing.T) {
	s := startServer(t, natsd.Options{Name: "a", ClientAddr: "127.0.0.1:0"})
	nc, err := natsd.Dial(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
	if s.RouteURL() != "" {
		t.Errorf("route URL %q without routes", s.RouteURL())
	}
	inside := startServer(t, natsd.Options{Name: "b", RouteAddr: "127.0.0.1:0"})
	if inside.ClientURL() != "" {
		t.Errorf("client URL %q of a server for in-process clients", inside.ClientURL())
	}
	if _, err := natsd.Dial("nats://127.0.0.1:1"); err == nil {
		t.Error("dialled nothing")
	}
}

func TestJetStream(t *testing.T) {
	s := startServer(t, natsd.Options{Name: "a", StoreDir: t.TempDir()})
	js, err := client(t, s).JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(); err != nil {
		t.Error(err)
	}
}

// TestSetRoutes joins servers that did not know each other.
func TestSetRoutes(t *testing.T) {
	const addr = "127.0.0.1:0"
	a := startServer(t, natsd.Options{Name: "a", RouteAddr: addr})
	b := startServer(t, natsd.Options{Name: "b", RouteAddr: addr})
	if err := b.SetRoutes([]string{a.RouteURL()}); err != nil {
		t.Fatal(err)
	}
	answer(t, client(t, a))
	ask(t, client(t, b))
	if err := b.SetRoutes([]string{"::"}); err == nil {
		t.Error("a broken route was taken")
	}
	if err := b.SetRoutes(nil); err != nil {
		t.Error(err)
	}
}

// TestRestart keeps ports and clients.
func TestRestart(t *testing.T) {
	s := startServer(t, natsd.Options{Name: "a", ClientAddr: "127.0.0.1:0",
		RouteAddr: "127.0.0.1:0", Trouble: func(line string) { t.Log(line) }})
	back := make(chan struct{}, 1)
	nc := client(t, s, natsio.ReconnectWait(time.Millisecond),
		natsio.ReconnectHandler(func(*natsio.Conn) { back <- struct{}{} }))
	answer(t, nc)

	url, route := s.ClientURL(), s.RouteURL()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	<-back
	if s.ClientURL() != url || s.RouteURL() != route {
		t.Errorf("it moved from %s and %s to %s and %s", url, route, s.ClientURL(), s.RouteURL())
	}
	ask(t, nc)
}

// answer has a client answer every question.
func answer(t *testing.T, nc *natsio.Conn) {
	t.Helper()
	if _, err := nc.Subscribe("question", func(m *natsio.Msg) { m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// ask repeats a question until it is answered: routes come up after a moment, and until then NATS
// says at once that nobody is there to answer.
func ask(t *testing.T, nc *natsio.Conn) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		if _, err := nc.Request("question", nil, time.Second); err == nil {
			return
		}
		select {
		case <-late:
			t.Fatal("no answer")
		case <-time.After(5 * time.Millisecond):
		}
	}
}
