package coord

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// commandVersion is written into every command; a coordinator refuses versions above its own.
const commandVersion = 5

// kind says what a command does.
type kind string

const (
	kindCreate    kind = "create"
	kindPlace     kind = "place"
	kindComplete  kind = "complete"
	kindFail      kind = "fail"
	kindCancel    kind = "cancel"
	kindCancelled kind = "cancelled"
	kindDelete    kind = "delete"
	kindModel     kind = "model"
	kindSwept     kind = "swept"
	kindSave      kind = "save"
	kindKeep      kind = "keep"
	kindLose      kind = "lose"
	kindDrain     kind = "drain"
	kindUndrain   kind = "undrain"
	kindMember    kind = "member"
	kindLease     kind = "lease"
)

// command is one entry of the Raft log. All that could differ between coordinators, such as the
// time, ids and limits, is in it.
type command struct {
	Version int         `json:"v"`
	Kind    kind        `json:"kind"`
	Now     time.Time   `json:"now"`
	Job     job.ID      `json:"job,omitempty"`
	Attempt job.Attempt `json:"attempt,omitempty"`
	Create  *creation   `json:"create,omitempty"`
	Plan    *job.Plan   `json:"plan,omitempty"`
	Result  *job.Result `json:"result,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Model   *job.Model  `json:"model,omitempty"`
	Swept   []string    `json:"swept,omitempty"`  // names of objects that are gone
	Spared  []string    `json:"spared,omitempty"` // and of those that a job still refers to

	Checkpoint *job.Checkpoint `json:"checkpoint,omitempty"`
	Part       *part           `json:"part,omitempty"`
	Setback    *job.Setback    `json:"setback,omitempty"`
	Member     *Peer           `json:"member,omitempty"` // without an address: it is gone
	Drain      *Drain          `json:"drain,omitempty"`  // of undrain, the node alone
	Lease      *lease          `json:"lease,omitempty"`
}

// lease keeps an object for a while that no job refers to yet.
type lease struct {
	Object job.Object `json:"object"`
	Until  time.Time  `json:"until"`
}

// creation asks for a new job, within limits.
type creation struct {
	Key       string   `json:"key,omitempty"`
	Spec      job.Spec `json:"spec"`
	QueuedMax int      `json:"queued_max"`
	KeptMax   int      `json:"kept_max"`
}

// part is a finished piece of a job's work.
type part struct {
	Name   string     `json:"name"`
	Object job.Object `json:"object"`
}

func (c command) encode() ([]byte, error) {
	c.Version = commandVersion
	return json.Marshal(c)
}

func decodeCommand(data []byte) (command, error) {
	var c command
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("cannot read a command: %w", err)
	}
	if c.Version < 1 || c.Version > commandVersion {
		return c, fmt.Errorf("cannot apply a command of version %d; known: 1 to %d", c.Version,
			commandVersion)
	}
	return c, nil
}
