package join_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/join"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// cluster is a locked coordinator that is alone, behind its API.
type cluster struct {
	*coord.Coordinator
	ca   *pkitest.Authority
	own  *pki.Identity
	url  string
	late atomic.Int64 // how much later it is for the coordinator, in ns
}

// start starts a cluster. Without an authority its certificates come from elsewhere.
func start(t *testing.T, authority bool) *cluster {
	t.Helper()
	c := &cluster{ca: pkitest.NewTestAuthority(t, "demo")}
	dir := c.ca.Dir(t, pki.RoleCoordinator, "c1", time.Hour, "127.0.0.1")
	if authority {
		_, key, err := c.ca.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := pki.WriteFile(filepath.Join(dir, pki.CAKeyFile), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if c.own, err = pki.Load(dir); err != nil {
		t.Fatal(err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.url = "https://" + l.Addr().String()
	now := func() time.Time { return time.Now().Add(time.Duration(c.late.Load())) }
	c.Coordinator, err = coord.Start(t.Context(), coord.Config{ID: "c1", Data: t.TempDir(),
		HTTP: c.url, Identity: c.own, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	h := api.New(api.Config{Service: c, Certificates: c, Metrics: c.Metrics()})
	go func() { served <- api.ServeTLS(ctx, l, c.own.Server(), h) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-served, c.Close()); err != nil {
			t.Error(err)
		}
	})
	if authority {
		eventually(t, "the CA is in Raft and no longer in the folder", func() bool {
			_, err := os.Stat(filepath.Join(dir, pki.CAKeyFile))
			return os.IsNotExist(err)
		})
	}
	return c
}

// eventually waits for up to a minute.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so within a minute: %s", what)
		}
	}
}

// token makes a token.
func (c *cluster) token(t *testing.T, role pki.Role, name string) string {
	t.Helper()
	q := schema.TokenRequest{Role: string(role), TTL: 3600, Name: name}
	tok, err := c.NewToken(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return tok.Text
}

// join joins a process into a folder.
func (c *cluster) join(t *testing.T, dir, token string, role pki.Role, name string) error {
	t.Helper()
	return join.Join(t.Context(), join.Options{Token: token, Coordinators: []string{c.url}, Dir: dir,
		Role: role, Name: name, Log: slog.New(slog.DiscardHandler)})
}

// TestJoining plays what may be done with a token, and what may not.
func TestJoining(t *testing.T) {
	c := start(t, true)
	dir, tok := t.TempDir(), c.token(t, pki.RoleShard, "")
	if err := c.join(t, dir, tok, pki.RoleShard, "gpu"); err != nil {
		t.Fatal(err)
	}
	gpu, err := pki.LoadAs(dir, pki.RoleShard)
	if err != nil || gpu.ID() != (pki.ID{Cluster: "demo", Role: pki.RoleShard, Name: "gpu"}) {
		t.Fatalf("joined as %v, %v", gpu, err)
	}
	if f, ok, err := join.ReadFile(dir); !ok || err != nil || f.Coordinators[0] != c.url {
		t.Errorf("the file says %v, %v, %v", f, ok, err)
	}
	for _, name := range []string{"tls.key", "ca.key"} { // the next start, with the same command
		if name == "tls.key" {
			err = c.join(t, dir, tok, pki.RoleShard, "gpu")
		}
		if info, e := os.Stat(filepath.Join(dir, name)); err != nil ||
			e == nil && info.Mode().Perm() != 0o600 || (e == nil) != (name == "tls.key") {
			t.Errorf("%s: %v, %v", name, err, e)
		}
	}

	refused := func(what, want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", what, err, want)
		}
	}
	other, err := pki.ParseToken(tok)
	if err != nil {
		t.Fatal(err)
	}
	other.CA[0] ^= 1
	flipped := strings.ReplaceAll(tok[len(tok)-40:], tok[len(tok)-1:], string("10"[tok[len(tok)-1]&1]))
	flipped = tok[:len(tok)-40] + flipped
	try := func(tok string) error { return c.join(t, t.TempDir(), tok, pki.RoleShard, "b") }
	refused("twice", "was used at", try(tok))
	refused("another CA", "does not show the CA", try(other.Text()))
	refused("tampered", "it is not known", try(flipped))
	refused("cut off", "not whole", try(tok[:80]))
	tok = c.token(t, pki.RoleShard, "")
	refused("role", "for a shard", c.join(t, t.TempDir(), tok, pki.RoleCoordinator, "c2"))
	err = c.join(t, t.TempDir(), tok, pki.RoleShard, "gpu")
	refused("taken", "another process has this name", err)
	c.late.Store(int64(2 * time.Hour))
	refused("expired", "it expired at", try(tok))
	c.late.Store(0)
	tok = c.token(t, pki.RoleShard, "gpu") // whose disk was lost
	if err := c.join(t, t.TempDir(), tok, pki.RoleShard, "gpu"); err != nil {
		t.Errorf("with a token of its name: %v", err)
	}
}

// TestCertificatesAndTheCAChange keeps a shard's certificate while the CA is replaced, over a
// connection of HTTP that stays.
func TestCertificatesAndTheCAChange(t *testing.T) {
	c := start(t, true)
	dir := t.TempDir()
	if err := c.join(t, dir, c.token(t, pki.RoleShard, ""), pki.RoleShard, "gpu"); err != nil {
		t.Fatal(err)
	}
	gpu, err := pki.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimPrefix(c.url, "https://")
	open, err := tls.Dial("tcp", addr, gpu.Client(pki.RoleCoordinator))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()

	// The coordinator's certificate of before the rotation is none of its authority's: as of pki init.
	if err := (join.File{Coordinators: []string{c.url}, First: true}).Write(c.own.Dir()); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	for _, k := range []*join.Keeper{{Own: gpu, Deny: true, Log: log}, {Own: c.own, Log: log}} {
		defer k.Every(20 * time.Millisecond).Start(t.Context())()
	}
	old := c.token(t, pki.RoleShard, "")
	a, err := c.Rotate(t.Context(), false)
	if err != nil || len(a.CAs) != 2 || !a.CAs[1].Signs || len(a.Tokens) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err := c.Rotate(t.Context(), false); !errors.Is(err, coord.ErrRotating) {
		t.Errorf("a second rotation: %v", err)
	}
	renewed := func(i *pki.Identity) bool {
		cas := i.CAs()
		return len(cas) == 2 && bytes.Equal(i.Leaf().AuthorityKeyId, cas[1].SubjectKeyId)
	}
	eventually(t, "both have a certificate of the new CA", func() bool {
		return renewed(gpu) && renewed(c.own)
	})
	if err := c.join(t, t.TempDir(), old, pki.RoleShard, "b"); err == nil {
		t.Error("a token of before the rotation is good")
	}

	c.forgets(t, gpu, addr, open)
}

// forgets is the second half of the test above: the old CA is dropped.
func (c *cluster) forgets(t *testing.T, gpu *pki.Identity, addr string, open *tls.Conn) {
	t.Helper()
	// Who knows the old CA alone believes the new one's certificates: it is signed by both.
	alone := c.ca.Identity(t, pki.RoleShard, "old")
	now, err := tls.Dial("tcp", addr, alone.Client(pki.RoleCoordinator))
	if err != nil {
		t.Fatal(err)
	}
	now.Close()
	if _, err := c.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old CA is forgotten", func() bool {
		return len(gpu.CAs()) == 1 && len(c.own.CAs()) == 1
	})
	io.WriteString(open, "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
	if text, err := io.ReadAll(open); err != nil || !bytes.HasPrefix(text, []byte("HTTP/1.1 200")) {
		t.Errorf("the connection of before gives %q, %v", text, err)
	}

	// Revoked: the shard is refused at once.
	if err := c.Revoke(t.Context(), schema.Denied{Role: "shard", Name: "gpu"}, false); err != nil {
		t.Fatal(err)
	}
	gone, err := tls.Dial("tcp", addr, gpu.Client())
	if err == nil {
		_, err = gone.Read(make([]byte, 1))
		gone.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "bad certificate") {
		t.Errorf("a revoked shard gets %v", err)
	}
}

// TestSavedSnapshotsHaveNoKeys saves and restores: the CA's key is not in the file, and stays.
func TestSavedSnapshotsHaveNoKeys(t *testing.T) {
	c := start(t, true)
	var saved bytes.Buffer
	if err := c.SaveSnapshot(t.Context(), &saved); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(saved.Bytes()) || !strings.Contains(saved.String(), "BEGIN CERTIFICATE") ||
		strings.Contains(saved.String(), "PRIVATE") {
		t.Errorf("saved: %.300s", saved.String())
	}
	if err := c.RestoreSnapshot(t.Context(), &saved); err != nil {
		t.Fatal(err)
	}
	tok := c.token(t, pki.RoleShard, "")
	if err := c.join(t, t.TempDir(), tok, pki.RoleShard, "a"); err != nil {
		t.Errorf("after a restore: %v", err)
	}
}

// TestACAFromElsewhere has no tokens, and says so.
func TestACAFromElsewhere(t *testing.T) {
	c := start(t, false)
	q := schema.TokenRequest{Role: "shard", TTL: 3600}
	if _, err := c.NewToken(t.Context(), q); !errors.Is(err, coord.ErrNoAuthority) {
		t.Errorf("a token: %v", err)
	}
	if err := c.Revoke(t.Context(), schema.Denied{Role: "shard", Name: "gpu"}, false); err != nil {
		t.Errorf("a revocation: %v", err)
	}
	gpu := c.ca.Identity(t, pki.RoleShard, "gpu")
	eventually(t, "revoked", func() bool { return c.Denied(gpu.ID()) })
	k := join.Keeper{Own: gpu, Log: slog.New(slog.DiscardHandler)}
	k.Keep(t.Context()) // returns: the folder is not longtake's
}
