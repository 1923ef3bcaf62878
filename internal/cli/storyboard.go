package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/userfile"
)

// storyboardMax bounds the file, far above what 64 scenes may have. It bounds what the YAML library
// has to parse as well.
const storyboardMax = 1 << 20 // bytes of the file

// readStoryboard reads scenes from a YAML file of the user's. An error names the flag, the file and
// the line. It is read when the command runs and not by the coordinator, which gets the scenes as
// JSON.
func readStoryboard(path string) ([]job.Scene, error) {
	text, err := userfile.Read(path, storyboardMax)
	if err != nil {
		return nil, daemon.Usagef("--storyboard: %w", err)
	}
	scenes, err := parseStoryboard(text)
	if err != nil {
		return nil, daemon.Usagef("--storyboard %s: %w", path, err)
	}
	return scenes, nil
}

// parseStoryboard reads a map of seconds to prompts, or a list of such pairs or of maps with
// `start` and `prompt`. Whether the scenes suit the clip is for Resolve to check. Errors name the
// line in the file, where there is one.
func parseStoryboard(text []byte) ([]job.Scene, error) {
	if len(text) > storyboardMax {
		return nil, fmt.Errorf("over %d bytes; allowed: up to %d", storyboardMax, storyboardMax)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("cannot read it: %.200s", oneLine(err.Error()))
	}

	var scenes []job.Scene
	var err error
	switch root := content(&doc); root.Kind {
	case yaml.MappingNode:
		scenes, err = readPairs(root)
	// A list keeps its order, whose times Resolve judges; a map's are compared here, with their
	// lines.
	case yaml.SequenceNode:
		for _, item := range root.Content {
			var next []job.Scene
			if next, err = readItem(item); err != nil {
				return nil, err
			}
			scenes = append(scenes, next...)
		}
	}

	// An empty file, a lone text and an empty map all end here.
	if err == nil && len(scenes) == 0 {
		err = errors.New(`no scenes; allowed: seconds and prompts, such as "0: a red ball"`)
	}
	return scenes, err
}

// oneLine replaces line breaks, which the YAML library's errors have, by blanks.
func oneLine(s string) string {
	out := []rune(s)
	for i, r := range out {
		if r < ' ' {
			out[i] = ' '
		}
	}
	return string(out)
}

// content returns a document's root, an empty node if there is none.
func content(doc *yaml.Node) *yaml.Node {
	if len(doc.Content) == 0 {
		return &yaml.Node{}
	}
	return doc.Content[0]
}

// readPairs reads `seconds: prompt` pairs, in ascending order of the seconds. The order in the file
// counts, which a map of Go would lose; that is why nodes are read, and not values. Equal times are
// refused, as one scene would hide the other.
func readPairs(n *yaml.Node) ([]job.Scene, error) {
	var scenes []job.Scene
	for i := 0; i+1 < len(n.Content); i += 2 {
		s, err := readScene(n.Content[i], n.Content[i+1])
		if err != nil {
			return nil, err
		}
		if len(scenes) > 0 && s.Start <= scenes[len(scenes)-1].Start {
			return nil, fmt.Errorf("line %d: %g s after %g s; allowed: ascending times",
				n.Content[i].Line, s.Start, scenes[len(scenes)-1].Start)
		}
		scenes = append(scenes, s)
	}
	return scenes, nil
}

// readItem reads an item of a list: a map with the keys start and prompt, or one `seconds: prompt`
// pair.
func readItem(n *yaml.Node) ([]job.Scene, error) {
	n = follow(n)
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: no scene; allowed: start and prompt", n.Line)
	}
	// One pair whose key is neither word has a time for its key.
	if len(n.Content) == 2 && n.Content[0].Value != "start" && n.Content[0].Value != "prompt" {
		return readPairs(n)
	}

	fields := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Value != "start" && key.Value != "prompt" || fields[key.Value] != nil {
			return nil, fmt.Errorf("line %d: key %.64q; allowed: start and prompt, once each", key.Line,
				key.Value)
		}
		fields[key.Value] = n.Content[i+1]
	}

	// No scene has a default for its start: an item that was left half written should not move to 0.
	if fields["start"] == nil || fields["prompt"] == nil {
		return nil, fmt.Errorf("line %d: a scene lacks a key; allowed: start and prompt", n.Line)
	}
	s, err := readScene(fields["start"], fields["prompt"])
	return []job.Scene{s}, err
}

// follow returns the node for which an alias (*name) stands, or n itself.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias // never an alias again
	}
	return n
}

// readScene reads the time and the prompt of one scene. Numbers and truth values are taken as the
// text they are written in, so that a prompt may be 42; null is no prompt. The time is in seconds
// from the beginning of the clip.
func readScene(start, prompt *yaml.Node) (job.Scene, error) {
	start, prompt = follow(start), follow(prompt)
	// The comparison is turned around so that NaN fails it, too.
	at, err := strconv.ParseFloat(start.Value, 64)
	if err != nil || !(at >= 0) || math.IsInf(at, 0) || start.Kind != yaml.ScalarNode {
		return job.Scene{}, fmt.Errorf("line %d: time %.64q; allowed: seconds from 0", start.Line,
			start.Value)
	}
	if prompt.Kind != yaml.ScalarNode || prompt.Tag == "!!null" {
		return job.Scene{}, fmt.Errorf("line %d: no prompt; allowed: a text", prompt.Line)
	}
	return job.Scene{Start: at, Prompt: prompt.Value}, nil
}
