// The machine behind the host model's Ascend C subset: one vector core at a time, its unified buffer, its four pipes
// and what each of them knows of the others, and the global memory that all cores share.
//
// Instructions take effect when they are issued. That is right exactly when every pair of accesses to one place is
// ordered by flags, queues or barriers, so that is what is checked: each pipe has a clock, flags carry clocks, and an
// access whose predecessor is not in the pipe's clock is a fault, even when the data would have been right.
#ifndef MS_SCATTER_PA_HOST_MODEL_MACHINE_H_
#define MS_SCATTER_PA_HOST_MODEL_MACHINE_H_

#include <array>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace host_model {

class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum PipeId : int { kScalar, kVector, kLoad, kStore, kPipes };
using Clock = std::array<uint64_t, kPipes>;

constexpr int kBurstClasses = 24;  // burst lengths by power of two: class i holds [2**i, 2**(i+1))

// What one core did; plain int64 fields, read by Python in this order.
struct Counts {
  int64_t load_instructions;
  int64_t store_instructions;
  int64_t load_bursts;
  int64_t store_bursts;
  int64_t bytes_in;
  int64_t bytes_out;
  int64_t vector_instructions;
  int64_t waits;
  int64_t scalar_reads;
  int64_t scalar_operations;  // 64-bit, as scalar.h counts them
  int64_t multiplies;
  int64_t divisions;
  int64_t
      divisions_before_load;  // before the first load was issued: what a core does before it has anything to wait for
  int64_t stores_after_next_load;  // stores issued only after a later load was
  int64_t serial_loads;            // loads that waited for every store issued before them
  int64_t charged_in;              // bytes_in with each burst rounded up to what memory moves at once
  int64_t charged_out;
  int64_t cycles;  // of the model, from first issue to last completion
  int64_t load_class[kBurstClasses];
  int64_t store_class[kBurstClasses];
};

// Rates of the modelled part. Only the clocks' positions depend on them, never what is checked or written.
struct Rates {
  double load_bytes_per_cycle;
  double store_bytes_per_cycle;
  double dma_latency;     // cycles from issue to the first byte
  double issue_cycles;    // scalar cycles per instruction
  double scalar_cycles;   // per read of the unified buffer
  int64_t burst_granule;  // memory moves multiples of this
};

struct Region {
  std::string name;
  uint8_t* base;
  int64_t length;
  bool writable;
  uint8_t* owner;  // core + 1 that wrote a byte; writable regions only
};

// A piece of the unified buffer with a queue's protocol, or without (TBuf).
enum class BufferState { kPlain, kFree, kAllocated, kQueued, kDequeued };

struct Buffer {
  int64_t offset;
  int64_t length;
  BufferState state;
  uint64_t generation;  // handles of an earlier step are stale
  Clock ready;          // by the step before: filled, or no longer needed
  double ready_time;
  uint64_t loads_at_enqueue;
  uint64_t alloc_order;
  int event;  // that the last EnQue or FreeTensor took, or -1
};

struct Handle {
  int buffer = -1;
  uint64_t generation = 0;
};

class Machine {
 public:
  explicit Machine(int64_t unified_buffer_bytes, const Rates& rates);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  int AddRegion(const std::string& name, void* base, int64_t length, bool writable);
  int FindRegion(const void* base) const;
  // The region that holds an address of global memory, and how far into it the address is.
  int RegionOf(const void* address, int64_t* offset) const;
  int64_t UnifiedBufferBytes() const { return static_cast<int64_t>(memory_.size()); }
  // For kernels whose scalar accesses nobody reports: every byte counts as written.
  void TrustUnifiedBuffer();

  void StartCore(int core);
  Counts FinishCore();
  int core() const { return core_; }

  // Buffers.
  int AddBuffer(int64_t length, bool queued);
  Handle Plain(int buffer) const;
  // A queue's steps. EnQue and FreeTensor each hold an event id of their two pipes until DeQue and AllocTensor.
  struct Route {
    PipeId producer;
    PipeId consumer;
  };
  Handle Allocate(const std::vector<int>& buffers, const Route& route);
  Handle Enqueue(Handle handle, const Route& route);
  Handle Dequeue(int buffer, const Route& route);
  void Free(Handle handle, const Route& route);
  int64_t BufferLength(int buffer) const { return buffers_[buffer].length; }

  // Flags and barriers.
  int FreeEvent(PipeId from, PipeId to) const;
  void SetFlag(PipeId from, PipeId to, int event);
  void WaitFlag(PipeId from, PipeId to, int event);
  void Barrier(PipeId pipe);

  // The kernel must say that it runs on vector cores alone; else CANN takes it for one of both kinds of cores.
  void DeclareVectorKernel() { vector_kernel_ = true; }
  void CheckDeclared() const;

  // Instructions. Offsets are in bytes: from the start of the buffer, or of the region.
  struct Dma {
    int64_t count;
    int64_t length;
    int64_t gm_stride;  // from start to start
    int64_t ub_stride;
  };
  void LoadBursts(Handle to, int64_t to_offset, int64_t to_limit, int region, int64_t offset, const Dma& dma,
                  bool zero_padding);
  void StoreBursts(int region, int64_t offset, Handle from, int64_t from_offset, int64_t from_limit, const Dma& dma);
  struct Operand {
    Handle handle;
    int64_t offset;
    int64_t limit;  // of the tensor, in bytes from the buffer's start
    int64_t length;
    bool write;
  };
  // Checks the operands of one vector instruction and charges it; the caller then moves the data through Data().
  void Vector(const std::vector<Operand>& operands);
  uint8_t* Scalar(const Operand& operand);
  uint8_t* Data(Handle handle, int64_t offset);

  void SetCheckRewrites(bool check) { check_rewrites_ = check; }

 private:
  struct Pipe {
    uint64_t issued;
    Clock known;
    double ready;
  };
  struct Flag {
    bool set;
    bool queues;  // taken by a queue; what is left when the kernel ends, TPipe waits for
    Clock clock;
    double time;
  };
  struct Shadow {
    int writer;
    uint64_t write;
    Clock reads;
  };

  int TakeEvent(PipeId from, PipeId to);
  void GiveEvent(PipeId from, PipeId to, Buffer* buffer);
  [[noreturn]] void Fail(const std::string& what) const;
  void CheckHandle(Handle handle, const char* what) const;
  void CheckSpan(const Operand& operand, const char* what) const;
  void ChargeScalarWork();
  uint64_t Issue(PipeId pipe, double cycles);
  void Touch(PipeId pipe, uint64_t sequence, const Operand& operand);
  bool Knows(PipeId pipe, int other, uint64_t sequence) const;
  Clock Completed(PipeId pipe) const;
  double DoneTime(PipeId pipe) const;
  void Merge(PipeId pipe, const Clock& clock, double time);
  double Burst(int64_t length, int64_t* classes, int64_t* charged, double rate) const;
  void CheckDma(const Dma& dma, int64_t ub_address) const;
  void Own(const Region& region, int64_t offset, int64_t length);

  Rates rates_;
  int core_ = 0;
  bool check_rewrites_ = true;
  bool vector_kernel_ = false;
  std::vector<uint8_t> memory_;
  std::vector<uint8_t> initialised_;
  std::vector<Shadow> shadow_;
  std::vector<Region> regions_;
  std::vector<Buffer> buffers_;
  int64_t used_ = 0;
  uint64_t allocations_ = 0;
  std::array<Pipe, kPipes> pipes_;
  std::map<std::pair<int, int>, std::array<Flag, 8>> flags_;
  Counts counts_;
};

// The machine that the kernel now running runs on.
Machine& Current();
void SetCurrent(Machine* machine);

}  // namespace host_model

#endif  // MS_SCATTER_PA_HOST_MODEL_MACHINE_H_
