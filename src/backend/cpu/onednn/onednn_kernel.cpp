#include "backend/cpu/onednn/onednn_kernel.h"

#include <set>

#include <fmt/core.h>
#include <oneapi/dnnl/dnnl_debug.h>

#include "backend/cpu/openmp_hooks.h"
#include "backend/cpu/variant_key.h"
#include "base/error.h"

namespace gacer::cpu {
namespace {

constexpr std::size_t kAlignment = 128;

/// Slow loops that serve as oneDNN's own check; ours are no slower, and these trust dense operands.
bool is_reference(std::string_view name) {
  return name.starts_with("ref") || name.find("+ref") != std::string_view::npos ||
         name.starts_with("simple:any");
}

/// Moves on to oneDNN's next implementation of the same primitive.
bool next_implementation(dnnl::primitive_desc_base& desc) {
  if (desc.get_kind() == dnnl::primitive::kind::reorder) return false;  // has one
  return dnnl_primitive_desc_next_impl(desc.get()) == dnnl_success;
}

}  // namespace

class OnednnKernel final : public Kernel {
 public:
  explicit OnednnKernel(KernelBuilder builder)
      : threads_(builder.threads_),
        workspace_bytes_(builder.workspace_bytes_),
        stages_(std::move(builder.stages_)),
        constants_(std::move(builder.constants_)),
        reads_input_(builder.call_.inputs.size(), false) {
    for (const KernelBuilder::Stage& stage : stages_)
      for (const Place& place : stage.places)
        if (place.kind == Place::Kind::kInput)
          reads_input_[static_cast<std::size_t>(place.index)] = true;
  }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  bool reads_input(int input) const override {
    return reads_input_[static_cast<std::size_t>(input)];
  }

  void record(const Bindings& bindings, Recorder& recorder) const override {
    auto& cpu_recorder = dynamic_cast<CpuRecorder&>(recorder);
    cpu_recorder.set_team_size(threads_);
    for (const KernelBuilder::Stage& stage : stages_) record_stage(stage, bindings, cpu_recorder);
  }

 private:
  /// A primitive with its arguments ready for the C call, which copies nothing.
  struct BoundPrimitive {
    dnnl::primitive primitive;
    std::vector<memory> memories;
    std::vector<dnnl_exec_arg_t> arguments;
  };

  void* address(const Place& place, const Bindings& bindings) const {
    void* base = nullptr;
    switch (place.kind) {
      case Place::Kind::kInput:
        base = bindings.inputs[static_cast<std::size_t>(place.index)];
        break;
      case Place::Kind::kOutput:
        base = bindings.outputs[static_cast<std::size_t>(place.index)];
        break;
      case Place::Kind::kWorkspace:
        base = bindings.workspace;
        break;
      case Place::Kind::kConstant:
        base = const_cast<void*>(constants_[static_cast<std::size_t>(place.index)]->data());
        break;
    }
    return static_cast<std::byte*>(base) + place.offset;
  }

  void record_stage(const KernelBuilder::Stage& stage, const Bindings& bindings,
                    CpuRecorder& recorder) const {
    std::vector<void*> addresses;
    for (const Place& place : stage.places) addresses.push_back(address(place, bindings));
    if (stage.work) {
      recorder.add(stage.name, [work = stage.work, addresses = std::move(addresses)](
                                   StepTeam& team) { work(team, addresses); });
      return;
    }
    auto bound = std::make_shared<BoundPrimitive>();
    bound->primitive = stage.primitive;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      bound->memories.emplace_back(stage.descs[i], onednn_engine(), addresses[i]);
      bound->arguments.push_back({stage.ids[i], bound->memories.back().get()});
    }
    recorder.add(stage.name, [bound = std::move(bound)](StepTeam& team) {
      const TeamScope scope(team);
      const dnnl_status_t status = dnnl_primitive_execute(
          bound->primitive.get(), onednn_stream().get(), static_cast<int>(bound->arguments.size()),
          bound->arguments.data());
      if (status != dnnl_success)
        fail(ErrorKind::kDevice, "oneDNN could not run a primitive: {}", dnnl_status2str(status));
    });
  }

  int threads_;
  std::size_t workspace_bytes_;
  std::vector<KernelBuilder::Stage> stages_;
  std::vector<std::shared_ptr<const PackedConstant>> constants_;
  std::vector<bool> reads_input_;
};

KernelBuilder::KernelBuilder(const KernelCall& call, int threads)
    : call_(call), threads_(threads) {}

Place KernelBuilder::workspace(std::size_t bytes) {
  const Place place{Place::Kind::kWorkspace, 0, workspace_bytes_};
  workspace_bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return place;
}

Place KernelBuilder::constant(const Tensor& tensor) {
  constants_.push_back(keep_constant(tensor));
  return {Place::Kind::kConstant, static_cast<int>(constants_.size()) - 1, 0};
}

Place KernelBuilder::constant(const Tensor& tensor, const memory::desc& from,
                              const memory::desc& to) {
  constants_.push_back(pack_constant(tensor, from, to));
  return {Place::Kind::kConstant, static_cast<int>(constants_.size()) - 1, 0};
}

Place KernelBuilder::packed(int input_index, const memory::desc& from, const memory::desc& to) {
  if (const Tensor* tensor = call_.constant(input_index)) return constant(*tensor, from, to);
  if (from == to) return input(input_index);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const Place place = workspace(to.get_size());
  add(dnnl::reorder::primitive_desc(onednn_engine(), from, onednn_engine(), to, attributes),
      {{DNNL_ARG_FROM, input(input_index)}, {DNNL_ARG_TO, place}});
  return place;
}

void KernelBuilder::add(const dnnl::primitive_desc_base& desc, std::vector<Argument> arguments,
                        bool has_posts) {
  if (has_posts) {
    const memory::desc out = desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_DST);
    for (std::size_t i = 0; i < call_.node.post.size(); ++i) {
      const PostOp& post = call_.node.post[i];
      if (post.kind == PostOp::Kind::kActivation) continue;
      const int id = DNNL_ARG_ATTR_MULTIPLE_POST_OP(static_cast<int>(i)) | DNNL_ARG_SRC_1;
      const memory::desc to = desc.query_md(dnnl::query::exec_arg_md, id);
      // It was described before, when the primitive was.
      arguments.push_back({id, packed(post.input, *describe_post_source(call_, post, out), to)});
    }
  }
  if (const memory::desc scratchpad = desc.scratchpad_desc(); scratchpad.get_size() != 0)
    arguments.push_back({DNNL_ARG_SCRATCHPAD, workspace(scratchpad.get_size())});
  Stage stage;
  stage.name = desc.impl_info_str();
  stage.primitive = dnnl::primitive(desc.get());
  for (const Argument& argument : arguments) {
    stage.ids.push_back(argument.id);
    stage.descs.push_back(argument.id == DNNL_ARG_SCRATCHPAD
                              ? desc.scratchpad_desc()
                              : desc.query_md(dnnl::query::exec_arg_md, argument.id));
    stage.places.push_back(argument.place);
  }
  stages_.push_back(std::move(stage));
}

void KernelBuilder::add(std::string name, std::vector<Place> places, Work work) {
  Stage stage;
  stage.name = std::move(name);
  stage.places = std::move(places);
  stage.work = std::move(work);
  stages_.push_back(std::move(stage));
}

std::unique_ptr<Kernel> KernelBuilder::finish() {
  return std::make_unique<OnednnKernel>(std::move(*this));
}

template <typename Visit>
Result<void> OnednnImpl::for_each_implementation(const KernelCall& call, int threads,
                                                 const Visit& visit) const {
  const ThreadCountScope scope(threads);
  std::string reason;
  for (std::string_view option : options(call)) {
    auto made = describe_primitive(call, option);
    if (!made) {
      reason = made.reason();
      continue;
    }
    dnnl::primitive_desc_base desc = *std::move(made);
    if (desc.get(/*allow_empty=*/true) == nullptr) {
      reason = "oneDNN has no implementation for these operands";
      continue;
    }
    std::set<std::string> seen;
    do {
      const std::string name = desc.impl_info_str();
      // Which further ones have a name that was there differs between processes.
      if (!seen.insert(name).second) continue;
      if (!takes_reference() && is_reference(name)) {
        reason = "oneDNN has only its reference implementation";
        continue;
      }
      std::string detail = name;
      if (!option.empty()) detail += fmt::format("+{}", option);
      if (visit(detail, desc)) return {};
    } while (next_implementation(desc));
  }
  return Refusal{reason.empty() ? "oneDNN has no further implementation" : reason};
}

Result<void> OnednnImpl::supports(const KernelCall& call) const {
  return for_each_implementation(
      call, 1, [](const std::string&, const dnnl::primitive_desc_base&) { return true; });
}

std::vector<std::string> OnednnImpl::variants(const KernelCall& call, int width) const {
  std::vector<std::string> keys;
  // Runs through all of them, hence always "no further".
  (void)for_each_implementation(
      adapt(call), width, [&](const std::string& detail, const dnnl::primitive_desc_base&) {
        keys.push_back(VariantKey{onednn_family(), width, detail}.to_string());
        return false;
      });
  return keys;
}

std::unique_ptr<Kernel> OnednnImpl::prepare(const KernelCall& call, const std::string& key) const {
  const auto parsed = parse_variant_key(key, onednn_family());
  if (!parsed) fail(ErrorKind::kUnsupported, "'{}' is no variant of {}", key, onednn_family());
  std::unique_ptr<Kernel> kernel;
  const KernelCall adapted = adapt(call);
  const auto found = for_each_implementation(
      adapted, parsed->threads,
      [&](const std::string& detail, const dnnl::primitive_desc_base& desc) {
        if (detail != parsed->detail) return false;
        KernelBuilder builder(adapted, parsed->threads);
        bind(builder, desc);
        kernel = builder.finish();
        return true;
      });
  if (!found)
    fail(ErrorKind::kUnsupported, "node '{}' ({}) has no variant '{}' here: {}", call.node.name,
         call.node.op, key, found.reason());
  return kernel;
}

}  // namespace gacer::cpu
