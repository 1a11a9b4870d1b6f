#include "edge/intake.h"

namespace thole::edge {
namespace {

// Nobody's, where a listener was given to another snapshot's service meanwhile.
const RequestPolicy* policy_for(const AllRoutes& routes, const ServiceAt& to) {
    return to.place < kServicesMax ? &routes.policies[to.place] : nullptr;
}

}  // namespace

RoutingResult route_head(const AllRoutes& routes, std::uint32_t listener_place,
                         const http::RequestHead& head) {
    RoutingResult routed =
        find_route(routes.table, routes.of[listener_place], head.host, head.path);
    if (routed.routing != Routing::EncodedSlash) return routed;
    const RequestPolicy* const policy = policy_for(routes, routed.to);
    if (policy != nullptr && policy->has(wire::kKeepsEncodedSlash)) routed.routing = Routing::Found;
    return routed;
}

namespace {

Taken bad_head(const http::HeadResult& by) { return {by.state, by.rule, by.status}; }

// The route decides, and is known only once the head is read.
Taken take_leniently(std::string_view bytes, const AllRoutes& routes, std::uint32_t listener_place,
                     const http::HeadResult& strict, const HeadRoom& into) {
    http::RuleSet broken;
    const http::HeadResult mended = http::mend_request_head(bytes, into.room, into.head, broken);
    if (mended.state != http::HeadState::Done) return bad_head(mended);
    const RoutingResult routed = route_head(routes, listener_place, into.head);
    const RequestPolicy* const policy = policy_for(routes, routed.to);
    const bool reports =
        routed.routing == Routing::Found && policy != nullptr && policy->has(wire::kReportsRules);
    if (!reports) return bad_head(strict);
    return {http::HeadState::Done, http::Rule::None, 0, mended.bytes, routed, broken};
}

}  // namespace

Taken take_head(std::string_view bytes, const AllRoutes& routes, std::uint32_t listener_place,
                const HeadRoom& into) {
    const http::HeadResult strict = http::parse_request_head(bytes, into.head);
    if (strict.state == http::HeadState::Bad)
        return routes.of[listener_place].may_report != 0
                   ? take_leniently(bytes, routes, listener_place, strict, into)
                   : bad_head(strict);
    if (strict.state != http::HeadState::Done) return bad_head(strict);
    return {http::HeadState::Done,
            http::Rule::None,
            0,
            strict.bytes,
            route_head(routes, listener_place, into.head),
            {}};
}

}  // namespace thole::edge
