// SPDX-License-Identifier: BSD-3-Clause
// Charts: a group of bars a burst, a bar a contestant, on a logarithmic scale of cycles an object.
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

namespace bench {
namespace {

constexpr const char* colours[] = {"#1f6feb", "#d0742a", "#8a63d2", "#2f9e6e", "#b5454c",
                                   "#8c8c3a", "#4c8dae", "#a0668c", "#777777", "#555555"};
constexpr double width = 860, height = 380, left = 56, right = 210, top = 44, bottom = 44;

struct bar {
  std::string contestant;
  double cycles;
};
using groups = std::map<unsigned, std::vector<bar>>;  // by burst

struct scale {
  double low, high;
  [[nodiscard]] double y(double cycles) const {
    const double part = (std::log10(std::max(cycles, low)) - std::log10(low)) / (std::log10(high) - std::log10(low));
    return height - bottom - part * (height - top - bottom);
  }
};

scale scale_for(const groups& all) {
  double low = 1e9, high = 0;
  for (const auto& [burst, bars] : all) {
    for (const auto& b : bars) {
      low = std::min(low, b.cycles);
      high = std::max(high, b.cycles);
    }
  }
  low = std::pow(10, std::floor(std::log10(std::max(low, 0.01)) - 0.1));
  return {low, std::pow(10, std::ceil(std::log10(std::max(high, low * 9))))};
}

std::string axis(const scale& s) {
  std::string text;
  for (double tick = s.low; tick <= s.high * 1.001; tick *= 10) {
    const double y = s.y(tick);
    text += fmt::format("<line x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}' stroke='#ccc'/>\n", left, width - right, y, y);
    text += fmt::format("<text x='{}' y='{:.1f}' text-anchor='end'>{:g}</text>\n", left - 6, y + 4, tick);
  }
  return text;
}

std::string chart_of(const std::string& title, const groups& all) {
  const auto s = scale_for(all);
  std::vector<std::string> names;
  for (const auto& [burst, bars] : all) {
    for (const auto& b : bars) {
      if (std::ranges::find(names, b.contestant) == names.end()) names.push_back(b.contestant);
    }
  }
  std::string text = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {} {}' font-family='sans-serif' font-size='12'>\n"
      "<rect width='100%' height='100%' fill='white'/>\n<text x='{}' y='22' font-size='15'>{}</text>\n",
      width, height, left, title);
  text += axis(s);
  const double group_width = (width - left - right) / static_cast<double>(all.size());
  const double bar_width = group_width * 0.86 / static_cast<double>(names.size());
  double x0 = left + group_width * 0.07;
  for (const auto& [burst, bars] : all) {
    for (const auto& b : bars) {
      const auto i = static_cast<std::size_t>(std::ranges::find(names, b.contestant) - names.begin());
      const double y = s.y(b.cycles);
      text += fmt::format(
          "<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}'><title>{}: {:.2f}</title></rect>\n",
          x0 + bar_width * static_cast<double>(i), y, bar_width * 0.9, height - bottom - y,
          colours[i % std::size(colours)], b.contestant, b.cycles);
    }
    text += fmt::format("<text x='{:.1f}' y='{}' text-anchor='middle'>n = {}</text>\n", x0 + group_width * 0.43,
                        height - bottom + 18, burst);
    x0 += group_width;
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double y = top + 18.0 * static_cast<double>(i);
    text += fmt::format("<rect x='{}' y='{}' width='11' height='11' fill='{}'/><text x='{}' y='{}'>{}</text>\n",
                        width - right + 14, y, colours[i % std::size(colours)], width - right + 30, y + 10, names[i]);
  }
  return text + fmt::format("<text x='{}' y='{}'>cycles an object, logarithmic; lower is better</text>\n</svg>\n", left,
                            height - 8);
}

}  // namespace

void write_charts(const std::string& directory, const std::vector<row>& rows) {
  std::filesystem::create_directories(directory);
  std::map<std::string, std::pair<std::string, groups>> charts;
  for (const auto& r : rows) {
    if (r.rounds == 0) continue;
    const auto distance = distance_of(r);
    auto file = fmt::format("{}-{}-{}{}{}", r.structure, r.mode, r.placement, distance.empty() ? "" : "-", distance);
    std::ranges::replace(file, ' ', '-');
    auto& [title, bars] = charts[file];
    title = fmt::format("{}, {}, {} {}", r.structure, r.mode, r.placement, distance);
    auto& group = bars[r.burst];
    if (group.empty()) group.push_back({"mpnet", r.mpnet_cycles});
    group.push_back({r.peer, r.peer_cycles});
  }
  for (const auto& [file, chart] : charts) {
    const auto path = std::filesystem::path{directory} / (file + ".svg");
    std::ofstream out{path};
    out << chart_of(chart.first, chart.second);
    if (!out.flush()) throw std::runtime_error{fmt::format("--plot: cannot write {}", path.string())};
  }
}

}  // namespace bench
