#pragma once

#include <string>

#include <gtest/gtest.h>

#include <gacer/error.h>

namespace gacer::testing {

/// Expects that `body` throws an Error of a kind whose text contains `part`.
template <typename Body>
void expect_error(ErrorKind kind, const std::string& part, Body&& body) {
  try {
    body();
    ADD_FAILURE() << "no error; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << "'" << part << "' is not in: " << error.what();
  }
}

}  // namespace gacer::testing
