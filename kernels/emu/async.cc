// See include/async.h.
#include "async.h"

#include "../include/rounding.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "memory.h"

namespace emu {

namespace {

constexpr unsigned BARRIERS_MOST = 48;
constexpr unsigned WARPGROUPS_MOST = 4;
constexpr unsigned GROUP = 128;      // threads of a warpgroup
constexpr int BYTES_MOST = 1048575;  // that a phase may wait for
constexpr uint16_t NOBODY = 0xffff;

// Clock knows how far each party has been followed: threads, then barriers (the copies that complete
// on them), then warps (the products that read for them).
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

struct Flight {
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
  unsigned party;
  bool ready = false;     // init
  unsigned expected = 0, pending = 0, phase = 0;
  int64_t bytes = 0;      // that have not come
  unsigned initialiser = 0;
  uint32_t initialised = 0, copies = 0;
  Known now, done;        // what arrivals of this phase and of the last one knew
  std::vector<unsigned> asleep;
  unsigned unseen = 0;    // woken, but they have not looked yet
};

namespace {

// Side is the block's other side.
struct Side {
  bool used = false;
  unsigned threads = 0, parties = 0;
  std::vector<Known> known;
  std::vector<uint64_t> fences;  // wgmma.fence of each thread
  std::vector<Chunk> chunks;
  std::vector<char> bytes;
  uint32_t base = 0, size = 0;
  std::deque<Mbarrier> barriers;  // stay where they are
  std::deque<Flight> copies;
  Warpgroup groups[WARPGROUPS_MOST];
  Named named[16];
  unsigned pool = 0;  // registers that no warp has
  std::string failure;
};

thread_local Side* here __attribute__((tls_model("initial-exec")));

Side& side() {
  if (here == nullptr) here = new Side;
  return *here;
}

unsigned me() { return self->flat; }

Known nothing() { return {Clock(side().parties), Clock(side().parties)}; }

void check_gpu() {
  if (shape().compute != 90) fail("the kernel needs sm_90a");
}

// use begins the books of a block that needs them.
void use() {
  Side& s = side();
  if (s.used) return;
  check_gpu();
  s.used = true;
  s.threads = shape().threads;
  if (s.threads > WARPGROUPS_MOST * GROUP) fail("more than %u warpgroups", WARPGROUPS_MOST);
  s.parties = s.threads + BARRIERS_MOST + s.threads / 32;
  s.known.assign(s.threads, nothing());
  for (unsigned t = 0; t < s.threads; t++) s.known[t].generic[t] = 1;
  s.fences.assign(s.threads, 1);
  for (Warpgroup& g : s.groups) {
    g = Warpgroup();
    g.least = nothing();
    // What a thread has at launch when the block may use the whole register file.
    g.registers = std::min(255u, 65536 / s.threads) / 8 * 8;
  }
  for (Named& n : s.named) n.known = nothing();
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

Chunk* chunk(uint32_t at, const char* what) {
  Side& s = side();
  if (at < s.base || at >= s.base + s.size)
    fail("%s: address %u of shared memory is outside the tiles, %u to %u", what, at, s.base,
         s.base + s.size);
  return &s.chunks[(at - s.base) / CHUNK];
}

// known_loads wants what threads have read there to be known of.
void known_loads(const Chunk& c, const Clock& told, const char* what, uint32_t off) {
  for (int i = 0; i < 2; i++)
    if (c.loader[i] != NOBODY && told[c.loader[i]] < c.loaded[i])
      fail("%s to byte %u of tile memory, which thread %u reads at the same time", what, off,
           c.loader[i]);
}

// overwrite is asked before a chunk is written: by a copy, or by a thread.
void overwrite(uint32_t at, const char* what, bool async) {
  Side& s = side();
  Chunk* c = chunk(at, what);
  const uint32_t off = at - s.base;
  if (c->flying) fail("%s to byte %u of tile memory, where a bulk copy has not landed", what, off);
  const Known& k = s.known[me()];
  const Clock& told = async ? k.async : k.generic;
  if (c->writer != NOBODY && told[c->writer] < c->written)
    fail("%s to byte %u of tile memory, and nothing has told the thread of what was written there%s",
         what, off, async && k.generic[c->writer] >= c->written ? " through the async proxy" : "");
  known_loads(*c, k.generic, what, off);
  for (unsigned g = 0; g < s.threads / GROUP; g++)
    for (unsigned w = 0; w < 4 && c->read[g] > 0; w++)
      if (k.generic[s.threads + BARRIERS_MOST + 4 * g + w] < c->read[g])
        fail("%s to byte %u of tile memory, which a wgmma of warpgroup %u reads that nothing has told "
             "the thread to be done", what, off, g);
}

void written(uint32_t at, unsigned party, uint32_t when, bool flying) {
  Chunk* c = chunk(at, "write");
  c->writer = (uint16_t)party;
  c->written = when;
  c->flying = flying;
}

const char* place(uint32_t at) { return side().bytes.data() + (at - side().base); }

// Barriers.

void describe(const Mbarrier& b, std::string* all) {
  char text[200];
  snprintf(text, sizeof text, "%s%s[%d], in its phase %u, lacks %u of %u arrivals and %lld bytes",
           all->empty() ? "" : "; ", b.name, b.index, b.phase, b.pending, b.expected,
           (long long)b.bytes);
  *all += text;
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
  if ((me() / GROUP + 1) * GROUP > side().threads) fail("%s in less than a warpgroup", what);
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
    const uint32_t at = piece(m, row, i / 2 % 2) + i % 2 * CHUNK, off = at - side().base;
    Chunk* c = chunk(at, name);
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
    c->read[group] = number;
  }
}

float widened(const char* p) {
  uint16_t x;
  memcpy(&x, p, 2);
  return float_of((uint32_t)x << 16);
}

// rows_of reads [64, 16] numbers, columns_of [rows, 16] numbers as columns.
void rows_of(uint64_t d, float (*to)[16]) {
  const Matrix m = parse(d, "a matrix");
  for (unsigned r = 0; r < 64; r++)
    for (unsigned k = 0; k < 16; k++) to[r][k] = widened(place(piece(m, r, k / 8)) + k % 8 * 2);
}

void columns_of(uint64_t d, unsigned rows, Terms* to) {
  const Matrix m = parse(d, "a matrix");
  to->n = (int)rows;
  for (unsigned r = 0; r < rows; r++)
    for (unsigned k = 0; k < 16; k++) to->set(k, r, widened(place(piece(m, r, k / 8)) + k % 8 * 2));
  exponents(*to, 16);
}

// fragments_of reads a [64, 16] from the registers of the warpgroup.
void fragments_of(const uint32_t (*a)[4], float (*to)[16]) {
  for (unsigned t = 0; t < GROUP; t++)
    for (unsigned i = 0; i < 4; i++)
      for (unsigned c = 0; c < 2; c++) {
        const unsigned row = t / 32 * 16 + t % 32 / 4 + i % 2 * 8, col = t % 4 * 2 + i / 2 * 8 + c;
        to[row][col] = float_of((a[t][i] >> 16 * c & 0xffff) << 16);
      }
}

// Scratch is room for a product.
struct Scratch {
  float a[64][16], sums[64][256];
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
  else rows_of(first.desc_a, a);
  columns_of(first.desc_b, first.n, &b);
  const bool add = first.add;
  each_sum(op, sums, [add](float mine, float& sum) { sum = add ? mine : 0; });

  const Adder how = adder_of(2, true);
  for (unsigned r = 0; r < 64; r++) add_products(how, a[r], b, 16, sums[r]);

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
        (p.a == nullptr) != (first.a == nullptr))
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
  Side& s = side();
  if (s.size != 0) {
    if (s.size != (uint32_t)bytes) fail("two sizes of tile memory: %u and %lld", s.size, bytes);
    return s.base;
  }
  if (shape().dynamic != bytes)
    fail("%s is %lld bytes of dynamic shared memory, the launch brings %lld", name, bytes,
         shape().dynamic);
  // 16 bytes after a multiple of 1024: a kernel that wants more than the least alignment makes it.
  s.base = 1024 + 16;
  s.size = (uint32_t)bytes;
  s.chunks.assign((s.size + CHUNK - 1) / CHUNK, Chunk());
  s.bytes.assign(s.size + 16, (char)0xff);
  return s.base;
}

void tile_store(uint32_t at, const void* from, uint32_t bytes) {
  use();
  Side& s = side();
  if (at % bytes != 0) fail("a store of %u bytes to address %u", bytes, at);
  for (uint32_t i = 0; i < bytes; i += CHUNK) {
    overwrite(at + i, "a store", false);
    written(at + i, me(), s.known[me()].generic[me()], false);
  }
  memcpy((char*)place(at), from, bytes);
}

void tile_load(uint32_t at, void* to, uint32_t bytes) {
  Side& s = side();
  if (at % bytes != 0) fail("a load of %u bytes from address %u", bytes, at);
  Chunk* c = chunk(at, "a load");
  const Clock& told = s.known[me()].generic;
  if (c->writer == NOBODY) fail("a load of byte %u of tile memory, which nobody wrote", at - s.base);
  if (c->flying) fail("a load of byte %u of tile memory, where a bulk copy has not landed", at - s.base);
  if (told[c->writer] < c->written)
    fail("a load of byte %u of tile memory, and nothing has told the thread of the write", at - s.base);
  const uint16_t other = c->loader[0];
  const int i = other == me() || other == NOBODY || told[other] >= c->loaded[0] ? 0 : 1;
  if (c->loader[i] != NOBODY && c->loader[i] != me() && told[c->loader[i]] < c->loaded[i])
    fail("byte %u of tile memory is read by three threads, two are modelled", at - s.base);
  c->loader[i] = (uint16_t)me();
  c->loaded[i] = told[me()];
  memcpy(to, place(at), bytes);
}

Mbarrier* mbarriers(const void* tag, const char* name, int count) {
  use();
  Side& s = side();
  for (Mbarrier& b : s.barriers)
    if (b.tag == tag) return &b;
  if (s.barriers.size() + count > BARRIERS_MOST) fail("more than %u barriers", BARRIERS_MOST);
  reserve(name, 8 * count);
  Mbarrier* first = nullptr;
  for (int i = 0; i < count; i++) {
    Mbarrier b = {};
    b.tag = tag, b.name = name, b.index = i, b.count = count;
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

void bulk_copy(uint32_t to, const void* from, uint32_t bytes, Mbarrier* b) {
  Side& s = side();
  if (to % 16 != 0) fail("a bulk copy to address %u of shared memory, no multiple of 16", to);
  if ((uintptr_t)from % 16 != 0) fail("a bulk copy from %p, no multiple of 16", from);
  if (bytes % 16 != 0 || bytes == 0) fail("a bulk copy of %u bytes, no multiple of 16", bytes);
  void* base;
  size_t size;
  if (!covers(from, bytes, &base, &size)) {
    char text[300];
    explain((const char*)from + bytes - 1, text, sizeof text);
    fail("a bulk copy of %u bytes from %p: the last one is %s", bytes, from, text);
  }
  usable(b, "a bulk copy");
  if (s.known[me()].async[b->initialiser] < b->initialised)
    fail("a bulk copy completes on %s[%d], and no proxy fence lies behind its init", b->name, b->index);
  b->copies++;
  for (uint32_t i = 0; i < bytes; i += CHUNK) {
    overwrite(to + i, "a bulk copy", true);
    written(to + i, b->party, b->copies, true);
  }
  memset((char*)place(to), 0xff, bytes);
  s.copies.push_back({to, bytes, from, b});
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
  Named* n = &side().named[id];
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
  for (unsigned i = 0; i < s.threads / GROUP; i++) {
    Warpgroup& g = s.groups[i];
    if (g.wanted == 0 || s.pool < (g.wanted - g.registers) * GROUP) continue;
    s.pool -= (g.wanted - g.registers) * GROUP;
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
    side().pool += (g->registers - n) * GROUP;
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
    const unsigned party = s.threads + BARRIERS_MOST + t / 32;
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

void async_met() {
  Side& s = side();
  if (!s.used) return;
  Known all = nothing();
  for (const Known& k : s.known) all.join(k);
  for (unsigned t = 0; t < s.threads; t++) {
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
  memcpy((char*)place(c.to), c.from, c.bytes);
  for (uint32_t at = c.to; at < c.to + c.bytes; at += CHUNK) chunk(at, "copy")->flying = false;
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
  for (int id = 1; id < 16; id++) {
    const Named& n = s.named[id];
    if (n.asleep.empty()) continue;
    snprintf(text, sizeof text, "%snamed barrier %d lacks %u of %u threads", all.empty() ? "" : "; ", id,
             n.threads - n.arrived, n.threads);
    all += text;
  }
  for (unsigned i = 0; i < s.threads / GROUP; i++) {
    const Warpgroup& g = s.groups[i];
    if (g.asleep.empty()) continue;
    if (g.wanted > 0)
      snprintf(text, sizeof text, "%swarpgroup %u wants %u registers a thread, the block has %u left",
               all.empty() ? "" : "; ", i, g.wanted, s.pool);
    else
      snprintf(text, sizeof text, "%s%u threads of warpgroup %u wait for the others at %s",
               all.empty() ? "" : "; ", g.arrived, i, g.what);
    all += text;
  }
  return all;
}

std::string async_end() {
  Side& s = side();
  if (!s.used) return "";
  char text[200] = "";
  if (!s.copies.empty())
    snprintf(text, sizeof text, "the block ends while %zu bulk copies are in flight", s.copies.size());
  for (unsigned i = 0; i < s.threads / GROUP; i++)
    if (!s.groups[i].flying.empty())
      snprintf(text, sizeof text, "warpgroup %u ends while a wgmma is in flight", i);
  for (int id = 1; id < 16; id++)
    if (s.named[id].arrived > 0)
      snprintf(text, sizeof text, "the block ends with %u arrivals at named barrier %d",
               s.named[id].arrived, id);
  return text;
}

}  // namespace emu
