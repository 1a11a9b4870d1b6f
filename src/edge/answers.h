// What a worker says in an instance's place, and what it made of what it was told.
#pragma once

#include <cstdint>
#include <string_view>

#include "wire/edge.h"

namespace thole::edge {

// One of our own, in an instance's place.
struct Answer {
    std::uint16_t status;
    wire::Outcome outcome;
    std::string_view why;
};
constexpr Answer kTooLate{503, wire::Outcome::Overloaded,
                          "no instance of this service became ready in time"};
constexpr Answer kBodyTooLarge{
    413, wire::Outcome::Refused,
    "EDGE-BODY-LARGE: the request's body is larger than this service takes"};

// What was said: nothing that is a whole head yet; something, by which the exchange went on; or a
// head for which no block was free.
enum class Heard { Nothing, Something, NoRoom };

// What became of the bytes of a request's body that have come.
enum class BodyPassed { Well, Malformed, TooLarge };

}  // namespace thole::edge
