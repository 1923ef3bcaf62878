package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
)

// Of a cluster of ours nothing has to be guessed: the object of a video has the times of its
// stages, what it used of devices, and the sums of its latent and its file. The stream of its
// events says when there was a preview, and a second to play, as soon as that was so; asking for
// them would be work for the coordinator, and is not needed to know.

// longtake is a cluster of coordinators and shards, by its own API.
type longtake struct {
	o      Options
	wire   *wire
	client *client.Client
	models []schema.Model // when it was opened
}

// newLongtake asks which models there are: a wrong URL or key is found out before the first clip.
func newLongtake(ctx context.Context, o Options, w *wire) (*longtake, error) {
	c, err := client.New(o.URL, w.http)
	if err != nil {
		return nil, err
	}
	t := &longtake{o: o, wire: w, client: c.WithKey(o.Key)}
	if t.models, err = t.client.Models(ctx); err != nil {
		return nil, t.failure(ctx, err)
	}
	return t, nil
}

// Close implements Target.
func (t *longtake) Close() error { return t.wire.Close() }

// Describe implements Target. A key that may not see the shards leaves the devices out.
func (t *longtake) Describe(ctx context.Context) (Server, error) {
	out := Server{Dialect: "longtake", Product: "longtake", Details: map[string]string{}}
	for _, m := range t.models {
		if m.ID == t.o.Model || t.o.Model == "" && m.Details.Default {
			out.Model, out.Dtype = m.ID, cmp.Or(m.Details.Defaults.DType, job.DTypes[0])
			out.Details["fingerprint"] = m.Details.Fingerprint
		}
	}

	if out.Model == "" && t.o.Model != "" {
		return out, fail(Rejected, "the cluster does not serve the model %q", t.o.Model)
	}

	status, err := t.client.Cluster(ctx)
	if err == nil {
		out.Version = status.Version
		out.Details["coordinators"] = strconv.Itoa(len(status.Members))
	}

	nodes, err := t.client.Nodes(ctx)
	if err != nil && !forbidden(err) {
		return out, t.failure(ctx, err)
	}

	out.Devices = devices(nodes)
	return out, nil
}

// forbidden reports whether the key lacks a scope.
func forbidden(err error) bool {
	var e *schema.Error
	return errors.As(err, &e) && (e.Status == http.StatusForbidden ||
		e.Status == http.StatusUnauthorized)
}

// devices counts shards by their device.
func devices(nodes []schema.Node) []Device {
	count := map[string]int{}
	for _, n := range nodes {
		kind := n.Device
		if kind == "cpu" {
			kind = fmt.Sprintf("cpu, %d threads", n.Threads)
		}
		count[kind]++
	}
	var out []Device
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		out = append(out, Device{Kind: kind, Count: count[kind]})
	}
	return out
}

// Make implements Target. What a client hears at once comes over the stream of events, so nothing
// is polled.
func (t *longtake) Make(caller context.Context, r Request, watch Watch) (Outcome, error) {
	req, err := t.request(r)
	if err == nil && caller.Err() != nil {
		err = ended(caller, t.o.Timeout, caller.Err())
	}

	if err != nil {
		return Outcome{}, err
	}

	ctx, cancel := context.WithTimeout(caller, t.o.Timeout)
	defer cancel()
	ctx, tally := withTally(ctx)

	// A create whose answer nobody waits for would leave a clip that nobody cancels.
	creating, done := lingering(ctx)
	out := Outcome{Sent: time.Now()}
	v, err := t.client.Create(creating, req)
	done()
	answered := time.Since(out.Sent)
	if err == nil {
		out.ID = string(v.ID)
		v, err = t.client.Watch(ctx, v.ID, func(v schema.Video) { t.observe(&out, v, watch) })
	}

	heard := time.Since(out.Sent)
	out.Retries = int(tally.failures.Load())
	if err != nil {
		t.cancel(ctx, job.ID(out.ID))
		if ctx.Err() != nil {
			return out, ended(caller, t.o.Timeout, err)
		}
		return out, t.failure(ctx, err)
	}

	if err := t.finish(&out, v, answered, heard); err != nil {
		return out, err
	}

	f := film{width: out.Width, height: out.Height, frames: out.Frames,
		rate: float64(v.Details.Spec.FPS)}
	if err := f.compare(r); err != nil || !t.o.Content {
		return out, err
	}
	return out, t.read(caller, v, r, &out)
}

// read downloads a clip and compares it with what the coordinator has said, and with the request.
func (t *longtake) read(ctx context.Context, v schema.Video, r Request, out *Outcome) error {
	in, err := t.client.Content(ctx, v.ID, "video")
	if err != nil {
		return t.failure(ctx, err)
	}

	defer in.Close()
	f, err := examine(in, t.o.ContentMax, r.Into)
	if err != nil {
		return err
	}

	if f.sha256 != out.ContentSHA256 {
		return fail(Wrong, "the clip's file has the SHA-256 %s; the coordinator said %s", f.sha256,
			out.ContentSHA256)
	}

	f.fill(out)
	return f.compare(r)
}

// request is r in the words of the API.
func (t *longtake) request(r Request) (job.Request, error) {
	out := job.Request{Model: cmp.Or(r.Model, t.o.Model), Prompt: r.Prompt,
		NegativePrompt: r.Negative, GuidanceScale: r.Guidance, GuidanceScale2: r.Guidance2,
		Seed: &r.Seed, Priority: r.Priority}
	for _, p := range []struct {
		to   **int
		from int
	}{{&out.Width, r.Width}, {&out.Height, r.Height}, {&out.Frames, r.Frames},
		{&out.Steps, r.Steps}} {
		if p.from != 0 {
			*p.to = &p.from
		}
	}

	if r.FPS != 0 {
		rate := job.Rate(r.FPS)
		out.FPS = &rate
	}

	for _, name := range slices.Sorted(maps.Keys(r.Extra)) {
		f, ok := job.LookupField(name)
		if !ok {
			return out, fail(Rejected, "the field %q is none of longtake's; docs/api.md lists them", name)
		}
		if err := f.Set(&out, fmt.Sprint(r.Extra[name])); err != nil {
			return out, fail(Rejected, "%w", err)
		}
	}
	return out, nil
}

// observe notes when there was something to see first, and passes progress on.
func (t *longtake) observe(out *Outcome, v schema.Video, watch Watch) {
	now, d := time.Since(out.Sent), v.Details
	if out.FirstPreview == 0 && d.PreviewStep > 0 {
		out.FirstPreview = now
	}
	if out.FirstPlayable == 0 && d.ReadySeconds > 0 {
		out.FirstPlayable = now
	}
	watch.tell(Progress{ID: string(v.ID), State: v.Status, Stage: string(d.Stage),
		Part: float64(v.Progress) / 100, Queue: d.Ahead})
}

// finish reads what the coordinator says of a clip that has ended. The coordinator's clock says how
// long it took after it was queued. Before that is part of the way of the create, which is counted
// whole, so that the latency is never too short; nor is it longer than until the end was heard of.
func (t *longtake) finish(out *Outcome, v schema.Video, answered, heard time.Duration) error {
	d := v.Details
	inside := d.Finished.Sub(d.Created)
	out.Latency, out.Resolution = min(answered+inside, heard), answered
	if inside <= 0 {
		out.Latency, out.Resolution = heard, answered
	}

	// The queue is that before the first attempt. What a lost attempt waits for is part of the
	// latency alone.
	if !d.Started.IsZero() {
		out.Queue = d.Started.Sub(d.Created)
	}

	out.Attempts, out.Ranks, out.Mesh = int(d.Attempt), len(d.Nodes), d.Mesh
	s := d.Spec
	out.Frames, out.Width, out.Height = s.Frames, s.Width, s.Height
	out.FPS, out.Steps = int(s.FPS+0.5), s.Steps
	for _, m := range t.models {
		// A server that is none of ours may say anything, also that a patch has no pixels.
		if d := m.Details; m.ID == s.Model && min(d.TemporalScale, d.SpatialScale, d.Patch[0],
			d.Patch[1], d.Patch[2]) > 0 {
			out.Tokens = m.Details.Tokens(s.Frames, s.Height, s.Width)
		}
	}

	if u := d.Usage; u != nil {
		out.DeviceSeconds, out.Joules, out.PeakMemory = u.DeviceSeconds, u.Joules, u.Memory
		out.BytesSent, out.Operations = uint64(max(u.Sent, 0)), u.Operations
	}

	if d.State != job.Completed || d.Result == nil {
		why := string(d.State)
		if v.Error != nil {
			why = v.Error.Message
		}
		return fail(Failed, "the clip %s: %s", v.ID, why)
	}

	// From here on there is a clip, and what its last attempt has reported.
	res := d.Result
	out.FirstPlayable = cmp.Or(out.FirstPlayable, out.Latency)
	out.StepSeconds, out.LatentsSHA256 = res.StepSeconds, res.LatentsSHA256
	// What stays within a process was not sent over a network, and is what a rank gives to others all
	// the same.
	out.BytesSent = max(out.BytesSent, res.BytesExchanged)
	if r := d.Ranks; r != nil {
		out.SlowestStep = r.SlowestStep
		if out.Ranks > 1 {
			out.PerRank = r
		}
	}
	out.ContentSHA256, out.ContentBytes = res.Video.SHA256, res.Video.Size
	out.Stages = map[string]time.Duration{}
	for stage, seconds := range res.Seconds {
		out.Stages[string(stage)] = time.Duration(seconds * float64(time.Second))
	}
	return nil
}

// cancel takes a clip back whose caller has left, or whose time is over.
func (t *longtake) cancel(ctx context.Context, id job.ID) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	_, _ = t.client.Cancel(ctx, id) // it may have ended, or the server be gone
}

// failure sorts an error of the client.
func (t *longtake) failure(ctx context.Context, err error) error {
	var e *schema.Error
	var u *client.UnreachableError
	switch {
	case ctx.Err() != nil:
		return &Failure{Kind: Cancelled, Message: "cancelled", Err: ctx.Err()}
	case errors.As(err, &e):
		return &Failure{Kind: kindOf(e.Status), Status: e.Status, Message: e.Message, Err: err}
	case errors.As(err, &u):
		return &Failure{Kind: Unreachable, Message: err.Error(), Err: err}
	}
	return &Failure{Kind: Malformed, Message: err.Error(), Err: err}
}
