#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include <gacer/engine.h>

namespace gacer {

/// The report as a JSON value, for whoever embeds it (report.html).
nlohmann::ordered_json report_value(const Comparison& comparison, const std::string& command);

}  // namespace gacer
