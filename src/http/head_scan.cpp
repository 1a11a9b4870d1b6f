#include <algorithm>

#include "http/grammar.h"
#include "http/head.h"

namespace thole::http {
namespace {

HeadResult refused(Rule rule) {
    return {.state = HeadState::Bad, .rule = rule, .status = text_of(rule).status};
}

}  // namespace

HeadResult find_head_end(std::string_view bytes, std::size_t from) {
    const std::size_t most = std::min(bytes.size(), kHeadBytesMax);
    std::size_t at = std::min(from, most);
    for (;;) {
        at += skip_value(bytes.substr(at, most - at));
        if (at >= most) break;
        if (bytes[at] != '\r') { return refused(bytes[at] == '\n' ? Rule::BareLf : Rule::Control); }
        if (at + 1 == most) break;
        if (bytes[at + 1] != '\n') return refused(Rule::BareCr);
        // A LF before this one passed as the end of a line, or the search had ended there.
        if (at > 0 && bytes[at - 1] == '\n') { return {.state = HeadState::Done, .bytes = at + 2}; }
        at += 2;
    }
    if (most == kHeadBytesMax) return refused(Rule::HeadLong);
    return {.state = HeadState::NeedMore, .bytes = at};
}

}  // namespace thole::http
