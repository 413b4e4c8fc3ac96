// onnx_evaluate FOLDER MODEL|zoo:NAME BATCH [DIM=SIZE...]
//
// First call: writes FOLDER/ports.txt (kind, name, type, sizes) and, for a zoo model,
// FOLDER/model.onnx. When FOLDER/in0.bin, in1.bin, … are there (raw elements), evaluates the graph
// in plain loops and writes FOLDER/out0.bin, …

#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "ops/op_def.h"
#include "zoo/zoo.h"

namespace {

using namespace gacer;

void write_ports(const Graph& graph, const std::string& path) {
  std::string text;
  const auto add = [&](const char* kind, const std::vector<ValueId>& ids) {
    for (const ValueId id : ids) {
      const Value& value = graph.value(id);
      text += fmt::format("{}\t{}\t{}\t", kind, value.name, to_string(value.dtype));
      for (const std::int64_t dim : value.shape) text += fmt::format("{} ", dim);
      text += "\n";
    }
  };
  add("input", graph.inputs);
  add("output", graph.outputs);
  write_file_atomically(path, text);
}

Tensor read_tensor(const std::string& path, const Value& value) {
  const std::string bytes = read_file(path);
  Tensor tensor(value.dtype, value.shape);
  if (bytes.size() != tensor.size_bytes())
    fail(ErrorKind::kUsage, "'{}' has {} bytes, '{}' needs {}", path, bytes.size(), value.name,
         tensor.size_bytes());
  std::memcpy(tensor.mutable_bytes(), bytes.data(), bytes.size());
  return tensor;
}

void run(const std::string& folder, const std::string& model, const ReadOptions& options) {
  Graph graph;
  if (model.starts_with("zoo:")) {
    graph = build_zoo_model(model.substr(4), options.batch);
    write_onnx(graph, folder + "/model.onnx");
  } else {
    graph = read_onnx(model, options);
  }
  write_ports(graph, folder + "/ports.txt");
  if (!std::filesystem::exists(folder + "/in0.bin")) return;
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    inputs.push_back(
        read_tensor(fmt::format("{}/in{}.bin", folder, i), graph.value(graph.inputs[i])));
  const std::vector<Tensor> outputs = evaluate_graph(graph, inputs);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    write_file_atomically(
        fmt::format("{}/out{}.bin", folder, i),
        {reinterpret_cast<const char*>(outputs[i].bytes()), outputs[i].size_bytes()});
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 4) gacer::fail(gacer::ErrorKind::kUsage, "FOLDER MODEL BATCH [DIM=SIZE...]");
    gacer::ReadOptions options;
    options.batch = std::stoll(argv[3]);
    for (int i = 4; i < argc; ++i) {
      const std::string dim = argv[i];
      const std::size_t equals = dim.find('=');
      options.dims[dim.substr(0, equals)] = std::stoll(dim.substr(equals + 1));
    }
    run(argv[1], argv[2], options);
    return 0;
  } catch (const gacer::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return gacer::exit_code(error.kind());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
