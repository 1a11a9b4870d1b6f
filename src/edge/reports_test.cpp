// What control hears of requests that broke, also where more break than there is room for.
#include "edge/reports.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <set>

#include "base/check.h"
#include "edge/counting.h"
#include "edge/worker.h"
#include "wire/frame.h"

namespace thole::edge {
namespace {

class Told {
public:
    Told() : runtime_(map_segment()), reports_(runtime_) { reports_.begin(); }
    Told(const Told&) = delete;
    ~Told() { ::munmap(&runtime_.segment, sizeof(Segment)); }

    void break_some(std::uint32_t worker, std::uint64_t count) {
        Counting counting(runtime_.segment.counters[worker]);
        for (std::uint64_t i = 0; i < count; ++i) {
            Exchange exchange{};
            exchange.id = {7, ++last_};
            exchange.slot = 20;
            exchange.generation = 1;
            counting.broke_after_all(exchange, {wire::Outcome::Reset, 1, "POST /a HTTP/1.1\r\n"});
        }
    }
    void begin_another_control() {
        reports_.begin();
        ids_.clear();
        lost_ = 0;
    }
    void report() {
        reports_.send_changes([this](const std::string& frame) { return hear(frame); });
    }
    void be_full(bool is_full) { is_full_ = is_full; }
    std::size_t listed() const { return ids_.size(); }
    std::uint32_t lost() const { return lost_; }

private:
    static Segment& map_segment() {
        void* const at = ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(at != MAP_FAILED);
        return *static_cast<Segment*>(at);
    }
    bool hear(const std::string& frame) {
        if (is_full_) return false;
        const auto opened = wire::open_frame(frame);
        if (opened->type != static_cast<std::uint16_t>(wire::EdgeMessage::Broken)) return true;
        wire::BrokenHeader header{};
        std::memcpy(&header, opened->body.data(), sizeof(header));
        lost_ = header.lost;
        for (std::uint32_t i = 0; i < header.count; ++i) {
            wire::BrokenRequest row{};
            std::memcpy(&row, opened->body.data() + sizeof(header) + i * sizeof(row), sizeof(row));
            ids_.insert(row.request.low);
        }
        return true;
    }

    Runtime runtime_;
    Reports reports_;
    std::uint64_t last_ = 0;
    std::set<std::uint64_t> ids_;
    std::uint32_t lost_ = 0;
    bool is_full_ = false;
};

TEST(Reports, WhatBreaksIsListedOrCounted) {
    Told told;
    told.report();
    told.break_some(0, 100);
    told.report();
    EXPECT_EQ(told.listed(), 100U);
    EXPECT_EQ(told.lost(), 0U);
    told.break_some(0, 2000);
    told.break_some(1, 3);
    told.report();
    EXPECT_EQ(told.listed() + told.lost(), 2103U);
    EXPECT_EQ(told.lost(), 2000 - (kBrokenKept - 1));
    told.break_some(1, 600);
    told.report();
    EXPECT_EQ(told.listed() + told.lost(), 2703U);
}

// What an earlier control was told is not lost, though it is kept no more.
TEST(Reports, ANextControlHearsTheSameCountOfTheLost) {
    Told told;
    told.break_some(0, 600);
    told.report();
    const std::uint32_t lost = told.lost();
    EXPECT_EQ(lost, 600 - (kBrokenKept - 1));
    told.break_some(0, 400);
    told.report();
    told.begin_another_control();
    told.report();
    EXPECT_EQ(told.lost(), lost);
    EXPECT_EQ(told.listed(), kBrokenKept - 1);
}

TEST(Reports, WhatCouldNotBeSentIsNotTakenForTold) {
    Told told;
    told.be_full(true);
    told.break_some(0, 400);
    told.report();
    told.break_some(0, 400);
    told.report();
    told.be_full(false);
    told.report();
    EXPECT_EQ(told.listed() + told.lost(), 800U);
}

}  // namespace
}  // namespace thole::edge
