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
  char slots[2][32][16];
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

// Worker runs one block at a time on its own operating system thread.
struct Worker {
  Launch* launch = nullptr;
  Block block = {};
  std::vector<Task> tasks;
  std::vector<Warp> warps;
  std::vector<void*> stacks;
  Fiber scheduler;
  Task* running = nullptr;
  unsigned arrived = 0, alive = 0;
  bool failed = false;
  uint32_t stretch = 0;
  std::vector<Array> arrays;
  std::vector<char> memory;
  std::vector<Word> words;
  i64 bytes = 0, elements = 0;
  const void* fault = nullptr;
  std::mt19937 random{3};
};

thread_local Worker* worker __attribute__((tls_model("initial-exec")));

constexpr i64 SHARED_MOST = 256 << 10;  // no GPU has more per block
constexpr i64 DYNAMIC_ALIGNMENT = 1024;

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
  if (w->arrived == 0 || w->arrived < w->alive) return;
  const Task* first = nullptr;
  for (Task& t : w->tasks) {
    if (t.state != AT_BARRIER) continue;
    if (first == nullptr) first = &t;
    if (t.line != first->line || strcmp(t.file, first->file) != 0)
      fail("threads %u and %u wait at different barriers, lines %d and %d", first->thread.flat,
           t.thread.flat, first->line, t.line);
    t.state = READY;
  }
  w->arrived = 0;
  w->block.stretch = ++w->stretch;
  async_met();
}

void entry() {
  Worker* w = worker;
  w->launch->kernel->call(w->launch->params);
  w = worker;
  w->alive--;
  release();
  leave(DONE);
}

void start(Worker* w, Task* t) {
  if (w->stacks.empty()) w->stacks.push_back(make_stack());
  t->fiber.stack = w->stacks.back();
  w->stacks.pop_back();
  prepare(&t->fiber, entry);
}

void turn(Worker* w, Task* t) {
  if (t->state == FRESH) start(w, t);
  w->running = t;
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
  for (const Task& t : w->tasks) counts[t.state]++;
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

void lay_out(Worker* w, const Launch* l, Dim index) {
  const Dim d = l->block;
  const unsigned n = d.x * d.y * d.z;
  w->block = {index, l->grid, d, ++w->stretch};
  w->tasks.resize(n);
  w->warps.assign((n + 31) / 32, Warp());
  for (unsigned i = 0; i < n; i++) {
    w->tasks[i].thread = {{i % d.x, i / d.x % d.y, i / (d.x * d.y)}, i, &w->block};
    w->tasks[i].state = FRESH;
    w->warps[i / 32].lanes++;
  }
  w->alive = n;
  w->arrived = 0;
  w->arrays.clear();
  async_begin();
  w->bytes = l->dynamic;  // it comes first
  w->elements = l->dynamic / 2;
}

// abandon takes the stacks of threads that will never go on.
void abandon(Worker* w) {
  for (Task& t : w->tasks)
    if (t.state != FRESH && t.state != DONE)
      w->stacks.push_back(t.fiber.stack);
}

void run_block(Worker* w, Launch* l, Dim index, const std::vector<unsigned>& by) {
  w->launch = l;
  w->failed = false;
  lay_out(w, l, index);
  while (w->alive > 0 && !w->failed) {
    bool moved = false;
    for (unsigned i : by) {
      Task* t = &w->tasks[i];
      if (t->state != FRESH && t->state != READY) continue;
      moved = true;
      turn(w, t);
      if (w->failed) return abandon(w);
    }
    std::string failure;
    if (!moved && !async_step(&failure)) stuck(w);
    if (!failure.empty()) broken(w, failure);
  }
  if (w->failed) return abandon(w);
  if (const std::string left = async_end(); !left.empty()) broken(w, left);
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
  const uint64_t plane = (uint64_t)l->grid.x * l->grid.y, all = plane * l->grid.z;
  const unsigned n = l->block.x * l->block.y * l->block.z;
  const std::vector<unsigned> by = order(n, 1), blocks = order(all < 4096 ? (unsigned)all : 0, 2);
  for (;;) {
    uint64_t i = next++;
    if (i >= all) return;
    if (i < blocks.size()) i = blocks[i];
    run_block(w, l, {(unsigned)(i % l->grid.x), (unsigned)(i / l->grid.x % l->grid.y),
                     (unsigned)(i / plane)}, by);
    if (w->failed) {
      next = all;
      return;
    }
  }
}

void Pool::live() {
  Worker* w = worker = new Worker;
  w->memory.resize(SHARED_MOST + DYNAMIC_ALIGNMENT);
  w->words.resize(SHARED_MOST / 2);
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
  const Dim b = w->block.index, i = t->thread.index;
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
  Worker* w = worker;
  if (w->arrays.capacity() < 32) w->arrays.reserve(32);
  if (w->arrays.size() == 32) fail("more than 32 shared arrays");
  const uintptr_t base = (uintptr_t)w->memory.data() + DYNAMIC_ALIGNMENT - 1;
  char* data = (char*)(base / DYNAMIC_ALIGNMENT * DYNAMIC_ALIGNMENT) + at;
  w->arrays.push_back({tag, name, data, words, count, size});
  memset(data, 0xff, count * size);
  return &w->arrays.back();
}

Array* known_array(const void* tag) {
  for (Array& a : worker->arrays)
    if (a.tag == tag) return &a;
  return nullptr;
}

}  // namespace

Array* shared_array(const void* tag, const char* name, i64 count, i64 size) {
  if (Array* a = known_array(tag)) return a;
  Worker* w = worker;
  const Launch* l = w->launch;
  const i64 at = (w->bytes + 15) / 16 * 16, end = at + count * size;
  if (end - l->dynamic > l->static_most || end > l->shared_most)
    fail("%s needs %lld bytes of shared memory beyond %lld, the limit is %lld", name, count * size,
         at, end > l->shared_most ? l->shared_most : l->static_most);
  Array* a = array_at(tag, name, at, &w->words[w->elements], count, size);
  w->bytes = end;
  w->elements += count;
  return a;
}

Array* dynamic_array(const char* name, i64 count, i64 size) {
  static const char tag = 0;
  if (Array* a = known_array(&tag)) return a;
  if (worker->launch->dynamic != count * size)
    fail("%s is %lld bytes of dynamic shared memory, the launch brings %lld", name, count * size,
         worker->launch->dynamic);
  return array_at(&tag, name, 0, &worker->words[0], count, size);
}

Shape shape() {
  const Worker* w = worker;
  return {(unsigned)w->tasks.size(), w->launch->dynamic, w->launch->compute};
}

void sleep() { leave(ASLEEP); }

void wake(unsigned thread) { worker->tasks[thread].state = READY; }

void reserve(const char* name, i64 bytes) {
  Worker* w = worker;
  const i64 end = (w->bytes + 15) / 16 * 16 + bytes;
  if (end - w->launch->dynamic > w->launch->static_most || end > w->launch->shared_most)
    fail("%s needs %lld bytes of shared memory beyond %lld", name, bytes, w->bytes);
  w->bytes = end;
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
  worker->arrived++;
  release();
  leave(t->state);
}

const char (*exchange(const void* mine, size_t size, const char* what))[16] {
  Worker* w = worker;
  Warp* p = &w->warps[self->flat / 32];
  if (p->lanes != 32) fail("%s in a warp of %u lanes", what, p->lanes);
  if (p->arrived > 0 && strcmp(p->what, what) != 0)
    fail("the warp has diverged: %s here, %s in another lane", what, p->what);
  p->what = what;
  const unsigned turn = p->turn;
  memcpy(p->slots[turn % 2][self->flat % 32], mine, size);
  if (++p->arrived == 32) {
    p->arrived = 0;
    p->turn++;
    Task* first = &w->tasks[self->flat / 32 * 32];
    for (Task* t = first; t < first + 32; t++) t->state = READY;
  } else {
    leave(AT_WARP);
  }
  return p->slots[turn % 2];
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
