#pragma once

#include <cuda.h>

#include "backend/cuda/library.h"

namespace gacer::cuda {

Library& driver_library();

// The driver's functions that this backend uses.
GACER_ENTRY(driver_library, cuCtxFromGreenCtx);
GACER_ENTRY(driver_library, cuCtxGetCurrent);
GACER_ENTRY(driver_library, cuCtxGetStreamPriorityRange);
GACER_ENTRY(driver_library, cuCtxSetCurrent);
GACER_ENTRY(driver_library, cuCtxSynchronize);
GACER_ENTRY(driver_library, cuDevResourceGenerateDesc);
GACER_ENTRY(driver_library, cuDevSmResourceSplitByCount);
GACER_ENTRY(driver_library, cuDeviceGet);
GACER_ENTRY(driver_library, cuDeviceGetAttribute);
GACER_ENTRY(driver_library, cuDeviceGetCount);
GACER_ENTRY(driver_library, cuDeviceGetDevResource);
GACER_ENTRY(driver_library, cuDeviceGetName);
GACER_ENTRY(driver_library, cuDeviceGetUuid);
GACER_ENTRY(driver_library, cuDevicePrimaryCtxRelease);
GACER_ENTRY(driver_library, cuDevicePrimaryCtxRetain);
GACER_ENTRY(driver_library, cuDeviceTotalMem);
GACER_ENTRY(driver_library, cuDriverGetVersion);
GACER_ENTRY(driver_library, cuEventCreate);
GACER_ENTRY(driver_library, cuEventDestroy);
GACER_ENTRY(driver_library, cuEventElapsedTime);
GACER_ENTRY(driver_library, cuEventRecord);
GACER_ENTRY(driver_library, cuFuncGetAttribute);
GACER_ENTRY(driver_library, cuGetErrorName);
GACER_ENTRY(driver_library, cuGetErrorString);
GACER_ENTRY(driver_library, cuGraphAddDependencies);
GACER_ENTRY(driver_library, cuGraphAddEventRecordNode);
GACER_ENTRY(driver_library, cuGraphAddKernelNode);
GACER_ENTRY(driver_library, cuGraphAddMemcpyNode);
GACER_ENTRY(driver_library, cuGraphAddMemsetNode);
GACER_ENTRY(driver_library, cuGraphCreate);
GACER_ENTRY(driver_library, cuGraphDestroy);
GACER_ENTRY(driver_library, cuGraphDestroyNode);
GACER_ENTRY(driver_library, cuGraphExecDestroy);
GACER_ENTRY(driver_library, cuGraphGetEdges);
GACER_ENTRY(driver_library, cuGraphGetNodes);
GACER_ENTRY(driver_library, cuGraphInstantiateWithParams);
GACER_ENTRY(driver_library, cuGraphKernelNodeGetAttribute);
GACER_ENTRY(driver_library, cuGraphKernelNodeGetParams);
GACER_ENTRY(driver_library, cuGraphKernelNodeSetAttribute);
GACER_ENTRY(driver_library, cuGraphLaunch);
GACER_ENTRY(driver_library, cuGraphMemcpyNodeGetParams);
GACER_ENTRY(driver_library, cuGraphMemsetNodeGetParams);
GACER_ENTRY(driver_library, cuGraphNodeGetDependencies);
GACER_ENTRY(driver_library, cuGraphNodeGetDependentNodes);
GACER_ENTRY(driver_library, cuGraphNodeGetType);
GACER_ENTRY(driver_library, cuGraphUpload);
GACER_ENTRY(driver_library, cuGreenCtxCreate);
GACER_ENTRY(driver_library, cuGreenCtxDestroy);
GACER_ENTRY(driver_library, cuInit);
GACER_ENTRY(driver_library, cuKernelGetAttribute);
GACER_ENTRY(driver_library, cuKernelGetFunction);
GACER_ENTRY(driver_library, cuKernelSetAttribute);
GACER_ENTRY(driver_library, cuLaunchKernelEx);
GACER_ENTRY(driver_library, cuLibraryGetKernel);
GACER_ENTRY(driver_library, cuLibraryLoadData);
GACER_ENTRY(driver_library, cuLibraryUnload);
GACER_ENTRY(driver_library, cuMemAlloc);
GACER_ENTRY(driver_library, cuMemFree);
GACER_ENTRY(driver_library, cuMemGetInfo);
GACER_ENTRY(driver_library, cuMemcpyDtoHAsync);
GACER_ENTRY(driver_library, cuMemcpyDtoDAsync);
GACER_ENTRY(driver_library, cuMemcpyHtoDAsync);
GACER_ENTRY(driver_library, cuMemsetD8Async);
GACER_ENTRY(driver_library, cuOccupancyMaxActiveBlocksPerMultiprocessor);
GACER_ENTRY(driver_library, cuPointerGetAttribute);
GACER_ENTRY(driver_library, cuStreamBeginCapture);
GACER_ENTRY(driver_library, cuStreamCreate);
GACER_ENTRY(driver_library, cuStreamDestroy);
GACER_ENTRY(driver_library, cuStreamEndCapture);
GACER_ENTRY(driver_library, cuStreamSynchronize);
GACER_ENTRY(driver_library, cuStreamWaitEvent);

}  // namespace gacer::cuda
