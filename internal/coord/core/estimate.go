package core

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/sched"
)

// Estimates are made from the records that are kept anyway: what completed jobs of the model took
// on devices of the same kind. Nothing is stored for them, so a new leader, and one that has read a
// snapshot, comes to the same figures.

const (
	samplesMost = 64   // the latest jobs that a calibration goes by
	recordsMost = 4096 // and those that are looked at to find them
)

// Estimate is what a request would take if it became a job now.
type Estimate struct {
	job.Estimate
	// Known is false where the model's cost or the shards' speed is not, and the rest is zero.
	Known bool
	Spec  job.Spec
	Mesh  job.Mesh
	// Nodes are names of the shards that it would be on, by rank, if they had nothing else to do;
	// Devices are their kinds. None: no shards that are there can run it.
	Nodes, Devices []string
	Memory         int64 // of the shard that needs the most, in bytes
	// Waiting is why it would not start at once, "" if it would; Ahead how many jobs go before it.
	Waiting string
	Ahead   int
	// Cost is the bill of the estimate, Low and High those of the ends of its range; nil: there is no
	// price sheet, or nothing is known.
	Cost, Low, High *price.Bill
}

// Estimate checks a request as ProposeJob does, but for what passes, such as a full queue, and
// returns what it would take. Nothing changes.
func (c *Core) Estimate(r job.Request) (e Estimate, err error) {
	m, s, err := c.judge(r)
	if err != nil {
		return e, err
	}
	a := asker{r.Owner, r.Team, "", r.Quota, "", r.Admin}
	err = cmp.Or(c.rolledOut(a, s), c.everFits(s))
	if err == nil && c.machine.Version() >= ownersSince {
		err = c.under(&creation{Spec: s, Owner: r.Owner, Team: r.Team}, r.Quota)
	}
	if err != nil {
		return e, err
	}

	// From here on nothing is refused: what is not known is left out of the answer.
	l := c.lead
	at := l.placing(m, s)
	e = Estimate{Spec: s, Mesh: at.mesh, Memory: plan.MemoryOf(m, s, at.mesh).Total()}
	for _, n := range at.nodes {
		e.Nodes, e.Devices = append(e.Nodes, n.reg.Name), append(e.Devices, device(n))
	}
	e.Estimate, e.Known = l.estimate(m, s, at)
	e.Waiting, e.Ahead = l.wait(r, s)
	if c.cfg.Pricing != nil && e.Known && len(e.Nodes) > 0 {
		low, high := e.Range()
		e.Cost, e.Low, e.High = c.priceOf(r, e, e.DeviceSeconds), c.priceOf(r, e, low),
			c.priceOf(r, e, high)
	}
	return e, nil
}

// forecast is the estimate that a new job is stored with; nil where nothing is known.
func (c *Core) forecast(m job.Model, s job.Spec) *job.Estimate {
	if c.lead == nil || m.Cost.FFNDim == 0 || c.machine.Version() < ownersSince {
		return nil
	}
	if e, known := c.lead.estimate(m, s, c.lead.placing(m, s)); known {
		return &e
	}
	return nil
}

// everFits refuses a clip that is larger than the store will ever hold. A lack of room passes.
func (c *Core) everFits(s job.Spec) error {
	var never *job.FieldError
	if err := c.fits(s); errors.As(err, &never) {
		return err
	}
	return nil
}

// priceOf bills a request for an amount of device time, of which each shard has the same part.
func (c *Core) priceOf(r job.Request, e Estimate, seconds float64) *price.Bill {
	// The bill wants times by kind of device, as a job's own does.
	var used job.Metered
	each := min(seconds/float64(len(e.Devices)), 1e9)
	for _, d := range e.Devices {
		used = used.Charge(d, job.Usage{Time: time.Duration(each * float64(time.Second))}, true)
	}
	b := c.cfg.Pricing.Bill(c.priced(job.Record{Owner: r.Owner, Team: r.Team, Spec: e.Spec}, used))
	return &b
}

// Two questions are put to the scheduler. Where a job would run on idle shards says what it takes,
// since that must not depend on what others do at the moment of asking: the price of a clip would.
// Whether it would run now, on the shards as they are, says what it waits for.

// placement is where a job would run.
type placement struct {
	mesh  job.Mesh
	nodes []*node // by rank; none: only the mesh is known
	speed float64 // of the slowest node, in multiply-adds per second; 0: not known
}

// placingAnew asks the scheduler where a job would run if the shards had nothing else to do. It
// goes by nothing that foreseen does not know of.
func (l *leader) placingAnew(m job.Model, s job.Spec) (p placement) {
	v := sched.View{Now: l.c.cfg.Clock(), Models: l.c.machine.Models(),
		Draining: map[job.NodeID]string{}, Store: sched.Store{Open: true, Room: math.MaxInt64 / 2},
		Queued: []sched.Queued{{Record: new(job.New(estimateID, "", s, time.Time{})),
			SinceLoss: math.MaxInt64 / 2}}}

	// A model that is not loaded is loaded first, which is left out: it happens once, not per clip.
	v.Nodes = slices.Clone(l.schedulerNodes())
	for i := range v.Nodes {
		n := &v.Nodes[i]
		n.Idle, n.Job, n.Loaded = true, "", n.Models
	}
	for id := range l.c.machine.drains() {
		v.Draining[id] = l.nodeName(id)
	}

	for _, d := range sched.Decide(v) {
		if d.Action != sched.Place {
			continue
		}
		p.mesh = d.Mesh
		for _, n := range d.Nodes {
			p.nodes = append(p.nodes, l.nodes[n.ID])
		}
		p.speed = slices.Min(speeds(p.nodes))
		return p
	}

	// Too few shards are there. What the job asks for is known all the same.
	offers := l.offers(m.Name)
	p.mesh, _ = plan.Mesh(m, s, max(1, len(offers)), 0)
	if p.mesh.Size() < 1 {
		p.mesh = job.Mesh{CFG: 1, Ulysses: 1}
	}
	for _, o := range offers {
		p.speed = max(p.speed, o.Speed)
	}
	return p
}

// estimateID is the name of a job that is only asked about. No job is called so.
const estimateID = "estimate"

// speeds are the rated ones: what is measured on clips depends on the clips, and changes with each.
func speeds(nodes []*node) (out []float64) {
	for _, n := range nodes {
		out = append(out, cmp.Or(n.reg.Speed, n.beat.Speed))
	}
	return out
}

// wait asks the scheduler whether a request would start now, and if not, why.
func (l *leader) wait(r job.Request, s job.Spec) (why string, ahead int) {
	if !l.storeSettled() {
		return "the object store is not open yet", 0
	}

	// It is the youngest job of its priority.
	rec := job.New(estimateID, "", s, l.today())
	rec.Owner, rec.Team = r.Owner, r.Team
	v, waits := l.schedulerView()
	l.showNodes(&v)
	asked := l.c.weigh(&liveJob{r: &rec})
	v.Queued = append(v.Queued, sched.Queued{Record: &rec, SinceLoss: math.MaxInt64 / 2,
		Needs: asked.needs})
	l.share(&v, append(waits, asked))

	for _, d := range sched.Decide(v) {
		if d.Job.ID == estimateID && d.Action != sched.Place {
			return d.Why, d.Ahead
		}
	}
	return "", 0
}

// calibrationKey is what jobs have in common whose times are compared.
type calibrationKey struct {
	model, dtype string
	threads      int
	devices      string
}

// calibrations predict the device time of a rank and the time of the whole job, each divided by
// the rated speed that the efforts were made with.
type calibrations struct {
	device, whole plan.Calibration
	speed         float64
}

// estimate predicts a job. The error is that of the device-seconds.
func (l *leader) estimate(m job.Model, s job.Spec, at placement) (e job.Estimate, known bool) {
	effort, known := plan.EffortOf(m, s, at.mesh, at.speed)
	if !known {
		return e, false
	}

	c := l.calibrate(m, s, at)
	each, off := c.device.Predict(effort)
	e.Seconds, _ = c.whole.Predict(effort)
	e.DeviceSeconds, e.Error = each*float64(at.mesh.Size()), off
	e.Samples = c.device.Samples

	// Clips of ages, and models of no size, are not worth an error.
	for _, v := range []*float64{&e.Seconds, &e.DeviceSeconds, &e.Error} {
		*v = min(*v, math.MaxFloat32)
	}
	return e, true
}

// calibrate goes by the jobs that completed lately, of the same model on the same kind of devices.
func (l *leader) calibrate(m job.Model, s job.Spec, at placement) calibrations {
	key := calibrationKey{m.Name, s.DType, s.Threads, kindsOn(at.nodes)}
	if c, ok := l.calibrations[key]; ok && c.speed == at.speed {
		return c
	}

	// The latest come first, and there may be many jobs of other models, or that wait.
	var devices, whole []plan.Sample
	st := l.c.machine.state
	looked := 0
	for i := len(st.order) - 1; i >= 0 && looked < recordsMost && len(devices) < samplesMost; i-- {
		r := st.jobs[st.order[i]]
		looked++
		if r.State != job.Completed || r.Spec.Model != m.Name || r.Spec.DType != s.DType ||
			r.Spec.Threads != s.Threads || kindsOf(r.Usage) != key.devices {
			continue
		}
		if d, w, ok := sampleOf(m, *r, at.speed); ok {
			devices, whole = append(devices, d), append(whole, w)
		}
	}

	c := calibrations{plan.Calibrate(devices), plan.Calibrate(whole), at.speed}
	if len(l.calibrations) >= calibrationsMost || l.calibrations == nil {
		l.calibrations = map[calibrationKey]calibrations{}
	}
	l.calibrations[key] = c
	return c
}

// calibrationsMost bounds the calibrations that are kept. They are made again when a job completes.
const calibrationsMost = 64

// sampleOf is what a completed job took of a rank, by its device time and by the clock; false where
// it did not do all by itself: an attempt that goes on from another one does less.
func sampleOf(m job.Model, r job.Record, speed float64) (device, whole plan.Sample, ok bool) {
	res := r.Result
	used := r.Took()
	effort, known := plan.EffortOf(m, r.Spec, r.Plan.Mesh, speed)
	if !known || used <= 0 || r.Plan.Resume.Step > 0 || res.WindowsReused+res.FramesReused > 0 {
		return device, whole, false
	}

	device = plan.Sample{Effort: effort, Total: used.Seconds() / float64(r.Plan.Mesh.Size()),
		Denoise: res.Seconds[job.StageDenoise], Decode: res.Seconds[job.StageDecode],
		Write: res.Seconds[job.StageEncode]}
	whole = device
	if whole.Total = r.Finished.Sub(r.Placed).Seconds(); whole.Total <= 0 { // the time of day jumped
		whole.Total = device.Total
	}
	return device, whole, true
}

// device is the kind of a node's device, as usage has it.
func device(n *node) string { return cmp.Or(n.reg.Device, unknownDevice) }

// kindsOn names the kinds of devices of some nodes, as kindsOf does those of a job.
func kindsOn(nodes []*node) string {
	var used job.Metered
	for _, n := range nodes {
		used = used.Charge(device(n), job.Usage{}, true)
	}
	return kindsOf(used)
}

func kindsOf(u job.Metered) string {
	var out []string
	for _, d := range u.Devices {
		out = append(out, fmt.Sprintf("%q", d.Device))
	}
	return strings.Join(out, ",")
}
