package cli

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
)

// span prints a duration that was measured, with three digits below 100 s. From 100 s on it is
// minutes and seconds, such as 2m3s. It is for figures that are compared; longSpan is for those
// that are waited for.
func span(seconds float64) string {
	switch {
	case seconds < 1:
		return fmt.Sprintf("%.3g ms", seconds*1000)
	case seconds < 100:
		return fmt.Sprintf("%.3g s", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// size prints bytes in decimal units, as the coordinators' logs do. A file of 12 MB is 12,000,000
// bytes, as disks and networks count.
func size(n uint64) string { return humanize.Bytes(n) }

// age is how long ago something began, in its two largest units; "-" for the zero time.
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return longSpan(time.Since(t))
}

// longSpan prints the time that a process or a queue has taken, in its two largest units.
func longSpan(d time.Duration) string {
	// The coordinator's clock may be ahead of this machine's.
	d = max(d, 0)
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// count prints a number of things that form their plural with an s: 1 frame, 2 frames.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// short cuts a prompt to what fits a line, and puts blanks for line breaks and other controls. It
// counts characters and not bytes, so that no letter is cut in two.
func short(s string) string {
	r := []rune(s)
	for i := range r {
		if r[i] < ' ' {
			r[i] = ' '
		}
	}
	if len(r) > 48 {
		r = append(r[:47], '…')
	}
	return string(r)
}
