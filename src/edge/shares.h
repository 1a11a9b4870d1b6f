// Which release of a service takes a request, by shares in steps of 0.1 %, sticky by a key (a
// user's cookie, say). Pure: the same key, salt and shares give the same release on each worker and
// after each start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/random.h"
#include "wire/edge.h"

namespace thole::edge {

constexpr std::uint32_t kPerMille = wire::kSharesWhole;
// Of a request that has not been placed: its service had no shares when its head was read.
constexpr std::uint16_t kNoPoint = 0xffff;

// Of a service's experiment, drawn once and kept with it: with one for all, the same users would be
// the first in every experiment.
struct Salt {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
};

// SipHash-2-4 (Aumasson and Bernstein, 2012): keyed, so that nobody who does not know the salt can
// make keys that all fall on one release.
std::uint64_t siphash(const Salt& salt, std::string_view text);

// What the releases of one service share. Plain data; lies in the segment.
struct Shares {
    Salt salt;
    std::uint32_t count;
    std::uint32_t releases[wire::kSharesMax];  // The newest first.
    std::uint16_t per_mille[wire::kSharesMax];
    std::uint32_t reserved;
};
static_assert(sizeof(Shares) == 72, "no gap in it: it is compared as bytes");

// 0 <= point < kPerMille: where a key stands in an experiment.
std::uint32_t point_of(const Salt& salt, std::string_view key);
// For a request without a key.
std::uint32_t any_point(Random& random);

// Index of the release that takes this point; `per_mille` has a share for each and sums up to
// kPerMille. Nothing where no release has a share. What is missing of the sum falls to the last
// release with a share, what is too much to nobody.
//
// Shares are laid one after the other. So a release that grows keeps its keys and takes others'
// only from those after it: put the newest first, and each key changes its side at most once on
// the way from 0 to all.
std::optional<std::size_t> release_at(std::uint32_t point,
                                      std::span<const std::uint16_t> per_mille);

// The same where not all serve: a bit for each that does. Only whose release is out goes elsewhere,
// always to the same one as long as the same are out, and by what the others share. Nothing where
// no release with a share serves.
std::optional<std::size_t> release_that_serves(std::uint32_t point,
                                               std::span<const std::uint16_t> per_mille,
                                               std::uint32_t serving);

}  // namespace thole::edge
