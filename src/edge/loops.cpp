#include "edge/loops.h"

#include <algorithm>

#include "base/bytes.h"
#include "http/grammar.h"
#include "http/hex.h"

namespace thole::edge {
namespace {

constexpr std::string_view kUsual = "1.1 thole-";
constexpr std::size_t kVersionBytes = 4;  // "1.1 "

}  // namespace

OwnVia::OwnVia(std::string_view system) {
    std::copy(kUsual.begin(), kUsual.end(), usual_.begin());
    static_assert(kUsual.size() + 8 == std::tuple_size_v<decltype(usual_)>);
    http::write_hex8(usual_.data() + kUsual.size(), crc32c(system));
    old_ = usual_;
    old_[2] = '0';
}

std::string_view OwnVia::of(std::uint8_t version_minor) const {
    const std::array<char, 18>& text = version_minor == 0 ? old_ : usual_;
    return {text.data(), text.size()};
}

// A comma in a comment makes two of one entry: neither half counts for more than its client says.
std::uint32_t OwnVia::count_in(std::string_view value) const {
    const std::string_view own = of(1).substr(kVersionBytes);
    std::uint32_t count = 0;
    std::string_view entry;
    while (http::next_element(value, entry)) {
        // Whose it is follows the version; whoever passed it on may have put more blanks between.
        const std::size_t blank = std::min(entry.find_first_of(" \t"), entry.size());
        const std::string_view by = http::trim(entry.substr(blank));
        if (by.substr(0, own.size()) != own) continue;
        const std::string_view rest = by.substr(own.size());
        if (rest.empty() || http::is_blank(rest.front())) ++count;
    }
    return count;
}

}  // namespace thole::edge
