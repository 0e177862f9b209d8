// The kernel's split of the work, its float arithmetic and the host model's conversions, for tests of all their values.
#include <cstdint>

#include "host_half.h"
#include "ms_scatter_pa_float.h"
#include "ms_scatter_pa_shares.h"

extern "C" {

// The part of one core: tile and column where it begins, tile and column where it ends.
void HostModelPart(const MsScatterPaKvCacheTiling* tiling, int32_t side, int64_t core, int64_t* out) {
  const MsspRange range = MsspCoreRange(*tiling, side, core);
  const MsspPart part = MsspCutRange(*tiling, tiling->side[side], range);
  out[0] = part.from.tile;
  out[1] = part.from.column;
  out[2] = part.to.tile;
  out[3] = part.to.column;
}

void HostModelDivide(const uint32_t* a, int64_t n, int64_t count, uint32_t* out) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = mssp::DivideFloat(a[i], n);
  }
}

void HostModelDecode(int32_t element_type, uint32_t* out) {
  for (uint32_t code = 0; code < 256; ++code) {
    out[code] = mssp::DecodeCode(code, element_type);
  }
}

void HostModelEncode(int32_t element_type, const uint32_t* bits, int64_t count, uint8_t* out) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<uint8_t>(mssp::EncodeCode(bits[i], element_type));
  }
}

void HostModelHalfToFloat(const uint16_t* from, int64_t count, uint32_t* half_out, uint32_t* bfloat_out) {
  for (int64_t i = 0; i < count; ++i) {
    half_out[i] = host_model::BitsOf(host_model::HalfToFloat(from[i]));
    bfloat_out[i] = host_model::BitsOf(host_model::BfloatToFloat(from[i]));
  }
}

void HostModelFloatToHalf(const uint32_t* from, int64_t count, uint16_t* half_out, uint16_t* bfloat_out) {
  for (int64_t i = 0; i < count; ++i) {
    half_out[i] = host_model::FloatToHalf(host_model::FloatOf(from[i]));
    bfloat_out[i] = host_model::FloatToBfloat(host_model::FloatOf(from[i]));
  }
}

}  // extern "C"
