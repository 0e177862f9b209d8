// Copies whole blocks of caches: within a cache, between caches, to and from arrays on the host. A block is a run of
// bytes whatever the layout is, and blocks lie a stride apart, so that an interleaved pool is one too.
#ifndef MS_SCATTER_PA_CORE_COPY_BLOCKS_H_
#define MS_SCATTER_PA_CORE_COPY_BLOCKS_H_

#include <stdint.h>

#include "scatter_pa.h"

#ifdef __cplusplus
extern "C" {
#endif

// Block target_blocks[i] of `target` gets what block source_blocks[i] of `source` holds, for i in [0, count).
typedef struct {
  const void* source;
  void* target;
  const int64_t* source_blocks;  // [count]; NULL: 0, 1, 2, ...
  const int64_t* target_blocks;
  int64_t count;
  int64_t source_num_blocks;
  int64_t target_num_blocks;
  int64_t source_stride;  // bytes from a block to the next, >= block_bytes
  int64_t target_stride;
  int64_t block_bytes;
} MsspBlockCopy;

// Checks every number of every copy, then copies, by lists of its own, so that they may lie anywhere: one team of
// threads for all of them. The result is that of one block after another in the order given, which tells what happens
// where a target is also a source, or is listed twice; where `source` and `target` overlap they must be the same memory
// with the same stride, and two copies must not touch the same blocks. A block copied to itself stays as it is.
//
// num_threads: 0: chosen by the core. code MSSP_BAD_SLOT: position is the index of the block in its copy, value the
// block, limit the number of blocks there are. MSSP_BAD_SHAPES: sizes that cannot be, or that no memory has in all
// copies together; position is the index of the copy. Nothing was copied then. MSSP_NO_MEMORY: none for the notes of a
// call; here alone some blocks may have been copied.
MsspStatus MsspCopyBlocks(const MsspBlockCopy* copies, int64_t num_copies, int32_t num_threads);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_COPY_BLOCKS_H_
