#include "edge/soundness.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <limits>

#include "edge/test_times.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kNow = 1000 * kSecond;

class Soundness : public ::testing::Test {
protected:
    Soundness()
        : segment_(
              static_cast<Segment*>(::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
        record_.cookie = 7;
        record_.ring = kNone;
        begin_exchange(record_, segment_->exchanges[0], 0, kNow);
        attached_ = current({record_, segment_->exchanges[0]});
        attached_.phase = Phase::Attached;
        attached_.attempts = 1;
        attached_.upstream = 20;
        attached_.slot = 3;
        attached_.attached_ns = kNow;
        attached_.service = {1, 0};
        attached_.request.head = 5;
        attached_.request.head_bytes = 100;
    }
    ~Soundness() override { ::munmap(segment_, sizeof(Segment)); }
    bool with(const std::function<void(Exchange&)>& change) const {
        Exchange changed = attached_;
        change(changed);
        return is_sound(record_, changed, kNow);
    }

    Segment* segment_;
    Record record_{};
    Exchange attached_;
};

// Each of these would be an index out of its table, a loop without an end, or a time that
// overflows.
TEST_F(Soundness, AValueThatCannotBeIsFound) {
    EXPECT_TRUE(with([](Exchange&) {}));
    EXPECT_FALSE(with([](Exchange& it) { it.client = 8; }));
    EXPECT_FALSE(with([](Exchange& it) { it.phase = static_cast<Phase>(5); }));
    EXPECT_FALSE(with([](Exchange& it) { it.slot = wire::kSlotsMax; }));
    EXPECT_FALSE(with([](Exchange& it) { it.slot_before = wire::kSlotsMax; }));
    EXPECT_FALSE(with([](Exchange& it) { it.slot = kNone; }));
    EXPECT_FALSE(with([](Exchange& it) { it.service.place = kServicesMax; }));
    EXPECT_FALSE(with([](Exchange& it) { it.request.framing = static_cast<Framing>(5); }));
    EXPECT_FALSE(with([](Exchange& it) { it.response.tail = static_cast<Tail>(5); }));
    EXPECT_FALSE(
        with([](Exchange& it) { std::memset(static_cast<void*>(&it.response.body), 0xff, 24); }));
    EXPECT_FALSE(with([](Exchange& it) { it.attempt_at = 100; }));
    EXPECT_FALSE(with([](Exchange& it) { it.begun_ns = kNow + 1; }));
    EXPECT_FALSE(
        with([](Exchange& it) { it.attached_ns = std::numeric_limits<std::int64_t>::min(); }));
    EXPECT_FALSE(with([](Exchange& it) { it.due_ns = std::numeric_limits<std::int64_t>::max(); }));
    EXPECT_FALSE(
        with([](Exchange& it) { it.deadline_ns = std::numeric_limits<std::int64_t>::max(); }));
}

TEST_F(Soundness, WhoIsNotAttachedHasNoConnection) {
    EXPECT_FALSE(with([](Exchange& it) { it.phase = Phase::Reading; }));
    EXPECT_FALSE(with([](Exchange& it) { it.phase = Phase::Ready; }));
    EXPECT_FALSE(with([](Exchange& it) { it.flags = kOwnAnswer; }));
    EXPECT_TRUE(with([](Exchange& it) {
        it.phase = Phase::Ready;
        it.upstream = kNone;
    }));
}

// Else it would be told what lies there from somebody before.
TEST_F(Soundness, ABlockIsItsOwnFromThePositionOnThatStandsBesideIt) {
    EXPECT_TRUE(owns_ring(*segment_, record_, {100, 100}));
    EXPECT_FALSE(owns_ring(*segment_, record_, {100, 101})) << "in no ring";
    record_.ring = 9;
    EXPECT_FALSE(owns_ring(*segment_, record_, {100, 101}));
    segment_->ring_owners[9] = {7, 100};
    EXPECT_TRUE(owns_ring(*segment_, record_, {100, 101}));
    EXPECT_FALSE(owns_ring(*segment_, record_, {99, 101}));
    EXPECT_FALSE(owns_ring(*segment_, record_, {101, 100}));
    EXPECT_FALSE(owns_ring(*segment_, record_, {100, 101 + kRingBytes}));
    record_.ring = kRings;
    EXPECT_FALSE(owns_ring(*segment_, record_, {100, 101}));
    Flow flow{};
    flow.head = 4;
    flow.head_bytes = 10;
    EXPECT_FALSE(owns_head(*segment_, record_, flow));
    segment_->head_owners[4] = {7, 10};
    EXPECT_TRUE(owns_head(*segment_, record_, flow));
    flow.head_bytes = 11;
    EXPECT_FALSE(owns_head(*segment_, record_, flow));
    flow.head = kHeads;
    EXPECT_FALSE(owns_head(*segment_, record_, flow));
    flow.head = kNone;
    EXPECT_TRUE(owns_head(*segment_, record_, flow));
}

}  // namespace
}  // namespace thole::edge
