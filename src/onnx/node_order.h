#pragma once

#include <string>
#include <vector>

#include <google/protobuf/repeated_ptr_field.h>

namespace onnx {
class GraphProto;
class NodeProto;
}  // namespace onnx

namespace gacer {

/// Domain as it is looked up: "ai.onnx" is "".
std::string normalized_domain(const onnx::NodeProto& node);
/// The name that people see: the node's, or that of its first output.
std::string display_name(const onnx::NodeProto& node);

/// Tensors that a subgraph reads but does not define (its own subgraphs' included).
std::vector<std::string> captured_names(const onnx::GraphProto& graph);

/// The nodes that `outputs` depend on, in an order in which each node comes after those that it
/// reads; file order where that is such an order. Error{kModel} naming the tensor when two nodes
/// write it, and a node of the cycle when there is one.
std::vector<const onnx::NodeProto*> order_nodes(
    const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes,
    const std::vector<std::string>& outputs);

}  // namespace gacer
