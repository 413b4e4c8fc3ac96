#pragma once

#include <string>

#include "backend/cuda/driver.h"
#include "base/error.h"

namespace gacer::cuda {

/// "CUDA_ERROR_INVALID_VALUE (invalid argument)"
std::string describe(CUresult result);

/// Message of a call that found no memory: "WHAT: N of M bytes free on the GPU".
std::string describe_lack_of_memory(const std::string& what);

/// Throws Error{kDevice} (kOutOfMemory for CUDA_ERROR_OUT_OF_MEMORY) naming the call that failed.
void check(CUresult result, const char* call);

/// Checks a driver call: GACER_CU(cuInit(0)).
#define GACER_CU(call) ::gacer::cuda::check((call), #call)

}  // namespace gacer::cuda
