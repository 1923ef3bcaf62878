#include "memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <map>

namespace emu {

namespace {

constexpr size_t PAGE = 4096;
constexpr unsigned char SLACK = 0xa5;

// Region is one allocation: guard page, pages, guard page.
struct Region {
  char *map, *data;
  size_t mapped, bytes;
  bool hidden;
};

// regions holds what is there, by the address of its data, and graves what was.
std::map<char*, Region> regions, graves;

char* end(const Region& r) { return r.map + r.mapped - PAGE; }

const Region* before(const std::map<char*, Region>& all, const void* p) {
  auto at = all.upper_bound((char*)p);
  return at == all.begin() ? nullptr : &(--at)->second;
}

}  // namespace

void* take(size_t bytes) {
  const size_t room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  const size_t pages = (room + PAGE - 1) / PAGE * PAGE, mapped = pages + 2 * PAGE;
  char* m = (char*)mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m == MAP_FAILED) return nullptr;
  if (mprotect(m + PAGE, pages, PROT_READ | PROT_WRITE) != 0) {
    munmap(m, mapped);
    return nullptr;
  }
  Region r = {m, m + PAGE + pages - room, mapped, bytes, false};
  memset(m + PAGE, SLACK, pages - room);
  memset(r.data, 0xff, bytes);
  memset(r.data + bytes, SLACK, room - bytes);
  regions[r.data] = r;
  return r.data;
}

bool give(void* p, char* why, size_t n) {
  auto at = regions.find((char*)p);
  if (at == regions.end()) {
    snprintf(why, n, "%p is not an allocation%s", p, graves.count((char*)p) ? " any more" : "");
    return false;
  }
  const Region r = at->second;
  regions.erase(at);
  bool whole = true;
  for (const char* c = r.map + PAGE; c < end(r); c++) {
    if (c == r.data) c += r.bytes;
    if (c < end(r) && *(const unsigned char*)c != SLACK && whole) {
      snprintf(why, n, "byte %td of an allocation of %zu was written", c - r.data, r.bytes);
      whole = false;
    }
  }
  munmap(r.map, r.mapped);
  graves[r.data] = r;
  if (graves.size() > 1000) graves.erase(graves.begin());
  return whole;
}

bool covers(const void* p, size_t bytes, void** base, size_t* size) {
  const Region* r = before(regions, p);
  if (r == nullptr || (char*)p + bytes > r->data + r->bytes) return false;
  *base = r->data;
  *size = r->bytes;
  return true;
}

void hide(void* p, bool hidden) {
  Region& r = regions.at((char*)p);
  r.hidden = hidden;
  mprotect(r.map + PAGE, r.mapped - 2 * PAGE, hidden ? PROT_NONE : PROT_READ | PROT_WRITE);
}

void explain(const void* p, char* text, size_t n) {
  for (const auto& [data, r] : regions) {
    if ((char*)p < r.map || (char*)p >= r.map + r.mapped) continue;
    const char* c = (const char*)p;
    if (r.hidden && c >= r.data && c < r.data + r.bytes)
      snprintf(text, n, "in memory of another GPU, to which this one has no access");
    else if (c < r.data)
      snprintf(text, n, "%td bytes before an allocation of %zu", r.data - c, r.bytes);
    else
      snprintf(text, n, "%td bytes beyond an allocation of %zu", c - r.data - (ptrdiff_t)r.bytes,
               r.bytes);
    return;
  }
  const Region* g = before(graves, p);
  if (g != nullptr && (char*)p < g->data + g->bytes)
    snprintf(text, n, "in an allocation of %zu bytes that was freed", g->bytes);
  else
    snprintf(text, n, "no memory of the GPU");
}

}  // namespace emu
