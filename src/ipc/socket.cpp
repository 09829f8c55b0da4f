// SPDX-License-Identifier: BSD-3-Clause
#include "ipc/socket.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace mpnet::ipc {
namespace {

constexpr int socket_flags = SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC;

/// An address for a path of any length: one too long for sun_path goes through a descriptor of its directory.
class address {
 public:
  address(const std::string& dir, const std::string& file) {
    std::string path = dir + "/" + file;
    if (path.size() >= sizeof un_.sun_path) {
      dir_.reset(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      path = fmt::format("/proc/self/fd/{}/{}", dir_.get(), file);
    }
    un_.sun_family = AF_UNIX;
    if (path.size() >= sizeof un_.sun_path) {
      throw error{errc::invalid_argument, fmt::format("socket {}/{}: the name is too long", dir, file)};
    }
    std::memcpy(un_.sun_path, path.c_str(), path.size() + 1);
  }
  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&un_); }
  [[nodiscard]] socklen_t size() const noexcept { return sizeof un_; }

 private:
  sockaddr_un un_{};
  unique_fd dir_;
};

/// The kernel says who the peer is; only processes of the same user may talk.
bool same_user(int fd) noexcept {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == ::geteuid();
}

void enlarge_queue(int fd) noexcept {
  // The kernel's default holds about three messages of the largest size.  Where its limit is lower, that is what we
  // get.
  const int bytes = 2 << 20;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

std::string file_of(const socket_place& place, const socket_name& name) {
  return fmt::format("{}.{}.{}", place.stem, static_cast<unsigned>(name.id), name.incarnation);
}

template <class T>
bool parse_number(std::string_view text, T& value) noexcept {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  return fault == std::errc{} && end == text.data() + text.size() && !text.empty();
}

}  // namespace

error system_error_of(std::string what) {
  const int code = errno;
  const errc kind = code == EACCES || code == EPERM ? errc::permission : errc::system;
  return error{kind, fmt::format("{}: {}", what, std::strerror(code))};
}

std::string socket_path(const socket_place& place, const socket_name& name) {
  return place.dir + "/" + file_of(place, name);
}

std::optional<socket_name> parse_socket_name(const socket_place& place, std::string_view file) noexcept {
  if (file.size() <= place.stem.size() || !file.starts_with(place.stem) || file[place.stem.size()] != '.') return {};
  file.remove_prefix(place.stem.size() + 1);
  const auto dot = file.find('.');
  if (dot == file.npos) return {};
  std::uint16_t id = 0;
  socket_name name;
  if (!parse_number(file.substr(0, dot), id) || !parse_number(file.substr(dot + 1), name.incarnation)) return {};
  if (id >= max_processes) return {};
  name.id = process_id{id};
  return name;
}

std::vector<socket_name> list_sockets(const socket_place& place) {
  std::vector<socket_name> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir{::opendir(place.dir.c_str()), ::closedir};
  if (!dir) {
    if (errno == ENOENT) return names;
    throw system_error_of("read the runtime directory " + place.dir);
  }
  while (const dirent* entry = ::readdir(dir.get())) {
    if (const auto name = parse_socket_name(place, entry->d_name)) names.push_back(*name);
  }
  std::sort(names.begin(), names.end(), [](const socket_name& a, const socket_name& b) {
    return std::pair{a.id, a.incarnation} < std::pair{b.id, b.incarnation};
  });
  return names;
}

tracked_fd listen_on(const socket_place& place, const socket_name& name) {
  const std::string path = socket_path(place, name);
  const std::string what = "listen on " + path;
  if (connect_to(place, name).status == connect_status::connected) {
    throw error{errc::exists, what + ": somebody listens there already"};
  }
  tracked_fd fd{::socket(AF_UNIX, socket_flags, 0)};
  if (!fd) throw system_error_of(what);
  // The mode of a socket that is not bound yet becomes the file's, so there is no moment in which others may connect.
  if (::fchmod(fd.get(), 0600) != 0) throw system_error_of(what);
  // Named only when it listens: who finds the file can connect.
  const std::string temporary = fmt::format("{}.new.{}", file_of(place, name), ::getpid());
  const std::string temporary_path = place.dir + "/" + temporary;
  ::unlink(temporary_path.c_str());
  const address where{place.dir, temporary};
  if (::bind(fd.get(), where.get(), where.size()) != 0) throw system_error_of(what);
  if (::listen(fd.get(), 1024) != 0 || ::rename(temporary_path.c_str(), path.c_str()) != 0) {
    const error fault = system_error_of(what);
    ::unlink(temporary_path.c_str());
    throw fault;
  }
  return fd;
}

connect_result connect_to(const socket_place& place, const socket_name& name) {
  connect_result result;
  tracked_fd fd{::socket(AF_UNIX, socket_flags, 0)};
  if (!fd) throw system_error_of("connect to " + socket_path(place, name));
  const address where{place.dir, file_of(place, name)};
  while (::connect(fd.get(), where.get(), where.size()) != 0) {
    switch (errno) {
      case EINTR:
        continue;
      case EAGAIN:
        result.status = connect_status::full;
        return result;
      case ECONNREFUSED:
        result.status = connect_status::refused;
        return result;
      case EACCES:
      case EPERM:
        result.status = connect_status::foreign;
        return result;
      default:
        result.status = connect_status::absent;
        return result;  // ENOENT; ENOTSOCK, EPROTOTYPE: not ours
    }
  }
  if (!same_user(fd.get())) {
    result.status = connect_status::foreign;
    return result;
  }
  enlarge_queue(fd.get());
  result.status = connect_status::connected;
  result.fd = std::move(fd);
  return result;
}

tracked_fd accept_from(int listening, std::uint64_t& foreign) noexcept {
  for (;;) {
    const int raw = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (raw < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return {};
    }
    tracked_fd fd{raw};
    if (!same_user(fd.get())) {
      ++foreign;
      continue;
    }
    enlarge_queue(fd.get());
    return fd;
  }
}

std::pair<tracked_fd, unique_fd> socket_pair() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, socket_flags, 0, ends) != 0) throw system_error_of("make a socket pair for replies");
  enlarge_queue(ends[1]);
  unique_fd theirs{ends[1]};
  return {tracked_fd{ends[0]}, std::move(theirs)};
}

void remove_stale_sockets(const socket_place& place, process_id slot) noexcept {
  try {
    for (const socket_name& name : list_sockets(place)) {
      if (slot != no_process && name.id != slot) continue;
      if (connect_to(place, name).status == connect_status::refused) ::unlink(socket_path(place, name).c_str());
    }
  } catch (const error&) {
    // The directory cannot be read: whoever cleans the group up says so.
  }
}

}  // namespace mpnet::ipc
