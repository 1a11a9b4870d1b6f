#include "edge/shares.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"

namespace thole::edge {

namespace {

struct State {
    std::uint64_t v0, v1, v2, v3;

    void rounds(int count) {
        for (int i = 0; i < count; ++i) {
            v0 += v1;
            v2 += v3;
            v1 = std::rotl(v1, 13) ^ v0;
            v3 = std::rotl(v3, 16) ^ v2;
            v0 = std::rotl(v0, 32);
            v2 += v1;
            v0 += v3;
            v1 = std::rotl(v1, 17) ^ v2;
            v3 = std::rotl(v3, 21) ^ v0;
            v2 = std::rotl(v2, 32);
        }
    }
};

// Up to eight bytes, the first one lowest, on any machine.
std::uint64_t word(std::string_view bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    }
    return value;
}

// The top bits of a 64-bit number, scaled: no point is likelier than another by more than a
// millionth.
std::uint32_t scaled(std::uint64_t number) {
    return static_cast<std::uint32_t>((number >> 32) * kPerMille >> 32);
}

}  // namespace

std::uint64_t siphash(const Salt& salt, std::string_view text) {
    State state{salt.low ^ 0x736f6d6570736575, salt.high ^ 0x646f72616e646f6d,
                salt.low ^ 0x6c7967656e657261, salt.high ^ 0x7465646279746573};
    const std::uint64_t length = text.size();
    while (text.size() >= 8) {
        const std::uint64_t part = word(text.substr(0, 8));
        state.v3 ^= part;
        state.rounds(2);
        state.v0 ^= part;
        text.remove_prefix(8);
    }
    const std::uint64_t last = word(text) | length << 56;
    state.v3 ^= last;
    state.rounds(2);
    state.v0 ^= last;
    state.v2 ^= 0xff;
    state.rounds(4);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

std::uint32_t point_of(const Salt& salt, std::string_view key) {
    return scaled(siphash(salt, key));
}

std::uint32_t any_point(Random& random) {
    return static_cast<std::uint32_t>(random.below(kPerMille));
}

std::optional<std::size_t> release_at(std::uint32_t point,
                                      std::span<const std::uint16_t> per_mille) {
    std::optional<std::size_t> last;
    std::uint32_t end = 0;
    for (std::size_t i = 0; i < per_mille.size(); ++i) {
        if (per_mille[i] == 0) continue;
        end += per_mille[i];
        last = i;
        if (point < end) break;
    }
    return last;
}

std::optional<std::size_t> release_that_serves(std::uint32_t point,
                                               std::span<const std::uint16_t> per_mille,
                                               std::uint32_t serving) {
    CHECK(per_mille.size() <= wire::kSharesMax);
    const std::optional<std::size_t> own = release_at(point, per_mille);
    if (!own || (serving >> *own & 1) != 0) return own;
    std::array<std::uint16_t, wire::kSharesMax> left{};
    std::uint32_t all = 0, begin = 0;
    for (std::size_t i = 0; i < per_mille.size(); ++i) {
        if (i < *own) begin += per_mille[i];
        if ((serving >> i & 1) != 0) left[i] = per_mille[i];
        all += left[i];
    }
    if (all == 0) return std::nullopt;
    // Its part is stretched over theirs.
    const std::uint32_t stretched = (point - begin) * all / per_mille[*own];
    return release_at(std::min(stretched, all - 1), std::span(left).first(per_mille.size()));
}

}  // namespace thole::edge
