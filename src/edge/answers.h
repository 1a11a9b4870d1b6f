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
    std::uint32_t retry_after_s = 1;  // Of a 503.
};
constexpr Answer kTooLate{503, wire::Outcome::Overloaded,
                          "no instance of this service became ready in time"};
constexpr Answer kNoPlace{
    503, wire::Outcome::Overloaded,
    "EDGE-QUEUE-FULL: this service has as many requests as it may, and as many wait"};
constexpr Answer kNoPlaceLow{
    503, wire::Outcome::Overloaded,
    "EDGE-QUEUE-LOW: this service has as many requests as it may, and others come first"};
constexpr Answer kNoPlaceInTime{
    503, wire::Outcome::Overloaded,
    "EDGE-QUEUE-LATE: this service has as many requests as it may, for too long"};
constexpr Answer kBodyTooLarge{
    413, wire::Outcome::Refused,
    "EDGE-BODY-LARGE: the request's body is larger than this service takes"};
constexpr Answer kHeadTooLarge{431, wire::Outcome::Refused, "the request's head is too large"};
constexpr Answer kLoop{508, wire::Outcome::Refused,
                       "EDGE-LOOP: a service sends this request back to where it came from"};

// What was said: nothing that is a whole head yet; something, by which the exchange went on; or a
// head for which no block was free.
enum class Heard { Nothing, Something, NoRoom };

// What became of the bytes of a request's body that have come.
enum class BodyPassed { Well, Malformed, TooLarge };

}  // namespace thole::edge
