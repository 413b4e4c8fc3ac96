#include "backend/cuda/library.h"

#include <dlfcn.h>

#include "backend/cuda/blas.h"
#include "backend/cuda/dnn.h"
#include "backend/cuda/driver.h"
#include "backend/cuda/nvrtc.h"
#include "base/error.h"

namespace gacer::cuda {

void Library::open() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_opened_) return;
  handle_ = dlopen(file_, RTLD_NOW | RTLD_GLOBAL);
  if (handle_ == nullptr) {
    const char* reason = dlerror();
    error_ = fmt::format("{} cannot be loaded: {}; gacer needs {}", file_,
                         reason != nullptr ? reason : "unknown", needed_);
  }
  is_opened_ = true;
}

const std::string& Library::error() {
  open();
  return error_;
}

void* Library::symbol(const char* name) {
  open();
  if (handle_ == nullptr) fail(ErrorKind::kDevice, "{}", error_);
  void* found = dlsym(handle_, name);
  if (found == nullptr)
    fail(ErrorKind::kDevice, "{} has no function {}: gacer needs {}", file_, name, needed_);
  return found;
}

Library& driver_library() {
  static Library library("libcuda.so.1", "NVIDIA's driver for CUDA 13 (580 or later)");
  return library;
}

Library& dnn_library() {
  static Library library(
      "libcudnn.so.9",
      "cuDNN 9 for CUDA 13 (pip install nvidia-cudnn-cu13), its folder in LD_LIBRARY_PATH");
  return library;
}

Library& blas_library() {
  static Library library(
      "libcublasLt.so.13",
      "cuBLAS 13 (CUDA's toolkit, or pip install nvidia-cublas), its folder in LD_LIBRARY_PATH");
  return library;
}

Library& nvrtc_library() {
  static Library library("libnvrtc.so.13",
                         "NVRTC 13 (CUDA's toolkit, or pip install nvidia-cuda-nvrtc), its folder "
                         "in LD_LIBRARY_PATH");
  return library;
}

}  // namespace gacer::cuda
