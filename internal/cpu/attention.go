package cpu

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
)

const (
	keyTile   = 96      // keys between two rescalings of the running softmax; fixes the bits
	queries   = 256     // most queries of a task; they share a tile of keys in cache
	packMost  = 8 << 20 // packed elements that several heads may share
	wholeMost = 1 << 19 // most scores of a head that is one task
	inPlace   = 512     // most queries for which keys are read where they lie
)

// attention is one call: heads of width hd. Both products run on the micro-kernel with queries as
// its columns and a tile of scores between them in the first cache: scores [keys, queries] are rows
// of keys times a panel of queries, the output [hd, queries] is columns of values times the tile.
// So what softmax does is done to whole vectors, of as many queries.
//
// History, as part of the peak of two Intel threads (float32) at 8 heads of 32, 4,320 tokens, and
// 12 heads of 128, 1,560 tokens: v1, with queries as rows, keys as panels and values in place: 0.59
// and 0.69; v2, with queries as columns: 0.71 and 0.77; v3, 256 queries to a task, keys copied
// where many queries read them: 0.75 and 0.79. What is left at heads of 32 is softmax, 6 cycles for
// a vector of scores beside 32 of products.
type attention struct {
	dst, q, k, v view
	bias         view // without rows: none
	args         compute.AttentionArgs
	kern         *kernels
	low          *lower // nil in float32
	stop         *compute.StopFlag
	gemm         microTile // of kern or low, as soften
	soften       softmax
	hd           int  // width of a head
	units        int  // the same in units of low
	copied       bool // keys are packed
	packed       []float32
	zero         []float32

	whole   bool // a task is a head: then nothing of it moves between threads
	packing bool // what do does otherwise
	first   int  // head of the first slot
	groups  int  // panels of queries of a task
	tasks   int  // tasks of a head
}

// Attention computes softmax(scale·q·kᵀ + bias)·v head by head; see compute.Device. Heads that pack
// at most packMost elements run together, larger ones in turn.
func (d *Device) Attention(dst, q, k, v compute.Mat, args compute.AttentionArgs) {
	d.attention = newAttention(dst, q, k, v, args)
	a := &d.attention
	a.kern, a.zero, a.stop = d.kern, d.zeros(a.hd), &d.pool.stop
	a.low, a.units, a.gemm, a.soften = d.lower(args.DType), a.hd, d.kern.gemm, d.kern.soften
	if a.low != nil {
		a.units, a.gemm, a.soften = a.low.units(a.hd), a.low.gemm, a.low.soften
	}
	a.copied = a.low != nil || a.q.rows > inPlace
	group := min(args.Heads, max(1, packMost/a.headLen()))
	for a.first = 0; a.first < args.Heads; a.first += group {
		n := min(group, args.Heads-a.first)
		a.packed = floats(&d.keys, n*a.headLen())
		if a.whole = n%d.pool.size() == 0 && q.Rows*k.Rows <= wholeMost; a.whole {
			a.groups, a.tasks = queries/a.kern.nr, 1
			d.pool.run(n, a)
			continue
		}
		a.packing, a.tasks = true, ceil(k.Rows, keyTile)
		d.pool.run(n*a.tasks, a)
		a.cut(n, d.pool.size())
		d.pool.run(n*a.tasks, a)
	}
}

// cut makes tasks of queries: as large as they may be, but several for each thread.
func (a *attention) cut(heads, threads int) {
	a.packing, a.groups = false, queries/a.kern.nr
	for ; ; a.groups /= 2 {
		a.tasks = ceil(a.q.rows, a.groups*a.kern.nr)
		if a.groups == 1 || threads == 1 || heads*a.tasks >= 16*threads {
			return
		}
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

// head is what is packed of one head.
type head struct {
	keys   []float32 // [keys, units], in place or packed
	step   int       // from one to the next
	values []float32 // [tiles, hd, keyTile], of the last in units
	bias   []float32 // the relative ones from the last to the first, then some for queries beyond
}

// headLen is the length of what is packed of a head.
func (a *attention) headLen() int {
	return a.keysLen() + ceil(a.k.rows, keyTile)*a.valuesLen() + a.biasLen()
}

// keysLen is the length of the packed keys.
func (a *attention) keysLen() int {
	if !a.copied {
		return 0
	}
	return a.k.rows * a.units
}

// valuesLen is the length of a tile of values, biasLen that of the bias.
func (a *attention) valuesLen() int { return a.hd * a.count(keyTile) }

func (a *attention) biasLen() int {
	if a.bias.rows == 0 {
		return 0
	}
	return a.bias.cols + a.kern.nr
}

// count returns how many units n keys take.
func (a *attention) count(n int) int {
	if a.low != nil {
		return a.low.units(n)
	}
	return n
}

// head returns what is packed of a slot.
func (a *attention) head(slot int) head {
	p := a.packed[slot*a.headLen() : (slot+1)*a.headLen()]
	keys, bias := a.keysLen(), len(p)-a.biasLen()
	h := head{p[:keys], a.units, p[keys:bias], p[bias:]}
	if !a.copied {
		h.keys, h.step = a.k.data[(a.first+slot)*a.hd:], a.k.stride
	}
	return h
}

func (a *attention) do(w *worker, task int) {
	slot, part, step := task/a.tasks, task%a.tasks, a.groups*a.kern.nr
	switch {
	case a.whole:
		for key := 0; key < a.k.rows; key += keyTile {
			a.pack(w, slot, key)
		}
		for query := 0; query < a.q.rows; query += step {
			a.attend(w, slot, query)
		}
	case a.packing:
		a.pack(w, slot, part*keyTile)
	default:
		a.attend(w, slot, part*step)
	}
}

// pack packs a tile of keys, from key on, and their values; with the first one the bias.
func (a *attention) pack(w *worker, slot, key int) {
	h, col, n := a.head(slot), (a.first+slot)*a.hd, min(keyTile, a.k.rows-key)
	for i := key; a.copied && i < key+n; i++ {
		a.narrow(h.keys[i*a.units:(i+1)*a.units], a.k.row(i)[col:col+a.hd])
	}
	a.packValues(w, h.values[key/keyTile*a.valuesLen():][:a.valuesLen()], key, n, col)
	if key == 0 && a.bias.rows > 0 {
		row := a.bias.row(a.first + slot)
		for i, b := range row {
			h.bias[len(row)-1-i] = b
		}
		clear(h.bias[len(row):])
	}
}

// packValues turns n values of a tile into rows of the micro-kernel: their steps are keys.
func (a *attention) packValues(w *worker, to []float32, key, n, col int) {
	rows := w.aims(keyTile)
	for i := range rows {
		rows[i] = &a.zero[0]
		if i < n {
			rows[i] = &a.v.row(key + i)[col]
		}
	}
	if a.low == nil {
		a.kern.transpose(to, keyTile, rows, a.hd)
		return
	}
	turned, step := floats(&w.a, a.hd*keyTile), a.low.units(keyTile)
	a.kern.transpose(turned, keyTile, rows, a.hd)
	for i := range a.hd {
		a.low.narrow(to[i*step:(i+1)*step], turned[i*keyTile:(i+1)*keyTile])
	}
}

// narrow copies a row to units.
func (a *attention) narrow(to, row []float32) {
	if a.low == nil {
		copy(to, row)
		return
	}
	a.low.narrow(to, row)
}

// state is the running softmax of a task's queries, panel by panel.
type state struct {
	q      []float32 // [groups, units, nr]
	out    []float32 // [groups, hd, nr], not yet divided by the sums
	runs   []running // [groups]
	scores []float32 // [keyTile, nr], then the probabilities
	sum    []float32 // [hd, nr], of one tile of keys; at the end [nr, hd]
}

// attend computes the queries from query on of a slot's head.
func (a *attention) attend(w *worker, slot, query int) {
	s, h, kern := &w.state, a.head(slot), a.kern
	groups := min(a.groups, ceil(a.q.rows-query, kern.nr))
	a.queries(w, s, slot, query, groups)
	s.begin(groups, a.hd, kern)
	at := w.aims(keyTile + roundUp(a.hd, kern.mr))
	keys, values := at[:keyTile], at[keyTile:]
	for key := 0; key < a.k.rows; key += keyTile {
		if a.stop.Stopped() { // a task over a million keys takes seconds
			return
		}
		n := min(keyTile, a.k.rows-key)
		point(keys, h.keys[key*h.step:], h.step, n)
		point(values, h.values[key/keyTile*a.valuesLen():], a.count(keyTile), a.hd)
		for g := range groups {
			q := s.q[g*a.units*kern.nr:][:a.units*kern.nr]
			a.rows(s.scores, keys, n, q)
			a.weights(s, g, h, key, n, query+g*kern.nr)
			out, p := s.out[g*a.hd*kern.nr:], s.scores[:a.count(n)*kern.nr]
			if key == 0 {
				a.rows(out, values, a.hd, p)
				continue
			}
			a.rows(s.sum, values, a.hd, p)
			kern.blend(out[:a.hd*kern.nr], s.sum, &s.runs[g])
		}
	}
	for g := range groups {
		a.store(w, s, slot, query, g)
	}
}

// begin makes room for groups of queries that have not seen a key.
func (s *state) begin(groups, hd int, kern *kernels) {
	s.out = floats(&s.out, (groups*hd+kern.mr)*kern.nr)
	s.scores = floats(&s.scores, keyTile*kern.nr)
	s.sum = floats(&s.sum, max(roundUp(hd, kern.mr), roundUp(hd, kern.half))*kern.nr)
	if len(s.runs) < groups {
		s.runs = make([]running, groups)
	}
	for g := range groups {
		s.runs[g].reset()
	}
}

// queries packs groups of queries from query on; the last one stands for those that do not exist.
func (a *attention) queries(w *worker, s *state, slot, query, groups int) {
	nr, col := a.kern.nr, (a.first+slot)*a.hd
	rows, size := w.aims(nr), a.units*nr
	to, buf := floats(&s.q, groups*size), floats(&w.a, size)
	for g := range groups {
		for i := range rows {
			row := a.q.row(min(query+g*nr+i, a.q.rows-1))[col : col+a.hd]
			rows[i] = &row[0]
			if a.low != nil {
				rows[i] = &buf[i*a.units]
				a.low.narrow(buf[i*a.units:(i+1)*a.units], row)
			}
		}
		a.kern.transpose(to[g*size:], nr, rows, a.units)
	}
}

// rows computes n rows of a product with a panel: c [n, nr].
func (a *attention) rows(c []float32, at []*float32, n int, panel []float32) {
	nr := a.kern.nr
	a.gemm(c, nr, n, nr, at, 1, len(panel)/nr, panel, beside{}, false)
}

// weights turns the scores of group g, whose first query is given, and of n keys from key on into
// probabilities.
func (a *attention) weights(s *state, g int, h head, key, n, query int) {
	nr := a.kern.nr
	if key+n == a.k.rows && a.args.LastKeyBias != 0 {
		last, add := s.scores[(n-1)*nr:n*nr], a.args.LastKeyBias/a.args.Scale
		for i := range last {
			last[i] += add
		}
	}
	bias, at := []float32(nil), 0
	if a.bias.rows > 0 { // of the first key; those of the next ones begin one element earlier
		bias, at = h.bias, a.k.rows-1-key+query
	}
	a.soften(s.scores, n, a.args.Scale, bias, at, &s.runs[g])
}

// store finishes the queries of group g and writes them to dst.
func (a *attention) store(w *worker, s *state, slot, query, g int) {
	nr, col := a.kern.nr, (a.first+slot)*a.hd
	wide := roundUp(a.hd, a.kern.half)
	out, rows := s.out[g*a.hd*nr:][:a.hd*nr], w.aims(wide)
	a.kern.divide(out, &s.runs[g])
	point(rows, out, nr, a.hd)
	query += g * nr
	n := min(nr, a.q.rows-query)
	if wide == a.hd {
		a.kern.transpose(a.dst.data[query*a.dst.stride+col:], a.dst.stride, rows, n)
		return
	}
	a.kern.transpose(s.sum, wide, rows, n)
	for i := range n {
		copy(a.dst.row(query + i)[col:col+a.hd], s.sum[i*wide:])
	}
}

func ceil(n, per int) int { return (n + per - 1) / per }
