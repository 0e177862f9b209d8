// Positions in op_info's ARGUMENTS.
#ifndef MS_SCATTER_PA_CORE_ARGUMENTS_H_
#define MS_SCATTER_PA_CORE_ARGUMENTS_H_

namespace mssp {

enum Argument {
  kKey = 0,
  kValue = 1,
  kKeyCache = 2,
  kValueCache = 3,
  kSlotMapping = 4,
  kCompressLens = 5,
  kCompressSeqOffsets = 6,
  kSeqLens = 7,
};

inline constexpr const char* kArgumentNames[] = {
    "key", "value", "key_cache", "value_cache", "slot_mapping", "compress_lens", "compress_seq_offsets", "seq_lens"};
inline constexpr int kNumArguments = sizeof(kArgumentNames) / sizeof(kArgumentNames[0]);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_ARGUMENTS_H_
