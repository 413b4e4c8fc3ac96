#include <gacer/policy.h>

#include "search/search.h"

namespace gacer {

std::vector<PolicyInfo> list_policies() {
  std::vector<PolicyInfo> policies;
  for (const Policy* policy : all_policies())
    policies.push_back({std::string(policy->name), std::string(policy->summary)});
  policies.push_back({"auto", "gacer, unless a simple policy is as fast when measured beside it"});
  return policies;
}

}  // namespace gacer
