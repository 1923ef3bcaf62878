package serve

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/longtake/longtake/internal/bench/prompts"
	"github.com/longtake/longtake/internal/bench/result"
)

// A trace is what a service has seen in a day, or what somebody expects of one: most of its clips
// are alike, and some are ten times as long. A mean hides what these do to those behind them, which
// is what priorities are for, so a trace has each clip by itself, with its own time.

// TraceMax bounds the file of a trace, in bytes.
const TraceMax = 32 << 20

// Entry is a clip of a trace. What it leaves out is as in all clips of the setup; without a prompt
// it takes one of the list.
type Entry struct {
	// At is when it arrives, in seconds from the start: in all entries or in none, in which case they
	// arrive at random times, at the setup's rate.
	At *float64 `json:"at" yaml:"at"`

	Prompt   *string `json:"prompt" yaml:"prompt"`
	Negative string  `json:"negative" yaml:"negative"`
	Model    string  `json:"model" yaml:"model"`
	Size     string  `json:"size" yaml:"size"` // WIDTHxHEIGHT
	Frames   int     `json:"frames" yaml:"frames"`
	FPS      int     `json:"fps" yaml:"fps"`
	Steps    int     `json:"steps" yaml:"steps"`
	Priority *int    `json:"priority" yaml:"priority"`
	Seed     *uint64 `json:"seed" yaml:"seed"`
	// Guidance is the guidance scale.
	Guidance *float64 `json:"guidance" yaml:"guidance"`

	width, height int
	prompt        int // in the dataset; -1: none of its own
}

// Bounds of what an entry asks for; servers have narrower ones. They are for slips of the hand: a
// clip that a server refuses counts as a failure, hours after the slip.
const (
	framesMax   = 1 << 20
	stepsMax    = 1000
	fpsMax      = 120
	priorityMax = 100
	guidanceMax = 100.0
)

// ParseTrace reads a trace: a JSON object in each line, or a YAML list. It is read strictly, as
// lists of prompts are: a misspelt field would measure other clips. Errors say which entry, counted
// from 1.
func ParseTrace(name string, file []byte) ([]Entry, result.Trace, error) {
	sum := sha256.Sum256(file)
	t := result.Trace{Name: name, SHA256: hex.EncodeToString(sum[:])}
	if len(file) > TraceMax {
		return nil, t, fmt.Errorf("%s has %d bytes; allowed: up to %d", name, len(file), TraceMax)
	}

	entries, err := readEntries(file)
	if err == nil && len(entries) == 0 {
		err = errors.New("it has no clips; allowed: a JSON object in each line, or a YAML list")
	}

	if err != nil {
		return nil, t, fmt.Errorf("%s: %w", name, err)
	}

	before := 0.0
	for i := range entries {
		e := &entries[i]
		err := e.check()
		if err == nil && (e.At != nil) != (entries[0].At != nil) {
			err = errors.New("some clips have a time (at) and some have none; allowed: all or none")
		}
		if err == nil && e.At != nil && *e.At < before {
			err = fmt.Errorf("at is %v, before the clip above it (%v); allowed: ascending times", *e.At,
				before)
		}
		if err != nil {
			return nil, t, fmt.Errorf("%s: clip %d: %w", name, i+1, err)
		}
		if e.At != nil {
			before = *e.At
		}
	}
	return entries, t, nil
}

// readEntries tells the two forms apart by the first character. Programs write lines of JSON, which
// can be cut anywhere and put together again; people write YAML.
func readEntries(file []byte) (out []Entry, err error) {
	const fields = "allowed: at, prompt, negative, model, size, frames, fps, steps, priority, seed, " +
		"guidance"
	tooMany := fmt.Errorf("over %d clips; allowed: up to %d", CountMax, CountMax)
	if !bytes.HasPrefix(bytes.TrimSpace(file), []byte("{")) {
		d := yaml.NewDecoder(bytes.NewReader(file))
		d.KnownFields(true)
		if err := d.Decode(&out); err != nil && !errors.Is(err, io.EOF) {
			why := strings.Join(strings.Fields(err.Error()), " ")
			return nil, fmt.Errorf("cannot read it: %.200s; %s", why, fields)
		}
		if len(out) > CountMax {
			return nil, tooMany
		}
		return out, nil
	}

	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	for {
		var e Entry
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("clip %d: %s; %s", len(out)+1, strings.TrimPrefix(err.Error(),
				"json: "), fields)
		case len(out) == CountMax:
			return nil, tooMany
		}
		out = append(out, e)
	}
}

// check refuses what no clip can have, and reads the size.
func (e *Entry) check() error {
	e.prompt = -1
	bound := func(name string, v, most int) error {
		if v < 0 || v > most {
			return fmt.Errorf("%s is %d; allowed: 1 to %d", name, v, most)
		}
		return nil
	}

	longest := DurationMax.Seconds()
	switch {
	case e.At != nil && !(*e.At >= 0 && *e.At <= longest):
		return fmt.Errorf("at is %v; allowed: 0 to %v seconds", *e.At, longest)
	case e.Prompt != nil && len(*e.Prompt) > prompts.PromptMax, len(e.Negative) > prompts.PromptMax:
		return fmt.Errorf("a prompt has more than %d bytes", prompts.PromptMax)
	case len(e.Model) > 256:
		return fmt.Errorf("model has %d bytes; allowed: up to 256", len(e.Model))
	case e.Priority != nil && (*e.Priority < -priorityMax || *e.Priority > priorityMax):
		return fmt.Errorf("priority is %d; allowed: %d to %d", *e.Priority, -priorityMax, priorityMax)
	case e.Guidance != nil && !(*e.Guidance >= 0 && *e.Guidance <= guidanceMax):
		return fmt.Errorf("guidance is %v; allowed: 0 to %v", *e.Guidance, guidanceMax)
	}

	if err := cmp.Or(bound("frames", e.Frames, framesMax), bound("fps", e.FPS, fpsMax),
		bound("steps", e.Steps, stepsMax)); err != nil || e.Size == "" {
		return err
	}

	var err error
	e.width, e.height, err = prompts.ParseSize(e.Size)
	return err
}

// apply puts what an entry says into the slot of its clip. What the setup says for all clips stays
// where the entry says nothing: a zero is no value of any of these fields.
func (e Entry) apply(s *Slot) {
	r := &s.Request
	if e.At != nil {
		s.At = time.Duration(*e.At * float64(time.Second))
	}

	if e.prompt >= 0 {
		s.Prompt, r.Prompt = e.prompt, *e.Prompt
	}
	if e.Seed != nil {
		r.Seed = *e.Seed
	}

	if e.Priority != nil {
		r.Priority = *e.Priority
	}

	r.Negative, r.Model = cmp.Or(e.Negative, r.Negative), cmp.Or(e.Model, r.Model)
	r.Frames, r.FPS = cmp.Or(e.Frames, r.Frames), cmp.Or(e.FPS, r.FPS)
	r.Steps, r.Guidance = cmp.Or(e.Steps, r.Steps), cmp.Or(e.Guidance, r.Guidance)
	if e.width > 0 {
		r.Width, r.Height = e.width, e.height
	}
}

// A result names prompts by their number in its dataset, whose hash says which list that is. With
// the trace's own prompts the dataset is another one, and has another hash.

// SetPrompts makes a list the setup's dataset. Prompts of the trace's own are added to it, so that
// a result names every prompt by its place.
func (s *Setup) SetPrompts(l prompts.List) {
	s.Prompts = l.Prompts
	s.Dataset = result.Dataset{Name: l.Name, SHA256: l.SHA256, Count: len(l.Prompts)}
	places, sum, all := map[string]int{}, sha256.New(), s.Dataset.Count
	fmt.Fprintf(sum, "%s\n", l.SHA256)

	// A prompt that several clips of the trace have is one of the dataset.
	for i := range s.Trace {
		e := &s.Trace[i]
		if e.Prompt == nil {
			continue
		}
		place, known := places[*e.Prompt]
		if !known {
			place, all = all, all+1
			places[*e.Prompt] = place
			fmt.Fprintf(sum, "%s\n", *e.Prompt)
		}
		e.prompt = place
	}

	if all > s.Dataset.Count {
		s.Dataset = result.Dataset{Name: l.Name + " and the trace's own", Count: all,
			SHA256: hex.EncodeToString(sum.Sum(nil))}
	}
}
