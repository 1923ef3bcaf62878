//go:build cuda

package cuda

import (
	"fmt"

	"github.com/longtake/longtake/internal/compute"
)

var _ compute.PartialAttention = (*Device)(nil)

// storesSums lists the kernels of attention that can store the logarithms of their sums.
var storesSums = []kernel{attention64, attention128, attention384, attention64BF16,
	attention128BF16, attention384BF16, attentionV3Of64, attentionV3Of128}

// AttentionPart is Attention over some of the keys, with the logarithms of the sums that a merge
// needs; see compute.PartialAttention.
func (d *Device) AttentionPart(dst, lse, q, k, v compute.Mat, a compute.AttentionArgs) {
	const op = "AttentionPart"
	apart(op, "lse", "dst", lse, dst)
	d.attend(op, dst, q, k, v, a, sized(op, "lse", lse, q.Rows, a.Heads))
}

// MergeAttention merges the part (o, l) into (dst, lse); see compute.PartialAttention.
func (d *Device) MergeAttention(dst, lse, o, l compute.Mat) {
	const op = "MergeAttention"
	if lse.Cols < 1 || dst.Cols%lse.Cols != 0 {
		panic(fmt.Sprintf("cuda: %s: %d heads over width %d", op, lse.Cols, dst.Cols))
	}
	apart(op, "dst", "o", dst, o)
	apart(op, "lse", "l", lse, l)
	out, sums := viewOf(op, "dst", dst), sized(op, "lse", lse, dst.Rows, lse.Cols)
	in, other := sized(op, "o", o, dst.Rows, dst.Cols), sized(op, "l", l, dst.Rows, lse.Cols)
	d.enter(op)
	defer d.leave()
	d.launch(attentionMerge, ceil(out.rows*sums.cols, warps), 1, ptr(out), num(out.stride),
		ptr(sums), num(sums.stride), ptr(in), num(in.stride), ptr(other), num(other.stride),
		num(out.rows), num(sums.cols), num(out.cols/sums.cols))
}
