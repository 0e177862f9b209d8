// gert::Shape and gert::StorageShape. What op_host does not use is not declared.
#ifndef MS_SCATTER_PA_STAND_IN_SHAPE_H_
#define MS_SCATTER_PA_STAND_IN_SHAPE_H_

#include <cstddef>
#include <cstdint>
#include <limits>

namespace gert {

struct Shape {
 public:
  static constexpr size_t kMaxDimNum = 25;

  size_t GetDimNum() const { return dim_num_; }
  void SetDimNum(size_t dim_num) { dim_num_ = dim_num; }
  int64_t GetDim(size_t index) const { return index < kMaxDimNum ? dims_[index] : std::numeric_limits<int64_t>::min(); }
  // As CANN's does, this leaves the rank of a shape that is too short one short.
  void SetDim(size_t index, int64_t value) {
    if (index < kMaxDimNum) {
      dims_[index] = value;
      dim_num_ = dim_num_ < index ? index : dim_num_;
    }
  }

 private:
  size_t dim_num_ = 0;
  int64_t dims_[kMaxDimNum] = {};
};

struct StorageShape {
 public:
  const Shape& GetOriginShape() const { return origin_; }
  const Shape& GetStorageShape() const { return storage_; }
  Shape& MutableOriginShape() { return origin_; }
  Shape& MutableStorageShape() { return storage_; }

 private:
  Shape origin_;
  Shape storage_;
};

}  // namespace gert

#endif  // MS_SCATTER_PA_STAND_IN_SHAPE_H_
