// A small random generator of our own: the same seed gives the same numbers on every machine and
// library, which the standard distributions do not promise. xoshiro256** 1.0 (Blackman and Vigna,
// 2018), seeded by SplitMix64. Not for secrets. Owned by one thread.
#pragma once

#include <array>
#include <cstdint>

namespace thole {

class Random {
public:
    explicit Random(std::uint64_t seed);

    std::uint64_t next();
    // 0 <= result < bound, unbiased; bound > 0.
    std::uint64_t below(std::uint64_t bound);
    // 0.0 <= result < 1.0.
    double unit();
    bool chance(double probability) { return unit() < probability; }

private:
    std::array<std::uint64_t, 4> state_;
};

}  // namespace thole
