// SPDX-License-Identifier: BSD-3-Clause
// A plugin for QEMU's software emulation: counts the instructions that the guest executes, user space's and the
// kernel's apart, for each virtual processor.  When a guest program executes the mark (vm_mark.hpp), the sums so far
// are written to a file as a line: NUMBER USER-0 KERNEL-0 USER-1 KERNEL-1 …
//   -plugin libinsn_count.so,out=FILE
// Each block of guest code adds its length when it is entered, so a block that faults half way counts whole.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "vm_mark.hpp"

// The part of QEMU's plugin interface, version 4, that is used here; Debian ships no header for it.
extern "C" {
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
struct qemu_plugin_u64 {
  qemu_plugin_scoreboard* score;
  std::size_t offset;
};
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
void qemu_plugin_register_vcpu_tb_trans_cb(std::uint64_t id, void (*)(std::uint64_t id, qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(qemu_plugin_tb*, qemu_plugin_op, qemu_plugin_u64, std::uint64_t);
void qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_insn*, void (*)(unsigned vcpu, void*), qemu_plugin_cb_flags,
                                            void*);
std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb*);
std::uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb*);
qemu_plugin_insn* qemu_plugin_tb_get_insn(const qemu_plugin_tb*, std::size_t);
std::size_t qemu_plugin_insn_size(const qemu_plugin_insn*);
std::size_t qemu_plugin_insn_data(const qemu_plugin_insn*, void*, std::size_t);
qemu_plugin_scoreboard* qemu_plugin_scoreboard_new(std::size_t);
std::uint64_t qemu_plugin_u64_get(qemu_plugin_u64, unsigned vcpu);
int qemu_plugin_num_vcpus();

[[gnu::visibility("default")]] extern int qemu_plugin_version;
int qemu_plugin_version = 4;
[[gnu::visibility("default")]] int qemu_plugin_install(std::uint64_t id, const void* info, int argc, char** argv);
}

namespace {

struct counts {
  std::uint64_t user, kernel;
};
qemu_plugin_u64 user_count, kernel_count;
std::FILE* out;

void on_mark(unsigned, void* number) {
  std::fprintf(out, "%zu", reinterpret_cast<std::size_t>(number));
  for (int i = 0; i < qemu_plugin_num_vcpus(); ++i) {
    const auto vcpu = static_cast<unsigned>(i);
    std::fprintf(out, " %llu %llu", static_cast<unsigned long long>(qemu_plugin_u64_get(user_count, vcpu)),
                 static_cast<unsigned long long>(qemu_plugin_u64_get(kernel_count, vcpu)));
  }
  std::fputc('\n', out);
  std::fflush(out);
}

void on_translation(std::uint64_t, qemu_plugin_tb* block) {
  const std::size_t n = qemu_plugin_tb_n_insns(block);
  const bool user = qemu_plugin_tb_vaddr(block) >> 47 == 0;
  qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, QEMU_PLUGIN_INLINE_ADD_U64, user ? user_count : kernel_count,
                                                    n);
  if (!user) return;
  for (std::size_t i = 0; i < n; ++i) {
    qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(block, i);
    std::array<unsigned char, sizeof(vm_mark)> code{};
    if (qemu_plugin_insn_size(insn) != code.size()) continue;
    qemu_plugin_insn_data(insn, code.data(), code.size());
    if (std::memcmp(code.data(), vm_mark, vm_mark_number) != 0 ||
        std::memcmp(&code[vm_mark_number + 1], &vm_mark[vm_mark_number + 1], sizeof(vm_mark) - vm_mark_number - 1) != 0)
      continue;
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS,
                                           reinterpret_cast<void*>(std::size_t{code[vm_mark_number]}));
  }
}

}  // namespace

int qemu_plugin_install(std::uint64_t id, const void*, int argc, char** argv) {
  for (int i = 0; i < argc; ++i) {
    if (std::strncmp(argv[i], "out=", 4) == 0) out = std::fopen(argv[i] + 4, "a");
  }
  if (out == nullptr) {
    std::fputs("insn_count: out=FILE is missing, or cannot be written\n", stderr);
    return 1;
  }
  qemu_plugin_scoreboard* board = qemu_plugin_scoreboard_new(sizeof(counts));
  user_count = {board, offsetof(counts, user)};
  kernel_count = {board, offsetof(counts, kernel)};
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  return 0;
}
