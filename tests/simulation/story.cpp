#include "story.h"

#include <fmt/format.h>

namespace thole::simulation {
namespace {
constexpr std::size_t kLinesMax = 50;
}  // namespace

void Story::tell(const std::string& text) {
    loop_.note("story", text, 0);
    const std::int64_t now_us = nanoseconds_of(loop_.world_now()) / 1000 - 3'600'000'000;
    lines_.push_back(fmt::format("{:>12} us  {}", now_us, text));
    if (lines_.size() > kLinesMax) lines_.pop_front();
    if (is_loud_) fmt::print("{}\n", lines_.back());
}

void Story::fail(const std::string& text) {
    if (!failure_.empty()) return;
    tell("BROKEN: " + text);
    failure_ = text;
}

std::string Story::last_lines() const {
    std::string text;
    for (const std::string& line : lines_) text += line + "\n";
    return text;
}

}  // namespace thole::simulation
