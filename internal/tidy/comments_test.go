package tidy

import (
	"go/ast"
	"go/scanner"
	"go/token"
	"maps"
	"slices"
	"testing"
)

// What a line of Go holds.
type lineKind byte

const (
	blankLine lineKind = iota
	commentLine
	codeLine // with or without a comment behind it
)

// kinds classifies the lines of a file; the index is the line's number minus one.
func kinds(s source) []lineKind {
	file := token.NewFileSet().AddFile(s.path, -1, len(s.text))
	var sc scanner.Scanner
	sc.Init(file, s.text, nil, scanner.ScanComments)
	out := make([]lineKind, file.LineCount(), len(s.text))
	for {
		pos, tok, text := sc.Scan()
		if tok == token.EOF {
			return out
		}
		kind := codeLine
		switch {
		case tok == token.SEMICOLON && text == "\n":
			continue // put in by the scanner, at the end of the line
		case tok == token.COMMENT:
			kind = commentLine
		}

		first := file.Line(pos)
		last := first + countNewlines(text)
		for len(out) < last {
			out = append(out, blankLine)
		}
		for line := first; line <= last; line++ {
			out[line-1] = max(out[line-1], kind)
		}
	}
}

func countNewlines(text string) int {
	n := 0
	for _, c := range text {
		if c == '\n' {
			n++
		}
	}
	return n
}

// tally counts lines by kind.
type tally [3]int

func (t *tally) add(lines []lineKind) {
	for _, k := range lines {
		t[k]++
	}
}

// share returns how much of a tally is of a kind, in percent.
func (t *tally) share(k lineKind) float64 {
	return 100 * float64(t[k]) / float64(max(1, t[0]+t[1]+t[2]))
}

// TestCommentsSayEnough measures the lines that are comments and nothing else, without tests.
func TestCommentsSayEnough(t *testing.T) {
	packages := map[string]*tally{}
	whole := &tally{}
	for _, s := range sources(t) {
		if s.test || s.generated {
			continue
		}
		if packages[s.dir] == nil {
			packages[s.dir] = &tally{}
		}
		lines := kinds(s)
		packages[s.dir].add(lines)
		whole.add(lines)
	}

	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if got := packages[dir].share(commentLine); got < packageCommentsMin {
			t.Errorf("%.1f %% of the lines of %s are comments; at least: %v %%", got, dir, packageCommentsMin)
		}
	}
	if got := whole.share(commentLine); got < commentsMin {
		t.Errorf("%.1f %% of the lines of the tree are comments; at least: %v %%", got, commentsMin)
	}
}

// TestLongBodiesHaveParagraphs wants a blank line between the steps of every body that is too long
// to be one step, and enough of them over the tree.
func TestLongBodiesHaveParagraphs(t *testing.T) {
	var unbroken []string
	whole := &tally{}
	for _, s := range sources(t) {
		if s.test || s.generated {
			continue
		}
		lines := kinds(s)
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			open, end := s.line(f.Body.Lbrace), s.line(f.Body.Rbrace)
			if end-open-1 <= longBody {
				continue
			}
			body := lines[open : end-1] // without the braces' lines
			whole.add(body)
			if !slices.Contains(body, blankLine) {
				unbroken = append(unbroken, s.at(f)+" "+f.Name.Name)
			}
		}
	}

	if len(unbroken) > unbrokenMax {
		t.Errorf("%d functions of more than %d lines have no blank line; allowed: %d\n%s",
			len(unbroken), longBody, unbrokenMax, sample(unbroken))
	}
	if got := whole.share(blankLine); got < paragraphsMin {
		t.Errorf("%.1f %% of the lines of long functions are blank; at least: %v %%", got, paragraphsMin)
	}
}
