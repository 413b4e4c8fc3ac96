#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gacer {

/// One measured way to run a node or chunk. Milliseconds of one call.
struct ProfileRow {
  std::string signature;   ///< row_signature()
  std::int64_t items = 1;  ///< chunk size in batch items
  std::string variant;     ///< variant key
  int width = 1;           ///< groups of the budget it was measured on
  double solo_ms = 0;      ///< alone on its budget
  /// Per copy with enough copies side by side on the whole device: the area that the row costs, in
  /// milliseconds of the whole device (two copies that take 3 ms side by side: 1.5). 0: unknown.
  double saturated_ms = 0;
  double flop = 0;
  double bytes = 0;
  std::int64_t workspace_bytes = 0;
  int launches = 1;
  std::string footprint;  ///< per launch: grid, block, shared memory, registers, …
  /// Not empty: the variant may not be used, and why (failed to build, run or match).
  std::string rejected;
  friend bool operator==(const ProfileRow&, const ProfileRow&) = default;
};

/// Area of a row in milliseconds of the whole device: measured, or its share of the groups while it
/// runs alone.
double area_ms(const ProfileRow& row, int num_groups);

/// Text for `rejected` of a variant that took the device or its process down: it is not tried again
/// until its rows are forgotten.
std::string quarantine_text(const std::string& reason);
bool is_quarantined(const ProfileRow& row);

/// Text for `rejected` of a variant whose results depend on what runs beside it, on any width: it
/// is not tried again either.
std::string unsteady_text(const std::string& reason);
bool is_unsteady(const ProfileRow& row);

/// Text for `rejected` of a variant that found no memory, which is no fact about the variant: the
/// row holds for this process alone.
std::string lack_of_memory_text(const std::string& reason);
bool lacked_memory(const ProfileRow& row);

/// Rows of one device in memory, by (signature, items). A plain value.
class ProfileTable {
 public:
  /// A row of the same signature, items, variant and width is replaced.
  void add(ProfileRow row);
  /// Rejects a variant of a node or chunk, on all widths. The rows that changed.
  std::vector<ProfileRow> reject(const std::string& signature, std::int64_t items,
                                 const std::string& variant, const std::string& reason);
  /// Forgets a node or chunk.
  void erase(const std::string& signature, std::int64_t items) {
    entries_.erase(std::pair(signature, items));
  }
  /// Usable rows (not rejected) of a node or chunk, any variant and width, fastest solo first.
  std::span<const ProfileRow> rows(const std::string& signature, std::int64_t items) const;
  /// Also the rejected ones, any order.
  std::vector<ProfileRow> all() const;
  /// The usable row of a variant on a width, or nullptr.
  const ProfileRow* find(const std::string& signature, std::int64_t items,
                         const std::string& variant, int width) const;
  /// Fastest solo row at that width, or nullptr.
  const ProfileRow* fastest(const std::string& signature, std::int64_t items, int width) const;
  bool has(const std::string& signature, std::int64_t items) const {
    return !rows(signature, items).empty();
  }
  /// Whether a variant is usable on some width.
  bool has(const std::string& signature, std::int64_t items, const std::string& variant) const;
  /// Rejected rows of a node or chunk, any order.
  std::span<const ProfileRow> rejected(const std::string& signature, std::int64_t items) const;
  std::size_t size() const;

 private:
  struct Entry {
    std::vector<ProfileRow> usable;  ///< fastest solo first
    std::vector<ProfileRow> rejected;
  };
  /// Finds without a copy of the signature: searches ask hundreds of times a plan.
  struct Less {
    using is_transparent = void;
    using View = std::pair<std::string_view, std::int64_t>;
    bool operator()(const View& a, const View& b) const { return a < b; }
  };
  const Entry* find_entry(std::string_view signature, std::int64_t items) const;

  std::map<std::pair<std::string, std::int64_t>, Entry, Less> entries_;
};

}  // namespace gacer
