// Which part of the work a core does. op_host has divided already: a core divides only to find the token where its part
// begins and the one where it ends.
#ifndef MS_SCATTER_PA_SHARES_H_
#define MS_SCATTER_PA_SHARES_H_

#include "ms_scatter_pa_tiling_data.h"

// A place in the work of one side: everything of earlier tiles, and the columns before `column` of tile `tile`.
struct MsspPoint {
  int64_t tile;
  int64_t column;
};

// The part of bytes [begin, end) of the work of both sides, key before value, that lies in [base, base + size).
struct MsspRange {
  int64_t begin;
  int64_t end;
};

// One core's part of one side of Norm, PA_NZ and NHSD: from `from` up to, not including, `to`.
struct MsspPart {
  MsspPoint from;
  MsspPoint to;
};

// Where share `index` of `count` begins, when `quotient` and `rest` are total / count and total % count.
MSSP_FN int64_t MsspShareBegin(int64_t quotient, int64_t rest, int64_t index) {
  return quotient * index + MsspMin(index, rest);
}

// Where the work of `core` begins, in bytes of both sides, key before value.
MSSP_FN int64_t MsspCoreBegin(const MsScatterPaKvCacheTiling& tiling, int64_t core) {
  return core == 0 ? 0 : tiling.first_share + MsspShareBegin(tiling.share, tiling.share_rest, core - 1);
}

MSSP_FN MsspRange MsspClip(int64_t begin, int64_t end, int64_t base, int64_t size) {
  MsspRange range;
  range.begin = MsspMin(MsspMax(begin - base, 0), size);
  range.end = MsspMin(MsspMax(end - base, 0), size);
  return range;
}

// Rounds a column down to a multiple of `unit`.
MSSP_FN int64_t MsspRoundColumn(int64_t column, int64_t unit) {
  if (column < unit) {
    return 0;
  }
  return MsspIsPowerOfTwo(unit) ? column & -unit : column / unit * unit;
}

// Byte `x` of `tokens` rows, rounded down to a place where the work may be cut. Tiles of 1 << tile_shift tokens.
MSSP_FN MsspPoint MsspCut(int64_t x, int64_t tokens, int64_t row_bytes, int32_t tile_shift, int64_t column_unit) {
  MsspPoint point;
  point.column = 0;
  if (x == 0) {
    point.tile = 0;
    return point;
  }
  if (x >= tokens * row_bytes) {
    point.tile = ((tokens - 1) >> tile_shift) + 1;
    return point;
  }
  const int64_t tile_bytes = row_bytes << tile_shift;
  point.tile = x < tile_bytes ? 0 : x / tile_bytes;
  const int64_t first = point.tile << tile_shift;
  const int64_t rest = x - first * row_bytes;
  const bool whole = (first + (1LL << tile_shift)) <= tokens;
  point.column = MsspRoundColumn(whole ? rest >> tile_shift : rest / (tokens - first), column_unit);
  return point;
}

// Bytes `range` of one side's rows.
MSSP_FN MsspPart MsspCutRange(const MsScatterPaKvCacheTiling& tiling, const MsspSideTiling& side,
                              const MsspRange& range) {
  MsspPart part;
  part.from = MsspCut(range.begin, tiling.num_tokens, side.row_bytes, tiling.tile_shift, side.column_unit);
  part.to = MsspCut(range.end, tiling.num_tokens, side.row_bytes, tiling.tile_shift, side.column_unit);
  return part;
}

// What of the side a core works on; empty ranges need not be cut.
MSSP_FN MsspRange MsspCoreRange(const MsScatterPaKvCacheTiling& tiling, int32_t index, int64_t core) {
  const int64_t key_bytes = tiling.num_tokens * tiling.side[0].row_bytes;
  const int64_t begin = MsspCoreBegin(tiling, core);
  const int64_t end = MsspCoreBegin(tiling, core + 1);
  return index == 0 ? MsspClip(begin, end, 0, key_bytes)
                    : MsspClip(begin, end, key_bytes, tiling.num_tokens * tiling.side[1].row_bytes);
}

#endif  // MS_SCATTER_PA_SHARES_H_
