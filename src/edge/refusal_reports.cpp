#include "edge/refusal_reports.h"

#include <cstring>
#include <vector>

#include "edge/rows.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kEveryNs = 1'000'000'000;
constexpr std::size_t kRefusalsPage = 1024;
static_assert(kRefusalsPage * sizeof(wire::RefusalStats) <
              wire::kFrameBodyBytesMax - sizeof(wire::RefusalsHeader));

}  // namespace

void RefusalReports::begin() {
    told_.clear();
    is_first_ = true;
}

std::map<RefusalReports::Key, wire::RefusalStats> RefusalReports::sums() const {
    std::map<Key, wire::RefusalStats> sums;
    for (const Refusals& refusals : segment_.refusals) {
        for (const RefusalEntry& entry : refusals.entries) {
            if (entry.is_used.load(std::memory_order_acquire) == 0) continue;
            wire::RefusalStats row{entry.kind, entry.listener, entry.service, 0, {}, 0};
            std::memcpy(row.rule, entry.rule, sizeof(row.rule));
            Key key;
            std::memcpy(key.data(), &row, key.size());
            sums.try_emplace(key, row).first->second.count +=
                entry.count.load(std::memory_order_relaxed);
        }
    }
    return sums;
}

void RefusalReports::send_changes(std::int64_t now_ns, const Send& send) {
    if (!is_first_ && now_ns - told_ns_ < kEveryNs) return;
    std::uint64_t all = 0;
    for (const Refusals& refusals : segment_.refusals)
        all += refusals.all.load(std::memory_order_acquire);
    if (!is_first_ && all == told_all_) return;
    std::vector<std::vector<wire::RefusalStats>> pages(1);
    for (const auto& [key, row] : sums()) {
        const auto told = told_.find(key);
        if (told != told_.end() && told->second == row.count) continue;
        if (pages.back().size() == kRefusalsPage) pages.emplace_back();
        pages.back().push_back(row);
    }
    const std::uint64_t epoch = segment_.epoch.load();
    for (const std::vector<wire::RefusalStats>& page : pages) {
        const wire::RefusalsHeader header{epoch, static_cast<std::uint32_t>(page.size()),
                                          &page == &pages.back() ? 0U : 1U};
        if (!send(frame_of(wire::EdgeMessage::Refusals, header, page))) return;
        for (const wire::RefusalStats& row : page) {
            Key key;
            std::memcpy(key.data(), &row, key.size());
            told_[key] = row.count;
        }
    }
    told_all_ = all;
    told_ns_ = now_ns;
    is_first_ = false;
}

}  // namespace thole::edge
