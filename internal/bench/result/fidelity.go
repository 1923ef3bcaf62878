package result

import (
	"fmt"
	"strings"
)

// Speed is of no use if the clips are wrong, so a result says next to its figures how many were
// looked at, against what, and what was found.

// Fidelity compares the clips with those of a reference, so that a fast wrong answer shows.
type Fidelity struct {
	// Reference says what was taken for right, such as "one shard".
	Reference string `json:"reference"`

	// Compared is how many clips were, and Equal how many of them had the same latents' SHA-256, or
	// the same file, or the same pictures. Alike are those whose PSNR is PSNRNeeded or more, where
	// that is enough. All others are wrong.
	Compared   int     `json:"compared"`
	Equal      int     `json:"equal"`
	Alike      int     `json:"alike,omitzero"`
	PSNRNeeded float64 `json:"psnr_needed_db,omitzero"`

	// PSNR in dB of the clips that were not equal, the least and the mean; absent where not computed.
	// That of a clip is the PSNR of its worst frame.
	PSNRMin  *float64 `json:"psnr_min_db,omitempty"`
	PSNRMean *float64 `json:"psnr_mean_db,omitempty"`

	// Clips are those that were made again, but for the equal ones.
	Clips []Unequal `json:"clips,omitempty"`
}

// Of clips that are equal there is nothing to say but how many they are. The others are listed one
// by one: which of them, and by how much, is where somebody who looks for the fault begins.

// Unequal is a clip that is not the reference's.
type Unequal struct {
	// Index is the request's.
	Index int `json:"index"`

	// Verdict is "alike", "wrong" or "not compared"; PSNR is of the worst frame, and Why what there is
	// to say where there is none.
	Verdict string   `json:"verdict"`
	PSNR    *float64 `json:"psnr_db,omitempty"`
	Why     string   `json:"why,omitempty"`
}

// Verdicts of a clip that is not equal, in Unequal.Verdict.
const (
	ClipAlike       = "alike"
	ClipWrong       = "wrong"
	ClipNotCompared = "not compared"
)

// Sums are made as clips come and not at the end, so that a run that is interrupted while it
// compares has a report of what it has compared.

// Add takes in a clip that is not equal.
func (f *Fidelity) Add(u Unequal) {
	f.Clips = append(f.Clips, u)
	if u.Verdict != ClipNotCompared {
		f.Compared++
	}

	if u.Verdict == ClipAlike {
		f.Alike++
	}

	// The mean is of all that have one so far.
	n, total := 0.0, 0.0
	for _, c := range f.Clips {
		if c.PSNR == nil {
			continue
		}
		if n++; f.PSNRMin == nil || *c.PSNR < *f.PSNRMin {
			f.PSNRMin = new(*c.PSNR)
		}
		total += *c.PSNR
	}

	if n > 0 {
		f.PSNRMean = new(total / n)
	}
}

// Wrong is how many clips are not what they ought to be.
func (f *Fidelity) Wrong() int {
	if f == nil {
		return 0
	}
	return f.Compared - f.Equal - f.Alike
}

// Differences says what of a result makes it one that nobody should trust, "" for nothing.
func (f *Fidelity) Differences() string {
	if f.Wrong() == 0 {
		return ""
	}

	// The least PSNR tells a rounding from another film.
	out := fmt.Sprintf("%d of %d clips differ from %s", f.Wrong(), f.Compared, f.Reference)
	if f.PSNRMin != nil {
		out += fmt.Sprintf(" (PSNR %.1f dB at least)", *f.PSNRMin)
	}
	return out
}

// text says how many clips were right.
func (f Fidelity) text() string {
	out := fmt.Sprintf("%d of %d clips are equal to those of %s", f.Equal, f.Compared, f.Reference)
	// Wrong clips are counted in words of their own, so that nobody has to subtract.
	if f.Alike > 0 {
		out += fmt.Sprintf(", %d are alike (PSNR of %g dB or more)", f.Alike, f.PSNRNeeded)
	}
	if n := f.Wrong(); n > 0 {
		out += fmt.Sprintf(", %d are wrong", n)
	}
	if f.PSNRMin != nil && f.PSNRMean != nil {
		out += fmt.Sprintf("; PSNR of those not equal %.1f dB on average, %.1f dB at least",
			*f.PSNRMean, *f.PSNRMin)
	}
	return out
}

// A page is read from its top, and seldom to its end.

// warning stands at the head of the page where clips are wrong: all that follows is of a server
// that does not do what it was asked for, and who reads only the first figure has to know.
func (p *page) warning(f *Fidelity) {
	if wrong := f.Differences(); wrong != "" {
		p.printf("> **Wrong clips: %s.** The figures are of a server that does not make what it was\n"+
			"> asked for.\n\n", strings.ReplaceAll(wrong, "\n", " "))
	}
}

// unequal is the section of clips that are not the reference's.
func (p *page) unequal(f *Fidelity) {
	if f == nil || len(f.Clips) == 0 {
		return
	}

	p.printf("## Clips that are not those of the reference\n\n")
	var rows [][]string
	for _, c := range f.Clips {
		db := ""
		if c.PSNR != nil {
			db = fmt.Sprintf("%.1f dB", *c.PSNR)
		}
		rows = append(rows, []string{fmt.Sprint(c.Index), c.Verdict, db, c.Why})
	}
	p.table([]string{"clip", "verdict", "PSNR of the worst frame", ""}, rows)
}
