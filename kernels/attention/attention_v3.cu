// Flash attention, v3, on Hopper. The ideas are FlashAttention-3's (Shah, Bikshandi, Zhang, Thakkar,
// Ramani and Dao, 2024): one warpgroup loads, two multiply 64 queries each and take turns, so that the
// exponentials of one overlap the products of the other, and products with the next keys overlap the
// exponentials of these. Probabilities go from registers into the second product. See README.md.
#include "../include/cluster.h"
#include "heads.h"
#include "result.h"
#include "walk.h"

namespace attention3 {

constexpr int QUERIES = 64;                // of a consumer
constexpr int CONSUMERS = 2;
constexpr int BLOCKS = 2;                  // of a cluster: they may share keys and values
constexpr int THREADS = (CONSUMERS + 1) * warpgroup::THREADS;
constexpr int KEYS = 192;                  // of a tile; fixes the bits
constexpr int STAGES = 2;                  // tiles of keys, and of values, in shared memory
constexpr float LAG = 8;                   // see soften
constexpr float LOG2E = 1.4426950408889634f;

// Call is what all threads share. k: the head's panels of `pitch` rows; v: its transposed panels.
struct Call {
  const float* q;           // [nq, hd]
  const bf16 *k, *v;
  attention::Result dst;    // [nq, hd]
  i64 ldq, pitch, nq, nk, hd;
  float scale, last;        // last: added to the logit of the last key
  attention::Walk<KEYS> walk;
  int sharers;              // blocks that walk together: 1, or all of the cluster
  DEVICE_MEMBER int tiles() const { return walk.count; }
};

// Ring is where queries, keys and values are in shared memory.
template <int WIDE> struct Ring {
  static constexpr int PANELS = WIDE / panels::COLS;
  static constexpr int QUERY_PANEL = QUERIES * panels::ROW_BYTES, QUERY_BYTES = PANELS * QUERY_PANEL;
  static constexpr int KEY_PANEL = KEYS * panels::ROW_BYTES, KEY_BYTES = PANELS * KEY_PANEL;
  static constexpr int VALUE_PANEL = WIDE * panels::ROW_BYTES;
  static constexpr int VALUE_BYTES = KEYS / panels::COLS * VALUE_PANEL;
  static constexpr int PINS = CONSUMERS * QUERY_BYTES + STAGES * (KEY_BYTES + VALUE_BYTES);
  static constexpr int BYTES = PINS + CONSUMERS * 4 * 8;  // see pin
  uint32_t tiles;
  mbarrier::Row full_k, empty_k, full_v, empty_v;
  DEVICE_MEMBER uint32_t q(int consumer) const { return tiles + consumer * QUERY_BYTES; }
  DEVICE_MEMBER uint32_t k(int stage) const { return q(CONSUMERS) + stage * KEY_BYTES; }
  DEVICE_MEMBER uint32_t v(int stage) const { return k(STAGES) + stage * VALUE_BYTES; }
};
typedef mbarrier::Turn<STAGES> Turn;

// bring begins a copy to the block, or to all that share.
template <int SHARERS> DEVICE void bring(uint32_t to, const bf16* from, uint32_t n, mbarrier::One b) {
  if (SHARERS == 1) bulk::copy(to, from, n, b);
  else bulk::copy_to_all(to, from, n, b, (1 << SHARERS) - 1);
}

// load brings tile after tile of keys and values, as stages become empty. One thread. Of SHARERS
// blocks each brings a part of the rows of every panel, to all of them.
template <int WIDE, int SHARERS> DEVICE void load(const Call& c, const Ring<WIDE>& r) {
  typedef Ring<WIDE> R;
  constexpr int KEY_PART = R::KEY_PANEL / SHARERS, VALUE_PART = R::VALUE_BYTES / SHARERS;
  const int part = SHARERS == 1 ? 0 : cluster::rank<BLOCKS>();
  const bf16 *keys = c.k + part * (KEY_PART / 2), *values = c.v + part * (VALUE_PART / 2);
  Turn t;
  for (int n = 0; n < c.tiles(); n++, t.next()) {
    const i64 tile = c.walk.at(n);
    const mbarrier::One k = mbarrier::at(r.full_k, t.stage), v = mbarrier::at(r.full_v, t.stage);
    mbarrier::wait(mbarrier::at(r.empty_k, t.stage), t.parity ^ 1);
    mbarrier::expect(k, R::KEY_BYTES);
    ROLLED  // the thread has 24 registers
    for (int p = 0; p < R::PANELS; p++)
      bring<SHARERS>(r.k(t.stage) + p * R::KEY_PANEL + part * KEY_PART,
                     keys + (p * c.pitch + tile * KEYS) * panels::COLS, KEY_PART, k);
    mbarrier::wait(mbarrier::at(r.empty_v, t.stage), t.parity ^ 1);
    mbarrier::expect(v, R::VALUE_BYTES);
    bring<SHARERS>(r.v(t.stage) + part * VALUE_PART, values + tile * KEYS * WIDE, VALUE_PART, v);
  }
}

// load_queries rounds a consumer's queries and lays them out as panels; what is not there is zero.
// Where whole pieces can be read, a thread has all of its own under way before it needs the first.
template <int WIDE> DEVICE void load_queries(const Call& c, uint32_t to, i64 first) {
  constexpr int PIECES = WIDE / panels::PIECE, STEP = warpgroup::THREADS / PIECES, ROUNDS = QUERIES / STEP;
  const int piece = threadIdx.x % PIECES, row = threadIdx.x % warpgroup::THREADS / PIECES;
  const i64 col = piece * panels::PIECE, left = c.nq - first - row;
  const float* from = c.q + (first + row) * c.ldq;
  const uint32_t at = to + piece / panels::PIECES * Ring<WIDE>::QUERY_PANEL;
  const auto put = [=](int n, const Sixteen& s) {
    store(at + wgmma::swizzled((row + n * STEP) * panels::ROW_BYTES + piece % panels::PIECES * 16), s);
  };

  if (((i64)c.q | c.ldq * 4) % 16 == 0 && c.hd % panels::PIECE == 0) {
    Sixteen s[ROUNDS];
    UNROLL
    for (int n = 0; n < ROUNDS; n++) {
      const bool there = n * STEP < left && col < c.hd;
      s[n] = eight_from(there ? from + n * STEP * c.ldq + col : c.q);
      if (!there) s[n] = {};
    }
    UNROLL
    for (int n = 0; n < ROUNDS; n++) put(n, s[n]);
  } else {
    ROLLED
    for (int n = 0; n < ROUNDS; n++)
      put(n, rounded_eight(from + n * STEP * c.ldq, col, n * STEP < left ? c.hd : 0));
  }
  bulk::fence();
}

typedef wgmma::Sums<KEYS> Scores;

// Probabilities are a consumer's, as fragments of 16 keys.
struct Probabilities { wgmma::Fragment of[KEYS / 16]; };

DEVICE void hold(Probabilities& p) {
  UNROLL
  for (int i = 0; i < KEYS / 16; i++) wgmma::hold(p.of[i]);
}

// score begins the products of the consumer's queries with a tile of keys.
template <int WIDE> DEVICE void score(Scores& s, uint32_t q, uint32_t k) {
  const uint64_t a = wgmma::panel(q, 0), b = wgmma::panel(k, 0);
  UNROLL
  for (int d = 0; d < WIDE; d += 16) {
    const int panel = d / panels::COLS, byte = d % panels::COLS * 2;
    wgmma::multiply<KEYS>(s, wgmma::further(a, panel * Ring<WIDE>::QUERY_PANEL + byte),
                          wgmma::further(b, panel * Ring<WIDE>::KEY_PANEL + byte), d > 0);
  }
  wgmma::commit();
}

// weigh begins to add a tile of values, weighted.
template <int WIDE> DEVICE void weigh(wgmma::Sums<WIDE>& out, Probabilities& p, uint32_t v) {
  const uint64_t b = wgmma::panel(v, 0);
  UNROLL
  for (int k = 0; k < KEYS; k += 16) {
    const int panel = k / panels::COLS, byte = k % panels::COLS * 2;
    wgmma::multiply<WIDE>(out, p.of[k / 16],
                          wgmma::further(b, panel * Ring<WIDE>::VALUE_PANEL + byte));
  }
  wgmma::commit();
}

// Running is the softmax of a thread's two rows so far. Sums are of the thread's own keys.
struct Running {
  float most[2], sum[2], shrink[2];
};

// limit adds what is added to the last key's score, and takes keys away that do not exist, in the
// last tile of the walk.
DEVICE void limit(Scores& s, const Call& c) {
  const float more = c.last / c.scale;
  const int last = (int)(c.nk - 1 - c.walk.at(c.tiles() - 1) * KEYS) - threadIdx.x % 4 * 2;
  UNROLL
  for (int e = 0; e < KEYS / 2; e++) {
    const int key = e / 4 * 8 + e % 2;
    if (key == last) s[e] += more;
    if (key > last) s[e] = -INFINITY;
  }
}

// most_of returns the largest of a thread's scores of row i, and `most`. All of them are looked at
// before the row's first exponential, in chains side by side, as one would wait for itself.
DEVICE float most_of(Scores& s, int i, float most) {
  float chain[] = {most, -INFINITY};
  UNROLL
  for (int n = 0; n < KEYS / 4; n++)
    chain[n % 2] = fmaxf(chain[n % 2], s[n / 2 * 4 + 2 * i + n % 2]);
  return fmaxf(chain[0], chain[1]);
}

// soften turns scores into probabilities against the running maximum. That may lag behind by a factor
// of 2^LAG (FlashAttention-4): probabilities are as exact in bfloat16 above 1 as below, and what was
// added before need not shrink for little.
DEVICE void soften(Scores& s, Running& r, const Call& c) {
  const float scale = c.scale * LOG2E;
  float most[2];
  UNROLL
  for (int i = 0; i < 2; i++) most[i] = most_over<4>(most_of(s, i, r.most[i]));
  UNROLL
  for (int i = 0; i < 2; i++) {
    const bool stays = !((most[i] - r.most[i]) * scale > LAG);
    if (stays) most[i] = r.most[i];
    const float base = fmaxf(most[i], -3.4028235e38f / scale) * scale;  // all at -infinity: not NaN
    float total = 0;
    UNROLL
    for (int e = 2 * i; e < KEYS / 2; e += e % 2 ? 3 : 1) {
      s[e] = power(fmaf(s[e], scale, -base));
      total += s[e];
    }
    // Exactly 1 where the maximum stays: what rounding `base` costs would add up over the tiles.
    r.shrink[i] = stays ? 1.0f : power(fmaf(r.most[i], scale, -base));
    r.sum[i] = fmaf(r.sum[i], r.shrink[i], total);
    r.most[i] = most[i];
  }
}

// keep rounds probabilities to what products take.
DEVICE void keep(Probabilities& p, Scores& s) {
  UNROLL
  for (int i = 0; i < KEYS / 4; i++) p.of[i / 4][i % 4] = pair(s[2 * i], s[2 * i + 1]);
}

// shrink weighs what was added before against the new maximum. In most tiles there is none in any row
// of a warp, and times 1 would change no bit.
template <int WIDE> DEVICE void shrink(wgmma::Sums<WIDE>& out, const Running& r) {
  if (!any_lane(r.shrink[0] != 1.0f || r.shrink[1] != 1.0f)) return;
  UNROLL
  for (int e = 0; e < WIDE / 2; e++) out[e] *= r.shrink[e / 2 % 2];
}

template <int WIDE, attention::Way WAY>
DEVICE void put_all(wgmma::Sums<WIDE>& out, const Call& c, i64 first) {
  const int thread = threadIdx.x % warpgroup::THREADS, lane = thread % 32;
  UNROLL
  for (int e = 0; e < WIDE / 2; e += 2) {
    const i64 row = first + thread / 32 * 16 + lane / 4 + e / 2 % 2 * 8;
    if (row < c.nq) c.dst.put<WAY>(row, e / 4, lane % 4, out[e], out[e + 1]);
  }
}

// finish divides by the sums and stores.
template <int WIDE>
DEVICE void finish(wgmma::Sums<WIDE>& out, Running& r, const Call& c, i64 first) {
  UNROLL
  for (int i = 0; i < 2; i++) r.sum[i] = 1.0f / sum_over<4>(r.sum[i]);
  UNROLL
  for (int e = 0; e < WIDE / 2; e++) out[e] *= r.sum[e / 2 % 2];
  const attention::Way way = c.dst.way();
  if (way == attention::PIECE) put_all<WIDE, attention::PIECE>(out, c, first);
  else if (way == attention::TWO) put_all<WIDE, attention::TWO>(out, c, first);
  else put_all<WIDE, attention::ONE>(out, c, first);
}

// Giver is how a thread gives stages back: in every warp as many do as blocks share them, each to one.
struct Giver {
  mbarrier::Peer to;
  bool gives;
};

DEVICE Giver giver(const Call& c, mbarrier::Row row) {
  const int lane = threadIdx.x % 32, other = lane % BLOCKS;
  return {mbarrier::peer(row, c.sharers == 1 ? cluster::rank<BLOCKS>() : other), lane < c.sharers};
}

DEVICE void release(const Giver& g, mbarrier::Row row, const Turn& t) {
  if (g.gives) mbarrier::arrive_there(mbarrier::at(row, t.stage), g.to);
}

// Named barriers: a consumer's turn to begin products, and its own threads'.
DEVICE void my_turn(int consumer) { warpgroup::sync(1 + consumer, CONSUMERS * warpgroup::THREADS); }
DEVICE void your_turn(int consumer) {
  warpgroup::arrive(2 - consumer, CONSUMERS * warpgroup::THREADS);
}
DEVICE void together(int consumer) { warpgroup::sync(3 + consumer, warpgroup::THREADS); }

// pin keeps the wait for products behind the exponentials. Those need no result of it, so ptxas would
// move it to their front, and nothing would run beside the products; but it moves no wait across a
// store, and this one stores what needs all of them. Nobody reads it.
template <int WIDE> DEVICE void pin(const Ring<WIDE>& r, const Running& run) {
  if (threadIdx.x % 32 == 0)
    store_two(r.tiles + Ring<WIDE>::PINS + threadIdx.x / 32 * 8, run.sum[0], run.sum[1]);
}

// step is a tile of keys after the first one: products with them and, behind those, with the values
// of the tile before. The exponentials overlap the latter, and the other consumer's products. Only
// the LAST of a walk can have the last key: a kind of its own, so that the others need not ask.
template <int WIDE, bool LAST>
DEVICE void step(Scores& s, wgmma::Sums<WIDE>& out, Probabilities& p, Running& run, const Call& c,
                 const Ring<WIDE>& r, const Giver& g, int consumer, const Turn& key,
                 const Turn& value) {
  mbarrier::wait(mbarrier::at(r.full_k, key.stage), key.parity);
  my_turn(consumer);
  wgmma::hold(s), wgmma::hold(out), hold(p);
  wgmma::fence();
  score<WIDE>(s, r.q(consumer), r.k(key.stage));
  mbarrier::wait(mbarrier::at(r.full_v, value.stage), value.parity);
  weigh<WIDE>(out, p, r.v(value.stage));
  if (!LAST || consumer == 0) your_turn(consumer);
  wgmma::wait<1>();
  wgmma::hold(s);
  release(g, r.empty_k, key);
  if (LAST) limit(s, c);
  soften(s, run, c);
  pin(r, run);
  wgmma::wait<0>();
  wgmma::hold(out), hold(p);
  release(g, r.empty_v, value);
  shrink<WIDE>(out, run);
  keep(p, s);
}

// attend is a consumer.
template <int WIDE> DEVICE void attend(const Call& c, const Ring<WIDE>& r, int consumer) {
  const i64 first = ((i64)blockIdx.x * CONSUMERS + consumer) * QUERIES;
  Scores s;
  wgmma::Sums<WIDE> out;
  Probabilities p;
  Running run = {{-INFINITY, -INFINITY}, {0, 0}, {0, 0}};
  Turn key, value;
  const Giver g = giver(c, r.empty_k);
  load_queries<WIDE>(c, r.q(consumer), first);
  together(consumer);
  mbarrier::wait(mbarrier::at(r.full_k, key.stage), key.parity);
  wgmma::fence();
  score<WIDE>(s, r.q(consumer), r.k(key.stage));
  wgmma::wait<0>();
  wgmma::hold(s);
  release(g, r.empty_k, key);
  if (consumer == 1 && c.tiles() > 1) your_turn(consumer);
  if (c.tiles() == 1) limit(s, c);
  soften(s, run, c);
  keep(p, s);
  UNROLL
  for (int e = 0; e < WIDE / 2; e++) out[e] = 0;
  key.next();
  for (int n = c.tiles() - 2; n > 0; n--, key.next(), value.next())
    step<WIDE, false>(s, out, p, run, c, r, g, consumer, key, value);
  if (c.tiles() > 1) {
    step<WIDE, true>(s, out, p, run, c, r, g, consumer, key, value);
    value.next();
  }
  mbarrier::wait(mbarrier::at(r.full_v, value.stage), value.parity);
  wgmma::hold(out), hold(p);
  wgmma::fence();
  weigh<WIDE>(out, p, r.v(value.stage));
  wgmma::wait<0>();
  wgmma::hold(out), hold(p);
  finish<WIDE>(out, run, c, first);
}

template <int WIDE> DEVICE void begin(const Ring<WIDE>& r, int sharers) {
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier::init(mbarrier::at(r.full_k, s), 1), mbarrier::init(mbarrier::at(r.full_v, s), 1);
      mbarrier::init(mbarrier::at(r.empty_k, s), sharers * CONSUMERS * 4);
      mbarrier::init(mbarrier::at(r.empty_v, s), sharers * CONSUMERS * 4);
    }
    mbarrier::announce();
    bulk::fence();
  }
  cluster::sync();
}

template <int WIDE> DEVICE void run(const Call& c) {
  TILES(tiles, Ring<WIDE>::BYTES);
  MBARRIERS(full_k, STAGES);
  MBARRIERS(empty_k, STAGES);
  MBARRIERS(full_v, STAGES);
  MBARRIERS(empty_v, STAGES);
  const Ring<WIDE> r = {tiles, full_k, empty_k, full_v, empty_v};
  begin(r, c.sharers);
  const int group = warpgroup::index();
  if (group == CONSUMERS) {
    warpgroup::less<WIDE == 128 ? 24 : 40>();
    if (threadIdx.x % warpgroup::THREADS == 0) {
      if (c.sharers == 1) load<WIDE, 1>(c, r);
      else load<WIDE, BLOCKS>(c, r);
    }
  } else {
    warpgroup::more<WIDE == 128 ? 240 : 232>();
    attend(c, r, group);
  }
  cluster::sync();  // the other block may still give stages back here
}

// start runs a block of what all have in common. Blocks of a cluster share if both have queries, and
// the same keys: those of one listed tile of queries do.
template <int WIDE> DEVICE void start(Call c, const int* lists) {
  const i64 rows = CONSUMERS * QUERIES, first = blockIdx.x * rows, other = (blockIdx.x ^ 1) * rows;
  if (first >= c.nq) return;
  const bool same = !lists || first / attention::LISTED == other / attention::LISTED;
  c.walk = attention::walk_of<KEYS>(lists, first, c.nk);
  c.sharers = same && other < c.nq ? BLOCKS : 1;
  run<WIDE>(c);
}

#if HOPPER
#define ATTEND_V3(WIDE, lists, ...) start<WIDE>(Call __VA_ARGS__, lists)
#else
#define ATTEND_V3(WIDE, lists, ...) absent()
#endif

// ATTENTION_V3 defines the kernel for head dims up to WIDE. q, dst: [nq, heads·hd]; k: panels of each
// head, `pitch` rows each, a multiple of 192; v: transposed panels of each head, for as many keys;
// lists: see walk.h, or null; form: of dst, see ../include/operand.h. grid: (ceil(nq / 256) · 2,
// heads)
#define ATTENTION_V3(name, WIDE)                                                                  \
  KERNEL_CLUSTER(THREADS, BLOCKS, name)                                                           \
  (char* dst, i64 ld, i64 form, const float* q, i64 ldq, const bf16* k, const bf16* v, i64 pitch, \
   i64 nq, i64 nk, i64 hd, double scale, double last, const int* lists) {                         \
    [[maybe_unused]] const i64 head = blockIdx.y;                                                 \
    ATTEND_V3(WIDE, lists,                                                                        \
        {q + head * hd, k + head * pitch * WIDE, v + head * pitch * WIDE,                         \
         {{dst, ld, form}, head * hd, hd}, ldq, pitch, nq, nk, hd, (float)scale, (float)last, {}, \
         0});                                                                                     \
  }                                                                                               \
  LAUNCHABLE_CLUSTER(THREADS, BLOCKS, name)

ATTENTION_V3(attention_v3_64, 64)
ATTENTION_V3(attention_v3_128, 128)

}  // namespace attention3
