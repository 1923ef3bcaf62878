package join

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
)

// Identity returns the certificate that the setting tls.dir names, once the process has joined if
// join has a token; nil without tls.dir and join. The caller closes it.
func Identity(ctx context.Context, v *config.Values, role pki.Role, name string, hosts []string,
	log *slog.Logger) (*pki.Identity, error) {
	if token := v.String("join"); token != "" {
		err := Join(ctx, Options{Token: token, Coordinators: v.Strings("coordinator"),
			Dir: v.String("tls.dir"), Role: role, Name: name, Hosts: hosts, Log: log})
		if err != nil {
			return nil, err
		}
	}
	return daemon.Identity(v, role, log)
}

// NameOf makes the name of a certificate of a name for people or a host's: whatever cannot be in it
// becomes '-', such as the dots of a domain. Two machines whose names become the same cannot both
// join: the second is told to take another one.
func NameOf(text string) string {
	const most = 64
	name := strings.Map(func(c rune) rune {
		if c < 0x80 && job.CheckName("name", string(c)) == nil {
			return c
		}
		return '-'
	}, text)
	return name[:min(len(name), most)]
}

// Control returns where the coordinators' NATS is: what the setting says, or where that is the
// default, what they said when they were last asked.
func Control(v *config.Values) string {
	own := v.String("control")
	if v.Source("control") != "default" || v.String("tls.dir") == "" {
		return own
	}
	if f, ok, err := ReadFile(v.String("tls.dir")); err == nil && ok && f.Control != "" {
		return f.Control
	}
	return own
}

// Start runs Keep until ctx ends or stop is called, which waits for it. Without an identity there
// is nothing to keep.
func (k *Keeper) Start(ctx context.Context) (stop func()) {
	if k.Own == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { k.Keep(ctx) })
	return func() {
		cancel()
		done.Wait()
	}
}
