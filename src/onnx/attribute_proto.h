#pragma once

#include <string>

#include "graph/attributes.h"
#include "onnx/model_file.h"

namespace onnx {
class AttributeProto;
}

namespace gacer {

/// The value of an attribute. Errors: kUnsupported (sparse tensors, types, lists of tensors),
/// kModel (no type). Subgraphs are not values: precondition that it is none.
Attribute read_attribute(ModelFile& model, const onnx::AttributeProto& proto);

/// The other way.
void write_attribute(const std::string& name, const Attribute& value, onnx::AttributeProto& proto);

}  // namespace gacer
