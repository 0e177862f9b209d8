// The device compiler's builtins on the host model's machine, whose clocks check every flag and barrier. Scalar
// accesses to the unified buffer are the processor's own, through a segment register: the machine does not see them.
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "host_half.h"
#include "machine.h"

namespace {

using host_model::Current;

host_model::Handle whole;  // the unified buffer in one piece: the library shares it out itself
bool counts_elements;
uint64_t mask;

host_model::PipeId PipeOf(int pipe) {
  switch (pipe) {
    case 0:
      return host_model::kScalar;
    case 1:
      return host_model::kVector;
    case 4:
      return host_model::kLoad;
    case 5:
      return host_model::kStore;
    default:
      throw host_model::Fault("pipe " + std::to_string(pipe) + " is not modelled");
  }
}

int64_t Address(const void* ub) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(ub)); }

host_model::Machine::Operand Operand(const void* ub, int64_t bytes, bool write) {
  return {whole, Address(ub), Current().BufferLength(whole.buffer), bytes, write};
}

uint8_t* Data(const void* ub) { return Current().Data(whole, Address(ub)); }

// One instruction over `mask` elements, all blocks one after another: the library's calls with an element count.
int64_t Count(const int64_t* strides, int inputs) {
  bool dense = counts_elements && strides[0] == 1;
  for (int i = 1; i <= inputs + 1; ++i) {
    dense = dense && strides[i] == 1;
  }
  if (!dense || mask == 0) {
    throw host_model::Fault("a vector instruction without a count of elements is not modelled");
  }
  return static_cast<int64_t>(mask);
}

template <typename To, typename From, typename Function>
void Map(void* to, void* from, const int64_t* strides, Function function) {
  const int64_t count = Count(strides, 1);
  Current().Vector({Operand(to, count * static_cast<int64_t>(sizeof(To)), true),
                    Operand(from, count * static_cast<int64_t>(sizeof(From)), false)});
  for (int64_t i = 0; i < count; ++i) {
    From in;
    std::memcpy(&in, Data(from) + i * static_cast<int64_t>(sizeof(From)), sizeof(From));
    const To out = function(in);
    std::memcpy(Data(to) + i * static_cast<int64_t>(sizeof(To)), &out, sizeof(To));
  }
}

}  // namespace

extern "C" {

// Before each core: the unified buffer at address 0 of a segment.
void StartOnRealLibrary() {
  host_model::Machine& machine = Current();
  machine.DeclareVectorKernel();
  whole = machine.Plain(machine.AddBuffer(machine.UnifiedBufferBytes(), false));
  machine.TrustUnifiedBuffer();
  counts_elements = false;
  syscall(SYS_arch_prctl, ARCH_SET_GS, machine.Data(whole, 0));
}

void unmodelled(const char* name) { throw host_model::Fault(std::string("the builtin ") + name + " is not modelled"); }

int64_t get_block_idx() { return Current().core(); }
int64_t get_block_num() { return 1; }
int64_t get_subblockid() { return 0; }
int64_t get_subblockdim() { return 1; }
int64_t sff0(uint64_t bits) { return ~bits == 0 ? -1 : __builtin_ctzll(~bits); }
uint64_t sbitset0(uint64_t bits, int64_t bit) { return bits & ~(1ULL << bit); }
uint64_t sbitset1(uint64_t bits, int64_t bit) { return bits | (1ULL << bit); }
void set_atomic_none() {}
void set_mov_pad_val(uint64_t value) {
  if (value != 0) {
    throw host_model::Fault("only zeros are modelled as padding");
  }
}
void set_mask_count() { counts_elements = true; }
void set_mask_norm() { counts_elements = false; }
void set_vector_mask(uint64_t, uint64_t low) { mask = low; }
void set_flag(int from, int to, int event) { Current().SetFlag(PipeOf(from), PipeOf(to), event); }
void wait_flag(int from, int to, int event) { Current().WaitFlag(PipeOf(from), PipeOf(to), event); }
void pipe_barrier(int pipe) {
  if (pipe == 6) {  // PIPE_ALL
    for (const host_model::PipeId each : {host_model::kVector, host_model::kLoad, host_model::kStore}) {
      Current().Barrier(each);
    }
    return;
  }
  Current().Barrier(PipeOf(pipe));
}

void copy_gm_to_ubuf_align_b8(void* to, void* from, uint8_t, uint16_t count, uint32_t length, uint8_t left,
                              uint8_t right, uint32_t from_gap, uint32_t to_gap) {
  const int64_t padded = (length + 31LL) / 32 * 32;
  const bool fills = left == 0 && length + right == padded;
  int64_t offset = 0;
  const int region = Current().RegionOf(from, &offset);
  Current().LoadBursts(whole, Address(to), Current().BufferLength(whole.buffer), region, offset,
                       {count, length, static_cast<int64_t>(length) + from_gap, padded + 32LL * to_gap}, fills);
}

void copy_ubuf_to_gm_align_b8(void* to, void* from, uint8_t, uint16_t count, uint32_t length, uint8_t, uint8_t,
                              uint32_t from_gap, uint32_t to_gap) {
  const int64_t padded = (length + 31LL) / 32 * 32;
  int64_t offset = 0;
  const int region = Current().RegionOf(to, &offset);
  Current().StoreBursts(region, offset, whole, Address(from), Current().BufferLength(whole.buffer),
                        {count, length, static_cast<int64_t>(length) + to_gap, padded + 32LL * from_gap});
}

void copy_ubuf_to_ubuf(void* to, void* from, uint8_t, uint16_t count, uint16_t length, uint16_t from_gap,
                       uint16_t to_gap) {
  const int64_t bytes = 32LL * length;
  std::vector<host_model::Machine::Operand> operands;
  for (int64_t i = 0; i < count; ++i) {
    operands.push_back(Operand(static_cast<uint8_t*>(to) + i * (bytes + 32LL * to_gap), bytes, true));
    operands.push_back(Operand(static_cast<uint8_t*>(from) + i * (bytes + 32LL * from_gap), bytes, false));
  }
  Current().Vector(operands);
  for (size_t i = 0; i < operands.size(); i += 2) {
    std::memmove(Current().Data(whole, operands[i].offset), Current().Data(whole, operands[i + 1].offset),
                 static_cast<size_t>(bytes));
  }
}

void model_dup(void* to, float value, const int64_t* strides) {
  const int64_t count = Count(strides, 0);
  Current().Vector({Operand(to, count * 4, true)});
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(Data(to) + 4 * i, &value, 4);
  }
}

void model_add(void* to, void* a, void* b, const int64_t* strides) {
  const int64_t count = Count(strides, 2);
  Current().Vector({Operand(to, count * 4, true), Operand(a, count * 4, false), Operand(b, count * 4, false)});
  for (int64_t i = 0; i < count; ++i) {
    float x;
    float y;
    std::memcpy(&x, Data(a) + 4 * i, 4);
    std::memcpy(&y, Data(b) + 4 * i, 4);
    const float sum = x + y;
    std::memcpy(Data(to) + 4 * i, &sum, 4);
  }
}

void vconv_f162f32_model(void* to, void* from, const int64_t* strides) {
  Map<float, uint16_t>(to, from, strides, [](uint16_t x) { return host_model::HalfToFloat(x); });
}
void vconv_bf162f32_model(void* to, void* from, const int64_t* strides) {
  Map<float, uint16_t>(to, from, strides, [](uint16_t x) { return host_model::BfloatToFloat(x); });
}
void vconv_f322f16r_model(void* to, void* from, const int64_t* strides) {
  Map<uint16_t, float>(to, from, strides, [](float x) { return host_model::FloatToHalf(x); });
}
void vconv_f322bf16r_model(void* to, void* from, const int64_t* strides) {
  Map<uint16_t, float>(to, from, strides, [](float x) { return host_model::FloatToBfloat(x); });
}

}  // extern "C"
