// SPDX-License-Identifier: BSD-3-Clause
// Leads a busy process to a chosen phase of a ring's operation, so that a kill falls there.  At random moments some
// phases, one or two instructions long, are never hit.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <random>

namespace mpnet::detail {
struct ring_header;
}

namespace bench {

enum class kill_phase {
  putting,        // a producer's turn is claimed, nothing published
  put,            // published, and the turn not given back
  taking,         // the same of a consumer
  taken,          //
  single_unsaid,  // a single producer has moved on and not published it
};
inline constexpr unsigned kill_phases = 5;

/// What the killer watches, in the memory of the victim.
struct kill_targets {
  const mpnet::detail::ring_header* many = nullptr;    // both sides
  const mpnet::detail::ring_header* single = nullptr;  // the victim produces
  std::uint64_t key = 0;                               // of the victim, in words of rings
};

/// Stops the child `pid` and single-steps it until it is in `phase`, there to an instruction that `random` chooses.  It
/// stays stopped, to be killed.  False where it did not get there, or may not be stepped: then it runs on.
[[nodiscard]] bool lead_to(pid_t pid, const kill_targets& targets, kill_phase phase, std::mt19937& random);

}  // namespace bench
