// Functions of one number. All but power, reciprocal and what is made of them are computed the same
// way, to the last bit, on a GPU and on the host: multiplications are fused with additions exactly
// where fmaf says so.
#pragma once

// exponential is e^x to about an ulp over the whole range: x = n·ln 2 + r (Cody and Waite, 1980),
// a polynomial for e^r on |r| <= ln2/2 fitted for least maximal relative error, and two steps of
// scaling, so that subnormal results are right.
DEVICE float exponential(float x) {
  if (!(x > -104.0f)) return x != x ? x : 0.0f;
  if (x > 89.0f) return INFINITY;
  float n = rintf(x * 1.44269504f);
  float r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, x));
  float y = fmaf(0.0013814602280035615f, r, 0.008368715643882751f);
  y = fmaf(y, r, 0.04166838899254799f);
  y = fmaf(y, r, 0.1666652113199234f);
  y = fmaf(y, r, 0.4999999403953552f);
  y = fmaf(r * r, y, r) + 1.0f;
  int whole = (int)n, half = whole / 2;
  return y * float_of((uint32_t)(half + 127) << 23) * float_of((uint32_t)(whole - half + 127) << 23);
}

// power is 2^x, as fast as the GPU has it (two units in the last place; tiny results are 0).
DEVICE float power(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  const float y = exp2f(x);
  return y < 1.1754944e-38f ? 0.0f : y;
#endif
}

// The values of compute.Activation.
enum { IDENTITY = 0, GELU_TANH = 1, SILU = 2, GELU = 3 };

// gelu is x·Φ(x), with Φ the normal distribution: a tail, or what a tail leaves, so that nothing
// cancels. The tail is erfc(z) = t·P(t)·exp(-z²) with z = |x|/√2, t = 1/(1+z/2), and a polynomial P
// that was fitted to within 3e-7.
DEVICE float gelu_tail(float t) {
  float p = fmaf(-0.018740158528089523f, t, 0.03467189893126488f);
  p = fmaf(p, t, 0.08509963750839233f);
  p = fmaf(p, t, -0.25181689858436584f);
  p = fmaf(p, t, 0.10976254194974899f);
  p = fmaf(p, t, 0.048196855932474136f);
  p = fmaf(p, t, 0.18228067457675934f);
  p = fmaf(p, t, 0.24634039402008057f);
  p = fmaf(p, t, 0.2821102440357208f);
  return fmaf(p, t, 0.28209471702575684f);
}

DEVICE float gelu(float x) {
  const float t = 1.0f / fmaf(0.35355339059327373f, fabsf(x), 1.0f);
  const float tail = 0.5f * t * gelu_tail(t) * exponential(-0.5f * x * x);
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

// activation computes gelu, x·sigmoid(x), or x·sigmoid(2u) with u = sqrt(2/pi)(x+0.044715x³), which
// is 0.5x(1+tanh(u)) and cancels nowhere.
DEVICE float activation(float x, i64 act) {
  if (act == IDENTITY) return x;
  if (act == GELU) return gelu(x);
  float z = x;
  if (act == GELU_TANH) z = 1.5957691216057308f * fmaf(0.044715f, x * x * x, x);
  return x / (1.0f + exponential(-z));
}

// reciprocal is 1/x, as fast as the GPU has it (one unit in the last place; of tiny x it is
// infinite).
DEVICE float reciprocal(float x) {
#ifdef __CUDACC__
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return 1.0f / x;
#endif
}

// quick_gelu and quick_activation are gelu and activation with the hardware's powers and
// reciprocals: a third of the instructions and no branch, so that a thread has many under way. They
// differ from them by less than 1e-6 of |x|. v2 and v3 have them: the rounding of tensor cores is
// up to the hardware as well.
DEVICE float quick_gelu(float x) {
  const float t = reciprocal(fmaf(0.35355339059327373f, fabsf(x), 1.0f));
  const float tail = 0.5f * t * gelu_tail(t) * power(-0.72134752f * x * x);
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

template <int ACT> DEVICE float quick_activation(float x) {
  if (ACT == IDENTITY) return x;
  if (ACT == GELU) return quick_gelu(x);
  const float z = ACT == GELU_TANH ? 1.5957691216057308f * fmaf(0.044715f, x * x * x, x) : x;
  return x * reciprocal(1.0f + power(-1.44269504f * z));
}

// sum_over and most_over return the sum and the largest of 2, 4, 8, 16 or 32 neighbouring lanes,
// the same bits in each of them: a butterfly, in whose every step both sides add the same two
// numbers. A NaN goes through both.
template <int LANES> DEVICE float sum_over(float x) {
  for (int lanes = LANES / 2; lanes > 0; lanes /= 2) x += shuffle_xor(x, lanes);
  return x;
}

template <int LANES> DEVICE float most_over(float x) {
  for (int lanes = LANES / 2; lanes > 0; lanes /= 2) {
    const float other = shuffle_xor(x, lanes);
    x = other > x || other != other ? other : x;
  }
  return x;
}
