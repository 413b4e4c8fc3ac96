#pragma once

namespace gacer {

/// What a regulated policy may change of a plan.
struct Knobs {
  bool chunks = false;
  bool variants = false;
  bool budgets = false;
  bool priorities = false;
  bool syncs = false;
};

}  // namespace gacer
