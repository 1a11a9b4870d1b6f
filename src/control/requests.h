// One request as the edge remembers it, in its black box or as a line of access.log, for people.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "control/world.h"
#include "wire/request.h"

namespace thole::control {

struct ToldRequest {
    wire::RequestRecord record{};
    WallTime began{};
};

std::string id_text(const wire::RequestId& id);
// An id as X-Request-Id says it, or its first digits; without a sequence.
Result<wire::WhyRequest> read_request_id(std::string_view text);
// Nothing where the line is torn, or something else.
std::optional<ToldRequest> read_access_line(std::string_view line);
// Of all lines of the file those that are asked for.
std::vector<ToldRequest> find_in_access(std::string_view text, const wire::WhyRequest& asked);
// Those of `more` that are not there yet, too; all of them in the order in which they began.
void add_missing(std::vector<ToldRequest>& told, const std::vector<ToldRequest>& more);
// GET /api/v1/requests/<id> (docs/reference/api.md); an error where they are of several ids.
Result<std::string> requests_json(const World& world, const std::vector<ToldRequest>& told);

}  // namespace thole::control
