#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ops/common.h"

namespace gacer {
namespace {

/// An equation over its axes: those of the output first, then those that are summed over.
struct Equation {
  Shape out;
  Shape summed;
  /// Per operand, its element stride along each axis of `out`, then of `summed`.
  std::vector<std::vector<std::int64_t>> strides;
  /// Per operand, which of its axes each axis of `out` is (-1: none).
  std::vector<std::vector<int>> out_axes;
  /// Per operand, whether an axis of `out` is a diagonal of two of its axes.
  std::vector<std::vector<bool>> is_diagonal;
};

struct Terms {
  std::vector<std::string> inputs;
  std::string output;
  bool has_output = false;
};

Terms parse_terms(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  Terms terms;
  const std::size_t arrow = text.find("->");
  if (arrow != std::string::npos) {
    terms.output = text.substr(arrow + 2);
    terms.has_output = true;
    text.resize(arrow);
  }
  for (std::size_t at = 0;;) {
    const std::size_t comma = text.find(',', at);
    terms.inputs.push_back(text.substr(at, comma - at));
    if (comma == std::string::npos) break;
    at = comma + 1;
  }
  return terms;
}

/// Axis names of a term: a letter, or for an ellipsis "0", "1", … counted from the right.
std::vector<std::string> axis_names(const std::string& term, int ellipsis_rank) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < term.size(); ++i) {
    if (term.compare(i, 3, "...") == 0) {
      for (int axis = ellipsis_rank; axis-- > 0;) names.push_back(std::to_string(axis));
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(term[i])) != 0) {
      names.emplace_back(1, term[i]);
    } else {
      fail(ErrorKind::kModel, "unexpected '{}' in the term '{}'", term[i], term);
    }
  }
  return names;
}

int ellipsis_rank_of(const std::string& term, int rank) {
  const bool has_ellipsis = term.find("...") != std::string::npos;
  const int letters = static_cast<int>(term.size()) - (has_ellipsis ? 3 : 0);
  if (has_ellipsis ? rank < letters : rank != letters)
    fail(ErrorKind::kModel, "the term '{}' for an operand of rank {}", term, rank);
  return rank - letters;
}

std::vector<std::string> output_names(const Terms& terms,
                                      const std::vector<std::vector<std::string>>& inputs,
                                      int ellipsis_rank) {
  if (terms.has_output) return axis_names(terms.output, ellipsis_rank);
  // Implicit: the ellipsis, then letters that occur once, in alphabetical order.
  std::map<std::string, int> count;
  for (const auto& names : inputs)
    for (const std::string& name : names) ++count[name];
  std::vector<std::string> result = axis_names("...", ellipsis_rank);
  for (const auto& [name, times] : count)
    if (times == 1 && std::isalpha(static_cast<unsigned char>(name[0])) != 0)
      result.push_back(name);
  return result;
}

Equation parse_equation(const Node& node, const std::vector<Shape>& shapes) {
  const Terms terms = parse_terms(node.attributes.get_string("equation", ""));
  if (terms.inputs.size() != shapes.size())
    fail(ErrorKind::kModel, "{} terms for {} operands", terms.inputs.size(), shapes.size());
  int ellipsis_rank = 0;
  std::vector<std::vector<std::string>> names;
  std::map<std::string, std::int64_t> sizes;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const int own = ellipsis_rank_of(terms.inputs[i], shapes[i].rank());
    ellipsis_rank = std::max(ellipsis_rank, own);
    names.push_back(axis_names(terms.inputs[i], own));
    for (std::size_t axis = 0; axis < names[i].size(); ++axis) {
      std::int64_t& size = sizes.try_emplace(names[i][axis], 1).first->second;
      const std::int64_t dim = shapes[i][static_cast<int>(axis)];
      if (size != 1 && dim != 1 && size != dim)
        fail(ErrorKind::kModel, "axis '{}' has the sizes {} and {}", names[i][axis], size, dim);
      if (dim != 1) size = dim;
    }
  }
  std::vector<std::string> order = output_names(terms, names, ellipsis_rank);
  const std::size_t out_rank = order.size();
  std::vector<std::int64_t> out;
  for (const std::string& name : order) {
    if (!sizes.contains(name)) fail(ErrorKind::kModel, "the output's axis '{}' is unknown", name);
    out.push_back(sizes[name]);
  }
  std::vector<std::int64_t> summed;
  for (const auto& [name, size] : sizes)
    if (std::find(order.begin(), order.end(), name) == order.end()) {
      order.push_back(name);
      summed.push_back(size);
    }
  Equation equation{Shape(std::move(out)), Shape(std::move(summed)), {}, {}, {}};
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const auto own = shapes[i].row_major_strides();
    std::vector<std::int64_t> strides(order.size(), 0);
    std::vector<int> out_axes(out_rank, -1);
    std::vector<bool> is_diagonal(out_rank, false);
    for (std::size_t axis = 0; axis < names[i].size(); ++axis) {
      const auto at = static_cast<std::size_t>(
          std::find(order.begin(), order.end(), names[i][axis]) - order.begin());
      // A name that occurs twice walks the diagonal.
      if (shapes[i][static_cast<int>(axis)] != 1) strides[at] += own[axis];
      if (at >= out_rank) continue;
      is_diagonal[at] = out_axes[at] >= 0;
      out_axes[at] = static_cast<int>(axis);
    }
    equation.is_diagonal.push_back(std::move(is_diagonal));
    equation.strides.push_back(std::move(strides));
    equation.out_axes.push_back(std::move(out_axes));
  }
  return equation;
}

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  std::vector<Shape> shapes;
  for (int i = 0; i < context.num_inputs(); ++i) {
    if (context.dtype(i) != context.dtype(0))
      fail(ErrorKind::kModel, "operands of {} and {}", to_string(context.dtype(0)),
           to_string(context.dtype(i)));
    shapes.push_back(context.shape(i));
  }
  return {{context.dtype(0), parse_equation(context.node(), shapes).out}};
}

std::int64_t offset_of(std::int64_t position, const Shape& shape,
                       const std::vector<std::int64_t>& strides, std::size_t first) {
  std::int64_t offset = 0;
  for (int axis = shape.rank(); axis-- > 0;) {
    offset += position % shape[axis] * strides[first + static_cast<std::size_t>(axis)];
    position /= shape[axis];
  }
  return offset;
}

void evaluate_f32(const EvalContext& context) {
  std::vector<Shape> shapes;
  for (const TensorView& input : context.inputs) shapes.push_back(input.shape);
  const Equation equation = parse_equation(context.node, shapes);
  const auto out_rank = static_cast<std::size_t>(equation.out.rank());
  const std::size_t count = shapes.size();
  const std::int64_t terms = equation.summed.num_elements();
  std::vector<std::vector<std::int64_t>> inner(count);
  for (std::size_t i = 0; i < count; ++i)
    for (std::int64_t s = 0; s < terms; ++s)
      inner[i].push_back(offset_of(s, equation.summed, equation.strides[i], out_rank));
  float* y = context.outputs[0].flat<float>().data();
  context.team.parallel_for(
      equation.out.num_elements(), 16, [&](std::int64_t begin, std::int64_t end) {
        std::vector<const float*> at(count);
        for (std::int64_t i = begin; i < end; ++i) {
          for (std::size_t operand = 0; operand < count; ++operand)
            at[operand] = context.inputs[operand].flat<float>().data() +
                          offset_of(i, equation.out, equation.strides[operand], 0);
          float sum = 0;
          for (std::int64_t s = 0; s < terms; ++s) {
            float term = 1;
            for (std::size_t operand = 0; operand < count; ++operand)
              term *= at[operand][inner[operand][static_cast<std::size_t>(s)]];
            sum += term;
          }
          y[i] = sum;
        }
      });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Equation equation_of(const Graph& graph, const Node& node) {
  std::vector<Shape> shapes;
  for (int i = 0; i < node.num_op_inputs; ++i)
    shapes.push_back(graph.value(node.inputs[static_cast<std::size_t>(i)]).shape);
  return parse_equation(node, shapes);
}

Cost cost(const Graph& graph, const Node& node) {
  const Equation equation = equation_of(graph, node);
  return {static_cast<double>(node.num_op_inputs) *
              static_cast<double>(equation.out.num_elements()) *
              static_cast<double>(equation.summed.num_elements()),
          operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) {
  const Equation equation = equation_of(context.graph, context.node);
  std::optional<BatchAxis> out;
  for (std::size_t i = 0; i < equation.out_axes.size(); ++i) {
    if (!context.inputs[i]) continue;
    const auto& own = equation.out_axes[i];
    const auto found = std::find(own.begin(), own.end(), context.inputs[i]->axis);
    if (found == own.end()) return refuse("operand {} is summed over the batch", i);
    if (equation.is_diagonal[i][static_cast<std::size_t>(found - own.begin())])
      return refuse("operand {} is read along a diagonal of the batch", i);
    const BatchAxis axis{static_cast<int>(found - own.begin()), context.inputs[i]->factor};
    if (out && *out != axis) return refuse("the operands carry the batch on different axes");
    out = axis;
  }
  for (std::size_t i = 0; i < equation.out_axes.size(); ++i) {
    const int own = equation.out_axes[i][static_cast<std::size_t>(out->axis)];
    if (!context.inputs[i] && own >= 0 && context.shape(static_cast<int>(i))[own] != 1)
      return refuse("operand {} does not carry the batch", i);
  }
  return all_outputs(context, *out);
}

}  // namespace

const OpDef& op_einsum() {
  static const OpDef def{.name = "Einsum",
                         .min_opset = 12,
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split};
  return def;
}

}  // namespace gacer
