// SPDX-License-Identifier: BSD-3-Clause
// The right to read a connection.  One thread has it at a time, from the event that it got until it sleeps again; epoll
// says nothing about the connection meanwhile, so what comes next wakes nobody else: the kernel would wake a thread
// that sleeps in epoll_wait for a message that another one is just about to fetch, and that costs more than the
// message. While a handler runs nobody has it, and whoever reads next may take it.
#pragma once

#include <mpnet/ipc.hpp>

#include <memory>
#include <utility>

namespace mpnet::ipc {

struct connection;

class reading_turn {
 public:
  /// Who has it: after an event, of which epoll gives one and is silent then; or who wants to read on, unasked.
  enum class reason : bool { event, read_on };

  reading_turn() noexcept = default;
  /// Empty where another thread has it.  The impl's mutex is held; to end a turn it must not be.
  reading_turn(endpoint::impl& pool, std::shared_ptr<connection> link, reason why) noexcept;
  reading_turn(reading_turn&& other) noexcept : pool_(other.pool_), link_(std::move(other.link_)) {}
  reading_turn& operator=(reading_turn&& other) noexcept {
    end();
    pool_ = other.pool_;
    link_ = std::move(other.link_);
    return *this;
  }
  ~reading_turn() { end(); }
  /// Lets epoll watch the connection again; gives the connection back.
  std::shared_ptr<connection> end() noexcept;

  [[nodiscard]] explicit operator bool() const noexcept { return link_ != nullptr; }
  [[nodiscard]] const std::shared_ptr<connection>& link() const noexcept { return link_; }

 private:
  endpoint::impl* pool_ = nullptr;
  std::shared_ptr<connection> link_;
};

}  // namespace mpnet::ipc
