package cpu

import "github.com/longtake/longtake/internal/compute"

const (
	// keyTile is the keys between two rescalings of the running softmax. It fixes the bits: all other
	// sizes here change speed alone.
	keyTile = 96
	// queriesMost is the queries of a task at most. They share a tile of keys in cache.
	queriesMost = 256
	// packMost is the packed elements of keys and values that several heads may share.
	packMost = 8 << 20
	// wholeMost is the scores of a head that is one task, at most.
	wholeMost = 1 << 19
	// queriesListed is the queries of a task at most where their keys are listed: tasks must not cross
	// the tiles that lists are for.
	queriesListed = 128
	// inPlaceMost is the queries for which keys are read where they lie, at most; more pay for a copy.
	inPlaceMost = 512
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
// a vector of scores next to 32 of products.
type attention struct {
	dst, q, k, v view // [tokens, heads·hd]
	bias         view // [heads, nq+nk-1]; without rows: none
	args         compute.AttentionArgs
	kern         *kernels
	bf16         *bf16Kernels // nil in float32
	stop         *compute.StopFlag
	gemm         microTile // of kern or bf16, as softmax
	softmax      softmaxFunc
	hd           int  // width of a head
	units        int  // the same in units of bf16
	copied       bool // keys are packed
	packed       []float32
	zero         []float32

	// How the batch at work is cut. A slot is one of the heads that are packed together.
	whole   bool // a task is a head: then nothing of it moves between threads
	packing bool // otherwise: tasks pack keys and values; when false, they attend
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
	a.bf16, a.units, a.gemm, a.softmax = d.bf16For(args.DType), a.hd, d.kern.gemm, d.kern.softmax
	if a.bf16 != nil {
		a.units, a.gemm, a.softmax = a.bf16.units(a.hd), a.bf16.gemm, a.bf16.softmax
	}

	// Heads whose packed keys and values fit packMost together run as one batch.
	a.copied = a.bf16 != nil || a.q.rows > inPlaceMost
	group := min(args.Heads, max(1, packMost/a.headLen()))
	for a.first = 0; a.first < args.Heads; a.first += group {
		n := min(group, args.Heads-a.first)
		a.packed = floats(&d.keys, n*a.headLen())

		// Small heads that divide among the threads: each packs and attends to its own.
		if a.whole = n%d.pool.size() == 0 && q.Rows*k.Rows <= wholeMost; a.whole {
			a.groups, a.tasks = a.groupsMost(), 1
			d.pool.run(n, a)
			continue
		}

		// Otherwise all threads pack first, then share the queries.
		a.packing, a.tasks = true, ceil(k.Rows, keyTile)
		d.pool.run(n*a.tasks, a)
		a.splitQueries(n, d.pool.size())
		d.pool.run(n*a.tasks, a)
	}
}

// splitQueries makes tasks of queries, as large as they may be as long as every thread has several:
// 16, so that a thread that is interrupted does not hold up the others.
func (a *attention) splitQueries(heads, threads int) {
	a.packing, a.groups = false, a.groupsMost()
	for ; ; a.groups /= 2 {
		a.tasks = ceil(a.q.rows, a.groups*a.kern.nr)
		if a.groups == 1 || threads == 1 || heads*a.tasks >= 16*threads {
			return
		}
	}
}

// groupsMost is the panels of queries of a task at most.
func (a *attention) groupsMost() int {
	if a.args.Tiles != nil {
		return queriesListed / a.kern.nr
	}
	return queriesMost / a.kern.nr
}

// newAttention checks the arguments of a call.
func newAttention(dst, q, k, v compute.Mat, args compute.AttentionArgs) attention {
	const op = "Attention"
	check.Attention(op, dst, q, k, v, args)
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

// head is what is packed of one head, in the order in which the micro-kernel reads it.
type head struct {
	keys   []float32 // [keys, units], in place or packed
	step   int       // elements from one key to the next
	values []float32 // [tiles, hd, keyTile]; where bf16 is set, keyTile counts units
	bias   []float32 // relative positions from the last to the first, then zeros for missing queries
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

// valuesLen is the length of a tile of values.
func (a *attention) valuesLen() int { return a.hd * a.count(keyTile) }

// biasLen is the length of the packed relative positions.
func (a *attention) biasLen() int {
	if a.bias.rows == 0 {
		return 0
	}
	return a.bias.cols + a.kern.nr
}

// count returns how many units n keys take.
func (a *attention) count(n int) int {
	if a.bf16 != nil {
		return a.bf16.units(n)
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

// do runs a task of the batch that Attention has cut.
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

// packValues transposes n values of a tile into rows of the micro-kernel, whose steps are keys.
// Missing keys of the last tile are zeros.
func (a *attention) packValues(w *worker, to []float32, key, n, col int) {
	rows := w.rowPointers(keyTile)
	for i := range rows {
		rows[i] = &a.zero[0]
		if i < n {
			rows[i] = &a.v.row(key + i)[col]
		}
	}
	if a.bf16 == nil {
		a.kern.transpose(to, keyTile, rows, a.hd)
		return
	}

	turned, step := floats(&w.a, a.hd*keyTile), a.bf16.units(keyTile)
	a.kern.transpose(turned, keyTile, rows, a.hd)
	for i := range a.hd {
		a.bf16.narrow(to[i*step:(i+1)*step], turned[i*keyTile:(i+1)*keyTile])
	}
}

// narrow copies a row to units.
func (a *attention) narrow(to, row []float32) {
	if a.bf16 == nil {
		copy(to, row)
		return
	}
	a.bf16.narrow(to, row)
}

// state is the running softmax of a task's queries, panel by panel. It is a worker's scratch.
type state struct {
	q      []float32 // [groups, units, nr]
	out    []float32 // [groups, hd, nr], not yet divided by the sums
	runs   []running // [groups]
	scores []float32 // [keyTile, nr], then the probabilities
	sum    []float32 // [hd, nr], of one tile of keys; at the end [nr, hd]
}

// attend computes the queries of a task, from query on, for a slot's head: tile of keys by tile,
// scores, probabilities, and what the values add to the output.
func (a *attention) attend(w *worker, slot, query int) {
	s, h, kern := &w.state, a.head(slot), a.kern
	groups := min(a.groups, ceil(a.q.rows-query, kern.nr))
	a.queries(w, s, slot, query, groups)
	s.begin(groups, a.hd, kern)

	at := w.rowPointers(keyTile + roundUp(a.hd, kern.mr))
	keys, values := at[:keyTile], at[keyTile:]
	walk := a.walk(query)
	for i := range walk.count {
		// The pool asks between tasks only, and a task over a million keys takes seconds.
		if a.stop.Stopped() {
			return
		}

		key := walk.at(i) * keyTile
		n := min(keyTile, a.k.rows-key)
		pointAt(keys, h.keys[key*h.step:], h.step, n)
		pointAt(values, h.values[key/keyTile*a.valuesLen():], a.count(keyTile), a.hd)
		for g := range groups {
			q := s.q[g*a.units*kern.nr:][:a.units*kern.nr]
			a.rows(s.scores, keys, n, q)
			a.weights(s, g, h, key, n, query+g*kern.nr)
			out, p := s.out[g*a.hd*kern.nr:], s.scores[:a.count(n)*kern.nr]
			if i == 0 {
				a.rows(out, values, a.hd, p)
				continue
			}

			// Each tile is summed on its own and then added: that keeps long sums exact.
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

// queries packs groups of queries, from query on, into panels. The last query stands for those that
// do not exist.
func (a *attention) queries(w *worker, s *state, slot, query, groups int) {
	nr, col := a.kern.nr, (a.first+slot)*a.hd
	rows, size := w.rowPointers(nr), a.units*nr
	to, buf := floats(&s.q, groups*size), floats(&w.a, size)
	for g := range groups {
		for i := range rows {
			row := a.q.row(min(query+g*nr+i, a.q.rows-1))[col : col+a.hd]
			rows[i] = &row[0]
			if a.bf16 != nil {
				rows[i] = &buf[i*a.units]
				a.bf16.narrow(buf[i*a.units:(i+1)*a.units], row)
			}
		}
		a.kern.transpose(to[g*size:], nr, rows, a.units)
	}
}

// rows computes n rows of a product with a panel: c [n, nr].
func (a *attention) rows(c []float32, at []*float32, n int, panel []float32) {
	nr := a.kern.nr
	a.gemm(c, nr, n, nr, at, 1, len(panel)/nr, panel, prefetch{}, false)
}

// weights turns the scores of n keys, from key on, with the queries of group g into probabilities.
// query is the group's first one.
func (a *attention) weights(s *state, g int, h head, key, n, query int) {
	nr := a.kern.nr

	// The bias is added before scores are scaled, so it is divided by the scale here.
	if key+n == a.k.rows && a.args.LastKeyBias != 0 {
		last, add := s.scores[(n-1)*nr:n*nr], a.args.LastKeyBias/a.args.Scale
		for i := range last {
			last[i] += add
		}
	}

	// Relative positions of the first key; those of each next key begin one element earlier.
	bias, at := []float32(nil), 0
	if a.bias.rows > 0 {
		bias, at = h.bias, a.k.rows-1-key+query
	}
	a.softmax(s.scores, n, a.args.Scale, bias, at, &s.runs[g])
}

// store finishes the queries of group g and writes them to dst.
func (a *attention) store(w *worker, s *state, slot, query, g int) {
	nr, col := a.kern.nr, (a.first+slot)*a.hd
	wide := roundUp(a.hd, a.kern.half)
	out, rows := s.out[g*a.hd*nr:][:a.hd*nr], w.rowPointers(wide)
	a.kern.divide(out, &s.runs[g])
	pointAt(rows, out, nr, a.hd)

	// out is [hd, nr]; a head whose width is no multiple of a vector needs room between.
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

// ceil returns n / per, rounded up.
func ceil(n, per int) int { return (n + per - 1) / per }
