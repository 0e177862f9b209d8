// Whole rows to codes, one or two of PA_NZ at a time, and the table of all of quantising, for inclusion by the x86 sets
// after the ways to make a group of codes.
#include <cstdint>

namespace mssp {
namespace {

constexpr int64_t kJudged = 1024;  // columns after which it is judged whether attempts are worth their time
constexpr int64_t kRest = 4096;    // columns that are left without one where they are not
static_assert(kPlanColumns % kGroup == 0);

template <typename Rows, typename Codes, bool kComputed>
struct ByTable;  // of the sets that have tables

// A group whose quick codes may be wrong. Everything comes in registers: a load of what narrower stores wrote would
// wait for all stores before them, and those that go past the caches are slow.
template <typename Rows, typename Codes>
__attribute__((noinline)) Words GroupByQuotients(const char* from, const float* scale, const float* offset,
                                                 const float* inverse, int64_t step, int lowest) {
  Words codes;
  ByQuotients<Rows, Codes>({scale, offset, step, inverse}, lowest).Make(from, 0, &codes);
  return codes;
}

// The same of each of the rows.
template <typename Of>
struct OfRows {
  const Of& first;
  const Of& second;
  const Of& operator[](int row) const { return row == 0 ? first : second; }
};

// Columns [begin, end) of each head, whole groups. Returns how many groups were not made quickly.
template <typename Rows, typename Codes, bool kFetches, int kRows, typename Way>
MSSP_ALWAYS_INLINE int64_t MakeGroups(const CodeRows all, int64_t head_size, int64_t begin, int64_t end,
                                      const OfRows<Way> ways, const OfRows<ScaleRow> scales, int lowest) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  int64_t failed = 0;
  for (int64_t h = 0; h < all.num_head; ++h) {
    const CodeRows rows = all.Heads(h, 1);
    for (int64_t i = begin; i < end; i += kGroup) {
      Words codes[kRows];
      for (int r = 0; r < kRows; ++r) {
        const char* const from = rows.from + r * rows.next_row + i * kSize;
        if (kFetches) PrefetchAhead(from, kGroup * kSize);
        if (__builtin_expect(!ways[r].Make(from, h * head_size + i, &codes[r]), 0)) {
          const ScaleRow scale = scales[r].From(h * head_size + i);
          codes[r] = GroupByQuotients<Rows, Codes>(from, scale.scale, scale.offset, scale.inverse, scale.step, lowest);
          ++failed;
        }
      }
      if constexpr (kRows == 2) {
        StreamPairOfUnits(rows.to + i / kUnitBytes * rows.unit_stride, rows.unit_stride, codes[0], codes[1]);
      } else if (rows.stream) {
        StreamWords(rows.to + i, codes[0]);
      } else {
        StoreWords(rows.to + i, codes[0]);
      }
    }
  }
  return failed;
}

template <typename Rows, typename Codes, bool kAlone, bool kEven, int kRows>
int64_t MakeStaticByProducts(const CodeRows& rows, int64_t head_size, int64_t begin, int64_t end, const ScaleRow& row,
                             int lowest) {
  using Way = ByProducts<Rows, Codes, kAlone, false, kEven>;
  const Way way(row.inverse);
  return MakeGroups<Rows, Codes, true, kRows, Way>(rows, head_size, begin, end, {way, way}, {row, row}, lowest);
}

template <typename Rows, typename Codes, bool kAlone, int kRows>
int64_t MakeStaticByProducts(const CodeRows& rows, int64_t head_size, int64_t begin, int64_t end, Products products,
                             const ScaleRow& row, int lowest) {
  if constexpr (!Codes::kIsInteger) {
    if (products == Products::kEven) {
      return MakeStaticByProducts<Rows, Codes, kAlone, true, kRows>(rows, head_size, begin, end, row, lowest);
    }
  }
  return MakeStaticByProducts<Rows, Codes, kAlone, false, kRows>(rows, head_size, begin, end, row, lowest);
}

template <typename Rows, typename Codes, bool kComputed, int kRows>
void MakeByQuotients(const CodeRows& rows, int64_t head_size, int64_t begin, int64_t end,
                     const OfRows<ScaleRow>& scales, int lowest) {
  using Way = ByQuotients<Rows, Codes>;
  const Way first(scales[0], lowest);
  const Way second(scales[1], lowest);
  MakeGroups<Rows, Codes, !kComputed, kRows, Way>(rows, head_size, begin, end, {first, kComputed ? second : first},
                                                  scales, lowest);
}

template <typename Rows, typename Codes>
inline void MakeRest(const CodeRows& head, int64_t whole, int64_t head_size, const ScaleRow& scales, int lowest) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  ByQuotients<Rows, Codes>(scales, lowest).MakeRest(head.to + whole, head.from + whole * kSize, head_size - whole);
}

// What products are good for in columns [begin, *end), which ends where they are good for something else.
MSSP_ALWAYS_INLINE Products ProductsOf(const ScaleRow& row, int64_t begin, int64_t* end) {
  if (row.step == 0) return row.products[0];
  int64_t group = begin / kPlanColumns;
  const Products products = row.products[group];
  while (++group * kPlanColumns < *end) {
    if (row.products[group] != products) *end = group * kPlanColumns;
  }
  return products;
}

// Columns from `begin` on in the quickest way that they have. Returns where it stopped.
template <typename Rows, typename Codes, int kRows>
int64_t QuantiseSome(const CodeRows& rows, int64_t head_size, int64_t begin, int64_t end, const ScaleRow& row,
                     int lowest) {
  const OfRows<ScaleRow> scales = {row, row};
  int64_t failed = -1;
  if constexpr (Rows::kIsHalf) {
    Attempts* const attempts = row.attempts;
    if (attempts != nullptr && attempts->rest > 0) {
      attempts->rest -= (end - begin) * rows.num_head * kRows;
    } else if (kHasTables && !Codes::kIsInteger && row.table != nullptr) {
      if constexpr (kHasTables && !Codes::kIsInteger) {
        if (end - begin > kJudged) end = begin + kJudged;
        using Way = ByTable<Rows, Codes, false>;
        const Way way(*row.table);
        failed = MakeGroups<Rows, Codes, true, kRows, Way>(rows, head_size, begin, end, {way, way}, scales, lowest);
      }
    } else if (row.products != nullptr) {
      if (end - begin > kJudged) end = begin + kJudged;
      const Products products = ProductsOf(row, begin, &end);
      if (products != Products::kNone && row.step == 0) {
        failed = MakeStaticByProducts<Rows, Codes, true, kRows>(rows, head_size, begin, end, products, row, lowest);
      } else if (products != Products::kNone) {
        failed = MakeStaticByProducts<Rows, Codes, false, kRows>(rows, head_size, begin, end, products, row, lowest);
      }
    }
    if (failed >= 0) {
      attempts->made += (end - begin) / kGroup * rows.num_head * kRows;
      attempts->failed += failed;
      if (attempts->failed * 3 > attempts->made * 2) attempts->rest = kRest;
      return end;
    }
  }
  MakeByQuotients<Rows, Codes, false, kRows>(rows, head_size, begin, end, scales, lowest);
  return end;
}

template <typename Rows, typename Codes>
void QuantiseHeads(const CodeRows& rows, int64_t head_size, const ScaleRow& row, int lowest) {
  const int64_t whole = head_size / kGroup * kGroup;
  for (int64_t i = 0; i < whole;) {
    i = rows.unit_stride != 0 ? QuantiseSome<Rows, Codes, 2>(rows, head_size, i, whole, row, lowest)
                              : QuantiseSome<Rows, Codes, 1>(rows, head_size, i, whole, row, lowest);
  }
  for (int64_t h = 0; whole < head_size && h < rows.num_head; ++h) {
    MakeRest<Rows, Codes>(rows.Heads(h, 1), whole, head_size, row.From(h * head_size + whole), lowest);
  }
}

template <typename Rows, typename Codes>
void VectorQuantise(const CodeRows& rows, int64_t head_size, const ScaleRow& row, int lowest) {
  int64_t columns = rows.num_head * head_size;
  if (rows.num_head > 1 && row.products != nullptr) ProductsOf(row, 0, &columns);
  if (columns == rows.num_head * head_size) return QuantiseHeads<Rows, Codes>(rows, head_size, row, lowest);
  // Channels: heads together whose products are good for the same.
  for (int64_t h = 0, count; h < rows.num_head; h += count) {
    const int64_t first = h * head_size;
    ScaleRow scales = row.From(first);
    scales.attempts = row.attempts;
    count = 1;
    if (first % kPlanColumns == 0) {
      scales.products = row.products + first / kPlanColumns;
      int64_t end = rows.num_head * head_size - first;
      ProductsOf(scales, 0, &end);
      if (end > head_size) count = end / head_size;
    }
    QuantiseHeads<Rows, Codes>(rows.Heads(h, count), head_size, scales, lowest);
  }
}

constexpr int64_t kHeads = 8;  // whose scales are computed at once
static_assert(kHeads <= kWidth && sizeof(HeadScales::most) == kHeads * sizeof(uint16_t));

template <typename Rows, typename Codes>
inline void LookAt(const char* from, int64_t head_size, int64_t head, HeadScales* heads) {
  if constexpr (Rows::kIsHalf) {
    heads->most[head] = LargestHalf<Rows>(from, head_size);
  } else {
    heads->scale[head] = DynamicScale(LargestFloat(from, head_size), Codes::kMax);
  }
}

// Of heads that were looked at.
template <typename Rows, typename Codes>
inline void ComputeScales(int64_t num_head, bool plans, float* to, int64_t step, HeadScales* heads) {
  if constexpr (Rows::kIsHalf) {
    const Floats largest = EightRows<Rows>(LoadEight(heads->most));
    const Floats computed = ComputedScales<Codes>(largest);
    StoreFloats(heads->scale, computed);
    if (plans) PlanComputed<Codes>(largest, computed, heads);
  }
  for (int64_t h = 0; h < num_head; ++h) to[h * step] = heads->scale[h];
}

template <typename Rows, typename Codes, int kRows>
inline void MakeComputedByProducts(const CodeRows& rows, int64_t columns, bool is_even, bool last_is_even,
                                   const OfRows<ScaleRow>& scales) {
  if constexpr (!Codes::kIsInteger) {
    if (is_even || last_is_even) {
      using Way = ByProducts<Rows, Codes, true, true, true>;
      const Way first(scales[0].inverse, is_even);
      const Way second(scales[1].inverse, last_is_even);
      MakeGroups<Rows, Codes, false, kRows, Way>(rows, columns, 0, columns, {first, second}, scales, kLowestDynamic);
      return;
    }
  }
  using Way = ByProducts<Rows, Codes, true, true, false>;
  const Way first(scales[0].inverse);
  const Way second(scales[1].inverse);
  MakeGroups<Rows, Codes, false, kRows, Way>(rows, columns, 0, columns, {first, second}, scales, kLowestDynamic);
}

// Whole groups of a head.
template <typename Rows, typename Codes, int kRows>
inline void QuantiseHead(const CodeRows& rows, int64_t columns, int64_t head, const HeadScales (&of)[kRows],
                         const uint16_t* tables) {
  const HeadScales& last = of[kRows - 1];
  const ScaleRow row = {&of[0].scale[head], nullptr, 0, &of[0].inverse[head]};
  const ScaleRow last_row = {&last.scale[head], nullptr, 0, &last.inverse[head]};
  const OfRows<ScaleRow> scales = {row, last_row};
  if constexpr (kHasTables && Rows::kIsHalf && !Codes::kIsInteger) {
    using Way = ByTable<Rows, Codes, true>;
    if (tables != nullptr && Way::Has(of[0].most[head]) && Way::Has(last.most[head])) {
      const Way first(of[0].most[head], tables);
      const Way second(last.most[head], tables);
      MakeGroups<Rows, Codes, false, kRows, Way>(rows, columns, 0, columns, {first, second}, scales, kLowestDynamic);
      return;
    }
  }
  if constexpr (Rows::kIsHalf) {
    if (tables == nullptr && ((of[0].have_products & last.have_products) >> head & 1) != 0) {
      const bool is_even = (of[0].are_even >> head & 1) != 0;
      const bool last_is_even = (last.are_even >> head & 1) != 0;
      return MakeComputedByProducts<Rows, Codes, kRows>(rows, columns, is_even, last_is_even, scales);
    }
  }
  MakeByQuotients<Rows, Codes, true, kRows>(rows, columns, 0, columns, scales, kLowestDynamic);
}

// Some heads of some places: what is made at once.
class HeadWalk {
 public:
  HeadWalk(const RowPlace* places, int64_t count, int64_t at_once, int64_t num_head)
      : places_(places), left_(count), at_once_(at_once), num_head_(num_head) {}

  int64_t NumPlaces() const { return left_ < at_once_ ? left_ : at_once_; }
  int64_t NumHeads() const { return num_head_ - first_ < kHeads ? num_head_ - first_ : kHeads; }
  const RowPlace& Place(int64_t i) const { return places_[i]; }
  int64_t First() const { return first_; }
  void Next() {
    first_ += kHeads;
    if (first_ < num_head_) return;
    first_ = 0;
    places_ += at_once_;
    left_ -= at_once_;
  }

 private:
  const RowPlace* places_;
  int64_t left_;
  const int64_t at_once_;
  const int64_t num_head_;
  int64_t first_ = 0;
};

// Heads are looked at and their scales computed some steps before their codes are made: that takes long, one thing
// after another, and the codes of other heads fill the time. Pairs go head by head, as their units that follow one
// another are written faster together.
template <typename Rows, typename Codes, int kRows>
void DynamicRows(const CodeRows& rows, const RowPlace* places, int64_t count, int64_t head_size,
                 const ScaleSteps& scale_steps, const uint16_t* tables) {
  constexpr int64_t kAtOnce = kRows;              // places
  constexpr int64_t kAhead = kRows == 2 ? 1 : 2;  // steps
  const int64_t whole = head_size / kGroup * kGroup;
  HeadScales of[kAhead + 1][kAtOnce][kRows] = {};
  HeadWalk ahead(places, count, kAtOnce, rows.num_head);
  HeadWalk now = ahead;
  for (int64_t step = -kAhead; now.NumPlaces() > 0; ++step) {
    auto& next = of[(step + kAhead) % (kAhead + 1)];
    auto& made = of[step < 0 ? 0 : step % (kAhead + 1)];
    const bool looks = ahead.NumPlaces() > 0;
    const bool makes = step >= 0;
    for (int64_t at = 0, h = 0, made_at = 0, made_h = 0;
         at < ahead.NumPlaces() || (makes && made_h < now.NumHeads());) {
      if (at < ahead.NumPlaces()) {
        const char* const from = ahead.Place(at).from + (ahead.First() + h) * rows.head_stride;
        for (int64_t r = 0; r < kRows; ++r) LookAt<Rows, Codes>(from + r * rows.next_row, head_size, h, &next[at][r]);
        if (++h == ahead.NumHeads()) {
          h = 0;
          ++at;
        }
      }
      if (!makes || made_h >= now.NumHeads()) continue;
      CodeRows head = rows;
      head.from = now.Place(made_at).from + (now.First() + made_h) * rows.head_stride;
      head.to = now.Place(made_at).to + (now.First() + made_h) * rows.to_stride;
      head.num_head = 1;
      QuantiseHead<Rows, Codes, kRows>(head, whole, made_h, made[made_at], tables);
      if (whole < head_size) {
        MakeRest<Rows, Codes>(head, whole, head_size, {&made[made_at][0].scale[made_h], nullptr, 0}, kLowestDynamic);
      }
      if (++made_at == now.NumPlaces()) {
        made_at = 0;
        ++made_h;
      }
    }
    for (int64_t i = 0; i < ahead.NumPlaces(); ++i) {
      for (int64_t r = 0; r < kRows; ++r) {
        float* const to = ahead.Place(i).scales + ahead.First() * scale_steps.head + r * scale_steps.next_row;
        ComputeScales<Rows, Codes>(ahead.NumHeads(), tables == nullptr, to, scale_steps.head, &next[i][r]);
      }
    }
    if (looks) ahead.Next();
    if (step >= 0) now.Next();
  }
}

template <typename Rows, typename Codes>
void VectorDynamic(const CodeRows& rows, const RowPlace* places, int64_t count, int64_t head_size,
                   const ScaleSteps& steps, const uint16_t* tables) {
  if (rows.unit_stride != 0) return DynamicRows<Rows, Codes, 2>(rows, places, count, head_size, steps, tables);
  DynamicRows<Rows, Codes, 1>(rows, places, count, head_size, steps, tables);
}

constexpr QuantKernels kQuant =
    MSSP_QUANT_KERNELS(VectorQuantise, VectorDequantise, VectorDynamic, VectorPlan, kHasTables, kGroup);

}  // namespace
}  // namespace mssp
