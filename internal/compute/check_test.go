package compute

import (
	"slices"
	"strings"
	"testing"
)

// block is memory of n elements.
type block int

func (b block) Len() int { return int(b) }

func TestCheckerRefuses(t *testing.T) {
	const check Checker = "test"
	mem, m := block(24), NewMat(block(24), 4, 6)
	late := Mat{Mem: mem, Off: 4, Rows: 4, Cols: 6, Stride: 6}
	heads := AttentionArgs{Heads: 4, Scale: 1}
	frame := func(t, h, w int) Volume { return Volume{T: t, H: h, W: w} }
	three := ConvShape{Out: 1, In: 1, KT: 3, KH: 3, KW: 3}
	conv := func(dst Volume, a ConvArgs) { check.Conv("Op", dst, frame(4, 2, 2), three, a) }
	for want, f := range map[string]func(){
		"test: Op: x is a broken matrix: 4 x 6, offset 0, stride 5": func() {
			check.Shape("Op", "x", Mat{Rows: 4, Cols: 6, Stride: 5})
		},
		"x ends at element 28 of 24":   func() { check.Inside("Op", "x", late) },
		"x is 4 x 6, want 4 x 5":       func() { check.Size("Op", "x", m, 4, 5) },
		"a overlaps b":                 func() { check.Apart("Op", "a", "b", m, m.ColRange(5, 6)) },
		"activation 9 is unknown":      func() { check.Activation("Op", 9) },
		"1 indices for 2 rows":         func() { check.RowVec("Op", "g", &RowVec{m, []int32{0}}, 2) },
		"row 0 wants vector 4 of 4":    func() { check.RowVec("Op", "g", &RowVec{m, []int32{4}}, 1) },
		"rope's head dim 4":            func() { check.Rope("Op", &Rope{HeadDim: 4}, 6) },
		"4 heads over width 6":         func() { check.Attention("Op", m, m, m, m, heads) },
		"dst is 1 x 2 x 2, want 2 x 2": func() { conv(frame(1, 2, 2), ConvArgs{}) },
		"Prev has frames of 1 x 2": func() {
			p := frame(1, 1, 2)
			conv(frame(2, 2, 2), ConvArgs{Prev: &p})
		},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, want) {
					t.Errorf("panic is %q, want %q", got, want)
				}
			}()
			f()
		})
	}
}

// TestApartAllows: views that lie after or next to each other share nothing.
func TestApartAllows(t *testing.T) {
	const check Checker = "test"
	m := NewMat(block(24), 4, 6)
	check.Apart("Op", "a", "b", m.RowRange(0, 2), m.RowRange(2, 4))
	check.Apart("Op", "a", "b", m.ColRange(0, 3), m.ColRange(3, 6))
	check.Apart("Op", "a", "b", m, NewMat(block(25), 4, 6))
	check.Apart("Op", "a", "b", m, m.RowRange(2, 2))
}

func TestOutSize(t *testing.T) {
	x, two := Volume{T: 5, H: 6, W: 8}, Volume{T: 2, H: 6, W: 8}
	causal := ConvShape{KT: 3, KH: 3, KW: 3}
	f := func(a ConvArgs, s ConvShape, want ...int) {
		t.Helper()
		if gotT, h, w := a.OutSize(s, x); !slices.Equal([]int{gotT, h, w}, want) {
			t.Errorf("%+v: %d x %d x %d, want %v", a, gotT, h, w, want)
		}
	}
	f(ConvArgs{}, causal, 3, 6, 8)
	f(ConvArgs{FrontPad: 2}, causal, 5, 6, 8)
	f(ConvArgs{Prev: &two}, causal, 5, 6, 8)
	f(ConvArgs{Prev: &two, StrideT: 2}, causal, 3, 6, 8)
	f(ConvArgs{Upsample: true}, ConvShape{KT: 1, KH: 3, KW: 3}, 5, 12, 16)
	f(ConvArgs{Downsample: true}, ConvShape{KT: 1, KH: 3, KW: 3}, 5, 3, 4)
	f(ConvArgs{}, ConvShape{KT: 9, KH: 1, KW: 1}, -3, 6, 8)
}

func TestTapsFirst(t *testing.T) {
	s := ConvShape{Out: 2, In: 2, KT: 1, KH: 1, KW: 3}
	got, err := s.TapsFirst([]float32{0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32})
	want := []float32{0, 10, 1, 11, 2, 12, 20, 30, 21, 31, 22, 32}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []ConvShape{{}, {Out: 1 << 40, In: 1, KT: 1, KH: 1, KW: 1}, {2, 2, 1, 1, 2}} {
		if _, err := bad.TapsFirst(make([]float32, 12)); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// TestTicketsTravelAsBytes: what a ticket's bytes say is the ticket, and nothing else is one.
func TestTicketsTravelAsBytes(t *testing.T) {
	for _, ticket := range []Ticket{0, 1, 1<<63 + 5} {
		if got, err := ParseTicket(ticket.Bytes()); err != nil || got != ticket {
			t.Errorf("ticket %d came back as %d, %v", ticket, got, err)
		}
	}
	if _, err := ParseTicket(make([]byte, 7)); err == nil {
		t.Error("7 bytes are a ticket")
	}
}
