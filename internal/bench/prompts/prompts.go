package prompts

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // of the list of our own
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/userfile"
)

// Limits of a list. A prompt may have what the API takes.
const (
	FileMax   = 16 << 20 // bytes
	ListMax   = 100_000  // prompts
	PromptMax = 32 << 10 // bytes of a prompt, and of a negative one
	nameMax   = 256      // bytes of a model's name
)

// Builtin is the name of the list that comes with the program.
const Builtin = "builtin"

// mlperf is the list of MLPerf's text-to-video task: text_to_video/wan-2.2-t2v-a14b/data in
// mlcommons/inference, as of b66003e1 (August 2026). tools/prompts.py fetches it.
const (
	MLPerfSHA256 = "f45433f7d3f6ac055613bb36ea21f38120e3cb5873d91f7e621477761b7284e8"
	MLPerfCount  = 248
)

// Prompt is one clip of a list. What is zero or nil is not said by the list, and left to the flags
// of the benchmark.
type Prompt struct {
	Text     string
	Negative string
	// Width and Height are in pixels; both or none.
	Width, Height int
	Frames        int
	Seed          *uint64
	Priority      *int // -100 to 100
	Model         string
}

// List is a list of at least one prompt, in the order of its file.
type List struct {
	// Name is Builtin, or the path of the file.
	Name    string
	Prompts []Prompt
	// SHA256 is of the file's bytes, in hex.
	SHA256 string
}

//go:embed builtin.txt
var builtin []byte

// Open returns the list of a name: "" and Builtin are the one of our own, anything else is a path.
func Open(name string) (List, error) {
	if name == "" || name == Builtin {
		return Parse(Builtin, builtin)
	}
	b, err := userfile.Read(name, FileMax)
	if err != nil {
		return List{}, fmt.Errorf("cannot read the prompts: %w", err)
	}
	return Parse(name, b)
}

// Parse reads a list from a file's bytes. A file whose first line begins with { has JSON in each
// line. Errors name the file and the line.
func Parse(name string, file []byte) (List, error) {
	sum := sha256.Sum256(file)
	l := List{Name: name, SHA256: hex.EncodeToString(sum[:])}
	if len(file) > FileMax {
		return l, fmt.Errorf("%s has %d bytes; allowed: up to %d", name, len(file), FileMax)
	}

	// Editors of some systems begin a file with a byte order mark, and end lines with two bytes.
	text := bytes.TrimPrefix(file, []byte("\xef\xbb\xbf"))
	read := plain
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t"), []byte("{")) {
		read = object
	}

	// Lines are counted as editors do, with those that are empty.
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 {
			continue // between groups of prompts
		}

		p, err := read(line)
		if err == nil {
			err = p.check()
		}
		if err == nil && len(l.Prompts) == ListMax {
			err = fmt.Errorf("more than %d prompts", ListMax)
		}
		if err != nil {
			return l, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		l.Prompts = append(l.Prompts, p)
	}

	// An empty list would be a benchmark of nothing, which looks like one that has gone well.
	if len(l.Prompts) == 0 {
		return l, fmt.Errorf("%s has no prompt; allowed: one in a line, or JSON with one in a line", name)
	}
	return l, nil
}

// plain is a line that is a prompt. Space around it stays: it is part of what the list's hash
// names.
func plain(line []byte) (Prompt, error) {
	if !utf8.Valid(line) {
		return Prompt{}, errors.New("it is not UTF-8")
	}
	return Prompt{Text: string(line)}, nil
}

// object is a line of JSON. A field that is not known is refused: it may be one that is misspelt,
// or one of another program's lists, and leaving it out would measure other clips than were meant.
func object(line []byte) (Prompt, error) {
	var o struct {
		Prompt   *string `json:"prompt"`
		Negative string  `json:"negative"`
		Size     string  `json:"size"`
		Frames   *int    `json:"frames"`
		Seed     *uint64 `json:"seed"`
		Priority *int    `json:"priority"`
		Model    string  `json:"model"`
	}
	if !utf8.Valid(line) { // encoding/json would replace what is not
		return Prompt{}, errors.New("it is not UTF-8")
	}

	// What stands behind the object is part of the line, too.
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return Prompt{}, fmt.Errorf("%s; allowed: an object with prompt, negative, size, frames, seed, "+
			"priority, model", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Prompt{}, errors.New("more than one JSON object in the line")
	}
	// An empty prompt is one; a line without any is a mistake.
	if o.Prompt == nil {
		return Prompt{}, errors.New("it has no prompt")
	}

	p := Prompt{Text: *o.Prompt, Negative: o.Negative, Seed: o.Seed, Priority: o.Priority,
		Model: o.Model}
	if o.Frames != nil {
		if p.Frames = *o.Frames; p.Frames < 1 {
			return p, fmt.Errorf("frames is %d; allowed: from 1", p.Frames)
		}
	}

	var err error
	if o.Size != "" {
		p.Width, p.Height, err = ParseSize(o.Size)
	}
	return p, err
}

// ParseSize reads a size in pixels, in any of the ways in which requests say one. A server may
// know no names of sizes, so that it is sent the pixels.
func ParseSize(text string) (w, h int, err error) {
	w, h, ok := job.ParseSize(text)
	if !ok || w < 1 || h < 1 || w > sideMax || h > sideMax {
		return 0, 0, fmt.Errorf("size is %.40q; allowed: %s, with sides from 1 to %d", text,
			job.SizesAllowed, sideMax)
	}
	return w, h, nil
}

// Bounds of numbers: what no server makes is a slip of the hand.
const (
	sideMax     = 1 << 14 // pixels
	framesMax   = 1 << 20
	priorityMax = 100
)

// check refuses what no request may have.
func (p Prompt) check() error {
	switch {
	case len(p.Text) > PromptMax:
		return fmt.Errorf("prompt has %d bytes; allowed: up to %d", len(p.Text), PromptMax)
	case len(p.Negative) > PromptMax:
		return fmt.Errorf("negative has %d bytes; allowed: up to %d", len(p.Negative), PromptMax)
	case len(p.Model) > nameMax:
		return fmt.Errorf("model has %d bytes; allowed: up to %d", len(p.Model), nameMax)
	case p.Frames > framesMax:
		return fmt.Errorf("frames is %d; allowed: up to %d", p.Frames, framesMax)
	case p.Priority != nil && (*p.Priority < -priorityMax || *p.Priority > priorityMax):
		return fmt.Errorf("priority is %d; allowed: %d to %d", *p.Priority, -priorityMax, priorityMax)
	}
	return nil
}

// MLPerf returns why a list is not the one of MLPerf's text-to-video task, nil if it is: a result
// by its rules needs each of its prompts, as they are.
func (l List) MLPerf() error {
	switch {
	case len(l.Prompts) != MLPerfCount:
		return fmt.Errorf("%s has %d prompts; MLPerf's list has %d (tools/prompts.py mlperf fetches it)",
			l.Name, len(l.Prompts), MLPerfCount)
	case l.SHA256 != MLPerfSHA256:
		return fmt.Errorf("%s has the SHA-256 %s; MLPerf's list has %s (tools/prompts.py mlperf fetches "+
			"it)", l.Name, l.SHA256, MLPerfSHA256)
	}
	return nil
}
