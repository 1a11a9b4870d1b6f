#include "edge/blocks.h"

#include <utility>

namespace thole::edge {

std::uint32_t Blocks::take_exchange() {
    if (exchanges.empty()) {
        if (exchanges_untouched >= kExchanges) return kNone;
        return std::exchange(exchanges_untouched, exchanges_untouched + kWorkers);
    }
    const std::uint32_t block = exchanges.back();
    exchanges.pop_back();
    return block;
}

}  // namespace thole::edge
