// Who was refused by which rule: counted each by itself, told as totals, bounded.
#include "edge/refusals.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/check.h"
#include "edge/refusal_reports.h"
#include "edge/test_times.h"
#include "wire/frame.h"

namespace thole::edge {
namespace {

using wire::RefusalKind;

class Refused {
public:
    using At = std::tuple<RefusalKind, std::uint32_t, std::uint32_t, std::string>;

    Refused() : segment_(map()), reports_(segment_) { reports_.begin(); }
    Refused(const Refused&) = delete;
    ~Refused() { ::munmap(&segment_, sizeof(Segment)); }

    void count(std::uint32_t worker, const RefusalKey& key) {
        segment_.refusals[worker].count(key);
    }
    // How many frames it took.
    int tell(bool is_taken = true) {
        int frames = 0;
        now_ns_ += kSecond;
        reports_.send_changes(now_ns_, [&](const std::string& bytes) {
            if (is_taken) hear(bytes);
            ++frames;
            return is_taken;
        });
        return frames;
    }
    void begin_another_control() { reports_.begin(); }
    std::map<At, std::uint64_t> heard;
    std::uint32_t more = 0;  // Of the last page.

private:
    static Segment& map() {
        void* const at = ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(at != MAP_FAILED);
        return *static_cast<Segment*>(at);
    }
    void hear(const std::string& bytes) {
        const auto frame = wire::open_frame(bytes);
        wire::RefusalsHeader header{};
        std::memcpy(&header, frame->body.data(), sizeof(header));
        more = header.more;
        for (std::uint32_t i = 0; i < header.count; ++i) {
            wire::RefusalStats row{};
            std::memcpy(&row, frame->body.data() + sizeof(header) + i * sizeof(row), sizeof(row));
            heard[{row.kind, row.listener, row.service, row.rule}] = row.count;
        }
    }

    Segment& segment_;
    RefusalReports reports_;
    std::int64_t now_ns_ = 0;
};

// Else one route's attack would look like another's.
TEST(Refusals, CountByRuleRouteServiceAndKindOverTheWorkers) {
    Refused refused;
    refused.count(0, {RefusalKind::Request, 7, 2, "H1-CL-DUP"});
    refused.count(1, {RefusalKind::Request, 7, 2, "H1-CL-DUP"});
    refused.count(0, {RefusalKind::Request, 7, wire::kNoSlot, "H1-CL-DUP"});
    refused.count(0, {RefusalKind::Request, 8, 2, "H1-CL-DUP"});
    refused.count(0, {RefusalKind::Answer, 7, 2, "H1-CL-DUP"});
    refused.count(0, {RefusalKind::Reported, 7, 2, "H1-TE"});
    EXPECT_EQ(refused.tell(), 1);
    EXPECT_EQ(refused.more, 0U);
    const std::map<Refused::At, std::uint64_t> wanted = {
        {{RefusalKind::Request, 7, 2, "H1-CL-DUP"}, 2},
        {{RefusalKind::Request, 7, wire::kNoSlot, "H1-CL-DUP"}, 1},
        {{RefusalKind::Request, 8, 2, "H1-CL-DUP"}, 1},
        {{RefusalKind::Answer, 7, 2, "H1-CL-DUP"}, 1},
        {{RefusalKind::Reported, 7, 2, "H1-TE"}, 1},
    };
    EXPECT_EQ(refused.heard, wanted);
}

TEST(Refusals, AreToldWhereTheyGrewAndAllToWhoeverIsNew) {
    Refused refused;
    EXPECT_EQ(refused.tell(), 1);  // That there are none.
    EXPECT_EQ(refused.tell(), 0);
    refused.count(0, {RefusalKind::Request, 7, 2, "H1-LF"});
    refused.count(0, {RefusalKind::Request, 7, 2, "H1-CR"});
    EXPECT_EQ(refused.tell(false), 1);  // No room in the link: it is said again.
    EXPECT_EQ(refused.tell(), 1);
    EXPECT_EQ(refused.heard.size(), 2U);
    refused.heard.clear();
    refused.count(1, {RefusalKind::Request, 7, 2, "H1-CR"});
    EXPECT_EQ(refused.tell(), 1);
    const Refused::At cr{RefusalKind::Request, 7, 2, "H1-CR"};
    EXPECT_EQ(refused.heard, (std::map<Refused::At, std::uint64_t>{{cr, 2}}));
    refused.begin_another_control();
    refused.tell();
    EXPECT_EQ(refused.heard.size(), 2U);
}

// Whoever changes ports all the time may not fill the memory of the edge.
TEST(Refusals, BeyondThePlacesCountAsOne) {
    Refused refused;
    const std::uint32_t all = 3 * kRefusalsKept;
    for (std::uint32_t i = 0; i < all; ++i)
        refused.count(i % 2, {RefusalKind::Request, i, 2, "H1-LF"});
    refused.tell();
    EXPECT_LE(refused.heard.size(), 2 * kRefusalsKept);
    EXPECT_EQ(refused.more, 0U);
    std::uint64_t sum = 0;
    for (const auto& [at, count] : refused.heard) sum += count;
    EXPECT_EQ(sum, all);
    const Refused::At others{RefusalKind::Request, 0, wire::kNoSlot, "OTHER"};
    EXPECT_GT(refused.heard[others], 0U);
}

TEST(Refusals, ATextNamesItsRuleFirst) {
    EXPECT_EQ(rule_in("H1-CL-DUP"), "H1-CL-DUP");
    EXPECT_EQ(rule_in("EDGE-NO-ROUTE: nobody answers"), "EDGE-NO-ROUTE");
    EXPECT_EQ(rule_in("no instance of this service became ready in time"), "");
    EXPECT_EQ(rule_in(""), "");
}

}  // namespace
}  // namespace thole::edge
