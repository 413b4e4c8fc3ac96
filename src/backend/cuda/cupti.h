#pragma once

#include <cupti.h>

#include "backend/cuda/library.h"

namespace gacer::cuda {

Library& cupti_library();

GACER_ENTRY(cupti_library, cuptiActivityDisable);
GACER_ENTRY(cupti_library, cuptiActivityEnable);
GACER_ENTRY(cupti_library, cuptiActivityFlushAll);
GACER_ENTRY(cupti_library, cuptiActivityGetNextRecord);
GACER_ENTRY(cupti_library, cuptiActivityRegisterCallbacks);
GACER_ENTRY(cupti_library, cuptiGetContextId);
GACER_ENTRY(cupti_library, cuptiGetResultString);

}  // namespace gacer::cuda
