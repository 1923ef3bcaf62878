package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/bench/cluster"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/keyfile"
	"github.com/longtake/longtake/internal/pki"
)

// member is one coordinator under load.
type member struct {
	cluster.Member
	// Folder of its certificate; "": the cluster is open.
	identity string
	kill     func()
	client   *client.Client
	dead     atomic.Bool
	// Closed when it has ended.
	stopped        chan struct{}
	stoppedBecause error
}

// coordinators are those under load.
type coordinators struct {
	cfg Config
	dir string
	// Dir is removed in the end.
	temp    bool
	members []*member
	// Of shards.
	hosts []*pki.Identity
	// Of an administrator; "": none is needed.
	key  string
	http *http.Client
}

// startCluster starts the coordinators and waits until one of them leads. The caller closes the
// cluster, also after an error.
func startCluster(ctx context.Context, cfg Config) (c *coordinators, err error) {
	c = &coordinators{cfg: cfg, dir: cfg.Dir}
	if c.dir == "" {
		c.temp = true
		if c.dir, err = os.MkdirTemp("", "longtake-bench-"); err != nil {
			return c, fmt.Errorf("cannot make a folder for the coordinators: %w", err)
		}
	}

	scheme := "http"
	if cfg.Locked {
		scheme = "https"
	}
	all, err := cluster.Members(cfg.Coordinators, c.dir, scheme)
	if err != nil {
		return c, err
	}
	for _, m := range all {
		c.members = append(c.members, &member{Member: m, stopped: make(chan struct{})})
	}

	c.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clientsMax}}
	if cfg.Locked {
		if err := c.lock(); err != nil {
			return c, err
		}
	}

	// All are started before any is waited for: one alone of three is not elected.
	for _, m := range c.members {
		cl, err := client.New(m.HTTP, c.http)
		if err != nil {
			return c, err
		}
		if m.client = cl; c.key != "" {
			m.client = cl.WithKey(c.key)
		}

		start := c.startHere
		if cfg.Program != "" {
			start = c.startProgram
		}
		if err := start(ctx, m); err != nil {
			return c, fmt.Errorf("cannot start coordinator %s: %w", m.ID, err)
		}
	}
	return c, c.awaitLeader(ctx)
}

// lock makes a CA, certificates of all processes, and the key of an administrator.
func (c *coordinators) lock() error {
	ca, err := pki.NewAuthority("bench", time.Now())
	if err != nil {
		return err
	}
	issue := func(role pki.Role, name string, hosts ...string) (string, error) {
		dir := filepath.Join(c.dir, "pki", string(role)+"-"+name)
		key, err := pki.NewKey()
		if err != nil {
			return "", err
		}
		csr, err := pki.NewRequest(pki.ID{Cluster: "bench", Role: role, Name: name}, hosts, key)
		if err != nil {
			return "", err
		}
		r, err := pki.ParseRequest(csr)
		if err != nil {
			return "", err
		}
		cert, err := ca.Issue(r, time.Now(), pki.FirstLife)
		if err != nil {
			return "", err
		}
		return dir, pki.Write(dir, key, cert, pki.EncodeCerts(ca.Cert))
	}

	// One administrator's key is known to all coordinators, as if it had been copied by hand.
	admin := ""
	for _, m := range c.members {
		if m.identity, err = issue(pki.RoleCoordinator, m.ID, "127.0.0.1"); err != nil {
			return err
		}
		if admin != "" {
			err = keyfile.CopyAdmin(admin, m.identity)
		} else {
			admin = m.identity
			var path string
			if path, err = keyfile.WriteAdmin(admin, time.Now()); err == nil {
				c.key, err = keyfile.Read(path)
			}
		}
		if err != nil {
			return err
		}
	}

	for i := range (c.cfg.Shards + c.cfg.PerHost - 1) / c.cfg.PerHost {
		dir, err := issue(pki.RoleShard, hostName(i))
		if err != nil {
			return err
		}
		own, err := pki.LoadAs(dir, pki.RoleShard)
		if err != nil {
			return err
		}
		c.hosts = append(c.hosts, own)
	}
	c.http, err = client.Trusting(admin)
	return err
}

// control is where shards reach the coordinators' NATS.
func (c *coordinators) control() string {
	var out []string
	for _, m := range c.members {
		out = append(out, "nats://"+m.NATS)
	}
	return strings.Join(out, ",")
}

// peers are all members as Raft knows them; none of a coordinator that is alone.
func (c *coordinators) peers() (out []coord.Peer) {
	if len(c.members) == 1 {
		return nil
	}
	for _, m := range c.members {
		out = append(out, coord.Peer{ID: m.ID, Raft: m.Raft, HTTP: m.HTTP})
	}
	return out
}

// all are the members as they know each other.
func (c *coordinators) all() (all []cluster.Member) {
	for _, m := range c.members {
		all = append(all, m.Member)
	}
	return all
}

// leader returns the member that leads, nil while none does.
func (c *coordinators) leader(ctx context.Context) *member {
	for _, m := range c.members {
		if m.gone() {
			continue
		}

		ctx, cancel := context.WithTimeout(ctx, requestTime)
		s, err := m.client.Cluster(ctx)
		cancel()
		if err == nil && s.Leads() && s.Upgrading == "" {
			return m
		}
	}
	return nil
}

// awaitLeader waits until one leads, and all coordinators are known to be of one version.
func (c *coordinators) awaitLeader(ctx context.Context) error {
	const limit = time.Minute
	for end := time.Now().Add(limit); time.Now().Before(end); pause(ctx, 50*time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}

		// One that has ended by itself says why in its log; waiting for it would only hide that.
		for _, m := range c.members {
			select {
			case <-m.stopped:
				return fmt.Errorf("coordinator %s has ended: %w", m.ID, m.stoppedBecause)
			default:
			}
		}

		if c.leader(ctx) != nil {
			return nil
		}
	}
	return fmt.Errorf("no coordinator leads after %v", limit)
}

// end kills a coordinator, without a word to the others, and waits until it has ended.
func (m *member) end() {
	if m.kill != nil && !m.dead.Swap(true) {
		m.kill()
		<-m.stopped
	}
}

// gone reports whether a coordinator was killed.
func (m *member) gone() bool { return m.dead.Load() }

// close ends all coordinators and removes what was temporary. A folder that was given stays, with
// the logs in it.
func (c *coordinators) close() error {
	for _, m := range c.members {
		m.end()
	}
	// Data of a temporary cluster are of no use: clips in it were never made.
	if c.temp {
		return os.RemoveAll(c.dir)
	}
	return nil
}

// snapshots counts those that Raft has taken of its log since a time, by their folders, which end
// in the time in milliseconds. Raft keeps two, so 2 means: two or more.
func (c *coordinators) snapshots(m *member, since time.Time) (n int) {
	dirs, _ := filepath.Glob(filepath.Join(m.Data, "snapshots", "*-*-*")) //nolint:errcheck // constant
	for _, d := range dirs {
		ms, err := strconv.ParseInt(d[strings.LastIndex(d, "-")+1:], 10, 64)
		if err == nil && time.UnixMilli(ms).After(since) {
			n++
		}
	}
	return n
}

// scopes are what needs no key in an open cluster under load: everything.
func scopes() string {
	var out []string
	for _, s := range access.AllScopes {
		out = append(out, string(s))
	}
	return strings.Join(out, ",")
}

// errKilled is why a coordinator has ended that was meant to.
var errKilled = errors.New("it was killed")
