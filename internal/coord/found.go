package coord

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/pki"
)

// tendEvery is how often a leader looks after its authority; a minute is nothing beside the hours
// that certificates are valid, but a new cluster waits for it.
const tendEvery = 2 * time.Second

// tendAuthority takes the CA of pki init in, and drops CAs that nobody needs any more, until ctx
// ends.
func (c *Coordinator) tendAuthority(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	said := ""
	for {
		err := c.tendOnce(ctx)
		if err != nil && err.Error() != said && ctx.Err() == nil && !errors.Is(err, ErrNotLeader) {
			said = err.Error()
			c.log.Warn("cannot look after the CA", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tendOnce does what there is to do. Before it leads, a coordinator only removes from its folder
// what Raft has.
func (c *Coordinator) tendOnce(ctx context.Context) error {
	a := c.authority.Load()
	ca, known := a.Signer()
	dir := c.cfg.Identity.Dir()

	// The key that pki init has left here is Raft's from now on, where every coordinator finds it.
	if s, err := pki.ReadAuthority(dir); err == nil {
		switch {
		case known && ca.Key != "" && hexOf(s.Cert) == hexOfPEM(ca.Cert):
			c.log.Info("the CA's key is in Raft now, and removed from the folder of certificates; keep "+
				"your copy of it off line", "file", filepath.Join(dir, pki.CAKeyFile))
			return os.Remove(filepath.Join(dir, pki.CAKeyFile))
		case c.leads() && (!known || ca.Key == ""):
			return c.foundAuthority(ctx, s)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	// All before the one that signs go together: no second one can come while the first is needed.
	if a == nil || len(a.CAs) < 2 || !c.leads() {
		return nil
	}

	for n := range a.CAs[:len(a.CAs)-1] {
		if !c.cfg.Now().After(neededUntil(a, n)) {
			return nil
		}
	}

	err := c.changeAuthority(ctx, core.AuthorityChange{Drop: true})
	if err == nil {
		c.log.Info("the CA before the one that signs is dropped: no certificate of it is valid any more")
	}
	return err
}

// foundAuthority commits the first CA, or gives its key back to a cluster that was restored from a
// saved snapshot, in which there is none.
func (c *Coordinator) foundAuthority(ctx context.Context, s *pki.Authority) error {
	cert, key, err := s.Encode()
	if err != nil {
		return err
	}

	// It counts from its beginning, by which it is known how old the first certificates can be.
	ca := &core.CA{Cert: string(cert), Key: string(key), Since: s.Cert.NotBefore.UTC()}
	err = c.changeAuthority(ctx, core.AuthorityChange{Cluster: c.cfg.Identity.ID().Cluster, Found: ca})
	if err != nil {
		return fmt.Errorf("cannot take the CA in: %w", err)
	}
	c.log.Info("the cluster has its CA", "sha256", hexOf(s.Cert))
	return nil
}

// keepSecrets makes files with the CA's key readable for their owner alone: Raft writes its
// snapshots as the system's mask says.
func keepSecrets(dir string) error {
	for _, name := range []string{"", "snapshots"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return fmt.Errorf("cannot make the data directory: %w", err)
		}
		if err := os.Chmod(path, 0o700); err != nil {
			return fmt.Errorf("cannot keep others out of the data directory: %w", err)
		}
	}
	return nil
}
