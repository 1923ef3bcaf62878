package cpu

import (
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
)

const (
	keyTile     = 64      // keys between two rescalings of the running softmax; fixes the bits
	queryGroups = 4       // groups of mr queries of a task, which share a tile of keys in cache
	packKeys    = 4       // panels of keys of a packing task
	packMost    = 8 << 20 // packed elements of keys and values that several heads may share
)

// attention is one call: heads of width hd. Keys are packed in panels for the micro-kernel; values
// are read in place where heads lie at whole vectors, and copied with zeros between them otherwise.
type attention struct {
	dst, q, k, v view
	bias         view // without rows: none
	args         compute.AttentionArgs
	kern         *kernels
	low          *lower // nil in float32
	hd           int    // width of a head
	units        int    // the same in units of low
	wide         int    // hd rounded up to whole vectors: the width of an accumulator row
	copied       bool
	padded       int // keys in panels
	packed       []float32
	zero         []float32

	packing bool // what do does
	first   int  // head of the first slot
	tasks   int  // tasks of a head
}

// Attention computes softmax(scale·q·kᵀ + bias)·v head by head; see compute.Device. Heads whose
// packed keys fit packMost elements run together, wider ones in turn.
func (d *Device) Attention(dst, q, k, v compute.Mat, args compute.AttentionArgs) {
	d.attention = newAttention(dst, q, k, v, args)
	a := &d.attention
	a.kern = d.kern
	a.wide, a.padded = roundUp(a.hd, d.kern.half), d.kern.padded(k.Rows)
	a.low, a.units = d.lower(args.DType), a.hd
	if a.low != nil {
		a.units = a.low.units(a.hd)
	}
	a.copied = a.low != nil || a.wide != a.hd
	a.zero = d.zeros(a.hd)
	group := min(args.Heads, max(1, packMost/a.headLen()))
	for a.first = 0; a.first < args.Heads; a.first += group {
		n := min(group, args.Heads-a.first)
		a.packed = floats(&d.keys, n*a.headLen())
		a.packing, a.tasks = true, ceil(a.padded, packKeys*d.kern.nr)
		d.pool.run(n*a.tasks, a)
		a.packing, a.tasks = false, ceil(q.Rows, queryGroups*d.kern.mr)
		d.pool.run(n*a.tasks, a)
	}
}

func newAttention(dst, q, k, v compute.Mat, args compute.AttentionArgs) attention {
	const op = "Attention"
	if args.Heads < 1 || q.Cols%args.Heads != 0 || q.Cols == 0 || k.Rows < 1 || !(args.Scale > 0) {
		panic(fmt.Sprintf("cpu: Attention: %d heads over width %d, %d keys, scale %g",
			args.Heads, q.Cols, k.Rows, args.Scale))
	}
	apart(op, "dst", "q", dst, q)
	apart(op, "dst", "k", dst, k)
	apart(op, "dst", "v", dst, v)
	a := attention{
		q: viewOf(op, "q", q), k: sized(op, "k", k, k.Rows, q.Cols),
		v: sized(op, "v", v, k.Rows, q.Cols), dst: sized(op, "dst", dst, q.Rows, q.Cols),
		args: args, hd: q.Cols / args.Heads,
	}
	if args.RelBias != nil {
		a.bias = sized(op, "RelBias", *args.RelBias, args.Heads, max(0, q.Rows+k.Rows-1))
	}
	return a
}

// headLen is the length of one head's packed keys and values.
func (a *attention) headLen() int {
	if a.copied {
		return a.padded*a.units + a.count(a.k.rows)*a.wide
	}
	return a.padded * a.units
}

// count returns how many units n keys take.
func (a *attention) count(n int) int {
	if a.low != nil {
		return a.low.units(n)
	}
	return n
}

// head returns the packed keys and, as rows step apart, the values of a slot.
func (a *attention) head(slot int) (k, v []float32, step int) {
	p := a.packed[slot*a.headLen() : (slot+1)*a.headLen()]
	if a.copied {
		return p[:a.padded*a.units], p[a.padded*a.units:], a.wide
	}
	return p, a.v.data[(a.first+slot)*a.hd:], a.v.stride
}

func (a *attention) do(w *worker, task int) {
	slot, part := task/a.tasks, task%a.tasks
	if a.packing {
		a.pack(w, slot, part*packKeys*a.kern.nr)
		return
	}
	a.tile(w, slot, part*queryGroups*a.kern.mr)
}

// pack packs packKeys panels of keys from key on, and their values where those are copied.
func (a *attention) pack(w *worker, slot, key int) {
	pk, pv, _ := a.head(slot)
	nr, col := a.kern.nr, (a.first+slot)*a.hd
	end := min(key+packKeys*nr, a.padded)
	for j := key; j < end; j += nr {
		width := min(nr, a.padded-j)
		at := w.aims(width)
		buf := floats(&w.a, width*a.units)
		for i := range at {
			at[i] = &a.zero[0] // rounding: the score is masked
			if j+i < a.k.rows {
				at[i] = a.rounded(buf[i*a.units:], a.k.row(j + i)[col:col+a.hd])
			}
		}
		a.kern.transpose(pk[j*a.units:], width, at, a.units)
	}
	if a.copied {
		a.copyValues(pv, key, min(end, a.k.rows), col)
	}
}

// rounded returns the row, or what it is in units, which it writes to buf.
func (a *attention) rounded(buf, row []float32) *float32 {
	if a.low == nil {
		return &row[0]
	}
	a.low.narrow(buf, row)
	return &buf[0]
}

// copyValues copies values [j, end), rounded where that is asked for, with zeros up to whole
// vectors; j is even.
func (a *attention) copyValues(pv []float32, j, end, col int) {
	per := 1
	if a.low != nil {
		per = a.low.per
	}
	for ; j < end; j += per {
		to := pv[j/per*a.wide : (j/per+1)*a.wide]
		row := a.v.row(j)[col : col+a.hd]
		switch {
		case a.low == nil:
			copy(to, row)
		case per == 1:
			a.low.narrow(to, row)
		default:
			next := a.zero
			if j+1 < end {
				next = a.v.row(j + 1)[col : col+a.hd]
			}
			a.low.zip(to[:a.hd], row, next)
		}
		clear(to[a.hd:])
	}
}

// state is the running softmax of a task's queries.
type state struct {
	q      []float32 // [queryGroups·mr, units], rounded queries
	scores []float32 // [mr, keyTile]
	add    []float32 // [mr, keyTile], what is added to them
	out    []float32 // [queryGroups·mr, wide], not yet divided by the sums
	runs   [queryGroups]running
}

// tile computes queries from query on of a slot's head.
func (a *attention) tile(w *worker, slot, query int) {
	s, mr := &w.state, a.kern.mr
	rows := min(queryGroups*mr, a.q.rows-query)
	s.scores, s.add = floats(&s.scores, mr*keyTile), floats(&s.add, mr*keyTile)
	s.out = floats(&s.out, roundUp(rows, mr)*a.wide)
	clear(s.out)
	for g := range s.runs {
		s.runs[g].reset()
	}
	pk, pv, step := a.head(slot)
	at := a.queries(w, slot, query, rows)
	for j := 0; j < a.k.rows; j += keyTile {
		n := min(keyTile, a.k.rows-j)
		for g := 0; g*mr < rows; g++ {
			a.score(s, pk, at[g*mr:(g+1)*mr], min(mr, rows-g*mr), j)
			add, addStep := a.addend(s, slot, query+g*mr, j, n)
			a.soften(s, g, add, addStep)
			a.weigh(s, g, n, pv[a.count(j)*step:], step)
		}
	}
	col := (a.first + slot) * a.hd
	for i := range rows {
		a.kern.divide(a.dst.row(query + i)[col:col+a.hd], s.out[i*a.wide:], &s.runs[i/mr], i%mr)
	}
}

// queries points at the queries of a task, rounded where that is asked for; the last one stands
// for those that do not exist.
func (a *attention) queries(w *worker, slot, query, rows int) []*float32 {
	at, col := w.aims(roundUp(rows, a.kern.mr)), (a.first+slot)*a.hd
	buf := floats(&w.state.q, rows*a.units)
	for i := range at {
		if i >= rows {
			at[i] = at[rows-1]
			continue
		}
		at[i] = a.rounded(buf[i*a.units:], a.q.row(query + i)[col:col+a.hd])
	}
	return at
}

// score computes the scores of mr queries, of which rows count, and a tile of keys from j on.
func (a *attention) score(s *state, pk []float32, at []*float32, rows, j int) {
	gemm := a.kern.gemm
	if a.low != nil {
		gemm = a.low.gemm
	}
	for c := 0; c < keyTile && j+c < a.padded; c += a.kern.nr {
		width := min(a.kern.nr, a.padded-j-c)
		b := pk[(j+c)*a.units : (j+c+width)*a.units]
		gemm(s.scores[c:], keyTile, rows, width, at, 1, a.units, b, false)
	}
}

// soften turns the scores of group g into probabilities.
func (a *attention) soften(s *state, g int, add []float32, step int) {
	if a.low != nil {
		a.low.soften(s.scores, a.args.Scale, add, step, &s.runs[g])
		return
	}
	a.kern.soften(s.scores, a.args.Scale, add, step, &s.runs[g])
}

// weigh adds n values, weighted by the probabilities, to group g.
func (a *attention) weigh(s *state, g, n int, v []float32, step int) {
	o := s.out[g*a.kern.mr*a.wide:]
	if a.low == nil {
		a.kern.weigh(o, a.wide, a.wide, s.scores, n, v, step, &s.runs[g])
		return
	}
	a.low.weigh(o, a.wide, a.wide, s.scores, a.low.units(n), v, step, &s.runs[g])
}

// addend returns what is added to the scores of mr queries and n keys from j on, and the distance
// of its rows; nil when that is nothing. Keys that only fill up a vector are masked.
func (a *attention) addend(s *state, slot, query, j, n int) ([]float32, int) {
	last := j+n == a.k.rows
	if n < keyTile { // what an earlier tile left there could be NaN
		for i := range a.kern.mr {
			clear(s.scores[i*keyTile+n : (i+1)*keyTile])
		}
	}
	if a.bias.rows == 0 && !(last && (n < keyTile || a.args.LastKeyBias != 0)) {
		return nil, 0
	}
	rows, step := 1, 0
	if a.bias.rows > 0 {
		rows, step = a.kern.mr, keyTile
	}
	for i := range rows {
		add := s.add[i*keyTile : (i+1)*keyTile]
		clear(add)
		if a.bias.rows > 0 {
			at := j - min(query+i, a.q.rows-1) + a.q.rows - 1
			copy(add, a.bias.row(a.first + slot)[at:at+n])
		}
		if last {
			add[n-1] += a.args.LastKeyBias
		}
		for c := n; c < keyTile; c++ {
			add[c] = float32(math.Inf(-1))
		}
	}
	return s.add, step
}

func ceil(n, per int) int { return (n + per - 1) / per }
