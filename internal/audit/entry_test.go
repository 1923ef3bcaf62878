package audit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// chain returns n entries, each behind the one before.
func chain(n int) (out []Entry) {
	var h Head
	for i := range n {
		var e Entry
		e, h = h.Next(Entry{Index: uint64(10 + i/2), Time: time.Unix(1_700_000_000+int64(i), 5),
			Actor:  Actor{Owner: "key_1", Name: "ann \"a\"", Addr: "10.0.0.1:99", Request: "req_x"},
			Action: []string{"video.create", "node.drain"}[i%2], Object: fmt.Sprintf("video_%d", i),
			Outcome: OK, Details: map[string]string{"seed": "18446744073709551615",
				"prompt": "é\n<&>\u2028"}})
		out = append(out, e)
	}
	return out
}

// text is the lines of entries as a file has them.
func text(all []Entry) []byte {
	var b []byte
	for _, e := range all {
		b = append(append(b, e.Line()...), '\n')
	}
	return b
}

// verify returns what a Verifier says of a file.
func verify(b []byte) (Verifier, error) {
	var v Verifier
	return v, v.Read(bytes.NewReader(b), "f")
}

// TestLineIsStable holds the form of lines: files of earlier versions have to stay verifiable, and
// docs/audit.md shows how others can.
func TestLineIsStable(t *testing.T) {
	const want = `{"action":"video.create","actor":{"addr":"10.0.0.1:99","name":"ann \"a\"",` +
		`"owner":"key_1","request":"req_x"},"details":{"prompt":"\u00e9\n<&>\u2028",` +
		`"seed":"18446744073709551615"},` +
		`"hash":"222c916d4719ca911a9f7cbfaa8ca5da0a420fcf938a7098968ae6d5c3cfdd2d",` +
		`"index":10,"object":"video_0","outcome":"ok",` +
		`"prev":"0000000000000000000000000000000000000000000000000000000000000000",` +
		`"seq":1,"time":"2023-11-14T22:13:20.000000005Z"}`
	if got := string(chain(1)[0].Line()); got != want {
		t.Errorf("line\n%s\nwant\n%s", got, want)
	}

	// Its own zone can be written, UTC cannot: a log that was tampered with may have it.
	far := time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600))
	if e, _ := (Head{}).Next(Entry{Time: far, Action: "a", Outcome: OK}); !e.Time.IsZero() {
		t.Errorf("the time is %v", e.Time)
	}
}

// TestAnyChangeIsFound changes every byte of a chain, in two ways each, and takes out, doubles and
// swaps bytes and lines.
func TestAnyChangeIsFound(t *testing.T) {
	all := chain(4)
	good := text(all)
	v, err := verify(good)
	if err != nil || v.Head() != (Head{4, all[3].Hash}) || v.First != 1 || v.Entries != 4 {
		t.Fatalf("an honest chain: %+v, %v", v, err)
	}
	found := func(what string, b []byte, line int) {
		t.Helper()
		_, err := verify(b)
		if e, ok := err.(*LineError); !ok || e.Line != line {
			t.Errorf("%s: %v; want an error of line %d", what, err, line)
		}
	}

	rng := rand.New(rand.NewPCG(1, 2))
	for i := range good {
		line := 1 + bytes.Count(good[:i], []byte("\n"))
		for _, flip := range []byte{1 << rng.IntN(8), 0x20} {
			b := bytes.Clone(good)
			if b[i] ^= flip; b[i] != '\n' { // a line that is cut in two is found, too
				found(fmt.Sprintf("byte %d", i), b, line)
			}
		}
		if i != len(good)-1 {
			found(fmt.Sprintf("without byte %d", i), slices.Delete(bytes.Clone(good), i, i+1), line)
		}
	}

	lines := bytes.SplitAfter(good, []byte("\n"))[:4]
	join := func(order ...int) (b []byte) {
		for _, i := range order {
			b = append(b, lines[i]...)
		}
		return b
	}
	found("a line is gone", join(0, 2, 3), 2)
	found("a line is there twice", join(0, 1, 1, 2, 3), 3)
	found("two lines have changed places", join(0, 2, 1, 3), 2)
	if v, err := verify(join(1, 2, 3)); err != nil || v.First != 2 {
		t.Errorf("a file that begins later: %+v, %v", v, err)
	}
	// Who forges an entry and its hash is given away by the next one, and at the end by the head.
	forged := all[1]
	forged.Action = "video.delete"
	forged.Hash = hash(forged.fields())
	found("a forged entry", slices.Concat(lines[0], append(forged.Line(), '\n'), lines[2]), 3)
}

func TestLinesThatAreNoEntries(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		if _, err := ParseLine([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v; want %q", line, err, want)
		}
	}
	f("", "is not JSON")
	f("[]", "no JSON object")
	f(`{"a":1}{}`, "goes on")
	f(`{"a": 1}`, "canonical form")
	f(`{"a":1,"a":1}`, "canonical form")
	f(`{"a":1.5}`, "no canonical number")
	f(`{"hash":"x"}`, "it was changed")
	e := map[string]any{"x": "y"}
	e["hash"] = hash(e)
	b, _ := write(nil, e)
	f(string(b), "has no number")
}

func TestCanonical(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		got, err := Canonical([]byte(in))
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s becomes %s, %v; want %s", in, got, err, want)
		}
	}
	f(` { "b" : [ 1 , null ] , "a" : true } `, `{"a":true,"b":[1,null]}`)
	f(`"\u0041\/\u001f\b\n\"\\\u2028"`, `"A/\u001f\b\n\"\\\u2028"`)
	f(`"😀\u007F \ud800\u00E9"`, `"\ud83d\ude00\u007f \ufffd\u00e9"`)
	f(`18446744073709551616`, `18446744073709551616`)
	f(`-1`, "")
	f(`1e3`, "")
	f(`{`, "")
	f(`1 2`, "")
}

// FuzzCanonical wants one spelling: that of a spelling is itself.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"b":[1,"\u00e9"],"a":{}}`, `"\ud800"`, `[null,true,0]`, "{}\x00"} {
		f.Add([]byte(s))
	}
	f.Add(chain(1)[0].Line())
	f.Fuzz(func(t *testing.T, b []byte) {
		once, err := Canonical(b)
		if err != nil {
			return
		}
		twice, err := Canonical(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q, then %q, %v", once, twice, err)
		}
	})
}

// FuzzParseLine wants that what is taken for an entry is spelt as it was written.
func FuzzParseLine(f *testing.F) {
	for _, e := range chain(2) {
		f.Add(e.Line())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseLine(b)
		if err == nil && (e.Seq == 0 || len(e.Hash) != 64) {
			t.Fatalf("%q is taken for %+v", b, e)
		}
	})
}

func TestHeadCheck(t *testing.T) {
	ok := chain(1)[0]
	for _, h := range []Head{{}, {1, ok.Hash}} {
		if err := h.Check(); err != nil {
			t.Error(err)
		}
	}
	for _, h := range []Head{{0, ok.Hash}, {1, ""}, {1, "zz"}, {1, strings.ToUpper(ok.Hash)}} {
		if h.Check() == nil {
			t.Errorf("%+v passes", h)
		}
	}
}

// read returns the bytes of all segments of a directory, in their order.
func read(t *testing.T, dir string) (out []byte) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}
