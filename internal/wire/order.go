package wire

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// check is as strict as the API is with a request, so that an order cannot ask for what a request
// may not. What depends on the model, the shard checks itself.
func (s StartOrder) check() error {
	p, n := s.Plan, len(s.Plan.Nodes)
	if n != len(s.Members) || s.Rank < 0 || s.Rank >= n {
		return fmt.Errorf("rank %d of %d nodes and %d members", s.Rank, n, len(s.Members))
	}

	if err := cmp.Or(p.Spec.Check(), p.Check(job.Record{ID: p.Job, Spec: p.Spec}),
		checkParts(p.Parts)); err != nil {
		return err
	}

	for i, m := range s.Members {
		if m.Node != p.Nodes[i] {
			return fmt.Errorf("rank %d is on node %.64q and on %.64q", i, p.Nodes[i], m.Node)
		}
		if err := m.check(); err != nil {
			return err
		}
	}
	for _, in := range p.Spec.Inputs {
		if err := checkSize(in.Object); err != nil {
			return err
		}
	}
	if err := checkSize(p.Resume.Object); err != nil {
		return err
	}
	return Work{p.Job, p.Attempt, s.Rank}.check(p.Nodes[s.Rank])
}

// checkParts wants parts of a job under names that are allowed.
func checkParts(parts map[string]job.Object) error {
	if len(parts) > job.PartsLimit {
		return fmt.Errorf("%d parts; allowed: %d", len(parts), job.PartsLimit)
	}
	for name, o := range parts {
		if err := cmp.Or(job.CheckPart(name), o.Check(), checkSize(o)); err != nil {
			return err
		}
	}
	return nil
}

// objectMost bounds what one object may have, in bytes: a terabyte, as nothing of a clip has.
const objectMost = 1 << 40

func checkSize(o job.Object) error {
	if o.Size > objectMost {
		return fmt.Errorf("object %.64q of %d bytes; allowed: %d", o.Name, o.Size, int64(objectMost))
	}
	return nil
}

// check wants a name, a route, and, where the member has an identity, a node of that.
func (m Member) check() error {
	if err := cmp.Or(checkText("name", m.Name, nameLimit), checkRoute(m.Route)); err != nil {
		return err
	}
	if m.Identity == "" {
		return nil
	}
	if err := job.CheckName("identity", m.Identity); err != nil {
		return err
	}
	if !Owns(m.Identity, m.Node) {
		return fmt.Errorf("node %.64q is not one of %s", m.Node, m.Identity)
	}
	return nil
}

// checkRoute wants the URL of a data-plane server, or nothing: what a shard dials must not be
// anything else.
func checkRoute(route string) error {
	if route == "" {
		return nil
	}
	err := errors.New("not a route")
	u, bad := url.Parse(route)
	if bad == nil && len(route) <= routeLimit {
		err = checkHostPort(u)
	}
	if err != nil {
		return fmt.Errorf("route is %.64q; allowed: nats-route://HOST:PORT, up to %d bytes", route,
			routeLimit)
	}
	return nil
}

// checkHostPort wants a host and a port, and no more.
func checkHostPort(u *url.URL) error {
	bare := url.URL{Scheme: "nats-route", Host: u.Host}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil || *u != bare || host == "" {
		return errors.New("more or less than a host and a port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("no port")
	}
	return nil
}

// check wants routes and nothing else.
func (r Routes) check() error {
	for _, route := range r.Routes {
		if err := checkRoute(route); err != nil {
			return err
		}
	}
	return nil
}

// check looks at what a shard acts upon; the texts are for its log.
func (w Welcome) check() error {
	if w.Interval < 0 || w.LostAfter < 0 {
		return fmt.Errorf("a heartbeat every %v, lost after %v", w.Interval, w.LostAfter)
	}
	return Routes{w.Routes}.check()
}

// check wants a node to measure, if there is one.
func (p Pulse) check() error {
	if p.Probe == nil {
		return nil
	}
	return Probe{Node: p.Probe.Node, Number: 1, Class: p.Probe.Class}.check()
}

func (p Probe) check() error {
	if p.Number == 0 || p.Class < topology.Process || p.Class > topology.Far {
		return fmt.Errorf("a measurement %d of link %d", p.Number, int(p.Class))
	}
	if p.To != "" {
		if err := CheckNodeID(p.To); err != nil {
			return err
		}
	}
	return CheckNodeID(p.Node)
}

// check names no node, since the subject of a stop order does.
func (s Stop) check() error { return Work{Job: s.Job, Attempt: s.Attempt}.check("any") }
