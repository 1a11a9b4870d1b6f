// The body of a message: how far it goes and what in it is payload. All state is plain data of 24
// bytes, so that it can stand in a shared record and another process can go on in mid-body, after
// any byte. Strict as rules.h says. No allocation, no copy, no I/O; pieces are views of the input.
//
// Deliberately not here: trailers as fields. They are validated (9112 7.1.2) and never given out:
// whoever passes a body on drops them, so none is ever merged into a head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "http/head.h"
#include "http/rules.h"

namespace thole::http {

// Chunk extensions of one body together: without a limit they make others read in vain. Source:
// RFC 9112 section 7.1.1.
constexpr std::uint32_t kExtensionBytesMax = 1024;
// Trailers of one body with their CRLFs: they are left out, and have to be read all the same.
constexpr std::uint32_t kTrailerBytesMax = 8 * 1024;
constexpr std::uint64_t kChunkBytesMax = std::numeric_limits<std::int64_t>::max();

enum class BodyState : std::uint8_t { NeedMore, Done, Bad };

struct Fed {
    std::size_t consumed = 0;  // Bytes of the input that belong to the message, seen by this call.
    std::string_view piece;    // A part of what was consumed; see decode() and pass().
    BodyState state = BodyState::NeedMore;
};

class BodyDecoder {
public:
    BodyDecoder() = default;  // No body: done.
    BodyDecoder(Framing framing, std::uint64_t length);
    explicit BodyDecoder(const MessageHead& head) : BodyDecoder(head.framing, head.length) {}

    // Both go as far as one piece reaches: call again with the rest while the state is NeedMore and
    // input is left. What follows a body that is Done is never looked at.
    //
    // decode(): the piece is payload, without any framing.
    Fed decode(std::string_view bytes);
    // pass(): for bodies that go on as they came. The piece is payload *and* framing, but for chunk
    // extensions and trailers, which are left out: the pieces of a body, joined, are a body in
    // canonical form with the same payload. What is consumed is either the piece, or is left out as
    // a whole, and then the piece is empty. Who looks at `consumed` alone learns how many raw bytes
    // belong to the message.
    Fed pass(std::string_view bytes);
    // From now on pass() leaves out all framing, too: for who reads no chunks (HTTP/1.0).
    void leave_out_framing() { is_payload_only_ = 1; }
    bool leaves_out_framing() const { return is_payload_only_ != 0; }

    // The sender closed its side: Done where that is how the body ends, or it had ended; else Bad.
    BodyState end_of_input();

    BodyState state() const;
    Rule rule() const { return rule_; }  // Bad: which one was broken.
    // Chunked: the next byte begins a chunk.
    bool is_between_chunks() const { return step_ == Step::Size && digits_ == 0; }
    // False where it is no state of ours: in memory that somebody else may have written to.
    bool is_sound() const { return step_ <= Step::Bad; }
    // False once an extension or a trailer was seen.
    bool is_canonical() const { return is_canonical_ != 0; }

private:
    enum class Step : std::uint8_t {
        Size,
        GapAfterSize,
        BeforeName,
        Name,
        GapAfterName,
        BeforeValue,
        Value,
        Quoted,
        Escaped,
        AfterQuoted,
        GapAfterValue,
        SizeLf,
        Data,
        DataCr,
        DataLf,
        TrailerStart,
        TrailerName,
        TrailerValue,
        TrailerLf,
        EndLf,
        Length,
        UntilClose,
        Done,
        Bad,
    };

    bool is_bulk() const;
    std::size_t take_bulk(std::size_t size);
    bool step(char c);
    void step_size(char c);
    void step_extension(char c);
    void step_after_data(char c);
    void step_trailer(char c);
    void refuse(Rule rule);

    std::uint64_t left_ = 0;  // Of the chunk's data, or of the length.
    std::uint32_t trailer_bytes_ = 0;
    std::uint16_t extension_bytes_ = 0;
    std::uint8_t digits_ = 0;
    Step step_ = Step::Done;
    Rule rule_ = Rule::None;
    std::uint8_t is_canonical_ = 1;
    std::uint8_t is_payload_only_ = 0;
};

static_assert(std::is_trivially_copyable_v<BodyDecoder>);
static_assert(sizeof(BodyDecoder) == 24);

}  // namespace thole::http
