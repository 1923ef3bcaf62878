package cpu

import (
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/compute"
)

const (
	keyTile   = 64      // keys between two rescalings of the running softmax; fixes the bits
	queryTile = 32      // queries of a task
	packKeys  = 256     // keys of a packing task
	packMost  = 8 << 20 // packed elements of keys and values that several heads may share
)

// attention is one call: heads of width hd, their keys and values packed for the micro-kernel.
type attention struct {
	dst, q, k, v view
	bias         *view
	args         compute.AttentionArgs
	kern         *kernels
	hd           int // width of a head
	wide         int // hd rounded up to nr: the width of an accumulator row
	keys         int // number of keys, rounded up to nr
	packed       []float32
}

// Attention computes softmax(scale·q·kᵀ + bias)·v head by head; see compute.Device. Heads whose
// packed keys fit packMost elements run together, wider ones in turn.
func (d *Device) Attention(dst, q, k, v compute.Mat, args compute.AttentionArgs) {
	a := newAttention(dst, q, k, v, args)
	a.kern = &d.kern
	a.wide, a.keys = roundUp(a.hd, d.kern.nr), roundUp(k.Rows, d.kern.nr)
	group := min(args.Heads, max(1, packMost/a.headLen()))
	tiles := (q.Rows + queryTile - 1) / queryTile
	chunks := (k.Rows + packKeys - 1) / packKeys
	for h := 0; h < args.Heads; h += group {
		n := min(group, args.Heads-h)
		a.packed = floats(&d.keys, n*a.headLen())
		d.pool.run(n*chunks, func(_ *worker, task int) {
			a.pack(h, task/chunks, task%chunks*packKeys)
		})
		d.pool.run(n*tiles, func(w *worker, task int) {
			a.tile(w, h, task/tiles, task%tiles*queryTile)
		})
	}
}

func newAttention(dst, q, k, v compute.Mat, args compute.AttentionArgs) *attention {
	const op = "Attention"
	if args.Heads < 1 || q.Cols%args.Heads != 0 || q.Cols == 0 || k.Rows < 1 {
		panic(fmt.Sprintf("cpu: Attention: %d heads over width %d, %d keys",
			args.Heads, q.Cols, k.Rows))
	}
	apart(op, "dst", "q", dst, q)
	apart(op, "dst", "k", dst, k)
	apart(op, "dst", "v", dst, v)
	a := &attention{
		q: viewOf(op, "q", q), k: sized(op, "k", k, k.Rows, q.Cols),
		v: sized(op, "v", v, k.Rows, q.Cols), dst: sized(op, "dst", dst, q.Rows, q.Cols),
		args: args, hd: q.Cols / args.Heads,
	}
	if args.RelBias != nil {
		b := sized(op, "RelBias", *args.RelBias, args.Heads, max(0, q.Rows+k.Rows-1))
		a.bias = &b
	}
	return a
}

// headLen is the length of one head's packed keys and values.
func (a *attention) headLen() int { return a.keys * (a.hd + a.wide) }

// head returns the packed keys, panels [hd, nr] of nr keys, and the packed values, panels
// [keys, nr] of nr columns.
func (a *attention) head(slot int) (k, v []float32) {
	p := a.packed[slot*a.headLen() : (slot+1)*a.headLen()]
	return p[:a.keys*a.hd], p[a.keys*a.hd:]
}

// pack packs keys [key, key+packKeys) of head first+slot.
func (a *attention) pack(first, slot, key int) {
	pk, pv := a.head(slot)
	nr, col := a.kern.nr, (first+slot)*a.hd
	for j := key; j < min(key+packKeys, a.keys); j++ {
		to := pk[j/nr*nr*a.hd+j%nr:]
		if j >= a.k.rows { // rounding: the score is computed and never read
			for c := range a.hd {
				to[c*nr] = 0
			}
			continue
		}
		for c, x := range a.k.row(j)[col : col+a.hd] {
			to[c*nr] = x
		}
		row := a.v.row(j)[col : col+a.hd]
		for c := range a.wide {
			x := float32(0)
			if c < a.hd {
				x = row[c]
			}
			pv[(c/nr*a.keys+j)*nr+c%nr] = x
		}
	}
}

// state is the running softmax of a tile of queries.
type state struct {
	rows       int       // queries of the tile
	high       int       // rows, rounded up to mr
	q          []float32 // packed queries, scaled
	scores     []float32 // [high, keyTile]
	probs      []float32 // packed probabilities of mr queries
	part       []float32 // [mr, wide], the values of one tile of keys
	out        []float32 // [high, wide], not yet divided by sums
	most, sums []float32 // [high], the running maximum and sum
	shrink     []float32 // [high], what the last tile of keys made of the earlier ones
}

// tile computes queries [query, query+queryTile) of head first+slot.
func (a *attention) tile(w *worker, first, slot, query int) {
	s := a.begin(w, first+slot, query)
	pk, pv := a.head(slot)
	for j0 := 0; j0 < a.k.rows; j0 += keyTile {
		j1 := min(j0+keyTile, a.k.rows)
		for r := 0; r < s.high; r += a.kern.mr {
			a.score(s, pk, r, j0, j1)
			for i := r; i < min(r+a.kern.mr, s.rows); i++ {
				a.soften(s, first+slot, query+i, i, j0, j1)
			}
			a.weigh(w, s, pv, r, j0, j1)
		}
	}
	col := (first + slot) * a.hd
	for i := range s.rows {
		to, from := a.dst.row(query + i)[col:col+a.hd], s.out[i*a.wide:]
		for c := range to {
			to[c] = from[c] / s.sums[i]
		}
	}
}

// begin packs the scaled queries of a tile and clears its running softmax.
func (a *attention) begin(w *worker, head, query int) *state {
	s := &w.state
	mr := a.kern.mr
	s.rows = min(queryTile, a.q.rows-query)
	s.high = roundUp(s.rows, mr)
	s.q = floats(&s.q, s.high*a.hd)
	s.scores = floats(&s.scores, s.high*keyTile)
	s.probs = floats(&s.probs, mr*keyTile)
	s.part = floats(&s.part, mr*a.wide)
	s.out = floats(&s.out, s.high*a.wide)
	s.shrink = floats(&s.shrink, s.high)
	s.most = floats(&s.most, s.high)
	s.sums = floats(&s.sums, s.high)
	clear(s.q)
	clear(s.out)
	clear(s.sums)
	for i := range s.most {
		s.most[i] = float32(math.Inf(-1))
	}
	for i := range s.rows {
		to := s.q[i/mr*mr*a.hd+i%mr:]
		for c, x := range a.q.row(query + i)[head*a.hd : (head+1)*a.hd] {
			to[c*mr] = x * a.args.Scale
		}
	}
	return s
}

// score computes the scores of mr queries from row r and keys [j0, j1).
func (a *attention) score(s *state, pk []float32, r, j0, j1 int) {
	nr := a.kern.nr
	q := s.q[r*a.hd : (r+a.kern.mr)*a.hd]
	for j := j0; j < j1; j += nr {
		a.kern.gemm(s.scores[r*keyTile+j-j0:], keyTile, q, pk[j*a.hd:(j+nr)*a.hd], false)
	}
}

// soften turns the scores of row i, query at, into probabilities against the running maximum and
// rescales what the row has so far.
func (a *attention) soften(s *state, head, at, i, j0, j1 int) {
	p := s.scores[i*keyTile : i*keyTile+j1-j0]
	if a.bias != nil {
		addTo(p, a.bias.row(head)[j0-at+a.q.rows-1:])
	}
	if j1 == a.k.rows {
		p[len(p)-1] += a.args.LastKeyBias
	}
	most := s.most[i]
	for _, x := range p {
		if x > most { // a NaN passes and spoils the sum, as it should
			most = x
		}
	}
	base := most
	if math.IsInf(float64(most), -1) {
		base = 0 // every key so far is masked: probabilities 0, not exp(-Inf+Inf)
	}
	shrink := exp(s.most[i] - base)
	s.most[i], s.shrink[i] = most, shrink
	s.sums[i] = float32(s.sums[i]*shrink) + expRow(p, base)
}

// expRow computes p = exp(p-base) and returns the sum, in four lanes that are added pairwise.
func expRow(p []float32, base float32) float32 {
	expAll(p, base)
	var t0, t1, t2, t3 float32
	for ; len(p) >= 4; p = p[4:] {
		t0, t1, t2, t3 = t0+p[0], t1+p[1], t2+p[2], t3+p[3]
	}
	for _, x := range p {
		t0 += x
	}
	return (t0 + t1) + (t2 + t3)
}

// weigh adds the values of keys [j0, j1), weighted by the probabilities of mr queries from row
// r. A tile's sum is formed on its own: it keeps long sums exact.
func (a *attention) weigh(w *worker, s *state, pv []float32, r, j0, j1 int) {
	mr, nr := a.kern.mr, a.kern.nr
	rows := w.lanes(mr)
	for i := range rows {
		rows[i] = zeros[:j1-j0]
		if r+i < s.rows {
			rows[i] = s.scores[(r+i)*keyTile:][:j1-j0]
		}
	}
	probs := s.probs[:mr*(j1-j0)]
	a.kern.interleave(probs, rows)
	for c := 0; c < a.wide; c += nr {
		v := pv[(c/nr*a.keys+j0)*nr : (c/nr*a.keys+j1)*nr]
		a.kern.gemm(s.part[c:], a.wide, probs, v, false)
	}
	for i := r; i < min(r+mr, s.rows); i++ {
		rescale(s.out[i*a.wide:(i+1)*a.wide], s.shrink[i], s.part[(i-r)*a.wide:])
	}
}

// rescale computes y = y*shrink + add.
func rescale(y []float32, shrink float32, add []float32) {
	add = add[:len(y)]
	for c := range y {
		y[c] = float32(y[c]*shrink) + add[c]
	}
}
