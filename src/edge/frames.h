// A WebSocket's frames (RFC 6455 section 5.2), as far as who passes them on has to know them: where
// each begins, and which one closes. Pure, without state: a frame's header tells where the next one
// is, and a header that is not whole is waited for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace thole::edge {

// All of a header that has to be there, without the mask.
constexpr std::size_t kFrameHeaderMax = 10;

enum class Sender { Client, Server };

struct Frame {
    enum class Kind { NeedMore, Data, Close, None };  // None: no client or server says this.
    Kind kind = Kind::NeedMore;
    std::uint64_t bytes = 0;  // As a whole; less than 2^63 and a header.
};

// `bytes` begin where a frame does; more than kFrameHeaderMax of them are not looked at. What can
// be no frame is found at its first two bytes, so that another protocol waits for nothing.
Frame read_frame(std::string_view bytes, Sender sender);

}  // namespace thole::edge
