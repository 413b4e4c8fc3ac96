#pragma once

#include <memory>

#include "backend/cuda/services.h"
#include "device/rows.h"

namespace gacer::cuda {

/// See Device::make_row_copy() and make_row_comparison().
std::unique_ptr<Kernel> make_row_copy(const Services& services, const ByteRows& rows);
std::unique_ptr<Kernel> make_row_comparison(const Services& services, const ByteRows& rows);

}  // namespace gacer::cuda
