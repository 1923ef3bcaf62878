package core

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/job"
)

// commandVersion is the newest version of commands and snapshots that this program reads. A
// coordinator refuses versions above its own, since it cannot know what they mean: it stops, and
// says that it has to be updated. What it writes is of the version that all coordinators read: see
// Machine.Version. Version 6 added the checksum, 7 the list of a job's inputs, 8 several models, 9
// owners and who asked, 10 clips that begin with a given latent.
const commandVersion = 10

// modelsSince is the version from which on a cluster may have several models. What earlier ones say
// of a model is of the only one.
const modelsSince = 8

// kind says what a command does.
type kind string

const (
	kindCreate    kind = "create"    // queues a job, or returns the one with the same key
	kindPlace     kind = "place"     // starts an attempt on the nodes of a plan
	kindComplete  kind = "complete"  // ends an attempt and its job with a result
	kindFail      kind = "fail"      // ends an attempt and its job with an error
	kindCancel    kind = "cancel"    // ends a queued job, asks a running one to stop
	kindCancelled kind = "cancelled" // ends a job whose ranks have stopped
	kindDelete    kind = "delete"    // forgets a final job and gives its objects to the trash
	kindModel     kind = "model"     // takes a model in, or another one of its name
	kindForget    kind = "forget"    // drops models that no node has
	kindSwept     kind = "swept"     // takes off the trash what was deleted
	kindSave      kind = "save"      // records a checkpoint
	kindKeep      kind = "keep"      // records a finished part of the work
	kindLose      kind = "lose"      // ends an attempt; its job is queued again, or has failed
	kindDrain     kind = "drain"     // takes a node out of the scheduler's choice
	kindUndrain   kind = "undrain"   // lets it back in
	kindMember    kind = "member"    // notes where a coordinator's API is
	kindLease     kind = "lease"     // keeps an input for a while that no job refers to
	kindCluster   kind = "cluster"   // gives the cluster the id that its object store has
	kindSettle    kind = "settle"    // records what ranks have used beyond what they had said
	kindVersion   kind = "version"   // says that all coordinators read a version
	kindAccess    kind = "access"    // changes who may use the cluster
	kindAuthority kind = "authority" // changes CAs, tokens and who was revoked
)

// command is one entry of the Raft log. All that could differ between coordinators, such as the
// time, ids and limits, is in it.
//
// Which of the fields are set depends on the kind. Their JSON names are read from logs of earlier
// versions, and stay as they are.
type command struct {
	Version int         `json:"v"`
	Kind    kind        `json:"kind"`
	Now     time.Time   `json:"now"` // the leader's time of day, for what is written down
	Job     job.ID      `json:"job,omitempty"`
	Attempt job.Attempt `json:"attempt,omitempty"`
	Create  *creation   `json:"create,omitempty"`
	Plan    *job.Plan   `json:"plan,omitempty"`
	Result  *job.Result `json:"result,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Model   *job.Model  `json:"model,omitempty"`
	Replace bool        `json:"replace,omitempty"` // the model of its name: no shard has that
	Models  []string    `json:"models,omitempty"`  // names of those that are to be forgotten
	Swept   []string    `json:"swept,omitempty"`   // names of objects that are gone
	Spared  []string    `json:"spared,omitempty"`  // and of those that a job still refers to

	Checkpoint *job.Checkpoint `json:"checkpoint,omitempty"`
	Part       *part           `json:"part,omitempty"`
	Setback    *job.Setback    `json:"setback,omitempty"`
	Member     *Peer           `json:"member,omitempty"` // without an address: it is gone
	Drain      *Drain          `json:"drain,omitempty"`  // of undrain, the node alone
	Lease      *lease          `json:"lease,omitempty"`
	Cluster    string          `json:"cluster,omitempty"` // id of the cluster, once

	// Since version 9.
	Speaks int    `json:"speaks,omitempty"` // what all coordinators read
	By     *Actor `json:"by,omitempty"`     // the client whose request led to it

	Charge *charge `json:"charge,omitempty"` // of place: whom it is charged to
	// Took is the time of each rank of an attempt that ends, by the leader's clock; 0: not known.
	Took   time.Duration `json:"took_ns,omitempty"`
	Access *accessChange `json:"access,omitempty"`

	// Prompts is how the audit log has the prompts of a create; empty: PromptsHash.
	Prompts string    `json:"prompts,omitempty"`
	RetryOf job.ID    `json:"retry_of,omitempty"` // of a create: the job whose spec it has
	Audit   *auditing `json:"audit,omitempty"`

	Meter   *metering      `json:"meter,omitempty"` // of the attempt that it ends
	Settle  []settlement   `json:"settle,omitempty"`
	Rollout *rolloutChange `json:"rollout,omitempty"`

	Authority *AuthorityChange `json:"authority,omitempty"`
}

// Actor is a client whose request led to a command.
type Actor struct {
	// Owner is the ID of the principal, Name its name for people.
	Owner string `json:"owner,omitempty"`
	Name  string `json:"name,omitempty"`
	// Addr is where the request came from, Request its id.
	Addr    string `json:"addr,omitempty"`
	Request string `json:"request,omitempty"`
}

// lease keeps an object for a while that no job refers to yet.
type lease struct {
	Object job.Object `json:"object"`
	Until  time.Time  `json:"until"`
}

// creation asks for a new job. The limits are those of the leader that wrote the command: another
// coordinator may be configured with other ones, and must not come to another state.
type creation struct {
	Key       string   `json:"key,omitempty"`
	Spec      job.Spec `json:"spec"`
	QueuedMax int      `json:"queued_max"`
	KeptMax   int      `json:"kept_max"`
	// Owner and Team are those of the record, since version 9.
	Owner string `json:"owner,omitempty"`
	Team  string `json:"team,omitempty"`
	// Quota and TeamQuota bound what these have together, as the leader knew them; nil: nothing does.
	Quota     *access.Quota `json:"quota,omitempty"`
	TeamQuota *access.Quota `json:"team_quota,omitempty"`
	// Estimate is what the leader expects the job to take; nil: it does not know.
	Estimate *job.Estimate `json:"estimate,omitempty"`
}

// Peer is one coordinator of the cluster.
type Peer struct {
	ID   string `json:"id"`
	Raft string `json:"raft_address"` // host:port that the others dial
	HTTP string `json:"http_address"` // URL of its HTTP API
}

// part is a finished piece of a job's work.
type part struct {
	Name   string     `json:"name"`
	Object job.Object `json:"object"`
}

// encode returns the entry of the log: JSON with a checksum, of the newest version unless the
// command has one.
func (c command) encode() ([]byte, error) {
	c.Version = cmp.Or(c.Version, commandVersion)
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if len(data) > entryMax {
		return nil, fmt.Errorf("it has %d bytes; allowed: %d", len(data), entryMax)
	}
	return seal(data), nil
}

// entryMax bounds an entry of the log, in bytes: a plan of a thousand nodes with the longest texts,
// each of whose bytes JSON may write as six, has half of that.
const entryMax = 4 << 20

// CheckEntry reports whether an entry of the log is one that can be applied.
func CheckEntry(entry []byte) error {
	_, err := decodeCommand(entry, commandVersion)
	return err
}

// decodeCommand reads an entry of the log, of version most at most. An error means that this
// coordinator cannot know what was decided: it must not go on as if nothing had been.
func decodeCommand(entry []byte, most int) (command, error) {
	var c command
	data, sealed, err := Unseal(entry)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}

	switch {
	case c.Version > most:
		return c, fmt.Errorf("it is of version %d, which a newer longtake wrote; this one (%d) has to "+
			"be updated", c.Version, most)
	case c.Version < 1, c.Version >= sealSince && !sealed:
		return c, fmt.Errorf("%w: version %d without a checksum", ErrCorrupt, c.Version)
	case !kinds[c.Kind]:
		return c, fmt.Errorf("%w: no command is of kind %.32q", ErrCorrupt, c.Kind)
	}
	return c, nil
}

// kinds is what an entry may be of.
var kinds = map[kind]bool{kindCreate: true, kindPlace: true, kindComplete: true, kindFail: true,
	kindCancel: true, kindCancelled: true, kindDelete: true, kindModel: true, kindSwept: true,
	kindSave: true, kindKeep: true, kindLose: true, kindDrain: true, kindUndrain: true,
	kindMember: true, kindLease: true, kindCluster: true, kindForget: true, kindVersion: true,
	kindAccess: true, kindAuditBegin: true, kindAudit: true, kindSettle: true,
	kindRollout: true, kindAuthority: true}
