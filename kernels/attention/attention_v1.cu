// Flash attention, v1: on SIMT, the readable reference, for any head dim up to 384. Keys are walked
// in order, 64 at a time, with the running softmax of Milakov and Gimelshein (2018); every tile's
// weighted values are summed on their own before they are added, which keeps long sums exact. See
// README.md.
#include "../include/kernel.h"
#include "walk.h"

namespace attention {

constexpr int QUERIES = 16;             // of a block
constexpr int LANES = 8;                // threads of a query
constexpr int THREADS = QUERIES * LANES;
constexpr int KEYS = 64;                // of a tile; fixes the bits
constexpr int CHUNK = 64;               // columns of keys or values in shared memory
constexpr int PITCH = CHUNK + 1;        // of a row of them
constexpr int EACH = KEYS / LANES;      // keys, or columns of a chunk, of a thread

// Call is what all threads share: shapes, and matrices that begin at the block's head.
struct Call {
  const float *q, *k, *v, *bias;  // [nq, hd], [nk, hd], [nk, hd], [nq+nk-1] or null
  operand::Matrix dst;            // [nq, heads·hd]
  i64 first;                      // of dst's columns, the head's
  i64 ldq, ldk, ldv, nq, nk, hd;
  float scale, last;              // last: added to the logit of the last key
  const int* lists;               // of keys to attend to, see walk.h, or null
};

// Running is the softmax of a thread's query so far.
struct Running {
  float most, sum, shrink;
};

template <bool ROUND> DEVICE float product_input(float x) { return ROUND ? rounded(x) : x; }

// load brings rows [row0, row0+count) and columns [c0, c0+CHUNK) of m [rows, cols] to shared memory,
// rows `pitch` apart; what is not there is zero.
template <bool ROUND>
DEVICE void load(Shared<float> to, int pitch, const float* m, i64 ld, i64 row0, i64 rows, int count,
                 i64 c0, i64 cols) {
  for (int e = threadIdx.x; e < count * CHUNK; e += THREADS) {
    const i64 row = row0 + e / CHUNK, col = c0 + e % CHUNK;
    const float x = row < rows && col < cols ? m[row * ld + col] : 0.0f;
    to[e / CHUNK * pitch + e % CHUNK] = product_input<ROUND>(x);
  }
}

// score adds a chunk of the products of a query with the thread's keys lane, lane+8, ...
DEVICE void score(float* s, Shared<float> q, Shared<float> keys, i64 width) {
  const int lane = threadIdx.x % LANES;
  for (int c = 0; c < width; c++) {
    const float x = q[c];
    for (int m = 0; m < EACH; m++) s[m] = fmaf(x, keys[(lane + LANES * m) * PITCH + c], s[m]);
  }
}

// logits scales scores and adds what is added to them; keys that do not exist become -infinity.
DEVICE void logits(float* s, const Call& a, i64 query, i64 key0) {
  for (int m = 0; m < EACH; m++) {
    const i64 key = key0 + threadIdx.x % LANES + LANES * m;
    s[m] *= a.scale;
    if (a.bias && key < a.nk && query < a.nq) s[m] += a.bias[key - query + a.nq - 1];
    if (key == a.nk - 1) s[m] += a.last;
    if (key >= a.nk) s[m] = -INFINITY;
  }
}

// soften turns a tile's logits into probabilities against the running maximum.
DEVICE void soften(float* s, Running& r) {
  float most = r.most;
  for (int m = 0; m < EACH; m++) most = s[m] > most || s[m] != s[m] ? s[m] : most;
  most = most_over<LANES>(most);
  const float base = fmaxf(most, -3.4028235e38f);  // with every key at -infinity: 0, not NaN
  float total = 0;
  for (int m = 0; m < EACH; m++) {
    s[m] = exponential(s[m] - base);
    total += s[m];
  }
  r.shrink = exponential(r.most - base);
  r.sum = fmaf(r.sum, r.shrink, sum_over<LANES>(total));
  r.most = most;
}

// weigh adds a chunk of the tile's values, weighted, to the thread's columns lane, lane+8, ...
DEVICE void weigh(float* out, Shared<float> p, Shared<float> values, i64 keys, float shrink) {
  const int lane = threadIdx.x % LANES;
  float t[EACH] = {};
  for (int j = 0; j < keys; j++) {
    const float x = p[j];
    for (int m = 0; m < EACH; m++) t[m] = fmaf(x, values[j * PITCH + lane + LANES * m], t[m]);
  }
  for (int m = 0; m < EACH; m++) out[m] = fmaf(out[m], shrink, t[m]);
}

// finish divides by the sum and stores the thread's columns.
template <int WIDEST>
DEVICE void finish(const float* out, const Call& a, i64 query, const Running& r) {
  UNROLL
  for (int m = 0; m < WIDEST / LANES; m++) {
    const i64 col = threadIdx.x % LANES + LANES * m;
    if (col < a.hd) a.dst.put(query, a.first + col, out[m] / r.sum);
  }
}

template <int WIDEST, bool ROUND> DEVICE void attend(const Call& a) {
  SHARED(float, queries, QUERIES * WIDEST);
  SHARED(float, tile, KEYS * PITCH);
  SHARED(float, weights, QUERIES * KEYS);
  const int own = threadIdx.x / LANES, lane = threadIdx.x % LANES;
  const i64 first = (i64)blockIdx.x * QUERIES, query = first + own;
  const bool idle = query >= a.nq;
  float out[WIDEST / LANES] = {};
  Running r = {-INFINITY, 0, 0};
  for (int c = 0; c < WIDEST / CHUNK; c++)
    load<ROUND>(queries + c * CHUNK, WIDEST, a.q, a.ldq, first, a.nq, QUERIES, c * CHUNK, a.hd);
  const Walk<KEYS> walk = walk_of<KEYS>(a.lists, first, a.nk);
  for (int n = 0; n < walk.count; n++) {
    const i64 key = walk.at(n) * KEYS;
    float s[EACH] = {};
    UNROLL
    for (int c = 0; c < WIDEST / CHUNK; c++) {
      if (c * CHUNK >= a.hd) break;
      load<ROUND>(tile, PITCH, a.k, a.ldk, key, a.nk, KEYS, c * CHUNK, a.hd);
      __syncthreads();
      const i64 width = a.hd - c * CHUNK < CHUNK ? a.hd - c * CHUNK : CHUNK;
      if (!idle) score(s, queries + own * WIDEST + c * CHUNK, tile, width);
      __syncthreads();
    }
    logits(s, a, query, key);
    soften(s, r);
    for (int m = 0; m < EACH; m++)
      weights[own * KEYS + lane + LANES * m] = product_input<ROUND>(s[m]);
    UNROLL
    for (int c = 0; c < WIDEST / CHUNK; c++) {
      if (c * CHUNK >= a.hd) break;
      load<ROUND>(tile, PITCH, a.v, a.ldv, key, a.nk, KEYS, c * CHUNK, a.hd);
      __syncthreads();
      const i64 keys = a.nk - key < KEYS ? a.nk - key : KEYS;
      if (!idle) weigh(out + c * EACH, weights + own * KEYS, tile, keys, r.shrink);
      __syncthreads();
    }
  }
  if (!idle) finish<WIDEST>(out, a, query, r);
}

// ATTENTION defines the kernel for head dims up to WIDEST. q, dst: [nq, heads·hd]; k, v:
// [nk, heads·hd]; bias: [heads, nq+nk-1] or null; lists: see walk.h, or null; form: of dst, see
// ../include/operand.h. grid: (ceil(nq / 16), heads)
#define ATTENTION(name, WIDEST, ROUND)                                                            \
  KERNEL(THREADS, name)                                                                           \
  (char* dst, i64 ld, i64 form, const float* q, i64 ldq, const float* k, i64 ldk, const float* v, \
   i64 ldv, i64 nq, i64 nk, i64 hd, double scale, double last, const float* bias, i64 ld_bias,    \
   const int* lists) {                                                                            \
    const i64 head = blockIdx.y, col = head * hd;                                                 \
    attend<WIDEST, ROUND>(Call{q + col, k + col, v + col, bias ? bias + head * ld_bias : bias,    \
                               {dst, ld, form}, col, ldq, ldk, ldv, nq, nk, hd, (float)scale,     \
                               (float)last, lists});                                              \
  }                                                                                               \
  LAUNCHABLE(THREADS, name)

ATTENTION(attention_v1_64, 64, false)
ATTENTION(attention_v1_128, 128, false)
ATTENTION(attention_v1_384, 384, false)
ATTENTION(attention_v1_64_bf16, 64, true)
ATTENTION(attention_v1_128_bf16, 128, true)
ATTENTION(attention_v1_384_bf16, 384, true)

}  // namespace attention
