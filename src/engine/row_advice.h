#pragma once

#include <string>
#include <vector>

#include <gacer/plan.h>

#include "engine/profiler.h"
#include "profile/profile_db.h"

namespace gacer {

/// Says that the profile has rows for these tasks, but of other versions than those of `key`
/// (EngineCore::profile_key()): why work is measured again. Empty when it has none. Error{kIo}.
std::string describe_unused_rows(const ProfileDb& db, const std::string& key,
                                 const std::vector<ProfileTask>& tasks);

/// How to make a recording with a tenant's rows.
std::string advise_recording(const std::string& model, std::int64_t batch,
                             const std::map<std::string, std::int64_t>& dims,
                             const std::string& precision);

}  // namespace gacer
