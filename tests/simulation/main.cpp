// The simulated world: `simulation [--seed N] [--loud] [--seeds FIRST..LAST]
// [--until-broken]`. Without arguments
// the recorded seeds and some that are drawn by what is tested, each promised to be whole, and
// every fifth run twice: it must be the same run.
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
constexpr int kDrawnSeeds = 20;
constexpr std::uint64_t kDrawnBelow = 1'000'000;

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

// Of the commit that is checked out, in hex; empty where git knows of none.
std::string tree_hash() {
    std::FILE* const git =
        ::popen("git -C '" THOLE_SIMULATION "' rev-parse --verify -q 'HEAD^{tree}' 2>&1", "r");
    if (git == nullptr) return {};
    char line[128];
    const std::string_view said = std::fgets(line, sizeof(line), git) == nullptr ? "" : line;
    const std::string hash(said.substr(0, said.find('\n')));
    return ::pclose(git) == 0 ? hash : std::string();
}

// Others for each commit, and for one commit always the same: it never changes colour.
std::vector<std::uint64_t> drawn_seeds() {
    const std::string tree = tree_hash();
    if (tree.empty()) {
        fmt::print("no commit of git is here: the recorded seeds only\n");
        return {};
    }
    std::vector<std::uint64_t> seeds;
    Random random(fnv1a(tree));
    while (seeds.size() < kDrawnSeeds) seeds.push_back(1 + random.below(kDrawnBelow));
    fmt::print("drawn by the tree {}: {}\n", tree.substr(0, 12), fmt::join(seeds, " "));
    return seeds;
}

// From seeds.txt: a seed a line, and behind it why it is there.
std::vector<std::uint64_t> recorded_seeds() {
    std::vector<std::uint64_t> seeds;
    std::FILE* const file = std::fopen(THOLE_SIMULATION "/seeds.txt", "r");
    char line[512];
    while (file != nullptr && std::fgets(line, sizeof(line), file) != nullptr) {
        const std::string_view text = line;
        const std::uint64_t seed = number_of(text.substr(0, text.find_first_of(" \n")));
        if (seed != 0) seeds.push_back(seed);
    }
    if (file != nullptr) std::fclose(file);
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
    if (!wish.seeds.empty()) return wish;
    wish.seeds = recorded_seeds();
    // Without them nothing is promised.
    if (wish.seeds.empty()) return wish;
    for (const std::uint64_t seed : drawn_seeds()) wish.seeds.push_back(seed);
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
