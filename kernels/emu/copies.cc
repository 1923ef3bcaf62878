// Asynchronous copies to shared memory (cp.async of the PTX ISA). A copy is done when its thread
// waits for it and not earlier, so that a missing wait finds what was there before; until then
// nobody may touch where it goes. What a wait has brought counts as written by the waiting thread:
// others need a barrier.
#include <string.h>

#include "async.h"
#include "grid.h"

namespace emu {

void aligned_run(const Array* a, i64 at, const char* what) {
  const i64 count = 16 / a->size;
  if (at < 0 || at + count > a->count) outside(a, at < 0 ? at : at + count - 1);
  if ((at * a->size) % 16 != 0)
    fail("misaligned: %s of 16 bytes at byte %lld of %s", what, at * a->size, a->name);
}

// claim checks that a copy may write an element: since the last barrier nobody has touched it, not
// even the thread itself, whose reads are not ordered with its copies.
static void claim(const Array* a, i64 i) {
  Word& w = a->words[i];
  const uint32_t now = self->block->stretch;
  if (w.copier != 0) under_way(a, i, "copied to");
  if (w.written == now || w.read == now)
    fail("race on %s[%lld]: a copy to it begins while thread %u has %s it since the last barrier",
         a->name, i, w.written == now ? w.writer : w.reader, w.written == now ? "written" : "read");
  w.copier = (uint16_t)(self->flat + 1);
}

// readable checks where a copy comes from; an illegal address shows here.
static void readable(const void* from, int bytes) {
  if ((uintptr_t)from % 16 != 0) fail("misaligned: copy of 16 bytes from %p", from);
  if (bytes < 0 || bytes > 16) fail("copy of %d bytes of 16", bytes);
  volatile const char* source = (const char*)from;
  if (bytes > 0) (void)(source[0] + source[bytes - 1]);
}

void tile_copy(uint32_t to, const void* from, int bytes) {
  readable(from, bytes);
  tile_claim(to);
  self->copies.push_back({nullptr, to, (const char*)from, bytes, self->groups});
}

void copy_start(const Array* a, i64 at, const void* from, int bytes) {
  aligned_run(a, at, "copy");
  readable(from, bytes);
  for (i64 i = at; i < at + 16 / a->size; i++) claim(a, i);
  self->copies.push_back({a, at, (const char*)from, bytes, self->groups});
}

void copy_commit() { self->groups++; }

static void finish(const Copy& c) {
  if (c.array == nullptr) return tile_land((uint32_t)c.at, c.from, c.bytes);
  char* to = c.array->data + c.at * c.array->size;
  memcpy(to, c.from, c.bytes);
  memset(to + c.bytes, 0, 16 - c.bytes);
  for (i64 i = c.at; i < c.at + 16 / c.array->size; i++) {
    Word& w = c.array->words[i];
    w.copier = 0;
    w.written = self->block->stretch;
    w.writer = (uint16_t)self->flat;
  }
}

void copy_wait(unsigned left) {
  const unsigned done = self->groups > left ? self->groups - left : 0;
  size_t n = 0;
  while (n < self->copies.size() && self->copies[n].group < done) finish(self->copies[n++]);
  self->copies.erase(self->copies.begin(), self->copies.begin() + n);
}

void copy_end() {
  if (!self->copies.empty()) {
    const Copy& c = self->copies.front();
    if (c.array == nullptr) fail("the thread returns while its copy to tile memory is under way");
    fail("the thread returns while its copy to %s[%lld] is under way", c.array->name, c.at);
  }
}

void under_way(const Array* a, i64 i, const char* doing) {
  fail("race on %s[%lld]: it is %s while a copy of thread %u to it is under way", a->name, i, doing,
       a->words[i].copier - 1);
}

}  // namespace emu
