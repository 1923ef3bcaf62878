package cli

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
)

// These tests hold the documentation to the programs. Each rule takes in what exists, and returns a
// function that says what a page names and is not there.
var rules = []func(*testing.T) func(page) []string{wrongCommands, wrongFlags, wrongSettings,
	wrongVariables, wrongTargets, wrongMetrics, wrongLinks, wrongFiles}

func TestPagesNameWhatExists(t *testing.T) {
	all := pages(t)
	for _, rule := range rules {
		wrong := rule(t)
		for _, p := range all {
			for _, what := range wrong(p) {
				t.Errorf("%s names %s, which does not exist", p.name, what)
			}
		}
	}
}

// TestWrongNamesAreFound has one of each kind, so that no rule can come to find nothing unnoticed.
func TestWrongNamesAreFound(t *testing.T) {
	text := "`longtake nodes list`, `longtake job lists`, `longtake plan --frob 3`,\n" +
		"`shard --frob`, `coordinator recover --frob`, `job frob`, `--frobs`, `data.urls`,\n" +
		"`LONGTAKE_FROB`, `make\n" +
		"frob`, `longtake_frob_total`, `internal/frob/x.go`, [a](frob.md), [b](api.md#frob)\n\n" +
		"```sh\nbin/longtake generate -p a \\\n  --frobs 3\n```\n" +
		"These are right: `job status ID`, `longtake job list`, `--seed 7`, `data.url`, `make test`,\n" +
		"`LONGTAKE_URL`, `longtake_raft_leader`, `internal/job`, [c](api.md#request-fields)\n"
	var found []string
	for _, rule := range rules {
		found = append(found, rule(t)(page{"docs/page.md", text, codeOf(text)})...)
	}
	want := []string{
		"the command longtake nodes", "the command longtake job lists",
		"the flag --frob of longtake plan", "the flag --frob of shard",
		"the flag --frob of coordinator recover", "the command longtake job frob", "the flag --frobs",
		"the setting data.urls", "the variable LONGTAKE_FROB", "the target frob of make",
		"the metric longtake_frob_total", "the file internal/frob/x.go", "the page frob.md",
		"the heading api.md#frob", "the flag --frobs of longtake generate"}
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("found:\n%s\nwant:\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}

// top is the project's folder.
var top = filepath.Join("..", "..")

// page is a text that people read.
type page struct {
	name string   // a path from the project's folder, or a command
	text string   // the whole of it
	code []string // what is set as code: spans, and lines of blocks that hold commands
}

// pages lists Markdown, shipped configurations and help texts.
func pages(t *testing.T) []page {
	t.Helper()
	var out []page
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "bin", "testdata", "node_modules"}, d.Name()) {
			return filepath.SkipDir
		}
		name, _ := filepath.Rel(top, path)
		switch filepath.Ext(path) {
		case ".md":
			text := read(t, path)
			out = append(out, page{filepath.ToSlash(name), text, codeOf(text)})
		case ".yaml", ".service":
			out = append(out, page{filepath.ToSlash(name), read(t, path), nil})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d pages found below %s", len(out), top)
	}
	return append(out, helpPages()...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// helpPages returns what --help of each command says.
func helpPages() []page {
	var out []page
	for _, cmd := range commands() {
		help := cmd.Long + "\n" + cmd.Short + "\n" + cmd.Flags().FlagUsages()
		var code []string
		for _, line := range strings.Split(cmd.Long, "\n") {
			if strings.HasPrefix(line, "  ") {
				code = append(code, line)
			}
		}
		for _, m := range regexp.MustCompile(`"(longtake [^"]+)"`).FindAllStringSubmatch(cmd.Long, -1) {
			code = append(code, m[1])
		}
		out = append(out, page{cmd.CommandPath() + " --help", help, code})
	}
	return out
}

// programs are the commands' roots, by name.
func programs() map[string]*cobra.Command {
	out := map[string]*cobra.Command{"longtake": Longtake()}
	for name, s := range map[string]config.Settings{"coordinator": config.Coordinator(),
		"shard": config.Shard()} {
		out[name] = daemon.Command(name, "", "", s, nil)
	}
	rescue := daemon.Command("recover", "", "", config.Coordinator(), nil)
	rescue.Flags().StringSlice("peers", nil, "")
	rescue.Flags().Bool("drop-damaged", false, "")
	out["coordinator"].AddCommand(rescue)
	return out
}

// commands lists the roots and all that is below them.
func commands() []*cobra.Command {
	var out []*cobra.Command
	for _, root := range programs() {
		out = append(out, root)
	}
	for i := 0; i < len(out); i++ {
		out = append(out, out[i].Commands()...)
	}
	return out
}

// codeSpan is code within a line of Markdown.
var codeSpan = regexp.MustCompile("`([^`]+)`")

// codeOf returns the code of a Markdown text: spans, which may go over the end of a line, and the
// lines of blocks that are in no language but the shell's.
func codeOf(text string) []string {
	var out []string
	var prose strings.Builder
	fence, shell := false, false
	for _, line := range strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		language, marks := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case marks:
			fence = !fence
			shell = slices.Contains([]string{"", "sh", "bash", "console"}, language)
		case fence && shell:
			code, _, _ := strings.Cut(line, " # ")
			out = append(out, code)
		case !fence:
			prose.WriteString(line + "\n")
		}
	}
	for _, paragraph := range strings.Split(prose.String(), "\n\n") {
		for _, m := range codeSpan.FindAllStringSubmatch(paragraph, -1) {
			out = append(out, strings.ReplaceAll(m[1], "\n", " "))
		}
	}
	return out
}

// invocation is a program and its arguments, in code.
var invocation = regexp.MustCompile(`(?:^|[\s;&|(])(?:[\w./]*/)?` +
	`(longtake|coordinator|shard)((?:\s+[^\s|;&#]+)*)`)

// word is an argument that can be the name of a command, such as list, but not ID or clip.webm.
var word = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

// wrongCommands finds invocations of commands that do not exist, or with flags that they do not
// have.
func wrongCommands(*testing.T) func(page) []string {
	roots := programs()
	return func(p page) (wrong []string) {
		for _, code := range p.code {
			for _, m := range invocation.FindAllStringSubmatch(code, -1) {
				wrong = append(wrong, faults(roots[m[1]], strings.Fields(m[2]))...)
			}
			// "job status ID" is short for "longtake job status ID".
			args := strings.Fields(code)
			if sub := child(roots["longtake"], cmp.Or(args...)); len(args) > 1 && sub != nil &&
				sub.HasSubCommands() && word.MatchString(args[1]) {
				wrong = append(wrong, faults(sub, args[1:])...)
			}
		}
		return wrong
	}
}

// faults says which of a command's arguments are names of subcommands or flags that are not there.
func faults(cmd *cobra.Command, args []string) (wrong []string) {
	for len(args) > 0 && cmd.HasSubCommands() && word.MatchString(args[0]) {
		sub := child(cmd, args[0])
		if sub == nil {
			return []string{fmt.Sprintf("the command %s %s", cmd.CommandPath(), args[0])}
		}
		cmd, args = sub, args[1:]
	}

	for _, a := range args {
		name, long := strings.CutPrefix(a, "--")
		name, _, _ = strings.Cut(strings.TrimRight(name, ".,:)]"), "=")
		if long && word.MatchString(name) && !hasFlag(cmd, name) {
			wrong = append(wrong, fmt.Sprintf("the flag --%s of %s", name, cmd.CommandPath()))
		}
	}
	return wrong
}

func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	return nil
}

// hasFlag knows those that cobra adds as well.
func hasFlag(cmd *cobra.Command, name string) bool {
	return slices.Contains([]string{"help", "version"}, name) || cmd.Flags().Lookup(name) != nil ||
		cmd.InheritedFlags().Lookup(name) != nil
}

// aFlag is a flag alone, with or without its value, in code.
var aFlag = regexp.MustCompile(`^--([a-z][a-z0-9-]*)`)

// ofOthers are flags of other programs that pages name alone.
var ofOthers = []string{"fmad"} // of nvcc

// wrongFlags finds flags named without a command, which no command has.
func wrongFlags(*testing.T) func(page) []string {
	known := append([]string{"help", "version"}, ofOthers...)
	for _, cmd := range commands() {
		visit := func(f *pflag.Flag) { known = append(known, f.Name) }
		cmd.Flags().VisitAll(visit)
		cmd.PersistentFlags().VisitAll(visit)
	}
	return func(p page) (wrong []string) {
		for _, code := range p.code {
			if m := aFlag.FindStringSubmatch(code); m != nil && !slices.Contains(known, m[1]) {
				wrong = append(wrong, "the flag --"+m[1])
			}
		}
		return wrong
	}
}

// aKey is code that looks like a setting.
var aKey = regexp.MustCompile(`^[a-z]+(\.[a-z-]+)+$`)

// wrongSettings finds code whose first part is that of a setting, as in nats.url, but which is
// none.
func wrongSettings(*testing.T) func(page) []string {
	keys, groups := map[string]bool{}, map[string]bool{}
	for _, s := range slices.Concat(config.Coordinator(), config.Shard(), config.Client(),
		config.Local(), config.Up()) {
		keys[s.Key] = true
		for i, c := range s.Key {
			if c == '.' {
				groups[s.Key[:i]] = true
			}
		}
	}
	return func(p page) (wrong []string) {
		for _, code := range p.code {
			group, _, _ := strings.Cut(code, ".")
			if aKey.MatchString(code) && groups[group] && !keys[code] && !groups[code] {
				wrong = append(wrong, "the setting "+code)
			}
		}
		return wrong
	}
}

// variable is what begins as the environment variables of longtake do.
var variable = regexp.MustCompile(`\bLONGTAKE_[A-Z_]+`)

// wrongVariables finds variables that nothing reads.
func wrongVariables(*testing.T) func(page) []string {
	known := config.Variables()
	return func(p page) (wrong []string) {
		for _, name := range variable.FindAllString(p.text, -1) {
			if !slices.Contains(known, name) && !strings.HasSuffix(name, "_") {
				wrong = append(wrong, "the variable "+name)
			}
		}
		return wrong
	}
}
