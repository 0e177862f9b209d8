// Small kernels that each break one rule, to show that the host model sees it. `kNone` of each keeps all rules.
#include <cstring>
#include <string>

#include "kernel_operator.h"

#undef int64_t  // only the kernel's own arithmetic is counted
#undef uint64_t

namespace {

using AscendC::HardEvent;
using Bytes = AscendC::LocalTensor<uint8_t>;
using GmBytes = AscendC::GlobalTensor<uint8_t>;

constexpr int64_t kRegion = 4096;
constexpr int64_t kUnifiedBuffer = 8192;

uint8_t input[kRegion];
uint8_t output[kRegion];

AscendC::DataCopyExtParams Burst(uint32_t length) {
  AscendC::DataCopyExtParams params;
  params.blockLen = length;
  return params;
}

const AscendC::DataCopyPadExtParams<uint8_t> kNoPad;

template <HardEvent EVENT>
void Sync() {
  const event_t id = static_cast<event_t>(GetTPipePtr()->FetchEventID(EVENT));
  AscendC::SetFlag<EVENT>(id);
  AscendC::WaitFlag<EVENT>(id);
}

struct Tensors {
  Tensors() {
    in.SetGlobalBuffer(input);
    out.SetGlobalBuffer(output);
  }
  GmBytes in;
  GmBytes out;
};

void Load(const Bytes& to, const GmBytes& from, uint32_t length) {
  AscendC::DataCopyPad(to, from, Burst(length), kNoPad);
}

void Store(const GmBytes& to, const Bytes& from, uint32_t length) { AscendC::DataCopyPad(to, from, Burst(length)); }

// Loads, transposes nothing, stores: three rounds through two queues of two buffers.
void Queues(const std::string& fault) {
  AscendC::TPipe pipe;
  Tensors gm;
  AscendC::TQue<AscendC::TPosition::VECIN, 2> loads;
  AscendC::TQue<AscendC::TPosition::VECOUT, 2> stores;
  pipe.InitBuffer(loads, 2, 256);
  pipe.InitBuffer(stores, 2, 256);
  for (uint64_t round = 0; round < 3; ++round) {
    Bytes loaded = loads.AllocTensor<uint8_t>();
    if (fault == "deque before enque") {
      loaded = loads.DeQue<uint8_t>();
    }
    Load(loaded, gm.in[256 * round], 256);
    if (fault == "use without enque and deque") {
      Bytes copy = stores.AllocTensor<uint8_t>();
      AscendC::DataCopy(copy, loaded, 256U);
    }
    loads.EnQue(loaded);
    if (fault == "use between enque and deque") {
      Load(loaded, gm.in, 256);
    }
    loaded = loads.DeQue<uint8_t>();
    Bytes result = stores.AllocTensor<uint8_t>();
    if (fault == "free before use") {
      loads.FreeTensor(loaded);
    }
    AscendC::DataCopy(result, loaded, 256U);
    if (fault != "free missing") {
      loads.FreeTensor(loaded);
    }
    if (fault == "free twice") {
      loads.FreeTensor(loaded);
    }
    if (fault == "store without enque and deque") {
      Store(gm.out[256 * round], result, 256);
    }
    stores.EnQue(result);
    if (fault == "an event id that a queue holds") {
      AscendC::SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    }
    result = stores.DeQue<uint8_t>();
    Store(gm.out[256 * round], result, 256);
    stores.FreeTensor(result);
  }
  if (fault == "more buffers in flight than event ids") {
    AscendC::TQue<AscendC::TPosition::VECIN, 9> deep;
    pipe.InitBuffer(deep, 9, 32);
    for (int i = 0; i < 9; ++i) {
      Bytes loaded = deep.AllocTensor<uint8_t>();
      deep.EnQue(loaded);
    }
  }
  if (fault == "deeper than the queue") {
    Bytes loaded[3];
    AscendC::TQue<AscendC::TPosition::VECIN, 2> shallow;
    pipe.InitBuffer(shallow, 3, 32);
    for (Bytes& tensor : loaded) {
      tensor = shallow.AllocTensor<uint8_t>();
      shallow.EnQue(tensor);
    }
  }
  if (fault == "tensor left in the queue") {
    Bytes loaded = loads.AllocTensor<uint8_t>();
    loads.EnQue(loaded);
  }
}

// A load, a vector instruction, scalar work and a store on plain buffers, ordered by flags alone; twice, so that the
// second round reuses what the first may still be using.
void Flags(const std::string& fault) {
  AscendC::TPipe pipe;
  Tensors gm;
  AscendC::TBuf<AscendC::TPosition::VECCALC> buffers[2];
  pipe.InitBuffer(buffers[0], 256);
  pipe.InitBuffer(buffers[1], 256);
  const Bytes a = buffers[0].Get<uint8_t>();
  const Bytes b = buffers[1].Get<uint8_t>();
  for (uint64_t round = 0; round < 2; ++round) {
    if (fault != "load over what the scalar unit may still read") {
      Sync<HardEvent::S_MTE2>();
    }
    Load(a, gm.in, 256);
    if (fault != "scalar reads before the load is over") {
      Sync<HardEvent::MTE2_S>();
    }
    const uint8_t first = a.GetValue(0);
    if (fault != "vector writes what the scalar unit may still read") {
      Sync<HardEvent::S_V>();
    }
    AscendC::Duplicate(a.ReinterpretCast<float>(), 1.0F, 64);
    if (fault != "vector reads before the barrier") {
      AscendC::PipeBarrier<PIPE_V>();
    }
    AscendC::DataCopy(b, a, 256U);
    if (fault != "scalar writes before the vector instruction is over") {
      Sync<HardEvent::V_S>();
    }
    b.SetValue(0, first);
    if (fault != "store before the scalar unit wrote") {
      Sync<HardEvent::S_MTE3>();
    }
    Store(gm.out[256 * round], b, 256);
    if (fault != "buffer reused before the store read it") {
      Sync<HardEvent::MTE3_V>();
    }
    if (fault == "store without waiting for the vector instruction") {
      AscendC::Duplicate(b.ReinterpretCast<float>(), 1.0F, 64);
      Store(gm.out[2048], b, 256);
    }
  }
  if (fault == "flag left set") {
    AscendC::SetFlag<HardEvent::S_MTE2>(EVENT_ID0);
  }
  if (fault == "flag set twice") {
    AscendC::SetFlag<HardEvent::S_MTE2>(EVENT_ID0);
    AscendC::SetFlag<HardEvent::S_MTE2>(EVENT_ID0);
  }
  if (fault == "flag never set") {
    AscendC::WaitFlag<HardEvent::S_MTE2>(EVENT_ID0);
  }
}

// One buffer, loaded and stored through a queue; what is wrong is an address, a length or a count.
void Addresses(const std::string& fault) {
  AscendC::TPipe pipe;
  Tensors gm;
  if (fault == "address that is no tensor") {
    gm.in.SetGlobalBuffer(input + 32);
  }
  if (fault == "length of a buffer not a multiple of 32") {
    AscendC::TBuf<AscendC::TPosition::VECCALC> odd;
    pipe.InitBuffer(odd, 100);
  }
  if (fault == "unified buffer overflow") {
    AscendC::TBuf<AscendC::TPosition::VECCALC> large;
    pipe.InitBuffer(large, kUnifiedBuffer);
  }
  AscendC::TQueBind<AscendC::TPosition::VECIN, AscendC::TPosition::VECOUT, 2> queue;
  AscendC::TBuf<AscendC::TPosition::VECCALC> scratch;
  pipe.InitBuffer(queue, 2, 512);
  pipe.InitBuffer(scratch, 512);
  const Bytes plain = scratch.Get<uint8_t>();
  if (fault == "no free buffer") {
    queue.AllocTensor<uint8_t>();
    queue.AllocTensor<uint8_t>();
    queue.AllocTensor<uint8_t>();
  }
  if (fault == "empty queue") {
    queue.DeQue<uint8_t>();
  }
  if (fault == "bytes that nobody wrote") {
    (void)plain.GetValue(0);
  }
  if (fault == "padding that nobody asked for") {
    Load(plain, gm.in, 33);
    Sync<HardEvent::MTE2_S>();
    (void)plain.GetValue(40);
  }
  if (fault == "short DataCopy") {
    AscendC::Duplicate(plain.ReinterpretCast<float>(), 1.0F, 64);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::DataCopy(plain[256], plain, 40U);
  }
  if (fault == "vector address not a multiple of 32") {
    AscendC::Duplicate(plain[4].ReinterpretCast<float>(), 1.0F, 8);
  }
  if (fault == "vector past the tensor") {
    AscendC::Duplicate(plain.ReinterpretCast<float>(), 1.0F, 129);
  }
  if (fault == "scalar past the tensor") {
    plain.SetValue(512, 0);
  }
  Bytes tensor = queue.AllocTensor<uint8_t>();
  AscendC::DataCopyExtParams params = Burst(96);
  params.blockCount = 4;
  if (fault == "blockCount 0") {
    params.blockCount = 0;
  }
  if (fault == "blockCount 4096") {
    params.blockCount = 4096;
  }
  if (fault == "blockLen 0") {
    params.blockLen = 0;
  }
  if (fault == "copy larger than its tensor") {
    params.blockLen = 160;
  }
  if (fault == "load past the end of global memory") {
    params.srcStride = 2048;
  }
  const uint32_t start = fault == "DMA address not a multiple of 32" ? 16 : 0;
  const GmBytes source = fault == "load of what the kernel writes" ? gm.out[0] : gm.in[0];
  AscendC::DataCopyPad(tensor[start], source, params, kNoPad);
  queue.EnQue(tensor);
  tensor = queue.DeQue<uint8_t>();
  uint64_t place = 1024 * static_cast<uint64_t>(AscendC::GetBlockIdx());
  if (fault == "store past the end of global memory") {
    place = kRegion - 64;
  }
  if (fault == "store before the start of global memory") {
    place = static_cast<uint64_t>(-32);
  }
  if (fault == "two cores write one address") {
    place = 512 * static_cast<uint64_t>(AscendC::GetBlockIdx()) / 2;
  }
  Store(fault == "store to an input" ? gm.in[place] : gm.out[place], tensor, 384);
  if (fault == "one core writes an address twice") {
    Store(gm.out[place], tensor, 32);
  }
  queue.FreeTensor(tensor);
}

}  // namespace

// Runs `kernel` ("queues", "flags" or "addresses") with `fault` on two cores: 0, or 1 and the message.
extern "C" int HostModelPlant(const char* kernel, const char* fault, char* message, int64_t message_bytes) {
  const host_model::Rates rates = {16, 16, 600, 12, 2, 32};
  try {
    host_model::Machine machine(kUnifiedBuffer, rates);
    machine.AddRegion("input", input, kRegion, false);
    machine.AddRegion("output", output, kRegion, true);
    host_model::SetCurrent(&machine);
    const int cores = std::strcmp(kernel, "addresses") == 0 ? 2 : 1;
    for (int core = 0; core < cores; ++core) {
      machine.StartCore(core);
      if (std::strcmp(kernel, "queues") == 0) {
        Queues(fault);
      } else if (std::strcmp(kernel, "flags") == 0) {
        Flags(fault);
      } else {
        Addresses(fault);
      }
      machine.FinishCore();
    }
    host_model::SetCurrent(nullptr);
    return 0;
  } catch (const host_model::Fault& caught) {
    host_model::SetCurrent(nullptr);
    std::strncpy(message, caught.what(), static_cast<size_t>(message_bytes) - 1);
    message[message_bytes - 1] = '\0';
    return 1;
  }
}
