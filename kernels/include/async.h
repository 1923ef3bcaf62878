// The host's side of mbarrier.h, bulk.h, wgmma.h and warpgroup.h: what kernels/emu/async.cc models of
// a Hopper GPU. Bulk copies and wgmma are carried out as late as the kernel allows, a copy when no
// thread can go on without it, a wgmma when its warpgroup waits. Vector clocks know what every thread
// has been told of, through the generic and through the async proxy, and each 8 bytes of tile memory
// know who wrote and read them; what is used before one has been told of it fails the launch.
#pragma once

namespace emu {

struct Mbarrier;

// tile_memory finds or makes the block's tile memory and returns its address in shared memory.
uint32_t tile_memory(const char* name, i64 bytes);
// tile_store and tile_load are a thread's own accesses to it, through the generic proxy.
void tile_store(uint32_t at, const void* from, uint32_t bytes);
void tile_load(uint32_t at, void* to, uint32_t bytes);
// tile_copy begins an asynchronous copy of 16 bytes to it. tile_claim is what that does where they
// go, and tile_land what the wait for it does.
void tile_copy(uint32_t to, const void* from, int bytes);
void tile_claim(uint32_t to);
void tile_land(uint32_t to, const void* from, int bytes);

Mbarrier* mbarriers(const void* tag, const char* name, int count);
Mbarrier* mbarrier_at(Mbarrier* row, int i);
void mbarrier_init(Mbarrier* b, unsigned arrivals);
void mbarrier_announce();
void mbarrier_arrive(Mbarrier* b, unsigned bytes);
void mbarrier_arrive_at(Mbarrier* b, unsigned rank);
void mbarrier_wait(Mbarrier* b, unsigned parity);

// bulk_copy goes to the blocks of a cluster whose bits are set in mask.
void bulk_copy(uint32_t to, const void* from, uint32_t bytes, Mbarrier* b, unsigned mask);
void bulk_prefetch(const void* from, uint32_t bytes);
void proxy_fence();

void cluster_arrive();
void cluster_wait();

void bar_sync(int id, unsigned threads);
void bar_arrive(int id, unsigned threads);
void set_registers(unsigned n, bool more);

// Use is what is known of registers that wgmma may have: how many of the warpgroup's instructions in
// flight do, and the thread's wgmma.fence before which they were last touched.
struct Use {
  int flying = 0;
  uint64_t touched = 0;
};

void touch(Use* u);     // registers are read or written by the thread
void abandoned(Use* u); // their variable ends

// Product is a wgmma as one thread sees it.
struct Product {
  float* sums;        // [n / 2], the thread's fragment
  Use* sums_use;
  int n;
  bool add;           // to what sums hold
  const uint32_t* a;  // fragment of a, or null: in shared memory
  Use* a_use;
  uint64_t desc_a, desc_b;
  int bytes = 2;      // of a number: bfloat16, or E4M3
};

void wgmma(const Product& p);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int groups);

}  // namespace emu
