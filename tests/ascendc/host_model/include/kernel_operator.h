// The subset of Ascend C that the kernel uses, on a host. Names and signatures are Ascend C's, so that the kernel's
// source compiles unchanged; what is not modelled is not declared, and so does not compile. See docs/ascend_kernel.md.
#ifndef MS_SCATTER_PA_TWIN_KERNEL_OPERATOR_H_
#define MS_SCATTER_PA_TWIN_KERNEL_OPERATOR_H_

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "../machine.h"
#include "../scalar.h"
#include "twin_half.h"

#define __aicore__
#define __global__
// clang can tell address spaces apart, as the device's compiler does; it then checks only, and nothing is run.
#ifdef TWIN_ADDRESS_SPACES
#define __gm__ __attribute__((address_space(1)))
#define __ubuf__ __attribute__((address_space(2)))
#else
#define __gm__
#define __ubuf__
#endif
#define GM_ADDR __gm__ uint8_t*

#define KERNEL_TASK_TYPE_DEFAULT(type)                                                \
  static_assert(AscendC::type == AscendC::KERNEL_TYPE_AIV_ONLY, "vector cores only"); \
  twin::Current().DeclareVectorKernel()
#define REGISTER_TILING_DEFAULT(type) using TwinTilingData = type
#define GET_TILING_DATA(name, address) \
  TwinTilingData name;                 \
  std::memcpy(&name, (const void*)(address), sizeof(name))

enum pipe_t { PIPE_V };
enum event_t : int { EVENT_ID0 = 0 };

namespace AscendC {

enum KernelType { KERNEL_TYPE_AIV_ONLY };
enum class TPosition { VECIN, VECOUT, VECCALC };
enum class RoundMode { CAST_NONE, CAST_RINT };
enum class HardEvent { S_V, S_MTE2, S_MTE3, V_S, V_MTE3, MTE2_S, MTE3_V, MTE3_S };
using TEventID = int8_t;

namespace twin_detail {

struct PipePair {
  twin::PipeId from;
  twin::PipeId to;
};

constexpr PipePair PipesOf(HardEvent event) {
  switch (event) {
    case HardEvent::S_V:
      return {twin::kScalar, twin::kVector};
    case HardEvent::S_MTE2:
      return {twin::kScalar, twin::kLoad};
    case HardEvent::S_MTE3:
      return {twin::kScalar, twin::kStore};
    case HardEvent::V_S:
      return {twin::kVector, twin::kScalar};
    case HardEvent::V_MTE3:
      return {twin::kVector, twin::kStore};
    case HardEvent::MTE2_S:
      return {twin::kLoad, twin::kScalar};
    case HardEvent::MTE3_V:
      return {twin::kStore, twin::kVector};
    default:
      return {twin::kStore, twin::kScalar};
  }
}

}  // namespace twin_detail

template <typename T>
class LocalTensor {
 public:
  LocalTensor() = default;
  LocalTensor(twin::Handle handle, int64_t offset, int64_t limit) : handle_(handle), offset_(offset), limit_(limit) {}

  LocalTensor operator[](uint32_t element) const {
    return LocalTensor(handle_, offset_ + static_cast<int64_t>(element) * static_cast<int64_t>(sizeof(T)), limit_);
  }
  template <typename U>
  LocalTensor<U> ReinterpretCast() const {
    return LocalTensor<U>(handle_, offset_, limit_);
  }
  T GetValue(uint32_t element) const {
    T value;
    std::memcpy(&value, twin::Current().Scalar(At(element, false)), sizeof(T));
    return value;
  }
  void SetValue(uint32_t element, T value) const {
    std::memcpy(twin::Current().Scalar(At(element, true)), &value, sizeof(T));
  }

  // The twin's own view; not part of Ascend C.
  twin::Handle TwinHandle() const { return handle_; }
  int64_t TwinOffset() const { return offset_; }
  int64_t TwinLimit() const { return limit_; }
  twin::Machine::Operand TwinOperand(int64_t elements, bool write) const {
    return {handle_, offset_, limit_, elements * static_cast<int64_t>(sizeof(T)), write};
  }
  uint8_t* TwinData() const { return twin::Current().Data(handle_, offset_); }

 private:
  twin::Machine::Operand At(uint32_t element, bool write) const {
    static_assert(twin::IsInteger<T>::value, "the scalar unit reads and writes integers only");
    const int64_t width = static_cast<int64_t>(sizeof(T));
    return {handle_, offset_ + static_cast<int64_t>(element) * width, limit_, width, write};
  }

  twin::Handle handle_;
  int64_t offset_ = 0;
  int64_t limit_ = 0;
};

template <typename T>
class GlobalTensor {
 public:
  void SetGlobalBuffer(__gm__ T* address) {
    region_ = twin::Current().FindRegion((const void*)address);
    offset_ = 0;
  }
  GlobalTensor operator[](twin::Counted<uint64_t> element) const {
    GlobalTensor tensor = *this;
    tensor.offset_ += static_cast<int64_t>(element.value() * sizeof(T));
    return tensor;
  }
  int TwinRegion() const { return region_; }
  int64_t TwinOffset() const { return offset_; }

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

namespace twin_detail {

inline int64_t BlockUp(int64_t bytes) { return (bytes + 31) / 32 * 32; }

inline void MoveBlocks(const twin::Machine::Operand& to, const twin::Machine::Operand& from, int64_t blocks,
                       int64_t length, int64_t to_stride, int64_t from_stride) {
  std::vector<twin::Machine::Operand> operands;
  for (int64_t i = 0; i < blocks; ++i) {
    operands.push_back({to.handle, to.offset + i * to_stride, to.limit, length, true});
    operands.push_back({from.handle, from.offset + i * from_stride, from.limit, length, false});
  }
  twin::Machine& machine = twin::Current();
  machine.Vector(operands);
  for (int64_t i = 0; i < blocks; ++i) {
    std::memmove(machine.Data(to.handle, to.offset + i * to_stride),
                 machine.Data(from.handle, from.offset + i * from_stride), static_cast<size_t>(length));
  }
}

}  // namespace twin_detail

// Global memory to unified buffer.
inline void DataCopyPad(const LocalTensor<uint8_t>& to, const GlobalTensor<uint8_t>& from,
                        const DataCopyExtParams& params, const DataCopyPadExtParams<uint8_t>& pad) {
  const int64_t length = params.blockLen;
  const int64_t padded = twin_detail::BlockUp(length);
  const bool fills = pad.isPad && pad.leftPadding == 0 && pad.paddingValue == 0 && length + pad.rightPadding == padded;
  if (pad.isPad && !fills) {
    throw twin::Fault("DataCopyPad: only zeros on the right, up to the next 32 bytes, are modelled");
  }
  twin::Current().LoadBursts(to.TwinHandle(), to.TwinOffset(), to.TwinLimit(), from.TwinRegion(), from.TwinOffset(),
                             {params.blockCount, length, length + params.srcStride, padded + 32LL * params.dstStride},
                             fills);
}

// Unified buffer to global memory.
inline void DataCopyPad(const GlobalTensor<uint8_t>& to, const LocalTensor<uint8_t>& from,
                        const DataCopyExtParams& params) {
  const int64_t length = params.blockLen;
  const int64_t padded = twin_detail::BlockUp(length);
  twin::Current().StoreBursts(to.TwinRegion(), to.TwinOffset(), from.TwinHandle(), from.TwinOffset(), from.TwinLimit(),
                              {params.blockCount, length, length + params.dstStride, padded + 32LL * params.srcStride});
}

// Unified buffer to unified buffer, on the vector pipe.
template <typename T>
inline void DataCopy(const LocalTensor<T>& to, const LocalTensor<T>& from, const DataCopyParams& params) {
  const int64_t length = 32LL * params.blockLen;
  if (params.blockCount < 1 || params.blockCount > 4095 || length == 0) {
    throw twin::Fault("DataCopy: blockCount is not in 1..4095, or blockLen is 0");
  }
  twin_detail::MoveBlocks(to.TwinOperand(0, true), from.TwinOperand(0, false), params.blockCount, length,
                          length + 32LL * params.dstStride, length + 32LL * params.srcStride);
}

template <typename T>
inline void DataCopy(const LocalTensor<T>& to, const LocalTensor<T>& from, uint32_t count) {
  const int64_t length = static_cast<int64_t>(count) * static_cast<int64_t>(sizeof(T));
  if (length % 32 != 0 || length == 0) {
    throw twin::Fault("DataCopy: " + std::to_string(length) +
                      " bytes are no multiple of 32; the chip would round down");
  }
  twin_detail::MoveBlocks(to.TwinOperand(0, true), from.TwinOperand(0, false), 1, length, length, length);
}

namespace twin_detail {

inline float Widen(half x) { return twin::HalfToFloat(x.bits); }
inline float Widen(bfloat16_t x) { return twin::BfloatToFloat(x.bits); }
inline void Narrow(float x, half* to) { to->bits = twin::FloatToHalf(x); }
inline void Narrow(float x, bfloat16_t* to) { to->bits = twin::FloatToBfloat(x); }

template <typename To, typename From, typename Function>
inline void Map(const LocalTensor<To>& to, const LocalTensor<From>& from, uint32_t count, Function function) {
  if (count == 0) {
    throw twin::Fault("vector instruction: count is 0");
  }
  twin::Current().Vector({to.TwinOperand(count, true), from.TwinOperand(count, false)});
  for (uint32_t i = 0; i < count; ++i) {
    From in;
    std::memcpy(&in, from.TwinData() + i * sizeof(From), sizeof(From));
    const To out = function(in);
    std::memcpy(to.TwinData() + i * sizeof(To), &out, sizeof(To));
  }
}

template <typename Narrowed>
inline void CastUp(const LocalTensor<float>& to, const LocalTensor<Narrowed>& from, RoundMode mode, uint32_t count) {
  if (mode != RoundMode::CAST_NONE) {
    throw twin::Fault("Cast: widening takes CAST_NONE");
  }
  Map(to, from, count, [](Narrowed x) { return Widen(x); });
}

template <typename Narrowed>
inline void CastDown(const LocalTensor<Narrowed>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  if (mode != RoundMode::CAST_RINT) {
    throw twin::Fault("Cast: narrowing takes CAST_RINT");
  }
  Map(to, from, count, [](float x) {
    Narrowed result;
    Narrow(x, &result);
    return result;
  });
}

}  // namespace twin_detail

inline void Cast(const LocalTensor<float>& to, const LocalTensor<half>& from, RoundMode mode, uint32_t count) {
  twin_detail::CastUp(to, from, mode, count);
}
inline void Cast(const LocalTensor<float>& to, const LocalTensor<bfloat16_t>& from, RoundMode mode, uint32_t count) {
  twin_detail::CastUp(to, from, mode, count);
}
inline void Cast(const LocalTensor<half>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  twin_detail::CastDown(to, from, mode, count);
}
inline void Cast(const LocalTensor<bfloat16_t>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  twin_detail::CastDown(to, from, mode, count);
}

inline void Duplicate(const LocalTensor<float>& to, float value, int32_t count) {
  if (count <= 0) {
    throw twin::Fault("vector instruction: count is not positive");
  }
  twin::Current().Vector({to.TwinOperand(count, true)});
  for (int32_t i = 0; i < count; ++i) {
    std::memcpy(to.TwinData() + static_cast<size_t>(i) * sizeof(float), &value, sizeof(float));
  }
}

inline void Add(const LocalTensor<float>& to, const LocalTensor<float>& a, const LocalTensor<float>& b, int32_t count) {
  if (count <= 0) {
    throw twin::Fault("vector instruction: count is not positive");
  }
  twin::Current().Vector({to.TwinOperand(count, true), a.TwinOperand(count, false), b.TwinOperand(count, false)});
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    float x;
    float y;
    std::memcpy(&x, a.TwinData() + i * sizeof(float), sizeof(float));
    std::memcpy(&y, b.TwinData() + i * sizeof(float), sizeof(float));
    const float sum = x + y;
    std::memcpy(to.TwinData() + i * sizeof(float), &sum, sizeof(float));
  }
}

template <HardEvent EVENT>
inline void SetFlag(event_t event) {
  constexpr twin_detail::PipePair pipes = twin_detail::PipesOf(EVENT);
  twin::Current().SetFlag(pipes.from, pipes.to, static_cast<int>(event));
}

template <HardEvent EVENT>
inline void WaitFlag(event_t event) {
  constexpr twin_detail::PipePair pipes = twin_detail::PipesOf(EVENT);
  twin::Current().WaitFlag(pipes.from, pipes.to, static_cast<int>(event));
}

template <pipe_t PIPE>
inline void PipeBarrier() {
  static_assert(PIPE == PIPE_V, "only the vector pipe's barrier is modelled");
  twin::Current().Barrier(twin::kVector);
}

inline int64_t GetBlockIdx() { return twin::Current().core(); }

template <TPosition POSITION>
class TBuf {
 public:
  static_assert(POSITION == TPosition::VECCALC, "only VECCALC buffers are modelled");
  template <typename T>
  LocalTensor<T> Get() const {
    const twin::Handle handle = twin::Current().Plain(buffer_);
    return LocalTensor<T>(handle, 0, twin::Current().BufferLength(buffer_));
  }
  void TwinInit(int64_t length) { buffer_ = twin::Current().AddBuffer(length, false); }

 private:
  int buffer_ = -1;
};

template <TPosition SOURCE, TPosition DESTINATION, int32_t DEPTH>
class TQueBind {
 public:
  template <typename T>
  LocalTensor<T> AllocTensor() {
    return Tensor<T>(twin::Current().Allocate(buffers_, kRoute));
  }
  template <typename T>
  bool EnQue(const LocalTensor<T>& tensor) {
    if (queued_.size() >= static_cast<size_t>(DEPTH)) {
      throw twin::Fault("EnQue: deeper than the queue");
    }
    queued_.push_back(twin::Current().Enqueue(tensor.TwinHandle(), kRoute).buffer);
    return true;
  }
  template <typename T>
  LocalTensor<T> DeQue() {
    if (queued_.empty()) {
      throw twin::Fault("DeQue: the queue is empty; the chip would wait forever");
    }
    const int buffer = queued_.front();
    queued_.erase(queued_.begin());
    return Tensor<T>(twin::Current().Dequeue(buffer, kRoute));
  }
  template <typename T>
  void FreeTensor(LocalTensor<T>& tensor) {
    twin::Current().Free(tensor.TwinHandle(), kRoute);
  }
  void TwinInit(int64_t length) { buffers_.push_back(twin::Current().AddBuffer(length, true)); }

 private:
  static_assert(SOURCE != TPosition::VECCALC && DESTINATION != TPosition::VECCALC, "queues join two pipes");
  // VECIN is filled by loads; VECOUT is emptied by stores. Between them stands the vector pipe, or nothing.
  static constexpr twin::Machine::Route kRoute = {SOURCE == TPosition::VECIN ? twin::kLoad : twin::kVector,
                                                  DESTINATION == TPosition::VECOUT ? twin::kStore : twin::kVector};

  template <typename T>
  LocalTensor<T> Tensor(twin::Handle handle) const {
    return LocalTensor<T>(handle, 0, twin::Current().BufferLength(handle.buffer));
  }

  std::vector<int> buffers_;
  std::vector<int> queued_;
};

template <TPosition POSITION, int32_t DEPTH>
using TQue = TQueBind<POSITION, POSITION, DEPTH>;

class TPipe;

namespace twin_detail {
inline TPipe*& PipeSlot() {
  static TPipe* pipe = nullptr;
  return pipe;
}
}  // namespace twin_detail

class TPipe {
 public:
  TPipe() { twin_detail::PipeSlot() = this; }
  ~TPipe() { twin_detail::PipeSlot() = nullptr; }
  TPipe(const TPipe&) = delete;
  TPipe& operator=(const TPipe&) = delete;

  template <TPosition POSITION>
  bool InitBuffer(TBuf<POSITION>& buffer, uint32_t length) {
    buffer.TwinInit(length);
    return true;
  }
  template <TPosition SOURCE, TPosition DESTINATION, int32_t DEPTH>
  bool InitBuffer(TQueBind<SOURCE, DESTINATION, DEPTH>& queue, uint8_t count, uint32_t length) {
    for (uint8_t i = 0; i < count; ++i) {
      queue.TwinInit(length);
    }
    return true;
  }
  TEventID FetchEventID(HardEvent event) {
    const twin_detail::PipePair pipes = twin_detail::PipesOf(event);
    return static_cast<TEventID>(twin::Current().FreeEvent(pipes.from, pipes.to));
  }
};

}  // namespace AscendC

inline AscendC::TPipe* GetTPipePtr() { return AscendC::twin_detail::PipeSlot(); }

// From here on, in the kernel's own source: the arithmetic of the scalar unit is counted.
using TwinInt64 = twin::Counted<int64_t>;
using TwinUint64 = twin::Counted<uint64_t>;
#define int64_t TwinInt64
#define uint64_t TwinUint64

#endif  // MS_SCATTER_PA_TWIN_KERNEL_OPERATOR_H_
