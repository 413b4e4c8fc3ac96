#pragma once

#include <string>
#include <string_view>

#include <gacer/tensor.h>

namespace gacer::cli {

/// A NumPy array file (.npy, format 1 to 3): little-endian f16, f32, f64, integers or bool, in C
/// order. Error{kUsage} says what is wrong with it; Error{kIo} when it cannot be read.
Tensor read_npy(const std::string& path);
/// The same from bytes; `origin` names them in errors.
Tensor parse_npy(std::string_view bytes, const std::string& origin);

/// The bytes of a .npy file. NumPy has no bfloat16: such a tensor is written as f32.
std::string npy_bytes(const Tensor& tensor);
/// Written to a temporary name, then renamed. Error{kIo}.
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace gacer::cli
