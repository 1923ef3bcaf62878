package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
)

// Names of a report's files, beside those of its figures.
const (
	resultName = "result.json"
	pageName   = "report.md"
)

// Save writes result.json, report.md and the figures that it shows into a folder. Files of these
// names are replaced, each at once; result.json comes last.
func (r *Result) Save(dir string) error {
	charts := r.charts()
	files := []result.File{{Name: pageName, Data: r.page(charts)}}
	for _, c := range charts {
		svg, err := c.figure.SVG()
		if err != nil {
			return fmt.Errorf("cannot draw %s: %w", c.name, err)
		}
		files = append(files, result.File{Name: c.name, Data: svg})
	}

	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	files = append(files, result.File{Name: resultName, Data: append(text, '\n')})
	return result.SaveFiles(dir, files)
}

// Folder makes a folder ready for Save, before hours are spent on what goes there. One with
// anything else than an earlier simulation is refused: its files might have the same names.
func Folder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read the folder: %w", err)
	}

	ours := []string{resultName, pageName}
	for _, c := range new(Result).charts() {
		ours = append(ours, c.name)
	}
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) {
			return fmt.Errorf("%s has %.60q; allowed: a new folder, or one of an earlier simulation", dir,
				e.Name())
		}
	}

	// Benchmarks leave files of these names, too.
	if len(entries) == 0 {
		return nil
	}
	if err := isResult(filepath.Join(dir, resultName)); err != nil {
		return fmt.Errorf("%s has no result of a simulation (%w); allowed: a new folder, or one of an "+
			"earlier simulation", dir, err)
	}
	return nil
}

// isResult tells a file of this package from others of its name.
func isResult(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("result.json is not there")
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Size() > resultMax:
		return errors.New("result.json is no such file")
	}

	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var head struct {
		Version int    `json:"version"`
		Log     string `json:"log_sha256"`
	}
	if err := json.Unmarshal(text, &head); err != nil || head.Log == "" || head.Version != Version {
		return fmt.Errorf("result.json is of another kind, or of another version than %d", Version)
	}
	return nil
}

// resultMax bounds a result.json, in bytes; one of a day has 80 kB.
const resultMax = 64 << 20

// page is what people read: what was simulated, then how long clips took, devices, coordinators.
func (r *Result) page(charts []chart) []byte {
	var p bytes.Buffer
	show := func(names ...string) {
		for _, c := range charts {
			if slices.Contains(names, c.name) {
				fmt.Fprintf(&p, "![%s](%s)\n\n", c.alt, c.name)
				if c.note != "" {
					fmt.Fprintf(&p, "%s\n\n", c.note)
				}
			}
		}
	}

	fmt.Fprintf(&p, "# Simulation: %s\n\n", oneLine(r.Scenario))
	result.Table(&p, []string{"", ""}, [][]string{
		{"devices", fmt.Sprintf("%d (%s)", r.Devices, r.Pool)},
		{"hosts", strconv.Itoa(r.Hosts)},
		{"requests", fmt.Sprintf("%.4g h, %d of them", r.Hours, r.All.Asked)},
		{"last clip over", fmt.Sprintf("after %.4g h", r.Ended/3600)},
		{"seed", strconv.FormatUint(r.Seed, 10)}, {"SHA-256 of the log", r.Log}})

	// Whoever finds the page alone has to see that nothing of it was measured.
	fmt.Fprintf(&p, "No device has run: decisions are those of longtake's coordinators, times of\n"+
		"clips those of `longtake plan`. The same seed gives the same day.\n\n")

	// Clips first, which is what people wait for, then what they cost.

	fmt.Fprintf(&p, "## Clips\n\n")
	r.clipTable(&p)
	show("queue.svg", "waits.svg", "distribution.svg")

	fmt.Fprintf(&p, "## Devices\n\n")
	r.deviceTable(&p)
	show("devices.svg")
	r.incidentTable(&p)

	fmt.Fprintf(&p, "## Coordinators\n\n")
	r.coordinatorTable(&p)
	show("commands.svg", "log.svg")
	return append(bytes.TrimRight(p.Bytes(), "\n"), '\n')
}

// oneLine keeps a name from being more of a page than a name.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// short prints seconds as people say them.
func short(seconds float64) string {
	if seconds < 10 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// clipTable has a row for each class, and one for all. Clips that were refused count as not in
// time, as the result has it.
func (r *Result) clipTable(p *bytes.Buffer) {
	var rows [][]string
	for _, g := range append(slices.Clip(r.Classes), r.All) {
		met := "-"
		if g.Objective > 0 {
			met = fmt.Sprintf("%.1f %% of %s", 100*g.Met, short(g.Objective))
		}
		w, t := g.Wait, g.Latency
		rows = append(rows, []string{g.Name, strconv.Itoa(g.Asked), strconv.Itoa(g.Completed),
			strconv.Itoa(g.Failed), strconv.Itoa(g.Refused), short(w.P50), short(w.P90), short(w.P99),
			short(t.P50), short(t.P90), short(t.P99), met})
	}
	result.Table(p, []string{"", "asked", "done", "failed", "refused", "wait p50", "p90", "p99",
		"latency p50", "p90", "p99", "in time"}, rows)
}

// deviceTable is where the time of devices went.
func (r *Result) deviceTable(p *bytes.Buffer) {
	d := r.DeviceHours
	fmt.Fprintf(p, "Utilisation was %.1f %% while requests came, goodput %.1f %% until the last clip "+
		"was over.\n\n", 100*r.Utilisation, 100*r.Goodput)

	// Parts of busy come first, then what makes up the total with them. The words are those of
	// docs/scale.md, as a page is read far from it.
	var rows [][]string
	for _, x := range []struct {
		name, what string
		hours      float64
	}{{"useful", "prompts, steps, frames and files of clips that were delivered", d.Useful},
		{"setup", "first attempts until their first step", d.Setup},
		{"lost", "steps made again, later starts, waiting for ranks that were gone", d.Lost},
		{"idle", "without a rank", d.Idle}, {"away", "the process did not run", d.Away},
		{"total", "", d.Total}} {
		rows = append(rows, []string{x.name, fmt.Sprintf("%.2f", x.hours),
			fmt.Sprintf("%.1f %%", 100*x.hours/max(d.Total, 1e-9)), x.what})
	}
	result.Table(p, []string{"", "device-hours", "share", "what it is"}, rows)
}

// incidentTable says when what was meant to go wrong, by kind. Some of it may have hit nobody: a
// device that was away, or a leader that was just being elected.
func (r *Result) incidentTable(p *bytes.Buffer) {
	const most = 12 // times; more of them are in result.json

	// Hours, as the axes of the figures have them for days.
	times := map[string][]string{}
	for _, i := range r.Planned {
		times[i.Kind] = append(times[i.Kind], fmt.Sprintf("%.2f", i.Hours))
	}
	var rows [][]string
	for _, kind := range slices.Sorted(maps.Keys(times)) {
		at := times[kind]
		text := strings.Join(at[:min(len(at), most)], ", ")
		if len(at) > most {
			text += ", ..."
		}
		rows = append(rows, []string{kind, strconv.Itoa(len(at)), strconv.Itoa(r.Incidents[kind]), text})
	}
	if len(rows) > 0 {
		result.Table(p, []string{"", "times", "hit (devices, or the leader)", "at (h)"}, rows)
	}
}

// coordinatorTable is what the leader had to do; how long it takes for that is not simulated.
func (r *Result) coordinatorTable(p *bytes.Buffer) {
	c := r.Coordinator
	rows := [][]string{{"commands", fmt.Sprintf("%d, %.2f/s; most in a second: %d", c.Commands,
		c.PerSecond, c.Most)}}
	for _, kind := range slices.Sorted(maps.Keys(c.ByKind)) {
		rows = append(rows, []string{"of these " + kind, strconv.Itoa(c.ByKind[kind])})
	}
	result.Table(p, []string{"", ""}, append(rows,
		[]string{"heartbeats", fmt.Sprintf("%.0f/s (not in the log)", c.Heartbeats)},
		[]string{"log", fmt.Sprintf("%.2f MB, %.2f MB/h", float64(c.LogBytes)/1e6, c.LogPerHour/1e6)},
		[]string{"largest snapshot", fmt.Sprintf("%.2f MB", float64(c.SnapshotMost)/1e6)},
		[]string{"elections", strconv.Itoa(c.Elections)}))
}
