// SPDX-License-Identifier: BSD-3-Clause
// Stands in for libFuzzer with compilers that have none: feeds the corpus, then blind mutations of it, the same ones in
// every run.  Understands -runs=N and -max_total_time=S; other options are ignored; the rest are files and folders.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using input = std::vector<std::uint8_t>;

input mutate(const std::vector<input>& corpus, std::mt19937& random) {
  input bytes = corpus[random() % corpus.size()];
  for (unsigned i = 0; i < 1 + random() % 4; ++i) {
    const std::size_t at = bytes.empty() ? 0 : random() % bytes.size();
    const auto position = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random() % 5) {
      case 0:
        bytes.insert(position, static_cast<std::uint8_t>(random()));
        break;
      case 1:
        if (!bytes.empty()) bytes.erase(position);
        break;
      case 2:
        if (!bytes.empty()) bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ (1U << (random() % 8)));
        break;
      case 3:
        bytes.resize(at);
        break;
      default: {
        const input& other = corpus[random() % corpus.size()];
        bytes.insert(position, other.begin(), other.end());
      }
    }
  }
  return bytes;
}

void load(const std::filesystem::path& file, std::vector<input>& corpus) {
  std::ifstream stream{file, std::ios::binary};
  corpus.emplace_back(std::istreambuf_iterator<char>{stream}, std::istreambuf_iterator<char>{});
}

}  // namespace

int main(int argc, char** argv) {
  long runs = 20000;
  long seconds = 10;
  std::vector<input> corpus{input{}};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("-runs=", 0) == 0) runs = std::atol(argv[i] + 6);
    if (argument.rfind("-max_total_time=", 0) == 0) seconds = std::atol(argv[i] + 16);
    if (argument[0] == '-') continue;
    if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::directory_iterator{argument}) load(entry.path(), corpus);
    } else {
      load(argument, corpus);
    }
  }
  std::mt19937 random{1};
  for (const input& bytes : corpus) LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{seconds};
  long done = 0;
  for (; done < runs && std::chrono::steady_clock::now() < end; ++done) {
    const input bytes = mutate(corpus, random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%ld mutations of %zu inputs\n", done, corpus.size());
}
