// A request's head read leniently, for who would rather serve and be told: what breaks a rule of
// which no two readers can make two things is mended, in a copy, and the copy is parsed strictly.
// So nothing is passed on that the strict parser would not pass on. docs/what-the-edge-does.md has
// the table: which rules, how, and why the others are always refused.
//
// Deliberately not here: whether a route wants that. Pure; no allocation.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "http/head.h"

namespace thole::http {

class RuleSet {
public:
    void add(Rule rule) { bits_ |= bit(rule); }
    bool has(Rule rule) const { return (bits_ & bit(rule)) != 0; }
    bool is_empty() const { return bits_ == 0; }
    template <typename Tell>
    void for_each(Tell tell) const {
        for (std::size_t i = 0; i < kRuleCount; ++i) {
            if (has(static_cast<Rule>(i))) tell(static_cast<Rule>(i));
        }
    }

private:
    static_assert(kRuleCount <= 64);
    static std::uint64_t bit(Rule rule) { return std::uint64_t{1} << static_cast<unsigned>(rule); }
    std::uint64_t bits_ = 0;
};

// As parse_request_head, with its limits and its result: `bytes` are those of the message. The head
// is valid while both `bytes` and `room`, of kHeadBytesMax, stay as they are. Done: `broken` has
// the rules that were bent, none where the head is strictly right.
HeadResult mend_request_head(std::string_view bytes, std::span<char> room, RequestHead& head,
                             RuleSet& broken);

}  // namespace thole::http
