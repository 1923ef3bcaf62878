package natsd_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/natsd"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

const addr = "127.0.0.1:0"

// refusals is what servers have refused.
type refusals struct {
	mu  sync.Mutex
	all []natsd.Refusal
}

func (r *refusals) note(x natsd.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, x)
}

// await waits until something was refused whose line has a word in it.
func (r *refusals) await(t *testing.T, reason natsd.RefusalReason, word string) {
	t.Helper()
	eventually(t, "a refusal that says "+word, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, x := range r.all {
			if x.Reason == reason && strings.Contains(x.Line, word) {
				return true
			}
		}
		return false
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("it never comes to %s", what)
		}
	}
}

// permit gives a shard a subject of its own for what it says, and one for what it hears.
func permit(id pki.ID) natsd.Permissions {
	return natsd.Permissions{Publish: []string{"said." + id.Name},
		Subscribe: []string{"told." + id.Name, "_INBOX." + id.Name + ".>"}}
}

// lock is that of a coordinator's server.
func lock(i *pki.Identity, r *refusals) natsd.Lock {
	return natsd.Lock{Identity: i, Clients: pki.RoleShard, Routes: pki.RoleCoordinator,
		Permit: permit, Refused: r.note}
}

// forged is a certificate that pki would not load, or not use.
func forged(t *testing.T, a *pkitest.Authority, id pki.ID, at time.Time) *tls.Config {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.NewRequest(id, nil, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pki.ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(r, at, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
}

// TestStrangersAreRefused: who has no certificate, or a wrong one, is refused, and it is said why.
func TestStrangersAreRefused(t *testing.T) {
	ca, other := pkitest.NewTestAuthority(t, "c"), pkitest.NewTestAuthority(t, "c")
	var told refusals
	s := startServer(t, natsd.Options{Name: "a", ClientAddr: addr,
		Lock: lock(ca.Identity(t, pki.RoleCoordinator, "c1"), &told)})
	shard := pki.ID{Cluster: "c", Role: pki.RoleShard, Name: "s"}
	another := pki.ID{Cluster: "d", Role: pki.RoleShard, Name: "s"}
	coordinator := pki.ID{Cluster: "c", Role: pki.RoleCoordinator, Name: "c2"}
	now := time.Now()

	for word, conf := range map[string]*tls.Config{
		"none was shown":      {InsecureSkipVerify: true},
		"it ran out at":       forged(t, ca, shard, now.Add(-2*time.Hour)),
		"no CA of this":       forged(t, other, shard, now),
		"this cluster is c":   forged(t, pkitestOf(ca, "d"), another, now),
		"it is a coordinator": forged(t, ca, coordinator, now),
	} {
		nc, err := natsio.Connect(s.ClientURL(), natsio.Secure(conf))
		if err == nil {
			nc.Close()
			t.Errorf("%s: connected", word)
			continue
		}
		told.await(t, natsd.RefusedCertificate, word)
	}
	if nc, err := natsd.Dial(s.ClientURL()); err == nil {
		nc.Close()
		t.Error("connected without TLS")
	}
}

// pkitestOf signs for another cluster with the same key.
func pkitestOf(a *pkitest.Authority, cluster string) *pkitest.Authority {
	return &pkitest.Authority{Authority: a.Authority, Cluster: cluster}
}

// dial connects with an identity; errs takes what NATS says afterwards.
func dial(t *testing.T, s *natsd.Server, i *pki.Identity) (nc *natsio.Conn, errs chan error) {
	t.Helper()
	errs = make(chan error, 64)
	nc, err := natsio.Connect(s.ClientURL(), append(natsd.Locked(i, pki.RoleCoordinator,
		"_INBOX."+i.ID().Name), natsio.ReconnectWait(time.Millisecond),
		natsio.ReconnectJitter(0, 0), natsio.MaxReconnects(-1),
		natsio.ErrorHandler(func(_ *natsio.Conn, _ *natsio.Subscription, err error) {
			errs <- err
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, errs
}

// TestClientsHaveTheirOwnSubjects: a client publishes and subscribes where it may, answers what it
// is asked, once, and nothing else.
func TestClientsHaveTheirOwnSubjects(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "c")
	var told refusals
	s := startServer(t, natsd.Options{Name: "a", ClientAddr: addr, StoreDir: t.TempDir(),
		Lock: lock(ca.Identity(t, pki.RoleCoordinator, "c1"), &told)})
	own := client(t, s) // in the process: it may do everything
	nc, errs := dial(t, s, ca.Identity(t, pki.RoleShard, "s"))

	heard := make(chan *natsio.Msg, 64)
	if _, err := own.ChanSubscribe(">", heard); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("told.s", func(m *natsio.Msg) {
		m.Respond([]byte("one")) //nolint:errcheck // asked for
		m.Respond([]byte("two")) //nolint:errcheck // refused
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(own.Flush(), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if m, err := own.Request("told.s", nil, time.Minute); err != nil || string(m.Data) != "one" {
		t.Fatal("no answer:", err)
	}
	mustRefuse(t, errs, "Publish") // the second answer

	for _, subject := range []string{"said.t", "told.t", "told.s", "$JS.API.INFO", "_INBOX.t.1",
		"_INBOX.s.1", "$SYS.REQ.SERVER.PING", "said.s.more", "$KV.x.y", "$O.x.M.y"} {
		if err := nc.Publish(subject, []byte("forged")); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, errs, "Publish")
	}
	for _, subject := range []string{">", "told.*", "told.t", "said.s", "_INBOX.>", "_INBOX.t.>",
		"$JS.>", "*.s"} {
		if _, err := nc.Subscribe(subject, func(*natsio.Msg) {}); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, errs, "Subscription")
	}
	told.await(t, natsd.RefusedSubject, "longtake://c/shard/s")

	// Nothing of that was heard, and what it may say still is.
	if err := nc.Publish("said.s", []byte("own")); err != nil {
		t.Fatal(err)
	}
	for m := range heard {
		if string(m.Data) == "forged" || string(m.Data) == "two" {
			t.Errorf("heard %q on %s", m.Data, m.Subject)
		}
		if string(m.Data) == "own" {
			break
		}
	}
}

func mustRefuse(t *testing.T, errs <-chan error, what string) {
	t.Helper()
	select {
	case err := <-errs:
		if !errors.Is(err, natsio.ErrPermissionViolation) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, not a violation of %s", err, what)
		}
	case <-time.After(time.Minute):
		t.Fatalf("a %s is not refused", what)
	}
}

// TestRoutesAreOfOneRole: coordinators' servers join, and a shard's stays outside, whoever dials.
func TestRoutesAreOfOneRole(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "c")
	var told refusals
	start := func(role pki.Role, name string, routes ...string) *natsd.Server {
		return startServer(t, natsd.Options{Name: name, RouteAddr: addr, Routes: routes,
			Lock: lock(ca.Identity(t, role, name), &told)})
	}
	a := start(pki.RoleCoordinator, "c1")
	b := start(pki.RoleCoordinator, "c2", a.RouteURL())
	answer(t, client(t, a))
	ask(t, client(t, b))

	// A route that is set keeps the lock.
	c := start(pki.RoleCoordinator, "c3")
	if err := c.SetRoutes([]string{a.RouteURL()}); err != nil {
		t.Fatal(err)
	}
	ask(t, client(t, c))
	start(pki.RoleShard, "dials", a.RouteURL())
	told.await(t, natsd.RefusedCertificate, "shard/dials refused")
	dialled := start(pki.RoleShard, "dialled")
	if err := c.SetRoutes([]string{a.RouteURL(), dialled.RouteURL()}); err != nil {
		t.Fatal(err)
	}
	told.await(t, natsd.RefusedCertificate, "shard/dialled refused")
	if _, err := client(t, dialled).Request("question", nil, time.Second); !errors.Is(err,
		natsio.ErrNoResponders) {
		t.Errorf("a shard's server has joined: %v", err)
	}
}

// TestOneIdentityHasAFewConnections: a certificate does not take all connections that there are,
// and those that were closed make room.
func TestOneIdentityHasAFewConnections(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "c")
	var told refusals
	s := startServer(t, natsd.Options{Name: "a", ClientAddr: addr,
		Lock: lock(ca.Identity(t, pki.RoleCoordinator, "c1"), &told)})
	own := ca.Identity(t, pki.RoleShard, "s")
	var all []*natsio.Conn
	for range 128 {
		nc, _ := dial(t, s, own)
		all = append(all, nc)
	}
	more := func() error {
		nc, err := natsio.Connect(s.ClientURL(), natsd.Locked(own, pki.RoleCoordinator, "x")...)
		if err == nil {
			nc.Close()
		}
		return err
	}
	if err := more(); err == nil {
		t.Error("there is no end to connections")
	}
	told.await(t, natsd.RefusedCertificate, "128 connections already")
	dial(t, s, ca.Identity(t, pki.RoleShard, "other"))
	all[0].Close()
	eventually(t, "a connection that is closed to make room", func() bool { return more() == nil })
}

// TestRoutesOfTheRevokedEnd: a server is cut off by those that it has dialled, and by those that
// have dialled it.
func TestRoutesOfTheRevokedEnd(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "c")
	var told refusals
	own := map[string]*pki.Identity{}
	start := func(name string, routes ...string) *natsd.Server {
		own[name] = ca.Identity(t, pki.RoleCoordinator, name)
		return startServer(t, natsd.Options{Name: name, RouteAddr: addr, Routes: routes,
			Lock: lock(own[name], &told)})
	}
	a := start("c1")
	b := start("c2", a.RouteURL())
	asker := client(t, b)
	answer(t, client(t, a))

	for _, judge := range []string{"c1", "c2"} {
		ask(t, asker)
		own[judge].Deny(func(pki.ID) bool { return true })
		eventually(t, judge+" to cut the other off", func() bool {
			_, err := asker.Request("question", nil, time.Second) // one may be lost with the route
			return errors.Is(err, natsio.ErrNoResponders)
		})
		own[judge].Deny(nil)
	}
	ask(t, asker)
}

// TestCertificatesChange: the certificate and the CA are replaced under a server and its client,
// through a time in which both CAs count. Both go on, also over a restart; then one is revoked.
func TestCertificatesChange(t *testing.T) {
	before, after := pkitest.NewTestAuthority(t, "c"), pkitest.NewTestAuthority(t, "c")
	c1 := pki.ID{Cluster: "c", Role: pki.RoleCoordinator, Name: "c1"}
	s1 := pki.ID{Cluster: "c", Role: pki.RoleShard, Name: "s"}
	load := func(id pki.ID) *pki.Identity {
		i, err := pki.Load(before.Dir(t, id.Role, id.Name, time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	server, shard := load(c1), load(s1)
	both := []*x509.Certificate{before.Cert, after.Cert}
	var told refusals
	s := startServer(t, natsd.Options{Name: "a", ClientAddr: addr, RouteAddr: addr,
		Lock: lock(server, &told)})
	nc, _ := dial(t, s, shard)
	answered := func(what string) {
		t.Helper()
		eventually(t, what, func() bool {
			return nc.Publish("said.s", nil) == nil &&
				nc.FlushTimeout(10*time.Second) == nil
		})
	}
	answered("a client that speaks")

	for _, step := range []struct {
		ca  *pkitest.Authority
		cas []*x509.Certificate
	}{{before, both}, {after, both}, {after, both[1:]}} {
		for _, x := range []struct {
			id pki.ID
			i  *pki.Identity
		}{{c1, server}, {s1, shard}} {
			step.ca.Write(t, x.i.Dir(), x.id, time.Hour)
			if err := pki.WriteFile(x.i.Dir()+"/"+pki.CAFile, pki.EncodeCerts(step.cas...),
				0o644); err != nil {
				t.Fatal(err)
			}
		}
		answered("a client that is left alone")
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		answered("a client that is back")
	}

	denied := s1
	server.Deny(func(id pki.ID) bool { return id == denied })
	told.await(t, natsd.RefusedCertificate, "it was revoked")
	if nc.FlushTimeout(50*time.Millisecond) == nil {
		t.Error("a client that was revoked is still served")
	}
	server.Deny(nil)
	answered("a client that is let in again")
}
