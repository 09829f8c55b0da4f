// SPDX-License-Identifier: BSD-3-Clause
// The config file of a group and the segment files that it names: made under a temporary name, renamed when ready;
// examined before anything in it is believed; removed when nobody lives.  Control, under the initialise lock.
#pragma once

#include <mpnet/group.hpp>

#include <string>

#include "mem/control.hpp"
#include "mem/system.hpp"

namespace mpnet::mem {

enum class config_use { member, onlooker };  // an onlooker's descriptor is read-only

/// Opens DIR/config and reads its header.  An empty descriptor where there is no file, or one of another boot.
/// Throws corrupt or incompatible, naming what is wrong, for a file that is no config of this layout.  What comes back
/// may be mapped: every window lies in the region and apart from the others.
[[nodiscard]] unique_fd open_config(const std::string& shared_dir, config_header& header,
                                    config_use use = config_use::member);

/// Makes DIR/config.new, backed by pages as far as it is used at first.
[[nodiscard]] unique_fd create_config(const std::string& shared_dir);
/// Gives it its name.
void publish_config(const std::string& shared_dir);

/// Plans the segments for this machine and options into `c` (which is zero) and makes their files.
void create_segments(control& c, const group_options& options, const std::string& shared_dir);

/// Opens a segment's file; where this process cannot, asks a living member.
[[nodiscard]] unique_fd open_segment(const segment& s, std::size_t index, const std::string& runtime_dir);

/// Removes the files that a group without living members left, sockets included, all but the lock file.
void remove_stale_files(const std::string& shared_dir, const std::string& runtime_dir,
                        const std::string& prefix) noexcept;
/// Removes the lock file and the group's directories.  Under the exclusive initialise lock only.
void remove_group_dirs(const std::string& shared_dir, const std::string& runtime_dir) noexcept;

/// The size of the region that the options ask for, before anything exists.
[[nodiscard]] std::uint64_t planned_region_bytes(const group_options& options);

}  // namespace mpnet::mem
