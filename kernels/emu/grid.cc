#include "grid.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "async.h"
#include "fiber.h"
#include "memory.h"

namespace emu {

thread_local Thread* self __attribute__((tls_model("initial-exec")));

namespace {

enum State { FRESH, READY, AT_BARRIER, AT_WARP, ASLEEP, DONE };

const char* const state_names[] = {"fresh", "ready", "at a barrier", "at a collective of their warp",
                                   "asleep", "returned"};

// Warp is where 32 lanes exchange values: two buffers in turn, because a lane may reach the next
// collective before the others have read the last one.
struct Warp {
  Slots slots[2];
  unsigned arrived, turn, lanes;
  const char* what;
};

struct Task {
  Thread thread;
  State state;
  Fiber fiber;
  const char* file;  // of the barrier where it waits
  int line;
};

constexpr i64 SHARED_MOST = 256 << 10;  // no GPU has more per block
constexpr i64 DYNAMIC_ALIGNMENT = 1024;

// Room is a block at work and its shared memory.
struct Room {
  Block block = {};
  std::vector<Task> tasks;
  std::vector<Warp> warps;
  unsigned arrived = 0, alive = 0;
  std::vector<Array> arrays;
  std::vector<char> memory = std::vector<char>(SHARED_MOST + DYNAMIC_ALIGNMENT);
  std::vector<Word> words = std::vector<Word>(SHARED_MOST / 2);
  i64 bytes = 0, elements = 0;
};

// Worker runs the blocks of one cluster at a time, most often one block, on its own operating system
// thread.
struct Worker {
  Launch* launch = nullptr;
  std::vector<std::unique_ptr<Room>> rooms;  // of a cluster's blocks, by rank
  unsigned blocks = 0;                       // of the cluster at work
  Room* room = nullptr;                      // that of the running thread
  std::vector<void*> stacks;
  Fiber scheduler;
  Task* running = nullptr;
  bool failed = false;
  uint32_t stretch = 0;
  const void* fault = nullptr;
  std::mt19937 random{3};
};

thread_local Worker* worker __attribute__((tls_model("initial-exec")));

std::mutex failing;

void say(const char* text) { fprintf(stderr, "emulated gpu: %s\n", text); }

void leave(State s) {
  Worker* w = worker;
  Task* t = w->running;
  t->state = s;
  resume(&t->fiber, &w->scheduler);
}

void release() {
  Worker* w = worker;
  Room* r = w->room;
  if (r->arrived == 0 || r->arrived < r->alive) return;
  const Task* first = nullptr;
  for (Task& t : r->tasks) {
    if (t.state != AT_BARRIER) continue;
    if (first == nullptr) first = &t;
    if (t.line != first->line || strcmp(t.file, first->file) != 0)
      fail("threads %u and %u wait at different barriers, lines %d and %d", first->thread.flat,
           t.thread.flat, first->line, t.line);
    t.state = READY;
  }
  r->arrived = 0;
  r->block.stretch = ++w->stretch;
  async_met(r->block.rank);
}

void entry() {
  Worker* w = worker;
  w->launch->kernel->call(w->launch->params);
  copy_end();
  w = worker;
  w->room->alive--;
  release();
  async_left();
  leave(DONE);
}

void start(Worker* w, Task* t) {
  if (w->stacks.empty()) w->stacks.push_back(make_stack());
  t->fiber.stack = w->stacks.back();
  w->stacks.pop_back();
  prepare(&t->fiber, entry);
}

void turn(Worker* w, Room* r, Task* t) {
  if (t->state == FRESH) start(w, t);
  w->running = t;
  w->room = r;
  self = &t->thread;
  resume(&w->scheduler, &t->fiber);
  self = nullptr;
  if (t->state == DONE) w->stacks.push_back(t->fiber.stack);
}

// broken ends the block for a reason that is no thread's.
void broken(Worker* w, const std::string& why) {
  w->running = nullptr;
  std::lock_guard<std::mutex> lock(failing);
  if (w->launch->failure.empty())
    w->launch->failure = std::string(w->launch->kernel->name) + ": " + why;
  w->failed = true;
}

// stuck says who waits for what when nobody can go on.
void stuck(Worker* w) {
  unsigned counts[DONE + 1] = {};
  for (unsigned b = 0; b < w->blocks; b++)
    for (const Task& t : w->rooms[b]->tasks) counts[t.state]++;
  std::string all;
  for (int s = AT_BARRIER; s <= DONE; s++) {
    if (counts[s] == 0) continue;
    all += (all.empty() ? "" : ", ") + std::to_string(counts[s]) + " threads are " + state_names[s];
  }
  const std::string what = async_waiting();
  broken(w, "nobody can go on: " + all + (what.empty() ? "" : ": " + what));
}

std::vector<unsigned> order(unsigned n, unsigned salt) {
  static const char* const want = getenv("EMU_ORDER");
  std::vector<unsigned> o(n);
  for (unsigned i = 0; i < n; i++) o[i] = i;
  if (want != nullptr && strcmp(want, "backward") == 0) std::reverse(o.begin(), o.end());
  if (want != nullptr && strcmp(want, "random") == 0)
    std::shuffle(o.begin(), o.end(), std::mt19937(salt));
  return o;
}

void lay_out(Worker* w, Room* r, const Launch* l, Dim index, unsigned rank) {
  const Dim d = l->block;
  const unsigned n = d.x * d.y * d.z;
  r->block = {index, l->grid, d, ++w->stretch, rank};
  r->tasks.resize(n);
  r->warps.assign((n + 31) / 32, Warp());
  for (unsigned i = 0; i < n; i++) {
    Thread* t = &r->tasks[i].thread;
    t->index = {i % d.x, i / d.x % d.y, i / (d.x * d.y)};
    t->flat = i;
    t->block = &r->block;
    t->copies.clear();
    t->groups = 0;
    r->tasks[i].state = FRESH;
    r->warps[i / 32].lanes++;
  }
  r->alive = n;
  r->arrived = 0;
  r->arrays.clear();
  r->bytes = l->dynamic;  // it comes first
  r->elements = l->dynamic / 2;
}

// abandon takes the stacks of threads that will never go on.
void abandon(Worker* w) {
  for (unsigned b = 0; b < w->blocks; b++)
    for (Task& t : w->rooms[b]->tasks)
      if (t.state != FRESH && t.state != DONE) w->stacks.push_back(t.fiber.stack);
}

// go gives a turn to every thread of a block that can have one, and says whether there was one. What
// the block leaves undone is asked for when its last thread returns.
bool go(Worker* w, Room* r, const std::vector<unsigned>& by) {
  bool moved = false;
  for (unsigned i : by) {
    Task* t = &r->tasks[i];
    if (t->state != FRESH && t->state != READY) continue;
    moved = true;
    turn(w, r, t);
    if (w->failed) return moved;
  }
  if (!moved || r->alive > 0) return moved;
  if (const std::string left = async_end(r->block.rank); !left.empty()) broken(w, left);
  return moved;
}

// run_cluster runs blocks that are neighbours along x together: from `index` on, in one order or the
// other. A launch without clusters has clusters of one.
void run_cluster(Worker* w, Launch* l, Dim index, const std::vector<unsigned>& by,
                 const std::vector<unsigned>& ranks) {
  w->launch = l;
  w->failed = false;
  w->blocks = l->kernel->cluster;
  while (w->rooms.size() < w->blocks) w->rooms.push_back(std::make_unique<Room>());
  for (unsigned b = 0; b < w->blocks; b++)
    lay_out(w, w->rooms[b].get(), l, {index.x + b, index.y, index.z}, b);
  async_begin();

  const auto alive = [w](unsigned b) { return w->rooms[b]->alive > 0; };
  while (!w->failed && std::any_of(ranks.begin(), ranks.end(), alive)) {
    bool moved = false;
    for (unsigned b : ranks) {
      moved = go(w, w->rooms[b].get(), by) || moved;
      if (w->failed) return abandon(w);
    }
    std::string failure;
    if (!moved && !async_step(&failure)) stuck(w);
    if (!failure.empty()) broken(w, failure);
  }
  if (w->failed) abandon(w);
}

// Pool is the operating system threads; a launch has them all.
struct Pool {
  std::mutex mu;
  std::condition_variable work, done;
  Launch* launch = nullptr;
  uint64_t number = 0;
  std::atomic<uint64_t> next{0};
  unsigned busy = 0, size = 0;

  void live();
  void start();
  void run(Launch* l);
  void take(Worker* w, Launch* l);
};

Pool* const pool = new Pool;  // never destroyed: its threads outlive main

void Pool::take(Worker* w, Launch* l) {
  const unsigned n = l->block.x * l->block.y * l->block.z, cluster = l->kernel->cluster;
  const uint64_t across = l->grid.x / cluster, plane = across * l->grid.y, all = plane * l->grid.z;
  const std::vector<unsigned> by = order(n, 1), ranks = order(cluster, 3);
  const std::vector<unsigned> blocks = order(all < 4096 ? (unsigned)all : 0, 2);
  for (;;) {
    uint64_t i = next++;
    if (i >= all) return;
    if (i < blocks.size()) i = blocks[i];
    run_cluster(w, l, {(unsigned)(i % across) * cluster, (unsigned)(i / across % l->grid.y),
                       (unsigned)(i / plane)}, by, ranks);
    if (w->failed) {
      next = all;
      return;
    }
  }
}

void Pool::live() {
  Worker* w = worker = new Worker;
  uint64_t seen = 0;
  for (;;) {
    std::unique_lock<std::mutex> lock(mu);
    work.wait(lock, [&] { return number != seen; });
    seen = number;
    Launch* l = launch;
    lock.unlock();
    take(w, l);
    lock.lock();
    if (--busy == 0) done.notify_all();
  }
}

void Pool::start() {
  const char* want = getenv("EMU_WORKERS");
  size = want != nullptr ? (unsigned)atoi(want) : std::thread::hardware_concurrency();
  size = std::max(1u, std::min(size, 16u));
  catch_faults();
  sigset_t all, old;
  sigfillset(&all);
  sigdelset(&all, SIGSEGV);
  pthread_sigmask(SIG_SETMASK, &all, &old);  // threads inherit it: signals are for the program
  for (unsigned i = 0; i < size; i++) std::thread([this] { live(); }).detach();
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void Pool::run(Launch* l) {
  std::unique_lock<std::mutex> lock(mu);
  if (size == 0) start();
  launch = l;
  next = 0;
  busy = size;
  number++;
  work.notify_all();
  done.wait(lock, [&] { return busy == 0; });
}

std::map<std::string, const Kernel*>& kernels() {
  static auto* all = new std::map<std::string, const Kernel*>;
  return *all;
}

// landing is where a fiber that touched memory which is not there goes on.
[[noreturn]] void landing() {
  char text[300];
  explain(worker->fault, text, sizeof text);
  fail("illegal address %p: %s", worker->fault, text);
}

struct sigaction before;

// on_fault sends a fiber to its landing; faults of others are not ours.
void on_fault(int sig, siginfo_t* info, void* context) {
  if (worker == nullptr || self == nullptr) {
    if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(sig, info, context);
    signal(sig, SIG_DFL);
    return;
  }
  worker->fault = info->si_addr;
#if defined(__x86_64__)
  greg_t* regs = ((ucontext_t*)context)->uc_mcontext.gregs;
  regs[REG_RSP] = (regs[REG_RSP] & ~(greg_t)15) - 8;
  regs[REG_RIP] = (greg_t)landing;
#else
  say("illegal address");
  abort();
#endif
}

}  // namespace

void catch_faults() {
  struct sigaction a = {};
  a.sa_sigaction = on_fault;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &a, &before);
}

void fail(const char* format, ...) {
  Worker* w = worker;
  const Task* t = w->running;
  char text[600], where[300];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const Dim b = t->thread.block->index, i = t->thread.index;
  snprintf(where, sizeof where, "%s, block (%u,%u,%u), thread (%u,%u,%u): ", w->launch->kernel->name,
           b.x, b.y, b.z, i.x, i.y, i.z);
  {
    std::lock_guard<std::mutex> lock(failing);
    if (w->launch->failure.empty()) w->launch->failure = std::string(where) + text;
  }
  w->failed = true;
  for (;;) leave(DONE);
}

void race(const Array* a, i64 i, bool writing) {
  const Word& w = a->words[i];
  const bool with_writer = w.written == self->block->stretch && w.writer != self->flat;
  char other[40] = "other threads";
  if (with_writer || w.reader != MANY)
    snprintf(other, sizeof other, "thread %u", with_writer ? w.writer : w.reader);
  fail("race on %s[%lld]: it is %s while %s has %s it since the last barrier", a->name, i,
       writing ? "written" : "read", other, with_writer ? "written" : "read");
}

void outside(const Array* a, i64 i) {
  fail("out of bounds: %s[%lld] of %lld elements", a->name, i, a->count);
}

namespace {

// array_at makes an array at a byte of the block's shared memory. What nobody has written is NaN.
Array* array_at(const void* tag, const char* name, i64 at, Word* words, i64 count, i64 size) {
  Room* r = worker->room;
  if (r->arrays.capacity() < 32) r->arrays.reserve(32);
  if (r->arrays.size() == 32) fail("more than 32 shared arrays");
  const uintptr_t base = (uintptr_t)r->memory.data() + DYNAMIC_ALIGNMENT - 1;
  char* data = (char*)(base / DYNAMIC_ALIGNMENT * DYNAMIC_ALIGNMENT) + at;
  r->arrays.push_back({tag, name, data, words, count, size});
  memset(data, 0xff, count * size);
  for (i64 i = 0; i < count; i++) words[i].copier = 0;
  return &r->arrays.back();
}

Array* known_array(const void* tag) {
  for (Array& a : worker->room->arrays)
    if (a.tag == tag) return &a;
  return nullptr;
}

}  // namespace

Array* shared_array(const void* tag, const char* name, i64 count, i64 size) {
  if (Array* a = known_array(tag)) return a;
  Room* r = worker->room;
  const Launch* l = worker->launch;
  const i64 at = (r->bytes + 15) / 16 * 16, end = at + count * size;
  if (end - l->dynamic > l->static_most || end > l->shared_most)
    fail("%s needs %lld bytes of shared memory beyond %lld, the limit is %lld", name, count * size,
         at, end > l->shared_most ? l->shared_most : l->static_most);
  Array* a = array_at(tag, name, at, &r->words[r->elements], count, size);
  r->bytes = end;
  r->elements += count;
  return a;
}

Array* dynamic_array(const char* name, i64 count, i64 size) {
  static const char tag = 0;
  if (Array* a = known_array(&tag)) return a;
  if (worker->launch->dynamic != count * size)
    fail("%s is %lld bytes of dynamic shared memory, the launch brings %lld", name, count * size,
         worker->launch->dynamic);
  return array_at(&tag, name, 0, &worker->room->words[0], count, size);
}

Shape shape() {
  const Worker* w = worker;
  unsigned alive = 0;
  for (unsigned b = 0; b < w->blocks; b++) alive += w->rooms[b]->alive;
  return {(unsigned)w->room->tasks.size(), w->blocks, alive, w->launch->dynamic, w->launch->compute};
}

void sleep() { leave(ASLEEP); }

void wake(unsigned thread) {
  const unsigned n = (unsigned)worker->rooms[0]->tasks.size();
  worker->rooms[thread / n]->tasks[thread % n].state = READY;
}

void reserve(const char* name, i64 bytes) {
  Room* r = worker->room;
  const Launch* l = worker->launch;
  const i64 end = (r->bytes + 15) / 16 * 16 + bytes;
  if (end - l->dynamic > l->static_most || end > l->shared_most)
    fail("%s needs %lld bytes of shared memory beyond %lld", name, bytes, r->bytes);
  r->bytes = end;
}

unsigned any_of(unsigned n) {
  static const char* const want = getenv("EMU_ORDER");
  if (want != nullptr && strcmp(want, "backward") == 0) return n - 1;
  return want != nullptr && strcmp(want, "random") == 0 ? worker->random() % n : 0;
}

void block_sync(const char* file, int line) {
  Task* t = worker->running;
  t->file = file;
  t->line = line;
  t->state = AT_BARRIER;
  worker->room->arrived++;
  release();
  leave(t->state);
}

const Slots& exchange(const void* mine, size_t size, const char* what, void (*work)(Slots&)) {
  Room* r = worker->room;
  Warp* p = &r->warps[self->flat / 32];
  if (p->lanes != 32) fail("%s in a warp of %u lanes", what, p->lanes);
  if (p->arrived > 0 && p->what != what && strcmp(p->what, what) != 0)
    fail("the warp has diverged: %s here, %s in another lane", what, p->what);
  p->what = what;
  Slots& slots = p->slots[p->turn % 2];
  memcpy(slots[self->flat % 32], mine, size);
  if (++p->arrived == 32) {
    p->arrived = 0;
    p->turn++;
    if (work != nullptr) work(slots);
    Task* first = &r->tasks[self->flat / 32 * 32];
    for (Task* t = first; t < first + 32; t++) t->state = READY;
  } else {
    leave(AT_WARP);
  }
  return slots;
}

void run(Launch* l) {
  pool->run(l);
  if (!l->failure.empty()) say(l->failure.c_str());
}

void add(Kernel* k) { kernels()[k->name] = k; }

const Kernel* find(const char* name) {
  auto at = kernels().find(name);
  return at == kernels().end() ? nullptr : at->second;
}

}  // namespace emu
