#include "tools/gacer/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/file.h"

namespace gacer::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "array bytes are used as they are");

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::size_t kAlignment = 64;

struct TypeName {
  DType dtype;
  std::string_view text;
};
constexpr std::array<TypeName, 12> kTypes{{{DType::kF16, "<f2"},
                                           {DType::kF32, "<f4"},
                                           {DType::kF64, "<f8"},
                                           {DType::kI8, "|i1"},
                                           {DType::kI16, "<i2"},
                                           {DType::kI32, "<i4"},
                                           {DType::kI64, "<i8"},
                                           {DType::kU8, "|u1"},
                                           {DType::kU16, "<u2"},
                                           {DType::kU32, "<u4"},
                                           {DType::kU64, "<u8"},
                                           {DType::kBool, "|b1"}}};

/// Reads the header: a Python dictionary with the keys descr, fortran_order and shape.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& origin) : text_(text), origin_(origin) {}

  std::pair<DType, Shape> parse() {
    std::optional<DType> dtype;
    std::optional<bool> is_fortran;
    std::optional<std::vector<std::int64_t>> dims;
    expect('{');
    while (!take('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr")
        dtype = type();
      else if (key == "fortran_order")
        is_fortran = boolean();
      else if (key == "shape")
        dims = tuple();
      else
        reject(fmt::format("the header has an unknown key '{}'", key));
      if (!take(',') && peek() != '}') reject("the header is not a dictionary");
    }
    if (!dtype || !is_fortran || !dims) reject("the header lacks descr, fortran_order or shape");
    // With at most one axis longer than 1 both orders are the same.
    const auto long_axes =
        std::ranges::count_if(*dims, [](std::int64_t size) { return size != 1; });
    if (*is_fortran && long_axes > 1)
      reject("it is in Fortran order; save numpy.ascontiguousarray(array) instead");
    return {*dtype, Shape(std::move(*dims))};
  }

  [[noreturn]] void reject(const std::string& why) const {
    fail(ErrorKind::kUsage, "'{}' is no usable .npy file: {}", origin_, why);
  }

 private:
  char peek() {
    at_ = std::min(text_.find_first_not_of(" \n\t\r", at_), text_.size());
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) reject(fmt::format("expected '{}' at byte {} of the header", c, at_));
  }
  std::string_view string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') reject("the header holds no simple type or key");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == text_.npos) reject("the header ends inside of a text");
    const std::string_view value = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return value;
  }
  DType type() {
    const std::string_view text = string();
    for (const TypeName& known : kTypes) {
      // One byte has no order: "<i1", "=i1" and "|i1" are the same.
      const bool is_byte = known.text[2] == '1';
      if (text == known.text ||
          (is_byte && text.size() == 3 && text.substr(1) == known.text.substr(1)))
        return known.dtype;
    }
    reject(fmt::format(
        "elements of type '{}'; little-endian f2, f4, f8, integers and b1 can be read", text));
  }
  bool boolean() {
    peek();
    for (const std::string_view word : {"True", "False"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    reject("fortran_order is neither True nor False");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!take(')')) {
      std::int64_t value = 0;
      peek();
      const char* const begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
      if (error != std::errc{} || value < 0) reject("the shape holds something that is no size");
      at_ += static_cast<std::size_t>(end - begin);
      values.push_back(value);
      if (!take(',') && peek() != ')') reject("the shape is no tuple of sizes");
    }
    return values;
  }

  std::string_view text_;
  const std::string& origin_;
  std::size_t at_ = 0;
};

/// Bytes of a tensor, or nothing when the number does not fit.
std::optional<std::size_t> checked_bytes(const Shape& shape, DType dtype) {
  std::size_t bytes = size_of(dtype);
  constexpr std::size_t kLimit = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t size : shape) {
    const auto count = static_cast<std::size_t>(size);
    if (count != 0 && bytes > kLimit / count) return std::nullopt;
    bytes *= count;
  }
  return bytes;
}

template <typename T>
T read_little_endian(std::string_view bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

}  // namespace

Tensor parse_npy(std::string_view bytes, const std::string& origin) {
  const auto reject = [&](const std::string& why) { HeaderParser({}, origin).reject(why); };
  if (!bytes.starts_with(kMagic)) reject("it does not begin as one");
  if (bytes.size() < 12) reject("it ends inside of its header");
  const int major = static_cast<unsigned char>(bytes[6]);
  if (major < 1 || major > 3) reject(fmt::format("format {}; 1 to 3 are known", major));
  const std::size_t begin = major == 1 ? 10 : 12;
  const std::size_t length = major == 1 ? read_little_endian<std::uint16_t>(bytes.substr(8, 2))
                                        : read_little_endian<std::uint32_t>(bytes.substr(8, 4));
  if (bytes.size() - begin < length) reject("it ends inside of its header");
  const auto [dtype, shape] = HeaderParser(bytes.substr(begin, length), origin).parse();
  const std::string_view elements = bytes.substr(begin + length);
  const auto size = checked_bytes(shape, dtype);
  if (!size || *size != elements.size())
    reject(fmt::format("{} {} does not take the {} bytes that follow the header", to_string(dtype),
                       shape.to_string(), elements.size()));
  Tensor tensor(dtype, shape);
  std::memcpy(tensor.mutable_bytes(), elements.data(), elements.size());
  if (dtype == DType::kBool)
    for (std::byte& value : std::span(tensor.mutable_bytes(), elements.size()))
      value = static_cast<std::byte>(value != std::byte{0});
  return tensor;
}

Tensor read_npy(const std::string& path) { return parse_npy(read_file(path), path); }

std::string npy_bytes(const Tensor& tensor) {
  if (tensor.dtype() == DType::kBF16) {
    Tensor wide(DType::kF32, tensor.shape());
    std::ranges::transform(tensor.data<BFloat16>(), wide.mutable_data<float>().begin(),
                           [](BFloat16 value) { return static_cast<float>(value); });
    return npy_bytes(wide);
  }
  const auto type = std::ranges::find(kTypes, tensor.dtype(), &TypeName::dtype);
  std::string dims;
  for (const std::int64_t size : tensor.shape()) dims += fmt::format("{}, ", size);
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type->text, dims);
  const std::size_t unpadded = kMagic.size() + 4 + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  header += '\n';
  std::string bytes(kMagic);
  bytes += {'\x01', '\x00', static_cast<char>(header.size() & 0xFFU),
            static_cast<char>(header.size() >> 8U)};
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(tensor.bytes()), tensor.size_bytes());
  return bytes;
}

void write_npy(const std::string& path, const Tensor& tensor) {
  write_file_atomically(path, npy_bytes(tensor));
}

}  // namespace gacer::cli
