package cpu

import "unsafe"

// gemm4x2 is the plain Go micro-kernel: eight independent sums hide the latency of the addition,
// eight steps of k per turn hide the loop. float32(a*b) forbids fusing.
func gemm4x2(c []float32, ld int, a, b []float32, add bool) {
	var c00, c01, c10, c11, c20, c21, c30, c31 float32
	r0, r1, r2, r3 := c[:2], c[ld:ld+2], c[2*ld:2*ld+2], c[3*ld:3*ld+2]
	if add {
		c00, c01, c10, c11 = r0[0], r0[1], r1[0], r1[1]
		c20, c21, c30, c31 = r2[0], r2[1], r3[0], r3[1]
	}
	turns := len(b) / 16
	as, bs := blocks[[32]float32](a, turns), blocks[[16]float32](b, turns)
	for k := range as {
		x, y := &as[k], &bs[k]
		c00, c01 = c00+float32(x[0]*y[0]), c01+float32(x[0]*y[1])
		c10, c11 = c10+float32(x[1]*y[0]), c11+float32(x[1]*y[1])
		c20, c21 = c20+float32(x[2]*y[0]), c21+float32(x[2]*y[1])
		c30, c31 = c30+float32(x[3]*y[0]), c31+float32(x[3]*y[1])
		c00, c01 = c00+float32(x[4]*y[2]), c01+float32(x[4]*y[3])
		c10, c11 = c10+float32(x[5]*y[2]), c11+float32(x[5]*y[3])
		c20, c21 = c20+float32(x[6]*y[2]), c21+float32(x[6]*y[3])
		c30, c31 = c30+float32(x[7]*y[2]), c31+float32(x[7]*y[3])
		c00, c01 = c00+float32(x[8]*y[4]), c01+float32(x[8]*y[5])
		c10, c11 = c10+float32(x[9]*y[4]), c11+float32(x[9]*y[5])
		c20, c21 = c20+float32(x[10]*y[4]), c21+float32(x[10]*y[5])
		c30, c31 = c30+float32(x[11]*y[4]), c31+float32(x[11]*y[5])
		c00, c01 = c00+float32(x[12]*y[6]), c01+float32(x[12]*y[7])
		c10, c11 = c10+float32(x[13]*y[6]), c11+float32(x[13]*y[7])
		c20, c21 = c20+float32(x[14]*y[6]), c21+float32(x[14]*y[7])
		c30, c31 = c30+float32(x[15]*y[6]), c31+float32(x[15]*y[7])
		c00, c01 = c00+float32(x[16]*y[8]), c01+float32(x[16]*y[9])
		c10, c11 = c10+float32(x[17]*y[8]), c11+float32(x[17]*y[9])
		c20, c21 = c20+float32(x[18]*y[8]), c21+float32(x[18]*y[9])
		c30, c31 = c30+float32(x[19]*y[8]), c31+float32(x[19]*y[9])
		c00, c01 = c00+float32(x[20]*y[10]), c01+float32(x[20]*y[11])
		c10, c11 = c10+float32(x[21]*y[10]), c11+float32(x[21]*y[11])
		c20, c21 = c20+float32(x[22]*y[10]), c21+float32(x[22]*y[11])
		c30, c31 = c30+float32(x[23]*y[10]), c31+float32(x[23]*y[11])
		c00, c01 = c00+float32(x[24]*y[12]), c01+float32(x[24]*y[13])
		c10, c11 = c10+float32(x[25]*y[12]), c11+float32(x[25]*y[13])
		c20, c21 = c20+float32(x[26]*y[12]), c21+float32(x[26]*y[13])
		c30, c31 = c30+float32(x[27]*y[12]), c31+float32(x[27]*y[13])
		c00, c01 = c00+float32(x[28]*y[14]), c01+float32(x[28]*y[15])
		c10, c11 = c10+float32(x[29]*y[14]), c11+float32(x[29]*y[15])
		c20, c21 = c20+float32(x[30]*y[14]), c21+float32(x[30]*y[15])
		c30, c31 = c30+float32(x[31]*y[14]), c31+float32(x[31]*y[15])
	}
	as4, bs2 := blocks[[4]float32](a[32*turns:], len(b)/2-8*turns), b[16*turns:]
	for k := range as4 {
		x, y0, y1 := &as4[k], bs2[2*k], bs2[2*k+1]
		c00, c01 = c00+float32(x[0]*y0), c01+float32(x[0]*y1)
		c10, c11 = c10+float32(x[1]*y0), c11+float32(x[1]*y1)
		c20, c21 = c20+float32(x[2]*y0), c21+float32(x[2]*y1)
		c30, c31 = c30+float32(x[3]*y0), c31+float32(x[3]*y1)
	}
	r0[0], r0[1], r1[0], r1[1] = c00, c01, c10, c11
	r2[0], r2[1], r3[0], r3[1] = c20, c21, c30, c31
}

// blocks views the first n blocks of s as arrays, so that constant indices need no bounds check.
func blocks[A [4]float32 | [16]float32 | [32]float32](s []float32, n int) []A {
	var block A
	if n == 0 {
		return nil
	}
	_ = s[n*len(block)-1]
	return unsafe.Slice((*A)(unsafe.Pointer(&s[0])), n)
}

// interleave4 packs four rows for gemm4x2.
func interleave4(dst []float32, rows [][]float32) {
	r0 := rows[0]
	r1, r2, r3 := rows[1][:len(r0)], rows[2][:len(r0)], rows[3][:len(r0)]
	to := blocks[[4]float32](dst, len(r0))
	for k := range to {
		d := &to[k]
		d[0], d[1], d[2], d[3] = r0[k], r1[k], r2[k], r3[k]
	}
}
