#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <gacer/engine.h>

namespace gacer {

/// The result of a policy, or nullptr when it was not measured.
const PolicyResult* find_result(const Comparison& comparison, std::string_view policy);

/// The policy whose plan would be used: `chosen`, else the fastest whose outputs match.
const PolicyResult* chosen_result(const Comparison& comparison);

/// How many times sooner `policy` finishes a round than `reference` (medians); empty when either
/// was not measured.
std::optional<double> speedup(const Comparison& comparison, std::string_view policy,
                              std::string_view reference);

/// The outcome in one or two sentences, for people.
std::string summary_sentence(const Comparison& comparison);

/// "12.34", "123.4", "0.0123"; "-" when there is nothing (0 or less).
std::string format_ms(double ms);

/// "12.3 MB", "640 KB", "17 B"
std::string format_bytes(std::int64_t bytes);

}  // namespace gacer
