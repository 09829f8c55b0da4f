// SPDX-License-Identifier: BSD-3-Clause
// The process's table of named handlers.  Running calls are counted, so that unregistering can wait for them.
#pragma once

#include <mpnet/ipc.hpp>

#include <condition_variable>
#include <memory>
#include <string_view>

namespace mpnet::ipc {

struct handler_entry {
  handler function;
  std::size_t running = 0;  // under the table's mutex
  std::condition_variable idle;
};

/// A handler that cannot be unregistered while this lives; empty where there is none of that name.
class handler_call {
 public:
  explicit handler_call(std::string_view name);
  ~handler_call();
  handler_call(const handler_call&) = delete;
  handler_call& operator=(const handler_call&) = delete;

  [[nodiscard]] explicit operator bool() const noexcept { return entry_ != nullptr; }
  void run(message& in, reply_token& reply) const { entry_->function(in, reply); }
  [[nodiscard]] const handler_entry* entry() const noexcept { return entry_.get(); }
  [[nodiscard]] const handler_call* outer() const noexcept { return outer_; }

 private:
  std::shared_ptr<handler_entry> entry_;
  const handler_call* outer_ = nullptr;  // the call that the thread was in before
};

}  // namespace mpnet::ipc
