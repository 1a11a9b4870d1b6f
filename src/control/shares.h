// Which release of a service takes which part of its requests, as somebody said it: by hand over
// the API, or a deploy. They are of one deploy, and end with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "base/result.h"
#include "model/records.h"
#include "wire/edge.h"

namespace thole::control {

// The newest release first: so nobody leaves it while it grows.
using Parts = std::vector<wire::ReleaseShare>;

// What the store has; nothing where that cannot be shares.
std::optional<Parts> parts_of(const model::SharesRow& row);
std::string text_of(const Parts& parts);
std::uint32_t part_of(const Parts& parts, std::uint32_t release);
// "v2 1%, v1 99%"
std::string words_of(const Parts& parts);

// {"v2": "1%", "v1": "99%"}: of these releases and no others, 100% in all. Empty: no shares. Those
// of 0% are left out.
Result<Parts> read_parts(const Json& said, const std::vector<std::uint32_t>& releases);

// The row that follows. The salt stays as long as more than one release has a share: who is where
// stays there. Where one has it all a new one moves nobody, and the next experiment begins with
// others.
model::SharesRow next_row(std::uint32_t service, const Parts& parts,
                          const std::optional<model::SharesRow>& before, Random& random);

wire::ServiceShares for_edge(const model::SharesRow& row, const Parts& parts);

}  // namespace thole::control
