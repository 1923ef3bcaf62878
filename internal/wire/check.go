package wire

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/topology"
)

// Limits of messages.
const (
	MessageLimit      = 1 << 20 // bytes; NATS allows no more by default
	textLimit         = 4096    // bytes of a reason
	routeLimit        = 256     // bytes of a route or device
	capabilitiesLimit = 64
	commandsLimit     = 1 << 20
	refusedLimit      = 256

	// PreviewLimit bounds the bytes of a preview: a leader keeps one in memory for each running job.
	PreviewLimit = 256 << 10
)

// checked is a message that knows what is allowed in it.
type checked interface{ check() error }

// Decode reads one message and checks every field, since anybody who reaches the coordinators' NATS
// can send one. Unknown fields are skipped, so that versions can mix.
func Decode[T any](data []byte) (T, error) {
	var m, none T
	if len(data) > MessageLimit {
		return none, fmt.Errorf("cannot read %T: %d bytes; allowed: %d", m, len(data), MessageLimit)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return none, fmt.Errorf("cannot read %T: %w", m, err)
	}
	if c, ok := any(m).(checked); ok {
		if err := c.check(); err != nil {
			return none, fmt.Errorf("cannot accept %T: %w", m, err)
		}
	}
	return m, nil
}

// Encode writes a message of this package. It panics on one that holds a NaN, which JSON cannot.
func Encode(m any) []byte {
	data, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("wire: cannot write %T: %v", m, err))
	}
	return data
}

// checkText wants valid UTF-8 of up to limit bytes, since texts end up in logs and on terminals.
func checkText(what, s string, limit int) error {
	if len(s) > limit || !utf8.ValidString(s) {
		return fmt.Errorf("%s of %d bytes; allowed: up to %d of UTF-8", what, len(s), limit)
	}
	return nil
}

// check wants a node, and work that names a rank.
func (w Work) check(node job.NodeID) error {
	if err := CheckNodeID(node); err != nil {
		return err
	}
	if job.CheckID(w.Job) != nil || w.Attempt == 0 || w.Rank < 0 || w.Rank >= job.NodesLimit {
		return fmt.Errorf("job %.64q, attempt %d, rank %d do not name a rank's work", w.Job, w.Attempt,
			w.Rank)
	}
	return nil
}

// checkFirst is check for messages that only rank 0 sends.
func (w Work) checkFirst(node job.NodeID) error {
	if w.Rank != 0 {
		return fmt.Errorf("rank is %d; allowed: 0", w.Rank)
	}
	return w.check(node)
}

func (r Registration) check() error {
	if err := CheckNodeID(r.Node); err != nil {
		return err
	}
	texts := []struct {
		what, s string
		limit   int
	}{
		{"name", r.Name, nameLimit}, {"start", r.ProcessID, nameLimit},
		{"device", r.Device, routeLimit},
		{"arithmetic", r.Arithmetic, nameLimit}, {"version", r.Version, nameLimit},
	}
	for _, t := range texts {
		if err := checkText(t.what, t.s, t.limit); err != nil {
			return err
		}
	}
	if err := checkRoute(r.Route); err != nil {
		return err
	}

	if err := cmp.Or(topology.CheckLabel(r.Host), topology.CheckLabel(r.Rack),
		r.Rates.Check(), r.Delays.Check()); err != nil {
		return err
	}
	if r.Uptime < 0 {
		return fmt.Errorf("an uptime of %v", r.Uptime)
	}
	if r.Threads < 0 || r.Threads > job.ThreadsLimit || len(r.Capabilities) > capabilitiesLimit {
		return fmt.Errorf("%d threads, %d capabilities", r.Threads, len(r.Capabilities))
	}
	if len(r.DTypes) > capabilitiesLimit {
		return fmt.Errorf("%d types of products", len(r.DTypes))
	}
	for _, t := range r.DTypes {
		if err := checkText("dtype", t, nameLimit); err != nil {
			return err
		}
	}
	if !(r.Speed >= 0 && r.Speed < math.MaxFloat32) || r.Memory < 0 {
		return fmt.Errorf("a speed of %v, %d bytes of memory", r.Speed, r.Memory)
	}

	if r.Work != (Work{}) {
		if err := r.Work.check(r.Node); err != nil {
			return err
		}
	}
	if len(r.Broken) > 2*job.ModelsLimit {
		return fmt.Errorf("%d broken models", len(r.Broken))
	}

	for _, why := range r.Broken {
		if err := checkText("reason", why, textLimit); err != nil {
			return err
		}
	}
	return cmp.Or(checkModels(r.Models()), checkLoaded(r.Loaded...))
}

// Line shortens a text for people to what messages take.
func Line(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), textLimit)], "?")
}

// checkModels wants models of different names.
func checkModels(all job.Models) error {
	if len(all) > job.ModelsLimit {
		return fmt.Errorf("%d models; allowed: %d", len(all), job.ModelsLimit)
	}
	for i, m := range all {
		if err := m.Check(); err != nil {
			return err
		}
		if _, twice := all[:i].Named(m.Name); twice {
			return fmt.Errorf("two models are called %.64q", m.Name)
		}
	}
	return nil
}

// checkLoaded bounds the names of models that are ready.
func checkLoaded(names ...string) error {
	if len(names) > job.ModelsLimit+1 {
		return fmt.Errorf("%d models are loaded; allowed: %d", len(names), job.ModelsLimit)
	}
	const most = 256 // bytes, as of any model's name
	for _, n := range names {
		if err := checkText("model", n, most); err != nil {
			return err
		}
	}
	return nil
}

func (h Heartbeat) check() error {
	if h.State != Idle && h.State != Busy {
		return fmt.Errorf("state %.32q; allowed: idle, busy", h.State)
	}
	if !(h.Speed >= 0 && h.Speed < math.MaxFloat32) {
		return fmt.Errorf("a speed of %v", h.Speed)
	}
	if err := cmp.Or(h.Rates.Check(), h.Delays.Check()); err != nil {
		return err
	}
	if h.Sent.Connections < 0 {
		return fmt.Errorf("%d direct connections", h.Sent.Connections)
	}
	if err := checkText("stage", string(h.Stage), nameLimit); err != nil || h.Step < 0 ||
		h.Computing < 0 {
		return cmp.Or(err, fmt.Errorf("step %d, computing for %v", h.Step, h.Computing))
	}

	if err := checkLoaded(append(h.Loaded, h.Loading)...); err != nil || h.LoadTime < 0 {
		return cmp.Or(err, fmt.Errorf("a model was loaded in %v", h.LoadTime))
	}
	if err := cmp.Or(h.Usage.Check(), checkEnded(h.Node, h.Ended, h.Metered)); err != nil {
		return err
	}
	if h.Work != (Work{}) {
		return h.Work.check(h.Node)
	}
	return CheckNodeID(h.Node)
}

func (g Goodbye) check() error {
	return cmp.Or(CheckNodeID(g.Node), checkEnded(g.Node, g.Ended, g.Metered))
}

// leaveMax is the longest time that a node may take to leave.
const leaveMax = 30 * 24 * time.Hour

func (l Leave) check() error {
	if l.Within < 0 || l.Within > leaveMax {
		return fmt.Errorf("within %v", l.Within)
	}
	return CheckNodeID(l.Node)
}

func (r Report) check() error {
	p := r.Progress
	if p.Done < 0 || p.Total < p.Done || p.ETA < 0 || p.Ranks < 0 || !(p.Part >= 0 && p.Part <= 1) {
		return fmt.Errorf("progress %d of %d, %v left, on %d ranks", p.Done, p.Total, p.ETA, p.Ranks)
	}
	switch p.Stage {
	case job.StageLoad, job.StageText, job.StageDenoise, job.StageDecode, job.StageEncode:
		return Work{Job: p.Job, Attempt: p.Attempt}.check(r.Node)
	}
	return fmt.Errorf("stage %.32q", p.Stage)
}

func (c Completion) check() error {
	return cmp.Or(c.Result.Check(), c.Usage.Check(), c.checkFirst(c.Node))
}

func (s Saved) check() error {
	if err := s.Checkpoint.Object.Check(); err != nil {
		return err
	}
	if c := s.Checkpoint; c.Step < 1 || !(c.Seconds >= 0 && c.Seconds < math.MaxFloat32) {
		return fmt.Errorf("a checkpoint of step %d after %v s", c.Step, c.Seconds)
	}
	return s.checkFirst(s.Node)
}

func (k Kept) check() error {
	if err := cmp.Or(job.CheckPart(k.Name), k.Object.Check()); err != nil {
		return err
	}
	return k.Work.check(k.Node)
}

func (p Preview) check() error {
	if len(p.Data) > PreviewLimit || !media.IsAnimation(p.Data) || p.Step < 1 {
		return fmt.Errorf("a preview of step %d, %d bytes; allowed: a WebP of up to %d", p.Step,
			len(p.Data), PreviewLimit)
	}
	return p.checkFirst(p.Node)
}

func (f Failure) check() error {
	if f.Peer < -1 || f.Peer >= job.NodesLimit {
		return fmt.Errorf("peer %d", f.Peer)
	}
	if err := cmp.Or(checkText("reason", f.Reason, textLimit), f.Usage.Check()); err != nil {
		return err
	}
	return f.Work.check(f.Node)
}

func (d Disk) check() error {
	if err := CheckNodeID(job.NodeID(d.ID)); err != nil {
		return err
	}
	if d.Stage < 0 || d.Stage > 2 {
		return fmt.Errorf("stage %d of a disk; allowed: 0 to 2", d.Stage)
	}
	if d.Commands < 0 || d.Commands > commandsLimit {
		return fmt.Errorf("commands of version %d; allowed: 0 to %d", d.Commands, commandsLimit)
	}

	// Refusals are counted by these texts, so they are bounded like all others.
	if len(d.Refused) > refusedLimit {
		return fmt.Errorf("%d refusals of a disk; allowed: up to %d", len(d.Refused), refusedLimit)
	}
	for _, r := range d.Refused {
		if err := r.check(); err != nil {
			return err
		}
	}
	return cmp.Or(checkText("reason", d.Reason, textLimit),
		checkText("version", d.Version, nameLimit))
}

// check bounds what is counted.
func (r Refusal) check() error {
	if r.Count < 1 || r.Count > commandsLimit {
		return fmt.Errorf("count %d of a refusal; allowed: 1 to %d", r.Count, commandsLimit)
	}
	return cmp.Or(checkText("owner", r.Owner, textLimit), checkText("name", r.Name, textLimit),
		checkText("addr", r.Addr, textLimit), checkText("action", r.Action, textLimit),
		checkText("reason", r.Reason, textLimit))
}
