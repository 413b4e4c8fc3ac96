#include <cstdio>
#include <string>

#include <gacer/error.h>

int main() {
  const gacer::Error error(gacer::ErrorKind::kModel, "made by a consumer");
  std::puts(error.what());
  return std::string(error.what()).find("made by a consumer") == std::string::npos;
}
