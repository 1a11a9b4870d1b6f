#include "edge/why.h"

#include <algorithm>
#include <vector>

#include "edge/worker.h"
#include "wire/frame.h"

namespace thole::edge {
namespace {

bool is_same(const wire::RequestRecord& one, const wire::RequestRecord& other) {
    return one.id.high == other.id.high && one.id.low == other.id.low && one.begun == other.begun &&
           one.listener == other.listener;
}

// From then on nothing is missing: of a box that was never full, nothing ever was.
void look_back(wire::WhyHeader& header, const BlackBox& box) {
    const std::uint64_t first = box.first();
    const std::uint64_t end = box.written.load(std::memory_order_acquire);
    header.kept += end - first;
    wire::RequestRecord oldest;
    if (end == first || !box.read(first, oldest)) return;
    const bool was_full = first > 0;
    if (header.oldest == 0 || was_full) header.oldest = std::max(header.oldest, oldest.ended);
}

}  // namespace

std::string find_requests(const Runtime& runtime, const wire::WhyRequest& asked) {
    wire::WhyHeader header{};
    header.sequence = asked.sequence;
    header.now = now_ns();
    std::vector<wire::RequestRecord> rows;
    for (const WorkerCounters& counters : runtime.segment.counters) {
        const BlackBox& box = counters.box;
        look_back(header, box);
        const std::uint64_t end = box.written.load(std::memory_order_acquire);
        for (std::uint64_t at = box.first(); at < end; ++at) {
            wire::RequestRecord record;
            if (box.read_begin(at, record) && wire::begins_with(record.id, asked) &&
                box.read(at, record))
                rows.push_back(record);
        }
    }
    std::sort(rows.begin(), rows.end(),
              [](const auto& one, const auto& other) { return one.begun < other.begun; });
    const std::size_t ended = rows.size();
    for (const std::unique_ptr<Worker>& worker : runtime.workers) {
        for (const wire::RequestRecord& row : worker->under_way()) {
            // Its end came between the two looks.
            const bool has_ended =
                std::any_of(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(ended),
                            [&row](const auto& other) { return is_same(row, other); });
            if (has_ended) continue;
            rows.push_back(row);
            rows.back().flags &= ~std::uint32_t{wire::kRequestHasMore};
        }
    }
    header.more = rows.size() > wire::kWhyRowsMax ? 1 : 0;
    if (header.more != 0) rows.resize(wire::kWhyRowsMax);
    header.count = static_cast<std::uint32_t>(rows.size());
    std::string body(reinterpret_cast<const char*>(&header), sizeof(header));
    body.append(reinterpret_cast<const char*>(rows.data()),
                rows.size() * sizeof(wire::RequestRecord));
    return wire::seal(static_cast<std::uint16_t>(wire::EdgeMessage::Found), body);
}

}  // namespace thole::edge
