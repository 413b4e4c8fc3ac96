// What a warp of kernels/few_rows.cu and kernels/split_conv.cu loads from memory at once for tiles
// of 16 columns (or filters) and groups of 8 rows (or pixels); shared with the host side.
#pragma once

namespace gacer::cuda {

inline constexpr int kChunk = 32;  ///< of the long axis, for two products

/// Warps that a block may have: large tiles need the registers of more.
constexpr int most_warps(int tiles, int groups) { return tiles * groups >= 8 ? 8 : 16; }

/// Loads of 16 bytes that a thread makes for a chunk; a prologue loads scale and shift too.
constexpr int chunk_loads(int tiles, int groups, bool has_prologue = false) {
  return 2 * tiles + groups + (has_prologue ? 2 : 0);
}

/// Registers that hold no loads: sums, places.
constexpr int other_registers(int tiles, int groups) { return 24 + 4 * tiles * groups; }

/// Chunks that a warp has under way before it multiplies: as many as the registers hold.
constexpr int chunks_at_once(int tiles, int groups, bool has_prologue = false) {
  const bool is_large = most_warps(tiles, groups) < 16;
  const int room = (is_large ? 255 : 128) - other_registers(tiles, groups);
  const int chunks = room / (4 * chunk_loads(tiles, groups, has_prologue));
  const int most = is_large ? 2 : 4;
  return chunks < 1 ? 1 : chunks > most ? most : chunks;
}

/// The same for kernels, which may not call the function.
template <int kTiles, int kGroups, bool kHasPrologue = false>
constexpr int kChunksAtOnce = chunks_at_once(kTiles, kGroups, kHasPrologue);

/// Warps that find registers on a multiprocessor side by side, about.
constexpr int resident_warps(int tiles, int groups, bool has_prologue = false) {
  const int loads =
      chunk_loads(tiles, groups, has_prologue) * chunks_at_once(tiles, groups, has_prologue);
  return (64 << 10) / 32 / (other_registers(tiles, groups) + 4 * loads);
}

}  // namespace gacer::cuda
