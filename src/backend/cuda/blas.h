#pragma once

#include <cublasLt.h>

#include "backend/cuda/library.h"

namespace gacer::cuda {

Library& blas_library();

GACER_ENTRY(blas_library, cublasLtGetStatusName);
GACER_ENTRY(blas_library, cublasLtGetVersion);
GACER_ENTRY(blas_library, cublasLtCreate);
GACER_ENTRY(blas_library, cublasLtDestroy);
GACER_ENTRY(blas_library, cublasLtMatmul);
GACER_ENTRY(blas_library, cublasLtMatmulAlgoCheck);
GACER_ENTRY(blas_library, cublasLtMatmulAlgoGetHeuristic);
GACER_ENTRY(blas_library, cublasLtMatmulDescCreate);
GACER_ENTRY(blas_library, cublasLtMatmulDescDestroy);
GACER_ENTRY(blas_library, cublasLtMatmulDescSetAttribute);
GACER_ENTRY(blas_library, cublasLtMatrixLayoutCreate);
GACER_ENTRY(blas_library, cublasLtMatrixLayoutDestroy);
GACER_ENTRY(blas_library, cublasLtMatrixLayoutSetAttribute);
GACER_ENTRY(blas_library, cublasLtMatmulPreferenceCreate);
GACER_ENTRY(blas_library, cublasLtMatmulPreferenceDestroy);
GACER_ENTRY(blas_library, cublasLtMatmulPreferenceSetAttribute);

}  // namespace gacer::cuda
