#pragma once

#include <span>
#include <string_view>

namespace gacer::build_test {

struct Entry {
  std::string_view name;
  int (*value)();
};

std::span<const Entry> all_entries();
std::span<const int* const> all_pointers();

}  // namespace gacer::build_test
