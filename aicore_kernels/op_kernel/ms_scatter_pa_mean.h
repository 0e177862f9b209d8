// Rope's mean row. Float types: float32 sums in row order on the vector unit, an exact division, one rounding. Integer
// types: 64-bit sums and a truncating division on the scalar unit. 8-bit floats are widened by a table of 256 values.
#ifndef MS_SCATTER_PA_MEAN_H_
#define MS_SCATTER_PA_MEAN_H_

#include "ms_scatter_pa_float.h"
#include "ms_scatter_pa_side.h"

namespace mssp {

constexpr int64_t kMeanUnit = 64;  // bytes of a row that stay on one core
constexpr int64_t kTableSize = 256;

class MeanWriter {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsScatterPaKvCacheTiling& tiling) {
    buffer_bytes_ = tiling.mean_buffer_bytes;
    elements_ = tiling.mean_elements;
    table_type_ = kNoTable;
    if (buffer_bytes_ == 0) {
      return;
    }
    pipe->InitBuffer(queue_, kBuffers, static_cast<uint32_t>(buffer_bytes_));
    pipe->InitBuffer(wide_, static_cast<uint32_t>(buffer_bytes_ * kWidening));
    pipe->InitBuffer(sums_, static_cast<uint32_t>(elements_ * static_cast<int64_t>(sizeof(int64_t))));
    pipe->InitBuffer(out_, static_cast<uint32_t>(elements_ * static_cast<int64_t>(sizeof(float))));
    pipe->InitBuffer(table_, static_cast<uint32_t>(kTableSize * static_cast<int64_t>(sizeof(float))));
  }

  // Averages `rows` source rows from `source` on, bytes [column, column_end) of each, into the cache row at `cache`.
  __aicore__ inline void Write(const Side& side, int64_t source, int64_t rows, int64_t cache, int64_t column,
                               int64_t column_end) {
    switch (side.tiling.element_type) {
      case MSSP_FLOAT16:
        return WriteFloat<half>(side, source, rows, cache, column, column_end);
      case MSSP_BFLOAT16:
        return WriteFloat<bfloat16_t>(side, source, rows, cache, column, column_end);
      case MSSP_FLOAT32:
        return WriteFloat<float>(side, source, rows, cache, column, column_end);
      case MSSP_INT8:
        return WriteInteger<int8_t>(side, source, rows, cache, column, column_end);
      case MSSP_UINT8:
        return WriteInteger<uint8_t>(side, source, rows, cache, column, column_end);
      case MSSP_INT16:
        return WriteInteger<int16_t>(side, source, rows, cache, column, column_end);
      case MSSP_UINT16:
        return WriteInteger<uint16_t>(side, source, rows, cache, column, column_end);
      case MSSP_INT32:
        return WriteInteger<int32_t>(side, source, rows, cache, column, column_end);
      case MSSP_UINT32:
        return WriteInteger<uint32_t>(side, source, rows, cache, column, column_end);
      default:
        FillTable(side.tiling.element_type);
        return WriteFloat<uint8_t>(side, source, rows, cache, column, column_end);
    }
  }

 private:
  static constexpr int32_t kNoTable = -1;
  static constexpr int64_t kWidening = 4;  // float32 over the narrowest type

  // One slice of columns after another, each narrow enough for the buffers.
  template <typename T>
  __aicore__ inline void WriteFloat(const Side& side, int64_t source, int64_t rows, int64_t cache, int64_t column,
                                    int64_t column_end) {
    const int64_t step = SliceBytes(sizeof(T));
    for (; column < column_end; column += step) {
      const int64_t bytes = MsspMin(step, column_end - column);
      const int64_t count = bytes / static_cast<int64_t>(sizeof(T));
      AscendC::LocalTensor<float> sums = sums_.Get<float>();
      Sync<AscendC::HardEvent::S_V>();
      AscendC::Duplicate(sums, 0.0f, static_cast<int32_t>(WholeBlocks(count)));
      AscendC::PipeBarrier<PIPE_V>();
      const int64_t most = buffer_bytes_ / UbPitch(bytes);
      for (int64_t row = 0; row < rows; row += most) {
        AddRows<T>(side, source + row * side.tiling.row_stride + column, MsspMin(most, rows - row), bytes);
      }
      DivideSums(count, rows);
      Round<T>(count, side.tiling.element_type);
      StoreOut(side, cache + column, bytes);
    }
  }

  // float32 elements of whole 32-byte blocks, at least `count`.
  __aicore__ inline static int64_t WholeBlocks(int64_t count) {
    return MsspAlignUp(count * static_cast<int64_t>(sizeof(float))) / static_cast<int64_t>(sizeof(float));
  }

  __aicore__ inline int64_t SliceBytes(int64_t element_bytes) const { return elements_ * element_bytes; }

  template <typename T>
  __aicore__ inline AscendC::LocalTensor<T> LoadRows(const Side& side, int64_t source, int64_t rows, int64_t bytes) {
    Bytes buffer = queue_.AllocTensor<uint8_t>();
    Load(buffer, side.rows, source, rows, bytes, side.tiling.row_stride);
    queue_.EnQue(buffer);
    buffer = queue_.DeQue<uint8_t>();
    return buffer.ReinterpretCast<T>();
  }

  template <typename T>
  __aicore__ inline void FreeRows(AscendC::LocalTensor<T>& rows) {
    Bytes buffer = rows.template ReinterpretCast<uint8_t>();
    queue_.FreeTensor(buffer);
  }

  template <typename T>
  __aicore__ inline void AddRows(const Side& side, int64_t source, int64_t rows, int64_t bytes) {
    const int64_t pitch = UbPitch(bytes) / static_cast<int64_t>(sizeof(T));
    AscendC::LocalTensor<T> loaded = LoadRows<T>(side, source, rows, bytes);
    AscendC::LocalTensor<float> sums = sums_.Get<float>();
    AscendC::LocalTensor<float> wide = wide_.Get<float>();
    Widen(wide, loaded, rows * pitch);
    const int32_t count = static_cast<int32_t>(bytes / static_cast<int64_t>(sizeof(T)));
    for (int64_t row = 0; row < rows; ++row) {
      AscendC::Add(sums, sums, wide[static_cast<uint32_t>(row * pitch)], count);
      AscendC::PipeBarrier<PIPE_V>();
    }
    FreeRows(loaded);
  }

  template <typename T>
  __aicore__ inline void Widen(const AscendC::LocalTensor<float>& to, const AscendC::LocalTensor<T>& from,
                               int64_t count) {
    AscendC::Cast(to, from, AscendC::RoundMode::CAST_NONE, static_cast<uint32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Widen(const AscendC::LocalTensor<float>& to, const AscendC::LocalTensor<float>& from,
                               int64_t count) {
    AscendC::DataCopy(to, from, static_cast<uint32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Widen(const AscendC::LocalTensor<float>& to, const AscendC::LocalTensor<uint8_t>& from,
                               int64_t count) {
    AscendC::LocalTensor<uint32_t> bits = to.ReinterpretCast<uint32_t>();
    AscendC::LocalTensor<uint32_t> table = table_.Get<uint32_t>();
    Sync<AscendC::HardEvent::MTE2_S>();
    Sync<AscendC::HardEvent::V_S>();
    for (int64_t i = 0; i < count; ++i) {
      bits.SetValue(static_cast<uint32_t>(i), table.GetValue(from.GetValue(static_cast<uint32_t>(i))));
    }
    Sync<AscendC::HardEvent::S_V>();
    Sync<AscendC::HardEvent::S_MTE2>();
  }

  __aicore__ inline void DivideSums(int64_t count, int64_t rows) {
    AscendC::LocalTensor<uint32_t> bits = sums_.Get<uint32_t>();
    Sync<AscendC::HardEvent::V_S>();
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t index = static_cast<uint32_t>(i);
      bits.SetValue(index, DivideFloat(bits.GetValue(index), rows));
    }
    Sync<AscendC::HardEvent::S_V>();
  }

  // Rounds the means into `out_`, which the store that follows reads.
  template <typename T>
  __aicore__ inline void Round(int64_t count, int32_t element_type) {
    AscendC::LocalTensor<float> sums = sums_.Get<float>();
    Sync<AscendC::HardEvent::MTE3_V>();
    RoundTo(out_.Get<T>(), sums, count, element_type);
  }

  template <typename T>
  __aicore__ inline void RoundTo(const AscendC::LocalTensor<T>& to, const AscendC::LocalTensor<float>& from,
                                 int64_t count, int32_t element_type) {
    (void)element_type;
    AscendC::Cast(to, from, AscendC::RoundMode::CAST_RINT, static_cast<uint32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();  // the next slice writes the sums again
    Sync<AscendC::HardEvent::V_MTE3>();
  }

  __aicore__ inline void RoundTo(const AscendC::LocalTensor<float>& to, const AscendC::LocalTensor<float>& from,
                                 int64_t count, int32_t element_type) {
    (void)element_type;
    AscendC::DataCopy(to, from, static_cast<uint32_t>(WholeBlocks(count)));
    AscendC::PipeBarrier<PIPE_V>();  // the next slice writes the sums again
    Sync<AscendC::HardEvent::V_MTE3>();
  }

  __aicore__ inline void RoundTo(const Bytes& to, const AscendC::LocalTensor<float>& from, int64_t count,
                                 int32_t element_type) {
    AscendC::LocalTensor<uint32_t> bits = from.ReinterpretCast<uint32_t>();
    Sync<AscendC::HardEvent::MTE3_S>();
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t index = static_cast<uint32_t>(i);
      to.SetValue(index, static_cast<uint8_t>(EncodeCode(bits.GetValue(index), element_type)));
    }
    Sync<AscendC::HardEvent::S_MTE3>();
  }

  __aicore__ inline void StoreOut(const Side& side, int64_t cache, int64_t bytes) {
    Store(side.cache, cache, out_.Get<uint8_t>(), 0, 1, bytes, bytes);
  }

  template <typename T>
  __aicore__ inline void WriteInteger(const Side& side, int64_t source, int64_t rows, int64_t cache, int64_t column,
                                      int64_t column_end) {
    const int64_t step = SliceBytes(sizeof(T));
    AscendC::LocalTensor<int64_t> sums = sums_.Get<int64_t>();
    for (; column < column_end; column += step) {
      const int64_t bytes = MsspMin(step, column_end - column);
      const int64_t count = bytes / static_cast<int64_t>(sizeof(T));
      for (int64_t i = 0; i < count; ++i) {
        sums.SetValue(static_cast<uint32_t>(i), 0);
      }
      const int64_t most = buffer_bytes_ / UbPitch(bytes);
      for (int64_t row = 0; row < rows; row += most) {
        const int64_t now = MsspMin(most, rows - row);
        AscendC::LocalTensor<T> loaded = LoadRows<T>(side, source + row * side.tiling.row_stride + column, now, bytes);
        Sync<AscendC::HardEvent::MTE2_S>();
        SumRows(sums, loaded, now, UbPitch(bytes) / static_cast<int64_t>(sizeof(T)), count);
        Sync<AscendC::HardEvent::S_MTE2>();
        FreeRows(loaded);
      }
      AscendC::LocalTensor<T> out = out_.Get<T>();
      Sync<AscendC::HardEvent::MTE3_S>();
      for (int64_t i = 0; i < count; ++i) {
        out.SetValue(static_cast<uint32_t>(i), static_cast<T>(sums.GetValue(static_cast<uint32_t>(i)) / rows));
      }
      Sync<AscendC::HardEvent::S_MTE3>();
      StoreOut(side, cache + column, bytes);
    }
  }

  template <typename T>
  __aicore__ inline static void SumRows(const AscendC::LocalTensor<int64_t>& sums, const AscendC::LocalTensor<T>& rows,
                                        int64_t row_count, int64_t pitch, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      int64_t sum = sums.GetValue(static_cast<uint32_t>(i));
      for (int64_t row = 0; row < row_count; ++row) {
        sum += static_cast<int64_t>(rows.GetValue(static_cast<uint32_t>(row * pitch + i)));
      }
      sums.SetValue(static_cast<uint32_t>(i), sum);
    }
  }

  __aicore__ inline void FillTable(int32_t element_type) {
    if (table_type_ == element_type) {
      return;
    }
    table_type_ = element_type;
    AscendC::LocalTensor<uint32_t> table = table_.Get<uint32_t>();
    for (uint32_t code = 0; code < kTableSize; ++code) {
      table.SetValue(code, DecodeCode(code, element_type));
    }
  }

  AscendC::TQue<AscendC::TPosition::VECIN, kBuffers> queue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> wide_;   // rows in float32
  AscendC::TBuf<AscendC::TPosition::VECCALC> sums_;   // float32 or int64 per column
  AscendC::TBuf<AscendC::TPosition::VECCALC> out_;    // the mean in the cache's type
  AscendC::TBuf<AscendC::TPosition::VECCALC> table_;  // float32 of each 8-bit code
  int64_t buffer_bytes_;
  int64_t elements_;
  int32_t table_type_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_MEAN_H_
