#include "tools/gacer/npy.h"

#include <unistd.h>

#include <filesystem>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/dtype.h"
#include "base/error.h"

namespace gacer::cli {
namespace {

using ::testing::HasSubstr;

constexpr DType kAllTypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kI8,
                               DType::kI16, DType::kI32, DType::kI64, DType::kU8,
                               DType::kU16, DType::kU32, DType::kU64, DType::kBool};

Tensor make_tensor(DType dtype, const Shape& shape, std::mt19937& random) {
  Tensor tensor(dtype, shape);
  for (std::byte& value : std::span(tensor.mutable_bytes(), tensor.size_bytes()))
    value = static_cast<std::byte>(dtype == DType::kBool ? random() % 2 : random() % 256);
  return tensor;
}

/// A .npy file with any header text.
std::string file_with_header(const std::string& header, std::size_t num_bytes) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xFFU);
  bytes += static_cast<char>(header.size() >> 8U);
  return bytes + header + std::string(num_bytes, '\x01');
}

std::string refusal_of(const std::string& bytes) {
  try {
    parse_npy(bytes, "x.npy");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.message();
  }
  return "accepted";
}

TEST(Npy, RoundTripsEveryTypeAndShape) {
  std::mt19937 random(1);
  for (const DType dtype : kAllTypes) {
    for (const Shape& shape :
         {Shape{}, Shape{5}, Shape{2, 3, 4}, Shape{0, 7}, Shape{1, 1, 1, 1, 1}}) {
      const Tensor tensor = make_tensor(dtype, shape, random);
      const std::string bytes = npy_bytes(tensor);
      const Tensor read = parse_npy(bytes, "x.npy");
      EXPECT_EQ(read.dtype(), dtype);
      EXPECT_EQ(read.shape(), shape);
      EXPECT_EQ(
          std::string_view(reinterpret_cast<const char*>(read.bytes()), read.size_bytes()),
          std::string_view(reinterpret_cast<const char*>(tensor.bytes()), tensor.size_bytes()));
      EXPECT_EQ((bytes.size() - tensor.size_bytes()) % 64, 0U) << "elements are aligned";
    }
  }
}

TEST(Npy, WritesBFloat16AsF32) {
  const Tensor read =
      parse_npy(npy_bytes(Tensor::from<BFloat16>(Shape{2}, {BFloat16(1.5F), BFloat16(-2)})), "x");
  ASSERT_EQ(read.dtype(), DType::kF32);
  EXPECT_EQ(read.data<float>()[0], 1.5F);
  EXPECT_EQ(read.data<float>()[1], -2.0F);
}

TEST(Npy, ReadsTheHeadersThatNumpyWrites) {
  const Tensor one = parse_npy(
      file_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }   \n", 12), "x");
  EXPECT_EQ(one.shape(), Shape{3});
  const Tensor scalar = parse_npy(
      file_with_header("{'descr': '<i8', 'fortran_order': True, 'shape': (), }\n", 8), "x");
  EXPECT_EQ(scalar.shape(), Shape{});
}

TEST(Npy, NormalisesBooleans) {
  std::string bytes = file_with_header("{'descr':'|b1','fortran_order':False,'shape':(2,)}", 2);
  bytes.back() = '\x07';
  const Tensor read = parse_npy(bytes, "x");
  EXPECT_EQ(std::to_integer<int>(read.bytes()[1]), 1);
}

TEST(Npy, SaysWhyAFileIsRefused) {
  EXPECT_THAT(refusal_of(""), HasSubstr("does not begin as one"));
  EXPECT_THAT(refusal_of("PK\x03\x04 and more text"), HasSubstr("does not begin as one"));
  EXPECT_THAT(refusal_of(file_with_header(
                  "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24)),
              HasSubstr("Fortran order"));
  EXPECT_THAT(
      refusal_of(file_with_header("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4)),
      HasSubstr("'>f4'"));
  EXPECT_THAT(refusal_of(file_with_header(
                  "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4)),
              HasSubstr("no simple type"));
  EXPECT_THAT(
      refusal_of(file_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 8)),
      HasSubstr("8 bytes"));
  EXPECT_THAT(
      refusal_of(file_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", 8)),
      HasSubstr("no size"));
  EXPECT_THAT(refusal_of(file_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': "
                                          "(9223372036854775807, 9223372036854775807, 16), }",
                                          8)),
              HasSubstr("does not take"));
}

TEST(Npy, SurvivesRandomDamage) {
  std::mt19937 random(7);
  const std::string good = npy_bytes(make_tensor(DType::kI32, Shape{3, 4}, random));
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (std::size_t edits = 1 + random() % 4; edits > 0; --edits) {
      if (bytes.empty()) break;
      const std::size_t place = random() % 80 % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[place] = static_cast<char>(random() % 256);
          break;
        case 1:
          bytes.erase(place, 1 + random() % 3);
          break;
        case 2:
          bytes.insert(place, 1, "(){}',: 0123456789TF"[random() % 20]);
          break;
        default:
          bytes.resize(1 + random() % bytes.size());
      }
    }
    try {
      const Tensor tensor = parse_npy(bytes, "x");
      EXPECT_EQ(tensor.size_bytes(),
                static_cast<std::size_t>(tensor.num_elements()) * size_of(tensor.dtype()));
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(Npy, NamesAFileThatIsNotThere) {
  try {
    read_npy("/nowhere/x.npy");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_THAT(error.message(), HasSubstr("/nowhere/x.npy"));
  }
}

}  // namespace
}  // namespace gacer::cli
