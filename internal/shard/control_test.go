package shard

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
	"github.com/longtake/longtake/internal/testlog"
)

// journal is a log that a test reads.
type journal struct{ testlog.Buffer }

// await waits for a line of a level that has all words, and returns it.
func (j *journal) await(t *testing.T, words ...string) string {
	t.Helper()
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		text := j.String()
	lines:
		for line := range strings.Lines(text) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return line
		}
	}
	t.Fatalf("the log never says %q:\n%s", words, j.String())
	return ""
}

// TestShardsSayWhyTheyAreRefused: a shard says which identity is refused by which coordinator and
// what to do, goes on trying, and registers once its certificate is a good one.
func TestShardsSayWhyTheyAreRefused(t *testing.T) {
	ca, other := pkitest.NewTestAuthority(t, "here"), pkitest.NewTestAuthority(t, "here")
	open := startAt(t, nil)
	locked := startAt(t, ca.Identity(t, pki.RoleCoordinator, "c1"))
	wrong := func(role pki.Role) *pki.Identity {
		dir := ca.Dir(t, role, "gpu-1", time.Hour)
		i, err := pki.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}

	for _, c := range []struct {
		at    *coord.Coordinator
		own   *pki.Identity
		words []string
	}{
		{locked, nil, []string{"want a certificate, and this shard has none", "tls.dir"}},
		{open, wrong(pki.RoleShard), []string{"wants TLS, and the coordinators have none"}},
		{locked, other.Identity(t, pki.RoleShard, "gpu-1"), []string{"does not believe a coordinator"}},
		{locked, wrong(pki.RoleCoordinator), []string{"refuses the certificate of",
			"longtake://here/coordinator/gpu-1", "coordinator=longtake://here/coordinator/c1",
			"the log of the coordinator says why"}},
	} {
		var j journal
		s := startNamed(t, c.at, c.own, &j)
		j.await(t, append(c.words, "level=ERROR", "control="+c.at.ClientURL())...)
		if s.Err() != nil {
			t.Errorf("it has given up: %v", s.Err())
		}
	}
}

// TestShardIsHeardOnceItsCertificateIsGood puts a certificate that counts in the place of one that
// was revoked.
func TestShardIsHeardOnceItsCertificateIsGood(t *testing.T) {
	ca := pkitest.NewTestAuthority(t, "here")
	of := ca.Identity(t, pki.RoleCoordinator, "c1")
	c := startAt(t, of)
	of.Deny(func(id pki.ID) bool { return id.Name == "gpu-1" }) // in place of the coordinator's list
	own := ca.Identity(t, pki.RoleShard, "gpu-1")
	var j journal
	s := startNamed(t, c, own, &j)
	j.await(t, "level=ERROR", "refuses the certificate of", "shard/gpu-1")

	of.Deny(nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Registered(ctx); err != nil {
		t.Fatal(err)
	}
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) != 1 || nodes[0].Identity != "gpu-1" || nodes[0].Name != "a" {
		t.Errorf("nodes are %+v, %v", nodes, err)
	}
}

// startAt starts a coordinator that takes shards over the network.
func startAt(t *testing.T, i *pki.Identity) *coord.Coordinator {
	t.Helper()
	c, err := coord.Start(t.Context(), coord.Config{Data: t.TempDir(), Identity: i,
		NATS: coord.NATSConfig{Listen: "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// startNamed starts a shard that is called a, whatever its certificate says.
func startNamed(t *testing.T, c *coord.Coordinator, i *pki.Identity, j *journal) *Shard {
	t.Helper()
	s, err := Start(t.Context(), Config{Name: "a", Threads: 1, TempDir: t.TempDir(), Identity: i,
		Model:   golden.Root("testdata", "golden", "tiny3"),
		Control: c.ClientURL(), Log: slog.New(slog.NewTextHandler(j, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
