// The simulated world: `simulation [--seed N] [--loud] [--seeds FIRST..LAST] [--until-broken]`.
// Without arguments the recorded seeds and some drawn by the tree's hash, each promised to be
// whole, and every fifth run twice: it must be the same run.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/parse.h"
#include "base/random.h"
#include "world.h"

namespace thole::simulation {
namespace {

constexpr std::uint64_t kTwiceEvery = 5;
constexpr std::size_t kDrawn = 20;

struct Wish {
    std::vector<std::uint64_t> seeds;
    bool is_loud = false;
    bool ends_at_first = false;  // Broken one.
};

std::uint64_t number_of(std::string_view text) {
    return static_cast<std::uint64_t>(parse_integer(text, 0, std::int64_t{1} << 62).value_or(0));
}

struct Ran {
    bool is_whole = false;
    std::uint64_t trace = 0;
};

Ran run(std::uint64_t seed, bool is_loud) {
    World world(seed, is_loud);
    const std::string broken = world.run();
    if (!broken.empty()) {
        fmt::print("{}\nsim --seed {}: {}\n", world.last_lines(), seed, broken);
        std::fflush(stdout);
    }
    return {broken.empty(), world.trace()};
}

// From seeds.txt: a seed a line, and behind it why it is there.
std::vector<std::uint64_t> recorded_seeds() {
    std::vector<std::uint64_t> seeds;
    std::FILE* const file = std::fopen(THOLE_SEEDS, "r");
    char line[512];
    while (file != nullptr && std::fgets(line, sizeof(line), file) != nullptr) {
        const std::string_view text = line;
        const std::uint64_t seed = number_of(text.substr(0, text.find_first_of(" \n")));
        if (seed != 0) seeds.push_back(seed);
    }
    if (file != nullptr) std::fclose(file);
    return seeds;
}

// Of the tree that is tested: the same commit never changes colour. None outside of git.
std::vector<std::uint64_t> drawn_seeds() {
    std::FILE* const git = ::popen("git -C " THOLE_ROOT " rev-parse HEAD^{tree} 2>/dev/null", "r");
    char line[128] = "";
    const bool is_known = git != nullptr && std::fgets(line, sizeof(line), git) != nullptr;
    if (git != nullptr) ::pclose(git);
    std::vector<std::uint64_t> seeds;
    Random random(fnv1a(line));
    for (std::size_t i = 0; is_known && i < kDrawn; ++i)
        seeds.push_back(1000 + random.below(1'000'000));
    return seeds;
}

Wish read_arguments(int count, char** arguments) {
    Wish wish;
    for (int i = 1; i < count; ++i) {
        const std::string_view word = arguments[i];
        const std::string_view next = i + 1 < count ? arguments[i + 1] : "";
        if (word == "--loud") wish.is_loud = true;
        if (word == "--until-broken") wish.ends_at_first = true;
        if (word == "--seed") wish.seeds.push_back(number_of(next));
        if (word != "--seeds") continue;
        const std::size_t dots = next.find("..");
        const std::uint64_t last = number_of(next.substr(std::min(next.size(), dots + 2)));
        for (std::uint64_t seed = number_of(next.substr(0, dots)); seed <= last; ++seed)
            wish.seeds.push_back(seed);
    }
    if (wish.seeds.empty()) {
        wish.seeds = recorded_seeds();
        const std::vector<std::uint64_t> drawn = drawn_seeds();
        for (const std::uint64_t seed : drawn) fmt::print("seed {} is drawn by the tree\n", seed);
        wish.seeds.insert(wish.seeds.end(), drawn.begin(), drawn.end());
    }
    return wish;
}

int run_all(const Wish& wish) {
    const auto began = std::chrono::steady_clock::now();
    std::size_t broken = 0;
    for (std::size_t i = 0; i < wish.seeds.size(); ++i) {
        if (broken > 0 && wish.ends_at_first) break;
        const std::uint64_t seed = wish.seeds[i];
        const Ran ran = run(seed, wish.is_loud);
        if (!ran.is_whole) ++broken;
        if (!ran.is_whole || wish.is_loud || i % kTwiceEvery != 0) continue;
        if (run(seed, false).trace == ran.trace) continue;
        fmt::print("sim --seed {}: two runs of it differ\n", seed);
        ++broken;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    fmt::print("{} seeds, {} broken, {:.1f} seeds/s\n", wish.seeds.size(), broken,
               static_cast<double>(wish.seeds.size()) / took.count());
    return broken == 0 && !wish.seeds.empty() ? 0 : 1;
}

}  // namespace
}  // namespace thole::simulation

int main(int count, char** arguments) {
    return thole::simulation::run_all(thole::simulation::read_arguments(count, arguments));
}
