#pragma once

#include <string>
#include <unordered_map>

#include "graph/graph.h"

namespace gacer {

/// Sets Value::batch of folded constants that hold the same for every item of the batch, along an
/// axis that grows with it: an LSTM's zero state [1, N, H], position ids expanded to [N, S].
/// Without that a chunk would read the whole of them.
///
/// Which axis grows is not guessed from sizes: `shapes` and `shapes_twice` are the shapes of the
/// constants in question, by name, from reading the model at `graph.batch` and at twice of that. A
/// constant that differs between items keeps no batch axis, and split rules refuse it.
///
/// Where all readers of such a constant are pointwise and broadcast, one item is kept of it.
void set_constant_batch_axes(Graph& graph, const std::unordered_map<std::string, Shape>& shapes,
                             const std::unordered_map<std::string, Shape>& shapes_twice);

}  // namespace gacer
