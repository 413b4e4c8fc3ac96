#pragma once

#include <set>
#include <string>

#include <gacer/device_info.h>

#include "profile/profile.h"

namespace gacer {

/// A device as another machine can plan for it: its facts and its rows. A plain value with a JSON
/// form.
struct Recording {
  DeviceInfo device;
  bool is_width_fixed = false;  ///< Device::is_width_fixed()
  /// Device::concats_in_place(). Files from before this was kept say nothing: false.
  bool concats_in_place = false;
  std::string image_layout = "row_major";
  std::vector<int> widths;  ///< Device::widths()
  /// How nodes looked after optimisation (form_of()): says what the device fuses, and where it
  /// wants which layout.
  std::set<std::string> forms;
  ProfileTable rows;
};

std::string to_json(const Recording& recording);
/// Error{kIo} names the JSON path of what is missing, of the wrong type or not allowed.
Recording parse_recording(const std::string& json);

/// Error{kIo}. Written to a temporary name, then renamed.
Recording load_recording(const std::string& path);
void save_recording(const Recording& recording, const std::string& path);

}  // namespace gacer
