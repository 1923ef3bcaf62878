package core

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
)

// Limits on what a state holds.
const (
	keptMost  = 1 << 20 // jobs
	trashMost = 1 << 22 // objects
)

// check reports whether a record that a command would lead to is one that this state may hold. A
// refused command changes nothing, on every coordinator alike.
// before is the record before the command, nil for a new one.
func (s *state) check(k kind, before, r *job.Record) error {
	var err error
	if before == nil {
		err = r.Check()
	} else {
		err = r.CheckAfter(before)
	}

	if err == nil {
		err = checkCompleted(r)
	}
	if err == nil && k == kindPlace {
		err = s.alone(r)
	}
	if err != nil {
		return fmt.Errorf("cannot apply a %s command to job %.64s: %w", k, r.ID, err)
	}
	return nil
}

// alone wants the nodes of a running job to be in no other plan that runs: a device computes one
// rank at a time. The scheduler sees to it; this holds where it fails, and in a log that was
// tampered with.
func (s *state) alone(r *job.Record) error {
	for _, n := range r.Plan.Nodes {
		if id, ok := s.index.taken[n]; ok && id != r.ID {
			return &job.FieldError{Field: "plan.nodes", Value: string(n),
				Allowed: fmt.Sprintf("nodes without work; it has job %s", id)}
		}
	}
	return nil
}

// checkRecord is the record's own check, and what the API relies on: a completed clip says of what
// type it is.
func checkRecord(r job.Record) error {
	return cmp.Or(r.Check(), checkCompleted(&r))
}

func checkCompleted(r *job.Record) error {
	if r.State != job.Completed {
		return nil
	}
	return checkFormat(r.Spec, r.Result)
}

// checkFormat refuses a result that is not of the format that was asked for: browsers take what it
// calls itself at its word.
func checkFormat(s job.Spec, r job.Result) error {
	if want := media.Format(s.Format).ContentType(); r.ContentType != want {
		return &job.FieldError{Field: "content_type", Value: fmt.Sprintf("%.64q", r.ContentType),
			Allowed: fmt.Sprintf("%q, for %s", want, s.Format)}
	}
	return nil
}

// check reports whether a snapshot is one that commands can have led to. The first field that is
// wrong comes back as a *job.FieldError.
func (s *Snapshot) check() error {
	for i, m := range s.Models {
		_, twice := s.Models[:i].Named(m.Name)
		if err := m.Check(); err != nil || twice {
			return &job.FieldError{Field: fmt.Sprintf("models[%d]", i),
				Value: fmt.Sprintf("%.64q, %v", m.Name, err), Allowed: "a model that shards hold, once"}
		}
	}

	for _, c := range []struct {
		field   string
		n, most int
	}{{"models", len(s.Models), job.ModelsLimit}, {"jobs", len(s.Jobs), keptMost},
		{"trash", len(s.Trash), trashMost},
		{"drains", len(s.Drains), drainsKept}, {"members", len(s.Members), membersKept}} {
		if c.n > c.most {
			return &job.FieldError{Field: c.field, Value: fmt.Sprint(c.n),
				Allowed: fmt.Sprintf("up to %d", c.most)}
		}
	}
	return cmp.Or(s.checkJobs(), s.checkTrash(), s.checkDrains(), s.checkMembers(),
		checkCluster(s.Cluster), s.Access.check(), s.checkShares(), s.Audit.check(),
		s.Usage.check(), s.checkRollouts(), s.Authority.check())
}

// at puts where it is before the field of an error, such as jobs[3]. before plan.nodes.
func at(place string, err error) error {
	var f *job.FieldError
	if errors.As(err, &f) {
		return &job.FieldError{Field: place + "." + f.Field, Value: f.Value, Allowed: f.Allowed}
	}
	return &job.FieldError{Field: place, Value: err.Error(), Allowed: "what a command can lead to"}
}

// checkJobs checks each record by itself, and that ids, keys and nodes at work are used once.
func (s *Snapshot) checkJobs() error {
	ids, keys, taken := map[job.ID]bool{}, map[string]bool{}, map[job.NodeID]bool{}
	for i, r := range s.Jobs {
		place := fmt.Sprintf("jobs[%d]", i)
		err := checkRecord(r)
		if err == nil && !r.State.Final() {
			err = workable(s.modelOf(r.Spec), r.Spec)
		}
		if err != nil {
			return at(place, err)
		}

		key := requestKey(r.Owner, r.Key)
		if ids[r.ID] || r.Key != "" && keys[key] {
			return &job.FieldError{Field: place + ".id",
				Value:   fmt.Sprintf("%s, key %.64q", r.ID, r.Key),
				Allowed: "one that no job before it has"}
		}
		ids[r.ID], keys[key] = true, true

		if r.State != job.Running {
			continue
		}
		for _, n := range r.Plan.Nodes {
			if taken[n] {
				return &job.FieldError{Field: place + ".plan.nodes", Value: string(n),
					Allowed: "nodes without another job"}
			}
			taken[n] = true
		}
	}
	return nil
}

// modelOf returns the model of a live job: the only one, in a snapshot of before modelsSince.
func (s *Snapshot) modelOf(spec job.Spec) job.Model {
	m, known := s.Models.Named(spec.Model)
	if !known && s.Version < modelsSince {
		m, _ = s.Models.Default()
	}
	return m
}

// workable wants a model, on which the clip of a live job has tokens, as many as the planner can
// count.
func workable(m job.Model, s job.Spec) error {
	if m.Fingerprint == "" {
		return &job.FieldError{Field: "model", Value: "missing", Allowed: "one, if jobs are to be done"}
	}
	if n := m.Tokens(s.Frames, s.Height, s.Width); n < 1 || n > job.ClipTokensLimit {
		return &job.FieldError{Field: "num_frames x size", Value: fmt.Sprintf("%d tokens", n),
			Allowed: fmt.Sprintf("1 to %d", job.ClipTokensLimit)}
	}
	return nil
}

// checkTrash wants objects that can be deleted.
func (s *Snapshot) checkTrash() error {
	for i, t := range s.Trash {
		if err := t.Object.Check(); err != nil {
			return at(fmt.Sprintf("trash[%d].object", i), err)
		}
	}
	return nil
}

// checkDrains wants ids that can be part of a NATS subject.
func (s *Snapshot) checkDrains() error {
	for i, d := range s.Drains {
		if err := job.CheckName("node", string(d.Node)); err != nil {
			return at(fmt.Sprintf("drains[%d]", i), err)
		}
	}
	return nil
}

// checkMembers wants coordinators to which a client can be sent.
func (s *Snapshot) checkMembers() error {
	for id, address := range s.Members {
		if err := CheckAddress(id, address); err != nil {
			return at("members", err)
		}
	}
	return nil
}

// AddressMax bounds an address, in bytes.
const AddressMax = 256

// CheckAddress wants the id of a coordinator and, if there is one, the URL of its API.
func CheckAddress(id, address string) error {
	if err := job.CheckName("id", id); err != nil {
		return err
	}
	u, err := url.Parse(address)
	if address != "" && (err != nil || u.Host == "" || len(address) > AddressMax) {
		return &job.FieldError{Field: "http_address", Value: fmt.Sprintf("%.64q", address),
			Allowed: "a URL such as http://host:8080"}
	}
	return nil
}

// checkCluster wants an id of a cluster, or none.
func checkCluster(id string) error {
	if id == "" {
		return nil
	}
	return job.CheckName("cluster", id)
}
