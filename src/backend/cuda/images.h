#pragma once

#include <string_view>

namespace gacer::cuda {

/// The compiled code of kernels/<file>.cu for every architecture of the build. Error{kInternal}
/// for an unknown file.
const void* find_image(std::string_view file);

/// Another one where this folder's sources or the CUDA toolkit are others.
std::string_view kernel_digest();

}  // namespace gacer::cuda
