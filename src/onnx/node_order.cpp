#include "onnx/node_order.h"

#include <functional>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include <onnx/onnx.pb.h>

#include "base/error.h"
#include "graph/graph.h"

namespace gacer {
namespace {

using NodeList = google::protobuf::RepeatedPtrField<onnx::NodeProto>;

// All tensors that a node reads, those of its subgraphs included.
std::vector<std::string> read_names(const onnx::NodeProto& node) {
  std::vector<std::string> names;
  for (const std::string& name : node.input())
    if (!name.empty()) names.push_back(name);
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.has_g())
      for (std::string& name : captured_names(attribute.g())) names.push_back(std::move(name));
    for (const onnx::GraphProto& graph : attribute.graphs())
      for (std::string& name : captured_names(graph)) names.push_back(std::move(name));
  }
  return names;
}

std::unordered_map<std::string, int> find_producers(const NodeList& nodes) {
  std::unordered_map<std::string, int> producers;
  for (int i = 0; i < nodes.size(); ++i) {
    for (const std::string& output : nodes[i].output()) {
      if (output.empty()) continue;
      const auto [known, is_new] = producers.emplace(output, i);
      if (!is_new)
        fail(ErrorKind::kModel, "tensor '{}' is written twice: by node '{}' ({}) and '{}' ({})",
             output, display_name(nodes[known->second]), nodes[known->second].op_type(),
             display_name(nodes[i]), nodes[i].op_type());
    }
  }
  return producers;
}

}  // namespace

std::string normalized_domain(const onnx::NodeProto& node) {
  return node.domain() == "ai.onnx" ? std::string() : node.domain();
}

std::string display_name(const onnx::NodeProto& node) {
  if (!node.name().empty()) return node.name();
  for (const std::string& output : node.output())
    if (!output.empty()) return output;
  return node.op_type();
}

std::vector<std::string> captured_names(const onnx::GraphProto& graph) {
  std::unordered_set<std::string> defined;
  for (const auto& input : graph.input()) defined.insert(input.name());
  for (const auto& initializer : graph.initializer()) defined.insert(initializer.name());
  for (const auto& node : graph.node())
    for (const std::string& output : node.output()) defined.insert(output);
  std::vector<std::string> captured;
  for (const auto& node : graph.node())
    for (std::string& name : read_names(node))
      if (!defined.contains(name)) captured.push_back(std::move(name));
  for (const auto& output : graph.output())
    if (!defined.contains(output.name())) captured.push_back(output.name());
  return captured;
}

std::vector<const onnx::NodeProto*> order_nodes(const NodeList& nodes,
                                                const std::vector<std::string>& outputs) {
  const std::unordered_map<std::string, int> producers = find_producers(nodes);
  const auto count = static_cast<std::size_t>(nodes.size());
  std::vector<std::vector<int>> readers(count);  // by producer
  std::vector<int> waiting(count, 0);
  std::vector<bool> is_live(count, false);

  std::vector<int> stack;
  const auto need = [&](const std::string& name) {
    const auto producer = producers.find(name);
    if (producer == producers.end()) return kNone;
    if (!is_live[static_cast<std::size_t>(producer->second)]) {
      is_live[static_cast<std::size_t>(producer->second)] = true;
      stack.push_back(producer->second);
    }
    return producer->second;
  };
  for (const std::string& output : outputs) need(output);
  while (!stack.empty()) {
    const int node = stack.back();
    stack.pop_back();
    std::unordered_set<int> sources;
    for (const std::string& name : read_names(nodes[node])) {
      const int source = need(name);
      if (source != kNone && sources.insert(source).second) {
        readers[static_cast<std::size_t>(source)].push_back(node);
        ++waiting[static_cast<std::size_t>(node)];
      }
    }
  }

  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  std::size_t num_live = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_live[i]) continue;
    ++num_live;
    if (waiting[i] == 0) ready.push(static_cast<int>(i));
  }
  std::vector<const onnx::NodeProto*> order;
  while (!ready.empty()) {
    const int node = ready.top();
    ready.pop();
    order.push_back(&nodes[node]);
    for (int reader : readers[static_cast<std::size_t>(node)])
      if (--waiting[static_cast<std::size_t>(reader)] == 0) ready.push(reader);
  }
  if (order.size() != num_live)
    for (std::size_t i = 0; i < count; ++i)
      if (is_live[i] && waiting[i] > 0)
        fail(ErrorKind::kModel, "node '{}' ({}) reads, through others, what it writes: a cycle",
             display_name(nodes[static_cast<int>(i)]), nodes[static_cast<int>(i)].op_type());
  return order;
}

}  // namespace gacer
