// SPDX-License-Identifier: BSD-3-Clause
// All of mpnet's public contracts.
#pragma once

#include <mpnet/app.hpp>
#include <mpnet/args.hpp>
#include <mpnet/cycles.hpp>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>
#include <mpnet/event.hpp>
#include <mpnet/fixed_ring.hpp>
#include <mpnet/fork.hpp>
#include <mpnet/group.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/idle.hpp>
#include <mpnet/ipc.hpp>
#include <mpnet/lcore.hpp>
#include <mpnet/log.hpp>
#include <mpnet/mbuf.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/mutex.hpp>
#include <mpnet/pool.hpp>
#include <mpnet/port.hpp>
#include <mpnet/process.hpp>
#include <mpnet/ring.hpp>
#include <mpnet/supervisor.hpp>
#include <mpnet/types.hpp>
