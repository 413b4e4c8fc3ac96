#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "ops/op_def.h"
#include "zoo/weights.h"

namespace gacer {

/// Geometry of a square convolution or pooling.
struct Window {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t pad = 0;
  std::int64_t groups = 1;
};

/// Builds a model layer by layer, types inferred as it goes. Parameters are named as in the
/// published model ("layer1.0.conv1.weight"); a node and its output have the layer's name.
///
/// It keeps an estimate of every value's mean square, from which the running statistics of a batch
/// normalisation follow: random weights then give activations of about unit scale at any depth.
class NetBuilder {
 public:
  NetBuilder(std::string_view model, std::int64_t batch, std::uint64_t seed);

  /// `item_shape` without the batch, which is inserted at `batch_axis`.
  ValueId input(const std::string& name, DType dtype, Shape item_shape, int batch_axis = 0);
  ValueId parameter(const std::string& name, Shape shape, Distribution distribution);
  /// A constant that is no parameter (a shape, a mask, a number).
  ValueId constant(const std::string& name, Tensor tensor);
  ValueId ints(const std::string& name, std::vector<std::int64_t> values);
  ValueId number(const std::string& name, float value);

  /// Any operator with one output. The mean square of the output is taken to be that of the first
  /// input unless set afterwards.
  ValueId op(std::string_view op, const std::string& name, std::vector<ValueId> inputs,
             Attributes attributes = {});
  /// The same with several outputs, named "NAME.0", "NAME.1", ….
  std::vector<ValueId> op_with_outputs(std::string_view op, const std::string& name,
                                       std::vector<ValueId> inputs, int num_outputs,
                                       Attributes attributes = {});

  /// He initialisation (deviation sqrt(gain / fan_in)).
  ValueId conv(const std::string& name, ValueId x, std::int64_t channels, Window window,
               bool has_bias, double gain = 2);
  /// Gamma about `scale`, beta about 0, running statistics about those of `x`.
  ValueId batch_norm(const std::string& name, ValueId x, double scale = 1, float epsilon = 1e-5F);
  ValueId relu(const std::string& name, ValueId x);
  ValueId hard_swish(const std::string& name, ValueId x);
  /// [N, in] to [N, out], the weight as [out, in].
  ValueId linear(const std::string& name, ValueId x, std::int64_t features, double gain = 2);
  ValueId max_pool(const std::string& name, ValueId x, Window window);
  ValueId average_pool(const std::string& name, ValueId x, Window window);
  ValueId global_average_pool(const std::string& name, ValueId x);
  ValueId flatten(const std::string& name, ValueId x);
  ValueId add(const std::string& name, ValueId a, ValueId b);

  const Shape& shape(ValueId id) const { return graph_.value(id).shape; }
  double mean_square(ValueId id) const { return mean_squares_[static_cast<std::size_t>(id)]; }
  void set_mean_square(ValueId id, double value);

  /// Names the outputs (the values are renamed), infers batch axes and verifies.
  Graph finish(const std::vector<std::pair<std::string, ValueId>>& outputs);

 private:
  void activate(ValueId from, ValueId to, Activation activation);

  Graph graph_;
  std::string model_;
  std::uint64_t seed_;
  std::vector<double> mean_squares_;
};

/// Attributes from a list: attrs({{"axis", 1}}).
Attributes attrs(std::initializer_list<std::pair<const char*, Attribute>> entries);

}  // namespace gacer
