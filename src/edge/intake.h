// What a request's head is to the edge: strictly read and routed, or leniently where the service
// that it is for only wants to be told. Pure but for the room that it uses, which is the thread's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "edge/segment.h"
#include "http/mend.h"

namespace thole::edge {

struct Taken {
    http::HeadState state;
    // Bad: by which rule, and what to answer.
    http::Rule rule = http::Rule::None;
    std::uint16_t status = 0;
    std::size_t bytes = 0;  // Done: of the head.
    RoutingResult routed = {};
    http::RuleSet reported = {};  // Done: rules that it breaks, and is served.
};

// By the policies of services, too.
RoutingResult route_head(const AllRoutes& routes, std::uint32_t listener_place,
                         const http::RequestHead& head);

// Where a head goes: it is valid as long as its bytes and `room`, of http::kHeadBytesMax, stay as
// they are.
struct HeadRoom {
    http::RequestHead& head;
    std::span<char> room;
};
Taken take_head(std::string_view bytes, const AllRoutes& routes, std::uint32_t listener_place,
                const HeadRoom& into);

}  // namespace thole::edge
