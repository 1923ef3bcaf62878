package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/join"
	"github.com/longtake/longtake/internal/keyfile"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/terminal"
)

const pkiInitHelp = `Make what a locked cluster starts from, in a new folder: a CA, the certificate
of each coordinator, and the first API key, of scope admin. Nothing is sent anywhere.

  longtake pki init cluster --cluster studio --host c1=10.0.0.1
  longtake pki init cluster --host c1=10.0.0.1 --host c1=c1.example --host c2=10.0.0.2 \
    --host c3=10.0.0.3

Each NAME is the id of a coordinator and gets a folder, which is its tls.dir; HOST is a name or an
address by which clients reach it (several times for several). localhost always works on its own
machine. Start the coordinators within a week: these certificates are renewed from then on.`

// pkiInit makes the files of a new cluster. It asks no coordinator: there is none yet. Each
// coordinator gets the CA's key along, since any of them may lead first and take it into Raft; from
// then on it is in none of the folders, but in the one that this command has made.
func pkiInit() *cobra.Command {
	cmd := &cobra.Command{Use: "init DIR", Short: "Make a CA, the coordinators' certificates, a key",
		Long: pkiInitHelp, Args: oneArg("DIR")}
	cluster := cmd.Flags().String("cluster", "longtake", "name of the cluster, in its certificates")
	hosts := cmd.Flags().StringArray("host", nil, "NAME=HOST of a coordinator, several times "+
		"(default: c1 on this machine)")

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		list, err := readHosts(*hosts)
		if err != nil {
			return err
		}
		if err := writeCluster(args[0], *cluster, list, time.Now()); err != nil {
			return err
		}
		return printNext(cmd.OutOrStdout(), args[0], list)
	}

	return cmd
}

// founder is a coordinator of a new cluster: one of those that are there from the start. Others
// join later, with tokens.
type founder struct {
	name  string
	hosts []string
}

// ownHosts are in the certificate of each coordinator: by them it is reached on its machine.
var ownHosts = []string{"localhost", "127.0.0.1", "::1"}

// readHosts sorts NAME=HOST by name, in the order in which names first come. Whether a host can be
// in a certificate shows when it is signed.
func readHosts(list []string) ([]founder, error) {
	if len(list) == 0 {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("cannot tell this machine's name; give --host c1=NAME: %w", err)
		}
		list = []string{"c1=" + host}
	}

	var out []founder
	for _, text := range list {
		name, host, ok := strings.Cut(text, "=")
		id := pki.ID{Cluster: "x", Role: pki.RoleCoordinator, Name: name}
		if !ok || host == "" || id.Check() != nil {
			return nil, daemon.Usagef("--host is %.128q; allowed: NAME=HOST, such as c1=10.0.0.1", text)
		}

		at := slices.IndexFunc(out, func(f founder) bool { return f.name == name })
		if at < 0 {
			out, at = append(out, founder{name: name}), len(out)
		}
		out[at].hosts = append(out[at].hosts, host)
	}

	return out, nil
}

// writeCluster makes a folder of a cluster. What fails in the middle leaves a part of it, which the
// next try refuses: half a CA is nothing to go on with. One that is there already is left alone: to
// make another CA for a cluster would lock everybody out.
func writeCluster(dir, cluster string, list []founder, now time.Time) error {
	ca, err := pki.NewAuthority(cluster, now)
	if err != nil {
		return daemon.Usagef("--cluster: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, pki.CAFile)); err == nil {
		return daemon.Usagef("%s has a cluster in it; allowed: a new folder", dir)
	}

	cert, key, err := ca.Encode()
	if err != nil {
		return err
	}

	// The certificates first: a host that cannot be in one shows before anything is written.
	type issued struct{ key, cert []byte }
	certs := make([]issued, len(list))
	for n, f := range list {
		if certs[n].key, certs[n].cert, err = issueFirst(ca, cluster, f, now); err != nil {
			return daemon.Usagef("--host: %w", err)
		}
	}

	// The folder itself is for the administrator: the CA, its key, and the first API key.
	if err := pki.Write(dir, nil, nil, cert); err != nil {
		return err
	}
	if err := pki.WriteFile(filepath.Join(dir, pki.CAKeyFile), key, 0o600); err != nil {
		return err
	}
	if _, err := keyfile.WriteAdmin(dir, now); err != nil {
		return err
	}

	// What each coordinator needs, and no more of the others than the CA.
	for n, f := range list {
		own := filepath.Join(dir, f.name)
		err := errors.Join(pki.Write(own, certs[n].key, certs[n].cert, cert),
			pki.WriteFile(filepath.Join(own, pki.CAKeyFile), key, 0o600),
			keyfile.CopyAdmin(dir, own), join.File{First: true}.Write(own))
		if err != nil {
			return err
		}
	}

	return nil
}

// issueFirst signs the certificate of a founder. It is valid for longer than later ones: between
// this command and the first start lies whatever it takes to bring the files to their machines.
func issueFirst(ca *pki.Authority, cluster string, f founder, now time.Time) (key, cert []byte,
	err error) {
	if key, err = pki.NewKey(); err != nil {
		return nil, nil, err
	}
	hosts := slices.Clone(ownHosts)
	for _, h := range f.hosts {
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}

	// The same way that a process takes that joins, with the checks on it.
	id := pki.ID{Cluster: cluster, Role: pki.RoleCoordinator, Name: f.name}
	csr, err := pki.NewRequest(id, hosts, key)
	if err != nil {
		return nil, nil, err
	}
	r, err := pki.ParseRequest(csr)
	if err != nil {
		return nil, nil, err
	}
	cert, err = ca.Issue(r, now, pki.FirstLife)
	return key, cert, err
}

// printNext says what to do with the folder, as commands to paste. Ports are those of the shipped
// configurations; the first host of each coordinator is where it listens.
func printNext(w io.Writer, dir string, list []founder) error {
	at := func(elem ...string) string { return filepath.Join(append([]string{dir}, elem...)...) }
	terminal.Printf(w, "# 1. Copy each folder to its coordinator, and start it there:\n")
	var raft, routes []string
	for _, f := range list {
		raft = append(raft, fmt.Sprintf("%s@%s:7001=https://%s:8080", f.name, f.hosts[0], f.hosts[0]))
	}

	// Raft's peers are the same for all, NATS's are the others.
	for n, f := range list {
		h := f.hosts[0]
		terminal.Printf(w, "coordinator --id %s --tls-dir %s --http-listen %s:8080 --nats-listen %s:4222",
			f.name, at(f.name), h, h)
		if len(list) > 1 {
			routes = nil
			for m, o := range list {
				if m != n {
					routes = append(routes, "nats-route://"+o.hosts[0]+":6250")
				}
			}
			terminal.Printf(w, " \\\n  --raft-listen %s:7001 --nats-routes %s:6250 \\\n  --raft-peers %s "+
				"\\\n  --nats-peers %s", h, h, strings.Join(raft, ","), strings.Join(routes, ","))
		}
		terminal.Printf(w, "\n")
	}

	// Nothing of this has to be looked up: it can be pasted as it is.
	terminal.Printf(w, `
# 2. Reach it from here:
export LONGTAKE_URL=https://%s:8080 LONGTAKE_CA=%s LONGTAKE_API_KEY_FILE=%s
longtake cluster status

# 3. For each shard a token, which prints the command to run on its machine:
longtake pki token --role shard

# 4. %s signs for the whole cluster: take it off this machine, and keep it off line.
`, list[0].hosts[0], dir, at("admin.key"), at(pki.CAKeyFile))
	return nil
}
