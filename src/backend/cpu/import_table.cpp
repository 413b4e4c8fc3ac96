#include "backend/cpu/import_table.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include <link.h>

#include "base/error.h"

namespace gacer::cpu {
namespace {

#if defined(__x86_64__)
constexpr unsigned kJumpSlot = R_X86_64_JUMP_SLOT;
constexpr unsigned kGlobalData = R_X86_64_GLOB_DAT;
#elif defined(__aarch64__)
constexpr unsigned kJumpSlot = R_AARCH64_JUMP_SLOT;
constexpr unsigned kGlobalData = R_AARCH64_GLOB_DAT;
#else
#error "the relocation types of this processor are not known here"
#endif

/// What is needed of a loaded library: where it lies and its tables.
struct Library {
  std::string_view wanted;
  bool is_found = false;
  std::uintptr_t base = 0;
  const ElfW(Dyn) * dynamic = nullptr;
  std::uintptr_t readonly_begin = 0;
  std::uintptr_t readonly_end = 0;
};

int look_at_library(dl_phdr_info* info, std::size_t /*size*/, void* context) {
  auto& library = *static_cast<Library*>(context);
  const std::string_view path = info->dlpi_name;
  const std::string_view file = path.substr(path.rfind('/') + 1);
  if (!file.starts_with(library.wanted)) return 0;
  library.is_found = true;
  library.base = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type == PT_DYNAMIC)
      library.dynamic = reinterpret_cast<const ElfW(Dyn)*>(library.base + header.p_vaddr);
    if (header.p_type == PT_GNU_RELRO) {
      library.readonly_begin = library.base + header.p_vaddr;
      library.readonly_end = library.readonly_begin + header.p_memsz;
    }
  }
  return 1;
}

std::uintptr_t dynamic_entry(const Library& library, ElfW(Sxword) tag) {
  for (const ElfW(Dyn)* entry = library.dynamic; entry->d_tag != DT_NULL; ++entry)
    if (entry->d_tag == tag) return entry->d_un.d_val;
  return 0;
}

/// Some loaders leave addresses relative to the library.
std::uintptr_t dynamic_address(const Library& library, ElfW(Sxword) tag) {
  const std::uintptr_t value = dynamic_entry(library, tag);
  return value != 0 && value < library.base ? library.base + value : value;
}

void write_slot(const Library& library, std::uintptr_t slot, void* value) {
  const auto page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t page = slot / page_bytes * page_bytes;
  const bool is_readonly = library.readonly_begin <= slot && slot < library.readonly_end;
  auto* memory = reinterpret_cast<void*>(page);
  if (is_readonly && mprotect(memory, page_bytes, PROT_READ | PROT_WRITE) != 0)
    fail(ErrorKind::kDevice, "cannot write the import table of {}: {}", library.wanted,
         std::strerror(errno));
  std::memcpy(reinterpret_cast<void*>(slot), &value, sizeof(value));
  if (is_readonly) mprotect(memory, page_bytes, PROT_READ);
}

struct Slot {
  std::string_view name;
  std::uintptr_t address = 0;
};

std::vector<Slot> imported_functions(const Library& library) {
  const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(dynamic_address(library, DT_SYMTAB));
  const auto* strings = reinterpret_cast<const char*>(dynamic_address(library, DT_STRTAB));
  std::vector<Slot> slots;
  const auto collect = [&](ElfW(Sxword) table, ElfW(Sxword) table_bytes) {
    const auto* entry = reinterpret_cast<const ElfW(Rela)*>(dynamic_address(library, table));
    const std::size_t count = dynamic_entry(library, table_bytes) / sizeof(ElfW(Rela));
    for (std::size_t i = 0; i < count; ++i) {
      const auto type = static_cast<unsigned>(ELF64_R_TYPE(entry[i].r_info));
      if (type != kJumpSlot && type != kGlobalData) continue;
      const ElfW(Sym)& symbol = symbols[ELF64_R_SYM(entry[i].r_info)];
      slots.push_back({strings + symbol.st_name, library.base + entry[i].r_offset});
    }
  };
  collect(DT_JMPREL, DT_PLTRELSZ);
  collect(DT_RELA, DT_RELASZ);
  return slots;
}

}  // namespace

void bind_imports(std::string_view name, std::span<const Import> imports,
                  const std::vector<std::string_view>& prefixes) {
  Library library{.wanted = name};
  dl_iterate_phdr(look_at_library, &library);
  if (!library.is_found || library.dynamic == nullptr)
    fail(ErrorKind::kDevice, "the library {} is not loaded as a shared library", name);
  const std::vector<Slot> slots = imported_functions(library);
  // All is checked before anything is written.
  std::vector<const Import*> targets(slots.size(), nullptr);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::string_view function = slots[i].name;
    const auto known = std::find_if(imports.begin(), imports.end(),
                                    [&](const Import& import) { return function == import.name; });
    if (known != imports.end()) {
      *known->original = dlsym(RTLD_DEFAULT, known->name);
      if (*known->original == nullptr)
        fail(ErrorKind::kDevice, "{} imports {}, which no library defines", name, function);
      targets[i] = &*known;
    } else if (std::any_of(prefixes.begin(), prefixes.end(),
                           [&](std::string_view prefix) { return function.starts_with(prefix); })) {
      fail(ErrorKind::kDevice, "{} imports {}, which this build cannot redirect", name, function);
    }
  }
  if (std::all_of(targets.begin(), targets.end(), [](const Import* t) { return t == nullptr; }))
    fail(ErrorKind::kDevice, "{} imports none of the functions to redirect (first: {})", name,
         imports.empty() ? "none" : imports.front().name);
  for (std::size_t i = 0; i < slots.size(); ++i)
    if (targets[i] != nullptr) write_slot(library, slots[i].address, targets[i]->replacement);
}

}  // namespace gacer::cpu
