// SPDX-License-Identifier: BSD-3-Clause
// mpnet moving mbufs between processes, as contestants.
#pragma once

#include "contestant.hpp"

namespace bench {

/// Rings of mbufs from an mbuf pool, with ownership tags and without.
[[nodiscard]] contestants mpnet_mbuf_rings();
/// "pipeline": a server takes packets from a null port and hands them to a client, which sends them to another.
/// "null ports": one core forwards between two null ports, in both directions.
[[nodiscard]] contestants mpnet_forwarders();

}  // namespace bench
