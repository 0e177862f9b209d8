// The tensors of the write on Ascend, in its order. Generated from op_info by `python -m op_info`: do not edit.
#ifndef MS_SCATTER_PA_TENSOR_NAMES_H_
#define MS_SCATTER_PA_TENSOR_NAMES_H_

constexpr const char* kTensorNames[] = {
    "key",      "value", "key_cache",   "value_cache", "slot_mapping", "compress_lens", "compress_seq_offsets",
    "seq_lens", "mode",  "last_status", "status"};

#endif  // MS_SCATTER_PA_TENSOR_NAMES_H_
