// Any bytes as a chunked body on its way through the edge: they come in drops and are written in
// drops, which the first half of the input names, and what is left out waits for what is before it.
// What must hold: positions stay possible, and what has left is what the decoder says may leave.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "edge/flow.h"

namespace {

using namespace thole;

constexpr std::uint64_t kInBody = 540, kOutStart = 1000;
constexpr std::uint32_t kHead = 10;

struct Passage {
    edge::Flow flow{};
    std::string_view text;
    std::uint64_t in = kInBody, out = kOutStart;
    std::string written;
    bool is_broken = false;

    std::string_view between(std::uint64_t from, std::uint64_t to) const {
        return text.substr(from - kInBody, to - from);
    }
    void come(std::uint64_t most) { in += std::min(most, kInBody + text.size() - in); }
    void parse(std::uint64_t most) {
        std::uint64_t begun = 0;
        do {
            begun = flow.in_parsed;
            const std::uint64_t until = std::min(in, begun + most);
            is_broken = is_broken || !edge::advance(flow, out, between(begun, until));
        } while (!is_broken && flow.in_parsed != begun);
        if (!is_broken) CHECK(edge::holds(flow, out, in, 1U << 20));
    }
    void write(std::uint64_t most) {
        const std::uint64_t head = edge::head_left(flow, out);
        const std::uint64_t from = edge::forwarded(flow, out);
        const std::uint64_t limit = edge::limit_of(flow, in);
        CHECK(from <= limit && limit <= in);
        const std::uint64_t size = std::min(most, head + limit - from);
        if (size > head) written += between(from, from + size - head);
        out += size;
    }
    bool is_over() const { return edge::is_complete(flow, out, in, edge::Source::Open); }
};

// All at once, by the codec alone.
struct Expected {
    http::BodyDecoder body{http::Framing::Chunked, 0};
    std::string passed;
    std::size_t consumed = 0;
};

Expected expected(std::string_view text, bool is_data_alone) {
    Expected all;
    if (is_data_alone) all.body.leave_out_framing();
    while (!text.empty() && all.body.state() == http::BodyState::NeedMore) {
        const http::Fed fed = all.body.pass(text);
        all.passed += fed.piece;
        all.consumed += fed.consumed;
        text.remove_prefix(fed.consumed);
    }
    return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 4) return 0;
    const std::size_t steps = std::min<std::size_t>(data[0], (size - 1) / 2);
    const bool is_data_alone = (data[1] & 1) != 0;
    Passage passage;
    passage.text = {reinterpret_cast<const char*>(data) + 1 + steps, size - 1 - steps};
    passage.flow.in_body = passage.flow.in_parsed = kInBody;
    passage.flow.in_end = edge::kUnknown;
    passage.flow.out_start = kOutStart;
    passage.flow.head_bytes = kHead;
    passage.flow.framing = edge::Framing::Chunked;
    passage.flow.body = http::BodyDecoder(http::Framing::Chunked, 0);
    if (is_data_alone) passage.flow.body.leave_out_framing();
    const Expected all = expected(passage.text, is_data_alone);
    for (std::size_t i = 0; i < steps && !passage.is_broken; ++i) {
        const std::uint64_t most = data[1 + i];
        passage.come(most & 15);
        passage.parse(1 + (most >> 4));
        if (!passage.is_broken) passage.write(most >> 2);
    }
    // Then all that is left; each turn writes what the one before allowed.
    std::uint64_t before = 0;
    while (!passage.is_broken && before != passage.out + passage.flow.in_parsed + passage.in) {
        before = passage.out + passage.flow.in_parsed + passage.in;
        passage.come(size);
        passage.parse(size);
        if (!passage.is_broken) passage.write(size);
    }
    CHECK(passage.is_broken == (all.body.state() == http::BodyState::Bad));
    CHECK(all.passed.compare(0, passage.written.size(), passage.written) == 0);
    if (all.body.state() != http::BodyState::Done) return 0;
    CHECK(passage.is_over() && passage.written == all.passed);
    CHECK(passage.flow.in_end == kInBody + all.consumed);
    return 0;
}
