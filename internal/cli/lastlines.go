package cli

import "strings"

// lastLines keeps the last n lines of what is written to it, so that a long answer takes no more
// memory than what is shown of it.
type lastLines struct {
	n     int
	lines []string // whole ones, each with its end
	part  string   // of the next one
}

// Write implements io.Writer.
func (l *lastLines) Write(p []byte) (int, error) {
	l.part += string(p)
	for {
		line, rest, whole := strings.Cut(l.part, "\n")
		if !whole {
			return len(p), nil
		}
		l.part = rest
		l.lines = append(l.lines, line+"\n")
		l.lines = l.lines[max(0, len(l.lines)-l.n):]
	}
}
