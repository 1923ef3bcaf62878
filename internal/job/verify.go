package job

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Limits on what a record holds, besides those of its request.
const (
	idLimit          = 64 // bytes of the id of a job or a node
	contentTypeLimit = 64
	noticesLimit     = 64
	noticeLimit      = 4096 // bytes
	secondsLimit     = 16   // stages
	extraLimit       = 64
)

// CheckSpec reports whether a resolved spec is one that m can be asked for, as strictly as Resolve.
// The first field that is wrong comes back as a *FieldError.
func (m Model) CheckSpec(s Spec) error {
	if err := s.Check(); err != nil {
		return err
	}

	m.Defaults.Window = s.Window // as Resolve takes a request's
	for _, check := range m.checks() {
		if err := check(s.named()); err != nil {
			return err
		}
	}

	blocks := 0
	if s.Long == LongExtend || s.Long == LongCausal {
		blocks = m.blocks(s)
	}
	if s.Blocks != blocks {
		return &FieldError{"blocks", number(s.Blocks), number(blocks)}
	}
	return nil
}

// named fills in again what Resolve takes out of a clip that is made as a whole, so that one check
// of names serves requests and specs.
func (s Spec) named() Spec {
	s.Long = cmp.Or(s.Long, LongWindows)
	s.Schedule = cmp.Or(s.Schedule, ScheduleStatic)
	if s.Causal != nil {
		s.Scheduler = cmp.Or(s.Scheduler, "unipc")
	}
	return s
}

// Check reports whether the values of a resolved spec are within the limits that hold for every
// model. The first field that is not comes back as a *FieldError.
func (s Spec) Check() error {
	if s.Model == "" || len(s.Model) > 256 || !utf8.ValidString(s.Model) {
		return &FieldError{"model", quote(s.Model), "1 to 256 bytes of UTF-8"}
	}

	// Limits that hold for every model; those of one model are CheckSpec's.
	ints := []struct {
		field   string
		v, a, b int
	}{
		{"width", s.Width, 1, SizeLimit}, {"height", s.Height, 1, SizeLimit},
		{"num_frames", s.Frames, 1, FramesLimit}, {"num_frames_asked", s.FramesAsked, 0, FramesLimit},
		{"window", s.Window, 0, FramesLimit}, {"overlap", s.Overlap, 0, max(0, s.Window-1)},
		{"blocks", s.Blocks, 0, FramesLimit},
	}
	for _, c := range ints {
		if c.v < c.a || c.v > c.b {
			return &FieldError{c.field, number(c.v), fmt.Sprintf("%d to %d", c.a, c.b)}
		}
	}

	for _, check := range []func(Spec) error{Spec.checkInputs, checkPrompts, checkFields, checkMesh,
		Spec.checkScenes, Spec.checkBlocks} {
		if err := check(s.named()); err != nil {
			return err
		}
	}
	return nil
}

// CheckID reports whether id can name a job.
func CheckID(id ID) error { return CheckName("id", string(id)) }

// CheckName reports whether a name can be a part of a path, of a subject and of a URL, as ids are:
// 1 to 64 letters, digits, '-' or '_'. field is what has it.
func CheckName(field, name string) error {
	ok := name != "" && len(name) <= idLimit
	for _, c := range []byte(name) {
		ok = ok && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' ||
			c == '_')
	}
	if !ok {
		return &FieldError{field, quote(name), NameAllowed}
	}
	return nil
}

// NameAllowed says what CheckName takes.
const NameAllowed = "1 to 64 letters, digits, - and _"

// Check reports whether o can name stored bytes: a name, a size, a SHA-256 in lower-case hex.
func (o Object) Check() error {
	if o.Name == "" || len(o.Name) > 256 || o.Size < 0 {
		return fmt.Errorf("object %.64q of %d bytes", o.Name, o.Size)
	}
	if len(o.SHA256) != 64 || strings.Trim(o.SHA256, "0123456789abcdef") != "" {
		return fmt.Errorf("object %.64q: SHA-256 %.70q is not 64 hex digits", o.Name, o.SHA256)
	}
	return nil
}

// Check reports whether r is a record that transitions can have led to. The first field that is
// wrong comes back as a *FieldError.
func (r Record) Check() error {
	if err := r.checkNames(); err != nil {
		return err
	}
	if err := r.Spec.Check(); err != nil {
		return err
	}
	return r.checkProgress(nil)
}

// CheckAfter is Check of what a transition has made of a record that was checked. It leaves out
// what no transition changes: names, the spec, and the plan but for that of a new attempt. To look
// at those takes longer than a transition.
func (r *Record) CheckAfter(before *Record) error { return r.checkProgress(before) }

// checkProgress checks what transitions change. before is the record before one, nil where that is
// not known.
func (r *Record) checkProgress(before *Record) error {
	if err := r.checkState(); err != nil {
		return err
	}
	if before == nil || before.Attempt != r.Attempt || before.Plan.Attempt != r.Plan.Attempt {
		if err := r.checkPlan(); err != nil {
			return err
		}
	}

	for _, check := range []func(*Record) error{(*Record).checkCheckpoints, (*Record).checkParts,
		(*Record).checkLosses, (*Record).checkEnd, (*Record).checkUsage, (*Record).checkEstimate} {
		if err := check(r); err != nil {
			return err
		}
	}
	return nil
}

func (r *Record) checkNames() error {
	if err := CheckID(r.ID); err != nil {
		return err
	}
	const widest = 3 // bytes that JSON writes for one that is not UTF-8
	return cmp.Or(checkText("key", r.Key, widest*KeyLimit), checkText("owner", r.Owner, OwnerLimit),
		checkText("team", r.Team, OwnerLimit))
}

func checkText(field, s string, limit int) error {
	if len(s) > limit || !utf8.ValidString(s) {
		return &FieldError{field, fmt.Sprintf("%d bytes", len(s)),
			fmt.Sprintf("up to %d bytes of UTF-8", limit)}
	}
	return nil
}

func (r *Record) checkState() error {
	switch {
	case r.State != Queued && r.State != Running && !r.State.Final():
		return &FieldError{"state", quote(string(r.State)),
			"queued, running, completed, failed, cancelled"}
	case r.Attempt == 0 && (r.State == Running || r.State == Completed):
		return &FieldError{"attempt", "0", fmt.Sprintf("from 1 in a job that is %s", r.State)}
	case r.Attempt == math.MaxUint32:
		return &FieldError{"attempt", fmt.Sprint(r.Attempt), "less, so that another one can follow"}
	}
	return nil
}

// checkPlan wants the plan of the latest attempt, and none before the first.
func (r *Record) checkPlan() error {
	p := r.Plan
	if r.Attempt == 0 {
		if len(p.Nodes) > 0 || p.Attempt != 0 {
			return &FieldError{"plan", fmt.Sprintf("one of attempt %d", p.Attempt),
				"none before the first attempt"}
		}
		return nil
	}

	if p.Attempt != r.Attempt {
		return &FieldError{"plan.attempt", fmt.Sprint(p.Attempt), fmt.Sprint(r.Attempt)}
	}
	if len(p.Parts) > 0 {
		return &FieldError{"plan.parts", number(len(p.Parts)), "none; the record has them"}
	}
	if err := p.Check(*r); err != nil {
		return &FieldError{"plan", err.Error(), "what the planner makes for this job"}
	}
	return nil
}

// checkCheckpoints wants them within the steps of a live job, the one to fall back on before the
// latest.
func (r *Record) checkCheckpoints() error {
	none := Checkpoint{}
	if r.State.Final() && (r.Checkpoint != none || r.Before != none) {
		return &FieldError{"checkpoint", fmt.Sprintf("one of step %d", r.Checkpoint.Step),
			"none in a job that has ended"}
	}
	if err := r.Checkpoint.check("checkpoint", r.Spec.TotalSteps()); err != nil {
		return err
	}
	return r.Before.check("before", max(0, r.Checkpoint.Step-1))
}

// check wants a step up to a limit, and an object from the first one on.
func (c Checkpoint) check(field string, most int) error {
	if c == (Checkpoint{}) {
		return nil
	}
	if c.Step < 1 || c.Step > most {
		return &FieldError{field + ".step", number(c.Step), fmt.Sprintf("1 to %d", most)}
	}
	if err := c.Object.Check(); err != nil {
		return &FieldError{field + ".object", err.Error(), "a stored object"}
	}
	return checkSeconds(field+".seconds", c.Seconds)
}

// checkSeconds wants a duration, in seconds, that JSON can hold.
func checkSeconds(field string, v float64) error {
	if !(v >= 0 && v < math.MaxFloat32) {
		return &FieldError{field, fmt.Sprint(v), "from 0"}
	}
	return nil
}

// checkParts wants names and objects, and none once the job has ended: end takes them out.
func (r *Record) checkParts() error {
	if n := len(r.Parts); n > PartsLimit || n > 0 && r.State.Final() {
		return &FieldError{"parts", number(n), fmt.Sprintf("up to %d, none in a job that has ended",
			PartsLimit)}
	}
	for name, o := range r.Parts {
		if err := cmp.Or(CheckPart(name), o.Check()); err != nil {
			return &FieldError{"parts", err.Error(), "a name and a stored object"}
		}
	}
	return nil
}

// checkLosses wants losses of attempts that there were, within the steps of the clip.
func (r *Record) checkLosses() error {
	if n := len(r.Losses); n > LossesLimit {
		return &FieldError{"losses", number(n), fmt.Sprintf("up to %d", LossesLimit)}
	}
	for i, l := range r.Losses {
		field := fmt.Sprintf("losses[%d].", i)
		if l.Attempt < 1 || l.Attempt > r.Attempt {
			return &FieldError{field + "attempt", fmt.Sprint(l.Attempt),
				fmt.Sprintf("1 to %d", r.Attempt)}
		}

		if n := r.Spec.TotalSteps(); l.Step < 0 || l.Step > n || l.Redone < 0 || l.Redone > n {
			return &FieldError{field + "step", fmt.Sprintf("%d, %d redone", l.Step, l.Redone),
				fmt.Sprintf("0 to %d", n)}
		}
		if err := cmp.Or(checkText(field+"reason", l.Reason, ErrorLimit),
			checkText(field+"where", l.Where, WhereLimit)); err != nil {
			return err
		}
	}
	return nil
}

// checkEnd wants a result in a completed job, and a reason of bounded length.
func (r *Record) checkEnd() error {
	if err := checkText("error", r.Error, ErrorLimit); err != nil {
		return err
	}
	if r.State != Completed {
		if r.Result.Video.Name != "" || r.Result.Latents.Name != "" {
			return &FieldError{"result", quote(r.Result.Video.Name),
				fmt.Sprintf("none in a job that is %s", r.State)}
		}
		return nil
	}
	return r.Result.Check()
}

// Check reports whether what a completed job leaves behind is within limits.
func (r Result) Check() error {
	for _, o := range []struct {
		field string
		Object
	}{{"result.video", r.Video}, {"result.latents", r.Latents}} {
		if err := o.Check(); err != nil {
			return &FieldError{o.field, err.Error(), "a stored object"}
		}
	}

	if len(r.Notices) > noticesLimit || len(r.Seconds) > secondsLimit || len(r.Extra) > extraLimit {
		return &FieldError{"result", fmt.Sprintf("%d notices, %d stages, %d extras", len(r.Notices),
			len(r.Seconds), len(r.Extra)), fmt.Sprintf("up to %d, %d, %d", noticesLimit, secondsLimit,
			extraLimit)}
	}
	for _, n := range r.Notices {
		if err := checkText("result.notices", n, noticeLimit); err != nil {
			return err
		}
	}
	for stage, v := range r.Seconds {
		if err := cmp.Or(checkText("result.seconds", string(stage), idLimit),
			checkSeconds("result.seconds", v)); err != nil {
			return err
		}
	}
	for name := range r.Extra {
		if err := checkText("result.extra", name, idLimit); err != nil {
			return err
		}
	}
	return cmp.Or(checkText("result.latents_sha256", r.LatentsSHA256, idLimit),
		checkText("result.content_type", r.ContentType, contentTypeLimit),
		checkSeconds("result.step_seconds", r.StepSeconds))
}

// fits reports whether a mesh of positive counts has n ranks. Each count is compared first, so that
// the product of hostile ones cannot overflow.
func fits(m Mesh, n int) bool {
	return m.Window >= 0 && m.Window <= n && m.CFG >= 1 && m.CFG <= n && m.Ulysses >= 1 &&
		m.Ulysses <= n && m.Size() == n
}

// Check reports whether the plan is one for r, and whether its numbers make sense.
func (p Plan) Check(r Record) error {
	n := len(p.Nodes)
	switch {
	case p.Job != r.ID:
		return fmt.Errorf("the plan is for job %.64s", p.Job)
	case !p.Spec.Equal(r.Spec):
		return errors.New("the plan has another spec")
	case n == 0 || n > NodesLimit || !fits(p.Mesh, n):
		return fmt.Errorf("a mesh %s on %d nodes", p.Mesh, n)
	case p.CheckpointEvery < 0 || p.CheckpointEvery > everyLimit || p.PreviewEvery < 0 ||
		p.PreviewEvery > everyLimit:
		return fmt.Errorf("a checkpoint every %d steps, a preview every %d", p.CheckpointEvery,
			p.PreviewEvery)
	}

	if err := cmp.Or(checkText("where", p.Where, WhereLimit),
		checkText("predicted", p.Predicted, WhereLimit), p.checkShares(),
		p.Resume.check("resume", r.Spec.TotalSteps())); err != nil {
		return err
	}

	// A node runs one rank of a job: two would exchange with themselves.
	seen := make(map[NodeID]bool, n)
	for _, id := range p.Nodes {
		if seen[id] {
			return fmt.Errorf("node %q holds two ranks", id)
		}
		if err := CheckName("nodes", string(id)); err != nil {
			return err
		}
		seen[id] = true
	}
	return nil
}

// everyLimit bounds the steps between checkpoints, or previews.
const everyLimit = 1 << 30
