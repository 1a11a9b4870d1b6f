// What control hears of routes: all of it, in pages, without a count that falls.
#include "edge/route_reports.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <optional>

#include "base/check.h"
#include "edge/counting.h"
#include "edge/test_times.h"
#include "wire/frame.h"

namespace thole::edge {
namespace {

constexpr std::uint32_t kService = 5;

class Routes {
public:
    Routes() : segment_(map_segment()), reports_(segment_) { reports_.begin(); }
    Routes(const Routes&) = delete;
    ~Routes() { ::munmap(&segment_, sizeof(Segment)); }

    void serve(std::uint32_t listener) {
        const std::uint32_t place = segment_.listener_count++;
        segment_.listeners[place].id = listener;
        segment_.routes[0].of[place].usual = {kService, 0};
    }
    void set_release(std::uint32_t slot, std::uint32_t release, std::uint32_t bits = 0) {
        EndpointEntry& entry = segment_.endpoints[slot];
        entry.service = kService;
        entry.release = release;
        entry.generation = 1;
        entry.bits = bits;
    }
    // One request that took two milliseconds.
    void count(std::uint32_t worker, std::uint32_t listener, std::uint32_t release,
               std::uint32_t slot) {
        Record record{};
        ExchangePair pair{};
        record.state = state_of(commits_of(record), 1);
        const ExchangeAt exchange{record, pair};
        commit(exchange, [&](Exchange& next) {
            next.phase = Phase::Answering;
            next.listener = listener;
            next.release = release;
            next.slot = slot;
            next.generation = 1;
            next.attached_ns = now_ns_ - 2'000'000;
        });
        Counting(segment_.counters[worker])
            .end(exchange, 1, {wire::Outcome::Success, now_ns_, "GET / HTTP/1.1\r\n\r\n"},
                 [](Exchange&) {});
    }
    void pass(std::int64_t ns) { now_ns_ += ns; }
    // The turns until a round is over.
    int tell_round() {
        is_whole_ = false;
        int turns = 0;
        for (; !is_whole_ && turns < 200; ++turns) tell();
        return turns;
    }
    void tell() {
        frames_ = 0;
        reports_.send_some(now_ns_, [this](const std::string& frame) { return hear(frame); });
    }
    void begin_another_control() {
        reports_.begin();
        requests_.clear();
        durations_.clear();
    }
    // Of the frames of a turn, which one finds no room.
    void refuse(std::optional<int> frame) { refused_ = frame; }
    std::uint64_t requests(std::uint32_t listener, std::uint32_t release,
                           std::uint32_t slot) const {
        const auto found = requests_.find({listener, release, slot});
        return found == requests_.end() ? 0 : found->second;
    }
    const wire::RouteDurations& durations(std::uint32_t listener, std::uint32_t release,
                                          std::uint32_t slot) {
        return durations_[{listener, release, slot}];
    }
    std::size_t listed() const { return requests_.size(); }
    int frames() const { return frames_; }
    Segment& segment() { return segment_; }

private:
    using Key = std::array<std::uint32_t, 3>;
    static Segment& map_segment() {
        void* const at = ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(at != MAP_FAILED);
        return *static_cast<Segment*>(at);
    }
    template <typename Row>
    static std::vector<Row> rows_of(std::string_view body, wire::RoutesHeader& header) {
        std::memcpy(&header, body.data(), sizeof(header));
        std::vector<Row> rows(header.count);
        EXPECT_EQ(body.size(), sizeof(header) + header.count * sizeof(Row));
        if (!rows.empty())
            std::memcpy(rows.data(), body.data() + sizeof(header), rows.size() * sizeof(Row));
        return rows;
    }
    bool hear(const std::string& frame) {
        if (refused_ == frames_++) return false;
        EXPECT_LE(frame.size(), wire::kFrameBytesMax);
        const auto opened = wire::open_frame(frame);
        wire::RoutesHeader header{};
        if (opened->type == static_cast<std::uint16_t>(wire::EdgeMessage::Durations)) {
            for (const auto& row : rows_of<wire::RouteDurations>(opened->body, header))
                durations_[{row.listener, row.release, row.slot}] = row;
            return true;
        }
        for (const auto& row : rows_of<wire::RouteStats>(opened->body, header)) {
            const Key key{row.listener, row.release, row.slot};
            requests_[key] = row.outcomes[1];
            if ((row.flags & wire::kRouteGone) != 0) requests_.erase(key);
        }
        is_whole_ = is_whole_ || header.more == 0;
        return true;
    }

    Segment& segment_;
    RouteReports reports_;
    std::int64_t now_ns_ = kSecond;
    std::map<Key, std::uint64_t> requests_;
    std::map<Key, wire::RouteDurations> durations_;
    std::optional<int> refused_;
    int frames_ = 0;
    bool is_whole_ = false;
};

TEST(RouteReports, SumOverTheWorkersAndSayOnlyWhatIsNew) {
    Routes routes;
    routes.serve(7);
    routes.set_release(20, 3);
    routes.count(0, 7, 3, 20);
    routes.count(1, 7, 3, 20);
    routes.count(1, 7, 3, 21);
    EXPECT_EQ(routes.tell_round(), 1);
    EXPECT_EQ(routes.requests(7, 3, 20), 2U);
    EXPECT_EQ(routes.requests(7, 3, 21), 1U);
    const wire::RouteDurations& both = routes.durations(7, 3, 20);
    EXPECT_EQ(both.counts[3], 2U);  // Up to 2.5 ms.
    EXPECT_EQ(both.sum_ns, 4'000'000U);
    routes.count(0, 7, 3, 21);
    routes.tell();
    EXPECT_EQ(routes.frames(), 0) << "no round before its time";
    routes.pass(kSecond);
    routes.tell();
    EXPECT_EQ(routes.requests(7, 3, 21), 2U);
    routes.pass(kSecond);
    routes.tell();
    EXPECT_EQ(routes.frames(), 0) << "nothing is new";
}

// Also where there is nothing: control waits for it.
TEST(RouteReports, ANewControlIsToldAllAndThatItIsAll) {
    Routes routes;
    EXPECT_EQ(routes.tell_round(), 1);
    routes.count(0, 7, 3, 20);
    routes.pass(kSecond);
    routes.tell();
    routes.begin_another_control();
    EXPECT_EQ(routes.tell_round(), 1);
    EXPECT_EQ(routes.requests(7, 3, 20), 1U);
}

TEST(RouteReports, ThousandsOfRoutesAreToldAPageEachTurn) {
    Routes routes;
    for (std::uint32_t i = 0; i < 2000; ++i) routes.count(i % 2, 1 + i, 3, 20 + i % 4);
    EXPECT_EQ(routes.tell_round(), 16);
    EXPECT_EQ(routes.listed(), 2000U);
}

TEST(RouteReports, WhatCouldNotBeSentIsSentLater) {
    Routes routes;
    for (std::uint32_t i = 0; i < 300; ++i) routes.count(0, 1 + i, 3, 20);
    for (const int frame : {0, 1}) {
        routes.refuse(frame);
        routes.tell();
        EXPECT_EQ(routes.listed(), 0U);
    }
    routes.refuse(std::nullopt);
    EXPECT_EQ(routes.tell_round(), 3);
    EXPECT_EQ(routes.listed(), 300U);
}

TEST(RouteReports, ARouteGoesAnHourAfterItsReleaseAndComesBackWithIt) {
    Routes routes;
    routes.serve(7);
    routes.set_release(20, 3);
    routes.set_release(21, 4);
    routes.count(0, 7, 3, 20);
    routes.count(0, 7, 4, 21);
    routes.count(0, 7, 0, wire::kNoSlot);  // Of no release.
    routes.tell_round();
    routes.pass(2 * kRouteIdleNs);
    routes.tell();
    EXPECT_EQ(routes.listed(), 3U) << "idle, but its release is there";
    routes.set_release(20, 3, wire::kBitGone);
    routes.pass(kSecond);
    routes.tell();
    EXPECT_EQ(routes.requests(7, 3, 20), 0U);
    EXPECT_EQ(routes.listed(), 2U);
    routes.set_release(20, 3);
    routes.count(0, 7, 3, 20);
    routes.pass(kSecond);
    routes.tell();
    EXPECT_EQ(routes.requests(7, 3, 20), 2U);
}

// One slot of a release that is idle, or idle at one worker only, may not pull the sum down.
TEST(RouteReports, AllRoutesOfAReleaseGoTogether) {
    Routes routes;
    routes.serve(7);
    routes.count(0, 7, 3, 20);
    routes.count(1, 7, 3, 20);
    routes.count(0, 7, 3, 21);
    routes.tell_round();
    routes.pass(kRouteIdleNs);
    routes.count(1, 7, 3, 20);
    routes.tell();
    EXPECT_EQ(routes.requests(7, 3, 20), 3U);
    EXPECT_EQ(routes.requests(7, 3, 21), 1U);
    routes.pass(kRouteIdleNs);
    routes.tell();
    EXPECT_EQ(routes.listed(), 0U);
}

TEST(RouteReports, WhatFoundNoPlaceNeverGoes) {
    Routes routes;
    for (std::uint32_t i = 0; i < kRoutesMax + 500; ++i) routes.count(0, 1 + i, 3, 20);
    routes.tell_round();
    const std::uint64_t others = routes.requests(0, 0, wire::kNoSlot);
    EXPECT_GE(others, 500U);
    routes.pass(2 * kRouteIdleNs);
    routes.tell_round();
    EXPECT_EQ(routes.listed(), 1U);
    EXPECT_EQ(routes.requests(0, 0, wire::kNoSlot), others);
}

}  // namespace
}  // namespace thole::edge
