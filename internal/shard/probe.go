package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
	"github.com/longtake/longtake/internal/wire"
)

// What a link carries is measured as ranks use it: two nodes that have nothing to do join an
// attempt of no job, and one sends the other some messages over the data plane. The leader says who
// measures, one pair at a time, and a start order ends it at once.

const (
	probeMessage = 1 << 20         // bytes
	probeTime    = 2 * time.Second // that all of it may take
	probeEnough  = 50 * time.Millisecond
)

// probeRounds are how many messages are sent, until a round takes probeEnough. The best round
// counts: the first ones also open connections and windows.
var probeRounds = []int{1, 4, 16, 32}

// errAtWork is why a node measures nothing.
var errAtWork = errors.New("the shard is at work, or measures already")

// links is what a node has measured of its links.
type links struct {
	mu     sync.Mutex
	rates  topology.Rates
	delays topology.Delays
	number uint32             // of the latest measurement that this node began
	stop   context.CancelFunc // ends the one under way; nil: none is
}

// add takes a measurement in, of what is not 0: the first in full, later ones by a quarter.
func (l *links) add(c topology.Class, rate, delay float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rates = l.rates.With(c, smooth(l.rates.Of(c), rate))
	l.delays = l.delays.With(c, smooth(l.delays.Of(c), delay))
}

// smooth changes an old value by a quarter of what is new; 0: it is not known.
func smooth(old, value float64) float64 {
	if old == 0 || value == 0 {
		return max(old, value)
	}
	return (3*old + value) / 4
}

// measured returns all rates and delays.
func (l *links) measured() (topology.Rates, topology.Delays) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rates, l.delays
}

// interrupt ends a measurement that is under way.
func (l *links) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
	}
}

// begin returns a context for a measurement and its number, false where one is under way. The
// caller calls end.
func (l *links) begin(ctx context.Context) (_ context.Context, number uint32, end func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		return nil, 0, nil, false
	}

	l.number++
	ctx, stop := context.WithTimeout(ctx, probeTime)
	l.stop = stop
	return ctx, l.number, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		stop()
		l.stop = nil
	}, true
}

// beginProbe is links.begin for a node that has nothing to do, or errAtWork.
func (s *Shard) beginProbe() (ctx context.Context, number uint32, end func(), err error) {
	if s.leaving.Load() || s.link.endpoint == nil {
		return nil, 0, nil, errAtWork
	}
	ctx, number, end, ok := s.links.begin(s.ctx)
	if !ok {
		return nil, 0, nil, errAtWork
	}

	// An order that has come meanwhile either is seen here, or ends the measurement.
	if s.current() != nil {
		end()
		return nil, 0, nil, errAtWork
	}
	return ctx, number, end, nil
}

// probe measures what goes to another node, as the leader has asked.
func (s *Shard) probe(p wire.Peer) {
	ctx, number, end, err := s.beginProbe()
	if err != nil {
		return
	}
	defer end()

	// In a locked cluster nodes cannot reach each other's orders: the leader passes it on.
	order := wire.Probe{Node: s.id, Number: number, Class: p.Class, Key: p.Key, Echoes: p.Echoes}
	subject, asked := wire.SubjectProbe("", p.Node), order
	if s.nc.identity != "" {
		subject, asked.To = wire.SubjectMeasure, p.Node
	}
	ack, err := ask[wire.Ack](ctx, s.nc, subject, asked)
	if err == nil && !ack.OK {
		err = errors.New(ack.Reason)
	}
	if err == nil {
		err = s.exchange(ctx, order, p.Node, 0, sendProbe)
	}
	rates, delays := s.links.measured()
	s.log.Debug("measured a link", "to", p.Node, "class", p.Class, "rates", rates,
		"delays", delays, "error", err)
}

// onProbe takes the wish of another node to measure, and answers whether this one takes part. NATS
// calls it.
func (s *Shard) onProbe(m *natsio.Msg) {
	p, err := wire.Decode[wire.Probe](m.Data)
	var ctx context.Context
	var end func()
	if err == nil {
		ctx, _, end, err = s.beginProbe()
	}
	if err != nil {
		s.respond(m, wire.Ack{Reason: err.Error()})
		return
	}

	s.wg.Go(func() {
		defer end()
		if err := s.exchange(ctx, p, s.id, 1, receiveProbe); err != nil {
			s.log.Debug("cannot measure a link", "from", p.Node, "error", err)
		}
	})
	s.respond(m, wire.Ack{OK: true})
}

// exchange joins the attempt of a measurement, of which the node that began is rank 0 and to is
// rank 1, and keeps what f measures there, in bytes per second, and how long a message takes.
func (s *Shard) exchange(ctx context.Context, p wire.Probe, to job.NodeID, rank int,
	f func(context.Context, collective.Transport) (float64, error)) error {
	tr, err := s.link.join(job.Plan{Job: job.ID("probe-" + p.Node), Attempt: job.Attempt(p.Number),
		Nodes: []job.NodeID{p.Node, to}}, rank, p.Key)
	if err != nil {
		return err
	}

	var rate, delay float64
	if p.Echoes {
		delay, err = echo(ctx, tr)
	}
	if err == nil {
		rate, err = f(ctx, tr)
	}
	s.links.add(p.Class, rate, min(delay, topology.DelayMost))
	if err != nil {
		tr.Abort()
		return fmt.Errorf("cannot measure the link: %w", err)
	}
	return tr.Close()
}

// sendProbe sends rounds of messages, each of which the peer answers when it has all of them. The
// first message of a round says how many follow; 0 ends it.
func sendProbe(ctx context.Context, tr collective.Transport) (best float64, err error) {
	data := collective.NewBuffer(probeMessage)

	for round, n := range probeRounds {
		start := time.Now()
		if err := announce(ctx, tr, round, n); err != nil {
			return best, err
		}
		for i := range n {
			if err := tr.Send(ctx, 1, probeTag(round, i+1), data); err != nil {
				return best, err
			}
			data = collective.NewBuffer(probeMessage) // Send hands it over
		}
		if _, err := tr.Recv(ctx, 1, probeTag(round, 0)); err != nil {
			return best, err
		}

		took := time.Since(start)
		best = max(best, float64(n*probeMessage)/max(took.Seconds(), 1e-9))
		if took >= probeEnough {
			return best, announce(ctx, tr, round+1, 0)
		}
	}
	return best, announce(ctx, tr, len(probeRounds), 0)
}

// announce tells the peer how many messages of a round follow.
func announce(ctx context.Context, tr collective.Transport, round, n int) error {
	count := binary.LittleEndian.AppendUint64(nil, uint64(n)) //nolint:gosec // from 0
	return tr.Send(ctx, 1, probeTag(round, 0), collective.Align(count))
}

// receiveProbe is the other side of sendProbe. It accepts as many messages as that sends at most.
func receiveProbe(ctx context.Context, tr collective.Transport) (best float64, err error) {
	for round := 0; round <= len(probeRounds); round++ {
		count, err := tr.Recv(ctx, 0, probeTag(round, 0))
		if err != nil {
			return best, err
		}
		if len(count) != 8 || binary.LittleEndian.Uint64(count) == 0 || round == len(probeRounds) {
			return best, nil
		}

		start := time.Now()
		n := min(binary.LittleEndian.Uint64(count), uint64(probeRounds[round])) //nolint:gosec // few
		for i := range n {
			if _, err := tr.Recv(ctx, 0, probeTag(round, int(i)+1)); err != nil { //nolint:gosec // few
				return best, err
			}
		}

		best = max(best, float64(n*probeMessage)/max(time.Since(start).Seconds(), 1e-9))
		if err := tr.Send(ctx, 0, probeTag(round, 0), collective.NewBuffer(8)); err != nil {
			return best, err
		}
	}
	return best, nil
}

// probeTag names a message of a round.
func probeTag(round, i int) collective.Tag {
	return collective.Tag{Step: uint32(round), Op: uint32(i)} //nolint:gosec // few
}
