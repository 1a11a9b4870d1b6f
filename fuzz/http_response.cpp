// Any bytes as an answer, head and body (the first byte says what was asked, the second where it is
// cut). What must hold: what is passed on is an answer with the same status, fields and payload,
// and it ends where the one that came did; nothing of what has no body is ever taken for one.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "http/body.h"
#include "http/emit.h"
#include "http/head.h"

namespace {

using namespace thole::http;

struct Read {
    std::string payload;  // Or what is passed on.
    std::size_t consumed = 0;
    BodyState state = BodyState::NeedMore;
};

using Way = Fed (BodyDecoder::*)(std::string_view);

Read read_body(BodyDecoder body, std::string_view bytes, std::size_t cut, Way way) {
    Read read;
    for (const std::string_view whole : {bytes.substr(0, cut), bytes.substr(cut)}) {
        std::string_view left = whole;
        while (!left.empty() && body.state() == BodyState::NeedMore) {
            const Fed fed = (body.*way)(left);
            CHECK(fed.consumed > 0 || fed.state != BodyState::NeedMore);
            read.payload += fed.piece;
            read.consumed += fed.consumed;
            left.remove_prefix(fed.consumed);
        }
    }
    read.state = body.end_of_input();
    return read;
}

void check_framing(const ResponseHead& head, const Asked& asked) {
    CHECK(head.status >= 100 && head.status <= 599);
    const bool has_none =
        head.status < 200 || head.status == 204 || head.status == 304 || asked.method == "HEAD";
    CHECK((head.framing == Framing::None) == has_none);
    CHECK(head.status != 205 || has_none || head.length == 0);
    CHECK(head.framing != Framing::UntilClose || !head.keep_alive);
    CHECK(head.status != 101 || (!asked.upgrade.empty() && !head.upgrade.empty()));
}

// The head as it is passed on, in `room`; empty where it does not fit.
std::string_view written(const ResponseHead& head, bool is_for_old_client, std::string& room) {
    Edits edits;
    if (is_for_old_client && head.framing == Framing::Chunked) edits.framing = Framing::UntilClose;
    if (head.status == 101) edits.upgrade = head.upgrade;
    const auto size = emit_response_head(head, edits, room);
    return std::string_view(room).substr(0, size.value_or(0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    static ResponseHead head;
    static ResponseHead again;
    static std::string room(4 * kHeadBytesMax, '\0');
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
    const Asked asked{.method = (data[0] & 1) != 0 ? "HEAD" : "GET",
                      .upgrade = (data[0] & 2) != 0 ? "websocket, echo/1" : ""};
    const bool is_for_old_client = (data[0] & 4) != 0;
    const HeadResult result = parse_response_head(bytes, asked, head);
    CHECK(result.state != HeadState::Bad || result.status == 502);
    if (result.state != HeadState::Done) return 0;
    check_framing(head, asked);
    const std::string_view rest = bytes.substr(result.bytes);
    const std::size_t cut = data[1] * rest.size() / 256;
    const Read decoded = read_body(BodyDecoder(head), rest, cut, &BodyDecoder::decode);
    if (head.framing == Framing::None) CHECK(decoded.consumed == 0 && decoded.payload.empty());
    const std::string_view text = written(head, is_for_old_client, room);
    if (text.empty() || text.size() > kHeadBytesMax || head.field_count > kFieldsMax - 4) return 0;
    BodyDecoder passing(head);
    if (is_for_old_client) passing.leave_out_framing();
    const Read passed = read_body(passing, rest, cut, &BodyDecoder::pass);
    CHECK(passed.consumed == decoded.consumed && passed.state == decoded.state);
    CHECK(parse_response_head(text, asked, again).bytes == text.size());
    CHECK(again.status == head.status);
    if (decoded.state != BodyState::Done) return 0;
    // What the client gets, with more behind it where it has an end of its own.
    std::string next = passed.payload;
    const bool has_end = again.framing != Framing::UntilClose;
    if (has_end) next += "HTTP/1.1 200 OK\r\n";
    const Read got = read_body(BodyDecoder(again), next, next.size() / 2, &BodyDecoder::decode);
    CHECK(got.state == BodyState::Done && got.payload == decoded.payload);
    CHECK(got.consumed == passed.payload.size());
    return 0;
}
