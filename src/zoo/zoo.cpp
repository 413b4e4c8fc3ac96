#include "zoo/zoo.h"

#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "base/error.h"

namespace gacer {

const ZooModel& find_zoo_model(std::string_view name) {
  std::vector<std::string_view> names;
  for (const ZooModel* model : all_zoo_models()) {
    if (model->name == name) return *model;
    names.push_back(model->name);
  }
  fail(ErrorKind::kUsage, "no zoo model is named '{}'; there are {}", name, fmt::join(names, ", "));
}

Graph build_zoo_model(std::string_view name, std::int64_t batch, std::uint64_t seed) {
  return find_zoo_model(name).build(batch, seed);
}

}  // namespace gacer
