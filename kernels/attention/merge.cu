// Merging of attention over parts of the keys: each part has its result and the logarithm of the
// sum of the exponentials of its logits (lse), and the whole is their mean, weighted by exp(lse), as
// in the ring attention of Liu, Zaharia and Abbeel (2023). See README.md.
#include "../include/kernel.h"

namespace attention_merge {

constexpr int ROWS = 4;  // pairs of a query and a head of a block, a warp each
constexpr int THREADS = 32 * ROWS;

// term is a part's share of an element; a part that weighs nothing may hold anything.
DEVICE float term(float x, float weight) { return weight == 0.0f ? 0.0f : x * weight; }

// attention_merge merges (o, l) into (dst, lse). dst, o: [nq, heads·hd]; lse, l: [nq, heads].
// grid: ceil(nq·heads / 4)
KERNEL(THREADS, attention_merge)
(float* dst, i64 ld, float* lse, i64 ld_lse, const float* o, i64 ldo, const float* l, i64 ld_l,
 i64 nq, i64 heads, i64 hd) {
  const i64 pair = (i64)blockIdx.x * ROWS + threadIdx.x / 32;
  const i64 query = pair / heads, head = pair % heads;
  const bool idle = query >= nq;
  const float a = idle ? 0.0f : lse[query * ld_lse + head];
  const float b = idle ? 0.0f : l[query * ld_l + head];
  __syncthreads();  // all lanes have read lse before one writes it
  if (idle) return;
  const float most = b > a || b != b ? b : a;
  const float base = fmaxf(most, -3.4028235e38f);  // with both at -infinity: 0, not NaN
  const float u = exponential(a - base), v = exponential(b - base), sum = u + v;
  for (i64 j = threadIdx.x % 32; j < hd; j += 32) {
    float* to = dst + query * ld + head * hd + j;
    *to = (term(*to, u) + term(o[query * ldo + head * hd + j], v)) / sum;
  }
  if (threadIdx.x % 32 == 0) lse[query * ld_lse + head] = most + logarithm(sum);
}
LAUNCHABLE(THREADS, attention_merge)

}  // namespace attention_merge
