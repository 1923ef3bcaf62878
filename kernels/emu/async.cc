// See include/async.h.
#include "async.h"

#include "../include/rounding.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <vector>

#include "memory.h"

namespace emu {

namespace {

constexpr unsigned BARRIERS_MOST = 48;   // of a block
constexpr unsigned WARPGROUPS_MOST = 4;  // of a block
constexpr unsigned GROUP = 128;      // threads of a warpgroup
constexpr int BYTES_MOST = 1048575;  // that a phase may wait for
constexpr uint16_t NOBODY = 0xffff;

// Clock knows how far each party has been followed: threads, then barriers (the copies that complete
// on them), then warps (the products that read for them), of all blocks of the cluster.
typedef std::vector<uint32_t> Clock;

void join(Clock& to, const Clock& from) {
  uint32_t* a = to.data();
  const uint32_t* b = from.data();
  for (size_t i = 0; i < to.size(); i++) a[i] = std::max(a[i], b[i]);
}

void meet(Clock& to, const Clock& from) {
  uint32_t* a = to.data();
  const uint32_t* b = from.data();
  for (size_t i = 0; i < to.size(); i++) a[i] = std::min(a[i], b[i]);
}

// Known is what somebody has been told of, by proxy.
struct Known {
  Clock generic, async;
  void join(const Known& k) {
    emu::join(generic, k.generic);
    emu::join(async, k.async);
  }
};

// Chunk is 8 bytes of tile memory.
constexpr uint32_t CHUNK = 8;
struct Chunk {
  uint32_t written = 0;                 // clock of its writer then
  uint16_t writer = NOBODY;             // party
  bool flying = false;                  // a copy to it has not landed
  uint32_t read[WARPGROUPS_MOST] = {};  // the last group of products that reads it
  uint32_t loaded[2] = {};              // clocks of the last threads that read it
  uint16_t loader[2] = {NOBODY, NOBODY};
};

// Tiles is the tile memory of a block.
struct Tiles {
  uint32_t base = 0, size = 0;
  std::vector<Chunk> chunks;
  std::vector<char> bytes;
};

struct Flight {
  unsigned rank;  // of the block where it goes
  uint32_t to, bytes;
  const void* from;
  Mbarrier* on;
};

// Op is a product in flight.
struct Op {
  Product p[GROUP];
  uint32_t a[GROUP][4];
};

// Warpgroup is where 128 threads meet.
struct Warpgroup {
  const char* what = nullptr;
  unsigned arrived = 0;
  std::vector<unsigned> asleep;
  Product products[GROUP];
  uint32_t committed = 0, open = 0;  // groups; products since the last one
  std::deque<std::pair<uint32_t, Op*>> flying;
  unsigned registers = 0, wanted = 0;
  Known least;  // what all its threads have been told of
  bool stale = true;
};

// Gathering is where all threads of a cluster meet.
struct Gathering {
  std::vector<char> here;  // by thread: it has arrived, and has not waited
  std::vector<unsigned> asleep;
  unsigned arrived = 0, alive = 0;
  uint32_t phase = 0;
  std::vector<uint32_t> phases;  // by thread: that it arrived in
  Known known, done;             // what those knew who come, and who came the last time
};

struct Named {
  unsigned threads = 0, arrived = 0;
  std::vector<unsigned> asleep;
  Known known;
};

}  // namespace

struct Mbarrier {
  const void* tag;
  const char* name;
  int index, count;       // in its row, of it
  unsigned rank, party;
  bool ready = false;     // init
  bool announced = false; // to the other blocks of the cluster
  unsigned expected = 0, pending = 0, phase = 0;
  int64_t bytes = 0;      // that have not come
  unsigned initialiser = 0;
  uint32_t initialised = 0, copies = 0;
  Known now, done;        // what arrivals of this phase and of the last one knew
  std::vector<unsigned> asleep;
  unsigned unseen = 0;    // woken, but they have not looked yet
  std::map<unsigned, uint32_t> remote;  // clocks of the last arrivals of other blocks' threads
};

namespace {

// Side is the other side of a cluster. Threads are numbered through its blocks.
struct Side {
  bool used = false;
  unsigned each = 0, blocks = 0;      // threads of a block
  unsigned threads = 0, parties = 0;  // of all
  unsigned warps = 0;                 // party of the first
  std::vector<Known> known;
  std::vector<uint64_t> fences;  // wgmma.fence of each thread
  std::deque<Mbarrier> barriers;  // stay where they are
  std::deque<Flight> copies;
  std::deque<Warpgroup> groups;
  Gathering gathering;
  std::string failure;

  // By block.
  std::vector<Tiles> tiles;
  std::vector<std::array<Named, 16>> named;
  std::vector<unsigned> pool;  // registers that no warp has
  std::vector<char> ended;
};

thread_local Side* here __attribute__((tls_model("initial-exec")));

Side& side() {
  if (here == nullptr) here = new Side;
  return *here;
}

unsigned rank() { return self->block->rank; }

unsigned me() { return rank() * side().each + self->flat; }

unsigned rank_of(unsigned thread) { return thread / side().each; }

Known nothing() { return {Clock(side().parties), Clock(side().parties)}; }

void check_gpu() {
  if (shape().compute != 90) fail("the kernel needs sm_90a");
}

// use begins the books of a cluster that needs them.
void use() {
  Side& s = side();
  if (s.used) return;
  check_gpu();
  s.used = true;
  s.each = shape().threads;
  s.blocks = shape().blocks;
  s.threads = s.each * s.blocks;
  if (s.each > WARPGROUPS_MOST * GROUP) fail("more than %u warpgroups", WARPGROUPS_MOST);
  if (s.blocks > 1 && s.each % GROUP != 0) fail("blocks of a cluster are of whole warpgroups here");
  s.warps = s.threads + BARRIERS_MOST * s.blocks;
  s.parties = s.warps + s.threads / 32;
  s.known.assign(s.threads, nothing());
  for (unsigned t = 0; t < s.threads; t++) s.known[t].generic[t] = 1;
  s.fences.assign(s.threads, 1);
  s.groups.resize((s.threads + GROUP - 1) / GROUP);
  for (Warpgroup& g : s.groups) {
    g.least = nothing();
    // What a thread has at launch when the block may use the whole register file.
    g.registers = std::min(255u, 65536 / s.each) / 8 * 8;
  }
  s.tiles.resize(s.blocks);
  s.pool.assign(s.blocks, 0);
  s.ended.assign(s.blocks, 0);
  s.named.resize(s.blocks);
  for (auto& block : s.named)
    for (Named& n : block) n.known = nothing();
  s.gathering.here.assign(s.threads, 0);
  s.gathering.phases.assign(s.threads, 0);
  s.gathering.alive = shape().alive;
  s.gathering.known = nothing();
}

// changed forgets what was worked out from what a thread knows.
void changed(unsigned thread) { side().groups[thread / GROUP].stale = true; }

void learn(unsigned thread, const Known& k) {
  side().known[thread].join(k);
  changed(thread);
}

// tell adds what the running thread knows and begins a new stretch of what it does.
void tell(Known& to) {
  Side& s = side();
  to.join(s.known[me()]);
  s.known[me()].generic[me()]++;
}

// Tile memory.

Chunk* chunk(unsigned rank, uint32_t at, const char* what) {
  Tiles& t = side().tiles[rank];
  if (at < t.base || at >= t.base + t.size)
    fail("%s: address %u of shared memory is outside the tiles, %u to %u", what, at, t.base,
         t.base + t.size);
  return &t.chunks[(at - t.base) / CHUNK];
}

// offset is the byte of tile memory that an address is, which is the same in all blocks.
uint32_t offset(uint32_t at) { return at - side().tiles[rank()].base; }

// known_loads wants what threads have read there to be known of.
void known_loads(const Chunk& c, const Clock& told, const char* what, uint32_t off) {
  for (int i = 0; i < 2; i++)
    if (c.loader[i] != NOBODY && told[c.loader[i]] < c.loaded[i])
      fail("%s to byte %u of tile memory, which thread %u reads at the same time", what, off,
           c.loader[i]);
}

// overwrite is asked before a chunk of a block is written: by a copy, or by a thread.
void overwrite(unsigned rank, uint32_t at, const char* what, bool async) {
  Side& s = side();
  Chunk* c = chunk(rank, at, what);
  const uint32_t off = at - s.tiles[rank].base;
  if (c->flying) fail("%s to byte %u of tile memory, where a bulk copy has not landed", what, off);
  const Known& k = s.known[me()];
  const Clock& told = async ? k.async : k.generic;
  if (c->writer != NOBODY && told[c->writer] < c->written)
    fail("%s to byte %u of tile memory, and nothing has told the thread of what was written there%s",
         what, off, async && k.generic[c->writer] >= c->written ? " through the async proxy" : "");
  known_loads(*c, k.generic, what, off);
  for (unsigned g = 0; g < s.each / GROUP; g++)
    for (unsigned w = 0; w < 4 && c->read[g] > 0; w++)
      if (k.generic[s.warps + rank * s.each / 32 + 4 * g + w] < c->read[g])
        fail("%s to byte %u of tile memory, which a wgmma of warpgroup %u reads that nothing has told "
             "the thread to be done", what, off, g);
}

void written(unsigned rank, uint32_t at, unsigned party, uint32_t when, bool flying) {
  Chunk* c = chunk(rank, at, "write");
  c->writer = (uint16_t)party;
  c->written = when;
  c->flying = flying;
}

char* place(unsigned rank, uint32_t at) {
  Tiles& t = side().tiles[rank];
  return t.bytes.data() + (at - t.base);
}

const char* place(uint32_t at) { return place(rank(), at); }

// Barriers.

void describe(const Mbarrier& b, std::string* all) {
  char text[200];
  snprintf(text, sizeof text, "%s%s[%d], in its phase %u, lacks %u of %u arrivals and %lld bytes",
           all->empty() ? "" : "; ", b.name, b.index, b.phase, b.pending, b.expected,
           (long long)b.bytes);
  *all += text;
  if (side().blocks > 1) *all += " in block " + std::to_string(b.rank) + " of the cluster";
}

// advance ends the phase if nothing is left to come.
void advance(Mbarrier* b) {
  Side& s = side();
  if (b->pending != 0 || b->bytes != 0) return;
  if (b->unseen > 0) {
    char text[200];
    snprintf(text, sizeof text,
             "%s[%d]: phase %u is over before %u threads that wait have seen the end of phase %u",
             b->name, b->index, b->phase, b->unseen, b->phase - 1);
    s.failure = text;
  }
  b->done = b->now;
  b->now = nothing();
  b->phase++;
  b->pending = b->expected;
  b->unseen = (unsigned)b->asleep.size();
  for (unsigned t : b->asleep) wake(t);
  b->asleep.clear();
}

void usable(const Mbarrier* b, const char* what) {
  if (!b->ready) fail("%s of %s[%d] before its init", what, b->name, b->index);
  if (side().known[me()].generic[b->initialiser] < b->initialised)
    fail("%s of %s[%d], and nothing has told the thread of its init", what, b->name, b->index);
}

void check_failure() {
  if (!side().failure.empty()) fail("%s", side().failure.c_str());
}

// Warpgroups.

Warpgroup* mine() { return &side().groups[me() / GROUP]; }

// gather waits for the warpgroup at an instruction; it returns true in the last thread, which does it
// for all before it calls scatter.
bool gather(const char* what) {
  use();
  Warpgroup* g = mine();
  if ((self->flat / GROUP + 1) * GROUP > side().each) fail("%s in less than a warpgroup", what);
  if (g->arrived > 0 && strcmp(g->what, what) != 0)
    fail("the warpgroup has diverged: %s here, %s in another thread", what, g->what);
  g->what = what;
  if (++g->arrived == GROUP) return true;
  g->asleep.push_back(me());
  sleep();
  return false;
}

void scatter() {
  Warpgroup* g = mine();
  g->arrived = 0;
  std::vector<unsigned> asleep;
  asleep.swap(g->asleep);
  for (unsigned t : asleep) wake(t);
}

const Known& least(unsigned group) {
  Side& s = side();
  Warpgroup& g = s.groups[group];
  if (!g.stale) return g.least;
  g.least = s.known[group * GROUP];
  for (unsigned t = group * GROUP + 1; t < (group + 1) * GROUP; t++) {
    meet(g.least.generic, s.known[t].generic);
    meet(g.least.async, s.known[t].async);
  }
  g.stale = false;
  return g.least;
}

// Matrix is a descriptor taken apart.
struct Matrix {
  uint32_t at, columns, rows;
  unsigned swizzle;  // 0, 1, 2, 3: as in the descriptor
  unsigned span;     // bytes of a row of 8, 16 without a swizzle
};

Matrix parse(uint64_t d, const char* name) {
  static const unsigned spans[] = {16, 128, 64, 32};
  Matrix m = {(uint32_t)(d & 0x3fff) << 4, (uint32_t)(d >> 16 & 0x3fff) << 4,
              (uint32_t)(d >> 32 & 0x3fff) << 4, (unsigned)(d >> 62), 0};
  m.span = spans[m.swizzle];
  const uint64_t bits = 0x3fffull | 0x3fffull << 16 | 0x3fffull << 32 | 7ull << 49 | 3ull << 62;
  if ((d & ~bits) != 0)
    fail("wgmma: descriptor of %s is %llx, which has bits that are none", name, (unsigned long long)d);
  if (d >> 49 & 7) fail("wgmma: descriptor of %s: base offsets are not in use here", name);
  if (m.swizzle == 0) return m;
  if (m.at % (8 * m.span) >= m.span)
    fail("wgmma: %s begins at %u, which is not in the first row of %u bytes", name, m.at, 8 * m.span);
  if (m.at % m.span + 32 > m.span)
    fail("wgmma: %s begins at %u, and its 16 columns end beyond its rows of %u bytes", name, m.at,
         m.span);
  if (m.rows % (8 * m.span) != 0 || m.rows == 0)
    fail("wgmma: %s has rows %u bytes apart, which is no multiple of %u", name, m.rows, 8 * m.span);
  return m;
}

// piece returns where 16 bytes lie: columns [8h, 8h+8) of a row.
uint32_t piece(const Matrix& m, unsigned row, unsigned h) {
  if (m.swizzle == 0) return m.at + row / 8 * m.rows + h * m.columns + row % 8 * 16;
  const uint32_t at = m.at + row / 8 * m.rows + row % 8 * m.span + h * 16;
  static const uint32_t masks[] = {0, 7, 3, 1};
  return at ^ (at >> 7 & masks[m.swizzle]) << 4;
}

// readable is asked of every 16 bytes that a product is going to read.
void readable(const Matrix& m, unsigned rows, const char* name, unsigned group, uint32_t number) {
  const Known& k = least(group);
  for (unsigned i = 0; i < 4 * rows; i++) {
    const unsigned row = i / 4;
    const uint32_t at = piece(m, row, i / 2 % 2) + i % 2 * CHUNK, off = offset(at);
    Chunk* c = chunk(rank(), at, name);
    if (c->writer == NOBODY)
      fail("wgmma reads byte %u of tile memory (row %u of %s), which nobody wrote", off, row, name);
    if (c->flying)
      fail("wgmma reads byte %u of tile memory (row %u of %s), where a bulk copy has not landed", off,
           row, name);
    if (k.async[c->writer] < c->written)
      fail("wgmma reads byte %u of tile memory (row %u of %s), and %s", off, row, name,
           k.generic[c->writer] >= c->written
               ? "no proxy fence lies between that and the write"
               : "nothing has told the warpgroup of the write");
    c->read[self->flat / GROUP] = number;
  }
}

// number reads a bfloat16 or an E4M3.
float number(const char* p, int bytes) {
  if (bytes == 2) {
    uint16_t x;
    memcpy(&x, p, 2);
    return float_of((uint32_t)x << 16);
  }
  const int code = *p & 127, exponent = code / 8, mantissa = code % 8;
  float x = exponent == 0 ? ldexpf((float)mantissa, -9) : ldexpf((float)(8 + mantissa), exponent - 10);
  if (code == 127) x = NAN;
  return *p & 128 ? -x : x;
}

// ROW is the bytes of a row that a product multiplies.
constexpr unsigned ROW = 32;

// rows_of reads 64 rows, columns_of some rows as columns.
void rows_of(uint64_t d, int bytes, float (*to)[ROW]) {
  const Matrix m = parse(d, "a matrix");
  for (unsigned r = 0; r < 64; r++)
    for (unsigned at = 0; at < ROW; at += bytes)
      to[r][at / bytes] = number(place(piece(m, r, at / 16)) + at % 16, bytes);
}

void columns_of(uint64_t d, unsigned rows, int bytes, Terms* to) {
  const Matrix m = parse(d, "a matrix");
  to->n = (int)rows;
  for (unsigned r = 0; r < rows; r++)
    for (unsigned at = 0; at < ROW; at += bytes)
      to->set(at / bytes, r, number(place(piece(m, r, at / 16)) + at % 16, bytes));
  exponents(*to, ROW / bytes);
}

// fragments_of reads a [64, 16] from the registers of the warpgroup.
void fragments_of(const uint32_t (*a)[4], float (*to)[ROW]) {
  for (unsigned t = 0; t < GROUP; t++)
    for (unsigned i = 0; i < 4; i++)
      for (unsigned c = 0; c < 2; c++) {
        const unsigned row = t / 32 * 16 + t % 32 / 4 + i % 2 * 8, col = t % 4 * 2 + i / 2 * 8 + c;
        to[row][col] = float_of((a[t][i] >> 16 * c & 0xffff) << 16);
      }
}

// Scratch is room for a product.
struct Scratch {
  float a[64][ROW], sums[64][256];
  Terms b;
};

Scratch* scratch() {
  static thread_local Scratch* const one = new Scratch;
  return one;
}

// each_sum calls f(sum of a thread, its element of [64, n]).
template <class F> void each_sum(Op* op, float (*sums)[256], const F& f) {
  for (unsigned t = 0; t < GROUP; t++) {
    const Product& p = op->p[t];
    for (int i = 0; i < p.n / 2; i++)
      f(p.sums[i], sums[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8][i / 4 * 8 + t % 4 * 2 + i % 2]);
  }
}

// carry_out does a product, at last.
void carry_out(Op* op) {
  auto& [a, sums, b] = *scratch();
  const Product& first = op->p[0];
  if (first.a != nullptr) fragments_of(op->a, a);
  else rows_of(first.desc_a, first.bytes, a);
  columns_of(first.desc_b, first.n, first.bytes, &b);
  const bool add = first.add;
  each_sum(op, sums, [add](float mine, float& sum) { sum = add ? mine : 0; });

  const Adder how = adder_of(first.bytes, true);
  for (unsigned r = 0; r < 64; r++) add_products(how, a[r], b, ROW / first.bytes, sums[r]);

  each_sum(op, sums, [](float& mine, float sum) { mine = sum; });
  for (unsigned t = 0; t < GROUP; t++) {
    op->p[t].sums_use->flying--;
    if (op->p[t].a_use != nullptr) op->p[t].a_use->flying--;
  }
}

void fenced(const Use* u, unsigned thread, const char* name) {
  if (u->touched >= side().fences[thread])
    fail("wgmma: thread %u has touched %s since its last wgmma.fence", thread, name);
}

// begin_product puts what all 128 threads asked for in flight.
void begin_product(Warpgroup* g, unsigned group) {
  Op* op = new Op;
  const Product& first = g->products[0];
  for (unsigned t = 0; t < GROUP; t++) {
    const Product& p = op->p[t] = g->products[t];
    if (p.n != first.n || p.add != first.add || p.desc_a != first.desc_a || p.desc_b != first.desc_b ||
        (p.a == nullptr) != (first.a == nullptr) || p.bytes != first.bytes)
      fail("the warpgroup has diverged: threads 0 and %u of it ask for different products", t);
    fenced(p.sums_use, group * GROUP + t, "the sums");
    p.sums_use->flying++;
    if (p.a == nullptr) continue;
    fenced(p.a_use, group * GROUP + t, "the fragment of a");
    p.a_use->flying++;
    memcpy(op->a[t], p.a, sizeof op->a[t]);
  }
  const uint32_t number = g->committed + 1;
  if (first.a == nullptr) readable(parse(first.desc_a, "a"), 64, "a", group, number);
  readable(parse(first.desc_b, "b"), first.n, "b", group, number);
  g->flying.push_back({number, op});
  g->open++;
}

}  // namespace

uint32_t tile_memory(const char* name, i64 bytes) {
  use();
  Tiles& t = side().tiles[rank()];
  if (t.size != 0) {
    if (t.size != (uint32_t)bytes) fail("two sizes of tile memory: %u and %lld", t.size, bytes);
    return t.base;
  }
  if (shape().dynamic != bytes)
    fail("%s is %lld bytes of dynamic shared memory, the launch brings %lld", name, bytes,
         shape().dynamic);
  // 16 bytes after a multiple of 1024: a kernel that wants more than the least alignment makes it.
  t.base = 1024 + 16;
  t.size = (uint32_t)bytes;
  t.chunks.assign((t.size + CHUNK - 1) / CHUNK, Chunk());
  t.bytes.assign(t.size + 16, (char)0xff);
  return t.base;
}

void tile_store(uint32_t at, const void* from, uint32_t bytes) {
  use();
  Side& s = side();
  if (at % bytes != 0) fail("a store of %u bytes to address %u", bytes, at);
  for (uint32_t i = 0; i < bytes; i += CHUNK) {
    overwrite(rank(), at + i, "a store", false);
    written(rank(), at + i, me(), s.known[me()].generic[me()], false);
  }
  memcpy(place(rank(), at), from, bytes);
}

void tile_claim(uint32_t to) {
  use();
  if (to % 16 != 0) fail("a copy to address %u of shared memory, no multiple of 16", to);
  Side& s = side();
  for (uint32_t i = 0; i < 16; i += CHUNK) {
    overwrite(rank(), to + i, "a copy", false);
    written(rank(), to + i, me(), s.known[me()].generic[me()], true);
  }
  memset(place(rank(), to), 0xff, 16);
}

void tile_land(uint32_t to, const void* from, int bytes) {
  const uint32_t now = side().known[me()].generic[me()];
  for (uint32_t i = 0; i < 16; i += CHUNK) written(rank(), to + i, me(), now, false);
  memcpy(place(rank(), to), from, bytes);
  memset(place(rank(), to) + bytes, 0, 16 - bytes);
}

void tile_load(uint32_t at, void* to, uint32_t bytes) {
  Side& s = side();
  if (at % bytes != 0) fail("a load of %u bytes from address %u", bytes, at);
  Chunk* c = chunk(rank(), at, "a load");
  const Clock& told = s.known[me()].generic;
  if (c->writer == NOBODY) fail("a load of byte %u of tile memory, which nobody wrote", offset(at));
  if (c->flying) fail("a load of byte %u of tile memory, where a bulk copy has not landed", offset(at));
  if (told[c->writer] < c->written)
    fail("a load of byte %u of tile memory, and nothing has told the thread of the write", offset(at));
  const uint16_t other = c->loader[0];
  const int i = other == me() || other == NOBODY || told[other] >= c->loaded[0] ? 0 : 1;
  if (c->loader[i] != NOBODY && c->loader[i] != me() && told[c->loader[i]] < c->loaded[i])
    fail("byte %u of tile memory is read by three threads, two are modelled", offset(at));
  c->loader[i] = (uint16_t)me();
  c->loaded[i] = told[me()];
  memcpy(to, place(at), bytes);
}

Mbarrier* mbarriers(const void* tag, const char* name, int count) {
  use();
  Side& s = side();
  unsigned own = 0;
  for (Mbarrier& b : s.barriers) {
    if (b.rank != rank()) continue;
    if (b.tag == tag) return &b;
    own++;
  }
  if (own + count > BARRIERS_MOST) fail("more than %u barriers", BARRIERS_MOST);
  reserve(name, 8 * count);
  Mbarrier* first = nullptr;
  for (int i = 0; i < count; i++) {
    Mbarrier b = {};
    b.tag = tag, b.name = name, b.index = i, b.count = count, b.rank = rank();
    b.party = s.threads + (unsigned)s.barriers.size();
    b.now = b.done = nothing();
    s.barriers.push_back(b);
    if (i == 0) first = &s.barriers.back();
  }
  return first;
}

Mbarrier* mbarrier_at(Mbarrier* row, int i) {
  if (i < 0 || i >= row->count) fail("out of bounds: %s[%d] of %d barriers", row->name, i, row->count);
  return &side().barriers[row->party - side().threads + i];
}

void mbarrier_init(Mbarrier* b, unsigned arrivals) {
  if (b->ready) fail("a second init of %s[%d]", b->name, b->index);
  if (arrivals == 0 || arrivals > BYTES_MOST) fail("%s[%d] of %u arrivals", b->name, b->index, arrivals);
  b->ready = true;
  b->expected = b->pending = arrivals;
  b->initialiser = me();
  b->initialised = side().known[me()].generic[me()];
}

void mbarrier_announce() {
  use();
  for (Mbarrier& b : side().barriers)
    if (b.ready && b.initialiser == me()) b.announced = true;
}

// barrier_of returns the barrier that b is in another block of the cluster.
static Mbarrier* barrier_of(Mbarrier* b, unsigned rank, const char* what) {
  Side& s = side();
  if (rank == b->rank) return b;
  if (rank >= s.blocks)
    fail("%s at %s[%d] of block %u of a cluster of %u", what, b->name, b->index, rank, s.blocks);
  if (s.ended[rank])
    fail("%s at %s[%d] of block %u of the cluster, which has ended", what, b->name, b->index, rank);
  for (Mbarrier& other : s.barriers) {
    if (other.rank != rank || other.tag != b->tag || other.index != b->index || !other.ready) continue;
    if (!other.announced)
      fail("%s at %s[%d] of block %u of the cluster, and no fence lies behind its init", what, b->name,
           b->index, rank);
    return &other;
  }
  fail("%s at %s[%d] of block %u of the cluster before its init", what, b->name, b->index, rank);
}

void mbarrier_arrive_at(Mbarrier* b, unsigned rank) {
  use();
  Mbarrier* there = barrier_of(b, rank, "an arrival");
  if (there->rank != emu::rank()) there->remote[me()] = side().known[me()].generic[me()];
  mbarrier_arrive(there, 0);
}

void mbarrier_arrive(Mbarrier* b, unsigned bytes) {
  usable(b, "an arrival");
  if (b->pending == 0) fail("an arrival too many at %s[%d], which waits for bytes", b->name, b->index);
  b->bytes += bytes;
  if (b->bytes > BYTES_MOST) fail("%s[%d] waits for %lld bytes", b->name, b->index, (long long)b->bytes);
  tell(b->now);
  b->pending--;
  advance(b);
  check_failure();
}

void mbarrier_wait(Mbarrier* b, unsigned parity) {
  usable(b, "a wait");
  if (parity > 1) fail("a wait for parity %u of %s[%d]", parity, b->name, b->index);
  bool woken = false;
  while ((b->phase & 1) == parity) {
    if (woken) b->unseen--;
    b->asleep.push_back(me());
    sleep();
    woken = true;
  }
  if (woken) b->unseen--;
  learn(me(), b->done);
}

// bulk_source looks at what is read.
static void bulk_source(const char* what, const void* from, uint32_t bytes) {
  if ((uintptr_t)from % 16 != 0) fail("%s from %p, no multiple of 16", what, from);
  if (bytes % 16 != 0 || bytes == 0) fail("%s of %u bytes, no multiple of 16", what, bytes);
  void* base;
  size_t size;
  if (covers(from, bytes, &base, &size)) return;
  char text[300];
  explain((const char*)from + bytes - 1, text, sizeof text);
  fail("%s of %u bytes from %p: the last one is %s", what, bytes, from, text);
}

void bulk_prefetch(const void* from, uint32_t bytes) { bulk_source("a prefetch", from, bytes); }

// begin_copy begins what goes to one block.
static void begin_copy(uint32_t to, const void* from, uint32_t bytes, Mbarrier* b) {
  Side& s = side();
  usable(b, "a bulk copy");
  if (s.known[me()].async[b->initialiser] < b->initialised)
    fail("a bulk copy completes on %s[%d], and no proxy fence lies behind its init", b->name, b->index);
  b->copies++;
  for (uint32_t i = 0; i < bytes; i += CHUNK) {
    overwrite(b->rank, to + i, "a bulk copy", true);
    written(b->rank, to + i, b->party, b->copies, true);
  }
  memset(place(b->rank, to), 0xff, bytes);
  s.copies.push_back({b->rank, to, bytes, from, b});
}

void bulk_copy(uint32_t to, const void* from, uint32_t bytes, Mbarrier* b, unsigned mask) {
  if (to % 16 != 0) fail("a bulk copy to address %u of shared memory, no multiple of 16", to);
  bulk_source("a bulk copy", from, bytes);
  if (mask == 0 || mask >> side().blocks != 0)
    fail("a bulk copy to blocks %#x of a cluster of %u", mask, side().blocks);
  for (unsigned rank = 0; mask >> rank != 0; rank++)
    if (mask >> rank & 1) begin_copy(to, from, bytes, barrier_of(b, rank, "a bulk copy"));
}

void proxy_fence() {
  use();
  Known& k = side().known[me()];
  join(k.async, k.generic);
  k.generic[me()]++;
  changed(me());
}

static Named* named(int id, unsigned threads) {
  use();
  if (id < 1 || id > 15) fail("named barrier %d, allowed are 1 to 15", id);
  if (threads % 32 != 0 || threads == 0) fail("named barrier %d of %u threads", id, threads);
  Named* n = &side().named[rank()][id];
  if (n->arrived > 0 && n->threads != threads)
    fail("named barrier %d is of %u threads here, of %u elsewhere", id, threads, n->threads);
  n->threads = threads;
  tell(n->known);
  n->arrived++;
  return n;
}

// meet_named lets those go on who wait, once all have come.
static bool meet_named(Named* n) {
  if (n->arrived < n->threads) return false;
  n->arrived = 0;
  for (unsigned t : n->asleep) {
    learn(t, n->known);
    wake(t);
  }
  n->asleep.clear();
  return true;
}

void bar_sync(int id, unsigned threads) {
  Named* n = named(id, threads);
  n->asleep.push_back(me());
  const bool all = n->arrived == threads;
  if (all) {
    n->asleep.pop_back();
    learn(me(), n->known);
    meet_named(n);
    n->known = nothing();
  } else {
    sleep();
  }
}

void bar_arrive(int id, unsigned threads) {
  Named* n = named(id, threads);
  if (meet_named(n)) n->known = nothing();
}

// grant gives registers to the warpgroups that wait for some, as long as there are enough.
static void grant() {
  Side& s = side();
  unsigned& pool = s.pool[rank()];
  for (unsigned i = 0; i < s.each / GROUP; i++) {
    Warpgroup& g = s.groups[rank() * s.each / GROUP + i];
    if (g.wanted == 0 || pool < (g.wanted - g.registers) * GROUP) continue;
    pool -= (g.wanted - g.registers) * GROUP;
    g.registers = g.wanted;
    g.wanted = 0;
    for (unsigned t : g.asleep) wake(t);
    g.asleep.clear();
    g.arrived = 0;
  }
}

void set_registers(unsigned n, bool more) {
  if (n % 8 != 0 || n < 24 || n > 256) fail("setmaxnreg %u", n);
  if (!gather(more ? "setmaxnreg.inc" : "setmaxnreg.dec")) return;
  Warpgroup* g = mine();
  if (more ? n < g->registers : n > g->registers)
    fail("setmaxnreg.%s %u with %u registers", more ? "inc" : "dec", n, g->registers);
  if (!more) {
    side().pool[rank()] += (g->registers - n) * GROUP;
    g->registers = n;
    scatter();
    grant();
    return;
  }
  g->wanted = n;
  grant();
  if (g->wanted == 0) return;
  g->asleep.push_back(me());
  sleep();
}

void touch(Use* u) {
  if (here == nullptr || !here->used) use();
  if (u->flying > 0) fail("registers of a wgmma in flight are touched: no wgmma.wait_group came first");
  u->touched = side().fences[me()];
}

void abandoned(Use* u) {
  if (u->flying > 0) fail("registers of a wgmma in flight end: no wgmma.wait_group came first");
}

void wgmma(const Product& p) {
  use();
  mine()->products[me() % GROUP] = p;
  if (!gather("wgmma.mma_async")) return;
  begin_product(mine(), me() / GROUP);
  scatter();
}

void wgmma_fence() {
  use();
  side().fences[me()]++;
}

void wgmma_commit() {
  if (!gather("wgmma.commit_group")) return;
  Warpgroup* g = mine();
  g->committed++;
  g->open = 0;
  scatter();
}

void wgmma_wait(int groups) {
  if (!gather("wgmma.wait_group")) return;
  Side& s = side();
  Warpgroup* g = mine();
  const unsigned group = me() / GROUP;
  const uint32_t done = g->committed - std::min<uint32_t>(g->committed, (uint32_t)groups);
  while (!g->flying.empty() && g->flying.front().first <= done) {
    carry_out(g->flying.front().second);
    delete g->flying.front().second;
    g->flying.pop_front();
  }
  for (unsigned t = group * GROUP; t < (group + 1) * GROUP; t++) {
    const unsigned party = s.warps + t / 32;
    s.known[t].generic[party] = s.known[t].async[party] = done;
  }
  changed(me());
  scatter();
}

void async_begin() {
  Side& s = side();
  if (!s.used) return;
  for (Warpgroup& g : s.groups)
    for (auto& f : g.flying) delete f.second;
  s = Side();
}

void async_met(unsigned rank) {
  Side& s = side();
  if (!s.used) return;
  Known all = nothing();
  const unsigned first = rank * s.each, end = first + s.each;
  for (unsigned t = first; t < end; t++) all.join(s.known[t]);
  for (unsigned t = first; t < end; t++) {
    learn(t, all);
    s.known[t].generic[t]++;
  }
}

bool async_step(std::string* failure) {
  Side& s = side();
  if (!s.used || s.copies.empty()) return false;
  const unsigned i = any_of((unsigned)s.copies.size());
  const Flight c = s.copies[i];
  s.copies.erase(s.copies.begin() + i);
  memcpy(place(c.rank, c.to), c.from, c.bytes);
  for (uint32_t at = c.to; at < c.to + c.bytes; at += CHUNK)
    chunk(c.rank, at, "copy")->flying = false;
  c.on->now.generic[c.on->party] = c.on->now.async[c.on->party] = c.on->copies;
  c.on->bytes -= c.bytes;
  advance(c.on);
  *failure = s.failure;
  return true;
}

std::string async_waiting() {
  Side& s = side();
  std::string all;
  if (!s.used) return all;
  for (const Mbarrier& b : s.barriers)
    if (!b.asleep.empty()) describe(b, &all);
  char text[200];
  for (unsigned i = 0; i < 16 * s.blocks; i++) {
    const Named& n = s.named[i / 16][i % 16];
    if (n.asleep.empty()) continue;
    snprintf(text, sizeof text, "%snamed barrier %u lacks %u of %u threads", all.empty() ? "" : "; ",
             i % 16, n.threads - n.arrived, n.threads);
    all += text;
  }
  for (unsigned i = 0; i < s.threads / GROUP; i++) {
    const Warpgroup& g = s.groups[i];
    if (g.asleep.empty()) continue;
    if (g.wanted > 0)
      snprintf(text, sizeof text, "%swarpgroup %u wants %u registers a thread, the block has %u left",
               all.empty() ? "" : "; ", i, g.wanted, s.pool[i * GROUP / s.each]);
    else
      snprintf(text, sizeof text, "%s%u threads of warpgroup %u wait for the others at %s",
               all.empty() ? "" : "; ", g.arrived, i, g.what);
    all += text;
  }
  if (!s.gathering.asleep.empty()) {
    snprintf(text, sizeof text, "%sthe cluster's barrier lacks %u of %u threads", all.empty() ? "" : "; ",
             s.gathering.alive - s.gathering.arrived, s.gathering.alive);
    all += text;
  }
  return all;
}

// left_by_others says what other blocks do to one that ends, as far as no thread of it knows of it:
// nothing keeps that from coming when the memory is somebody else's.
static std::string left_by_others(unsigned rank) {
  Side& s = side();
  Known all = nothing();
  for (unsigned t = rank * s.each; t < (rank + 1) * s.each; t++) all.join(s.known[t]);
  char text[200] = "";
  for (const Mbarrier& b : s.barriers) {
    if (b.rank != rank) continue;
    if (all.generic[b.party] < b.copies)
      snprintf(text, sizeof text, "block %u of the cluster ends, and no thread has waited for copies on "
               "%s[%d]", rank, b.name, b.index);
    for (auto [thread, clock] : b.remote)
      if (all.generic[thread] < clock)
        snprintf(text, sizeof text, "block %u of the cluster ends, and nothing has told it of the "
                 "arrival of block %u at %s[%d]", rank, rank_of(thread), b.name, b.index);
  }
  return text;
}

std::string async_end(unsigned rank) {
  Side& s = side();
  if (!s.used) return "";
  const std::string left = s.blocks > 1 ? left_by_others(rank) : "";
  const std::string who =
      s.blocks > 1 ? "block " + std::to_string(rank) + " of the cluster" : "the block";
  char text[200] = "";
  const size_t copies = std::count_if(s.copies.begin(), s.copies.end(),
                                      [rank](const Flight& f) { return f.rank == rank; });
  if (copies > 0)
    snprintf(text, sizeof text, "%s ends while %zu bulk copies are in flight", who.c_str(), copies);
  for (unsigned i = 0; i < s.each / GROUP; i++)
    if (!s.groups[rank * s.each / GROUP + i].flying.empty())
      snprintf(text, sizeof text, "warpgroup %u ends while a wgmma is in flight", i);
  for (int id = 1; id < 16; id++)
    if (s.named[rank][id].arrived > 0)
      snprintf(text, sizeof text, "the block ends with %u arrivals at named barrier %d",
               s.named[rank][id].arrived, id);
  s.ended[rank] = 1;
  return text[0] != 0 ? text : left;
}

// Clusters.

// meet_all lets those go on who wait for the cluster, once every thread that is left has arrived.
static void meet_all() {
  Gathering& g = side().gathering;
  if (g.arrived < g.alive || g.arrived == 0) return;
  for (unsigned t : g.asleep) wake(t);
  g.asleep.clear();
  g.done = g.known;
  g.known = nothing();
  g.arrived = 0;
  g.phase++;
}

void cluster_arrive() {
  use();
  Gathering& g = side().gathering;
  if (g.here[me()]) fail("a second arrival at the cluster's barrier, without a wait");
  g.here[me()] = 1;
  g.phases[me()] = g.phase;
  tell(g.known);
  g.arrived++;
  meet_all();
}

void cluster_wait() {
  use();
  Gathering& g = side().gathering;
  if (!g.here[me()]) fail("a wait at the cluster's barrier, without an arrival");
  if (g.phases[me()] == g.phase) {
    g.asleep.push_back(me());
    sleep();
  }
  learn(me(), g.done);
  g.here[me()] = 0;
}

void async_left() {
  Side& s = side();
  if (!s.used) return;
  Gathering& g = s.gathering;
  g.alive--;
  if (g.here[me()] && g.phases[me()] == g.phase) g.arrived--;
  meet_all();
}

}  // namespace emu
