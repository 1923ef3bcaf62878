package job

import (
	"fmt"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/price"
)

// Record is all that is decided about one job; it is what Raft replicates. Its transitions return a
// changed copy and never write through the receiver, so records may be read without a lock.
type Record struct {
	ID  ID     `json:"id"`
	Key string `json:"key,omitempty"` // the request's, for repeated creates
	// Owner is the ID of the principal that made the job, "" where access was open; Team is its team.
	Owner      string     `json:"owner,omitempty"`
	Team       string     `json:"team,omitempty"`
	Spec       Spec       `json:"spec"`
	State      State      `json:"state"`
	Attempt    Attempt    `json:"attempt"` // of the latest placement; 0 before the first
	Plan       Plan       `json:"plan,omitzero"`
	Checkpoint Checkpoint `json:"checkpoint,omitzero"` // where the next attempt goes on
	Before     Checkpoint `json:"before,omitzero"`     // the one to fall back on
	// Parts are finished pieces of work, by name, that later attempts use.
	Parts           map[string]Object `json:"parts,omitempty"`
	Losses          []Loss            `json:"losses,omitempty"` // attempts that ended early
	Created         time.Time         `json:"created"`
	Started         time.Time         `json:"started,omitzero"`  // of the first placement
	Placed          time.Time         `json:"placed,omitzero"`   // of the latest one
	Finished        time.Time         `json:"finished,omitzero"` // when it became final
	CancelRequested bool              `json:"cancel_requested,omitempty"`
	Error           string            `json:"error,omitempty"` // why it failed
	Result          Result            `json:"result,omitzero"`

	// Usage is what attempts that are over have used, and Bill what the job costs, once it has ended
	// and where there was a price sheet. Both are since version 9 of the log.
	Usage Metered     `json:"usage,omitzero"`
	Bill  *price.Bill `json:"bill,omitempty"`
	// Estimate is what the job was expected to take when it was created; nil: nobody knew. Since
	// version 9, too.
	Estimate *Estimate `json:"estimate,omitempty"`
}

// Checkpoint is a job's state at the end of a denoising step: the latent, stored as an object. Step
// 0 is none.
type Checkpoint struct {
	Step   int    `json:"step"` // denoising steps done
	Object Object `json:"object"`
	// Seconds passed from the end of the step until the object was stored.
	Seconds float64 `json:"seconds,omitempty"`
}

// Names of parts that are known.
const (
	PartLatents = "latents" // those of the finished clip, as the result's
	PartVideo   = "video."  // and four digits: seconds of the clip, in order
	PartStart   = "start"   // the latent of the picture that the clip starts from

	PartCondition = "condition" // the latent of the pictures at the clip's ends, as a condition
	PartPictures  = "pictures"  // embeddings of the clip's pictures
)

// Limits on the parts of a job.
const (
	PartsLimit    = 1024
	PartNameLimit = 64 // bytes
)

// PartSeconds is how many seconds of the clip one part has. It is 1 for most clips; of long ones
// more, so that there are never more than PartsLimit/2 of them.
func (s Spec) PartSeconds() int {
	const most = PartsLimit / 2
	per := s.FPS.PerPart()
	seconds := (s.Frames + per - 1) / per
	return max(1, (seconds+most-1)/most)
}

// Seconds lists the parts that hold the first seconds of the clip, up to the first one that is
// missing.
func (r Record) Seconds() []Object { return seconds(r.Parts) }

// Seconds lists those of the parts that an attempt was given.
func (p Plan) Seconds() []Object { return seconds(p.Parts) }

// seconds returns the parts of the clip in order; a gap ends them, as what follows cannot be shown.
func seconds(parts map[string]Object) []Object {
	var out []Object
	for {
		o, ok := parts[VideoPart(len(out))]
		if !ok {
			return out
		}
		out = append(out, o)
	}
}

// VideoPart is the name of the i-th part that holds seconds of the clip.
func VideoPart(i int) string { return fmt.Sprintf("%s%04d", PartVideo, i) }

// CheckPart reports whether a part may have this name: lower-case letters, digits, dots, dashes.
func CheckPart(name string) error {
	rest := strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-")
	if name == "" || len(name) > PartNameLimit || rest != "" {
		return fmt.Errorf("part %.70q; allowed: 1 to %d of a-z, 0-9, dot and dash", name,
			PartNameLimit)
	}
	return nil
}

// PartsSize returns the sum of the sizes of the job's parts, in bytes.
func (r Record) PartsSize() (n int64) {
	for _, o := range r.Parts {
		n += o.Size
	}
	return n
}

// Loss is an attempt that ended early for a reason that is not the job's.
type Loss struct {
	Attempt Attempt   `json:"attempt"`
	Reason  string    `json:"reason"`
	Step    int       `json:"step"` // that the next attempt goes on from
	Time    time.Time `json:"time"`
	Began   time.Time `json:"began,omitzero"`  // when the attempt was placed
	Where   string    `json:"where,omitempty"` // on which nodes, as in its Plan
	// Planned: the attempt was asked to stop, at a step boundary.
	Planned bool `json:"planned,omitempty"`
	// Own: a rank could not go on, and blamed nobody else.
	Own bool `json:"own,omitempty"`
	// Redone counts the steps that were done and have to be done again.
	Redone int `json:"redone_steps,omitempty"`
	// Detection is how long what went wrong was not noticed, 0 if it was told.
	Detection time.Duration `json:"detection_ns,omitempty"`
	// Recovered is when the job was beyond Step again, zero if it is not yet.
	Recovered time.Time `json:"recovered,omitzero"`
}
