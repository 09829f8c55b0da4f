// SPDX-License-Identifier: BSD-3-Clause
// What takes part in a race: one ring or pool of one library.  A cell of the benchmark is one placement and burst; in
// it mpnet's contestant runs against each peer's, turn and turn about, in the same workers on the same processors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class placement { one_core, split, both, oversubscribed };
[[nodiscard]] std::string_view name_of(placement p) noexcept;
[[nodiscard]] unsigned workers_of(placement p) noexcept;
[[nodiscard]] unsigned processors_of(placement p) noexcept;

enum class role { alternate, produce, consume };

struct work {
  unsigned burst = 1;
  std::uint64_t objects = 0;   // how many to move, or
  std::uint64_t duration = 0;  // for how many cycles to go on (then objects is 0)
  unsigned patience = 4096;    // fruitless tries before the processor is yielded
};

struct outcome {
  std::uint64_t objects = 0;
  std::uint64_t busy = 0;  // cycles that the contestant itself timed; 0: the cell times the whole run
};

class contestant {
 public:
  contestant(std::string peer_name, std::string mode_name) : name(std::move(peer_name)), mode(std::move(mode_name)) {}
  virtual ~contestant() = default;

  std::string name;              // "mpnet", "DPDK SP/SC", …
  std::string mode;              // of the table's row: "spsc", "mpmc", …
  bool across_processes = true;  // false: its memory is private to a process, so both sides of the pair run in threads

  /// In the process that starts the workers, before it does.
  virtual void prepare() {}
  /// In each worker, before anything else.
  virtual void enter(unsigned /*worker*/) {}
  /// Worker 0 makes the structure in `memory` (slot_bytes of it).
  virtual void format(void* memory) = 0;
  /// Every worker, after worker 0 has formatted.
  virtual void join(void* /*memory*/, unsigned /*worker*/, unsigned /*workers*/) {}
  virtual outcome run(role r, const work& w) = 0;
  /// Worker by worker, at the end; worker 0 last.
  virtual void leave(unsigned /*worker*/) {}
};

inline constexpr std::size_t slot_bytes = 2UL << 20;

using contestants = std::vector<std::unique_ptr<contestant>>;

}  // namespace bench
