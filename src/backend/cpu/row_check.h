#pragma once

#include <memory>

#include "device/rows.h"

namespace gacer::cpu {

/// See Device::make_row_copy() and make_row_comparison(); for a team of one.
std::unique_ptr<Kernel> make_row_copy(const ByteRows& rows);
std::unique_ptr<Kernel> make_row_comparison(const ByteRows& rows);

}  // namespace gacer::cpu
