#include "search/search.h"

#include <string>

#include "base/error.h"

namespace gacer {

const Policy& find_policy(std::string_view name) {
  std::string known;
  for (const Policy* policy : all_policies()) {
    if (policy->name == name) return *policy;
    known += known.empty() ? "" : ", ";
    known += policy->name;
  }
  fail(ErrorKind::kUsage, "there is no policy '{}'; known are {}", name, known);
}

}  // namespace gacer
