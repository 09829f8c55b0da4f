// SPDX-License-Identifier: BSD-3-Clause
// The process's store of descriptors on offer.
#include "ipc/fd_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>

#include <cerrno>
#include <map>
#include <mutex>

#include "ipc/socket.hpp"
#include "ipc/wire.hpp"

namespace mpnet::ipc {
namespace {

struct store {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const fd_bundle>, std::less<>> bundles;
};

/// Never destroyed: the endpoint's threads may read it until the process ends.  The child of a fork offers the same.
store& own() {
  static store* const instance = [] {
    auto* made = new store;  // NOLINT: lives as long as the process
    const auto unlock = [] { own().mutex.unlock(); };
    pthread_atfork([] { own().mutex.lock(); }, unlock, unlock);
    return made;
  }();
  return *instance;
}

void check_key(std::string_view key) {
  if (!valid_name(key)) {
    throw error{
        errc::invalid_argument,
        fmt::format("descriptors under '{}': a key has 1 to {} bytes and no control characters", key, max_name_len)};
  }
}

}  // namespace

std::vector<unique_fd> duplicate_all(std::span<const int> fds) {
  std::vector<unique_fd> copies;
  copies.reserve(fds.size());
  for (const int fd : fds) {
    copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (copies.back()) continue;
    if (errno == EBADF) throw error{errc::invalid_argument, fmt::format("duplicate descriptor {}: it is not open", fd)};
    throw system_error_of(fmt::format("duplicate descriptor {}", fd));
  }
  return copies;
}

std::vector<int> numbers_of(const std::vector<unique_fd>& fds) {
  std::vector<int> numbers;
  numbers.reserve(fds.size());
  for (const unique_fd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

std::shared_ptr<const fd_bundle> find_bundle(std::string_view key) {
  const std::lock_guard lock{own().mutex};
  const auto found = own().bundles.find(key);
  return found == own().bundles.end() ? nullptr : found->second;
}

void publish_fds(std::string_view key, std::span<const int> fds, std::span<const std::byte> data) {
  check_key(key);
  if (fds.size() > max_fds || data.size() > max_data_bytes) {
    throw error{errc::limit, fmt::format("offer descriptors under '{}': {} of them with {} bytes; at most {} and {}",
                                         key, fds.size(), data.size(), max_fds, max_data_bytes)};
  }
  auto bundle = std::make_shared<fd_bundle>();
  bundle->fds = duplicate_all(fds);
  bundle->data.assign(data.begin(), data.end());
  std::shared_ptr<const fd_bundle> fresh = std::move(bundle);
  const std::lock_guard lock{own().mutex};
  own().bundles.insert_or_assign(std::string{key}, std::move(fresh));
}

bool withdraw_fds(std::string_view key) {
  std::shared_ptr<const fd_bundle> last;  // closed after the lock is open again
  const std::lock_guard lock{own().mutex};
  const auto found = own().bundles.find(key);
  if (found == own().bundles.end()) return false;
  last = std::move(found->second);
  own().bundles.erase(found);
  return true;
}

std::optional<fd_bundle> own_fds(std::string_view key) {
  const auto bundle = find_bundle(key);
  if (!bundle) return std::nullopt;
  return fd_bundle{duplicate_all(numbers_of(bundle->fds)), bundle->data, no_process};
}

std::optional<fd_bundle> fetch_fds(std::string_view key, std::chrono::milliseconds timeout, bool keep) {
  check_key(key);
  if (auto mine = own_fds(key)) return mine;
  const endpoint* self = current_endpoint();
  if (self == nullptr) {
    throw error{
        errc::not_found,
        fmt::format("fetch descriptors '{}': this process has no endpoint; give the place of the sockets", key)};
  }
  auto bundle = fetch_fds(self->place(), key, timeout);
  if (bundle && keep) publish_fds(key, numbers_of(bundle->fds), bundle->data);
  return bundle;
}

}  // namespace mpnet::ipc
