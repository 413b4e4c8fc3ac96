// Activations as kernels are told them; window_args.cpp checks that they are gacer::Activation's.
#pragma once

namespace gacer::cuda {

enum ActivationCode {
  kIdentity,
  kRelu,
  kLeakyRelu,
  kClip,
  kSigmoid,
  kHardSigmoid,
  kHardSwish,
  kSilu,
  kGelu,
  kGeluTanh,
  kTanh,
  kElu,
};

}  // namespace gacer::cuda
