#pragma once

#include <string>

#include <gacer/engine.h>

namespace gacer {

/// One page that needs nothing else: the outcome, a timeline per policy (zoom, pan, tooltips), the
/// tables, bounds, what each knob bought, the plans' notes. Names from models are data in it, never
/// markup.
std::string report_html(const Comparison& comparison, const std::string& command);

}  // namespace gacer
