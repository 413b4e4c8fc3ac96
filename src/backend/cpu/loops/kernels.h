#pragma once

#include "device/kernel.h"

namespace gacer::cpu {

const KernelImpl& loops_binary();     ///< Add, Sub, Mul, Div, Max, Min, broadcast in any layout
const KernelImpl& loops_affine();     ///< BatchNormalization with stored statistics
const KernelImpl& loops_resize();     ///< Resize in any layout
const KernelImpl& loops_concat();     ///< Concat in any layout
const KernelImpl& loops_attention();  ///< Attention, on oneDNN's matrix product

}  // namespace gacer::cpu
