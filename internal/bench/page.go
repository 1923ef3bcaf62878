package bench

import (
	"fmt"
	"os"
	"strings"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/userfile"
)

// Page writes between these lines of a Markdown page.
const (
	pageBegin = "<!-- made by make gpu-bench -->\n"
	pageEnd   = "<!-- end: gpu-bench -->"
)

// pageMax bounds the page that is read, in bytes.
const pageMax = 16 << 20

// Page replaces what stands between pageBegin and pageEnd in the file at path by what was measured:
// rows, on which device, and next to which peer ("" for none). A page without the two lines is an
// error, and is left alone.
func Page(path, device, peer string, rows []Row) error {
	page, err := userfile.Read(path, pageMax)
	if err != nil {
		return err
	}

	before, rest, begun := strings.Cut(string(page), pageBegin)
	_, after, ended := strings.Cut(rest, pageEnd)
	if !begun || !ended {
		return fmt.Errorf("%s lacks the lines %q and %q", path, pageBegin, pageEnd)
	}

	// Everything else of the page stays as it is.
	now := before + pageBegin + "\n" + measured(device, peer, rows) + "\n" + pageEnd + after
	return os.WriteFile(path, []byte(now), 0o644) //nolint:gosec // a page for all to read
}

// measured returns a sentence and a table in Markdown, and what follows for a step of Wan. Cells
// are for people: four digits at most, as repeated runs do not agree on more.
func measured(device, peer string, rows []Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "On %s", strings.TrimPrefix(device, "cuda: "))
	// Readers judge a share by the peak that it is a share of.
	if p, ok := PeakOf(device); ok {
		fmt.Fprintf(&b, "; its peak is %.4g TFLOP/s in bf16, %.4g in fp32", p.bf16, p.fp32)
	}
	if peer != "" {
		fmt.Fprintf(&b, "; compared with %s", peer)
	}

	b.WriteString(".\n\n" +
		"| what | type | ms | TFLOP/s | of peak | PyTorch, ms | ours / theirs | note |\n" +
		"|---|---|---|---|---|---|---|---|\n")
	// Figures that are not known leave their cell empty.
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %.4g | %s | %s | %s | %s | %s |\n", r.Name, r.DType,
			1e3*r.Seconds, nonzero("%.1f", r.GFLOPS/1e3), nonzero("%.1f %%", 100*r.Peak),
			nonzero("%.4g", 1e3*r.Peer),
			nonzero("%.2f", r.Ratio), strings.ReplaceAll(r.Note, "|", "/"))
	}

	// What users wait for, steps times over.
	if r, ok := find(rows, stepItem); ok {
		fmt.Fprintf(&b, "\nA guided step of Wan 2.1 1.3B, 81 frames of 832x480, takes %.3g s", r.Seconds)
		if r.Peak > 0 {
			fmt.Fprintf(&b, ", MFU %.1f %%", 100*r.Peak)
		}
		b.WriteString(".\n")
	}
	return b.String()
}

// nonzero formats v; a 0, which stands for a figure that is not known, becomes "".
func nonzero(format string, v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, v)
}

// find returns the row of an item in bfloat16.
func find(rows []Row, name string) (Row, bool) {
	for _, r := range rows {
		if r.Name == name && r.DType == compute.BF16.String() {
			return r, true
		}
	}
	return Row{}, false
}
