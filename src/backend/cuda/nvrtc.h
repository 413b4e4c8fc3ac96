#pragma once

#include <nvrtc.h>

#include "backend/cuda/library.h"

namespace gacer::cuda {

Library& nvrtc_library();

GACER_ENTRY(nvrtc_library, nvrtcVersion);
GACER_ENTRY(nvrtc_library, nvrtcGetErrorString);
GACER_ENTRY(nvrtc_library, nvrtcCreateProgram);
GACER_ENTRY(nvrtc_library, nvrtcDestroyProgram);
GACER_ENTRY(nvrtc_library, nvrtcCompileProgram);
GACER_ENTRY(nvrtc_library, nvrtcGetCUBINSize);
GACER_ENTRY(nvrtc_library, nvrtcGetCUBIN);
GACER_ENTRY(nvrtc_library, nvrtcGetProgramLogSize);
GACER_ENTRY(nvrtc_library, nvrtcGetProgramLog);

}  // namespace gacer::cuda
