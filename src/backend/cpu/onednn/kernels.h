#pragma once

#include "device/kernel.h"

namespace gacer::cpu {

// oneDNN's operators, one file each. Variants are named "onednn/3.2/threads=2/<implementation>".

const KernelImpl& onednn_convolution();    ///< Conv
const KernelImpl& onednn_deconvolution();  ///< ConvTranspose
const KernelImpl& onednn_pooling();    ///< MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool
const KernelImpl& onednn_upsample();   ///< ConvTranspose whose windows do not overlap
const KernelImpl& onednn_recurrent();  ///< LSTM, GRU, RNN
const KernelImpl& onednn_inner_product();  ///< Linear, Gemm, MatMul with constant weights
const KernelImpl& onednn_matmul();         ///< Linear, MatMul, Gemm
const KernelImpl& onednn_softmax();        ///< Softmax, LogSoftmax
const KernelImpl& onednn_layer_norm();     ///< LayerNormalization
const KernelImpl& onednn_reorder();        ///< Reorder, Transpose
const KernelImpl& onednn_eltwise();        ///< activations and other functions of one operand
const KernelImpl& onednn_binary();         ///< Add, Sub, Mul, Div, Max, Min with broadcasting

}  // namespace gacer::cpu
