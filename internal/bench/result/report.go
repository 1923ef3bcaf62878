package result

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// File is one of a report's. Names have no folder in them: report.md shows figures that lie beside
// it, so that the whole can be moved.
type File struct {
	Name string
	Data []byte
}

// Report makes what people and other tools read of a result: report.md, the figures that it shows
// (SVG), and bench.txt in the format of Go's benchmarks, for benchstat. A result without a summary
// is summed up first. The same result makes the same bytes.
func Report(r Result) ([]File, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if r.Summary.Requests == 0 {
		r.Summarize()
	}
	charts := r.charts()

	// Figures may fail, tables not: if one cannot be drawn, that is a defect, and the page that would
	// show it is not made.
	out := []File{{"report.md", r.markdown(charts)}, {"bench.txt", r.benchmarks()}}
	for _, c := range charts {
		svg, err := c.svg()
		if err != nil {
			return nil, fmt.Errorf("cannot draw %s: %w", c.name, err)
		}
		out = append(out, File{c.name, svg})
	}
	return out, nil
}

// Save writes result.json and its Report into a folder, which it makes if it is not there. Files of
// these names are replaced, each at once, so that no reader finds half of one.
func Save(dir string, r Result) error {
	files, err := Report(r)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := Write(&text, r); err != nil {
		return err
	}

	// result.json comes last: where it is, the rest is there as well.
	return SaveFiles(dir, append(files, File{"result.json", text.Bytes()}))
}

// SaveFiles writes files into a folder, in their order, as Save does.
func SaveFiles(dir string, files []File) error {
	err := os.MkdirAll(dir, 0o755)
	for _, f := range files {
		if err == nil {
			err = replace(filepath.Join(dir, f.Name), f.Data)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot save the results: %w", err)
	}
	return nil
}

// replace writes a file beside its place, and moves it there.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		if rm := os.Remove(f.Name()); !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}

// page builds Markdown.
// What servers say of themselves comes into it through table alone.
type page struct{ bytes.Buffer }

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func (p *page) table(head []string, rows [][]string) { Table(&p.Buffer, head, rows) }

// Table writes rows of cells as Markdown; names and errors of servers cannot break it.
func Table(p *bytes.Buffer, head []string, rows [][]string) {
	clean := strings.NewReplacer("|", "\\|", "\n", " ", "\r", " ", "<", "&lt;")
	line := func(cells []string) {
		for _, c := range cells {
			fmt.Fprintf(p, "| %s ", clean.Replace(c))
		}
		p.WriteString("|\n")
	}
	line(head)
	p.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	p.WriteString("\n")
}

// markdown is the page.
func (r Result) markdown(charts []chart) []byte {
	var p page
	s := r.Summary
	// What was measured comes before what came of it: figures without it are no use to anybody.
	p.printf("# Benchmark: %s\n\n", r.Scenario.Name)
	p.warning(r.Fidelity)
	p.table([]string{"", ""}, r.facts())

	p.printf("## Latency\n\n")
	p.table([]string{"", "clips", "mean (95 % interval)", "p50", "p90", "p99", "max"}, r.times())
	p.printf("Percentiles are of the nearest rank. (few): fewer samples than bound it from above\n" +
		"with 97.5 %% confidence.\n\n")
	p.figures(charts, "latency.svg", "stages.svg")

	p.printf("## Throughput and efficiency\n\n")
	p.table([]string{"", ""}, r.yield())
	if s.MFU != nil {
		p.printf("MFU is %s.\nThe peak is %s multiply-adds/s (%s).\n\n", s.MFU.Formula,
			strconv.FormatFloat(s.MFU.Peak, 'g', 4, 64), s.MFU.PeakSource)
	}

	p.unequal(r.Fidelity)
	p.ranks(r, charts)
	if len(r.Rates) > 0 {
		p.rates(r)
		p.figures(charts, "rates.svg", "throughput.svg")
	}
	if r.Faults != nil {
		p.faults(*r.Faults)
	}
	p.figures(charts, "timeline.svg")
	if r.Pair != nil {
		p.printf("- Two servers took turns, clip by clip; clips an hour count the time of both.\n")
	}
	for _, n := range r.Notes {
		p.printf("- %s\n", strings.ReplaceAll(n, "\n", " "))
	}
	return append(bytes.TrimRight(p.Bytes(), "\n"), '\n')
}

// figures shows those of the named charts that there are. The alternative text says what a figure
// is about to those who do not see it; the tables beside it have its values.
func (p *page) figures(charts []chart, names ...string) {
	for _, c := range charts {
		if slices.Contains(names, c.name) {
			p.printf("![%s](%s)\n\n", c.alt, c.name)
		}
	}
}

// facts say what was measured, on what. With the command line, the seeds and the hash of the
// prompts somebody else can run the same.
func (r Result) facts() [][]string {
	c, h := r.Cohort, r.Cohort.Host
	// What is not known has no row.
	rows := [][]string{
		{"server", fmt.Sprintf("%s %s, API %s", c.Product, c.Version, c.Dialect)},
		{"model", strings.TrimSuffix(c.Model+", "+c.DType, ", ")},
		{"devices", devices(c.Devices)},
		{"mesh, transport", strings.Trim(c.Mesh+", "+c.Transport, ", ")},
		{"load generator", strings.TrimSpace(fmt.Sprintf("%s %s", r.Tool.Name, r.Tool.Version))},
		{"its host", fmt.Sprintf("%s, %d cores, %s/%s %s", h.CPU, h.Cores, h.OS, h.Arch, h.Kernel)},
		{"clips", clipText(r.Scenario.Clip)},
		{"prompts", fmt.Sprintf("%s, %d, SHA-256 %.12s", r.Dataset.Name, r.Dataset.Count,
			r.Dataset.SHA256)},
		{"arrivals", fmt.Sprintf("%s, seed %d", r.Scenario.Arrivals, r.Scenario.Seed)},
		{"from", r.Started.UTC().Format("2006-01-02 15:04:05 UTC") + ", for " +
			seconds(r.Finished.Sub(r.Started).Seconds())},
		{"command", strings.Join(r.Tool.Command, " ")},
	}

	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
}

// clipText says what was asked for, as far as it was not left to the server. It is empty if all
// was, and the page then has no such row.
func clipText(c Clip) string {
	var out []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(c.Width > 0, "%dx%d", c.Width, c.Height)
	add(c.Frames > 0, "%d frames", c.Frames)
	add(c.FPS > 0, "%d frames/s", c.FPS)
	add(c.Steps > 0, "%d steps", c.Steps)
	if c.Guidance != nil {
		add(true, "guidance %g", *c.Guidance)
	}
	return strings.Join(out, ", ")
}
