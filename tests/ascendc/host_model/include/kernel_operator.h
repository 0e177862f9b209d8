// The subset of Ascend C that the kernel uses, on a host. Names and signatures are Ascend C's, so that the kernel's
// source compiles unchanged; what is not modelled is not declared, and so does not compile. See docs/ascend_kernel.md.
#ifndef MS_SCATTER_PA_HOST_MODEL_KERNEL_OPERATOR_H_
#define MS_SCATTER_PA_HOST_MODEL_KERNEL_OPERATOR_H_

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "../machine.h"
#include "../scalar.h"
#include "host_half.h"

#define __aicore__
#define __global__
// clang can tell address spaces apart, as the device's compiler does; it then checks only, and nothing is run.
#ifdef HOST_MODEL_ADDRESS_SPACES
#define __gm__ __attribute__((address_space(1)))
#define __ubuf__ __attribute__((address_space(2)))
#else
#define __gm__
#define __ubuf__
#endif
#define GM_ADDR __gm__ uint8_t*

#define KERNEL_TASK_TYPE_DEFAULT(type)                                                \
  static_assert(AscendC::type == AscendC::KERNEL_TYPE_AIV_ONLY, "vector cores only"); \
  host_model::Current().DeclareVectorKernel()
#define REGISTER_TILING_DEFAULT(type) using HostModelTilingData = type
#define GET_TILING_DATA(name, address) \
  HostModelTilingData name;            \
  std::memcpy(&name, (const void*)(address), sizeof(name))

enum pipe_t { PIPE_V };
enum event_t : int { EVENT_ID0 = 0 };

namespace AscendC {

enum KernelType { KERNEL_TYPE_AIV_ONLY };
enum class TPosition { VECIN, VECOUT, VECCALC };
enum class RoundMode { CAST_NONE, CAST_RINT };
enum class HardEvent { S_V, S_MTE2, S_MTE3, V_S, V_MTE3, MTE2_S, MTE3_V, MTE3_S };
using TEventID = int8_t;

namespace host_detail {

struct PipePair {
  host_model::PipeId from;
  host_model::PipeId to;
};

constexpr PipePair PipesOf(HardEvent event) {
  switch (event) {
    case HardEvent::S_V:
      return {host_model::kScalar, host_model::kVector};
    case HardEvent::S_MTE2:
      return {host_model::kScalar, host_model::kLoad};
    case HardEvent::S_MTE3:
      return {host_model::kScalar, host_model::kStore};
    case HardEvent::V_S:
      return {host_model::kVector, host_model::kScalar};
    case HardEvent::V_MTE3:
      return {host_model::kVector, host_model::kStore};
    case HardEvent::MTE2_S:
      return {host_model::kLoad, host_model::kScalar};
    case HardEvent::MTE3_V:
      return {host_model::kStore, host_model::kVector};
    default:
      return {host_model::kStore, host_model::kScalar};
  }
}

}  // namespace host_detail

template <typename T>
class LocalTensor {
 public:
  LocalTensor() = default;
  LocalTensor(host_model::Handle handle, int64_t offset, int64_t limit)
      : handle_(handle), offset_(offset), limit_(limit) {}

  LocalTensor operator[](uint32_t element) const {
    return LocalTensor(handle_, offset_ + static_cast<int64_t>(element) * static_cast<int64_t>(sizeof(T)), limit_);
  }
  template <typename U>
  LocalTensor<U> ReinterpretCast() const {
    return LocalTensor<U>(handle_, offset_, limit_);
  }
  T GetValue(uint32_t element) const {
    T value;
    std::memcpy(&value, host_model::Current().Scalar(At(element, false)), sizeof(T));
    return value;
  }
  void SetValue(uint32_t element, T value) const {
    std::memcpy(host_model::Current().Scalar(At(element, true)), &value, sizeof(T));
  }

  // The host model's own view; not part of Ascend C.
  host_model::Handle HostModelHandle() const { return handle_; }
  int64_t HostModelOffset() const { return offset_; }
  int64_t HostModelLimit() const { return limit_; }
  host_model::Machine::Operand HostModelOperand(int64_t elements, bool write) const {
    return {handle_, offset_, limit_, elements * static_cast<int64_t>(sizeof(T)), write};
  }
  uint8_t* HostModelData() const { return host_model::Current().Data(handle_, offset_); }

 private:
  host_model::Machine::Operand At(uint32_t element, bool write) const {
    static_assert(host_model::IsInteger<T>::value, "the scalar unit reads and writes integers only");
    const int64_t width = static_cast<int64_t>(sizeof(T));
    return {handle_, offset_ + static_cast<int64_t>(element) * width, limit_, width, write};
  }

  host_model::Handle handle_;
  int64_t offset_ = 0;
  int64_t limit_ = 0;
};

template <typename T>
class GlobalTensor {
 public:
  void SetGlobalBuffer(__gm__ T* address) {
    region_ = host_model::Current().FindRegion((const void*)address);
    offset_ = 0;
  }
  GlobalTensor operator[](host_model::Counted<uint64_t> element) const {
    GlobalTensor tensor = *this;
    tensor.offset_ += static_cast<int64_t>(element.value() * sizeof(T));
    return tensor;
  }
  int HostModelRegion() const { return region_; }
  int64_t HostModelOffset() const { return offset_; }

 private:
  int region_ = -1;
  int64_t offset_ = 0;
};

struct DataCopyParams {
  uint16_t blockCount = 1;
  uint16_t blockLen = 0;   // 32 bytes
  uint16_t srcStride = 0;  // 32 bytes, from end to start
  uint16_t dstStride = 0;
};

struct DataCopyExtParams {
  uint16_t blockCount = 1;
  uint32_t blockLen = 0;   // bytes
  uint32_t srcStride = 0;  // global memory: bytes; unified buffer: 32 bytes; from end to start
  uint32_t dstStride = 0;
  uint32_t rsv = 0;
};

template <typename T>
struct DataCopyPadExtParams {
  bool isPad = false;
  uint8_t leftPadding = 0;
  uint8_t rightPadding = 0;
  T paddingValue = 0;
};

namespace host_detail {

inline int64_t BlockUp(int64_t bytes) { return (bytes + 31) / 32 * 32; }

inline void MoveBlocks(const host_model::Machine::Operand& to, const host_model::Machine::Operand& from, int64_t blocks,
                       int64_t length, int64_t to_stride, int64_t from_stride) {
  std::vector<host_model::Machine::Operand> operands;
  for (int64_t i = 0; i < blocks; ++i) {
    operands.push_back({to.handle, to.offset + i * to_stride, to.limit, length, true});
    operands.push_back({from.handle, from.offset + i * from_stride, from.limit, length, false});
  }
  host_model::Machine& machine = host_model::Current();
  machine.Vector(operands);
  for (int64_t i = 0; i < blocks; ++i) {
    std::memmove(machine.Data(to.handle, to.offset + i * to_stride),
                 machine.Data(from.handle, from.offset + i * from_stride), static_cast<size_t>(length));
  }
}

}  // namespace host_detail

// Global memory to unified buffer.
inline void DataCopyPad(const LocalTensor<uint8_t>& to, const GlobalTensor<uint8_t>& from,
                        const DataCopyExtParams& params, const DataCopyPadExtParams<uint8_t>& pad) {
  const int64_t length = params.blockLen;
  const int64_t padded = host_detail::BlockUp(length);
  const bool fills = pad.isPad && pad.leftPadding == 0 && pad.paddingValue == 0 && length + pad.rightPadding == padded;
  if (pad.isPad && !fills) {
    throw host_model::Fault("DataCopyPad: only zeros on the right, up to the next 32 bytes, are modelled");
  }
  host_model::Current().LoadBursts(
      to.HostModelHandle(), to.HostModelOffset(), to.HostModelLimit(), from.HostModelRegion(), from.HostModelOffset(),
      {params.blockCount, length, length + params.srcStride, padded + 32LL * params.dstStride}, fills);
}

// Unified buffer to global memory.
inline void DataCopyPad(const GlobalTensor<uint8_t>& to, const LocalTensor<uint8_t>& from,
                        const DataCopyExtParams& params) {
  const int64_t length = params.blockLen;
  const int64_t padded = host_detail::BlockUp(length);
  host_model::Current().StoreBursts(
      to.HostModelRegion(), to.HostModelOffset(), from.HostModelHandle(), from.HostModelOffset(), from.HostModelLimit(),
      {params.blockCount, length, length + params.dstStride, padded + 32LL * params.srcStride});
}

// Unified buffer to unified buffer, on the vector pipe.
template <typename T>
inline void DataCopy(const LocalTensor<T>& to, const LocalTensor<T>& from, const DataCopyParams& params) {
  const int64_t length = 32LL * params.blockLen;
  if (params.blockCount < 1 || params.blockCount > 4095 || length == 0) {
    throw host_model::Fault("DataCopy: blockCount is not in 1..4095, or blockLen is 0");
  }
  host_detail::MoveBlocks(to.HostModelOperand(0, true), from.HostModelOperand(0, false), params.blockCount, length,
                          length + 32LL * params.dstStride, length + 32LL * params.srcStride);
}

template <typename T>
inline void DataCopy(const LocalTensor<T>& to, const LocalTensor<T>& from, uint32_t count) {
  const int64_t length = static_cast<int64_t>(count) * static_cast<int64_t>(sizeof(T));
  if (length % 32 != 0 || length == 0) {
    throw host_model::Fault("DataCopy: " + std::to_string(length) +
                            " bytes are no multiple of 32; the chip would round down");
  }
  host_detail::MoveBlocks(to.HostModelOperand(0, true), from.HostModelOperand(0, false), 1, length, length, length);
}

namespace host_detail {

inline float Widen(half x) { return host_model::HalfToFloat(x.bits); }
inline float Widen(bfloat16_t x) { return host_model::BfloatToFloat(x.bits); }
inline void Narrow(float x, half* to) { to->bits = host_model::FloatToHalf(x); }
inline void Narrow(float x, bfloat16_t* to) { to->bits = host_model::FloatToBfloat(x); }

template <typename To, typename From, typename Function>
inline void Map(const LocalTensor<To>& to, const LocalTensor<From>& from, uint32_t count, Function function) {
  if (count == 0) {
    throw host_model::Fault("vector instruction: count is 0");
  }
  host_model::Current().Vector({to.HostModelOperand(count, true), from.HostModelOperand(count, false)});
  for (uint32_t i = 0; i < count; ++i) {
    From in;
    std::memcpy(&in, from.HostModelData() + i * sizeof(From), sizeof(From));
    const To out = function(in);
    std::memcpy(to.HostModelData() + i * sizeof(To), &out, sizeof(To));
  }
}

template <typename Narrowed>
inline void CastUp(const LocalTensor<float>& to, const LocalTensor<Narrowed>& from, RoundMode mode, uint32_t count) {
  if (mode != RoundMode::CAST_NONE) {
    throw host_model::Fault("Cast: widening takes CAST_NONE");
  }
  Map(to, from, count, [](Narrowed x) { return Widen(x); });
}

template <typename Narrowed>
inline void CastDown(const LocalTensor<Narrowed>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  if (mode != RoundMode::CAST_RINT) {
    throw host_model::Fault("Cast: narrowing takes CAST_RINT");
  }
  Map(to, from, count, [](float x) {
    Narrowed result;
    Narrow(x, &result);
    return result;
  });
}

}  // namespace host_detail

inline void Cast(const LocalTensor<float>& to, const LocalTensor<half>& from, RoundMode mode, uint32_t count) {
  host_detail::CastUp(to, from, mode, count);
}
inline void Cast(const LocalTensor<float>& to, const LocalTensor<bfloat16_t>& from, RoundMode mode, uint32_t count) {
  host_detail::CastUp(to, from, mode, count);
}
inline void Cast(const LocalTensor<half>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  host_detail::CastDown(to, from, mode, count);
}
inline void Cast(const LocalTensor<bfloat16_t>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  host_detail::CastDown(to, from, mode, count);
}

inline void Duplicate(const LocalTensor<float>& to, float value, int32_t count) {
  if (count <= 0) {
    throw host_model::Fault("vector instruction: count is not positive");
  }
  host_model::Current().Vector({to.HostModelOperand(count, true)});
  for (int32_t i = 0; i < count; ++i) {
    std::memcpy(to.HostModelData() + static_cast<size_t>(i) * sizeof(float), &value, sizeof(float));
  }
}

inline void Add(const LocalTensor<float>& to, const LocalTensor<float>& a, const LocalTensor<float>& b, int32_t count) {
  if (count <= 0) {
    throw host_model::Fault("vector instruction: count is not positive");
  }
  host_model::Current().Vector(
      {to.HostModelOperand(count, true), a.HostModelOperand(count, false), b.HostModelOperand(count, false)});
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    float x;
    float y;
    std::memcpy(&x, a.HostModelData() + i * sizeof(float), sizeof(float));
    std::memcpy(&y, b.HostModelData() + i * sizeof(float), sizeof(float));
    const float sum = x + y;
    std::memcpy(to.HostModelData() + i * sizeof(float), &sum, sizeof(float));
  }
}

}  // namespace AscendC

#include "host_vector.h"

namespace AscendC {

template <HardEvent EVENT>
inline void SetFlag(event_t event) {
  constexpr host_detail::PipePair pipes = host_detail::PipesOf(EVENT);
  host_model::Current().SetFlag(pipes.from, pipes.to, static_cast<int>(event));
}

template <HardEvent EVENT>
inline void WaitFlag(event_t event) {
  constexpr host_detail::PipePair pipes = host_detail::PipesOf(EVENT);
  host_model::Current().WaitFlag(pipes.from, pipes.to, static_cast<int>(event));
}

template <pipe_t PIPE>
inline void PipeBarrier() {
  static_assert(PIPE == PIPE_V, "only the vector pipe's barrier is modelled");
  host_model::Current().Barrier(host_model::kVector);
}

inline int64_t GetBlockIdx() { return host_model::Current().core(); }

template <TPosition POSITION>
class TBuf {
 public:
  static_assert(POSITION == TPosition::VECCALC, "only VECCALC buffers are modelled");
  template <typename T>
  LocalTensor<T> Get() const {
    const host_model::Handle handle = host_model::Current().Plain(buffer_);
    return LocalTensor<T>(handle, 0, host_model::Current().BufferLength(buffer_));
  }
  void HostModelInit(int64_t length) { buffer_ = host_model::Current().AddBuffer(length, false); }

 private:
  int buffer_ = -1;
};

template <TPosition SOURCE, TPosition DESTINATION, int32_t DEPTH>
class TQueBind {
 public:
  template <typename T>
  LocalTensor<T> AllocTensor() {
    return Tensor<T>(host_model::Current().Allocate(buffers_, kRoute));
  }
  template <typename T>
  bool EnQue(const LocalTensor<T>& tensor) {
    if (queued_.size() >= static_cast<size_t>(DEPTH)) {
      throw host_model::Fault("EnQue: deeper than the queue");
    }
    queued_.push_back(host_model::Current().Enqueue(tensor.HostModelHandle(), kRoute).buffer);
    return true;
  }
  template <typename T>
  LocalTensor<T> DeQue() {
    if (queued_.empty()) {
      throw host_model::Fault("DeQue: the queue is empty; the chip would wait forever");
    }
    const int buffer = queued_.front();
    queued_.erase(queued_.begin());
    return Tensor<T>(host_model::Current().Dequeue(buffer, kRoute));
  }
  template <typename T>
  void FreeTensor(LocalTensor<T>& tensor) {
    host_model::Current().Free(tensor.HostModelHandle(), kRoute);
  }
  void HostModelInit(int64_t length) { buffers_.push_back(host_model::Current().AddBuffer(length, true)); }

 private:
  static_assert(SOURCE != TPosition::VECCALC && DESTINATION != TPosition::VECCALC, "queues join two pipes");
  // VECIN is filled by loads; VECOUT is emptied by stores. Between them stands the vector pipe, or nothing.
  static constexpr host_model::Machine::Route kRoute = {
      SOURCE == TPosition::VECIN ? host_model::kLoad : host_model::kVector,
      DESTINATION == TPosition::VECOUT ? host_model::kStore : host_model::kVector};

  template <typename T>
  LocalTensor<T> Tensor(host_model::Handle handle) const {
    return LocalTensor<T>(handle, 0, host_model::Current().BufferLength(handle.buffer));
  }

  std::vector<int> buffers_;
  std::vector<int> queued_;
};

template <TPosition POSITION, int32_t DEPTH>
using TQue = TQueBind<POSITION, POSITION, DEPTH>;

class TPipe;

namespace host_detail {
inline TPipe*& PipeSlot() {
  static TPipe* pipe = nullptr;
  return pipe;
}
}  // namespace host_detail

class TPipe {
 public:
  TPipe() { host_detail::PipeSlot() = this; }
  ~TPipe() { host_detail::PipeSlot() = nullptr; }
  TPipe(const TPipe&) = delete;
  TPipe& operator=(const TPipe&) = delete;

  template <TPosition POSITION>
  bool InitBuffer(TBuf<POSITION>& buffer, uint32_t length) {
    buffer.HostModelInit(length);
    return true;
  }
  template <TPosition SOURCE, TPosition DESTINATION, int32_t DEPTH>
  bool InitBuffer(TQueBind<SOURCE, DESTINATION, DEPTH>& queue, uint8_t count, uint32_t length) {
    for (uint8_t i = 0; i < count; ++i) {
      queue.HostModelInit(length);
    }
    return true;
  }
  TEventID FetchEventID(HardEvent event) {
    const host_detail::PipePair pipes = host_detail::PipesOf(event);
    return static_cast<TEventID>(host_model::Current().FreeEvent(pipes.from, pipes.to));
  }
};

}  // namespace AscendC

inline AscendC::TPipe* GetTPipePtr() { return AscendC::host_detail::PipeSlot(); }

// From here on, in the kernel's own source: the arithmetic of the scalar unit is counted.
using HostModelInt64 = host_model::Counted<int64_t>;
using HostModelUint64 = host_model::Counted<uint64_t>;
#define int64_t HostModelInt64
#define uint64_t HostModelUint64

#endif  // MS_SCATTER_PA_HOST_MODEL_KERNEL_OPERATOR_H_
