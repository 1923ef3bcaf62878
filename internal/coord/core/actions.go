package core

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/job"
)

// audited says how the entry of a command is called, what it was done to, and what else there is to
// say. Kinds that are not here leave no entry: a client's request does not lead to them by itself.
var audited = map[kind]func(*state, command, job.Record) (action, object string,
	details map[string]string){
	kindCreate: (*state).auditCreate,
	kindCancel: func(_ *state, c command, _ job.Record) (string, string, map[string]string) {
		return "video.cancel", string(c.Job), nil
	},
	kindDelete: func(_ *state, c command, _ job.Record) (string, string, map[string]string) {
		return "video.delete", string(c.Job), nil
	},
	kindDrain:   auditDrain,
	kindUndrain: auditDrain,
	kindMember:  auditMember,
	kindAccess:  auditAccess,
	kindRollout: auditRollout,

	kindAuthority: auditAuthority,
}

// auditDrain describes a drain and its end.
func auditDrain(_ *state, c command, _ job.Record) (action, object string,
	details map[string]string) {
	if c.Drain == nil {
		return "node." + string(c.Kind), "", nil
	}
	if c.Kind == kindDrain {
		details = map[string]string{"deadline": c.Drain.Deadline.UTC().Format(time.RFC3339Nano)}
	}
	return "node." + string(c.Kind), string(c.Drain.Node), details
}

// auditMember describes a coordinator that comes or goes.
func auditMember(_ *state, c command, _ job.Record) (action, object string,
	details map[string]string) {
	switch {
	case c.Member == nil:
		return "member.add", "", nil
	case c.Member.HTTP == "" && c.Member.Raft == "":
		return "member.remove", c.Member.ID, nil
	}
	return "member.add", c.Member.ID, map[string]string{"raft_address": c.Member.Raft,
		"http_address": c.Member.HTTP}
}

// auditAccess describes a change of who may use the cluster. That keys are used is no change.
func auditAccess(_ *state, c command, _ job.Record) (action, object string,
	details map[string]string) {
	a := c.Access

	// Of a key there is what it may do, and nothing of its text.
	switch {
	case a == nil || a.Used != nil:
		return "", "", nil
	case a.Key != nil:
		details = map[string]string{"name": a.Key.Name, "scopes": a.Key.Scopes.String()}
		if a.Key.Team != "" {
			details["team"] = a.Key.Team
		}
		if !a.Key.Expires.IsZero() {
			details["expires"] = a.Key.Expires.UTC().Format(time.RFC3339)
		}
		return a.Verb, a.Key.ID, details
	case a.Team != nil:
		return a.Verb, a.Team.Name, nil
	}
	return a.Verb, a.Gone, nil
}

// auditCreate describes a job that was asked for.
func (s *state) auditCreate(c command, r job.Record) (action, object string,
	details map[string]string) {
	action, object = "video.create", string(c.Job)
	if c.Create == nil {
		return action, object, nil
	}

	// What the clip costs to make, and what it was made from.
	spec := c.Create.Spec
	details = map[string]string{"model": spec.Model,
		"size": fmt.Sprintf("%dx%d", spec.Width, spec.Height), "frames": strconv.Itoa(spec.Frames),
		"steps": strconv.Itoa(spec.Steps), "seed": strconv.FormatUint(spec.Seed, 10)}
	add := func(name, text string) {
		if text != "" {
			details[name] = text
		}
	}

	// What it is of, if it is of something.
	add("remixed_from", string(spec.RemixOf))
	add("team", c.Create.Team)

	// A repeated request has the job that the first one made.
	if r.ID != "" && r.ID != c.Job {
		object = string(r.ID)
		details["repeated"] = "true"
	}
	if c.RetryOf != "" {
		action = "video.retry"
		details["retry_of"] = string(c.RetryOf)
	}

	// All that the client has written, in the way that the command says.
	add("prompt", s.prompt(c.Prompts, spec.Prompt))
	add("negative_prompt", s.prompt(c.Prompts, spec.NegativePrompt))
	var scenes []string
	for _, scene := range spec.Scenes {
		scenes = append(scenes, scene.Prompt)
	}
	add("storyboard", s.prompt(c.Prompts, strings.Join(scenes, "\n")))
	return action, object, details
}
