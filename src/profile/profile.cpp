#include "profile/profile.h"

#include <algorithm>
#include <string_view>
#include <tuple>

namespace gacer {
namespace {

constexpr std::string_view kQuarantine = "quarantined: ";
constexpr std::string_view kUnsteady = "unsteady: ";
constexpr std::string_view kLackOfMemory = "out of memory: ";

}  // namespace

double area_ms(const ProfileRow& row, int num_groups) {
  if (row.saturated_ms > 0) return row.saturated_ms;
  return row.solo_ms * row.width / std::max(1, num_groups);
}

std::string quarantine_text(const std::string& reason) { return std::string(kQuarantine) + reason; }

bool is_quarantined(const ProfileRow& row) { return row.rejected.starts_with(kQuarantine); }

std::string unsteady_text(const std::string& reason) { return std::string(kUnsteady) + reason; }

bool is_unsteady(const ProfileRow& row) { return row.rejected.starts_with(kUnsteady); }

std::string lack_of_memory_text(const std::string& reason) {
  return std::string(kLackOfMemory) + reason;
}

bool lacked_memory(const ProfileRow& row) { return row.rejected.starts_with(kLackOfMemory); }

void ProfileTable::add(ProfileRow row) {
  Entry& entry = entries_[std::pair(row.signature, row.items)];
  const auto is_same = [&](const ProfileRow& other) {
    return other.variant == row.variant && other.width == row.width;
  };
  std::erase_if(entry.usable, is_same);
  std::erase_if(entry.rejected, is_same);
  if (!row.rejected.empty()) {
    entry.rejected.push_back(std::move(row));
    return;
  }
  const auto place = std::upper_bound(
      entry.usable.begin(), entry.usable.end(), row, [](const ProfileRow& a, const ProfileRow& b) {
        return std::tie(a.solo_ms, a.variant, a.width) < std::tie(b.solo_ms, b.variant, b.width);
      });
  entry.usable.insert(place, std::move(row));
}

std::vector<ProfileRow> ProfileTable::reject(const std::string& signature, std::int64_t items,
                                             const std::string& variant,
                                             const std::string& reason) {
  std::vector<ProfileRow> changed;
  for (const ProfileRow& row : rows(signature, items))
    if (row.variant == variant) changed.push_back(row);
  for (ProfileRow& row : changed) {
    row.rejected = reason;
    add(row);
  }
  return changed;
}

bool ProfileTable::has(const std::string& signature, std::int64_t items,
                       const std::string& variant) const {
  const auto usable = rows(signature, items);
  return std::any_of(usable.begin(), usable.end(),
                     [&](const ProfileRow& row) { return row.variant == variant; });
}

const ProfileTable::Entry* ProfileTable::find_entry(std::string_view signature,
                                                    std::int64_t items) const {
  const auto found = entries_.find(Less::View(signature, items));
  return found == entries_.end() ? nullptr : &found->second;
}

std::span<const ProfileRow> ProfileTable::rows(const std::string& signature,
                                               std::int64_t items) const {
  const Entry* entry = find_entry(signature, items);
  return entry == nullptr ? std::span<const ProfileRow>() : entry->usable;
}

std::span<const ProfileRow> ProfileTable::rejected(const std::string& signature,
                                                   std::int64_t items) const {
  const Entry* entry = find_entry(signature, items);
  return entry == nullptr ? std::span<const ProfileRow>() : entry->rejected;
}

std::vector<ProfileRow> ProfileTable::all() const {
  std::vector<ProfileRow> rows;
  for (const auto& [key, entry] : entries_) {
    rows.insert(rows.end(), entry.usable.begin(), entry.usable.end());
    rows.insert(rows.end(), entry.rejected.begin(), entry.rejected.end());
  }
  return rows;
}

const ProfileRow* ProfileTable::find(const std::string& signature, std::int64_t items,
                                     const std::string& variant, int width) const {
  for (const ProfileRow& row : rows(signature, items)) {
    if (row.width == width && row.variant == variant) return &row;
  }
  return nullptr;
}

const ProfileRow* ProfileTable::fastest(const std::string& signature, std::int64_t items,
                                        int width) const {
  for (const ProfileRow& row : rows(signature, items)) {
    if (row.width == width) return &row;
  }
  return nullptr;
}

std::size_t ProfileTable::size() const {
  std::size_t count = 0;
  for (const auto& [key, entry] : entries_) count += entry.usable.size() + entry.rejected.size();
  return count;
}

}  // namespace gacer
