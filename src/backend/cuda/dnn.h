#pragma once

#include <cudnn.h>

#include "backend/cuda/library.h"

namespace gacer::cuda {

Library& dnn_library();

GACER_ENTRY(dnn_library, cudnnGetVersion);
GACER_ENTRY(dnn_library, cudnnGetErrorString);
GACER_ENTRY(dnn_library, cudnnGetLastErrorString);
GACER_ENTRY(dnn_library, cudnnCreate);
GACER_ENTRY(dnn_library, cudnnDestroy);
GACER_ENTRY(dnn_library, cudnnSetStream);
GACER_ENTRY(dnn_library, cudnnBackendCreateDescriptor);
GACER_ENTRY(dnn_library, cudnnBackendDestroyDescriptor);
GACER_ENTRY(dnn_library, cudnnBackendSetAttribute);
GACER_ENTRY(dnn_library, cudnnBackendGetAttribute);
GACER_ENTRY(dnn_library, cudnnBackendFinalize);
GACER_ENTRY(dnn_library, cudnnBackendExecute);

}  // namespace gacer::cuda
