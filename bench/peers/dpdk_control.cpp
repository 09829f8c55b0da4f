// SPDX-License-Identifier: BSD-3-Clause
// DPDK's processes as members of a multi-process group.
#include "peers/dpdk_control.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "peers/dpdk_eal.hpp"

namespace bench {
namespace {

constexpr unsigned burst = 8;
constexpr const char* handler = "bench";

int answer(const rte_mp_msg* request, const void* peer) {
  rte_mp_msg reply = *request;
  reply.num_fds = 0;
  return rte_mp_reply(&reply, static_cast<const char*>(peer));
}

}  // namespace

void enter_dpdk(const std::string& prefix, bool primary, unsigned lcore, unsigned processor) {
  start_dpdk({"--file-prefix=" + prefix, primary ? "--proc-type=primary" : "--proc-type=secondary",
              "--lcores=" + std::to_string(lcore) + "@" + std::to_string(processor), "-m", "64"});
}

void leave_dpdk() {
  rte_eal_cleanup();
}

void clean_dpdk(const std::string& prefix) {
  std::error_code ignored;
  std::filesystem::remove_all("/var/run/dpdk/" + prefix, ignored);
  for (const auto& file : std::filesystem::directory_iterator{"/dev/hugepages", ignored}) {
    if (file.path().filename().string().starts_with(prefix + "map_")) std::filesystem::remove(file.path(), ignored);
  }
}

void answer_dpdk_requests() {
  if (rte_mp_action_register(handler, answer) != 0) throw std::runtime_error{"rte_mp_action_register failed"};
}

void make_dpdk_request() {
  rte_mp_msg request{};
  std::strcpy(request.name, handler);
  request.len_param = 64;
  struct rte_mp_reply replies {};
  const timespec limit{1, 0};
  const int result = rte_mp_request_sync(&request, &replies, &limit);
  const bool answered = result == 0 && replies.nb_received == 1;
  std::free(replies.msgs);
  if (!answered) throw std::runtime_error{"rte_mp_request_sync was not answered"};
}

void make_dpdk_objects(unsigned count) {
  if (rte_mempool_create("objects", count, 64, 64, 0, nullptr, nullptr, nullptr, nullptr, SOCKET_ID_ANY, 0) ==
          nullptr ||
      rte_ring_create("hop", 1024, SOCKET_ID_ANY, 0) == nullptr) {
    throw std::runtime_error{rte_strerror(rte_errno)};
  }
}

dpdk_worker::dpdk_worker() : pool_(rte_mempool_lookup("objects")), ring_(rte_ring_lookup("hop")) {
  if (pool_ == nullptr || ring_ == nullptr) throw std::runtime_error{"DPDK: pool or ring not found"};
}

void dpdk_worker::round() noexcept {
  auto* pool = static_cast<rte_mempool*>(pool_);
  auto* ring = static_cast<rte_ring*>(ring_);
  void* objects[burst];
  if (rte_mempool_get_bulk(pool, objects, burst) == 0) {
    const unsigned in = rte_ring_enqueue_burst(ring, objects, burst, nullptr);
    if (in != burst) rte_mempool_put_bulk(pool, objects + in, burst - in);
  }
  const unsigned out = rte_ring_dequeue_burst(ring, objects, burst, nullptr);
  if (out != 0) rte_mempool_put_bulk(pool, objects, out);
}

unsigned dpdk_worker::lost() noexcept {
  auto* pool = static_cast<rte_mempool*>(pool_);
  auto* ring = static_cast<rte_ring*>(ring_);
  void* object = nullptr;
  while (rte_ring_dequeue(ring, &object) == 0) rte_mempool_put(pool, object);
  return pool->size - rte_mempool_avail_count(pool);
}

}  // namespace bench
