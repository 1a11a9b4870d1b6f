// Any bytes as a chunked body. What must hold: cuts change nothing, decoding and passing on agree,
// and what is passed on is a canonical body with the same payload.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "http/body.h"

namespace {

using namespace thole::http;

struct Read {
    std::string pieces;
    std::size_t consumed = 0;
    BodyDecoder body{Framing::Chunked, 0};
};

void feed(Read& read, std::string_view bytes, Fed (BodyDecoder::*way)(std::string_view)) {
    while (!bytes.empty() && read.body.state() == BodyState::NeedMore) {
        const Fed fed = (read.body.*way)(bytes);
        CHECK(fed.consumed > 0 || fed.state != BodyState::NeedMore);
        read.pieces += fed.piece;
        read.consumed += fed.consumed;
        bytes.remove_prefix(fed.consumed);
    }
}

Read read_cut(std::string_view bytes, std::size_t cut, Fed (BodyDecoder::*way)(std::string_view)) {
    Read read;
    feed(read, bytes.substr(0, cut), way);
    feed(read, bytes.substr(cut), way);
    return read;
}

void expect_same(const Read& left, const Read& right) {
    CHECK(left.pieces == right.pieces && left.consumed == right.consumed);
    CHECK(left.body.state() == right.body.state() && left.body.rule() == right.body.rule());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::size_t cut = data[0] * bytes.size() / 256;
    const Read decoded = read_cut(bytes, bytes.size(), &BodyDecoder::decode);
    const Read passed = read_cut(bytes, bytes.size(), &BodyDecoder::pass);
    expect_same(decoded, read_cut(bytes, cut, &BodyDecoder::decode));
    expect_same(passed, read_cut(bytes, cut, &BodyDecoder::pass));
    CHECK(decoded.consumed == passed.consumed && decoded.body.rule() == passed.body.rule());
    if (decoded.body.state() != BodyState::Done) return 0;
    const Read again = read_cut(passed.pieces, passed.pieces.size(), &BodyDecoder::decode);
    CHECK(again.body.state() == BodyState::Done && again.body.is_canonical());
    CHECK(again.pieces == decoded.pieces && again.consumed == passed.pieces.size());
    return 0;
}
