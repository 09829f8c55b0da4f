// SPDX-License-Identifier: BSD-3-Clause
#include "ipc/handlers.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <map>
#include <mutex>
#include <string>

#include "ipc/wire.hpp"

namespace mpnet::ipc {
namespace {

struct handler_table {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<handler_entry>, std::less<>> entries;
};

thread_local const handler_call* current_call = nullptr;

/// How many calls of this handler the calling thread is in.
std::size_t own_calls(const handler_entry& entry) noexcept {
  std::size_t n = 0;
  for (const handler_call* call = current_call; call != nullptr; call = call->outer()) {
    if (call->entry() == &entry) ++n;
  }
  return n;
}

/// Never destroyed: the endpoint's threads may read it until the process ends.  The child of a fork finds it whole, and
/// without the calls of threads that it does not have.
handler_table& table() {
  static handler_table* const instance = [] {
    auto* made = new handler_table;  // NOLINT: lives as long as the process
    pthread_atfork([] { table().mutex.lock(); }, [] { table().mutex.unlock(); },
                   [] {
                     for (auto& [name, entry] : table().entries) entry->running = own_calls(*entry);
                     table().mutex.unlock();
                   });
    return made;
  }();
  return *instance;
}

}  // namespace

handler_call::handler_call(std::string_view name) {
  const std::lock_guard lock{table().mutex};
  const auto found = table().entries.find(name);
  if (found == table().entries.end()) return;
  entry_ = found->second;
  ++entry_->running;
  outer_ = std::exchange(current_call, this);
}

handler_call::~handler_call() {
  if (!entry_) return;
  current_call = outer_;
  const std::lock_guard lock{table().mutex};
  if (--entry_->running == 0) entry_->idle.notify_all();
}

void register_handler(std::string_view name, handler function) {
  if (!valid_name(name) || !function) {
    throw error{
        errc::invalid_argument,
        fmt::format("register handler '{}': a name has 1 to {} bytes without control characters, and a function", name,
                    max_name_len)};
  }
  auto entry = std::make_shared<handler_entry>();
  entry->function = std::move(function);
  const std::lock_guard lock{table().mutex};
  if (!table().entries.emplace(std::string{name}, std::move(entry)).second) {
    throw error{errc::exists, fmt::format("register handler '{}': this process has one; unregister it first", name)};
  }
}

bool unregister_handler(std::string_view name) {
  std::shared_ptr<handler_entry> entry;  // its function is destroyed after the lock is open again
  std::unique_lock lock{table().mutex};
  const auto found = table().entries.find(name);
  if (found == table().entries.end()) return false;
  entry = std::move(found->second);
  table().entries.erase(found);
  const std::size_t own = own_calls(*entry);  // cannot end before we return
  entry->idle.wait(lock, [&] { return entry->running <= own; });
  lock.unlock();
  return true;
}

}  // namespace mpnet::ipc
