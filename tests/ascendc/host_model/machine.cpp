#include "machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "scalar.h"

namespace host_model {
namespace {

constexpr int64_t kBlock = 32;
constexpr int64_t kVectorBytes = 256;  // per cycle
constexpr double kVectorLatency = 16;
constexpr size_t kMaxBuffers = 64;  // of one TPipe
constexpr int64_t kMaxBlockCount = 4095;
constexpr int64_t kMaxBlockLen = 2097151;
constexpr uint8_t kPoison = 0xA5;

const char* const kNames[kPipes] = {"S", "V", "MTE2", "MTE3"};

Machine* current = nullptr;

int BurstClass(int64_t length) {
  int result = 0;
  while (length > 1 && result + 1 < kBurstClasses) {
    length /= 2;
    ++result;
  }
  return result;
}

}  // namespace

Machine& Current() {
  if (current == nullptr) {
    throw Fault("no machine is running");
  }
  return *current;
}

void SetCurrent(Machine* machine) { current = machine; }

Machine::Machine(int64_t unified_buffer_bytes, const Rates& rates)
    : rates_(rates),
      memory_(static_cast<size_t>(unified_buffer_bytes)),
      initialised_(static_cast<size_t>(unified_buffer_bytes)),
      shadow_(static_cast<size_t>(unified_buffer_bytes / kBlock)) {}

Machine::~Machine() {
  for (const Region& region : regions_) {
    if (region.owner != nullptr) {
      munmap(region.owner, static_cast<size_t>(region.length));
    }
  }
}

void Machine::Fail(const std::string& what) const { throw Fault("core " + std::to_string(core_) + ": " + what); }

int Machine::AddRegion(const std::string& name, void* base, int64_t length, bool writable) {
  uint8_t* owner = nullptr;
  if (writable && length > 0) {
    // Costs memory only where written, so caches of many GiB can be modelled over sparse mappings.
    void* map = mmap(nullptr, static_cast<size_t>(length), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
      throw Fault("no address space for the owners of " + name);
    }
    owner = static_cast<uint8_t*>(map);
  }
  regions_.push_back({name, static_cast<uint8_t*>(base), length, writable, owner});
  return static_cast<int>(regions_.size()) - 1;
}

int Machine::FindRegion(const void* base) const {
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (regions_[i].base == base) {
      return static_cast<int>(i);
    }
  }
  Fail("SetGlobalBuffer: the address is not the start of a tensor");
}

int Machine::RegionOf(const void* address, int64_t* offset) const {
  const uint8_t* wanted = static_cast<const uint8_t*>(address);
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (wanted >= regions_[i].base && wanted < regions_[i].base + regions_[i].length) {
      *offset = wanted - regions_[i].base;
      return static_cast<int>(i);
    }
  }
  Fail("DMA: the address in global memory is in no tensor");
}

void Machine::TrustUnifiedBuffer() { std::fill(initialised_.begin(), initialised_.end(), 1); }

void Machine::StartCore(int core) {
  core_ = core;
  std::fill(memory_.begin(), memory_.end(), kPoison);
  std::fill(initialised_.begin(), initialised_.end(), 0);
  std::fill(shadow_.begin(), shadow_.end(), Shadow{-1, 0, {}});
  buffers_.clear();
  used_ = 0;
  pipes_.fill(Pipe{0, {}, 0});
  flags_.clear();
  counts_ = Counts();
  scalar_work = ScalarWork();
  vector_kernel_ = false;
}

void Machine::CheckDeclared() const {
  if (!vector_kernel_) {
    Fail("the kernel does not say that it runs on vector cores alone (KERNEL_TASK_TYPE_DEFAULT)");
  }
}

Counts Machine::FinishCore() {
  ChargeScalarWork();
  for (const auto& [pipes, flags] : flags_) {
    for (const Flag& flag : flags) {
      if (flag.set && !flag.queues) {
        Fail(std::string("a flag from ") + kNames[pipes.first] + " to " + kNames[pipes.second] +
             " is left set when the kernel ends");
      }
    }
  }
  for (const Buffer& buffer : buffers_) {
    if (buffer.state != BufferState::kPlain && buffer.state != BufferState::kFree) {
      Fail("a tensor of a queue is not freed when the kernel ends");
    }
  }
  double last = 0;
  for (int pipe = 0; pipe < kPipes; ++pipe) {
    if (pipes_[static_cast<size_t>(pipe)].issued > 0) {
      last = std::max(last, DoneTime(static_cast<PipeId>(pipe)));
    }
  }
  counts_.cycles = static_cast<int64_t>(last);
  return counts_;
}

int Machine::AddBuffer(int64_t length, bool queued) {
  if (length <= 0 || length % kBlock != 0) {
    Fail("InitBuffer: length " + std::to_string(length) + " is not a positive multiple of 32");
  }
  if (used_ + length > static_cast<int64_t>(memory_.size())) {
    Fail("InitBuffer: the unified buffer is full");
  }
  if (buffers_.size() >= kMaxBuffers) {
    Fail("InitBuffer: more than 64 buffers");
  }
  const BufferState state = queued ? BufferState::kFree : BufferState::kPlain;
  buffers_.push_back({used_, length, state, 0, {}, 0, 0, 0, -1});
  used_ += length;
  return static_cast<int>(buffers_.size()) - 1;
}

Handle Machine::Plain(int buffer) const {
  if (buffer < 0) {
    Fail("TBuf::Get before InitBuffer");
  }
  return {buffer, buffers_[static_cast<size_t>(buffer)].generation};
}

Handle Machine::Allocate(const std::vector<int>& buffers, const Route& route) {
  int best = -1;
  for (const int index : buffers) {
    const Buffer& buffer = buffers_[static_cast<size_t>(index)];
    if (buffer.state == BufferState::kFree &&
        (best < 0 || buffer.alloc_order < buffers_[static_cast<size_t>(best)].alloc_order)) {
      best = index;
    }
  }
  if (best < 0) {
    Fail("AllocTensor: no free buffer; the chip would wait forever");
  }
  Buffer& buffer = buffers_[static_cast<size_t>(best)];
  buffer.alloc_order = ++allocations_;
  buffer.state = BufferState::kAllocated;
  if (buffer.ready != Clock{}) {
    ++counts_.waits;
  }
  GiveEvent(route.consumer, route.producer, &buffer);
  Merge(route.producer, buffer.ready, buffer.ready_time);
  return {best, ++buffer.generation};
}

Handle Machine::Enqueue(Handle handle, const Route& route) {
  ChargeScalarWork();
  CheckHandle(handle, "EnQue");
  Buffer& buffer = buffers_[static_cast<size_t>(handle.buffer)];
  if (buffer.state != BufferState::kAllocated) {
    Fail("EnQue: the tensor is not one that AllocTensor gave");
  }
  buffer.state = BufferState::kQueued;
  buffer.ready = Completed(route.producer);
  buffer.ready_time = DoneTime(route.producer);
  buffer.event = TakeEvent(route.producer, route.consumer);
  buffer.loads_at_enqueue = pipes_[kLoad].issued;
  return {handle.buffer, ++buffer.generation};
}

Handle Machine::Dequeue(int index, const Route& route) {
  ChargeScalarWork();
  Buffer& buffer = buffers_[static_cast<size_t>(index)];
  if (buffer.state != BufferState::kQueued) {
    Fail("DeQue: the tensor was not queued");
  }
  buffer.state = BufferState::kDequeued;
  if (pipes_[kLoad].issued > buffer.loads_at_enqueue) {
    ++counts_.stores_after_next_load;
  }
  ++counts_.waits;
  GiveEvent(route.producer, route.consumer, &buffer);
  Merge(route.consumer, buffer.ready, buffer.ready_time);
  return {index, ++buffer.generation};
}

void Machine::Free(Handle handle, const Route& route) {
  CheckHandle(handle, "FreeTensor");
  Buffer& buffer = buffers_[static_cast<size_t>(handle.buffer)];
  if (buffer.state != BufferState::kDequeued) {
    Fail("FreeTensor: the tensor is not one that DeQue gave");
  }
  buffer.state = BufferState::kFree;
  buffer.ready = Completed(route.consumer);
  buffer.ready_time = DoneTime(route.consumer);
  buffer.event = TakeEvent(route.consumer, route.producer);
  ++buffer.generation;
}

int Machine::TakeEvent(PipeId from, PipeId to) {
  const int event = FreeEvent(from, to);
  flags_[{from, to}].at(static_cast<size_t>(event)) = {true, true, {}, 0};
  return event;
}

void Machine::GiveEvent(PipeId from, PipeId to, Buffer* buffer) {
  if (buffer->event >= 0) {
    flags_[{from, to}].at(static_cast<size_t>(buffer->event)) = Flag();
    buffer->event = -1;
  }
}

int Machine::FreeEvent(PipeId from, PipeId to) const {
  const auto found = flags_.find({from, to});
  for (int i = 0; i < 8; ++i) {
    if (found == flags_.end() || !found->second[static_cast<size_t>(i)].set) {
      return i;
    }
  }
  Fail("FetchEventID: all eight events are in use");
}

void Machine::SetFlag(PipeId from, PipeId to, int event) {
  ChargeScalarWork();
  Flag& flag = flags_[{from, to}].at(static_cast<size_t>(event));
  if (flag.set) {
    Fail("SetFlag: the flag is set already");
  }
  flag = {true, false, Completed(from), DoneTime(from)};
}

void Machine::WaitFlag(PipeId from, PipeId to, int event) {
  ChargeScalarWork();
  Flag& flag = flags_[{from, to}].at(static_cast<size_t>(event));
  if (!flag.set || flag.queues) {
    Fail(std::string("WaitFlag: nobody set the flag from ") + kNames[from] + " to " + kNames[to] +
         "; the chip would wait forever");
  }
  flag.set = false;
  ++counts_.waits;
  Merge(to, flag.clock, flag.time);
}

void Machine::Barrier(PipeId pipe) { pipes_[pipe].known[pipe] = pipes_[pipe].issued; }

// What is over once everything issued to `pipe` so far is.
Clock Machine::Completed(PipeId pipe) const {
  Clock clock = pipes_[pipe].known;
  clock[pipe] = pipes_[pipe].issued;
  if (pipe != kScalar) {
    for (int i = 0; i < kPipes; ++i) {
      if (i != kScalar) {
        clock[static_cast<size_t>(i)] = std::max(clock[static_cast<size_t>(i)], pipes_[kScalar].known[i]);
      }
    }
  }
  return clock;
}

double Machine::DoneTime(PipeId pipe) const {
  return pipes_[pipe].ready + (pipe == kLoad || pipe == kStore ? rates_.dma_latency : 0);
}

void Machine::Merge(PipeId pipe, const Clock& clock, double time) {
  for (size_t i = 0; i < kPipes; ++i) {
    pipes_[pipe].known[i] = std::max(pipes_[pipe].known[i], clock[i]);
  }
  pipes_[pipe].ready = std::max(pipes_[pipe].ready, time);
}

void Machine::ChargeScalarWork() {
  pipes_[kScalar].ready += static_cast<double>(scalar_work.simple) * kSimpleCycles +
                           static_cast<double>(scalar_work.multiplies) * kMultiplyCycles +
                           static_cast<double>(scalar_work.divisions) * kDivideCycles;
  counts_.scalar_operations += scalar_work.simple;
  counts_.multiplies += scalar_work.multiplies;
  counts_.divisions += scalar_work.divisions;
  if (pipes_[kLoad].issued == 0) {
    counts_.divisions_before_load += scalar_work.divisions;
  }
  scalar_work = ScalarWork();
}

// The scalar unit issues everything, so an instruction comes after all that the scalar unit has waited for. Its own
// reads and writes of the unified buffer are another matter: they need a flag like everybody else's.
uint64_t Machine::Issue(PipeId id, double cycles) {
  ChargeScalarWork();
  Pipe& scalar = pipes_[kScalar];
  Pipe& pipe = pipes_[id];
  if (id == kScalar) {
    scalar.ready += cycles;
    return ++scalar.issued;
  }
  scalar.ready += rates_.issue_cycles;
  for (size_t i = 0; i < kPipes; ++i) {
    if (i != kScalar) {
      pipe.known[i] = std::max(pipe.known[i], scalar.known[i]);
    }
  }
  pipe.ready = std::max(pipe.ready, scalar.ready) + cycles;
  return ++pipe.issued;
}

bool Machine::Knows(PipeId pipe, int other, uint64_t sequence) const {
  if (sequence == 0 || (pipe == kScalar && other == kScalar)) {
    return true;
  }
  return pipes_[pipe].known[static_cast<size_t>(other)] >= sequence;
}

void Machine::CheckHandle(Handle handle, const char* what) const {
  if (handle.buffer < 0 || static_cast<size_t>(handle.buffer) >= buffers_.size()) {
    Fail(std::string(what) + ": a tensor without a buffer");
  }
  const Buffer& buffer = buffers_[static_cast<size_t>(handle.buffer)];
  if (buffer.generation != handle.generation || buffer.state == BufferState::kFree) {
    Fail(std::string(what) + ": the tensor was queued or freed");
  }
}

void Machine::CheckSpan(const Operand& operand, const char* what) const {
  CheckHandle(operand.handle, what);
  if (operand.offset < 0 || operand.length < 0 || operand.offset + operand.length > operand.limit ||
      operand.limit > buffers_[static_cast<size_t>(operand.handle.buffer)].length) {
    Fail(std::string(what) + ": past the end of the tensor in the unified buffer");
  }
}

void Machine::Touch(PipeId pipe, uint64_t sequence, const Operand& operand) {
  const int64_t begin = buffers_[static_cast<size_t>(operand.handle.buffer)].offset + operand.offset;
  const int64_t end = begin + operand.length;
  for (int64_t block = begin / kBlock; block * kBlock < end; ++block) {
    Shadow& shadow = shadow_[static_cast<size_t>(block)];
    if (shadow.writer >= 0 && !(shadow.writer == pipe && shadow.write == sequence) &&
        !Knows(pipe, shadow.writer, shadow.write)) {
      Fail(std::string(kNames[pipe]) + (operand.write ? " writes" : " reads") + " what " + kNames[shadow.writer] +
           " may still be writing");
    }
    if (!operand.write) {
      shadow.reads[pipe] = sequence;
      continue;
    }
    for (int other = 0; other < kPipes; ++other) {
      const uint64_t read = shadow.reads[static_cast<size_t>(other)];
      if (!(other == pipe && read == sequence) && !Knows(pipe, other, read)) {
        Fail(std::string(kNames[pipe]) + " writes what " + kNames[other] + " may still be reading");
      }
    }
    shadow.writer = pipe;
    shadow.write = sequence;
  }
  if (operand.write) {
    std::fill(initialised_.begin() + begin, initialised_.begin() + end, 1);
  } else if (std::find(initialised_.begin() + begin, initialised_.begin() + end, 0) != initialised_.begin() + end) {
    Fail(std::string(kNames[pipe]) + " reads bytes of the unified buffer that nobody wrote");
  }
}

double Machine::Burst(int64_t length, int64_t* classes, int64_t* charged, double rate) const {
  ++classes[BurstClass(length)];
  const int64_t moved = (length + rates_.burst_granule - 1) / rates_.burst_granule * rates_.burst_granule;
  *charged += moved;
  return static_cast<double>(moved) / rate;
}

void Machine::CheckDma(const Dma& dma, int64_t ub_address) const {
  if (dma.count < 1 || dma.count > kMaxBlockCount) {
    Fail("DMA: blockCount " + std::to_string(dma.count) + " is not in 1..4095");
  }
  if (dma.length < 1 || dma.length > kMaxBlockLen) {
    Fail("DMA: blockLen " + std::to_string(dma.length) + " is not in 1..2097151");
  }
  if (ub_address % kBlock != 0) {
    Fail("DMA: the address in the unified buffer is no multiple of 32");
  }
}

void Machine::LoadBursts(Handle to, int64_t to_offset, int64_t to_limit, int region_index, int64_t offset,
                         const Dma& dma, bool zero_padding) {
  CheckDma(dma, to_offset);
  const Region& region = regions_[static_cast<size_t>(region_index)];
  const int64_t padded = (dma.length + kBlock - 1) / kBlock * kBlock;
  double cycles = 0;
  for (int64_t i = 0; i < dma.count; ++i) {
    cycles += Burst(dma.length, counts_.load_class, &counts_.charged_in, rates_.load_bytes_per_cycle);
  }
  const uint64_t sequence = Issue(kLoad, cycles);
  if (pipes_[kStore].issued > 0 && pipes_[kLoad].known[kStore] == pipes_[kStore].issued) {
    ++counts_.serial_loads;
  }
  for (int64_t i = 0; i < dma.count; ++i) {
    const int64_t from = offset + i * dma.gm_stride;
    if (from < 0 || from + dma.length > region.length) {
      Fail("load of " + region.name + "[" + std::to_string(from) + "] is out of bounds");
    }
    if (region.writable) {
      Fail("load of " + region.name + ", which the kernel writes");
    }
    const Operand operand = {to, to_offset + i * dma.ub_stride, to_limit, padded, true};
    CheckSpan(operand, "load");
    Touch(kLoad, sequence, operand);
    uint8_t* target = Data(to, operand.offset);
    std::memcpy(target, region.base + from, static_cast<size_t>(dma.length));
    if (padded > dma.length) {
      const int64_t begin = buffers_[static_cast<size_t>(to.buffer)].offset + operand.offset;
      std::memset(target + dma.length, zero_padding ? 0 : kPoison, static_cast<size_t>(padded - dma.length));
      std::fill(initialised_.begin() + begin + dma.length, initialised_.begin() + begin + padded, zero_padding ? 1 : 0);
    }
  }
  ++counts_.load_instructions;
  counts_.load_bursts += dma.count;
  counts_.bytes_in += dma.count * dma.length;
}

void Machine::Own(const Region& region, int64_t offset, int64_t length) {
  const uint8_t me = static_cast<uint8_t>(core_ + 1);
  uint8_t* begin = region.owner + offset;
  for (int64_t i = 0; i < length; ++i) {
    if (begin[i] != 0 && begin[i] != me) {
      Fail("store to " + region.name + "[" + std::to_string(offset + i) + "], which core " +
           std::to_string(begin[i] - 1) + " wrote too");
    }
    if (begin[i] == me && check_rewrites_) {
      Fail("store to " + region.name + "[" + std::to_string(offset + i) + "], which this core wrote before");
    }
  }
  std::memset(begin, me, static_cast<size_t>(length));
}

void Machine::StoreBursts(int region_index, int64_t offset, Handle from, int64_t from_offset, int64_t from_limit,
                          const Dma& dma) {
  CheckDma(dma, from_offset);
  const Region& region = regions_[static_cast<size_t>(region_index)];
  double cycles = 0;
  for (int64_t i = 0; i < dma.count; ++i) {
    cycles += Burst(dma.length, counts_.store_class, &counts_.charged_out, rates_.store_bytes_per_cycle);
  }
  const uint64_t sequence = Issue(kStore, cycles);
  for (int64_t i = 0; i < dma.count; ++i) {
    const int64_t to = offset + i * dma.gm_stride;
    if (to < 0 || to + dma.length > region.length) {
      Fail("store to " + region.name + "[" + std::to_string(to) + "] is out of bounds");
    }
    if (!region.writable) {
      Fail("store to " + region.name + ", which is an input");
    }
    const Operand operand = {from, from_offset + i * dma.ub_stride, from_limit, dma.length, false};
    CheckSpan(operand, "store");
    Touch(kStore, sequence, operand);
    Own(region, to, dma.length);
    std::memcpy(region.base + to, Data(from, operand.offset), static_cast<size_t>(dma.length));
  }
  ++counts_.store_instructions;
  counts_.store_bursts += dma.count;
  counts_.bytes_out += dma.count * dma.length;
}

void Machine::Vector(const std::vector<Operand>& operands) {
  int64_t bytes = 0;
  for (const Operand& operand : operands) {
    CheckSpan(operand, "vector instruction");
    if (operand.offset % kBlock != 0) {
      Fail("vector instruction: the address in the unified buffer is no multiple of 32");
    }
    bytes = std::max(bytes, operand.length);
  }
  const uint64_t sequence = Issue(kVector, kVectorLatency + static_cast<double>(bytes) / kVectorBytes);
  for (const bool write : {false, true}) {
    for (const Operand& operand : operands) {
      if (operand.write == write) {
        Touch(kVector, sequence, operand);
      }
    }
  }
  ++counts_.vector_instructions;
}

uint8_t* Machine::Scalar(const Operand& operand) {
  CheckSpan(operand, "scalar access");
  const uint64_t sequence = Issue(kScalar, rates_.scalar_cycles);
  Touch(kScalar, sequence, operand);
  ++counts_.scalar_reads;
  return Data(operand.handle, operand.offset);
}

uint8_t* Machine::Data(Handle handle, int64_t offset) {
  return memory_.data() + buffers_[static_cast<size_t>(handle.buffer)].offset + offset;
}

}  // namespace host_model
