package cluster

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/longtake/longtake/internal/freeport"
)

// Addresses are fixed before anything starts, since each coordinator has to know those of the
// others, and those that are killed come back on theirs.

// Member is one of the coordinators of a cluster on this machine, as the others know it.
type Member struct {
	ID   string
	Data string // its folder
	HTTP string // the URL of its API
	// Host:port for shards, for Raft, and for the routes of NATS.
	NATS, Raft, Routes string
}

// Members returns so many coordinators with free ports, whose data are in a folder each of dir.
// scheme is that of their APIs, http or https.
func Members(n int, dir, scheme string) (all []Member, err error) {
	addrs, err := freeport.Find(4 * n)
	if err != nil {
		return nil, err
	}
	for i := range n {
		a, id := addrs[4*i:], fmt.Sprintf("c%d", i+1)
		all = append(all, Member{ID: id, Data: filepath.Join(dir, id), HTTP: scheme + "://" + a[0],
			NATS: a[1], Routes: a[2], Raft: a[3]})
	}
	return all, nil
}

// Flags are what an operator would start it with. all are the coordinators of its cluster, with
// itself; one that is alone has neither Raft's port nor routes, and is elected at once.
func (m Member) Flags(all []Member) []string {
	_, listen, _ := strings.Cut(m.HTTP, "://")
	own := []string{"--id", m.ID, "--data", m.Data, "--http-listen", listen, "--nats-listen", m.NATS}
	if len(all) == 1 {
		return own
	}

	var peers []string
	for _, p := range all {
		peers = append(peers, fmt.Sprintf("%s@%s=%s", p.ID, p.Raft, p.HTTP))
	}
	return append(own, "--raft-listen", m.Raft, "--raft-peers", strings.Join(peers, ","),
		"--nats-routes", m.Routes, "--nats-peers", strings.Join(m.Others(all), ","))
}

// Others are the routes of NATS to all but itself.
func (m Member) Others(all []Member) (routes []string) {
	for _, p := range all {
		if p.ID != m.ID {
			routes = append(routes, "nats-route://"+p.Routes)
		}
	}
	return routes
}
